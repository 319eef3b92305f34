"""Who is who on the command line: options to a proposal, and what is shown before a video is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polytalk.errors import PolytalkError
from polytalk.scene import Box, Scene

if TYPE_CHECKING:
    from polytalk.casting.cast import CastProposal
    from polytalk.generation.preflight import Preflight
    from polytalk.generation.request import CloseUpWishes, Wishes

_MOST_TURNS = 12
"""Rows of the timeline that are shown."""


@dataclass(frozen=True)
class CastWishes:
    """Options about who is who, as they were given.

    Raises:
        PolytalkError: one that is not understood.
    """

    find: bool = True
    """Look for people."""
    assign: Sequence[str] = ()
    """ "Anna=2": a voice's name or number, and a person's number."""
    points: Sequence[str] = ()
    """ "x,y", one for each speaker."""
    masks: Sequence[Path] = ()
    """Pictures of each speaker's shape; or one of all, in a colour each."""
    swap: bool = False
    """Exchange the first two voices."""
    preview: Path | None = None
    """Picture of who is where to write."""
    dry_run: bool = False
    """Stop after that."""

    def __post_init__(self) -> None:
        self.assigned()
        self.pointed()

    def assigned(self) -> dict[str | int, int]:
        """Voice's name, or place from 0, to a person's number."""
        found: dict[str | int, int] = {}
        for text in self.assign:
            voice, _, number = text.rpartition("=")
            voice, number = voice.strip(), number.strip()
            if not voice or not number.isdecimal():
                remedy = "Write a voice and a person's number, like Anna=2 or 1=2."
                raise PolytalkError("--assign", f"it is {text!r}", remedy)
            found[int(voice) - 1 if voice.isdecimal() else voice] = int(number)
        return found

    def pointed(self) -> list[tuple[float, float]]:
        """Points in pixels of the picture."""
        found = []
        for text in self.points:
            try:
                x, y = (float(part) for part in text.split(","))
            except ValueError:
                raise PolytalkError("--point", f"it is {text!r}", "Write pixels like 320,140.") from None
            found.append((x, y))
        return found


def recorded_scene(
    image: Any,
    recording: Path,
    num_voices: int | None,
    boxes: Sequence[Box],
    given: dict[str, Any],
    *,
    find: bool = True,
    separate_music: bool = False,
) -> Scene:
    """A picture and one recording as a scene: the voices in it are found.

    Args:
        image: picture or video.
        recording: a sound file.
        num_voices: how many speak; None: as many as there are boxes, or as are heard.
        boxes: of everybody who speaks, in the order of first speech, or none.
        given: further fields of the scene.
        find: look for people, since no more than are there can speak.
        separate_music: find and use the voices without the music; what is heard stays the recording.

    Raises:
        PolytalkError: no sound, nobody speaks, another number of boxes than voices, or no separator.
    """
    import dataclasses

    import numpy as np

    from polytalk.casting.cast import look_for_people
    from polytalk.casting.recording import scene_of_recording, voices_of
    from polytalk.media.audio import load_audio
    from polytalk.media.image import load_image

    if num_voices is not None and num_voices < 1:
        raise PolytalkError("--num-voices", f"it is {num_voices}", "Give 1 or more.")
    known = num_voices or len(boxes) or None
    sound = load_audio(recording, "recording")
    picture = load_image(image)
    people = len(look_for_people(np.asarray(picture))) if find and not known else 0
    if separate_music:
        from polytalk.casting.voices.music import separate_voice

        sound = separate_voice(sound)
        source: dict[str, Any] = {"recording": sound.samples, "sample_rate": sound.sample_rate}
    else:
        source = {"recording": recording}
    scene = scene_of_recording(image, found=voices_of(sound, known, people), **source, **given)
    if separate_music:
        scene = dataclasses.replace(scene, soundtrack=recording)
    if not boxes:
        return scene
    if len(boxes) != len(scene.speakers):
        problem = f"there are {len(boxes)} boxes and {len(scene.speakers)} voices in the recording"
        raise PolytalkError("--box", problem, "Give one box per voice, in the order of first speech, or none at all.")
    speakers = [dataclasses.replace(one, box=box) for one, box in zip(scene.speakers, boxes, strict=True)]
    return dataclasses.replace(scene, speakers=speakers)


def propose(scene: Scene, wishes: CastWishes) -> CastProposal:
    """Who is where and who is who.

    Raises:
        PolytalkError: as `cast_scene`.
    """
    from polytalk.casting.cast import cast_scene

    if wishes.masks:
        scene = _with_masks(scene, wishes.masks)
    options: dict[str, Any] = {"assign": wishes.assigned(), "points": wishes.pointed(), "swap": wishes.swap}
    return cast_scene(scene, find=wishes.find, **options)


def _with_masks(scene: Scene, masks: Sequence[Path]) -> Scene:
    import dataclasses

    files = list(masks) * len(scene.speakers) if len(masks) == 1 else list(masks)
    if len(files) != len(scene.speakers):
        problem = f"there are {len(masks)} and {len(scene.speakers)} speakers"
        raise PolytalkError("--mask", problem, "Give one for each, or one picture with a colour for each.")
    speakers = [
        dataclasses.replace(speaker, mask=path, box=None, point=None)
        for speaker, path in zip(scene.speakers, files, strict=True)
    ]
    return dataclasses.replace(scene, speakers=speakers)


def look_ahead(proposal: CastProposal, wishes: Wishes, close_ups: CloseUpWishes | None = None) -> Preflight:
    """What is known before the video is made, for the model that the options name.

    Args:
        proposal: who is who.
        wishes: the command's options about model and video.
        close_ups: those about close-ups; None: none were given.

    Raises:
        PolytalkError: no such model, or picture and sounds cannot be read.
    """
    from polytalk.conditioning.picture import choose_size
    from polytalk.generation.preflight import preflight
    from polytalk.generation.request import CloseUpWishes
    from polytalk.media.image import load_image

    given, size_class = wishes.frame_size(proposal.scene), _size_class(wishes)
    picture = load_image(proposal.scene.image)
    size = given or choose_size(picture.width, picture.height, size_class)
    near = (close_ups or CloseUpWishes()).plan(proposal.scene, proposal.people, size_class, given)
    seconds = wishes.max_seconds
    return preflight(proposal, size, music=_music_detector(), max_seconds=seconds, close_ups=near is not None)


def show(shown: Preflight, console: Console) -> None:
    """People, timeline, notes and warnings as tables and lines."""
    people = Table(title="who is who", title_justify="left")
    for column in ("speaker", "where", "box", "voice", "speaks", "why"):
        people.add_column(column, overflow="fold", no_wrap=column in ("box", "speaks"))
    for row in shown.people:
        speaks = f"{row.seconds:.1f} s"
        people.add_row(*map(escape, (row.name, row.person, str(row.box), row.voice, speaks, row.why)))
    console.print(people)
    console.print(_timeline(shown))
    if asked := _asked_for(shown):
        console.print(f"Asked for in the prompt: {escape(asked)}.", highlight=False, soft_wrap=True)
    for note in shown.proposal.notes:
        console.print(f"Note: {escape(note)}.", highlight=False, soft_wrap=True)
    for warning in shown.warnings:
        console.print(f"[yellow]Warning:[/] {escape(warning)}.", highlight=False, soft_wrap=True)


def _asked_for(shown: Preflight) -> str:
    """What models that are told how people move will do: "Anna waves; camera moves in"."""
    from polytalk.motion.prompted import acts_in

    row = sorted(shown.people, key=lambda person: person.box.left + person.box.right)
    acts = acts_in(shown.scene.prompt, len(row))
    return "; ".join(act.name if act.person < 0 else f"{row[act.person].name} {act.name}" for act in acts)


def write_preview(shown: Preflight, path: Path, *, force: bool) -> None:
    """The picture of who is where.

    Raises:
        PolytalkError: the file exists and `force` is off, or cannot be written.
    """
    from polytalk.media.image import save_image

    save_image(path, shown.picture(), force=force)


def _timeline(shown: Preflight) -> Table:
    table = Table(title=f"timeline, {shown.seconds:.1f} s", title_justify="left")
    for column in ("from", "to", "speaker", "says"):
        table.add_column(column, justify="right" if column in ("from", "to") else "left")
    for turn in shown.turns[:_MOST_TURNS]:
        words = turn.words if len(turn.words) <= 60 else turn.words[:59] + "…"
        table.add_row(f"{turn.start:.2f}", f"{turn.end:.2f}", escape(turn.name), escape(words))
    if len(shown.turns) > _MOST_TURNS:
        table.add_row("", "", "", f"and {len(shown.turns) - _MOST_TURNS} more")
    return table


def _size_class(wishes: Wishes) -> str:
    from polytalk.planning.model_sizes import describe_model

    model = describe_model(wishes.model, wishes.audio_weights, wishes.speech_weights)
    return wishes.model_config(model.config).size_class


def _music_detector() -> Any:
    """How much of a sound is music; None where its packages are not installed."""
    try:
        from polytalk.casting.voices.find import has_music
    except ImportError:
        return None
    return has_music
