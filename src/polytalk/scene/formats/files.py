"""Scene files in JSON: Polytalk's own format, and the one of the released MultiTalk examples."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from polytalk.errors import PolytalkError
from polytalk.scene.box import Box
from polytalk.scene.formats.fields import SceneFields
from polytalk.scene.formats.json_places import find_duplicate, find_value
from polytalk.scene.formats.position import TextError, TextFile, relative_name, shortened, write_text
from polytalk.scene.formats.released import ReleasedFile, released_scene
from polytalk.scene.speaker import Speaker
from polytalk.scene.utterance import Cue, Utterance

AnyScene = TypeVar("AnyScene")

VERSION = 2
"""Of Polytalk's own format. 1 had one track per speaker and named no version; it is read still."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class BoxFile(_Strict):
    """A rectangle in pixels of the picture as shown (after its EXIF rotation); right and bottom exclusive."""

    left: int = Field(description="First column, from 0.")
    top: int = Field(description="First row, from 0.")
    right: int = Field(description="One past the last column.")
    bottom: int = Field(description="One past the last row.")

    def box(self) -> Box:
        return Box(self.left, self.top, self.right, self.bottom)


class SpeakerFile(_Strict):
    """One person in the picture."""

    name: str | None = Field(None, description="What utterances call this person; unique in the scene.")
    audio: str | None = Field(None, description="File with this person's whole track; none if utterances bring it.")
    voice: str | None = Field(None, description="Voice in which a synthesiser speaks this person's texts.")
    box: BoxFile | None = Field(None, description="Where this person is; everybody has a box, or nobody.")
    offset: float = Field(0.0, description="Seconds of silence before the track.")
    point: tuple[float, float] | None = Field(None, description="Or: x and y of a pixel that shows this person.")
    mask: str | None = Field(None, description="Or: picture file, this person white (or a colour each) on black.")


class UtteranceFile(_Strict):
    """One person says one thing."""

    speaker: StrictInt | StrictStr = Field(description="A speaker's name, or the place among the speakers, from 0.")
    text: str | None = Field(None, description="What is said; synthesised unless there is audio.")
    audio: str | None = Field(None, description="File with the sound.")
    cut: tuple[float, float] | None = Field(None, description="Seconds from and to which the file is taken.")
    start: float | None = Field(None, description="Seconds from the video's start; none: after all before it.")
    end: float | None = Field(None, description="Seconds from the video's start by which the sound must have ended.")
    pause: float | None = Field(None, description="Seconds of silence before it; negative: an overlap. Without start.")
    prompt: str | None = Field(None, description="What happens meanwhile, in addition to the scene's prompt.")


class CueFile(_Strict):
    """From some time on, another prompt or another picture holds."""

    start: float | None = Field(None, description="Seconds from the video's start.")
    utterance: StrictInt | None = Field(None, description="Or: place, from 0, of the utterance that it starts with.")
    prompt: str | None = Field(None, description="The prompt from then on.")
    image: str | None = Field(None, description="The picture from then on: a file.")
    boxes: list[BoxFile] | None = Field(None, description="Where everybody is in that picture.")


class SceneFile(_Strict):
    """A picture, its speakers, what they say and what happens. Files are named relative to this one."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, title="Polytalk scene")

    schema_link: str | None = Field(None, alias="$schema", description="Where this schema lies, for editors.")
    version: Literal[1, 2] = Field(1, description="Version of the format.")
    image: str = Field(description="The picture: a file.")
    prompt: str = Field("", description="What happens, in words.")
    negative_prompt: str | None = Field(None, description="What must not happen.")
    arrangement: Literal["together", "turns"] = Field("together", description="How whole tracks are laid in time.")
    speakers: list[SpeakerFile] = Field(description="From left to right, or in any order with boxes.")
    utterances: list[UtteranceFile] = Field([], description="What is said, in order.")
    cues: list[CueFile] = Field([], description="What changes on the way.")
    soundtrack: str | None = Field(None, description="What the audience hears instead of the voices together: a file.")
    casting: dict[str, Any] | None = Field(
        None, description="How `polytalk cast` came to this scene: for people to read, without effect."
    )


def read_scene(path: Path, make: Callable[..., AnyScene]) -> AnyScene:
    """See `Scene.from_json`; `make` is the class."""
    return parse_scene(TextFile.read(path, "JSON"), make)


def parse_scene(source: TextFile, make: Callable[..., AnyScene]) -> AnyScene:
    """The scene in a JSON text.

    Args:
        source: the text.
        make: what a scene is built with, from the values of `SceneFields` in their order.

    Raises:
        PolytalkError: as `Scene.from_json`.
    """
    content = _load(source)
    is_released = "cond_image" in content or "cond_audio" in content or "tts_audio" in content
    version = content.get("version", 1)
    if not is_released and isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        at = find_value(source.text, ("version",))
        problem = f"version {shortened(str(version))} is newer than this Polytalk, which reads up to {VERSION}"
        raise source.error(at, "version", problem, "Bring Polytalk up to date.")
    try:
        if is_released:
            return released_scene(ReleasedFile.model_validate(content), source, make)
        return _own_scene(SceneFile.model_validate(content), source, make)
    except ValidationError as error:
        raise _explain(error, source) from None
    except TextError:
        raise
    except PolytalkError as error:
        raise source.at(find_value(source.text, _scene_place(error.field)), error) from None


def write_scene(scene: SceneFields, path: Path, *, force: bool, casting: Mapping[str, Any] | None = None) -> None:
    """See `Scene.to_json`; `casting` stands in the file for people to read."""
    write_text(path, format_scene(scene, path, casting), force=force)


def format_scene(scene: SceneFields, path: Path, casting: Mapping[str, Any] | None = None) -> str:
    """A scene as the text of a file at `path`.

    Raises:
        PolytalkError: picture or sound is in memory only.
    """
    content: dict[str, Any] = {"version": VERSION, "image": relative_name(scene.image, "image", path)}
    content["prompt"] = scene.prompt
    if scene.negative_prompt is not None:
        content["negative_prompt"] = scene.negative_prompt
    content["arrangement"] = scene.arrangement
    content["speakers"] = [_speaker_entry(speaker, path) for speaker in scene.speakers]
    if scene.utterances:
        content["utterances"] = [_utterance_entry(utterance, path) for utterance in scene.utterances]
    if scene.cues:
        content["cues"] = [_cue_entry(cue, path) for cue in scene.cues]
    if scene.soundtrack is not None:
        content["soundtrack"] = relative_name(scene.soundtrack, "soundtrack", path)
    if casting:
        content["casting"] = dict(casting)
    return pretty_json(content) + "\n"


def pretty_json(content: Any) -> str:
    """JSON with a line for each entry, but lists of numbers on one."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return re.sub(r"\[\s+([-\d.,e+\s]+?)\s+\]", lambda found: f"[{' '.join(found.group(1).split())}]", text)


def _speaker_entry(speaker: Speaker, path: Path) -> dict[str, Any]:
    audio = None if speaker.audio is None else relative_name(speaker.audio, "speaker.audio", path)
    entry: dict[str, Any] = {"name": speaker.name, "audio": audio, "voice": speaker.voice}
    entry["box"] = None if speaker.box is None else _box_entry(speaker.box)
    entry["offset"] = speaker.offset or None
    entry["point"] = None if speaker.point is None else list(speaker.point)
    entry["mask"] = None if speaker.mask is None else relative_name(speaker.mask, "speaker.mask", path)
    # Version 1 had to name the sound, even if there is none.
    return {name: value for name, value in entry.items() if value is not None or name == "audio"}


def _utterance_entry(utterance: Utterance, path: Path) -> dict[str, Any]:
    names = ("speaker", "start", "end", "pause", "text", "cut", "prompt")
    entry = {name: getattr(utterance, name) for name in names}
    if utterance.audio is not None:
        entry["audio"] = relative_name(utterance.audio, "utterance.audio", path)
    return {name: value for name, value in entry.items() if value is not None}


def _cue_entry(cue: Cue, path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"start": cue.start, "utterance": cue.utterance, "prompt": cue.prompt}
    if cue.image is not None:
        entry["image"] = relative_name(cue.image, "cue.image", path)
    if cue.boxes is not None:
        entry["boxes"] = [_box_entry(box) for box in cue.boxes]
    return {name: value for name, value in entry.items() if value is not None}


def _box_entry(box: Box) -> dict[str, int]:
    return {"left": box.left, "top": box.top, "right": box.right, "bottom": box.bottom}


def _load(source: TextFile) -> dict[str, Any]:
    field = str(source.path)
    try:
        content = json.loads(source.text)
    except (ValueError, RecursionError) as error:
        offset = getattr(error, "pos", 0)
        reason = getattr(error, "msg", str(error))
        raise source.error(offset, field, f"this is not JSON ({reason})", "Give a scene in JSON.") from None
    if not isinstance(content, dict):
        raise source.error(0, field, "this is not a scene", 'The file holds one object: {"image": ...}.')
    twice = find_duplicate(source.text)
    if twice is not None:
        offset, key = twice
        raise source.error(offset, shortened(key), "this key is there twice", "Keep one of them.")
    return content


def _own_scene(file: SceneFile, source: TextFile, make: Callable[..., AnyScene]) -> AnyScene:
    def find(name: str | None, *place: str | int) -> Path | None:
        if name is None:
            return None
        return source.find(name, lambda: find_value(source.text, place), _field(place))

    def placed(kind: str, i: int, part: Any, **values: Any) -> Any:
        try:
            return part(**values)
        except PolytalkError as error:
            place = (kind, i, error.field.partition(".")[2])
            raise source.at(find_value(source.text, place), error) from None

    speakers, utterances, cues = [], [], []
    for i, entry in enumerate(file.speakers):
        if not file.utterances and "audio" not in entry.model_fields_set:
            at = find_value(source.text, ("speakers", i))
            problem = f"{source.path.name} lacks this key"
            raise source.error(at, f"speakers.{i}.audio", problem, "Add it; null for somebody who only listens.")
        values: dict[str, Any] = {"audio": find(entry.audio, "speakers", i, "audio"), "offset": entry.offset}
        values |= {"name": entry.name, "voice": entry.voice, "point": entry.point}
        values["mask"] = find(entry.mask, "speakers", i, "mask")
        box = None if entry.box is None else placed("speakers", i, entry.box.box)
        speakers.append(placed("speakers", i, Speaker, box=box, **values))
    for i, said in enumerate(file.utterances):
        values = said.model_dump(exclude={"audio"}) | {"audio": find(said.audio, "utterances", i, "audio")}
        utterances.append(placed("utterances", i, Utterance, **values))
    for i, cue in enumerate(file.cues):
        values = cue.model_dump(include={"start", "utterance", "prompt"})
        values["image"] = find(cue.image, "cues", i, "image")
        values["boxes"] = None if cue.boxes is None else [placed("cues", i, box.box) for box in cue.boxes]
        cues.append(placed("cues", i, Cue, **values))
    image = find(file.image, "image")
    soundtrack = find(file.soundtrack, "soundtrack")
    return make(image, file.prompt, speakers, file.arrangement, file.negative_prompt, utterances, cues, soundtrack)


def _field(place: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _scene_place(field: str) -> tuple[str | int, ...]:
    """Where in the file stands what a `Scene` calls `field`, e.g. "utterances[3].speaker"."""
    parts = re.findall(r"\w+", field)
    return tuple(int(part) if part.isdigit() else part for part in parts)


def _explain(error: ValidationError, source: TextFile) -> PolytalkError:
    first = error.errors()[0]
    place, name = tuple(first["loc"]), source.path.name
    field = shortened(".".join(str(part) for part in place)) or name
    at = find_value(source.text, place)
    if first["type"] == "extra_forbidden":
        known = [*SceneFile.model_fields, *ReleasedFile.model_fields]
        remedy = f"Known are {', '.join(dict.fromkeys(known))}." if len(place) == 1 else "Remove it."
        return source.error(at, field, f"{name} has an unknown key", remedy)
    if first["type"] == "missing":
        return source.error(at, field, f"{name} lacks this key", "Add it.")
    return source.error(at, field, f"{name}: {first['msg']}", "Correct the file.")
