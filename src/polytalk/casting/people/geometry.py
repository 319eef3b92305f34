"""Rectangles in pixels with fractions, and how much of each other they cover."""

from __future__ import annotations

from polytalk.scene import Box

Rect = tuple[float, float, float, float]
"""left, top, right, bottom in pixels; may leave the picture."""


def area(rect: Rect) -> float:
    """Square pixels; 0 for an empty one."""
    return max(0.0, rect[2] - rect[0]) * max(0.0, rect[3] - rect[1])


def common(first: Rect, second: Rect) -> Rect:
    """What two rectangles share; empty (right < left or bottom < top) if they are apart."""
    low = max(first[0], second[0]), max(first[1], second[1])
    return *low, min(first[2], second[2]), min(first[3], second[3])


def overlap(first: Rect, second: Rect) -> float:
    """Intersection over union, 0..1."""
    shared = area(common(first, second))
    return shared / max(1e-9, area(first) + area(second) - shared)


def overlap_of_smaller(first: Rect, second: Rect) -> float:
    """Intersection over the smaller of the two, 0..1."""
    return area(common(first, second)) / max(1e-9, min(area(first), area(second)))


def around(first: Rect, second: Rect) -> Rect:
    """The smallest rectangle that holds both."""
    return min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3])


def to_box(rect: Rect, width: int, height: int) -> Box:
    """Whole pixels inside a picture of `width` × `height`; at least one of them."""
    left, top = (min(max(0, round(low)), limit - 1) for low, limit in ((rect[0], width), (rect[1], height)))
    right, bottom = max(left + 1, min(width, round(rect[2]))), max(top + 1, min(height, round(rect[3])))
    return Box(left, top, right, bottom)
