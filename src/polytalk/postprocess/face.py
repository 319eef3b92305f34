"""A face in a picture: where the head is, and its features."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Head:
    """Where a head is in the picture, pixels."""

    x: float
    """Of its middle."""
    y: float
    height: float
    """Of a box around it."""


@dataclass(frozen=True)
class Eye:
    """One eye; pixels of the picture."""

    x: float
    """Of its middle, as its brow's."""
    y: float
    half_width: float
    """Of what lids open, as the height."""
    half_height: float
    brow_x: float
    brow_y: float
    """Lower edge of the brow at rest."""
    lids: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Edges of the upper and the lower lid, evenly from the eye's left to its right end: how far below its middle,
    along the face, in half-heights. Arcs, if not known."""


@dataclass(frozen=True)
class FacePoints:
    """One face."""

    eyes: tuple[Eye, Eye]
    """Left and right in the picture."""
    mouth_x: float
    mouth_y: float
    mouth_half_width: float
    """Of the widest mouth."""
