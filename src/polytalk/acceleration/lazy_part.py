"""Networks that are needed now and then, e.g. once per prompt: read when first used, put away after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Literal, TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)

AfterUse = Literal["keep", "host", "drop"]
"""What becomes of a network after use: it stays on its device, waits in host memory, or is forgotten and read again."""


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
