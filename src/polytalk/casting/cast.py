"""Casting (`cast_scene`): people get places, and each voice gets its person; a proposal, to be corrected."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polytalk.casting.active_speaker import mouth_motion, speaker_scores, voice_loudness
from polytalk.casting.found import FoundPerson
from polytalk.casting.match import Match, exchange, match_voices, prominent
from polytalk.casting.people.find import find_people
from polytalk.casting.people.places import bodies_apart, extent, join_given, person_at, within
from polytalk.casting.saving import with_files
from polytalk.conditioning.given_masks import given_masks
from polytalk.conditioning.masks import default_boxes
from polytalk.conditioning.opened import OpenedFiles
from polytalk.conditioning.speech import conversation_tracks
from polytalk.errors import PolytalkError
from polytalk.media.source_video import shows_video
from polytalk.scene import Box, Cue, Scene, Speaker
from polytalk.units import SAMPLE_RATE

Places = Literal["found", "given", "parts"]
"""Where boxes come from: found in the picture, given by the user, or the picture divided evenly."""
LISTENER_SHARE = 0.25
"""Of the speaker's face area: a bystander's face from which on it is kept shut on purpose."""


@dataclass(frozen=True, eq=False)
class CastProposal:
    """Who is where and speaks with which voice, and why."""

    scene: Scene
    """The scene, completed; a pipeline makes the video of it."""
    people: tuple[FoundPerson, ...]
    """Everybody in the picture from left to right; empty where nobody was looked for. Place 0 is "person 1"."""
    match: Match
    """Which voice is whose; voices are places among the scene's speakers."""
    places: Places
    """Where the boxes come from."""
    notes: tuple[str, ...]
    """What was decided and why, in plain sentences."""

    @property
    def bystanders(self) -> tuple[int, ...]:
        """People who have neither a voice nor a place in the scene."""
        return self.match.bystanders if self.people else ()

    def as_dict(self) -> dict[str, Any]:
        """What a saved scene says of its casting; JSON values, boxes as left, top, right, bottom."""
        voice_of = {pair.person: self.scene.names[pair.voice] for pair in self.match.pairs}
        people = [
            {"number": place + 1, "voice": voice_of.get(place), **person_as_dict(person)}
            for place, person in enumerate(self.people)
        ]
        who = [
            {"voice": self.scene.names[pair.voice], "person": pair.person + 1, "reason": pair.reason.value}
            for pair in self.match.pairs
        ]
        return {"places": self.places, "people": people, "who": who, "notes": list(self.notes)}


def cast_scene(
    scene: Scene,
    *,
    people: Sequence[FoundPerson] | None = None,
    assign: Mapping[str | int, int] | None = None,
    points: Sequence[tuple[float, float]] = (),
    swap: bool = False,
    find: bool = True,
    files: OpenedFiles | None = None,
) -> CastProposal:
    """Find the people of a scene's picture (of a video its first frame), and say which voice is whose.

    Boxes that the scene has stay as they are. Where fewer people are found than speak, the picture is divided evenly,
    as it is without casting.

    Args:
        scene: with all its voices; `scene_of_recording` makes one of a single recording.
        people: who is in the picture; None looks for them.
        assign: the user's word: a speaker's name or place (from 0) to a person's number (from 1, from left to right).
        points: one for each speaker, x and y in the picture: the person there is meant.
        swap: exchange the people of the first two voices.
        find: off: nobody is looked for, places are as given or equal parts.
        files: what has been opened already.

    Raises:
        PolytalkError: the picture cannot be read, a box leaves it, an assignment names nobody, a point shows nobody.
    """
    files = files or OpenedFiles()
    picture = files.picture(scene.image)
    scene.check_boxes(picture.width, picture.height)
    if people is None:
        people = look_for_people(np.asarray(picture), len(scene.speakers)) if find else ()
    seats = _seats(scene, people, (picture.width, picture.height), find)
    given = dict(seats.given)
    if points:
        given = exchange(given, _pointed(points, seats.people, scene))
    if assign:
        given = exchange(given, _assigned(assign, scene, len(seats.people)))
    names = [speaker.name for speaker in scene.speakers]
    scores = _scores(scene, seats, files)
    match = match_voices(
        seats.people, names, given=given, caption=scene.prompt, scores=scores, listed=_is_listed(scene)
    )
    if swap:
        match = match.exchanged(0, 1)
    return _proposal(scene, seats, match, files, moved=bool(assign or points or swap))


def person_as_dict(person: FoundPerson) -> dict[str, Any]:
    """JSON values of somebody found; boxes as left, top, right, bottom."""
    boxes = {part: _numbers(getattr(person, part)) for part in ("face", "head", "body")}
    return {"name": person.name, "finder": person.finder, "score": round(float(person.score), 3), **boxes}


@dataclass(frozen=True)
class _Seats:
    """Where people may sit."""

    people: tuple[FoundPerson, ...]
    given: Mapping[int, int]
    """Speaker to person, by the user's boxes."""
    places: Places
    notes: tuple[str, ...] = ()


def look_for_people(picture: np.ndarray, expected: int | None = None) -> Sequence[FoundPerson]:
    """Who is in a picture (height, width, 3), from left to right; with a warning nobody where that cannot be found out.

    Args:
        picture: uint8.
        expected: how many there should be; finds that are less sure make up the number.
    """
    try:
        return find_people(picture, expected=expected)
    except PolytalkError as error:
        why = f"{error.problem}. {error.remedy}"
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("polytalk"):
            raise
        why = f"{error.name} is not installed"
    warnings.warn(f"people cannot be looked for: {why}", UserWarning, stacklevel=2)
    return ()


def _seats(scene: Scene, found: Sequence[FoundPerson], size: tuple[int, int], looked: bool) -> _Seats:
    count = len(scene.speakers)
    if any(speaker.has_place for speaker in scene.speakers):
        boxes, masks, notes = _given(scene, found, size)
        people, places = join_given(boxes, scene.names, found, masks)
        return _Seats(tuple(people), dict(enumerate(places)), "given", tuple(notes))
    if len(found) >= count:
        return _Seats(tuple(found), {}, "found")
    note = f"{_people(len(found))} found in the picture for {_voices(count)}: it is divided into {count} equal parts"
    note = note.replace("into 1 equal parts", "by no line: all of it is one person's")
    parts = default_boxes(*size, count)
    people = [FoundPerson(f"part {i + 1}", box, box, box, 0.0, "user") for i, box in enumerate(parts)]
    told = (f"{note}. Give every speaker a box if that is wrong",) if looked else ()
    return _Seats(tuple(people), {}, "parts", told)


def _given(
    scene: Scene, found: Sequence[FoundPerson], size: tuple[int, int]
) -> tuple[list[Box], list[np.ndarray | None], list[str]]:
    """Boxes and masks of speakers who have a place; a box that was changed beside its mask is the later word."""
    boxes: list[Box] = []
    masks: list[np.ndarray | None] = []
    notes, pointed = [], []
    for name, speaker, mask in zip(scene.names, scene.speakers, given_masks(scene, *size), strict=True):
        if mask is not None and speaker.box in (None, extent(mask)):
            boxes.append(extent(mask))
            masks.append(mask)
        elif speaker.box is not None:
            boxes.append(speaker.box)
            masks.append(None)
            if mask is not None:
                notes.append(f"{name}'s box is not that of the mask: the box counts")
        else:
            assert speaker.point is not None
            pointed.append(person_at(speaker.point, found))
            mask = found[pointed[-1]].mask
            boxes.append(found[pointed[-1]].body if mask is None else extent(mask))
            masks.append(mask)
    if len(set(pointed)) < len(pointed):
        raise PolytalkError("point", "two points show the same person", "Point at a person each, or give boxes.")
    return boxes, masks, notes


def _proposal(scene: Scene, seats: _Seats, match: Match, files: OpenedFiles, *, moved: bool) -> CastProposal:
    notes = list(seats.notes)
    if seats.places == "parts" and not moved:
        return CastProposal(scene, seats.people, match, "parts", tuple(notes))
    outlines = _outlines(seats)
    speakers = []
    for voice, speaker in enumerate(scene.speakers):
        box, mask = outlines[int(match.person_of(voice) or 0)]
        if not moved and seats.places == "given" and mask is not None and speaker.mask is not None:
            mask = speaker.mask  # the file as it was named
        speakers.append(dataclasses.replace(speaker, box=box, mask=mask, point=None))
    listener = _listener(seats.people, match) if len(scene.speakers) == 1 else None
    cues = scene.cues
    if seats.places == "found":
        cues, told = _cues_with_boxes(scene, match, files)
        notes += told
    if listener is not None and all(cue.boxes is None for cue in cues):
        box, mask = outlines[listener]
        speakers.append(Speaker(box=box, mask=mask))
        notes.append(f"{seats.people[listener].name} has no voice and listens")
    completed = dataclasses.replace(scene, speakers=speakers, cues=cues)
    silent = [seats.people[place].name for place in match.bystanders if place != listener]
    if silent:
        notes.append(f"{', '.join(silent)}: no voice is left, part of the background")
    return CastProposal(completed, seats.people, match, seats.places, tuple(notes))


def _outlines(seats: _Seats) -> list[tuple[Box, Any]]:
    """Everybody's box and mask, if there is one, as a scene has them: the box is the mask's extent."""
    if seats.places != "found":
        return [(person.body, person.mask) for person in seats.people]
    found: list[tuple[Box, Any]] = []
    for person, body in zip(seats.people, bodies_apart(seats.people), strict=True):
        mask = within(person.mask, body)
        found.append((body if mask is None else extent(mask), mask))
    return found


def _listener(people: Sequence[FoundPerson], match: Match) -> int | None:
    """Who keeps silent on purpose beside a single voice, which would move every mouth."""
    if not match.bystanders or not match.pairs:
        return None
    areas = [person.face.width * person.face.height for person in people]
    largest = max(match.bystanders, key=lambda place: areas[place])
    return largest if areas[largest] >= LISTENER_SHARE * areas[match.pairs[0].person] else None


def _cues_with_boxes(scene: Scene, match: Match, files: OpenedFiles) -> tuple[list[Cue], list[str]]:
    """Later pictures, with their own people in the order from left to right that the first one has."""
    order = [pair.voice for pair in sorted(match.pairs, key=lambda pair: pair.person)]
    cues, notes = [], []
    for cue in scene.cues:
        if cue.image is not None and cue.boxes is None:
            picture = files.picture(cue.image, "cue.image")
            found = look_for_people(np.asarray(picture), len(order))
            boxes: Sequence[Box] = default_boxes(picture.width, picture.height, len(order))
            if len(found) >= len(order):
                bodies = bodies_apart(found)
                boxes = [bodies[place] for place in prominent([one.face for one in found], len(order))]
            else:
                notes.append(f"{_people(len(found))} found in a later picture: it is divided into equal parts")
            cue = dataclasses.replace(cue, boxes=[boxes[order.index(voice)] for voice in range(len(order))])
        cues.append(cue)
    return cues, notes


def _scores(scene: Scene, seats: _Seats, files: OpenedFiles) -> np.ndarray | None:
    """How well each mouth of a video follows each voice; None where there is no video, or words without sound."""
    if seats.places != "found" or len(seats.people) < 2 or not shows_video(scene.image) or _is_listed(scene):
        return None
    tracks = conversation_tracks(files.conversation(scene))
    motion = mouth_motion(files.frames(scene.image), [person.face for person in seats.people])
    return speaker_scores(motion, voice_loudness(tracks, SAMPLE_RATE))


def _is_listed(scene: Scene) -> bool:
    """Whether the user chose the order of the voices: a track for each, or a script whose texts are spoken for it."""
    return not scene.utterances or any(utterance.audio is None for utterance in scene.utterances)


def _pointed(points: Sequence[tuple[float, float]], people: Sequence[FoundPerson], scene: Scene) -> dict[int, int]:
    if len(points) != len(scene.speakers):
        problem = f"there are {len(points)} points and {len(scene.speakers)} speakers"
        raise PolytalkError("point", problem, "Give one point per speaker, or none at all.")
    found = {voice: person_at(point, people) for voice, point in enumerate(points)}
    if len(set(found.values())) < len(found):
        raise PolytalkError("point", "two points show the same person", "Point at a person each, or give boxes.")
    return found


def _assigned(assign: Mapping[str | int, int], scene: Scene, people: int) -> dict[int, int]:
    found: dict[int, int] = {}
    names = {name.casefold(): place for place, name in enumerate(scene.names)}
    for voice, number in assign.items():
        place = voice if isinstance(voice, int) else names.get(voice.casefold())
        if place is None or not 0 <= place < len(scene.speakers):
            raise PolytalkError("assign", f"{voice!r} is no voice", f"Known are {', '.join(scene.names)}.")
        if not 1 <= number <= people:
            raise PolytalkError("assign", f"there is no person {number}", f"They are numbered 1 to {people}.")
        if number - 1 in found.values():
            raise PolytalkError("assign", f"person {number} is given two voices", "Give each person one voice.")
        found[place] = number - 1
    return found


def _numbers(box: Box) -> list[int]:
    return [box.left, box.top, box.right, box.bottom]


def _people(count: int) -> str:
    return {0: "Nobody was", 1: "One person was"}.get(count, f"{count} people were")


def _voices(count: int) -> str:
    return "one voice" if count == 1 else f"{count} voices"


def save_proposal(proposal: CastProposal, path: str | Path, *, force: bool = False) -> None:
    """Write the scene with what is known of its casting; `Scene.from_json` reads it, hand-corrected or not.

    Sounds and a picture that are in memory only are written beside it: `cast.voice-1.wav`, `cast.png`.

    Raises:
        PolytalkError: a file exists and `force` is off, or cannot be written.
    """
    path = Path(path)
    with_files(proposal.scene, path, force=force).to_json(path, force=force, casting=proposal.as_dict())
