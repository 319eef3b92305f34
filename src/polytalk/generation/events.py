"""What `generate` tells whoever shows its progress, in this order; besides, `Progress` of the pipeline's steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from polytalk.config.options import LoadOptions
from polytalk.generation.explain import ExplainReport
from polytalk.generation.preflight import Preflight
from polytalk.pipeline.progress import Progress
from polytalk.units import Size


@dataclass(frozen=True)
class Begins:
    """Something that takes a while and has no steps."""

    work: str
    """What, in words: "looking who is who"."""


@dataclass(frozen=True)
class WhoIsWho:
    """Everybody's place and voice, before anything is made."""

    preflight: Preflight
    """People, turns and warnings."""
    preview: Path | None
    """The picture of it, if one was written."""


@dataclass(frozen=True)
class Fitted:
    """Levers with which the video fits the device."""

    options: LoadOptions
    """All of them."""
    clip_frames: int
    """Longest clip."""


@dataclass(frozen=True)
class Loaded:
    """The model is there."""

    model: str
    """As it was named."""
    device: str
    """Where."""
    dtype: str
    """Number format."""


@dataclass(frozen=True)
class CloseUpsPlanned:
    """Heads are made in close-up."""

    heads: int
    """How many."""
    frame: Size
    """(height, width) of the model's frame that shows them."""
    picture: Size
    """(height, width) of the video."""


@dataclass(frozen=True)
class Explained:
    """What the model saw."""

    report: ExplainReport
    """By clip and person."""


Event = Begins | WhoIsWho | Fitted | Loaded | CloseUpsPlanned | Explained | Progress
EventCallback = Callable[[Event], None]
"""Called at every event; raise from it to stop."""
