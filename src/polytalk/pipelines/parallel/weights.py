"""FSDP2: every rank keeps a part of each block's weights and gathers a block when it is about to work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from polytalk.models.transformer import MultiTalkTransformer3DModel


def shard_transformer(transformer: MultiTalkTransformer3DModel, mesh: DeviceMesh) -> None:
    """Share out the network's weights over a one-dimensional mesh, block by block; what is no block's stays together.

    Number formats are kept: norms and modulation in float32 travel beside matrices in bfloat16. Frozen weights only.
    """
    transformer.requires_grad_(False)
    for block in transformer.blocks:
        shard_unit(block, mesh)
    shard_unit(transformer, mesh)
    _keep_known(transformer)


def shard_encoder(encoder: nn.Module, mesh: DeviceMesh) -> None:
    """Share out an encoder's weights: each entry of its lists of layers by itself, then the rest."""
    encoder.requires_grad_(False)
    for layer in _layers(encoder):
        shard_unit(layer, mesh)
    shard_unit(encoder, mesh)


def shard_unit(module: nn.Module, mesh: DeviceMesh) -> None:
    """Share out one module that is always called as a whole; does nothing the second time."""
    if not isinstance(module, FSDPModule):
        fully_shard(module, mesh=mesh)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Entries of the outermost lists of modules."""
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else _layers(child)


def _keep_known(transformer: Any) -> None:
    """Sharding gives every block a new class; step caches and the compiler know blocks by their class."""
    kind = type(transformer.blocks[0])
    TransformerBlockRegistry.register(kind, TransformerBlockMetadata(return_hidden_states_index=0))
    transformer._repeated_blocks = [*type(transformer)._repeated_blocks, kind.__name__]
