"""From a finished model to one that works together with the other ranks'.

All ranks see the same: rank 0 encodes and decodes, the others get its results. Ranks that computed them on their own
would agree almost, which is not enough: GPUs choose kernels by measurement, and a difference in the last digit of a
latent grows over the steps until the shards of one video no longer fit together.

With FSDP2 every rank keeps a part of each block's weights and gathers a block when it is about to work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from diffusers.hooks.hooks import HookRegistry, ModelHook
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from polytalk.acceleration.offload import LazyPart
from polytalk.acceleration.parallel.division import enable_context_parallel, enable_guidance_parallel
from polytalk.config.options import ParallelChoice
from polytalk.errors import PolytalkError
from polytalk.models.components import Components
from polytalk.models.library_internals import forward_like_methods, rename_repeated_blocks
from polytalk.models.transformer import MultiTalkTransformer3DModel

DIMENSIONS = ("guidance", "ring", "ulysses")
"""Of the device mesh, the one whose ranks talk most last: neighbours on the fastest links."""


def parallelize(components: Components, choice: ParallelChoice) -> Components:
    """Share out one model's work over the processes that `join` has brought together.

    Call it on every rank with the same finished model: LoRAs loaded, weights quantised, before offload and `compile`.

    Args:
        components: a model's parts on this rank's device; its network is changed.
        choice: degrees.

    Returns:
        Components whose encoders and decoders run on rank 0 (the text encoder everywhere when FSDP shares it out).

    Raises:
        PolytalkError: the choice does not fit the processes or the network.
    """
    if not dist.is_initialized():
        raise PolytalkError(
            "parallel", "the processes have not met", "Call polytalk.acceleration.parallel.launch.join() first."
        )
    choice.check_processes(dist.get_world_size())
    transformer, device = components.transformer, components.device
    if choice.fsdp:
        everyone = all_ranks(device)
        shard_transformer(transformer, everyone)
        if (encoder := getattr(components, "text_encoder", None)) is not None:
            _shard_when_read(encoder, everyone)
    if choice.degree > 1:
        mesh: DeviceMesh = init_device_mesh(
            device.type, (choice.guidance, choice.ring, choice.ulysses), mesh_dim_names=DIMENSIONS
        )
        if choice.context > 1:
            enable_context_parallel(transformer, choice, mesh)
        if choice.guidance > 1:
            enable_guidance_parallel(transformer, mesh["guidance"])
    share_latents(transformer)  # last, so that it comes first: before anything is divided
    return SharedComponents(components, text_on_all_ranks=choice.fsdp)


def _shard_when_read(encoder: LazyPart | nn.Module, mesh: DeviceMesh) -> None:
    """Share out an encoder now, or whenever it is read."""

    if not isinstance(encoder, LazyPart):
        shard_encoder(encoder, mesh)
        return
    encoder.preparations.append(lambda network: shard_encoder(network, mesh))
    if encoder.loaded:
        encoder.drop()


def share_latents(transformer: MultiTalkTransformer3DModel) -> None:
    """At every call of the network all ranks take rank 0's latents, whatever noise they have drawn."""
    HookRegistry.check_if_exists_or_initialize(transformer).register_hook(_RankZeroLatents(), "polytalk_latents")


class _RankZeroLatents(ModelHook):
    def new_forward(self, module: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        return self.fn_ref.original_forward(_from_rank_zero(hidden_states), *args, **kwargs)


def _from_rank_zero(own: Tensor) -> Tensor:
    # guidance's predictions start from one latent, expanded: send it once
    repeated = own.shape[0] > 1 and own.stride(0) == 0
    latents = (own[:1] if repeated else own).clone(memory_format=torch.contiguous_format)
    dist.broadcast(latents, src=0)
    return latents.expand(own.shape) if repeated else latents


class SharedComponents:
    """`Components` of which rank 0 alone does the encoding and decoding, and tells the results to the others.

    Args:
        components: a model's parts, the same on every rank.
        text_on_all_ranks: the text encoder's weights are shared out, so all ranks have to run it.
    """

    def __init__(self, components: Components, *, text_on_all_ranks: bool = False) -> None:
        self._components = components
        self._text_on_all_ranks = text_on_all_ranks

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_components"], name)

    @property
    def transformer(self) -> MultiTalkTransformer3DModel:
        """The network, which runs on all ranks."""
        return self._components.transformer

    @transformer.setter
    def transformer(self, network: MultiTalkTransformer3DModel) -> None:
        self._components.transformer = network

    def encode_text(self, prompts: list[str]) -> Tensor:
        """Prompts to (B, text_len, text_dim)."""
        return self._from_rank_zero(lambda: self._components.encode_text(prompts), everywhere=self._text_on_all_ranks)

    def encode_image(self, picture: Tensor) -> Tensor:
        """Picture (B, 3, H, W) to tokens (B, tokens, image_dim)."""
        return self._from_rank_zero(lambda: self._components.encode_image(picture))

    def encode_speech(self, samples: Tensor, num_frames: int) -> Tensor:
        """Normalised 16 kHz sound (P, n) to features (P, num_frames, layers, channels)."""
        return self._from_rank_zero(lambda: self._components.encode_speech(samples, num_frames))

    def encode_video(self, video: Tensor) -> Tensor:
        """Video (B, 3, 4n + 1, H, W) to latents (B, C, n + 1, H / stride, W / stride)."""
        return self._from_rank_zero(lambda: self._components.encode_video(video))

    def decode_video(self, latents: Tensor) -> Tensor:
        """The inverse of `encode_video`."""
        return self._from_rank_zero(lambda: self._components.decode_video(latents))

    def fill_latents(self, picture: Tensor, num_latent_frames: int, fill: str) -> Tensor:
        """Condition latents (B, C, F, h, w) of frames that are not known, by `PipelineConfig.fill_condition`."""
        return self._from_rank_zero(lambda: self._components.fill_latents(picture, num_latent_frames, fill))

    def _from_rank_zero(self, compute: Callable[[], Tensor], *, everywhere: bool = False) -> Tensor:
        main = dist.get_rank() == 0
        own = compute() if main or everywhere else None
        kind: list[Any] = [(tuple(own.shape), own.dtype) if main and own is not None else None]
        dist.broadcast_object_list(kind, src=0, device=torch.device("cpu"))
        shape, dtype = kind[0]
        if main and own is not None:
            result = own.to(self._components.device).contiguous()
        else:
            result = torch.empty(shape, dtype=dtype, device=self._components.device)
        dist.broadcast(result, src=0)
        return result


def shard_transformer(transformer: MultiTalkTransformer3DModel, mesh: DeviceMesh) -> None:
    """Share out the network's weights over a one-dimensional mesh, block by block; what is no block's stays together.

    Number formats are kept: norms and modulation in float32 travel beside matrices in bfloat16. Frozen weights only.
    """
    transformer.requires_grad_(False)
    for block in transformer.blocks:
        shard_unit(block, mesh)
    shard_unit(transformer, mesh)
    # sharding gives every block a new class, and the compiler knows blocks by their class
    rename_repeated_blocks(transformer, type(transformer.blocks[0]))


def block_sharder(device: torch.device) -> Callable[[str, nn.Module], None]:
    """For `load_into` as `on_module`: shares out every block as soon as it is filled, so that no rank ever holds all.

    Args:
        device: this rank's.
    """
    mesh = all_ranks(device)

    def share(name: str, module: nn.Module) -> None:
        if name.startswith("blocks."):
            shard_unit(module.requires_grad_(False), mesh)

    return share


def all_ranks(device: torch.device) -> DeviceMesh:
    """A one-dimensional mesh of all processes."""
    return init_device_mesh(device.type, (dist.get_world_size(),), mesh_dim_names=("fsdp",))


def shard_encoder(encoder: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Share out an encoder's weights: every entry of its lists of layers, then the rest. Returns the encoder."""
    encoder.requires_grad_(False)
    for layer in _layers(encoder):
        shard_unit(layer, mesh)
    shard_unit(encoder, mesh)
    return encoder


def shard_unit(module: nn.Module, mesh: DeviceMesh) -> None:
    """Share out one module that is always called as a whole, by `forward` or a method that acts like it; does nothing
    the second time.

    Raises:
        PolytalkError: its weights are of a library's own kind, which cannot be cut.
    """
    if isinstance(module, FSDPModule):
        return
    for name, parameter in module.named_parameters():
        kind = type(parameter.data)
        if kind is not Tensor and not isinstance(parameter, DTensor):
            problem = f"{name} is a {kind.__name__}, which cannot be shared out"
            raise PolytalkError("fsdp", problem, "Use int8, int4 or no quantisation.")
    fully_shard(module, mesh=mesh)
    for name in forward_like_methods(module):
        register_fsdp_forward_method(module, name)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Entries of the outermost lists of modules."""
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else _layers(child)
