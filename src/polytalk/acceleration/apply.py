"""From a model that has been built to one that runs as `LoadOptions` ask: every lever, laid around it in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from diffusers.hooks.hooks import HookRegistry
from diffusers.models.attention_dispatch import AttentionBackendName, attention_backend, dispatch_attention_fn

from polytalk.acceleration.block_hooks import cast_blocks, compile_blocks, run_passes_in_turn
from polytalk.acceleration.lora import load_loras
from polytalk.acceleration.offload import HOST, offload_blocks, offload_layers
from polytalk.acceleration.streaming import HOOK_NAME as STREAM_HOOK
from polytalk.acceleration.streaming import BlockStream, BlockStreamHook, stream_of
from polytalk.config.options import LoadOptions
from polytalk.errors import PolytalkError
from polytalk.models.attention import MATMUL, AttentionProcessor
from polytalk.models.components import Components
from polytalk.models.quantized import QuantizedLinear
from polytalk.models.transformer import MultiTalkTransformer3DModel

NARROW = torch.float8_e4m3fn
"""Format of the blocks' weights under layer-wise casting."""

Parts = TypeVar("Parts", bound=Components)


def apply_options(
    components: Parts,
    options: LoadOptions,
    device: torch.device | None = None,
    *,
    compile_backend: str | Callable[..., Any] = "inductor",
) -> Components:
    """Apply what is applied after loading. Quantisation and the autoencoder's format belong to loading, step caches to
    each clip.

    Hooks are laid on from the inside out, so the order is part of the method: LoRAs change the layers; the blocks are
    compiled, made to run guidance passes in turn and cast; ranks share the work; then weights are moved off the device.

    Args:
        components: the model's parts, changed in place. With offload the transformer may still lie in host memory.
        options: the levers.
        device: where the work is done; None takes the components' own.
        compile_backend: of `torch.compile`.

    Returns:
        The components to use from now on.

    Raises:
        PolytalkError: naming the lever that this model, device or installation does not know.
    """
    transformer, device = components.transformer, device or components.device
    if options.loras:
        load_loras(transformer, options.loras)
    stream = _take_off_stream(transformer)
    if stream is not None and options.quantization is not None and not _is_quantized(transformer):
        remedy = f"Convert the model first: `polytalk weights convert ... --quantization {options.quantization}`."
        raise PolytalkError("quantization", "the blocks come from disk as they lie there, not quantised", remedy)
    if options.attention_backend is not None:
        set_attention_backend(transformer, options.attention_backend, device)
    if options.compile:
        compile_blocks(transformer, compile_backend)
    if options.chunks_branches:
        run_passes_in_turn(transformer)
    if options.layerwise_casting:
        cast_blocks(transformer, NARROW, transformer.patch_embedding.weight.dtype)
    if options.vae_tiling:
        _tile(components)
    shared: Components = components
    if options.parallel is not None:
        from polytalk.acceleration.parallel.apply import parallelize  # some builds of PyTorch have no processes

        shared = parallelize(components, options.parallel)
    if stream is not None or options.offload == "stream":
        _put_on_stream(transformer, stream)
    _offload(components, options.offload, device)
    return shared


def set_attention_backend(transformer: MultiTalkTransformer3DModel, name: str, device: torch.device) -> None:
    """Choose the kernel of every attention of the network, for this network alone.

    Args:
        transformer: the network.
        name: diffusers' name of a kernel, or "matmul".
        device: where the network will work; the kernel is tried there.

    Raises:
        PolytalkError: unknown, not installed, or not for this device, number format or head width.
    """
    backend: Any = name
    if name != MATMUL:
        known = sorted(kind.value for kind in AttentionBackendName)
        if name not in known:
            raise PolytalkError("attention_backend", f"{name!r} is unknown", f"Known are {', '.join(known)}.")
        backend = AttentionBackendName(name)
        _try_backend(transformer, backend, device)
    for module in transformer.modules():
        processor = getattr(module, "processor", None)
        if isinstance(processor, AttentionProcessor):
            processor.backend = backend


def _try_backend(transformer: Any, backend: AttentionBackendName, device: torch.device) -> None:
    shape = (1, 16, 2, transformer.config.attention_head_dim)
    probe = torch.zeros(shape, device=device, dtype=transformer.patch_embedding.weight.dtype)
    try:
        with attention_backend(backend):  # names the package that is missing
            dispatch_attention_fn(probe, probe, probe, backend=backend)
    # kernels fail in ways of their own
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        problem = f"{backend.value!r} does not work here ({reason})"
        raise PolytalkError("attention_backend", problem, "Leave it out for PyTorch's own.") from error


def _tile(components: Any) -> None:
    vae = getattr(components, "vae", None)
    if vae is None:
        raise PolytalkError("vae_tiling", "this model's autoencoder is small and has no tiles", "Leave it out.")
    vae.enable_tiling()


def _offload(components: Any, offload: str, device: torch.device) -> None:
    if offload == "none":
        return
    if hasattr(components, "put_away"):
        components.put_away("drop" if offload == "stream" else "host")
        if offload != "model":
            _offload_text_encoder(components.text_encoder, device)
    elif offload == "model":
        raise PolytalkError(
            "offload", "this model's encoders are small and stay", 'Use `offload="none"` or `offload="group"`.'
        )
    if offload == "group":
        offload_blocks(components.transformer, device)


def _is_quantized(transformer: MultiTalkTransformer3DModel) -> bool:
    return any(isinstance(module, QuantizedLinear) for module in transformer.modules())


def _take_off_stream(transformer: MultiTalkTransformer3DModel) -> BlockStream | None:
    """The stream that the blocks were loaded with: its hooks are the innermost and have to become the outermost."""
    stream = stream_of(transformer)
    if stream is not None:
        for block in transformer.blocks:
            HookRegistry.check_if_exists_or_initialize(block).remove_hook(STREAM_HOOK, recurse=False)
    return stream


def _put_on_stream(transformer: MultiTalkTransformer3DModel, stream: BlockStream | None) -> None:
    if stream is None:
        raise PolytalkError(
            "offload", "the blocks are in memory, not on disk", 'Load the model with `offload="stream"`.'
        )
    for index, block in enumerate(transformer.blocks):
        HookRegistry.check_if_exists_or_initialize(block).register_hook(BlockStreamHook(stream, index), STREAM_HOOK)


def _offload_text_encoder(part: Any, device: torch.device) -> None:
    """Layer by layer: UMT5-XXL takes 11 GB at once."""

    def prepare(network: Any) -> Any:
        offload_layers(network, device)
        return network

    part.device = HOST
    part.preparations.append(prepare)
    if part.loaded:
        with part.use() as network:
            prepare(network)
