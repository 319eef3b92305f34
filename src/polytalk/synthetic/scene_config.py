"""What kind of scenes are drawn: sizes, people, how much they do, backgrounds, light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.motion.gestures import ACTIONS, CAMERA
from polytalk.motion.idle import BLINKS_PER_SECOND
from polytalk.synthetic.characters.registry import SOURCES

SHARES = ("reference_lead_probability", "crowding", "motion", "camera_motion", "event_probability",
          "crossing_probability", "silent_probability", "same_style", "lighting", "empty_prompt",
          "caught_probability")  # fmt: skip
"""Fields of `SceneConfig` that lie in 0..1."""


def choose(rng: np.random.Generator, weighted: Sequence[tuple[str, float]]) -> str:
    """One of some names, each as often as its weight says."""
    weights = np.array([weight for _, weight in weighted])
    return weighted[rng.choice(len(weighted), p=weights / weights.sum())][0]


@dataclass(frozen=True)
class SceneConfig:
    """What kind of clips are drawn."""

    height: int = 144
    """Frame height in pixels, a multiple of 16."""
    width: int = 256
    """Frame width in pixels, a multiple of 16."""
    num_frames: int = 33
    """Frames of a clip, 4n+1."""
    reference_lead: int = 50
    """The reference picture of a later clip was taken at most so many frames before it."""
    reference_lead_probability: float = 0.0
    """Share of clips whose reference picture is such an earlier frame instead of the first one."""
    people: tuple[int, int] = (1, 2)
    """Fewest and most people, unless a conversation says how many there are; 1 to 4."""
    head_size: tuple[float, float] = (0.5, 0.8)
    """Height of the heads as a share of the frame height; made smaller where people would not fit side by side."""
    crowding: float = 0.25
    """0: never overlap; 1: neighbours may overlap by half a head."""
    motion: float = 0.5
    """Amount of sway, turning and nodding, 0 to 1."""
    blinks: float = BLINKS_PER_SECOND
    """A second, of everybody."""
    camera_motion: float = 0.3
    """Amount of slow panning, 0 to 1."""
    event_probability: float = 0.3
    """Share of clips in which something happens that the prompt tells."""
    max_events: int = 2
    """Most events in a clip."""
    actions: tuple[str, ...] = (*ACTIONS, CAMERA)
    """Names of `polytalk.motion.gestures` of which events are drawn, besides walks."""
    steady: bool = False
    """Heads, bodies and the camera stand still, whatever happens: only faces and hands move."""
    caught_probability: float | None = None
    """Share of clips whose reference picture has caught mouths as they were, open or smiling, instead of shut ones; a
    clip that begins with its reference begins so. None: mouths are shut in earlier references, else as first spoken."""
    crossing_probability: float = 0.0
    """Share of the clips with events, of 25 frames or more, in which one person walks to the other side."""
    silent_probability: float = 0.0
    """Without a conversation: share of clips in which nobody speaks."""
    mouth_gain: float = 1.0
    """Factor on the mouths' opening; the truth is what is drawn."""
    sources: tuple[tuple[str, float], ...] = (
        ("flat person", 1.0), ("outlined person", 1.0), ("painted person", 1.8), ("sketch person", 0.8),
        ("flat animal", 0.35), ("outlined animal", 0.35), ("painted animal", 0.5), ("sketch animal", 0.2),
    )  # fmt: skip
    """Names in `polytalk.synthetic.characters.registry.SOURCES` and their weights."""
    same_style: float = 0.6
    """Share of clips whose people all come from one source."""
    backgrounds: tuple[tuple[str, float], ...] = (
        ("plain", 1.0), ("gradient", 1.0), ("stripes", 0.6), ("noise", 0.6), ("room", 1.5), ("outdoor", 1.2),
        ("city", 0.7), ("photo", 2.0),
    )  # fmt: skip
    """Kinds of background and their weights."""
    photo_folder: str = ""
    """Folder of photographs for backgrounds; empty: the ones that scikit-image carries."""
    lighting: float = 1.0
    """Strength of tint, vignette and grain, 0 to 1."""
    empty_prompt: float = 0.1
    """Share of prompts that say nothing (only without events)."""

    def __post_init__(self) -> None:
        for field in ("height", "width"):
            if getattr(self, field) < 16 or getattr(self, field) % 16:
                raise PolytalkError(field, f"{getattr(self, field)} pixels", "Give a multiple of 16.")
        if self.num_frames < 1 or self.num_frames % 4 != 1:
            raise PolytalkError("num_frames", str(self.num_frames), "Give 4n+1 frames.")
        if not 1 <= self.people[0] <= self.people[1] <= 4:
            raise PolytalkError("people", str(self.people), "Give (fewest, most) from 1 to 4.")
        if not 0.05 <= self.head_size[0] <= self.head_size[1] <= 1.5:
            raise PolytalkError("head_size", str(self.head_size), "Give (least, most) from 0.05 to 1.5 frame heights.")
        unknown = [name for name, _ in self.sources if name not in SOURCES]
        if unknown or not self.sources or sum(weight for _, weight in self.sources) <= 0:
            raise PolytalkError("sources", f"unknown or empty: {unknown}", f"Choose among {', '.join(SOURCES)}.")
        strange = [name for name in self.actions if name not in (*ACTIONS, CAMERA)]
        if strange or not self.actions:
            names = ", ".join((*ACTIONS, CAMERA))
            raise PolytalkError("actions", f"unknown or empty: {strange}", f"Choose among {names}.")
        for field in SHARES:
            if not 0.0 <= (getattr(self, field) or 0.0) <= 1.0:
                raise PolytalkError(field, str(getattr(self, field)), "Give a number from 0 to 1.")
