"""What runs beside a linear layer that has low-rank adapters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from polytalk.checkpoints.lora import LayerDelta
from polytalk.models.library_internals import ConvertsItself


class LoraTerm(NamedTuple):
    """One adapter's part in a layer."""

    adapter: str
    """Its name."""
    delta: LayerDelta
    """What it adds."""


class LoraBranch(ConvertsItself):
    """Sum over adapters of scale · (alpha / r · up(down(x)) + diff(x) + diff_b).

    All adapters' low-rank pairs are one, of the summed rank R; scales are data, so that changing them neither rebuilds
    nor recompiles anything.

    Args:
        terms: the adapters that change the layer.
        scales: adapter -> scale.
        device, dtype: where and how the matrices are held.
    """

    down: Tensor | None
    """(R, in)"""
    up: Tensor | None
    """(out, R)"""
    rank_scale: Tensor | None
    """(R,) float32: scale · alpha / r"""
    whole: Tensor | None
    """(n, out, in): whole differences"""
    whole_scale: Tensor | None
    """(n,) float32"""
    shift: Tensor | None
    """(n, out): differences of the bias"""
    shift_scale: Tensor | None
    """(n,) float32"""

    def __init__(
        self, terms: Sequence[LoraTerm], scales: Mapping[str, float], device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__()
        pairs = [term for term in terms if term.delta.down is not None]
        wholes = [term for term in terms if term.delta.weight is not None]
        shifts = [term for term in terms if term.delta.bias is not None]
        self._ranks = [(term.adapter, term.delta.scaling, _rank(term.delta)) for term in pairs]
        self._wholes = [term.adapter for term in wholes]
        self._shifts = [term.adapter for term in shifts]
        matrices = {
            "down": _join(torch.cat, [term.delta.down for term in pairs], device, dtype),
            "up": _join(lambda parts: torch.cat(parts, dim=1), [term.delta.up for term in pairs], device, dtype),
            "whole": _join(torch.stack, [term.delta.weight for term in wholes], device, dtype),
            "shift": _join(torch.stack, [term.delta.bias for term in shifts], device, dtype),
            "rank_scale": _zeros(sum(rank for *_, rank in self._ranks), device),
            "whole_scale": _zeros(len(wholes), device),
            "shift_scale": _zeros(len(shifts), device),
        }
        for name, matrix in matrices.items():
            self.register_buffer(name, matrix, persistent=False)
        self.set_scales(scales)

    @torch.no_grad()
    def set_scales(self, scales: Mapping[str, float]) -> None:
        """Take over every adapter's scale, in place."""
        values = [scales[adapter] * scaling for adapter, scaling, rank in self._ranks for _ in range(rank)]
        for buffer, numbers in (
            (self.rank_scale, values),
            (self.whole_scale, [scales[adapter] for adapter in self._wholes]),
            (self.shift_scale, [scales[adapter] for adapter in self._shifts]),
        ):
            if buffer is not None:
                buffer.copy_(torch.tensor(numbers, dtype=torch.float32))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., in) -> (..., out), to be added to the layer's output."""
        dtype = hidden_states.dtype
        parts: list[Tensor] = []
        if self.down is not None and self.up is not None and self.rank_scale is not None:
            inner = F.linear(hidden_states, self.down.to(dtype)) * self.rank_scale
            parts.append(F.linear(inner.to(dtype), self.up.to(dtype)))
        if self.whole is not None and self.whole_scale is not None:
            matrix = torch.einsum("n,noi->oi", self.whole_scale, self.whole.float())
            parts.append(F.linear(hidden_states, matrix.to(dtype)))
        if self.shift is not None and self.shift_scale is not None:
            parts.append((self.shift_scale @ self.shift.float()).to(dtype))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def convert(self, change: Callable[[Tensor], Tensor], as_usual: Callable[..., Any]) -> None:
        """Change device and format, but hold 16 bits or more: layer-wise casting holds a layer in 8, and half of an
        adapter would be lost in that, to save 1% of memory."""
        for name, buffer in self.named_buffers():
            if buffer.is_meta:
                setattr(self, name, change(buffer))
                continue
            wanted = change(buffer.new_empty(0))
            keep = name.endswith("_scale") or wanted.dtype.itemsize < 2
            setattr(self, name, buffer.to(wanted.device, buffer.dtype if keep else wanted.dtype))


def _rank(delta: LayerDelta) -> int:
    assert delta.down is not None
    return delta.down.shape[0]


def _join(
    join: Callable[[list[Tensor]], Tensor], parts: Sequence[Tensor | None], device: torch.device, dtype: torch.dtype
) -> Tensor | None:
    tensors = [part.to(device, dtype) for part in parts if part is not None]
    # never the file's own pages: the file may be closed, or the scales' layer pinned
    return join(tensors).contiguous() if tensors else None


def _zeros(count: int, device: torch.device) -> Tensor | None:
    return torch.zeros(count, device=device, dtype=torch.float32) if count else None
