"""What the pipeline is doing, told to whoever draws a progress bar or keeps time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Stage(Enum):
    """Parts of the work; values are what a user reads."""

    PREPARE = "reading picture and voices"
    ENCODE = "encoding the picture"
    DENOISE = "denoising"
    DECODE = "decoding"
    RESUME = "taking over finished clips"
    DONE = "done"


@dataclass(frozen=True)
class Progress:
    """One event: the stage that begins now, or the next step of the denoising."""

    stage: Stage
    """What happens from now on."""
    clip: int = 0
    """Clip being made, from 0."""
    num_clips: int = 0
    """Clips in all; 0 until the length is known."""
    step: int = 0
    """Denoising steps finished in this clip."""
    num_steps: int = 0
    """Denoising steps of each clip."""


ProgressCallback = Callable[[Progress], None]
"""Called at every event; raise from it to stop."""
