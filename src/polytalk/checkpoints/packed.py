"""Weights that come quantised: optimum-quanto's files, GGUF files and our own form are known by their tensors alone.

Files that optimum-quanto wrote hold `X.weight._data` (int8) and `X.weight._scale` in place of `X.weight`. A map in JSON
says how each layer was quantised. Beside the weights lie scales of activations, which are 1 where none were quantised.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from polytalk.checkpoints.checkpoint import Checkpoint, Entry
from polytalk.checkpoints.files import WeightFile
from polytalk.checkpoints.gguf import GGUFFile, GGUFLinear, stays_packed
from polytalk.errors import PolytalkError
from polytalk.models.quantized import SCALE_SUFFIX, Int4Linear, Int8Linear, QuantizedLinear

Model = TypeVar("Model", bound=nn.Module)

DATA, SCALE = ".weight._data", ".weight._scale"
"""Endings of the integers (out, in) and of their scales (out, 1)."""
ACTIVATION_SCALES = (".input_scale", ".output_scale")
"""Endings of what is not needed when weights alone are quantised."""


def is_quantized(checkpoint: Checkpoint) -> bool:
    """Whether weights of the checkpoint are quantised, in any of the formats that are read."""
    return is_quanto(checkpoint) or any(_kind(checkpoint, name) for name in checkpoint)


def plain_form(checkpoint: Checkpoint, quantization_map: Path | None = None) -> Checkpoint:
    """A checkpoint of optimum-quanto in our form (`NAME` int8 with `NAME_scale`); any other as it is. Reads no data.

    To be called before names are translated. Layers outside the blocks are dequantised when read.

    Args:
        checkpoint: with names as published.
        quantization_map: the JSON file that came with it; the layers are compared with it.

    Raises:
        PolytalkError: another number format than int8, scales that are missing, a map of another file.
    """
    if not is_quanto(checkpoint):
        return checkpoint
    layers = quantized_layers(checkpoint, checkpoint.source)
    if quantization_map is not None:
        check_map(layers, read_map(quantization_map), str(quantization_map))
    entries = {
        name: entry
        for name, entry in checkpoint.entries.items()
        if not name.endswith((DATA, SCALE, *ACTIVATION_SCALES))
    }
    for layer in layers:
        entries |= _plain_layer(checkpoint, layer)
    return Checkpoint(entries, checkpoint.source)


def _plain_layer(checkpoint: Checkpoint, layer: str) -> dict[str, Entry]:
    name = layer + ".weight"
    data, scale = checkpoint.entries[layer + DATA], checkpoint.entries[layer + SCALE]
    rows = data.shape[0] if data.shape else 0
    if data.dtype != torch.int8 or scale.shape not in ((rows, 1), (rows,)):
        problem = f"tensor {data.key} is {data.dtype}, its scales have shape {scale.shape}"
        remedy = "Only optimum-quanto's qint8 with a scale per row is read; use that file."
        raise PolytalkError(str(data.file.path), problem, remedy)
    if stays_packed(name):
        return {name: data, name + SCALE_SUFFIX: dataclasses.replace(scale, shape=(rows,))}

    def compute(_: str) -> Tensor:
        return (data.read().float() * scale.read().float().reshape(rows, 1)).to(scale.dtype)

    def release() -> None:
        data.file.release()
        scale.file.release()

    file = ComputedFile(data.file.path, {name: (data.shape, scale.dtype)}, compute, release)
    return {name: Entry(file, name, data.shape, scale.dtype)}


def with_quantized_layers(build: Callable[[], Model], checkpoint: Checkpoint) -> Callable[[], Model]:
    """`build`, followed by `swap_layers`: what `load_into` needs to fill a model from a quantised checkpoint."""

    def build_quantized() -> Model:
        model = build()
        swap_layers(model, checkpoint)
        return model

    return build_quantized


def swap_layers(model: nn.Module, checkpoint: Checkpoint) -> int:
    """Give every linear layer whose weight is quantised in the checkpoint (in the model's names) the form to hold it.

    Returns the number of layers changed. The new layers are empty, on the device of the old ones.

    Raises:
        PolytalkError: a weight that is quantised in a way that is not read.
    """
    count = 0
    for name, module in list(model.named_modules()):
        if not isinstance(module, nn.Linear) or isinstance(module, QuantizedLinear):
            continue
        weight = name + ".weight"
        kind = _kind(checkpoint, weight)
        if kind is None:
            continue
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, _empty_layer(kind, module, checkpoint.entries[weight]))
        count += 1
    return count


def _kind(checkpoint: Checkpoint, name: str) -> type[QuantizedLinear] | None:
    """Which layer holds this tensor of a checkpoint; None for one that is not quantised."""
    entry = checkpoint.entries.get(name)
    if entry is None or not name.endswith(".weight") or entry.dtype not in (torch.int8, torch.uint8):
        return None
    if isinstance(entry.file, GGUFFile):
        return GGUFLinear
    if name + SCALE_SUFFIX not in checkpoint:
        problem = f"tensor {name} is {entry.dtype}, but there is no {name}{SCALE_SUFFIX}"
        raise PolytalkError(str(entry.file.path), problem, "Quantise again with `polytalk weights convert`.")
    return Int8Linear if entry.dtype == torch.int8 else Int4Linear


def _empty_layer(kind: type[QuantizedLinear], linear: nn.Linear, entry: Entry) -> QuantizedLinear:
    if isinstance(entry.file, GGUFFile):
        return GGUFLinear.empty_of(linear, entry.shape[1], entry.file.quant_types[entry.key])
    assert issubclass(kind, Int8Linear | Int4Linear)
    return kind.empty(linear)


def is_quanto(names: Iterable[str]) -> bool:
    """Whether tensors of these names were written by optimum-quanto."""
    return any(name.endswith(DATA) for name in names)


def quantized_layers(names: Iterable[str], source: str) -> list[str]:
    """Layers with quantised weights.

    Raises:
        PolytalkError: integers without scales.
    """
    present = set(names)
    layers = sorted(name.removesuffix(DATA) for name in present if name.endswith(DATA))
    for layer in layers:
        if layer + SCALE not in present:
            problem = f"tensor {layer}{DATA} has no {layer}{SCALE}"
            raise PolytalkError(source, problem, "The file is not whole; download it again.")
    return layers


def read_map(path: Path) -> dict[str, dict[str, str]]:
    """The map of a quantised file: layer -> {"weights": "qint8", "activations": "none"}.

    Raises:
        PolytalkError: not such a map, or one of a format that is not read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
            raise ValueError("not an object of objects")
    except (OSError, ValueError) as error:
        raise PolytalkError(
            str(path), f"no quantisation map ({error})", "Give the map that came with the file."
        ) from None
    for layer, entry in content.items():
        if entry.get("weights") != "qint8" or entry.get("activations", "none") != "none":
            problem = f"layer {layer} has weights {entry.get('weights')!r}, activations {entry.get('activations')!r}"
            remedy = 'Only weights "qint8" with activations "none" are read; use that file.'
            raise PolytalkError(str(path), problem, remedy)
    return content


def check_map(layers: Iterable[str], mapped: Mapping[str, object], source: str) -> None:
    """Compare the file's quantised layers with the map's.

    Raises:
        PolytalkError: they differ.
    """
    for problem, names in (
        ("the map names layers that are not in the file", sorted(set(mapped) - set(layers))),
        ("the file has layers that are not in the map", sorted(set(layers) - set(mapped))),
    ):
        if names:
            raise PolytalkError(source, f"{problem}: {', '.join(names[:3])}", "Give the map that came with the file.")


class ComputedFile(WeightFile):
    """Tensors made from others when they are read."""

    def __init__(
        self,
        path: Path,
        tensors: Mapping[str, tuple[tuple[int, ...], torch.dtype]],
        compute: Callable[[str], Tensor],
        release: Callable[[], None],
    ) -> None:
        super().__init__(path)
        self.tensors = dict(tensors)
        self._compute, self._release = compute, release

    def read(self, key: str) -> Tensor:
        """The tensor, computed."""
        return self._compute(key)

    def release(self) -> None:
        """Unmap what it is computed from."""
        self._release()
