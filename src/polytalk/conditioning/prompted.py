"""What a prompt asks people and the camera to do, for networks that are told how people move.

Each clause of a prompt is searched for an action, and the words before it for who acts; the action is then played in
that person's tracks, as the drawn scenes of the training play it. A gesture comes again now and then while its prompt
holds; a state, such as a smile, lasts as long as the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polytalk.conditioning.action_words import PATTERNS
from polytalk.conditioning.gestures import ACTIONS, CAMERA, WALK, Tracks, ramp, walk, zoom_in

STATES = ("smiles", "looks to the other", "leans in", "tilts the head")
"""Actions that last; the others are gestures."""
FIRST, LENGTH, PAUSE = 4, 28, 110
"""Frames before a prompt's first gesture, of a gesture, and between two on average."""
WALKING, ZOOMING = 32, 40
"""Frames that a walk and a move of the camera take."""
LEAVING = 10
"""Frames in which a state ends when another prompt begins."""

_NOT = re.compile(r"\b(?:not|never|without|no longer|doesn't|don't|nobody|no one|neither|stops?)\b")
_STAYS = re.compile(r"\b(?:stays|remains|stands still|static|fixed)\b")
_VIEWER = re.compile(r"(?:to|towards?|at|into|facing) (?:the )?(?:camera|viewer|audience|us|lens)\b")
_CLAUSES = re.compile(r"[.;:!?\n]|, (?:and |while |as |then )?|\b(?:and|while|then|as|but|before|after)\b")
_HAS_SUBJECT = re.compile(r"\b(?:the|a|an|she|he|they|it|both|everybody|everyone|all|one|we|camera|person|man|woman)\b")
_ARTICLE = re.compile(r"\b(?:a|an|the|of|with) $")
_ORDINALS = {"first": 0, "second": 1, "third": 2, "fourth": 3, "last": -1}
_ALL = re.compile(r"\b(?:both|everybody|everyone|all|they|people|friends|two|three|four)\b")
_NOUNS = re.compile(
    r"\b(?:a|an|the) (?:\w+[ -]){0,2}?(man|woman|boy|girl|person|lady|guy|gentleman|child|kid|cat|dog|bear|fox|rabbit|"
    r"panda|mouse|animal|robot|character)\b"
)


@dataclass(frozen=True)
class Act:
    """Something that a prompt asks for."""

    name: str
    """One of `ACTIONS`, `WALK` or `CAMERA`."""
    person: int
    """Rank of who does it, from the left; -1 for the camera."""


def acts_in(prompt: str, people: int) -> list[Act]:
    """What a prompt in English asks for, in its order.

    Args:
        prompt: a few sentences.
        people: in the picture.
    """
    found: list[Act] = []
    named = [match.group(1) for match in _NOUNS.finditer(prompt.lower().split(".")[0])]
    for sentence in re.split(r"[.;!?\n]", prompt.lower()):
        subject = ""
        for clause in _clauses(sentence):
            match, name = _action(clause)
            before = clause[: match.start()] if match else clause
            if _HAS_SUBJECT.search(before):
                subject = before
            if match is None or _NOT.search(before):
                continue
            if name == CAMERA:
                found.append(Act(name, -1))
                continue
            if name == WALK and people < 2:
                continue
            found += [Act(name, person) for person in _who(subject, people, named)]
    return list(dict.fromkeys(found))


def _clauses(sentence: str) -> list[str]:
    """Parts of a sentence; what a conjunction joins within one action ("up and down") stays together."""
    kept = re.sub(r"\b(left|right|up|down|to|back|yes|both|side) and (left|right|up|down|fro|forth|no|side)\b",
                  r"\1 & \2", sentence)  # fmt: skip
    return [part.strip().replace(" & ", " and ") for part in _CLAUSES.split(kept) if part and part.strip()]


def _action(clause: str) -> tuple[re.Match[str] | None, str]:
    for name, pattern in PATTERNS.items():
        match = next((each for each in pattern.finditer(clause) if not _describes(clause, each)), None)
        if match is None or (name == CAMERA and _STAYS.search(clause)):
            continue
        if name == "looks to the other" and _VIEWER.search(clause):
            continue
        if name == CAMERA and re.search(r"\b(?:man|woman|boy|girl|person|one|she|he)\b", clause[: match.start()]):
            continue  # somebody who comes closer to the camera
        return match, name
    return None, ""


def _describes(clause: str, match: re.Match[str]) -> bool:
    """Whether a participle says what something is like ("a smiling sun") and not what somebody does."""
    return bool(re.match(r"\w+(?:ing|ed)\b", match.group())) and bool(_ARTICLE.search(clause[: match.start()]))


def _who(subject: str, people: int, named: Sequence[str]) -> list[int]:
    """Ranks from the left of whom the words before an action mean; the first person where nothing tells."""
    if people == 1:
        return [0]
    if side := re.search(r"\b(left|right|middle|centre|center)\b", subject):
        return [_at_side(subject, side.group(1), people)]
    if ordinal := re.search(r"\b(first|second|third|fourth|last)\b", subject):
        return [min(_ORDINALS[ordinal.group(1)], people - 1) % people]
    if _ALL.search(subject):
        return list(range(people))
    nouns = _NOUNS.findall(subject)
    if nouns and named.count(nouns[-1]) >= 1:
        return [min(named.index(nouns[-1]), people - 1)]
    return [0]


def _at_side(subject: str, side: str, people: int) -> int:
    if side in ("middle", "centre", "center"):
        return people - 2 if people == 4 and "right" in subject else min(1, people - 1)
    return 0 if side == "left" else people - 1


def acts_over(prompts: Sequence[tuple[range, str]], people: int) -> list[tuple[Act, range]]:
    """What prompts ask for, and the frames (of the video) for which they do.

    Args:
        prompts: frames in which each holds, in order of time.
        people: in the picture.
    """
    found: list[tuple[Act, range]] = []
    going: dict[Act, range] = {}
    for span, prompt in prompts:
        asked = acts_in(prompt, people)
        found += [(act, since) for act, since in going.items() if act not in asked]
        going = {act: range(going[act].start if act in going else span.start, span.stop) for act in asked}
    return found + list(going.items())


def play(
    tracks: Sequence[Tracks], act: Act, span: range, order: Sequence[int], places: np.ndarray, sizes: np.ndarray,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Change everybody's tracks, each (frames,) long, by what a prompt asks for while it holds.

    Args:
        tracks: of each person, see `polytalk.conditioning.idle_motion.pose_signal`.
        act: what is asked for.
        span: frames for which it is.
        order: persons from left to right.
        places: (P,) centres of the heads, pixels from the left.
        sizes: (P,) heights of the heads, pixels.
        rng: chooses when.
    """
    count = len(tracks[0]["blink"])
    if act.name == CAMERA:
        zoom_in(tracks, span.start, span.start + ZOOMING)
        return
    person = order[act.person]
    if act.name == WALK:
        start, stop = walking(span).start, walking(span).stop
        other = order[neighbour(act.person, len(order))]
        walk(tracks, places, sizes, person, other, ramp(count, start, stop))
        return
    before = {name: track.copy() for name, track in tracks[person].items()}
    for start, end in _times(act.name, span, rng):
        ACTIONS[act.name](rng, tracks[person], start, end, _towards(person, order))
    if span.stop < count:
        left = ramp(count, span.stop - 1, span.stop + LEAVING)
        for name, track in before.items():
            tracks[person][name] = tracks[person][name] * (1 - left) + track * left


def walking(span: range) -> range:
    """Frames of a walk that a prompt asks for."""
    return range(span.start + 1, span.start + 1 + WALKING)


def neighbour(rank: int, people: int) -> int:
    """With whom somebody changes places, both as ranks from the left."""
    return rank + 1 if rank + 1 < people else rank - 1


def _towards(person: int, order: Sequence[int]) -> float:
    """Side on which the others are."""
    rank = list(order).index(person)
    return 1.0 if len(order) == 1 or rank < len(order) / 2 else -1.0


def _times(name: str, span: range, rng: np.random.Generator) -> list[tuple[int, int]]:
    """First and last frames of each time that an action is played."""
    first = span.start + FIRST
    if name in STATES:
        return [(first, first + LENGTH)]
    found: list[tuple[int, int]] = []
    while not found or first < span.stop:
        found.append((first, first + LENGTH))
        first += LENGTH + round(PAUSE * rng.uniform(0.7, 1.3))
    return found
