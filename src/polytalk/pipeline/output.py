"""What a run of the pipeline gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polytalk.media.video import write_video


@dataclass(frozen=True)
class ClipOutput:
    """One finished clip of a longer video."""

    index: int
    """Place in the chain, from 0."""
    start: int
    """Number of its first frame in the whole video."""
    frames: np.ndarray
    """uint8 (T, height, width, 3); motion frames are left out."""
    fps: int
    """Frames a second."""


@dataclass(frozen=True)
class TalkOutput:
    """A finished video with its sound."""

    frames: np.ndarray
    """uint8 (T, height, width, 3)."""
    fps: int
    """Frames a second."""
    audio: np.ndarray
    """float32 (samples,), everybody mixed at the highest rate among the voices, peak-limited to ±1."""
    sample_rate: int
    """Hz of `audio`."""

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write an MP4 (H.264 and AAC, tagged as generated) and return its path.

        Raises:
            PolytalkError: the file exists and `force` is off, or it cannot be written. No broken file is left.
        """
        write_video(path, self.frames, self.fps, self.audio, self.sample_rate, force=force)
        return Path(path)
