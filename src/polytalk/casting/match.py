"""Who is who: which of the people in a picture speaks with which voice, and why (`match_voices`).

What decides, in this order: the user's word; a name that a voice and a person share, or that the prompt puts in a place
("Anna on the left"); in a video, whose mouth moves while the voice is heard; else the order of the voices, from left to
right. Nothing is guessed from how a face looks or a voice sounds.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from polytalk.casting.found import FoundPerson
from polytalk.errors import PolytalkError
from polytalk.scene import Box

MARGIN = 0.3
"""By which the mouths must speak for one assignment against the next best (sum of correlations) to be believed."""
MUCH_SMALLER = 0.5
"""Of a face's area: somebody smaller than that stands in the background."""
_SIDE = r"(?:far[ -])?(left|right|middle|centre|center)"
_PLACE = re.compile(rf"\b(?:on|at|in) the {_SIDE}\b|\({_SIDE}\)|\b{_SIDE}\s*:", re.IGNORECASE)
_CLAUSE = re.compile(r"[.;!?,\n]|\b(?:and|while|but)\b", re.IGNORECASE)


class Reason(StrEnum):
    """Why a voice belongs to a person, the most trusted first."""

    USER = "user"
    """The user says so."""
    NAME = "name"
    """The name is the same, or the prompt says where."""
    MOUTHS = "mouths"
    """The mouth moves while the voice is heard."""
    LISTED = "listed"
    """Voices were given in an order, which is from left to right."""
    FIRST_SPEECH = "first speech"
    """Whoever speaks first sits leftmost: a convention, not a finding."""


_WORDS = {
    Reason.USER: "you say so",
    Reason.MOUTHS: "this mouth moves when the voice is heard",
    Reason.LISTED: "in the order given, from left to right",
    Reason.FIRST_SPEECH: "nothing tells who is who: in the order of first speech, from left to right",
}


@dataclass(frozen=True)
class Pair:
    """One voice and the person who has it."""

    voice: int
    """Place among the voices."""
    person: int
    """Place among the people."""
    reason: Reason
    """What decided."""
    why: str
    """The same in words."""


@dataclass(frozen=True)
class Match:
    """Who is who."""

    pairs: tuple[Pair, ...]
    """In the order of the voices."""
    num_voices: int
    """How many voices there were."""
    num_people: int
    """How many people there were."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, pair by pair."""
        return tuple(pair.why for pair in self.pairs)

    @property
    def bystanders(self) -> tuple[int, ...]:
        """People without a voice."""
        taken = {pair.person for pair in self.pairs}
        return tuple(person for person in range(self.num_people) if person not in taken)

    @property
    def unplaced(self) -> tuple[int, ...]:
        """Voices without a person."""
        placed = {pair.voice for pair in self.pairs}
        return tuple(voice for voice in range(self.num_voices) if voice not in placed)

    def person_of(self, voice: int) -> int | None:
        """Who speaks with a voice; None where nobody does."""
        return next((pair.person for pair in self.pairs if pair.voice == voice), None)

    def exchanged(self, first: int, second: int) -> Match:
        """The same with two voices' people exchanged, because the user says so.

        Raises:
            PolytalkError: one of them has nobody.
        """
        people = {voice: self.person_of(voice) for voice in (first, second)}
        if None in people.values() or first == second:
            raise PolytalkError("swap", "these are not two voices with a person each", "Name two others.")
        there = {first: people[second], second: people[first]}
        pairs = [
            Pair(pair.voice, int(there[pair.voice] or 0), Reason.USER, _WORDS[Reason.USER])
            if pair.voice in there
            else pair
            for pair in self.pairs
        ]
        return Match(tuple(pairs), self.num_voices, self.num_people)


def match_voices(
    people: Sequence[FoundPerson],
    voices: Sequence[str | None],
    *,
    given: Mapping[int, int] | None = None,
    caption: str = "",
    scores: np.ndarray | None = None,
    listed: bool = False,
) -> Match:
    """Give each voice a person.

    Args:
        people: from left to right.
        voices: their names, None for those without, in the order in which they are given or first heard.
        given: the user's word: voice to person, places from 0.
        caption: what is said of the picture; "Anna on the left" places Anna. English.
        scores: (people, voices), how well each mouth follows each voice, -1..1; see `active_speaker`.
        listed: the user gave the voices in this order, which goes before what the mouths say.

    Returns:
        Pairs for as many voices as there are people. With more people than voices those whose faces are much smaller
        than the others' are left out first.

    Raises:
        PolytalkError: the user's word names nobody, or one person twice.
    """
    _check_given(given or {}, len(people), len(voices))
    found = {voice: (person, Reason.USER, _WORDS[Reason.USER]) for voice, person in (given or {}).items()}
    for voice, person, why in [*_by_name(people, voices), *_by_caption(people, voices, caption)]:
        if voice not in found and all(person != other for other, _, _ in found.values()):
            found[voice] = (person, Reason.NAME, why)
    free_voices = [voice for voice in range(len(voices)) if voice not in found]
    taken = {person for person, _, _ in found.values()}
    free_people = [person for person in range(len(people)) if person not in taken]
    decided = None
    if scores is not None and not listed and free_voices and free_people:
        decided = decide_by_mouths(scores[np.ix_(free_people, free_voices)])
    if decided is not None:
        for row, column in decided:
            found[free_voices[column]] = (free_people[row], Reason.MOUTHS, _WORDS[Reason.MOUTHS])
    else:
        reason = Reason.LISTED if listed else Reason.FIRST_SPEECH
        chosen = prominent([people[person].face for person in free_people], len(free_voices))
        for voice, place in zip(free_voices, chosen, strict=False):
            found[voice] = (free_people[place], reason, _WORDS[reason])
    pairs = tuple(Pair(voice, *found[voice]) for voice in sorted(found))
    return Match(pairs, len(voices), len(people))


def decide_by_mouths(scores: np.ndarray) -> list[tuple[int, int]] | None:
    """The assignment (person, voice) of the highest sum of scores (people, voices); None where another is as good.

    With fewer people than voices, or scores that say nothing (all NaN), None. A voice that is never heard (its column
    is NaN) goes to whoever is left.
    """
    from scipy.optimize import linear_sum_assignment

    people, voices = scores.shape
    if people < voices or not np.isfinite(scores).any():
        return None
    scores = np.nan_to_num(scores)
    rows, columns = linear_sum_assignment(-scores)
    best = float(scores[rows, columns].sum())
    if best <= 0:
        return None
    for row, column in zip(rows, columns, strict=True):  # the next best differs in one of these pairs at least
        other = scores.astype(np.float64).copy()
        other[row, column] = -10.0
        there = linear_sum_assignment(-other)
        if best - float(other[there].sum()) < MARGIN:
            return None
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]


def prominent(faces: Sequence[Box], count: int) -> list[int]:
    """Places of the `count` faces that matter most, from left to right: those much smaller than the others go first."""
    areas = [face.width * face.height for face in faces]
    if count >= len(faces) or not count:
        return list(range(min(count, len(faces))))
    limit = MUCH_SMALLER * sorted(areas, reverse=True)[count - 1]
    large = [place for place, area in enumerate(areas) if area >= limit]
    return large[:count]


def exchange(given: Mapping[int, int], wanted: Mapping[int, int]) -> dict[int, int]:
    """An assignment (voice to person) changed so that `wanted` holds; who is driven out takes the place left."""
    claimed = set(wanted.values())
    result = {voice: person for voice, person in given.items() if voice not in wanted and person not in claimed}
    result |= wanted
    driven_out = [voice for voice in given if voice not in result]
    left = sorted(set(given.values()) - set(result.values()))
    return result | dict(zip(driven_out, left, strict=False))


def _check_given(given: Mapping[int, int], people: int, voices: int) -> None:
    for voice, person in given.items():
        if not 0 <= voice < voices:
            raise PolytalkError("assign", f"there is no voice {voice + 1}", f"There are {voices}.")
        if not 0 <= person < people:
            raise PolytalkError("assign", f"there is no person {person + 1}", f"{people} were found, counted from 1.")
    for (one, first), (other, second) in itertools.combinations(given.items(), 2):
        if first == second:
            problem = f"person {first + 1} is given voices {one + 1} and {other + 1}"
            raise PolytalkError("assign", problem, "Give each person one voice.")


def _by_name(people: Sequence[FoundPerson], voices: Sequence[str | None]) -> list[tuple[int, int, str]]:
    places = {person.name.casefold(): place for place, person in enumerate(people)}
    return [
        (voice, places[name.casefold()], f"both are called {name}")
        for voice, name in enumerate(voices)
        if name is not None and name.casefold() in places
    ]


def _by_caption(
    people: Sequence[FoundPerson], voices: Sequence[str | None], caption: str
) -> list[tuple[int, int, str]]:
    """Voices whose name stands in one clause with a place, and with no other name."""
    front = prominent([person.face for person in people], max(len(voices), 1))
    if len(front) < 2:
        return []
    sides = {"left": front[0], "right": front[-1]}
    if len(front) % 2:
        sides |= dict.fromkeys(("middle", "centre", "center"), front[len(front) // 2])
    found = []
    for clause in _CLAUSE.split(caption):
        named = [voice for voice, name in enumerate(voices) if name and re.search(rf"\b{re.escape(name)}\b", clause)]
        said = {(left or paren or colon).lower() for left, paren, colon in _PLACE.findall(clause)}
        if len(named) == 1 and len(said) == 1:
            side = said.pop()
            if side in sides:
                found.append((named[0], sides[side], f"the prompt puts {voices[named[0]]} on the {side}"))
    placed = [person for _, person, _ in found]
    return [entry for entry in found if placed.count(entry[1]) == 1]
