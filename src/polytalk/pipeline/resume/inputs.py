"""What a video is made from, as fingerprints: equal ones mean that nothing has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SOUND_MARGIN = 12
"""Frames of sound on either side of a clip that count as heard by it (half a second)."""
VOICE = "voice of "
"""How rows of sound are called, followed by whose."""
_PROBES = 16
"""Values looked at in each tensor of a network."""


def digest(*parts: bytes) -> str:
    """A fingerprint of bytes; where one part ends and the next begins counts."""
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.hexdigest()


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """A fingerprint of named tensors: names, formats, shapes and every value."""
    parts = []
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        parts += [name.encode(), str(tensor.dtype).encode(), str(tuple(tensor.shape)).encode(), _bytes(tensor)]
    return digest(*parts)


def network_digest(components: Any) -> str:
    """A fingerprint of a model: names, formats and shapes of all weights and a few values of each.

    Reading every value of 14B would take longer than a clip. Weights that wait on disk count by name alone.
    """
    parts: list[bytes] = []
    for name, module in sorted(vars(components).items()):
        if isinstance(module, nn.Module):
            parts.append(f"{name}: {type(module).__name__}".encode())
            for key, tensor in sorted(module.state_dict(keep_vars=True).items()):
                if isinstance(tensor, Tensor):
                    parts += [key.encode(), str(tuple(tensor.shape)).encode(), _probe(tensor.detach())]
    return digest(*parts)


@dataclass(frozen=True)
class Inputs:
    """Fingerprints of all that a video depends on."""

    named: Mapping[str, str] = field(default_factory=dict)
    """What holds from start to end, by a name that the user understands ("model", "settings")."""
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)
    """What may differ from frame to frame ("picture", "voice of Anna"): uint64 (frames,), one fingerprint each."""

    @property
    def num_frames(self) -> int:
        """Length of the longest row."""
        return max((len(row) for row in self.rows.values()), default=0)

    def window(self, start: int, stop: int) -> str:
        """A fingerprint of all that the frames from `start` to `stop` depend on, with the sound around them."""
        parts = [f"{name}={value}".encode() for name, value in sorted(self.named.items())]
        for name, row in sorted(self.rows.items()):
            margin = SOUND_MARGIN if name.startswith(VOICE) else 0
            parts += [name.encode(), _cut(row, start - margin, stop + margin).tobytes()]
        return digest(*parts)

    def changes(self, earlier: Inputs) -> dict[str, int]:
        """What differs from `earlier`, by name, and the first frame at which it does."""
        changed = {
            name: 0 for name in sorted({*self.named, *earlier.named}) if self.named.get(name) != earlier.named.get(name)
        }
        for name in sorted({*self.rows, *earlier.rows}):
            if name not in self.rows or name not in earlier.rows:
                changed[name] = 0
                continue
            mine, theirs = self.rows[name], earlier.rows[name]
            length = max(len(mine), len(theirs))
            different = np.flatnonzero(_cut(mine, 0, length) != _cut(theirs, 0, length))
            if len(different):
                changed[name] = int(different[0])
        if not changed and self.num_frames != earlier.num_frames:
            changed["length"] = min(self.num_frames, earlier.num_frames)
        return changed


def constant_row(value: bytes, num_frames: int) -> np.ndarray:
    """A row for what stays the same."""
    return np.full(num_frames, small_digest(value), np.uint64)


def spans_row(spans: list[tuple[int, bytes]], num_frames: int) -> np.ndarray:
    """A row for what changes at times: each (first frame, value) holds until the next."""
    row = np.zeros(num_frames, np.uint64)
    for start, value in sorted(spans, key=lambda span: span[0]):
        row[max(0, start) :] = small_digest(value)
    return row


def small_digest(value: bytes) -> int:
    """A fingerprint that fits a row."""
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little")


def _cut(row: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Frames `start` to `stop` of a row; beyond its ends there is nothing, which is 0."""
    cut = np.zeros(stop - start, np.uint64)
    first, last = max(start, 0), min(stop, len(row))
    if first < last:
        cut[first - start : last - start] = row[first:last]
    return cut


def _bytes(tensor: Tensor) -> bytes:
    return tensor.flatten().view(torch.uint8).numpy().tobytes()


def _probe(tensor: Tensor) -> bytes:
    """Format and some values of a tensor, evenly spread."""
    kind = f"{type(tensor).__name__} {tensor.dtype}".encode()
    if tensor.is_meta or tensor.numel() == 0:
        return kind
    try:
        every = tensor.flatten()[:: max(1, tensor.numel() // _PROBES)]
        return kind + _bytes(every.cpu().contiguous())
    except (NotImplementedError, RuntimeError, TypeError):  # quantised tensors that cannot be indexed
        return kind
