"""Fake-tensor traces: how many bytes a network's tensors take at most, and how many operations it does.

A network built inside `fake_tensors` has shapes and types but no numbers and no memory, and so does all that it
computes. Its code runs as it would for real, so the peak is that of the code as it is, not of a formula that has to be
kept in step with it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from polytalk.models.library_internals import (
    FakeTensorMode,
    TorchDispatchMode,
    flash_attention,
    storage_id,
    tree_leaves,
)


class LiveBytes(TorchDispatchMode):
    """While active, counts the bytes of all tensors made and not yet freed; those from before do not count.

    Works on real and on fake tensors. Kernels' own scratch space is not counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        """Bytes at the moment."""
        self.peak = 0
        """Most bytes so far."""
        self._known: dict[int, weakref.ref] = {}

    def start_from(self, *tensors: Tensor) -> None:
        """Leave these tensors out, whatever is made of views of them."""
        for tensor in tensors:
            self._watch(tensor, count=False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation; take note of what is new in its results."""
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor):  # met as an input first: it was there before
                self._watch(tensor, count=False)
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._watch(tensor, count=True)
        return result

    def _watch(self, tensor: Tensor, *, count: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage_id(tensor)
        if key in self._known:
            return
        size = storage.nbytes() if count else 0

        def freed(_: weakref.ref) -> None:
            self.live -= size
            self._known.pop(key, None)

        self._known[key] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)


@dataclass(frozen=True)
class TracedCall:
    """What one call took."""

    peak_bytes: int
    """Most bytes of tensors that the call made, its result included; weights and inputs are not."""
    flops: int
    """Operations of matrix products, convolutions and attention."""
    result_bytes: int
    """Bytes of what it gave back."""


def measure(call: Callable[[], Any]) -> TracedCall:
    """Make the call, with real or fake tensors, and say what it took."""
    meter, counter = LiveBytes(), FlopCounterMode(display=False)
    with torch.no_grad(), counter, meter:
        result = call()
    tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    storages = {storage_id(tensor): tensor.untyped_storage().nbytes() for tensor in tensors}
    return TracedCall(meter.peak, counter.get_total_flops(), sum(storages.values()))


class _FusedAttention(TorchFunctionMode):
    """Sends attention of tensors on no device to the kernel that GPUs run, which forms no matrix of scores."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            query, key, value = args[:3] if args else (kwargs[name] for name in ("query", "key", "value"))
            return flash_attention(query, key, value)
        return func(*args, **kwargs)


@contextmanager
def fake_tensors(kind: str) -> Iterator[torch.device]:
    """Inside, networks and tensors on the device given out have shapes and types, but neither numbers nor memory.

    Args:
        kind: "cuda" or "cpu", which take different ways in places; need not be there.
    """
    with torch.no_grad():
        if kind == "cpu":
            with FakeTensorMode():
                yield torch.device("cpu")
        else:  # a PyTorch without CUDA cannot even pretend
            with _FusedAttention():
                yield torch.device("meta")


def fake_network(
    build: Callable[[], nn.Module], device: torch.device, dtype: torch.dtype, keep_in_fp32: Collection[str] = ()
) -> nn.Module:
    """Build a network inside `fake_tensors`, in inference mode.

    Args:
        build: makes the network.
        device: what `fake_tensors` gave out.
        dtype: of its weights and tables.
        keep_in_fp32: parts of names of weights that stay float32.
    """
    with torch.device("meta"):  # a device that is not there cannot initialise weights
        model = build().eval()
    made: dict[int, Tensor] = {}  # weights shared by two modules stay shared
    for prefix, module in model.named_modules():
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            words = f"{prefix}.{name}".split(".")
            kept = not tensor.is_floating_point() or any(word in keep_in_fp32 for word in words)
            if id(tensor) not in made:
                empty = torch.empty(tensor.shape, dtype=tensor.dtype if kept else dtype, device=device)
                made[id(tensor)] = nn.Parameter(empty, False) if isinstance(tensor, nn.Parameter) else empty
            setattr(module, name, made[id(tensor)])
    return model
