"""Places of people: what the user gave and what was found become one list, from left to right."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from polytalk.casting.found import FoundPerson
from polytalk.conditioning.given_masks import MaskedBox
from polytalk.errors import PolytalkError
from polytalk.scene import Box

NOT_FOUND = 0.0
"""Score of somebody whom the user put where no face was found."""


def join_given(
    boxes: Sequence[Box],
    names: Sequence[str],
    found: Sequence[FoundPerson],
    masks: Sequence[np.ndarray | None] | None = None,
) -> tuple[list[FoundPerson], list[int]]:
    """People at the boxes that the user gave, and whoever else was found, from left to right.

    Args:
        boxes: the user's; they become the bodies as they are.
        names: of whoever is in them.
        found: what the detectors say; each goes to the box that holds most of the head.
        masks: the user's, bool (height, width) of the picture, for some of the boxes.

    Returns:
        The people, and for each box the place of its person among them.
    """
    rest = list(found)
    people: list[FoundPerson] = []
    for box, name, mask in zip(boxes, names, masks or [None] * len(boxes), strict=True):
        inside = [person for person in rest if _contains(box, _centre(person.head))]
        best = max(inside, key=lambda person: shared_area(box, person.head), default=None)
        if best is None:
            people.append(FoundPerson(name, box, box, box, NOT_FOUND, "user", None, mask))
        else:
            rest.remove(best)
            people.append(dataclasses.replace(best, name=name, body=box, finder="user", mask=mask))
    for person in rest:  # somebody else's head in a box of the user's is part of that box
        if not any(_contains(box, _centre(person.head)) for box in boxes):
            people.append(person)
    order = sorted(range(len(people)), key=lambda place: _centre(people[place].head)[0])
    return [people[place] for place in order], [order.index(place) for place in range(len(boxes))]


def person_at(point: tuple[float, float], people: Sequence[FoundPerson]) -> int:
    """The place of whoever is under a point of the picture: head, else mask, else body; else the nearest.

    Raises:
        PolytalkError: nobody was found at all.
    """
    if not people:
        x, y = point
        raise PolytalkError("point", f"nobody was found at {x:g},{y:g}", "Give a box instead.")
    row, column = int(point[1]), int(point[0])
    places = range(len(people))
    under = [place for place in places if _contains(people[place].head, point)]
    under = under or [place for place in places if _is_set(people[place].mask, row, column)]
    under = under or [place for place in places if _contains(people[place].body, point)]
    return min(under or places, key=lambda place: _distance(point, _centre(people[place].head)))


def within(mask: np.ndarray | None, box: Box) -> np.ndarray | None:
    """What of a mask (height, width) lies in a box; None where nothing does."""
    if mask is None:
        return None
    inside = np.zeros_like(mask)
    part = slice(box.top, box.bottom), slice(box.left, box.right)
    inside[part] = mask[part]
    return inside if inside.any() else None


def extent(mask: np.ndarray) -> Box:
    """The smallest box that holds a mask (height, width), which is not empty."""
    around = MaskedBox.around(mask)
    return Box(around.left, around.top, around.right, around.bottom)


def bodies_apart(people: Sequence[FoundPerson]) -> list[Box]:
    """Everybody's body, cut where two of them overlap: half-way between the heads, so that nobody is in two boxes."""
    boxes = [person.body for person in people]
    for one, other in itertools.combinations(range(len(people)), 2):
        a, b = boxes[one], boxes[other]
        if shared_area(a, b) == 0:
            continue
        (ax, ay), (bx, by) = _centre(people[one].head), _centre(people[other].head)
        if abs(ax - bx) >= abs(ay - by):
            first, second = (one, other) if ax <= bx else (other, one)
            cut = _half_way(people[first].head.right, people[second].head.left)
            left, right = boxes[first], boxes[second]
            if left.left < cut < right.right:
                boxes[first] = dataclasses.replace(left, right=min(left.right, cut))
                boxes[second] = dataclasses.replace(right, left=max(right.left, cut))
        else:
            first, second = (one, other) if ay <= by else (other, one)
            cut = _half_way(people[first].head.bottom, people[second].head.top)
            upper, lower = boxes[first], boxes[second]
            if upper.top < cut < lower.bottom:
                boxes[first] = dataclasses.replace(upper, bottom=min(upper.bottom, cut))
                boxes[second] = dataclasses.replace(lower, top=max(lower.top, cut))
    return boxes


def shared_area(one: Box, other: Box) -> int:
    """Pixels that two boxes have in common."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0, width) * max(0, height)


def _half_way(before: int, after: int) -> int:
    return (before + after) // 2


def _is_set(mask: np.ndarray | None, row: int, column: int) -> bool:
    inside = mask is not None and 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
    return inside and mask is not None and bool(mask[row, column])


def _contains(box: Box, point: tuple[float, float]) -> bool:
    return box.left <= point[0] < box.right and box.top <= point[1] < box.bottom


def _centre(box: Box) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def _distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2
