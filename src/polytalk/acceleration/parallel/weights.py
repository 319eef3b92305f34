"""FSDP2: every rank keeps a part of each block's weights and gathers a block when it is about to work."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from polytalk.errors import PolytalkError
from polytalk.models.library_internals import forward_like_methods, rename_repeated_blocks
from polytalk.models.transformer import MultiTalkTransformer3DModel


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
