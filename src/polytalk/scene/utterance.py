"""`Utterance`, what somebody says and when, and `Cue`, what changes on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.scene.box import Box
from polytalk.scene.values import (
    checked_audio,
    checked_image,
    checked_name,
    checked_sample_rate,
    checked_seconds,
    checked_text,
    same,
)

MAX_SECONDS = 2 * 60 * 60
"""Longest sound taken, and the latest time in a scene."""
DEFAULT_PAUSE = 0.2
"""Seconds between one utterance's end and the next one's start when nothing is said of it: the usual gap between the
turns of a conversation in all languages looked at (Stivers et al. 2009, doi 10.1073/pnas.0903616106)."""


@dataclass(frozen=True, eq=False)
class Utterance:
    """One person says one thing.

    An hour may pass between two utterances: the video shows people being silent for that hour. What is refused is a
    scene of more than two hours altogether.

    Raises:
        PolytalkError: neither text nor sound, a time that is negative, not finite or beyond two hours, an end not after
            the start, an end or a pause where it makes no sense.
    """

    speaker: str | int
    """Who: the name of a speaker of the scene, or the place among them, from 0. A scene keeps the name if there is
    one."""
    text: str | None = None
    """What is said, on one line; spoken by a synthesiser unless there is sound, which it then describes."""
    audio: str | Path | np.ndarray | None = None
    """A file with sound, or samples as (n,) or (channels, n)."""
    start: float | None = None
    """Seconds from the start of the video; None: `pause` after all utterances before it in the scene have ended."""
    end: float | None = None
    """Seconds: a slot that the sound must fit, together with `start`; None lets it last as long as it does."""
    pause: float | None = None
    """Seconds of silence before it, when `start` is None; negative: it starts so long before the others have ended.
    None: `DEFAULT_PAUSE`, before the first utterance 0."""
    prompt: str | None = None
    """What happens meanwhile, in addition to the prompt of that time, on one line."""
    sample_rate: int | None = None
    """Hz; needed for samples, and for nothing else."""
    cut: tuple[float, float] | None = None
    """Seconds from and to which `audio` is taken; None takes all of it."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        if isinstance(self.speaker, str):
            put(self, "speaker", checked_name(self.speaker, "utterance.speaker"))
        elif isinstance(self.speaker, bool) or not isinstance(self.speaker, int) or self.speaker < 0:
            remedy = "Give a speaker's name, or the place among the speakers, from 0."
            raise PolytalkError("utterance.speaker", f"it is {self.speaker!r}", remedy)
        for name in ("text", "prompt"):
            if getattr(self, name) is not None:
                put(self, name, checked_text(getattr(self, name), f"utterance.{name}") or None)
        put(self, "audio", checked_audio(self.audio, "utterance.audio"))
        put(self, "sample_rate", checked_sample_rate(self.sample_rate, self.audio, "utterance.sample_rate"))
        if self.audio is None and self.text is None:
            raise PolytalkError("utterance", "nothing is said in it", "Give audio or text.")
        self._check_times()

    def _check_times(self) -> None:
        put = object.__setattr__
        if self.start is not None:
            put(self, "start", checked_seconds(self.start, "utterance.start", highest=MAX_SECONDS))
            if self.pause is not None:
                raise PolytalkError("utterance.pause", "there is a start, too", "Give one of them.")
        if self.end is not None:
            put(self, "end", checked_seconds(self.end, "utterance.end", highest=MAX_SECONDS))
            if self.start is None:
                raise PolytalkError("utterance.end", "there is no start", "Give both, or none of them.")
            _check_order(self.start, self.end, "utterance.end")
        if self.pause is not None:
            put(self, "pause", checked_seconds(self.pause, "utterance.pause", -MAX_SECONDS, MAX_SECONDS))
        if self.cut is not None:
            put(self, "cut", self._checked_cut(self.cut))

    def _checked_cut(self, cut: Any) -> tuple[float, float]:
        field = "utterance.cut"
        if self.audio is None:
            raise PolytalkError(field, "there is no audio to cut", "Name the recording, or leave it out.")
        try:
            first, last = cut
        except (TypeError, ValueError):
            raise PolytalkError(field, f"it is {cut!r}", "Give two times, from and to.") from None
        first, last = checked_seconds(first, field), checked_seconds(last, field)
        _check_order(first, last, field)
        return first, last

    def __eq__(self, other: object) -> bool:
        return _equal(self, other)


@dataclass(frozen=True, eq=False)
class Cue:
    """From some time on, another prompt holds, or another picture is the reference.

    Raises:
        PolytalkError: neither or both ways to say when, nothing that changes.
    """

    start: float | None = None
    """Seconds from the start of the video; None: with `utterance`."""
    prompt: str | None = None
    """What happens from then on, on one line; None leaves the prompt."""
    image: Any = None
    """A picture file, an array or a PIL image; None leaves the picture."""
    boxes: Sequence[Box] | None = None
    """Where everybody is in `image`, in the order of the speakers; None: where they were. Without an image: where they
    are from then on in the video that the scene shows. Kept as a tuple."""
    utterance: int | None = None
    """Place, from 0, of the utterance that it starts with."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        if (self.start is None) == (self.utterance is None):
            raise PolytalkError("cue", "it must say when, in one way", "Give start, or the place of an utterance.")
        if self.start is not None:
            put(self, "start", checked_seconds(self.start, "cue.start", highest=MAX_SECONDS))
        place = self.utterance
        if place is not None and (isinstance(place, bool) or not isinstance(place, int) or place < 0):
            raise PolytalkError("cue.utterance", f"it is {place!r}", "Give its place in the scene, from 0.")
        if self.prompt is not None:
            put(self, "prompt", checked_text(self.prompt, "cue.prompt"))
        put(self, "image", checked_image(self.image, "cue.image"))
        if self.prompt is None and self.image is None and self.boxes is None:
            raise PolytalkError("cue", "nothing changes with it", "Give a prompt or an image.")
        if self.boxes is not None:
            boxes = (self.boxes,) if isinstance(self.boxes, Box) else tuple(self.boxes)
            if not all(isinstance(box, Box) for box in boxes):
                raise PolytalkError("cue.boxes", f"they are {boxes!r}", "Give Box(left, top, right, bottom) for each.")
            put(self, "boxes", boxes)

    def __eq__(self, other: object) -> bool:
        return _equal(self, other)


def _check_order(first: float, last: float, field: str) -> None:
    if last <= first:
        raise PolytalkError(field, f"it ends at {last:g} s and starts at {first:g} s", "It must end after its start.")


def _equal(left: Any, right: Any) -> Any:
    if type(left) is not type(right):
        return NotImplemented
    return all(same(getattr(left, item.name), getattr(right, item.name)) for item in fields(left))
