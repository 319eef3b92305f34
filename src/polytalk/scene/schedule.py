"""When everybody speaks, and what prompt and picture hold when, once it is known how long each sound lasts."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.scene import DEFAULT_PAUSE, MAX_SECONDS, Box, Cue, Scene
from polytalk.units import FPS

TOLERANCE = 0.04
"""Seconds by which a sound may outlast its slot, or reach into the same person's next one: a frame."""
_ROUNDING = 1e-6
"""Of a frame: what arithmetic in floating point may add to a time that falls on a frame's edge."""


@dataclass(frozen=True)
class Turn:
    """One sound in time."""

    speaker: int
    """Place among the scene's speakers."""
    start: float
    """Seconds from the start of the video."""
    stop: float
    """Seconds."""
    utterance: int | None = None
    """Place among the scene's utterances; None for a whole track."""
    prompt: str | None = None
    """What happens meanwhile, in addition to the setting's prompt."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What holds from a time on, until the next setting."""

    start: float
    """Seconds from the start of the video."""
    prompt: str
    """What happens, in words."""
    image: Any
    """The reference picture, as in the scene."""
    boxes: tuple[Box, ...] | None
    """Where everybody is in it; None: divided evenly."""


@dataclass(frozen=True)
class PromptSpan:
    """A prompt and when it holds."""

    start: float
    """Seconds from the start of the video."""
    stop: float
    """Seconds; of the last one infinite."""
    prompt: str
    """The setting's, followed by those of the utterances that are being said."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """A scene in time."""

    num_speakers: int
    """People, those who never speak included."""
    turns: tuple[Turn, ...]
    """Whole tracks in the order of the speakers, then utterances in the order of the scene."""
    settings: tuple[Setting, ...]
    """In order of time; the first at 0."""

    @property
    def seconds(self) -> float:
        """When the last sound ends."""
        return max((turn.stop for turn in self.turns), default=0.0)

    def first_seconds(self, seconds: float) -> Schedule:
        """What of it begins before a time; turns end there at the latest."""
        turns = (dataclasses.replace(t, stop=min(t.stop, seconds)) for t in self.turns if t.start < seconds)
        settings = (setting for setting in self.settings if setting.start < seconds)
        return Schedule(self.num_speakers, tuple(turns), tuple(settings))

    def speaking(self, num_frames: int, fps: float = FPS) -> np.ndarray:
        """Whose turn it is: bool (people, num_frames), for every frame that a turn touches.

        Within a turn nobody listens for pauses; a whole track is one turn.

        Raises:
            PolytalkError: a frame rate that is not positive.
        """
        if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < math.inf:
            raise PolytalkError("fps", f"it is {fps!r}", "Use a positive number, e.g. 25.")
        speaking = np.zeros((self.num_speakers, num_frames), bool)
        for turn in self.turns:
            first, last = math.floor(turn.start * fps + _ROUNDING), math.ceil(turn.stop * fps - _ROUNDING)
            speaking[turn.speaker, first:last] = True
        return speaking

    def setting(self, time: float) -> Setting:
        """What holds at a time in seconds."""
        return self.settings[max(0, bisect.bisect_right(self._setting_starts, time) - 1)]

    @cached_property
    def _setting_starts(self) -> list[float]:
        return [setting.start for setting in self.settings]

    @cached_property
    def prompts(self) -> tuple[PromptSpan, ...]:
        """Prompts from 0 on without a gap; neighbours differ."""
        spoken = sorted((turn for turn in self.turns if turn.prompt), key=lambda turn: turn.start)
        edges = {0.0} | {setting.start for setting in self.settings}
        edges |= {edge for turn in spoken for edge in (turn.start, turn.stop)}
        times = sorted(edges)
        spans: list[PromptSpan] = []
        active: list[Turn] = []
        coming = 0
        for start, stop in zip(times, [*times[1:], math.inf], strict=True):
            while coming < len(spoken) and spoken[coming].start <= start:
                active.append(spoken[coming])
                coming += 1
            active = [turn for turn in active if turn.stop > start]
            parts = [self.setting(start).prompt, *dict.fromkeys(turn.prompt or "" for turn in active)]
            prompt = " ".join(part for part in parts if part)
            if spans and spans[-1].prompt == prompt:
                start = spans.pop().start
            spans.append(PromptSpan(start, stop, prompt))
        return tuple(spans)

    def prompt(self, start: float, stop: float) -> str:
        """The prompt that holds for most of the time from `start` to `stop` seconds; of equals the first."""
        share: dict[str, float] = {}
        first = bisect.bisect_right([span.start for span in self.prompts], start) - 1
        for span in self.prompts[max(0, first) :]:
            if span.start >= stop and share:
                break
            length = min(stop, span.stop) - max(start, span.start)
            share[span.prompt] = share.get(span.prompt, 0.0) + length
        return max(share, key=lambda prompt: share[prompt])


def runs(active: Sequence[bool] | np.ndarray) -> list[tuple[int, int]]:
    """Stretches (first, one past the last) of a row of bool that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(active, np.int8), [0]])))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def lay_out(scene: Scene, utterances: Sequence[float], tracks: Sequence[float | None] | None = None) -> Schedule:
    """Give every sound of a scene its time.

    Args:
        scene: what is asked for.
        utterances: how long each utterance's sound lasts, seconds.
        tracks: how long each speaker's whole track lasts, seconds; None for those without.

    Raises:
        PolytalkError: a sound is longer than its slot, somebody says two things at once, something starts before 0,
            nobody has a voice, or it is longer than two hours altogether.
    """
    tracks = [None] * len(scene.speakers) if tracks is None else list(tracks)
    starts = track_starts(tracks, scene.arrangement, [speaker.offset for speaker in scene.speakers])
    turns = [
        Turn(place, start, start + seconds)
        for place, (start, seconds) in enumerate(zip(starts, tracks, strict=True))
        if seconds is not None
    ]
    said = _utterance_turns(scene, utterances)
    _check_one_at_a_time(scene, said)
    turns += said
    if not turns:
        raise PolytalkError("speakers", "nobody has a voice", "Give at least one of them audio.")
    check_length(max(turn.stop for turn in turns))
    return Schedule(len(scene.speakers), tuple(turns), _settings(scene, said))


def track_starts(seconds: Sequence[float | None], arrangement: str, offsets: Sequence[float]) -> list[float]:
    """When whole tracks start, in seconds; None stands for somebody without, who takes no turn.

    Raises:
        PolytalkError: unknown arrangement.
    """
    if arrangement not in ("together", "turns"):
        raise PolytalkError("arrangement", f"{arrangement!r} is unknown", 'Use "together" or "turns".')
    starts, end = [], 0.0
    for length, offset in zip(seconds, offsets, strict=True):
        start = offset + (end if arrangement == "turns" and length is not None else 0.0)
        starts.append(start)
        end = max(end, start + length) if length is not None else end
    return starts


def check_length(seconds: float) -> None:
    """Raise PolytalkError if a scene lasts more than two hours."""
    if seconds > MAX_SECONDS:
        length = f"{seconds / 3600:.1f} hours or more"
        problem = f"the whole arrangement lasts {length}"
        raise PolytalkError("speakers", problem, f"Cut it to at most {MAX_SECONDS / 3600:g} hours.")


def _utterance_turns(scene: Scene, lengths: Sequence[float]) -> list[Turn]:
    turns: list[Turn] = []
    end = 0.0
    for place, (utterance, seconds) in enumerate(zip(scene.utterances, lengths, strict=True)):
        start = utterance.start
        if start is None:
            usual = DEFAULT_PAUSE if turns else 0.0
            start = end + (usual if utterance.pause is None else utterance.pause)
        if start < 0:
            problem = f"{scene.name_of(utterance)} would start {-start:.2f} s before the video"
            raise PolytalkError(f"utterances[{place}].pause", problem, "Let it overlap less.")
        if utterance.end is not None and seconds > utterance.end - start + TOLERANCE:
            problem = (
                f"{scene.name_of(utterance)} speaks for {seconds:.2f} s in a slot of {utterance.end - start:.2f} s"
                f" ({start:.2f} to {utterance.end:.2f} s)"
            )
            raise PolytalkError(f"utterances[{place}]", problem, "Give a longer slot, or leave out its end.")
        turns.append(Turn(scene.index_of(utterance), start, start + seconds, place, utterance.prompt))
        end = max(end, start + seconds)
    return turns


def _check_one_at_a_time(scene: Scene, turns: Sequence[Turn]) -> None:
    last: dict[int, Turn] = {}
    for turn in sorted(turns, key=lambda turn: turn.start):
        before = last.get(turn.speaker)
        if before is not None and before.stop > turn.start + TOLERANCE:
            utterance = scene.utterances[turn.utterance or 0]
            problem = (
                f"{scene.name_of(utterance)} says two things at once, from {turn.start:.2f} s to"
                f" {min(turn.stop, before.stop):.2f} s"
            )
            raise PolytalkError(f"utterances[{turn.utterance}]", problem, "Let one follow the other.")
        if before is None or turn.stop > before.stop:
            last[turn.speaker] = turn


def _settings(scene: Scene, said: Sequence[Turn]) -> tuple[Setting, ...]:
    def when(cue: Cue) -> float:
        return cue.start if cue.start is not None else said[cue.utterance or 0].start

    settings = [Setting(0.0, scene.prompt, scene.image, scene.boxes)]
    for cue in sorted(scene.cues, key=when):  # of two at one time the later one in the scene has the last word
        before = settings[-1]
        prompt = before.prompt if cue.prompt is None else cue.prompt
        image = before.image if cue.image is None else cue.image
        boxes = before.boxes if cue.boxes is None else tuple(cue.boxes)
        if when(cue) == before.start:
            settings.pop()
        settings.append(Setting(when(cue), prompt, image, boxes))
    return tuple(settings)
