"""Seeded random weights that a network can be run with: a tensor depends on the seed and its name alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_PIECE = 2**24
"""Elements made at a time."""
_SMALL = 0.02
"""Deviation of biases and of norms around 1."""


@dataclass(frozen=True)
class RandomTensors:
    """Normal weights of deviation 1/sqrt(inputs), norms about 1, biases about 0.

    Shards, layouts and the order of calls make no difference: every layout of one seed is the same model.
    """

    seed: int = 0
    """Same seed, same weights."""

    def __call__(self, name: str, shape: tuple[int, ...]) -> Iterator[Tensor]:
        """Float32 pieces (n,) of the tensor's elements in order."""
        digest = hashlib.blake2b(f"{self.seed}/{name}".encode(), digest_size=7).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "little"))
        mean, deviation = _moments(name, shape)
        left = math.prod(shape)
        while left:
            count = min(left, _PIECE)
            yield torch.empty(count).normal_(mean, deviation, generator=generator)
            left -= count

    def tensor(self, name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """The whole tensor."""
        result = torch.empty(math.prod(shape), dtype=dtype)
        position = 0
        for piece in self(name, shape):
            result[position : position + len(piece)] = piece
            position += len(piece)
        return result.reshape(shape)


def _moments(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    leaf = name.rpartition(".")[2]
    if leaf == "modulation":
        return 0.0, shape[-1] ** -0.5
    if leaf in ("gamma", "weight_g") or (leaf == "weight" and len(shape) == 1):
        return 1.0, _SMALL
    if len(shape) <= 1 or leaf == "masked_spec_embed":
        return 0.0, _SMALL
    if "embedding" in leaf or ".pos_embedding." in name or name.startswith("token_embedding."):
        return 0.0, 1.0 if "token" in name else _SMALL
    return 0.0, math.prod(shape[1:]) ** -0.5
