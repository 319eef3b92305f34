"""What the user asks for: a picture, who speaks where with which sound, and a prompt. Validated when built.

Nothing here opens a picture or a sound; `polytalk.media` does. Boxes count pixels of the picture as shown, that is
after its EXIF rotation, whatever order the file they came from uses.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polytalk.errors import PolytalkError

ARRANGEMENTS = ("together", "turns")
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1_000, 768_000
"""Hz."""
RELEASED_ARRANGEMENTS = {"para": "together", "add": "turns"}
"""In the release "add" places the tracks one after the other (person1 first); each is silent while another speaks."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the picture as shown; right and bottom exclusive.

    Raises:
        PolytalkError: not whole numbers, negative, or without any pixel.
    """

    left: int
    """First column."""
    top: int
    """First row."""
    right: int
    """One past the last column."""
    bottom: int
    """One past the last row."""

    def __post_init__(self) -> None:
        for name in ("left", "top", "right", "bottom"):
            value = getattr(self, name)
            try:
                whole = not isinstance(value, bool) and int(value) == value
            except (TypeError, ValueError, OverflowError):
                whole = False
            if not whole:
                raise PolytalkError("box", f"{name} is {value!r}", "Give whole numbers of pixels.")
            object.__setattr__(self, name, int(value))
        if min(self.left, self.top) < 0:
            raise PolytalkError("box", f"{self} starts outside the picture", "left and top count from 0.")
        if self.width <= 0 or self.height <= 0:
            remedy = "The order is left, top, right, bottom, with left < right and top < bottom."
            raise PolytalkError("box", f"{self} is empty", remedy)

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.right},{self.bottom}"

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @classmethod
    def parse(cls, text: str) -> Box:
        """Read `left,top,right,bottom` as typed on the command line."""
        try:
            numbers = [int(part) for part in text.split(",")]
            left, top, right, bottom = numbers
        except ValueError:
            remedy = "Give four whole numbers: left,top,right,bottom."
            raise PolytalkError("box", f"{text!r} is not a box", remedy) from None
        return cls(left, top, right, bottom)


@dataclass(frozen=True, eq=False)
class Speaker:
    """One person's voice and, optionally, where that person is.

    Raises:
        PolytalkError: an array without a sample rate, a rate or an offset out of range.
    """

    audio: str | Path | np.ndarray | None
    """A file with sound (a video too), samples as (n,) or (channels, n), or None for somebody who only listens."""
    sample_rate: int | None = None
    """Hz; needed for samples, and for nothing else."""
    box: Box | None = None
    """Where this person is; with None for everybody the picture is divided evenly from left to right."""
    offset: float = 0.0
    """Seconds of silence first: from the start when together, after the one before in turns."""

    def __post_init__(self) -> None:
        if isinstance(self.audio, str | Path):
            if not str(self.audio).strip():
                raise PolytalkError("speaker.audio", "the file name is empty", "Name a sound file.")
            object.__setattr__(self, "audio", Path(self.audio))
        elif self.audio is not None:
            object.__setattr__(self, "audio", np.asarray(self.audio))
        self._check_sample_rate()
        if self.box is not None and not isinstance(self.box, Box):
            raise PolytalkError("speaker.box", f"it is {self.box!r}", "Give Box(left, top, right, bottom).")
        if not isinstance(self.offset, int | float) or not math.isfinite(self.offset) or self.offset < 0:
            raise PolytalkError("speaker.offset", f"it is {self.offset!r}", "Give seconds, 0 or more.")

    def _check_sample_rate(self) -> None:
        field, rate = "speaker.sample_rate", self.sample_rate
        if not isinstance(self.audio, np.ndarray):
            if rate is not None:
                raise PolytalkError(field, "a file has its own sample rate", "Leave it out, or pass samples.")
            return
        if rate is None:
            raise PolytalkError(field, "samples come without a sample rate", "Pass sample_rate in Hz.")
        if int(rate) != rate or not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
            remedy = f"Use a whole number of Hz from {MIN_SAMPLE_RATE:,} to {MAX_SAMPLE_RATE:,}."
            raise PolytalkError(field, f"it is {rate!r}", remedy)
        object.__setattr__(self, "sample_rate", int(rate))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Speaker):
            return NotImplemented
        mine, theirs = (self.sample_rate, self.box, self.offset), (other.sample_rate, other.box, other.offset)
        return mine == theirs and _same(self.audio, other.audio)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture, its speakers and a prompt.

    Raises:
        PolytalkError: no speaker, nobody with a voice, boxes for only some of the speakers, unknown arrangement.
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

    def __post_init__(self) -> None:
        if isinstance(self.image, str | Path):
            if not str(self.image).strip():
                raise PolytalkError("image", "the file name is empty", "Name a picture file.")
            object.__setattr__(self, "image", Path(self.image))
        elif self.image is None:
            raise PolytalkError("image", "there is none", "Name a picture file, or pass an array.")
        if not isinstance(self.prompt, str):
            raise PolytalkError("prompt", f"it is a {type(self.prompt).__name__}", "Give text; it may be empty.")
        if self.arrangement not in ARRANGEMENTS:
            raise PolytalkError("arrangement", f"{self.arrangement!r} is unknown", 'Use "together" or "turns".')
        self._check_speakers()

    def _check_speakers(self) -> None:
        speakers = (self.speakers,) if isinstance(self.speakers, Speaker) else tuple(self.speakers)
        if not speakers:
            raise PolytalkError("speakers", "there is none", "Give at least one speaker.")
        for speaker in speakers:
            if not isinstance(speaker, Speaker):
                raise PolytalkError("speakers", f"one is a {type(speaker).__name__}", "Give Speaker(audio=...).")
        if all(speaker.audio is None for speaker in speakers):
            raise PolytalkError("speakers", "nobody has a voice", "Give at least one of them audio.")
        without = [i + 1 for i, speaker in enumerate(speakers) if speaker.box is None]
        if 0 < len(without) < len(speakers):
            numbers = ", ".join(map(str, without))
            remedy = "Give every speaker a box, or none."
            raise PolytalkError("box", f"speaker {numbers} has none while others do", remedy)
        object.__setattr__(self, "speakers", speakers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scene):
            return NotImplemented
        names = ("prompt", "speakers", "arrangement", "negative_prompt")
        same = all(getattr(self, name) == getattr(other, name) for name in names)
        return same and _same(self.image, other.image)

    __hash__ = None  # type: ignore[assignment]

    @property
    def boxes(self) -> tuple[Box, ...] | None:
        """Everybody's box, or None when the picture is to be divided evenly."""
        boxes = tuple(speaker.box for speaker in self.speakers if speaker.box is not None)
        return boxes or None

    def check_boxes(self, width: int, height: int) -> None:
        """Raise PolytalkError when a box leaves a picture of `width` × `height` pixels."""
        for number, box in enumerate(self.boxes or (), start=1):
            if box.right > width or box.bottom > height:
                problem = f"{box} of speaker {number} leaves the picture, which is {width} × {height} pixels"
                remedy = "Count pixels of the picture as shown, in the order left,top,right,bottom."
                raise PolytalkError("box", problem, remedy)

    @classmethod
    def from_json(cls, path: str | Path) -> Scene:
        """Read a scene file: Polytalk's own format or the one of the released MultiTalk examples.

        Files named inside are looked for relative to the scene file, then to the working directory, then by their
        bare name beside the scene file.

        Raises:
            PolytalkError: unreadable, unknown or missing keys, a file that is nowhere, or an invalid scene.
        """
        return _read_scene(Path(path))

    def to_json(self, path: str | Path, *, force: bool = False) -> None:
        """Write the scene file; `Scene.from_json` reads it back. Paths beside it are kept relative.

        Raises:
            PolytalkError: picture or sound is in memory only, the file exists and `force` is off, or cannot be written.
        """
        _write_scene(self, Path(path), force=force)


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


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return type(left) is type(right) and left.dtype == right.dtype and np.array_equal(left, right)
    return bool(left == right)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _BoxFile(_Strict):
    left: int
    top: int
    right: int
    bottom: int


class _SpeakerFile(_Strict):
    audio: str | None
    box: _BoxFile | None = None
    offset: float = 0.0


class _SceneFile(_Strict):
    image: str
    prompt: str = ""
    speakers: list[_SpeakerFile]
    arrangement: str = "together"
    negative_prompt: str | None = None


class _ReleasedFile(_Strict):
    prompt: str = ""
    cond_image: str
    cond_audio: dict[str, str] = Field(min_length=1)
    audio_type: Literal["para", "add"] = "para"
    bbox: dict[str, tuple[float, float, float, float]] | None = None


def _read_scene(path: Path) -> Scene:
    """See `Scene.from_json`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = "Name a scene file that can be read."
        raise PolytalkError(str(path), error.strerror or "it cannot be read", remedy) from None
    except (ValueError, RecursionError) as error:
        raise PolytalkError(str(path), f"this is not JSON ({error})", "Give a scene in JSON.") from None
    if not isinstance(content, dict):
        raise PolytalkError(str(path), "this is not a scene", 'The file holds one object: {"image": ...}.')
    try:
        if "cond_image" in content or "cond_audio" in content:
            return _released_scene(_ReleasedFile.model_validate(content), path)
        return _own_scene(_SceneFile.model_validate(content), path)
    except ValidationError as error:
        raise _explain(error, path) from None


def _write_scene(scene: Scene, path: Path, *, force: bool) -> None:
    """See `Scene.to_json`."""
    content: dict[str, Any] = {"image": _written_path(scene.image, "image", path), "prompt": scene.prompt}
    if scene.negative_prompt is not None:
        content["negative_prompt"] = scene.negative_prompt
    content["arrangement"] = scene.arrangement
    content["speakers"] = []
    for speaker in scene.speakers:
        audio = None if speaker.audio is None else _written_path(speaker.audio, "speaker.audio", path)
        entry: dict[str, Any] = {"audio": audio}
        if speaker.box is not None:
            box = speaker.box
            entry["box"] = {"left": box.left, "top": box.top, "right": box.right, "bottom": box.bottom}
        if speaker.offset:
            entry["offset"] = speaker.offset
        content["speakers"].append(entry)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    except FileExistsError:
        raise PolytalkError(str(path), "the file exists", "Choose another name, or overwrite with force.") from None
    except OSError as error:
        remedy = "Choose a folder that can be written to."
        raise PolytalkError(str(path), error.strerror or "it cannot be written", remedy) from None


def _own_scene(file: _SceneFile, path: Path) -> Scene:
    speakers = [
        Speaker(
            audio=None if entry.audio is None else _find_beside(entry.audio, path, f"speakers[{i}].audio"),
            box=None if entry.box is None else Box(**entry.box.model_dump()),
            offset=entry.offset,
        )
        for i, entry in enumerate(file.speakers)
    ]
    image = _find_beside(file.image, path, "image")
    return Scene(image, file.prompt, speakers, file.arrangement, file.negative_prompt)


def _released_scene(file: _ReleasedFile, path: Path) -> Scene:
    """The release writes boxes as top, left, bottom, right, and "None" for a person without sound."""
    people = sorted(file.cond_audio, key=_person_number)
    if file.bbox is not None and sorted(file.bbox, key=_person_number) != people:
        problem = f"there are boxes for {', '.join(file.bbox)} and sounds for {', '.join(people)}"
        raise PolytalkError("bbox", problem, "Give one box per person, or none at all.")
    speakers = []
    for person in people:
        name = file.cond_audio[person]
        audio = None if name == "None" else _find_beside(name, path, f"cond_audio.{person}")
        box = None
        if file.bbox is not None:
            top, left, bottom, right = (int(value) for value in file.bbox[person])
            box = Box(left, top, right, bottom)
        speakers.append(Speaker(audio=audio, box=box))
    image = _find_beside(file.cond_image, path, "cond_image")
    return Scene(image, file.prompt, speakers, RELEASED_ARRANGEMENTS[file.audio_type])


def _find_beside(name: str, scene_file: Path, field: str) -> Path:
    """The file called `name` in `scene_file`: beside it, from the working directory, or its bare name beside it.

    Raises:
        PolytalkError: there is none.
    """
    folder = scene_file.absolute().parent
    # Scene files written on Windows name their neighbours with backslashes.
    bare = re.split(r"[/\\]", name)[-1]
    for candidate in (folder / name, Path.cwd() / name, folder / bare):
        if bare and candidate.is_file():
            return candidate
    remedy = f"Paths count from {folder}, then from {Path.cwd()}."
    raise PolytalkError(field, f"there is no file {name!r}", remedy)


def _written_path(value: Any, field: str, scene_file: Path) -> str:
    if not isinstance(value, Path):
        raise PolytalkError(field, "it is in memory only", "Save it to a file and name that file in the scene.")
    absolute, folder = value.absolute(), scene_file.absolute().parent
    if absolute.is_relative_to(folder):
        return absolute.relative_to(folder).as_posix()
    return os.fspath(absolute)


def _person_number(name: str) -> tuple[int, str]:
    digits = re.sub(r"\D", "", name)
    return (int(digits) if digits else 0, name)


def _explain(error: ValidationError, path: Path) -> PolytalkError:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or path.name
    if first["type"] == "extra_forbidden":
        known = _SceneFile.model_fields | _ReleasedFile.model_fields
        remedy = f"Known are {', '.join(known)}." if len(first["loc"]) == 1 else "Remove it."
        return PolytalkError(field, f"{path.name} has an unknown key", remedy)
    if first["type"] == "missing":
        return PolytalkError(field, f"{path.name} lacks this key", "Add it.")
    return PolytalkError(field, f"{path.name}: {first['msg']}", "Correct the file.")
