"""Any layout to our own, one folder with everything in it, optionally quantised; a block is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polytalk.acceleration.quantization import SCHEMES, quantizer
from polytalk.checkpoints.fill import load_into
from polytalk.checkpoints.layouts import ModelLocation, locate
from polytalk.checkpoints.wan import WAN_CLASSES, Part, WanFiles, open_files
from polytalk.config.index import ModelIndex
from polytalk.errors import PolytalkError
from polytalk.models.library_internals import float32_names, tied_weights
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.pipeline.components.wan import load_tokenizer
from polytalk.weights.synthesize import new_folder
from polytalk.weights.writing import partial_file, write_index

CONVERTIBLE = {"int8": 8, "int4": 4}
"""Schemes whose tensors are plain ones -> bits per weight; the others are made while loading."""
_SHARD_BYTES = 2 * 10**9
"""Weights gathered in memory before they are written."""
_SCALES_SHARE = 0.07
"""At most this much is added by scales and by what stays unquantised, in the published size."""

Report = Callable[[str, str], None]
"""Called with the component and the unit that has been written."""


def convert(
    location: ModelLocation,
    folder: Path,
    *,
    dtype: torch.dtype = torch.bfloat16,
    quantization: str | None = None,
    report: Report | None = None,
) -> None:
    """Write a model in our own layout.

    Args:
        location: the model, from `locate`.
        folder: new folder.
        dtype: of network and text encoder; what the network wants in float32 is float32. The other encoders keep
            their types.
        quantization: "int8" or "int4" for the network's blocks; None writes them in `dtype`.
        report: called with what has been written.

    Raises:
        PolytalkError: a damaged model, an unknown scheme, a folder that is taken, a disk that is too small.
    """
    quantize = _quantizer(quantization)
    files = open_files(location)
    notify = report or (lambda component, unit: None)
    wide = float32_names(MultiTalkTransformer3DModel)
    with new_folder(folder, _expected_bytes(files, dtype, quantization)):
        for name, part in files.parts().items():
            network = name == "transformer"
            write_part(
                part,
                folder / name,
                dtype if network or name == "text_encoder" else None,
                keep_in_fp32=wide if network else (),
                change=quantize if network else None,
                report=partial(notify, name),
            )
        load_tokenizer(files.tokenizer).save_pretrained(str(folder / "tokenizer"))
        ModelIndex(WAN_CLASSES, files.config).write(folder)
        open_files(locate(folder))  # names and shapes once more, as they are on disk


def write_part(
    part: Part,
    folder: Path,
    dtype: torch.dtype | None,
    *,
    keep_in_fp32: tuple[str, ...] | list[str] = (),
    change: Callable[[str, nn.Module], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> None:
    """One network's weights and configuration, as diffusers or transformers name the files.

    Each unit (block) is read, changed, handed on to the files and forgotten; see `load_into` for the arguments.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: set[str] = set()
    shards = _Shards(folder)

    def on_module(name: str, module: nn.Module) -> None:
        if change is not None:
            change(name, module)
        state = module.state_dict(prefix=f"{name}.")
        shards.add({key: tensor for key, tensor in state.items() if not tensor.is_meta})
        written.update(state)
        module.to("meta")
        if report is not None:
            report(name)

    model: Any = load_into(part.build, part.tensors, dtype=dtype, keep_in_fp32=keep_in_fp32, on_module=on_module)
    tied = tied_weights(model)
    rest = {name: tensor for name, tensor in model.state_dict().items() if name not in written and name not in tied}
    shards.add(rest)
    diffusers = hasattr(model, "save_config")
    shards.finish("diffusion_pytorch_model" if diffusers else "model")
    if diffusers:
        model.save_config(str(folder))
    else:
        model.config.save_pretrained(str(folder))


class _Shards:
    """Gathers tensors and writes a file whenever enough have come together."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.total = folder, 0
        self.waiting: dict[str, Tensor] = {}
        self.written: list[tuple[Path, list[str]]] = []

    def add(self, tensors: Mapping[str, Tensor]) -> None:
        self.waiting |= {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        if sum(map(_num_bytes, self.waiting.values())) >= _SHARD_BYTES:
            self._flush()

    def finish(self, stem: str) -> None:
        """Give the files their names, and write the index when there are several."""
        self._flush()
        count = len(self.written)
        weight_map: dict[str, str] = {}
        for index, (path, names) in enumerate(self.written, 1):
            final = f"{stem}.safetensors" if count == 1 else f"{stem}-{index:05d}-of-{count:05d}.safetensors"
            path.rename(self.folder / final)
            weight_map |= dict.fromkeys(names, final)
        if count > 1:
            write_index(self.folder / f"{stem}.safetensors.index.json", weight_map, self.total)

    def _flush(self) -> None:
        from safetensors.torch import save_file

        if not self.waiting:
            return
        path = self.folder / f"part-{len(self.written)}.safetensors"
        with partial_file(path) as unfinished:
            save_file(self.waiting, unfinished, metadata={"format": "pt"})
        self.written.append((path, list(self.waiting)))
        self.total += sum(map(_num_bytes, self.waiting.values()))
        self.waiting = {}


def _quantizer(name: str | None) -> Callable[[str, nn.Module], None] | None:
    if name is None:
        return None
    if name in SCHEMES and name not in CONVERTIBLE:
        remedy = f"Write {' or '.join(CONVERTIBLE)}, or load with `quantization={name}`, which converts while loading."
        raise PolytalkError("quantization", f"{name} depends on the machine and is not written to files", remedy)
    return quantizer(name)


def _expected_bytes(files: WanFiles, dtype: torch.dtype, quantization: str | None) -> int:
    weights = sum(entry.num_bytes // entry.dtype.itemsize for entry in files.transformer.tensors.entries.values())
    bits = dtype.itemsize * 8 if quantization is None else CONVERTIBLE[quantization] + 16 * _SCALES_SHARE
    others = [part.tensors for name, part in files.parts().items() if name != "transformer"]
    return int(weights * bits / 8) + sum(checkpoint.num_bytes for checkpoint in others)


def _num_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
