"""What the network asks of whoever divides its video tokens over several ranks."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class TokenShard(Protocol):
    """One rank's share of the video tokens: a contiguous range, which may begin or end inside a latent frame.

    Almost all of the network treats every token alike. What does not: self-attention (diffusers' context parallelism),
    the reference attention map (looks at the first frame's keys, wherever they are), the labels (normalised by the
    extremes over all tokens) and audio cross-attention (each token hears its own latent frame).
    """

    start: int
    """First token held here."""
    stop: int
    """Token after the last one held here."""
    total: int
    """L, the tokens of all ranks."""

    def first_tokens(self, local: Tensor, count: int) -> Tensor:
        """The video's first `count` tokens (B, count, ...) from the ranks' own (B, stop - start, ...)."""

    def extremes(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Smallest and largest over all ranks, element by element."""

    def gather(self, local: Tensor, dim: int) -> Tensor:
        """All ranks' tokens, joined along `dim`, on every rank."""
