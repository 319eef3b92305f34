"""Scene files of the released MultiTalk: tracks by "para" and "add", or texts with "(s1)", "(s2)" to be synthesised."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from polytalk.errors import PolytalkError
from polytalk.scene.box import Box
from polytalk.scene.formats.fields import SceneFields
from polytalk.scene.formats.json_places import find_value
from polytalk.scene.formats.position import TextFile, relative_name
from polytalk.scene.speaker import Speaker
from polytalk.scene.utterance import Utterance

AnyScene = TypeVar("AnyScene")

RELEASED_ARRANGEMENTS = {"para": "together", "add": "turns"}
"""In the release "add" places the tracks one after the other (person1 first); each is silent while another speaks."""
_MOST_PEOPLE = 9999
"""Highest number of a person, against files that make up thousands of millions."""
_VOICES = "weights/Kokoro-82M/voices/"
"""Where the release keeps the voices of its synthesiser, one file each."""
_VOICE_KEY = re.compile(r"human([1-9]\d{0,3})_voice")
_TURN = re.compile(r"\(s(\d{1,4})\)")


class ReleasedFile(BaseModel):
    """As read by the release's generate_multitalk.py."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    prompt: str = ""
    cond_image: str
    cond_audio: dict[str, str] = Field(default_factory=dict)
    audio_type: Literal["para", "add"] = "para"
    bbox: dict[str, tuple[float, float, float, float]] | None = None
    tts_audio: dict[str, str] | None = None


def released_scene(file: ReleasedFile, source: TextFile, make: Callable[..., AnyScene]) -> AnyScene:
    """The scene of a released file, built with `make`.

    The release writes boxes as top, left, bottom, right, and "None" for a person without sound.

    Raises:
        PolytalkError: a file is nowhere, boxes do not fit the people, sounds and texts contradict.
    """
    if file.tts_audio is not None and not file.cond_audio:
        return _spoken_scene(file, file.tts_audio, source, make)
    if file.tts_audio is not None:
        at = find_value(source.text, ("tts_audio",))
        raise source.error(at, "tts_audio", "there are sounds in cond_audio, too", "Leave one of them empty.")
    if not file.cond_audio:
        at = find_value(source.text, ("cond_audio",))
        raise source.error(at, "cond_audio", "nobody is in it", "Name a sound for each person, or give tts_audio.")
    people = sorted(file.cond_audio, key=_person_number)
    boxes = _boxes(file, people, source)
    speakers = []
    for person, box in zip(people, boxes, strict=True):
        name, place = file.cond_audio[person], ("cond_audio", person)
        where = partial(find_value, source.text, place)
        audio = None if name == "None" else source.find(name, where, f"cond_audio.{person}")
        speakers.append(Speaker(audio=audio, box=box))
    image = source.find(file.cond_image, find_value(source.text, ("cond_image",)), "cond_image")
    return make(image, file.prompt, speakers, RELEASED_ARRANGEMENTS[file.audio_type])


def format_released(scene: SceneFields, path: Path) -> str:
    """A scene as the text of a released file at `path`, as far as the format goes.

    Raises:
        PolytalkError: picture or sound is in memory only, or it has both tracks and utterances.
    """
    content: dict[str, Any] = {"prompt": scene.prompt, "cond_image": relative_name(scene.image, "image", path)}
    numbers = {release: ours for ours, release in RELEASED_ARRANGEMENTS.items()}
    content["audio_type"] = numbers[scene.arrangement]
    people = [f"person{i}" for i, _ in enumerate(scene.speakers, start=1)]
    if scene.utterances:
        content["tts_audio"] = _texts(scene)
        content["cond_audio"] = {}
    else:
        sounds = [s.audio if s.audio is None else relative_name(s.audio, "speaker.audio", path) for s in scene.speakers]
        content["cond_audio"] = {name: sound or "None" for name, sound in zip(people, sounds, strict=True)}
    if scene.boxes:
        edges = [[box.top, box.left, box.bottom, box.right] for box in scene.boxes]
        content["bbox"] = dict(zip(people, edges, strict=True))
    return json.dumps(content, indent=4, ensure_ascii=False) + "\n"


def _texts(scene: SceneFields) -> dict[str, str]:
    said = []
    for place, utterance in enumerate(scene.utterances):
        if utterance.text is None or utterance.audio is not None:
            problem = "released files hold either texts or whole tracks"
            raise PolytalkError(f"utterances[{place}]", problem, "Write Polytalk's own JSON.")
        said.append(f"(s{scene.index_of(utterance) + 1}) {utterance.text}")
    voices = {f"human{i}_voice": s.voice or "" for i, s in enumerate(scene.speakers, start=1)}
    return {"text": " ".join(said)} | {k: v if v in ("", "None") else f"{_VOICES}{v}.pt" for k, v in voices.items()}


def _spoken_scene(
    file: ReleasedFile, spoken: dict[str, str], source: TextFile, make: Callable[..., AnyScene]
) -> AnyScene:
    """Texts: "(s1) Hello. (s2) Hi." with one voice per person; without "(s1)" all of it is the first person's."""
    at = find_value(source.text, ("tts_audio",))
    if "text" not in spoken:
        raise source.error(at, "tts_audio.text", f"{source.path.name} lacks this key", "Add it.")
    voices: dict[int, str] = {}
    for key, voice in spoken.items():
        match = _VOICE_KEY.fullmatch(key)
        if match:
            voices[int(match.group(1))] = voice
        elif key != "text":
            place = find_value(source.text, ("tts_audio", key))
            remedy = "Known are text, human1_voice, human2_voice and so on."
            raise source.error(place, f"tts_audio.{key[:60]}", f"{source.path.name} has an unknown key", remedy)
    at = find_value(source.text, ("tts_audio", "text"))
    turns = _turns(spoken["text"])
    if turns is None:
        problem, remedy = "somebody speaks before the first (s1)", "Begin with (s1)."
        raise source.error(at, "tts_audio.text", problem, remedy)
    numbers = [number for number, _ in turns]
    if min(numbers, default=1) < 1:
        raise source.error(at, "tts_audio.text", "there is no person (s0)", "People count from (s1).")
    # Voices and boxes say how many there are; somebody may say nothing.
    count = max([*voices, *(_person_number(name)[0] for name in file.bbox or {})], default=max(numbers))
    if max(numbers) > count:
        problem = f"(s{max(numbers)}) is nobody"
        raise source.error(at, "tts_audio.text", problem, f"Add human{max(numbers)}_voice.")
    if count > _MOST_PEOPLE:
        raise source.error(at, "tts_audio", f"there is a person {count}", "Count people from 1 without gaps.")
    people = [f"person{i}" for i in range(1, count + 1)]
    try:
        speakers = [
            Speaker(box=box, voice=_voice_name(voices.get(i, "")))
            for i, box in enumerate(_boxes(file, people, source), start=1)
        ]
        # The release lets one turn follow the other at once.
        utterances = [Utterance(number - 1, text, pause=0.0) for number, text in turns if text.split()]
        image = source.find(file.cond_image, find_value(source.text, ("cond_image",)), "cond_image")
        return make(image, file.prompt, speakers, utterances=utterances)
    except PolytalkError as error:
        raise source.at(at, error) from None


def _turns(text: str) -> list[tuple[int, str]] | None:
    """(person from 1, text) of each turn; None if something stands before the first mark."""
    marks = list(_TURN.finditer(text))
    if not marks:
        return [(1, text)]
    if text[: marks[0].start()].strip():
        return None
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [(int(mark.group(1)), text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]


def _boxes(file: ReleasedFile, people: list[str], source: TextFile) -> list[Box | None]:
    if file.bbox is None:
        return [None] * len(people)
    at = find_value(source.text, ("bbox",))
    if sorted(file.bbox, key=_person_number) != people:
        problem = f"there are boxes for {', '.join(file.bbox)} and sounds for {', '.join(people)}"
        raise source.error(at, "bbox", problem, "Give one box per person, or none at all.")
    boxes: list[Box | None] = []
    for person in people:
        top, left, bottom, right = (int(value) for value in file.bbox[person])
        try:
            boxes.append(Box(left, top, right, bottom))
        except PolytalkError as error:
            raise source.at(find_value(source.text, ("bbox", person)), error) from None
    return boxes


def _voice_name(path: str) -> str | None:
    """`weights/Kokoro-82M/voices/am_adam.pt` is the voice am_adam; the format has no other place for names."""
    name = PureWindowsPath(path).name.removesuffix(".pt")
    return name or None


def _person_number(name: str) -> tuple[int, str]:
    digits = re.sub(r"[^0-9]", "", name)[:9]
    return (int(digits) if digits else 0, name)
