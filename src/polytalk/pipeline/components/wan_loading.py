"""The released model's parts, read into memory, and written as one folder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from polytalk.acceleration.lazy_part import AfterUse, LazyPart
from polytalk.checkpoints.fill import load_into
from polytalk.checkpoints.layouts import DOWNLOAD, existing
from polytalk.checkpoints.wan import WAN_CLASSES, Part, WanFiles
from polytalk.config.index import ModelIndex
from polytalk.config.options import LoadOptions
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.pipeline.components.wan import WanComponents

_log = logging.getLogger(__name__)
_AFTER_USE: dict[str, AfterUse] = {"none": "keep", "model": "host", "group": "host", "stream": "drop"}
"""`LoadOptions.offload` -> what becomes of encoders after use."""
_SHARD = "5GB"
"""Largest weight file that is written."""


def load_components(
    files: WanFiles, device: torch.device, dtype: torch.dtype, options: LoadOptions | None = None
) -> WanComponents:
    """Read transformer and autoencoder; the encoders are read when first used.

    Args:
        files: from `open_files`.
        device: where the work is done.
        dtype: format of the weights. Norms and the timestep's arithmetic stay float32, and so does wav2vec2; UMT5 is
            bfloat16 where its file is, as in the release (11 GB), or where float16, whose range it exceeds, is asked
            for.
        options: how weights are held; the transformer's stay in host memory where blocks come to the device one by one.

    Raises:
        PolytalkError: a tensor is missing, left over or of another shape.
    """
    choices = options or LoadOptions()
    for name, part in files.parts().items():
        if part.unused:
            _log.info("%s: %d tensors are not needed, e.g. %s", name, len(part.unused), part.unused[0])
    vae_dtype = getattr(torch, choices.vae_dtype) if choices.vae_dtype else dtype
    narrow_text = dtype is torch.float16 or torch.bfloat16 in files.text_encoder.tensors.dtypes.values()
    text_dtype = torch.bfloat16 if narrow_text else dtype
    after_use = _AFTER_USE[choices.offload]
    return WanComponents(
        load_transformer(files.transformer, device, dtype, choices),
        load_into(files.vae.build, files.vae.tensors, device=device, dtype=vae_dtype).requires_grad_(False),
        LazyPart(_reader(files.text_encoder, text_dtype), device, after_use),
        LazyPart(_reader(files.image_encoder, dtype), device, after_use),
        LazyPart(_reader(files.speech_encoder, torch.float32), device, after_use),
        load_tokenizer(files.tokenizer),
        device,
        dtype,
    )


def load_transformer(
    part: Part, device: torch.device, dtype: torch.dtype, options: LoadOptions
) -> MultiTalkTransformer3DModel:
    """The network as `options` ask: streamed from disk, or read whole and quantised block by block meanwhile."""
    wide: Any = MultiTalkTransformer3DModel._keep_in_fp32_modules
    network: Any
    if options.offload == "stream":
        from polytalk.acceleration.streaming import load_streamed

        network = load_streamed(part.build, part.tensors, device=device, dtype=dtype, keep_in_fp32=wide)
    else:
        steps = []
        if options.quantization is not None:
            from polytalk.acceleration.quantization import quantizer

            steps.append(quantizer(options.quantization))
        sharded = options.parallel is not None and options.parallel.fsdp
        if sharded and not options.loras:
            from polytalk.acceleration.parallel.weights import block_sharder

            steps.append(block_sharder(device))

        def on_module(name: str, module: nn.Module) -> None:
            for step in steps:
                step(name, module)

        # LoRAs are laid over whole weights, so sharing these out has to wait
        waits = options.transformer_offloaded or (sharded and options.loras)
        place = torch.device("cpu") if waits else device
        network = load_into(part.build, part.tensors, device=place, dtype=dtype, keep_in_fp32=wide, on_module=on_module)
    return network.requires_grad_(False)


def load_tokenizer(folder: Path) -> Any:
    """google/umt5-xxl's tokenizer exactly as its tokenizer.json describes it.

    The library's own class for T5, which its other files name, would rebuild it without its normaliser and its
    fallback to bytes: prompts with, say, Chinese punctuation would be cut into other pieces than in the release.

    Raises:
        PolytalkError: the folder holds none.
    """
    from transformers import PreTrainedTokenizerFast

    path = existing(folder / "tokenizer.json")
    try:
        return PreTrainedTokenizerFast(
            tokenizer_file=str(path), pad_token="<pad>", eos_token="</s>", unk_token="<unk>", padding_side="right"
        )
    except Exception as error:  # the library's parser raises bare Exceptions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise PolytalkError(str(path), f"is no tokenizer ({reason})", DOWNLOAD) from error


def save_components(components: WanComponents, config: PipelineConfig, folder: Path) -> None:
    """Write everything into one folder, in our own layout; encoders are read one at a time.

    Raises:
        PolytalkError: the transformer is quantised, which its files would not show.
        OSError: the folder cannot be written.
    """
    refuse_unusual_weights(components.transformer)
    components.transformer.save_pretrained(str(folder / "transformer"), max_shard_size=_SHARD)
    components.vae.save_pretrained(str(folder / "vae"))
    components.tokenizer.save_pretrained(str(folder / "tokenizer"))
    for name, part in components.lazy_parts().items():
        with part.use() as network:
            network.save_pretrained(str(folder / name), max_shard_size=_SHARD)
    ModelIndex(dict(WAN_CLASSES), config).write(folder)


def refuse_unusual_weights(network: nn.Module) -> None:
    """Raise PolytalkError when a weight is not a plain floating-point tensor in memory."""
    remedy = "Load it without quantization and streaming, or use `polytalk weights convert`."
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_meta:
            raise PolytalkError("model", f"{name} is streamed from disk", remedy)
        plain = type(tensor.data) is torch.Tensor and tensor.is_floating_point()
        if name.endswith("weight") and not plain:
            raise PolytalkError("model", f"{name} is quantised", remedy)


def _reader(part: Part, dtype: torch.dtype) -> Callable[[torch.device], Any]:
    def read(device: torch.device) -> nn.Module:
        return load_into(part.build, part.tensors, device=device, dtype=dtype).requires_grad_(False)

    return read
