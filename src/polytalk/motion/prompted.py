"""What a prompt asks people and the camera to do (`acts_in`), and how it is played in their tracks (`play`).

Each clause of a prompt is searched for an action, and the words before it for who acts; the action is then played in
that person's tracks, as the drawn scenes of the training play it. A gesture comes again now and then while its prompt
holds; a state, such as a smile, lasts as long as the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polytalk.motion.action_words import PATTERNS
from polytalk.motion.gestures import ACTIONS, CAMERA, WALK, Tracks, ramp, walk, zoom_in

STATES = ("smiles", "looks to the other", "leans in", "tilts the head")
"""Actions that last; the others are gestures."""
FIRST, LENGTH, PAUSE = 4, 28, 110
"""Frames before a prompt's first gesture, of a gesture, and between two on average."""
WALKING, ZOOMING = 32, 40
"""Frames that a walk and a move of the camera take."""
LEAVING = 10
"""Frames in which a state ends when another prompt begins."""

_NOT = re.compile(
    r"\b(?:not|cannot|never|without|neither|nobody|no one|none|no longer|instead of|rather than|\w+n't"
    r"|(?:refuse|fail|want|hope|plan|intend)s? to|(?:ask|tell)s? (?:him|her|them|us|(?:the|his|her) \w+) to)\b"
)
"""In what says an action or before it."""
_NO = re.compile(r"\b(?:no|(?<!signals )(?<!says )stop(?:s|ped)?) $")
"""Right before it."""
_CANNOT_BUT = re.compile(
    r"\b(?:can(?:no|')t|could(?:n't| not)|never) (?:help|stop|hide|hold|contain|suppress|keep|resist)s?\b"
)
"""Denies that something is not done."""
_STAYS = re.compile(r"\b(?:stays|remains|stands still|static|fixed)\b")
_VIEWER = re.compile(r"(?:to|towards?|at|into|facing) (?:the )?(?:camera|viewer|audience|us|lens)\b")
_TOLD = re.compile(
    r"\b(?:talk|speak|chat|lectur|complain|read|learn|think|know|joke|argu|dream|sing|hear|tell|told|wonder|whisper)\w*"
    r" (?:[\w'-]+ ){0,3}?(?:about|of|how|why|whether|that)\b"
    r"|\b(?:explain|describ|discuss|recall|remember|recount|recommend|review|mention|prais|rehears)\w*"
    r"|\b(?:called|titled|entitled|named|the words?)\b"
)
"""Somebody speaks of what follows, except of what goes along ("explains it with a smile")."""
_ALONG = re.compile(r"\b(?:with|by)\b")
_CLAUSES = re.compile(
    r"[.;:!?\n()]| [-–]+ |—|, (?:and |while |as |then )?"
    r"|\b(?<!-)(?:and|while|then|as(?! if| though)|but|before|after)\b(?!-)"
)
_PARTS = (
    r"(?:heads?|neck|chin|eyes|brows|shoulders?|hands?|arms?|palm|nod|smile|grin|tilt|wave|shake|glance|look|lean|zoom)"
)
_JOINED = re.compile(
    r"\b(?:left|right|up|down|to|back|yes|both|side|way|rises?|rising)"
    r"(?:,(?: and)?(?: then)?|(?: and| then)+) (?:to )?(?:the )?"
    r"(?:left|right|up|down|fro|forth|no|side|that|falls?|falling)\b"
    r"|\b(\w+) and \1\b|\b\w+ly and \w+ly\b"
    r"|\b(?:rais|lift|lower|drop|dip)\w* and (?:then )?(?:rais|lift|lower|drop|dip)\w*"
    rf"|\b{_PARTS} and (?:{_PARTS}|(?:then )?(?:rais|lift|lower|drop)\w* (?:it|them))\b"
    rf"|\b(?:an?|the|his|her|their|its) [\w-]+(?:,| and|, and| but|, but) [\w-]+ {_PARTS}\b"
)
"""What a conjunction or a comma joins within one action: "left and right", "a small, curious tilt"."""
_JOINT = re.compile(r",? (?:(?:and|then|but) )+|, ")
_WHO = (
    r"(?:man|woman|men|women|boy|girl|person|people|friends?|lady|guy|gentleman|child|children|kid|cat|dog|bear|fox"
    r"|rabbit|panda|mouse|animal|robot|clown|doll|character|speaker|one|somebody|someone|camera|view|shot|lens|zoom)"
)
_OWN_SUBJECT = re.compile(
    r"(?:[\w-]+ly |now |here |also |so |when |if |because |until |that |even )*(?:"
    r"(?:they|we|both|all|everybody|everyone|each|two|three|four|somebody|someone|nobody|neither)\b"
    rf"|(?:the|this|that|another|every) (?!{_PARTS}|corners)[\w'-]"
    rf"|(?:an?|in|on|at|to|from|next|left|right|beside|behind) (?:[\w'-]+ ){{0,4}}?{_WHO}\b|{_WHO}\b)"
)
"""How the words before an action begin if they say who acts; else who acts in the clause before does."""
_PART = re.compile(
    r"(?:(?:hand|arm|palm|fist|finger|brow|eyebrow|lid|eyelid|lip)s?|eyes?(?! (?:the|his|her))|head|chin|mouth|face)\b"
)
_WHOSE = re.compile(
    r"(?<!on )(?<!to )(?<!in )\b(?:both|one|an?|the|his|her|their|its|each|all)(?: (?:left|right|other|own))? $"
)
"""Before a part of the body, and nobody who acts ("both eyes closed")."""
_CAMERA_ACTS = re.compile(r"(?:the )?(?:camera|view|shot|frame|picture|lens)\b")
_ARTICLE = re.compile(r"\b(?:a|an|the|of|with) [\"']?$")
_NO_VERB = re.compile(r"(?:(?!framing)\w+(?:ing|ed)|walk|run|stroll|march|ride|trip|dance)\b")
"""After an article."""
_SCENERY = re.compile(
    r"\b(?:camera|shot|view|light|lighting|sunlight|sunshine|sun|moon|shadow|wind|breeze|rain|snow|smoke|fog|cloud|wave"
    r"|water|sea|ocean|river|road|street|path|bridge|train|tram|bus|car|truck|ship|boat|plane|bird|tree|branch|branche"
    r"|leaf|leave|flag|curtain|door|window|clock|fan|lamp|pendulum|tower|wall|table|story|plot|project|music|atmosphere"
    r"|deadline|christmas|storm)s? (?:\w+ly |is |are )*$"
)
"""None of the people, who moves nevertheless."""
_WITH_IT = re.compile(rf"\ban? (?:[\w-]*[^\Ws] ){{0,4}}?{_WHO} $|^an? (?:[\w-]*[^\Ws] ){{1,3}}$|^(?:two|three) \w+ $")
"""Somebody, and no verb, before "with"."""
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
    prompt = prompt.lower().replace("’", "'").replace(" & ", " and ")
    named = [match.group(1) for match in _NOUNS.finditer(prompt.split(".")[0])]
    for sentence in re.split(r"[.;!?\n]", prompt):
        subject = ""
        for part in _clauses(sentence):
            still = _CAMERA_ACTS.match(subject) and not _OWN_SUBJECT.match(part)
            clause = f"the camera {part}" if still else part
            match, name = _action(clause)
            before = clause[: match.start()] if match else clause
            who = _WHOSE.sub("", before) if match and _PART.match(match.group()) else before
            if who and (not subject or _OWN_SUBJECT.match(who)):
                subject = who
            if match is None or _denied(before, match):
                continue
            if name == CAMERA:
                found.append(Act(name, -1))
                continue
            if name == WALK and people < 2:
                continue
            found += [Act(name, person) for person in _who(subject, people, named)]
    # whoever waves has a hand up already
    found = [act for act in found if act.name != "raises a hand" or Act("waves", act.person) not in found]
    return list(dict.fromkeys(found))


def _clauses(sentence: str) -> list[str]:
    """Parts of a sentence; what a conjunction joins within one action ("up and down") stays together."""
    kept = _JOINED.sub(lambda match: _JOINT.sub(" & ", match.group()), sentence)
    return [part.strip().replace(" & ", " and ") for part in _CLAUSES.split(kept) if part and part.strip()]


def _denied(before: str, match: re.Match[str]) -> bool:
    return bool(_NO.search(_CANNOT_BUT.sub("", before)) or _NOT.search(_CANNOT_BUT.sub("", before + match.group())))


def _told(clause: str, match: re.Match[str]) -> bool:
    """Whether an action is only spoken of."""
    before = clause[: match.start()]
    told = _TOLD.search(before)
    return told is not None and not _ALONG.search(before + match.group().partition(" ")[0], told.end())


def _action(clause: str) -> tuple[re.Match[str] | None, str]:
    for name, pattern in PATTERNS.items():
        done = (each for each in pattern.finditer(clause) if not _describes(clause, each) and not _told(clause, each))
        match = next(done, None)
        if match is None or (name == CAMERA and _STAYS.search(clause)):
            continue
        if name == "looks to the other" and _VIEWER.search(clause):
            continue
        if name == CAMERA and re.search(r"\b(?:man|woman|boy|girl|person|one|she|he)\b", clause[: match.start()]):
            continue  # somebody who comes closer to the camera
        return match, name
    return None, ""


def _describes(clause: str, match: re.Match[str]) -> bool:
    """Whether words say what something is like ("a smiling sun", "a lady with closed eyes"), not what somebody does."""
    before, words = clause[: match.start()], match.group()
    if words.startswith("with "):
        return bool(_WITH_IT.search(before))
    alone = not before and re.fullmatch(r"\w+ed [\w-]+", words)
    return bool(_SCENERY.search(before) or alone or (_NO_VERB.match(words) and _ARTICLE.search(before)))


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
        tracks: of each person, see `polytalk.motion.idle.pose_signal`.
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
