"""A scene while its file is being read: who says what, and where in the file that stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polytalk.errors import PolytalkError
from polytalk.scene import Box, Cue, Scene, Speaker, Utterance
from polytalk.scene.formats.position import TextFile
from polytalk.scene.scene import known_names
from polytalk.scene.values import checked_name

TIME = r"\d{1,6}(?::\d{1,2}){0,2}(?:\.\d+)?"
"""A regular expression: seconds, minutes:seconds or hours:minutes:seconds, with decimals."""


@dataclass(frozen=True, eq=False)
class Beside:
    """What is said beside a file, since many formats have no place for it.

    Raises:
        PolytalkError: speakers without names, or boxes twice.
    """

    image: Any = None
    """The picture; goes before one that the file names."""
    prompt: str | None = None
    """The scene's prompt; likewise."""
    negative_prompt: str | None = None
    """What must not happen."""
    speakers: tuple[Speaker, ...] = ()
    """Everybody in the picture with name, box and voice, silent people too; none: those in the file, in its order."""
    voices: Mapping[str, str] = field(default_factory=dict)
    """Name of a speaker to name of a synthesiser's voice."""
    boxes: tuple[Box, ...] = ()
    """Where everybody is, in the order of the speakers."""
    recording: Path | Mapping[str, Path] | None = None
    """The sound that a file's times count in: one for all, or one for each name."""
    times: bool = True
    """Off: only the order counts, and everything follows what was before it."""

    def __post_init__(self) -> None:
        if any(speaker.name is None for speaker in self.speakers):
            raise PolytalkError("speakers", "one has no name", "Name everybody as the file does.")
        if self.boxes and any(speaker.box is not None for speaker in self.speakers):
            raise PolytalkError("boxes", "the speakers have boxes already", "Give them once.")


class Draft:
    """Collects what a reader finds, and makes a scene of it.

    Args:
        source: the file.
        beside: what it does not say.
    """

    def __init__(self, source: TextFile, beside: Beside) -> None:
        self.source, self.beside = source, beside
        self.image: Any = None
        self.prompt = ""
        self._voices: dict[str, str | None] = {speaker.name or "": None for speaker in beside.speakers}
        self._said: list[tuple[int, Utterance]] = []
        self._cues: list[tuple[int, Cue]] = []

    @property
    def num_utterances(self) -> int:
        """How many were found so far."""
        return len(self._said)

    @property
    def only_speaker(self) -> str | None:
        """Whom a line without a name belongs to, if the people are given beside and there is one."""
        return self.beside.speakers[0].name if len(self.beside.speakers) == 1 else None

    def person(self, name: str, offset: int, voice: str | None = None) -> str:
        """Note that somebody called so is there; gives the name as it is kept.

        Raises:
            PolytalkError: no name, or nobody of those given beside.
        """
        try:
            name = checked_name(name, "speaker")
        except PolytalkError as error:
            raise self.source.at(offset, error) from None
        if self.beside.speakers and name not in self._voices:
            remedy = known_names(name, list(self._voices))
            raise self.source.error(offset, "speaker", f"{name!r} is nobody here", remedy)
        self._voices[name] = voice or self._voices.get(name)
        return name

    def say(self, offset: int, speaker: str, **values: Any) -> None:
        """Add an utterance; a recording given beside is cut at its times.

        Raises:
            PolytalkError: it is none.
        """
        name = self.person(speaker, offset)
        recording = self.beside.recording
        if recording is not None and values.get("audio") is None:
            values["audio"], values["cut"] = self._recording(name, offset), (values["start"], values["end"])
        try:
            self._said.append((offset, Utterance(name, **values)))
        except PolytalkError as error:
            raise self.source.at(offset, error) from None

    def change(self, offset: int, **values: Any) -> None:
        """Add a cue.

        Raises:
            PolytalkError: it is none.
        """
        try:
            self._cues.append((offset, Cue(**values)))
        except PolytalkError as error:
            raise self.source.at(offset, error) from None

    def scene(self) -> Scene:
        """All of it.

        Raises:
            PolytalkError: it is no valid scene; there is no picture.
        """
        beside = self.beside
        image = self.image if beside.image is None else beside.image
        if image is None:
            raise PolytalkError("image", f"{self.source.path.name} names none", "Give the picture beside the file.")
        speakers = self._speakers()
        said, cues = (self._said, self._cues) if beside.times else self._untimed()
        try:
            return Scene(
                image,
                self.prompt if beside.prompt is None else beside.prompt,
                speakers,
                negative_prompt=beside.negative_prompt,
                utterances=[utterance for _, utterance in said],
                cues=[cue for _, cue in cues],
            )
        except PolytalkError as error:
            raise self._placed(error) from None

    def _recording(self, name: str, offset: int) -> Path:
        recording = self.beside.recording
        if isinstance(recording, Mapping):
            if name not in recording:
                remedy = "Give one recording for everybody, or one for each speaker."
                raise self.source.error(offset, "recording", f"there is none of {name}", remedy)
            return Path(recording[name])
        assert recording is not None
        return Path(recording)

    def _speakers(self) -> list[Speaker]:
        beside = self.beside
        for name in beside.voices:
            if name not in self._voices:
                problem = f"{name!r} is nobody in {self.source.path.name}"
                raise PolytalkError("voices", problem, known_names(name, list(self._voices)))
        given = {speaker.name: speaker for speaker in beside.speakers}
        if beside.boxes and len(beside.boxes) != len(self._voices):
            problem = f"there are {len(beside.boxes)} boxes and {len(self._voices)} speakers"
            raise PolytalkError("boxes", problem, "Give one box per speaker, or none at all.")
        speakers = []
        for place, (name, voice) in enumerate(self._voices.items()):
            base = given.get(name)
            chosen = beside.voices.get(name) or voice or (base.voice if base else None)
            box = beside.boxes[place] if beside.boxes else (base.box if base else None)
            audio, rate = (base.audio, base.sample_rate) if base else (None, None)
            where = (base.point, base.mask) if base else (None, None)
            speakers.append(Speaker(audio, rate, box, base.offset if base else 0.0, name, chosen, *where))
        return speakers

    def _untimed(self) -> tuple[list[tuple[int, Utterance]], list[tuple[int, Cue]]]:
        """Without times; a cue at a time goes to the first utterance that starts then or later."""
        order = sorted(self._said, key=lambda item: item[1].start or 0.0)
        names = ("speaker", "text", "audio", "prompt", "sample_rate", "cut", "pause")
        said = [(at, Utterance(**{name: getattr(u, name) for name in names})) for at, u in order]
        cues: dict[int, tuple[int, Cue]] = {}
        for offset, cue in self._cues:
            place = cue.utterance
            if cue.start is not None:
                later = [i for i, (_, u) in enumerate(order) if (u.start or 0.0) >= cue.start]
                place = later[0] if later else None
            if place is not None:
                cues[place] = (offset, Cue(None, cue.prompt, cue.image, cue.boxes, place))
        return said, list(cues.values())

    def _placed(self, error: PolytalkError) -> PolytalkError:
        """The error of a scene, with the place in the file that caused it."""
        match = re.match(r"(utterances|cues)\[(\d+)\]", error.field)
        if match:
            found = self._said if match.group(1) == "utterances" else self._cues
            return self.source.at(found[int(match.group(2))][0], error)
        if error.field == "speakers":
            return self.source.at(len(self.source.text), error)
        return error


def parse_time(text: str) -> float:
    """Seconds of a text that matches `TIME`."""
    seconds = 0.0
    *larger, last = text.split(":")
    for part in larger:
        seconds = (seconds + int(part)) * 60
    return seconds + float(last)
