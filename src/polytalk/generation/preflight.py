"""Who is where and says what, shown before a video is made: rows for a table, a picture, and warnings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

from polytalk.casting import checks
from polytalk.casting.cast import CastProposal
from polytalk.casting.found import FoundPerson
from polytalk.casting.preview import COLOURS
from polytalk.conditioning.conversation import Conversation
from polytalk.conditioning.given_masks import MaskedBox
from polytalk.conditioning.masks import scene_boxes
from polytalk.conditioning.opened import OpenedFiles
from polytalk.conditioning.picture import PictureFit
from polytalk.generation.close_ups import CloseUpRun
from polytalk.media.audio import Sound
from polytalk.scene import Box, Scene
from polytalk.units import Size

_NOBODY = (150, 150, 150)
_WIDEST = 1280
"""Pixels of the longer side of a preview."""
_TINT = 30
"""Hundredths of the colour in a mask."""
_BAR = 22
"""Pixels of a row of the timeline."""


@dataclass(frozen=True)
class PersonRow:
    """One speaker, for the table."""

    name: str
    """What to call them."""
    person: str
    """Whom in the picture, and where."""
    box: Box
    """In pixels of the picture."""
    voice: str
    """What they speak with: a file, the recording, a synthesiser's voice, or nothing."""
    why: str
    """Why this voice."""
    seconds: float
    """How long they speak in all."""


@dataclass(frozen=True)
class TurnRow:
    """Somebody says something."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    speaker: int
    """Place in the scene."""
    name: str
    """What to call them."""
    words: str
    """What is said, or the file's name."""


@dataclass(frozen=True, eq=False)
class Preflight:
    """What is known before a video is made."""

    proposal: CastProposal
    """Who is who."""
    scene: Scene
    """The scene with every text spoken, so that it need not be done again."""
    people: tuple[PersonRow, ...]
    """In the order of the speakers."""
    turns: tuple[TurnRow, ...]
    """In order of time."""
    seconds: float
    """Length of the video."""
    size: Size
    """(height, width) of the video."""
    close_ups: CloseUpRun | None
    """Heads in close-up, where they are made."""
    shows: Image.Image = field(repr=False)
    """The scene's picture."""
    look: Callable[[], list[str]] = field(repr=False)
    """Finds what may go wrong."""

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What may go wrong; looked for when it is asked for."""
        return tuple(self.look())

    def picture(self) -> Image.Image:
        """The scene's picture with everybody's box, name and number, and the timeline below it."""
        return _picture(self)


def preflight(
    proposal: CastProposal,
    size: Size,
    files: OpenedFiles | None = None,
    *,
    music: Callable[[Sound], float] | None = None,
    max_seconds: float | None = None,
    close_ups: CloseUpRun | None = None,
) -> Preflight:
    """Look at a scene as it is about to be made.

    Args:
        proposal: of `cast_scene`.
        size: (height, width) of the model's frame where all of the picture is made in it.
        files: what has been opened already.
        music: how much of a sound is music, 0..1; None leaves that warning out.
        max_seconds: where the video is cut off.
        close_ups: faces are made larger than they are in the picture, which keeps its size: nothing is said of sizes.
            None: there are none.

    Raises:
        PolytalkError: picture or sounds cannot be read.
    """
    scene = proposal.scene
    files = files or OpenedFiles()
    picture = files.picture(scene.image)
    boxes = scene_boxes(scene, picture.width, picture.height)
    conversation = files.conversation(scene)
    turns = _turn_rows(scene, conversation)
    seconds = max(conversation.mix().seconds, max((turn.end for turn in turns), default=0.0))
    rows = tuple(
        _person_row(proposal, place, boxes[place], turns, picture.width) for place in range(len(scene.speakers))
    )
    fit = None if close_ups is not None else PictureFit.plan(picture.width, picture.height, size)
    seconds = seconds if max_seconds is None else min(seconds, max_seconds)
    made = size if close_ups is None else close_ups.plan.picture

    def look() -> list[str]:
        return _warnings(proposal, boxes, fit, conversation, music)

    spoken = _spoken(scene, conversation)
    return Preflight(proposal, spoken, rows, turns, seconds, made, close_ups, picture, look)


def _warnings(
    proposal: CastProposal,
    boxes: tuple[Box, ...],
    fit: PictureFit | None,
    conversation: Conversation,
    music: Callable[[Sound], float] | None,
) -> list[str]:
    scene = proposal.scene
    names = scene.names
    at = dict(zip(names, boxes, strict=True))
    seen = {names[pair.voice]: proposal.people[pair.person] for pair in proposal.match.pairs}
    seen = {name: person for name, person in seen.items() if person.score}
    speaking = {turn.speaker for turn in conversation.schedule.turns}
    asked = names[: proposal.match.num_voices]  # without a listener that casting has added
    sounds = _given_sounds(scene, conversation)
    found = [
        *checks.faces_outside_boxes(seen, at),
        *(checks.overlapping_boxes(at) if scene.boxes else ()),
        *(checks.small_faces(seen, fit) if fit else ()),
        *checks.voices_without_person(proposal.match, names),
        *checks.people_without_voice(asked, [place in speaking for place in range(len(asked))]),
        *checks.clipped_sounds(sounds),
        *(checks.unfit_picture(fit) if fit else ()),
    ]
    return found if music is None else [*found, *checks.music_under_voices(sounds, music)]


def _given_sounds(scene: Scene, conversation: Conversation) -> dict[str, Sound]:
    """Sounds that the user brought: the recording, or everybody's own, joined."""
    if conversation.soundtrack is not None:
        return {"the recording": conversation.soundtrack}
    parts: dict[str, list[Sound]] = {}
    for turn, sound in zip(conversation.schedule.turns, conversation.sounds, strict=True):
        if turn.utterance is None or scene.utterances[turn.utterance].audio is not None:
            parts.setdefault(f"the sound of {scene.names[turn.speaker]}", []).append(sound)
    joined = {}
    for name, sounds in parts.items():
        rate = sounds[0].sample_rate
        joined[name] = Sound(np.concatenate([s.samples for s in sounds if s.sample_rate == rate]), rate)
    return joined


def _turn_rows(scene: Scene, conversation: Conversation) -> tuple[TurnRow, ...]:
    rows = []
    for turn in conversation.schedule.turns:
        if turn.utterance is None:
            words = _source(scene.speakers[turn.speaker].audio)
        else:
            said = scene.utterances[turn.utterance]
            words = said.text or (
                f"{_source(said.audio)} {said.cut[0]:g}–{said.cut[1]:g} s" if said.cut else _source(said.audio)
            )
        rows.append(TurnRow(turn.start, turn.stop, turn.speaker, scene.names[turn.speaker], words))
    return tuple(sorted(rows, key=lambda row: (row.start, row.speaker)))


def _person_row(proposal: CastProposal, place: int, box: Box, turns: tuple[TurnRow, ...], width: int) -> PersonRow:
    scene = proposal.scene
    speaker = scene.speakers[place]
    own = [turn for turn in turns if turn.speaker == place]
    pair = next((pair for pair in proposal.match.pairs if pair.voice == place), None)
    person = "" if pair is None else proposal.people[pair.person].name
    if person and proposal.places != "parts" and pair is not None:
        person = f"person {pair.person + 1}, {_where(proposal.people[pair.person], width)}"
    voice = "listens"
    if speaker.audio is not None:
        voice = _source(speaker.audio)
    elif own:
        texts = [said for said in scene.utterances if scene.index_of(said) == place]
        spoken = all(said.audio is None for said in texts)
        turns_of = "1 turn" if len(own) == 1 else f"{len(own)} turns"
        voice = f"spoken by {speaker.voice or 'a voice of Polytalk'}" if spoken else turns_of
    seconds = sum(turn.end - turn.start for turn in own)
    return PersonRow(scene.names[place], person, box, voice, "" if pair is None else pair.why, seconds)


def _where(person: FoundPerson, width: int) -> str:
    share = (person.head.left + person.head.right) / 2 / width
    return "left" if share < 0.38 else "right" if share > 0.62 else "middle"


def _source(audio: object) -> str:
    return getattr(audio, "name", "sound in memory")


def _spoken(scene: Scene, conversation: Conversation) -> Scene:
    """The scene with the sound of every text in it."""
    said = list(scene.utterances)
    for turn, sound in zip(conversation.schedule.turns, conversation.sounds, strict=True):
        if turn.utterance is not None and said[turn.utterance].audio is None:
            said[turn.utterance] = dataclasses.replace(
                said[turn.utterance], audio=sound.samples, sample_rate=sound.sample_rate
            )
    return dataclasses.replace(scene, utterances=said)


def _picture(shown: Preflight) -> Image.Image:
    proposal, original = shown.proposal, shown.shows
    scale = min(2.0, _WIDEST / max(original.size))
    size = (round(original.width * scale), round(original.height * scale))
    rows = len(shown.people)
    canvas = Image.new("RGB", (size[0], size[1] + (rows + 1) * _BAR), (24, 24, 28))
    canvas.paste(original.resize(size, Image.Resampling.LANCZOS), (0, 0))
    for number, row in enumerate(shown.people):
        if isinstance(row.box, MaskedBox):
            shape = Image.fromarray(row.box.mask).resize(size, Image.Resampling.NEAREST)
            canvas.paste(COLOURS[number % len(COLOURS)], (0, 0), shape.convert("L").point(lambda on: on * _TINT // 100))
    draw = ImageDraw.Draw(canvas)
    for place in proposal.bystanders:
        _frame(draw, proposal.people[place].body, scale, _NOBODY, _label(place, f"person {place + 1}") + ", no voice")
    for number, row in enumerate(shown.people):
        pair = next((pair for pair in proposal.match.pairs if pair.voice == number), None)
        label = row.name if pair is None or proposal.places == "parts" else _label(pair.person, row.name)
        _frame(draw, row.box, scale, COLOURS[number % len(COLOURS)], label)
        if pair is not None and proposal.people[pair.person].score:
            face = proposal.people[pair.person].face
            draw.rectangle([edge * scale for edge in _edges(face)], None, COLOURS[number % len(COLOURS)], 1)
    _timeline(draw, shown, size)
    return canvas


def _label(place: int, name: str) -> str:
    return name if name == f"person {place + 1}" else f"{place + 1} {name}"


def _frame(draw: ImageDraw.ImageDraw, box: Box, scale: float, colour: tuple[int, int, int], text: str) -> None:
    left, top, right, bottom = (edge * scale for edge in _edges(box))
    draw.rectangle([left, top, right - 1, bottom - 1], None, colour, 3)
    spot = draw.textbbox((left + 8, top + 6), text, font_size=18)
    draw.rectangle([spot[0] - 4, spot[1] - 3, spot[2] + 4, spot[3] + 3], colour)
    draw.text((left + 8, top + 6), text, (255, 255, 255), font_size=18)


def _timeline(draw: ImageDraw.ImageDraw, shown: Preflight, size: tuple[int, int]) -> None:
    """A row of bars for each speaker, and seconds below."""
    first, width = 110, size[0] - 120
    whole = max(shown.seconds, 1e-3)
    for number, row in enumerate(shown.people):
        top = size[1] + number * _BAR
        colour = COLOURS[number % len(COLOURS)]
        draw.text((6, top + 4), row.name[:14], colour, font_size=14)
        for turn in shown.turns:
            if turn.speaker == number and turn.start < whole:
                left, right = first + width * turn.start / whole, first + width * min(turn.end, whole) / whole
                draw.rectangle([left, top + 4, max(right, left + 1), top + _BAR - 4], colour)
    top = size[1] + len(shown.people) * _BAR
    for step in range(5):
        spot, seconds = (first + width * step / 4, top + 4), f"{whole * step / 4:.1f} s"
        draw.text(spot, seconds, (200, 200, 200), anchor="ra" if step == 4 else "ma", font_size=13)


def _edges(box: Box) -> tuple[int, int, int, int]:
    return box.left, box.top, box.right, box.bottom
