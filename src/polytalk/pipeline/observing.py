"""What the network saw while it made a clip: its reference attention maps, handed to whoever wants to look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from polytalk.pipeline.clips import Clip
from polytalk.pipeline.following import masks_to_tokens


@dataclass(frozen=True, eq=False)
class SeenClip:
    """One step of one clip, on the CPU. A class is a person with a voice, or, last, the background."""

    clip: Clip
    """Of the video."""
    step: int
    """Of the sampler, from 0."""
    num_steps: int
    """In all."""
    people: tuple[int, ...]
    """Person of each class but the last."""
    masks: Tensor
    """bool (P, rows, columns): the tokens of the first latent frame that were given as each of them."""
    shares: Tensor
    """float16 (P + 1, F, rows, columns): how a token's attention to the first frame divides among the classes, where
    all classes are alike large; mean over the blocks; sums to 1."""
    votes: Tensor
    """float16 (P + 1, F, rows, columns): share of the blocks that label the token so; sums to 1."""

    @classmethod
    def of(
        cls,
        clip: Clip,
        step: int,
        num_steps: int,
        people: Sequence[int],
        masks: Tensor,
        maps: Sequence[Tensor],
        labels: Sequence[Tensor],
    ) -> SeenClip:
        """From what the network gives.

        Args:
            clip, step, num_steps, people: as the fields.
            masks: bool (P, h, w) on the latent grid.
            maps: per block (P + 1, L), mean attention to a token of each class.
            labels: per block (F, rows, columns) int64, the class read from its map.
        """
        classes, grid = len(maps[0]), labels[0].shape
        # each block's map has a scale of its own, which says nothing about whom it attends to
        shares = torch.stack([m.float() / m.float().sum(0).clamp(min=1e-12) for m in maps]).mean(0)
        chosen = torch.stack(list(labels))
        votes = torch.stack([(chosen == number).float().mean(0) for number in range(classes)])
        tokens = masks_to_tokens(masks).cpu()
        halves = (part.half().cpu() for part in (shares.unflatten(1, grid), votes))
        return cls(clip, step, num_steps, tuple(people), tokens, *halves)

    @property
    def labels(self) -> Tensor:
        """int64 (F, rows, columns): the class that most blocks read."""
        return self.votes.float().argmax(0)


class ClipObserver(Protocol):
    """Is shown what the network sees. Videos with one person have no maps, nor have clips taken from a work folder."""

    every_step: bool
    """False: the last step of each clip. True: all of them; no step is left out by a step cache then."""

    def see(self, seen: SeenClip) -> None:
        """Called after each such step."""


class MapCollector:
    """Keeps what was seen of the latest clip only, so that a video of any length takes the same memory.

    Args:
        every_step: as `ClipObserver`.
    """

    def __init__(self, every_step: bool = False) -> None:
        self.every_step = every_step
        self.steps: list[SeenClip] = []
        """Of the latest clip that was made, in order."""

    def see(self, seen: SeenClip) -> None:
        """Keep it; what belongs to an earlier clip goes."""
        if self.steps and self.steps[0].clip != seen.clip:
            self.steps = []
        self.steps.append(seen)

    def of_clip(self, index: int) -> list[SeenClip]:
        """The steps of a clip by its place in the video; none if it was not made, but found finished."""
        return [seen for seen in self.steps if seen.clip.index == index]
