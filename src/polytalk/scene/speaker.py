"""One person in the picture."""

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
    checked_name,
    checked_sample_rate,
    checked_text,
    same,
)

__all__ = ["MAX_SAMPLE_RATE", "MIN_SAMPLE_RATE", "Speaker"]


@dataclass(frozen=True, eq=False)
class Speaker:
    """One person's voice and, optionally, where that person is.

    Raises:
        PolytalkError: an array without a sample rate, a rate or an offset out of range, an empty name.
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

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Speaker):
            return NotImplemented
        names = ("sample_rate", "box", "offset", "name", "voice")
        return all(getattr(self, name) == getattr(other, name) for name in names) and same(self.audio, other.audio)

    __hash__ = None  # type: ignore[assignment]
