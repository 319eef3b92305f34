"""Places of people: what the user gave and what was found become one list, from left to right."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from polytalk.casting.found import FoundPerson
from polytalk.errors import PolytalkError
from polytalk.scene import Box

UNSEEN = 0.0
"""Score of somebody whom the user put where no face was found."""


def join_given(
    boxes: Sequence[Box], names: Sequence[str], found: Sequence[FoundPerson]
) -> tuple[list[FoundPerson], list[int]]:
    """People at the boxes that the user gave, and whoever else was found, from left to right.

    Args:
        boxes: the user's; they become the bodies as they are.
        names: of whoever is in them.
        found: what the detectors say; each goes to the box that holds most of the head.

    Returns:
        The people, and for each box the place of its person among them.
    """
    rest = list(found)
    people: list[FoundPerson] = []
    for box, name in zip(boxes, names, strict=True):
        inside = [person for person in rest if _contains(box, _centre(person.head))]
        best = max(inside, key=lambda person: shared_area(box, person.head), default=None)
        if best is None:
            people.append(FoundPerson(name, box, box, box, UNSEEN, "user"))
        else:
            rest.remove(best)
            people.append(dataclasses.replace(best, name=name, body=box, finder="user", mask=None))
    for person in rest:  # somebody else's head in a box of the user's is part of that box
        if not any(_contains(box, _centre(person.head)) for box in boxes):
            people.append(person)
    order = sorted(range(len(people)), key=lambda place: _centre(people[place].head)[0])
    return [people[place] for place in order], [order.index(place) for place in range(len(boxes))]


def person_at(point: tuple[float, float], people: Sequence[FoundPerson]) -> int:
    """The place among the people of whom a point of the picture shows; where bodies overlap, the nearer head's.

    Raises:
        PolytalkError: it shows nobody.
    """
    there = [place for place, person in enumerate(people) if _contains(person.body, point)]
    if not there:
        x, y = point
        remedy = "Point at a head or at shoulders, or give a box."
        raise PolytalkError("point", f"nobody was found at {x:g},{y:g}", remedy)
    return min(there, key=lambda place: _distance(point, _centre(people[place].head)))


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


def _contains(box: Box, point: tuple[float, float]) -> bool:
    return box.left <= point[0] < box.right and box.top <= point[1] < box.bottom


def _centre(box: Box) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def _distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2
