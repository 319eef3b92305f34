"""Do lips close on p, b and m? Read openings against the exact times of the sounds.

Width and rounding need nothing of their own: `SyncMatrix` takes them in place of the opening.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torchmetrics import Metric

from polytalk.tts.phonemes import Phoneme
from polytalk.units import FPS

LIPS_TOUCH = ("p", "b", "m")
CLOSED = 0.12
"""A mouth read as less open than this is shut: all closures of drawn frames are (the highest was read as 0.09)."""
OPENED = 0.15
"""Within `AROUND` frames of a closure the mouth has to be open by so much more than at it: a mouth that never opens
does not close either."""
AROUND = 5
"""Frames on either side of a closure in which the mouth is to have been open."""
LATE = 1
"""A closure may come so many frames early or late."""
_PART = 0.01  # seconds before the sound ends at which lips begin to part
WIDE_OPEN = 0.35
"""Only closures count near which the drawn mouth is open this far."""


def closures(phonemes: Sequence[Phoneme], num_frames: int) -> Iterator[tuple[int, int]]:
    """First and last frame of every sound of one voice on which lips touch and that lies inside the clip.

    Args:
        phonemes: (symbol, start, end) in seconds from the first frame's beginning.
        num_frames: of the clip, 25 a second.
    """
    for symbol, start, end in phonemes:
        first, last = int(np.ceil(start * FPS - 0.5)), int(np.floor((end - _PART) * FPS - 0.5))
        if first > last:  # between two frames' centres: the nearest one
            first = last = round((start + end) / 2 * FPS - 0.5)
        if symbol in LIPS_TOUCH and first > LATE and last + LATE < num_frames:
            yield first, last


class LipClosures(Metric):
    """Share of the sounds p, b, m on which the mouth is seen to close."""

    full_state_update = False
    closed: torch.Tensor
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("closed", "count"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, read: np.ndarray, true: np.ndarray, phonemes: Sequence[Sequence[Phoneme]]) -> None:
        """Adds one scene: read and true openings (T, P), and what the P voices say (`Conversation.phonemes`)."""
        length = min(len(read), len(true))
        for person, said in enumerate(phonemes):
            for first, last in closures(said, length):
                around = slice(max(first - AROUND, 1), last + AROUND + 1)
                if true[around, person].max() < WIDE_OPEN:
                    continue
                lowest = float(read[first - LATE : last + LATE + 1, person].min())
                highest = float(read[around, person].max())
                self.closed += int(lowest < CLOSED and highest - lowest > OPENED)
                self.count += 1

    def compute(self) -> float:
        """The share; NaN when there was no such sound."""
        return int(self.closed) / int(self.count) if self.count else float("nan")
