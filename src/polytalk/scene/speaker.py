"""`Speaker`: one person's voice and place in the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.scene.box import Box
from polytalk.scene.values import (
    MAX_SAMPLE_RATE,
    MIN_SAMPLE_RATE,
    checked_audio,
    checked_mask,
    checked_name,
    checked_point,
    checked_sample_rate,
    checked_text,
    same,
)

__all__ = ["MAX_SAMPLE_RATE", "MIN_SAMPLE_RATE", "Speaker"]


@dataclass(frozen=True, eq=False)
class Speaker:
    """One person's voice and, optionally, where that person is.

    Raises:
        PolytalkError: an array without a sample rate, a rate or an offset out of range, an empty name, a point that is
            no place, a mask that is none.
    """

    audio: str | Path | np.ndarray | None = None
    """A file with sound (a video too), samples as (n,) or (channels, n), or None for somebody who only listens, or
    whose sound the scene's utterances bring."""
    sample_rate: int | None = None
    """Hz; needed for samples, and for nothing else."""
    box: Box | None = None
    """Where this person is; with None for everybody the picture is divided evenly from left to right."""
    offset: float = 0.0
    """Seconds of silence first: from the start when together, after the one before in turns."""
    name: str | None = None
    """What utterances call this person; unique in a scene."""
    voice: str | None = None
    """What a synthesiser calls the voice in which it speaks this person's texts; None leaves the choice to it."""
    point: tuple[float, float] | None = None
    """Or where: x and y of a pixel of the picture as shown; whoever is found there, or nearest, is meant. Kept as
    floats."""
    mask: str | Path | np.ndarray | None = None
    """Or the very shape of this person: a picture file, white (or a colour) on black, of the picture's proportions, or
    an array (height, width), bool or 0 and more. Speakers who name the same file have a colour each, from left to
    right. It goes before box and point."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "audio", checked_audio(self.audio, "speaker.audio"))
        rate = checked_sample_rate(self.sample_rate, self.audio, "speaker.sample_rate")
        object.__setattr__(self, "sample_rate", rate)
        if self.box is not None and not isinstance(self.box, Box):
            raise PolytalkError("speaker.box", f"it is {self.box!r}", "Give Box(left, top, right, bottom).")
        if not isinstance(self.offset, int | float) or not math.isfinite(self.offset) or self.offset < 0:
            raise PolytalkError("speaker.offset", f"it is {self.offset!r}", "Give seconds, 0 or more.")
        if self.name is not None:
            object.__setattr__(self, "name", checked_name(self.name, "speaker.name"))
        if self.voice is not None:
            voice = checked_text(self.voice, "speaker.voice")
            if not voice:
                raise PolytalkError("speaker.voice", "it is empty", "Name a voice, or leave it out.")
            object.__setattr__(self, "voice", voice)
        object.__setattr__(self, "point", checked_point(self.point, "speaker.point"))
        object.__setattr__(self, "mask", checked_mask(self.mask, "speaker.mask"))

    @property
    def has_place(self) -> bool:
        """Whether it is said where this person is: by a box, a point or a mask."""
        return self.box is not None or self.point is not None or self.mask is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Speaker):
            return NotImplemented
        names = ("sample_rate", "box", "offset", "name", "voice", "point")
        equal = all(getattr(self, name) == getattr(other, name) for name in names)
        return equal and same(self.audio, other.audio) and same(self.mask, other.mask)
