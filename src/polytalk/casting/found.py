"""What was found: people in a picture, voices in a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from polytalk.scene import Box

Finder = Literal["photograph", "drawing", "user"]
"""Who says that somebody is there: the detectors for photographs and paintings, the one for drawings, or the user."""


@dataclass(frozen=True, eq=False)
class FoundPerson:
    """Somebody in a picture. All boxes count pixels of the picture as shown."""

    name: str
    """Stable from run to run and unique in the picture: "person 1" from left to right, unless the user names them."""
    face: Box
    """Brows to chin."""
    head: Box
    """With hair, ears and chin."""
    body: Box
    """Head, neck and shoulders, as far as they are in the picture: the box for a `Speaker`."""
    score: float
    """0..1: how sure the finder is."""
    finder: Finder
    """Where this comes from."""
    landmarks: np.ndarray | None = None
    """(n, 2) float32, x and y: MediaPipe's 468 points of the face, or None."""
    mask: np.ndarray | None = None
    """bool (height, width) of the picture: head and body, or None where only boxes are known."""


@dataclass(frozen=True)
class VoiceTurn:
    """One voice, without a break."""

    voice: int
    """Whose: 0 for whoever speaks first."""
    start: float
    """Seconds."""
    end: float
    """Seconds."""


@dataclass(frozen=True, eq=False)
class Diarization:
    """Who speaks when in one recording."""

    turns: tuple[VoiceTurn, ...]
    """By start; turns of different voices may overlap."""
    tracks: np.ndarray
    """float32 (voices, samples): each voice alone, silence elsewhere."""
    sample_rate: int
    """Hz."""
    mixed: tuple[tuple[float, float], ...] = ()
    """Seconds, start and end: overlaps that were not separated; every voice in them has the mix."""
    duration: float = 0.0
    """Seconds of the recording."""

    @property
    def num_voices(self) -> int:
        """How many."""
        return len(self.tracks)
