"""What every drawn person has in common, whatever draws them: the pose of one frame and the protocol of a character."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import skia


@dataclass(frozen=True)
class Pose:
    """One person in one frame. Lengths are pixels of the frame, angles radians."""

    x: float
    """Centre of the head, from the left."""
    y: float
    """Centre of the head, from the top."""
    size: float
    """Height of the head, chin to crown."""
    roll: float = 0.0
    """Tilt of the head, clockwise."""
    yaw: float = 0.0
    """Turn of the head, -1 (to the viewer's left) to 1."""
    pitch: float = 0.0
    """Nod of the head, -1 (up) to 1 (down)."""
    lean: float = 0.0
    """Shift of the head against the shoulders, in head heights, positive to the right."""
    opening: float = 0.0
    """Gap between the lips, 0 (closed) to 1."""
    width: float = 0.5
    """Width of the mouth, 0 (narrow) to 1 (spread)."""
    rounding: float = 0.0
    """Lips pushed forward as in "oo", 0 to 1."""
    smile: float = 0.0
    """Corners of the mouth, -1 (down) to 1 (up)."""
    blink: float = 0.0
    """Eyelids, 0 (open) to 1 (closed)."""
    gaze_x: float = 0.0
    """-1 (to the viewer's left) to 1."""
    gaze_y: float = 0.0
    """-1 (up) to 1 (down)."""
    brow: float = 0.0
    """-1 (frown) to 1 (raised)."""
    hand: float = 0.0
    """Raised hand, 0 (out of sight) to 1 (beside the head)."""
    hand_angle: float = 0.0
    """Swing of the raised hand, as in a wave."""
    hand_side: float = 1.0
    """Side of the raised hand in the picture, -1 (left) or 1 (right)."""


@dataclass(frozen=True)
class FaceGeometry:
    """Where a drawn face is, in pixels of the frame: what the ground truth is made of."""

    mouth: tuple[float, float, float, float]
    """Box (left, top, right, bottom) that holds the mouth at its widest and most open."""
    face: tuple[float, float, float, float]
    """Box around the head, hair included."""


class Character(Protocol):
    """Somebody who can be drawn in any pose. Appearance is fixed when built from a seed."""

    style: str
    """Name of the art style, for sampling and for reports."""

    def draw(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Draw head, body and, when raised, the hand. Everything drawn belongs to the person's mask."""

    def geometry(self, pose: Pose) -> FaceGeometry:
        """The face's geometry in this pose."""

    def describe(self) -> str:
        """A noun phrase for the prompt, e.g. "a woman with red hair and a green sweater"."""
