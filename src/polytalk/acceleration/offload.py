"""Weights that wait elsewhere until they are needed: blocks come one by one, encoders are read when first used.

What is needed now and then, e.g. once per prompt, is a `LazyPart`, which says what becomes of it after use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Literal, TypeVar

import psutil
import torch
from diffusers.hooks.group_offloading import apply_group_offloading
from torch import nn

from polytalk.models.transformer import MultiTalkTransformer3DModel

Model = TypeVar("Model", bound=nn.Module)

AfterUse = Literal["keep", "host", "drop"]
"""What becomes of a network after use: it stays on its device, waits in host memory, or is forgotten and read again."""
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


class LazyPart(Generic[Model]):
    """A network behind a scope: `with part.use() as network: ...`.

    Args:
        load: reads the network onto a device.
        device: where it works.
        after_use: what becomes of it when the outermost `use` ends; may be changed at any time.
    """

    def __init__(
        self, load: Callable[[torch.device], Model], device: torch.device, after_use: AfterUse = "keep"
    ) -> None:
        self.device, self.after_use = device, after_use
        self.preparations: list[Callable[[Model], Model]] = []
        """Applied in turn to the network whenever it has been read: quantise, shard, compile, hook."""
        self._load = load
        self._network: Model | None = None
        self._uses = 0

    @classmethod
    def of(cls, network: Model, device: torch.device | None = None) -> LazyPart[Model]:
        """A network that is there already, in host memory or on the device; dropping it frees nothing."""
        place = device or next((p.device for p in network.parameters()), torch.device("cpu"))
        return cls(lambda to: network.to(to), place)

    @property
    def loaded(self) -> bool:
        """Whether the network takes memory now."""
        return self._network is not None

    @contextmanager
    def use(self) -> Iterator[Model]:
        """The network on its device, for as long as the scope lasts; scopes may nest."""
        if self._network is None:
            network = self._load(self.device)
            for prepare in self.preparations:
                network = prepare(network)
            self._network = network
        elif self._uses == 0 and self.after_use == "host":
            self._network.to(self.device)
        self._uses += 1
        try:
            yield self._network
        finally:
            self._uses -= 1
            if self._uses == 0:
                self._put_away()

    def drop(self) -> None:
        """Forget the network, whatever `after_use` says; the next `use` reads it again."""
        if self._uses:
            raise RuntimeError("the network is in use")
        self._network = None

    def _put_away(self) -> None:
        if self.after_use == "drop":
            self._network = None
        elif self.after_use == "host" and self._network is not None:
            self._network.to("cpu")
        if self.after_use != "keep" and self.device.type == "cuda":
            torch.cuda.empty_cache()
