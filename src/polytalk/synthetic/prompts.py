"""Words for drawn scenes: who is there, where they are, what they wear and, only when it happens, what they do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Event = tuple[str, int, int, int]
"""(name, person or -1 for the camera, first frame, end frame)."""

EVENT_WORDS: dict[str, tuple[str, ...]] = {
    name: tuple(words.split("|"))
    for name, words in {
        "nods": "nods|nods the head|gives a nod|is nodding|nods in agreement|says yes with the head",
        "shakes the head": "shakes the head|says no with the head|is shaking the head|gives a shake of the head|"
        "slowly shakes the head",
        "waves": "waves|waves a hand|is waving|waves hello|waves to the camera|gives a wave",
        "raises a hand": "raises a hand|lifts a hand|holds up a hand|is raising one hand|shows a hand",
        "smiles": "smiles|starts to smile|gives a broad smile|is smiling broadly|breaks into a smile|"
        "smiles at the camera",
        "looks to the other": "looks to the other|turns to the other|turns the head to the side|looks aside|"
        "is looking to one side|turns towards the other person",
        "leans in": "leans in|leans forward|comes closer|leans towards the camera|is leaning closer",
        "closes the eyes": "closes the eyes|shuts the eyes|keeps the eyes closed|closes both eyes|is closing the eyes",
        "tilts the head": "tilts the head|leans the head to one side|is tilting the head|tilts the head to the side",
        "raises the brows": "raises the eyebrows|lifts the brows|raises both brows|is lifting the eyebrows|"
        "looks surprised",
        "walks to the other side": "walks to the other side|walks across|crosses to the other side|walks over|"
        "is walking to the other side|changes sides",
        "camera moves in": "The camera moves in|The camera slowly zooms in|The view comes closer|A slow zoom in|"
        "The camera comes closer",
    }.items()
}  # fmt: skip
"""Ways to say each event; those of the camera are sentences."""

TALK = {
    1: ("{0} is talking.", "{0} speaks to the camera.", "{0}, speaking.", "A close-up of {0}.", "We see {0}."),
    2: ("{0} and {1} are talking.", "A conversation between {0} and {1}.", "{0} talks with {1}.", "{0} next to {1}.",
        "On the left {0}, on the right {1}."),
    3: ("{0}, {1} and {2} are talking.", "Three friends: {0}, {1} and {2}.", "From left to right: {0}, {1} and {2}."),
}  # fmt: skip

LOOK = {
    1: ("{0}.", "A picture of {0}.", "{0} in front of the camera.", "We see {0}."),
    2: ("{0} and {1}.", "{0} next to {1}.", "{0} with {1} beside.", "On the left {0}, on the right {1}."),
    3: ("{0}, {1} and {2}.", "Three friends: {0}, {1} and {2}.", "From left to right: {0}, {1} and {2}."),
}
"""The same for scenes in which nobody speaks."""


PLACES = {
    1: ("",),
    2: ("on the left", "on the right"),
    3: ("on the left", "in the middle", "on the right"),
    4: ("on the far left", "in the middle left", "in the middle right", "on the far right"),
}
"""Where so many people are, from left to right."""


def write_prompt(
    rng: np.random.Generator,
    people: Sequence[str],
    order: Sequence[int],
    events: Sequence[Event],
    place: str,
    empty: float,
    talking: bool = True,
) -> str:
    """One to four sentences, 3-40 words; with probability `empty` and no events, nothing.

    Args:
        people: each person's noun phrase.
        order: the persons from left to right in the first frame.
        events: what happens; every event is mentioned.
        place: where it is, or "".
        empty: share of prompts without events that say nothing.
        talking: whether anybody speaks.
    """
    if not events and rng.random() < empty:
        return ""
    short = [phrase.split(" with ")[0].split(" in ")[0] if rng.random() < 0.4 else phrase for phrase in people]
    left_to_right = [short[person] for person in order]
    if len(order) in TALK:
        choices = (TALK if talking else LOOK)[len(order)]
        sentence = choices[rng.integers(len(choices))].format(*left_to_right)
    else:
        sentence = f"{len(order)} friends: {', '.join(left_to_right[:-1])} and {left_to_right[-1]}."
    if place and rng.random() < 0.5:
        before = "," if place.endswith(("background", "wallpaper", "backdrop")) else " in"
        sentence = f"{sentence[:-1]}{before} {place}."
    if events and rng.random() < 0.25:
        sentence = ""
    where = dict(zip(order, PLACES[len(order)], strict=True))
    parts = [sentence] if sentence else []
    for name, person, _, _ in events:
        words = EVENT_WORDS[name][rng.integers(len(EVENT_WORDS[name]))]
        if person < 0:
            parts.append(f"{words}.")
            continue
        noun = people[person].split(" with ")[0].split(" in ")[0].split(" ", 1)[1]
        spot = where[person]
        subject = f"the {noun}" if not spot else (f"the {noun} {spot}" if rng.random() < 0.7 else f"the one {spot}")
        parts.append(f"{subject} {words}.")
    return " ".join(part[0].upper() + part[1:] for part in parts)
