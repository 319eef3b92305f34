"""Weights that wait in host memory and come to the device in time: blocks one by one, encoders while they work."""

from __future__ import annotations

from typing import Any

import psutil
import torch
from diffusers.hooks import apply_group_offloading
from torch import nn

from polytalk.models.transformer import MultiTalkTransformer3DModel

HOST = torch.device("cpu")
_PINNED_SHARE = 0.7
"""Of the free host memory that pinned weights may take; beyond it each block is pinned anew at every transfer."""


def offload_blocks(transformer: MultiTalkTransformer3DModel, device: torch.device) -> None:
    """Keep the blocks in host memory and bring each when it works (diffusers' group offloading).

    On CUDA the weights are pinned, and the next block travels on a stream of its own while one computes: at 14B in
    bfloat16 a block is 0.9 GB, 40 ms of transfer behind some 60 ms (480p) of computation per prediction. What is no
    block's comes at the beginning of each call.
    """
    apply_group_offloading(
        transformer, device, HOST, "block_level", num_blocks_per_group=1, **_transfer(transformer, device)
    )


def offload_layers(network: nn.Module, device: torch.device) -> None:
    """The same for any network, layer by layer: an encoder larger than the device."""
    apply_group_offloading(network, device, HOST, "leaf_level", **_transfer(network, device))


def _transfer(network: nn.Module, device: torch.device) -> dict[str, Any]:
    """How weights travel."""
    if device.type != "cuda":
        return {}
    size = sum(x.numel() * x.element_size() for x in (*network.parameters(), *network.buffers()))
    waiting = sum(p.numel() * p.element_size() for p in network.parameters() if p.device.type == "cpu")
    # pinning copies: for a moment a weight is there twice, but only one at a time
    scarce = size > _PINNED_SHARE * (psutil.virtual_memory().available + waiting)
    return {"use_stream": True, "record_stream": True, "non_blocking": True, "low_cpu_mem_usage": scarce}
