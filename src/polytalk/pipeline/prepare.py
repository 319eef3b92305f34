"""A scene as tensors, between the reading of its files and the sampling of its clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from polytalk.conditioning.activity import VoiceGate
from polytalk.conditioning.speech import SpeechFeatures
from polytalk.media.audio import Sound
from polytalk.pipeline.clips import Clip
from polytalk.pipeline.dubbing import DubbingSource
from polytalk.scene.schedule import Schedule
from polytalk.units import FPS


@dataclass(frozen=True, eq=False)
class ReferencePicture:
    """What is shown from a time on."""

    start: float
    """Seconds from the start of the video."""
    pixels: np.ndarray
    """uint8 (height, width, 3) at the network's size."""
    masks: Tensor
    """Who is where in it: bool (P, height / stride, width / stride)."""


@dataclass(frozen=True)
class PreparedScene:
    """A scene as tensors: all that does not depend on how it is sampled."""

    pixels: np.ndarray
    """The picture at the network's size, uint8 (height, width, 3)."""
    masks: Tensor
    """Who is where: bool (P, height / stride, width / stride)."""
    speech: SpeechFeatures
    """What everybody says."""
    sound: Sound
    """What the audience hears."""
    text: Tensor
    """(2, text_len, text_dim): prompt and negative prompt."""
    schedule: Schedule | None = None
    """Who speaks when, and what prompt holds when."""
    texts: Mapping[str, Tensor] = field(default_factory=dict)
    """As `text`, for every prompt in the schedule."""
    loudness: np.ndarray | None = None
    """How loud everybody is, 0 to 1: float (P, frames), so that clips can be cut in pauses."""
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Fingerprints of what each frame is made from, uint64 (frames,) by name; a work folder needs them."""
    activity: np.ndarray | None = None
    """Who speaks when: bool (P, frames); None: nothing is known of it."""
    gate: VoiceGate | None = None
    """Puts silence in the place of what is on a track while its speaker is silent."""

    source: DubbingSource | None = None
    """The video whose people speak anew, where the scene shows one."""
    pictures: Sequence[ReferencePicture] = ()
    """Pictures that take the first one's place, in order of time."""

    @property
    def num_frames(self) -> int:
        """Length of the video."""
        return self.speech.num_frames

    def text_for(self, clip: Clip) -> Tensor:
        """Prompt and negative prompt of a clip: of several the one that holds longest in its new frames."""
        if self.schedule is None:
            return self.text
        prompt = self.schedule.prompt(clip.new_start / FPS, clip.new_stop / FPS)
        return self.texts.get(prompt, self.text)

    def picture_for(self, clip: Clip) -> ReferencePicture:
        """The picture that a clip shows: the one that holds in the middle of its new frames."""
        middle = (clip.new_start + clip.new_stop) / 2 / FPS
        first = ReferencePicture(0.0, self.pixels, self.masks)
        return next((picture for picture in reversed(self.pictures) if picture.start <= middle), first)

    def first_seconds(self, seconds: float | None) -> PreparedScene:
        """The scene cut off after so many seconds, but not before its first frame; None leaves it as it is."""
        if seconds is None:
            return self
        frames = max(1, round(seconds * FPS))
        return dataclasses.replace(
            self,
            speech=SpeechFeatures(self.speech.features[:, :frames]),
            loudness=None if self.loudness is None else self.loudness[:, :frames],
            activity=None if self.activity is None else self.activity[:, :frames],
            gate=None if self.gate is None else self.gate.first(frames),
            rows={name: row[:frames] for name, row in self.rows.items()},
        )
