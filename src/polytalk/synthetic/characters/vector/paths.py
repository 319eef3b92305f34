"""Outlines of drawn characters: curves through points, in head heights, y downwards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import skia

Points = Sequence[tuple[float, float]]


def smooth(points: Points, closed: bool = True, tension: float = 0.17) -> skia.Path:
    """Curve through all points (cardinal spline as Bezier pieces)."""
    count = len(points)
    path = skia.Path()
    path.moveTo(*points[0])
    for index in range(count if closed else count - 1):
        if closed:
            before, start = points[index - 1], points[index]
            end, after = points[(index + 1) % count], points[(index + 2) % count]
        else:
            before, start = points[max(index - 1, 0)], points[index]
            end, after = points[index + 1], points[min(index + 2, count - 1)]
        first = [one + tension * (two - zero) for zero, one, two in zip(before, start, end, strict=True)]
        second = [two - tension * (three - one) for one, two, three in zip(start, end, after, strict=True)]
        path.cubicTo(*first, *second, *end)
    if closed:
        path.close()
    return path


def mirrored(points: Points) -> list[tuple[float, float]]:
    """Closed outline from its right half, listed from the top of the middle line to its bottom (x >= 0)."""
    left = [(-x, y) for x, y in reversed(points) if x > 1e-6]
    return [*points, *left]


def simplified(path: skia.Path) -> skia.Path:
    """The outline of a path without its inner crossings; the path itself where skia finds none."""
    try:
        return skia.Simplify(path) or path
    except RuntimeError:
        return path


def intersection(path: skia.Path, other: skia.Path) -> skia.Path:
    """What lies in both; nothing where skia cannot tell."""
    try:
        return skia.Op(path, other, skia.PathOp.kIntersect_PathOp) or skia.Path()
    except RuntimeError:
        return skia.Path()


def oval(x: float, y: float, half_width: float, half_height: float) -> skia.Path:
    """Ellipse around (x, y)."""
    path = skia.Path()
    path.addOval(skia.Rect.MakeLTRB(x - half_width, y - half_height, x + half_width, y + half_height))
    return path


def corners(points: np.ndarray | Points) -> list[skia.Point]:
    """Points (N, 2) as skia takes them."""
    return [skia.Point(x, y) for x, y in np.asarray(points).tolist()]


def polygon(points: np.ndarray | Points, closed: bool = True) -> skia.Path:
    """Path with straight edges."""
    path = skia.Path()
    path.addPoly(corners(points), closed)
    return path
