"""The one door to all formats of scenes: `read`, `write` and `parse`, the table `FORMATS`, and the JSON `schema`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polytalk.assets import asset
from polytalk.errors import PolytalkError
from polytalk.scene import Box, Cue, Scene, Speaker, Utterance
from polytalk.scene.formats.draft import Beside
from polytalk.scene.formats.files import SceneFile, format_scene, parse_scene, pretty_json
from polytalk.scene.formats.position import TextFile, write_text
from polytalk.scene.formats.released import format_released
from polytalk.scene.formats.rttm import format_rttm, parse_rttm
from polytalk.scene.formats.script import format_script, parse_script
from polytalk.scene.formats.subtitles import format_srt, format_vtt, parse_srt, parse_vtt
from polytalk.scene.schedule import Schedule

__all__ = ["FORMATS", "Format", "make_schema", "parse", "pretty_json", "read", "schema", "timed", "write"]


@dataclass(frozen=True)
class Format:
    """One kind of file."""

    kind: str
    """For people."""
    endings: tuple[str, ...]
    """Of file names, lower case."""
    parse: Callable[[TextFile, Beside], Scene]
    """Text to scene."""
    format: Callable[[Scene, Path], str]
    """Scene to the text of a file at a path."""


def _parse_json(source: TextFile, beside: Beside) -> Scene:
    """Both kinds of JSON; what is said beside goes before what is in the file."""
    if beside.speakers or beside.recording is not None or not beside.times:
        problem = f"{source.path.name} says everything itself"
        raise PolytalkError("speakers", problem, "Give only picture, prompts, voices and boxes beside it.")
    scene = parse_scene(source, Scene)
    if beside.boxes and len(beside.boxes) != len(scene.speakers):
        problem = f"there are {len(beside.boxes)} boxes and {len(scene.speakers)} speakers"
        raise PolytalkError("boxes", problem, "Give one box per speaker, or none at all.")
    unknown = [name for name in beside.voices if name not in scene.names]
    if unknown:
        raise PolytalkError("voices", f"{unknown[0]!r} is nobody here", f"Known are {', '.join(scene.names)}.")
    boxes: Sequence[Box | None] = beside.boxes or [speaker.box for speaker in scene.speakers]
    speakers = [
        dataclasses.replace(speaker, box=box, voice=beside.voices.get(name, speaker.voice))
        for name, speaker, box in zip(scene.names, scene.speakers, boxes, strict=True)
    ]
    given = {name: getattr(beside, name) for name in ("image", "prompt", "negative_prompt")}
    changes = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(scene, speakers=speakers, **changes)


FORMATS: Mapping[str, Format] = {
    "json": Format("JSON", (".json",), _parse_json, format_scene),
    "released": Format("JSON", (), _parse_json, format_released),
    "script": Format("a script", (".txt", ".script"), parse_script, format_script),
    "srt": Format("SubRip subtitles", (".srt",), parse_srt, format_srt),
    "vtt": Format("WebVTT subtitles", (".vtt",), parse_vtt, format_vtt),
    "rttm": Format("RTTM turns", (".rttm",), parse_rttm, format_rttm),
}
"""By name."""


def read(
    path: str | Path,
    *,
    format: str | None = None,
    image: Any = None,
    prompt: str | None = None,
    negative_prompt: str | None = None,
    speakers: Sequence[Speaker] = (),
    voices: Mapping[str, str] | None = None,
    boxes: Sequence[Box] = (),
    recording: str | Path | Mapping[str, str | Path] | None = None,
    times: bool = True,
) -> Scene:
    """Read a conversation from a file.

    Args:
        path: Polytalk's or the released JSON (.json), a script (.txt, .script; see `polytalk.scene.formats.script`),
            SubRip or WebVTT subtitles that name their speakers (.srt, .vtt), or RTTM turns (.rttm).
        format: one of `FORMATS`, when the ending does not say.
        image: the picture: a file, an array (height, width[, channels]) or a PIL image.
        prompt, negative_prompt: of the scene.
        speakers: everybody in the picture, with names; people who never speak can be among them. None: those in the
            file, in the order in which they appear.
        voices: names of speakers to names of a synthesiser's voices.
        boxes: where everybody is, in the order of the speakers.
        recording: the sound in whose time the file counts: each turn is cut from it; one for all, or one per name.
            Needed by RTTM; with subtitles it replaces the synthesiser.
        times: off for subtitles whose times are not those of the video: everything follows what was before it.

    Raises:
        PolytalkError: unreadable, unknown or not understood, always with line and column; no picture anywhere.
    """
    path = Path(path)
    chosen = _format(path, format)
    beside = _beside(image, prompt, negative_prompt, speakers, voices, boxes, recording, times)
    return chosen.parse(TextFile.read(path, chosen.kind), beside)


def parse(content: str | bytes, format: str, path: str | Path = "scene", **beside: Any) -> Scene:
    """As `read`, from memory.

    Args:
        content: of the file.
        format: one of `FORMATS`.
        path: where it would lie; files that it names are looked for beside that.
        beside: as in `read`.

    Raises:
        PolytalkError: as `read`.
    """
    chosen = _format(Path(path), format)
    content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    source = TextFile.decode(content, Path(path), chosen.kind)
    known = {"image": None, "prompt": None, "negative_prompt": None, "speakers": (), "voices": None, "boxes": ()}
    return chosen.parse(source, _beside(**{**known, "recording": None, "times": True, **beside}))


def write(
    scene: Scene, path: str | Path, *, format: str | None = None, force: bool = False, lossy: bool = False
) -> None:
    """Write a conversation so that `read` gives the same scene back.

    What a format has no place for must be given beside when it is read: the picture, prompts, names with boxes and
    voices (subtitles and RTTM: the speakers, and the recording that all is cut from).

    Args:
        scene: what to write.
        path: where to.
        format: one of `FORMATS`, when the ending does not say.
        force: overwrite.
        lossy: leave out what the format cannot hold instead of refusing, e.g. for subtitles to show.

    Raises:
        PolytalkError: the format cannot hold the scene, or the file cannot be written.
    """
    path = Path(path)
    chosen = _format(path, format)
    text = chosen.format(scene, path)
    if not lossy:
        _check_kept(scene, text, path, chosen)
    write_text(path, text, force=force)


def schema() -> dict[str, Any]:
    """The JSON schema of Polytalk's own format (draft 2020-12)."""
    return json.loads(asset("scene.schema.json").read_text(encoding="utf-8"))


def make_schema() -> dict[str, Any]:
    """The schema as the reader's own classes say it; `schema` gives the file of it that comes with Polytalk."""
    made = SceneFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def timed(scene: Scene, schedule: Schedule) -> Scene:
    """The scene with start and end of every utterance and cue filled in, as subtitles and RTTM need it: in thousandths.

    Args:
        scene: what is asked for.
        schedule: its times, from `lay_out` or a loaded conversation.
    """
    turns = {turn.utterance: turn for turn in schedule.turns if turn.utterance is not None}
    said: list[Utterance] = []
    for place, utterance in enumerate(scene.utterances):
        turn = turns[place]
        start, end = round(turn.start, 3), round(turn.stop, 3)
        said.append(dataclasses.replace(utterance, start=start, end=max(end, round(start + 0.001, 3)), pause=None))
    starts = {cue.start for cue in scene.cues}
    cues: list[Cue] = []
    for cue in scene.cues:
        if cue.utterance is not None:
            start = round(turns[cue.utterance].start, 3)
            if start in starts:  # the one with an utterance has the last word
                cues = [other for other in cues if other.start != start]
            cue = dataclasses.replace(cue, start=start, utterance=None)
        cues.append(cue)
    return dataclasses.replace(scene, utterances=said, cues=cues)


def _format(path: Path, name: str | None) -> Format:
    if name is not None:
        if name not in FORMATS:
            raise PolytalkError("format", f"{name!r} is unknown", f"Known are {', '.join(FORMATS)}.")
        return FORMATS[name]
    for chosen in FORMATS.values():
        if path.suffix.lower() in chosen.endings:
            return chosen
    endings = ", ".join(ending for chosen in FORMATS.values() for ending in chosen.endings)
    raise PolytalkError(str(path), "its ending says nothing", f"Known are {endings}; or name the format.")


def _beside(
    image: Any,
    prompt: str | None,
    negative_prompt: str | None,
    speakers: Sequence[Speaker],
    voices: Mapping[str, str] | None,
    boxes: Sequence[Box],
    recording: str | Path | Mapping[str, str | Path] | None,
    times: bool,
) -> Beside:
    found: Path | Mapping[str, Path] | None = None
    if isinstance(recording, Mapping):
        found = {name: Path(file) for name, file in recording.items()}
    elif recording is not None:
        found = Path(recording)
    image = Path(image) if isinstance(image, str) else image
    people = (speakers,) if isinstance(speakers, Speaker) else tuple(speakers)
    return Beside(image, prompt, negative_prompt, people, voices or {}, tuple(boxes), found, times)


def _check_kept(scene: Scene, text: str, path: Path, chosen: Format) -> None:
    """Read it back; what is given beside at reading is left out of the comparison."""
    given: dict[str, Any] = {}
    if chosen.parse is not _parse_json:
        given = {"negative_prompt": scene.negative_prompt, "boxes": scene.boxes or ()}
        if chosen.parse is not parse_script or not isinstance(scene.image, Path):
            given["image"] = scene.image
        if chosen.parse is not parse_script:
            given |= {"prompt": scene.prompt, "recording": _recordings(scene), "boxes": ()}
            given["speakers"] = scene.speakers
    try:
        back = parse(text, _name_of(chosen), path, **given)
    except PolytalkError as error:
        remedy = "Write JSON, or write it lossy."
        raise PolytalkError(error.field, f"{chosen.kind} cannot hold it ({error.problem})", remedy) from None
    if back == scene:
        return
    compared = (f.name for f in dataclasses.fields(Scene) if f.name != "image")
    field = next((name for name in compared if getattr(back, name) != getattr(scene, name)), "image")
    if field in ("utterances", "cues", "speakers"):
        pairs = zip(getattr(scene, field), getattr(back, field), strict=False)
        place = next((i for i, (mine, theirs) in enumerate(pairs) if mine != theirs), 0)
        field = f"{field}[{place}]"
    raise PolytalkError(field, f"{chosen.kind} cannot hold all of it", "Write JSON, or write it lossy.")


def _recordings(scene: Scene) -> Path | dict[str, Path] | None:
    """The file or files that utterances are cut from at their own times."""
    files: dict[str, Path] = {}
    for utterance in scene.utterances:
        if isinstance(utterance.audio, Path) and utterance.cut == (utterance.start, utterance.end):
            files[str(utterance.speaker)] = utterance.audio
    return next(iter(files.values())) if len(set(files.values())) == 1 else files or None


def _name_of(chosen: Format) -> str:
    return next(name for name, known in FORMATS.items() if known is chosen)
