"""`Scene`: a picture, its speakers, what they say and what happens; checked when built, written to files by itself."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.scene.box import Box
from polytalk.scene.formats.files import read_scene, write_scene
from polytalk.scene.speaker import Speaker
from polytalk.scene.utterance import Cue, Utterance
from polytalk.scene.values import checked_audio, checked_image, checked_sample_rate, same

ARRANGEMENTS = ("together", "turns")


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture, its speakers and a prompt; what they say is a track per speaker, or utterances in time.

    Raises:
        PolytalkError: no speaker, nobody with a voice, boxes for only some of the speakers, unknown arrangement, a name
            twice, an utterance of nobody here, one person saying two things at once, a track and utterances for one
            person.
    """

    image: Any
    """A picture file, an array (height, width[, channels]), or a PIL image."""
    prompt: str = ""
    """What happens, in words."""
    speakers: Sequence[Speaker] = ()
    """In any order; with boxes left out, from left to right. Kept as a tuple."""
    arrangement: str = "together"
    """"together": all tracks start at 0. "turns": one after the other in the order of `speakers`."""
    negative_prompt: str | None = None
    """What must not happen; None leaves the choice to the pipeline."""
    utterances: Sequence[Utterance] = ()
    """What is said, in the order in which it is told. Kept as a tuple."""
    cues: Sequence[Cue] = ()
    """What changes on the way. Kept as a tuple: those at a time, then those with an utterance, which have the last word
    when both fall together."""
    soundtrack: Any = None
    """What the audience hears: a file, or (samples, Hz); None: all voices together. The voices still move the mouths,
    so that a recording cut into voices is heard whole, with room and music. The video lasts as long as it does."""

    def __post_init__(self) -> None:
        if self.image is None:
            raise PolytalkError("image", "there is none", "Name a picture file, or pass an array.")
        object.__setattr__(self, "image", checked_image(self.image))
        if not isinstance(self.prompt, str):
            raise PolytalkError("prompt", f"it is a {type(self.prompt).__name__}", "Give text; it may be empty.")
        if self.arrangement not in ARRANGEMENTS:
            raise PolytalkError("arrangement", f"{self.arrangement!r} is unknown", 'Use "together" or "turns".')
        object.__setattr__(self, "soundtrack", _checked_soundtrack(self.soundtrack))
        self._check_speakers()
        self._check_utterances()
        self._check_cues()

    def _check_speakers(self) -> None:
        speakers = (self.speakers,) if isinstance(self.speakers, Speaker) else tuple(self.speakers)
        if not speakers:
            raise PolytalkError("speakers", "there is none", "Give at least one speaker.")
        names: set[str] = set()
        for speaker in speakers:
            if not isinstance(speaker, Speaker):
                raise PolytalkError("speakers", f"one is a {type(speaker).__name__}", "Give Speaker(audio=...).")
            if speaker.name in names:
                raise PolytalkError("speakers", f"two are called {speaker.name!r}", "Give each a name of their own.")
            if speaker.name is not None:
                names.add(speaker.name)
        if all(speaker.audio is None for speaker in speakers) and not self.utterances:
            raise PolytalkError("speakers", "nobody has a voice", "Give at least one of them audio.")
        without = [i + 1 for i, speaker in enumerate(speakers) if not speaker.has_place]
        if 0 < len(without) < len(speakers):
            numbers = ", ".join(map(str, without))
            remedy = "Give every speaker a box (or a point, or a mask), or none."
            raise PolytalkError("box", f"speaker {numbers} has none while others do", remedy)
        object.__setattr__(self, "speakers", speakers)

    def _check_utterances(self) -> None:
        given = (self.utterances,) if isinstance(self.utterances, Utterance) else tuple(self.utterances)
        kept = []
        for place, utterance in enumerate(given):
            field = f"utterances[{place}]"
            if not isinstance(utterance, Utterance):
                raise PolytalkError(field, f"it is a {type(utterance).__name__}", "Give Utterance(speaker, ...).")
            number = self._find(utterance.speaker, f"{field}.speaker")
            speaker = self.speakers[number]
            if speaker.audio is not None:
                problem = f"{self._name(number)} has a whole track already"
                raise PolytalkError(field, problem, "Give the speaker's audio, or utterances.")
            if speaker.offset:
                problem = f"{self._name(number)} has an offset, which moves a whole track"
                raise PolytalkError(field, problem, "Give the utterance's start instead.")
            called = number if speaker.name is None else speaker.name
            kept.append(dataclasses.replace(utterance, speaker=called) if called != utterance.speaker else utterance)
        object.__setattr__(self, "utterances", tuple(kept))
        if kept and self.arrangement != "together":
            problem = "utterances have their own times"
            raise PolytalkError("arrangement", problem, 'Leave it at "together".')
        self._check_slots()

    def _check_slots(self) -> None:
        """Nobody says two things at once, as far as the times are known before the sounds are."""
        timed = [(u.start, place) for place, u in enumerate(self.utterances) if u.start is not None]
        last: dict[str | int, tuple[float, int]] = {}
        for start, place in sorted(timed):
            utterance = self.utterances[place]
            busy, other = last.get(utterance.speaker, (-1.0, place))
            if start < busy or (other != place and start == self.utterances[other].start):
                late = max(place, other)
                problem = f"{self.name_of(utterance)} says two things at once at {start:g} s"
                raise PolytalkError(f"utterances[{late}]", problem, "Give one sound per slot, and slots that follow.")
            end = start if utterance.end is None else utterance.end
            last[utterance.speaker] = (max(busy, end), place)

    def _check_cues(self) -> None:
        cues = (self.cues,) if isinstance(self.cues, Cue) else tuple(self.cues)
        seen: set[tuple[float | None, int | None]] = set()
        for place, cue in enumerate(cues):
            field = f"cues[{place}]"
            if not isinstance(cue, Cue):
                raise PolytalkError(field, f"it is a {type(cue).__name__}", "Give Cue(start, ...).")
            if cue.utterance is not None and cue.utterance >= len(self.utterances):
                problem = f"utterance {cue.utterance} is none of {len(self.utterances)}"
                raise PolytalkError(f"{field}.utterance", problem, "Places count from 0.")
            if cue.boxes is not None and len(cue.boxes) != len(self.speakers):
                problem = f"there are {len(cue.boxes)} boxes and {len(self.speakers)} speakers"
                raise PolytalkError(f"{field}.boxes", problem, "Give one box per speaker, or none at all.")
            if (cue.start, cue.utterance) in seen:
                raise PolytalkError(field, "another cue is at the same time", "Join the two.")
            seen.add((cue.start, cue.utterance))
        in_order = sorted(cues, key=lambda cue: (cue.utterance is not None, cue.start or 0.0, cue.utterance or 0))
        object.__setattr__(self, "cues", tuple(in_order))

    def _find(self, speaker: str | int, field: str) -> int:
        if isinstance(speaker, int):
            if speaker < len(self.speakers):
                return speaker
            problem = f"there is no speaker {speaker}"
            raise PolytalkError(field, problem, f"There are {len(self.speakers)}, counted from 0.")
        if speaker in self._places:
            return self._places[speaker]
        raise PolytalkError(field, f"{speaker!r} is nobody here", known_names(speaker, list(self._places)))

    @cached_property
    def _places(self) -> dict[str, int]:
        """Name to place among the speakers."""
        return {speaker.name: place for place, speaker in enumerate(self.speakers) if speaker.name is not None}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scene):
            return NotImplemented
        names = ("prompt", "speakers", "arrangement", "negative_prompt", "utterances", "cues")
        equal = all(getattr(self, name) == getattr(other, name) for name in names)
        return equal and same(self.image, other.image) and _same_sound(self.soundtrack, other.soundtrack)

    @property
    def boxes(self) -> tuple[Box, ...] | None:
        """Everybody's box, or None when the picture is to be divided evenly, or somebody has a point or mask only."""
        boxes = tuple(speaker.box for speaker in self.speakers if speaker.box is not None)
        return boxes if len(boxes) == len(self.speakers) else None

    @property
    def names(self) -> tuple[str, ...]:
        """What to call everybody: the name, or "speaker 1" and so on."""
        return tuple(self._name(place) for place in range(len(self.speakers)))

    def index_of(self, utterance: Utterance) -> int:
        """The place among `speakers` of who says it.

        Raises:
            PolytalkError: it is nobody here.
        """
        return self._find(utterance.speaker, "utterance.speaker")

    def name_of(self, utterance: Utterance) -> str:
        """What to call who says it."""
        return self._name(self.index_of(utterance))

    def _name(self, place: int) -> str:
        return self.speakers[place].name or f"speaker {place + 1}"

    def check_boxes(self, width: int, height: int) -> None:
        """Raise PolytalkError when a box or a point leaves a picture of `width` × `height` pixels."""
        check_boxes([speaker.box for speaker in self.speakers], width, height)
        for number, speaker in enumerate(self.speakers, start=1):
            if speaker.point is not None and (speaker.point[0] >= width or speaker.point[1] >= height):
                x, y = speaker.point
                problem = f"{x:g},{y:g} of speaker {number} leaves the picture, which is {width} × {height} pixels"
                raise PolytalkError("point", problem, "Give x and y in pixels of the picture as shown.")

    @classmethod
    def from_json(cls, path: str | Path) -> Scene:
        """Read a scene file: Polytalk's own format or the one of the released MultiTalk examples.

        Files named inside are looked for relative to the scene file, then to the working directory, then by their
        bare name beside the scene file.

        Raises:
            PolytalkError: unreadable, unknown or missing keys, a file that is nowhere, or an invalid scene; what is in
                the file is named with line and column.
        """
        return read_scene(Path(path), cls)

    def to_json(self, path: str | Path, *, force: bool = False, casting: Mapping[str, Any] | None = None) -> None:
        """Write the scene file; `Scene.from_json` reads it back. Paths beside it are kept relative.

        Args:
            path: of the file.
            force: overwrite.
            casting: how the scene came about, for people to read; it has no effect.

        Raises:
            PolytalkError: picture or sound is in memory only, the file exists and `force` is off, or cannot be written.
        """
        write_scene(self, Path(path), force=force, casting=casting)


def _checked_soundtrack(sound: Any) -> Path | tuple[np.ndarray, int] | None:
    """A file, or samples with their rate.

    Raises:
        PolytalkError: it is neither.
    """
    if sound is None or isinstance(sound, str | Path):
        found = checked_audio(sound, "soundtrack")
        assert not isinstance(found, np.ndarray)
        return found
    try:
        samples, rate = sound
    except (TypeError, ValueError):
        raise PolytalkError("soundtrack", f"it is a {type(sound).__name__}", "Give a file, or (samples, Hz).") from None
    array = np.asarray(samples)
    checked = checked_sample_rate(rate, array, "soundtrack")
    assert checked is not None
    return array, checked


def _same_sound(left: Any, right: Any) -> bool:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return left[1] == right[1] and same(left[0], right[0])
    return type(left) is type(right) and bool(left == right)


def check_boxes(boxes: Sequence[Box | None], width: int, height: int) -> None:
    """Raise PolytalkError when one of the speakers' boxes leaves a picture of `width` × `height` pixels."""
    for number, box in enumerate(boxes, start=1):
        if box is not None and (box.right > width or box.bottom > height):
            problem = f"{box} of speaker {number} leaves the picture, which is {width} × {height} pixels"
            remedy = "Count pixels of the picture as shown, in the order left,top,right,bottom."
            raise PolytalkError("box", problem, remedy)


def known_names(name: str, known: Sequence[str]) -> str:
    """A remedy for a name that is not among those known."""
    if not known:
        return "The speakers have no names: give their places, from 0, or name them."
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Do you mean {close[0]!r}?"
    return f"Known are {', '.join(known[:8])}{' and others' if len(known) > 8 else ''}."


def pair_speakers(audio: Sequence[str | Path | None], boxes: Sequence[Box] = ()) -> tuple[Speaker, ...]:
    """Speakers from as many sounds and as many boxes, or no box at all, in the order given.

    Raises:
        PolytalkError: the numbers differ.
    """
    if boxes and len(boxes) != len(audio):
        problem = f"there are {len(boxes)} boxes and {len(audio)} speakers"
        raise PolytalkError("box", problem, "Give one box per speaker, or none at all.")
    places: Sequence[Box | None] = boxes or [None] * len(audio)
    return tuple(Speaker(audio=sound, box=box) for sound, box in zip(audio, places, strict=True))
