"""What vector people and animals have in common: a head that turns and nods on clothed shoulders, and where it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import skia

from polytalk.synthetic.characters.character import FaceGeometry, Pose
from polytalk.synthetic.characters.vector.body import Body
from polytalk.synthetic.characters.vector.kit import placed, transformed
from polytalk.synthetic.characters.vector.mouth import Mouth

TURN = 0.17
"""Sideways shift of the features at yaw 1, in head heights."""
NOD = 0.07
"""Shift of the features downwards at pitch 1, in head heights."""


def head_matrix(pose: Pose) -> skia.Matrix:
    """From head heights around the head's centre to pixels; the head rolls about the top of the neck."""
    matrix = skia.Matrix()
    matrix.setTranslate(0.0, -0.55)
    matrix.postRotate(float(np.degrees(pose.roll)))
    matrix.postTranslate(0.0, 0.55)
    matrix.postScale(pose.size, pose.size)
    matrix.postTranslate(pose.x, pose.y)
    return matrix


def mapped_box(
    matrix: skia.Matrix, left: float, top: float, right: float, bottom: float
) -> tuple[float, float, float, float]:
    """Box around a transformed box."""
    rect = matrix.mapRect(skia.Rect(left, top, right, bottom))
    return rect.left(), rect.top(), rect.right(), rect.bottom()


@contextmanager
def at_shoulders(canvas: skia.Canvas, pose: Pose) -> Iterator[None]:
    """Draw in head heights around the centre of the upright head, which the shoulders stay below."""
    with placed(canvas, pose.x - pose.lean * pose.size, pose.y, pose.size):
        yield


class VectorCharacter:
    """Somebody from vector shapes. See `Character`; lengths are head heights around the head's centre."""

    mouth_turn = TURN
    """Sideways shift of the mouth at yaw 1."""
    crown = -0.58
    """Top of the head's box."""
    beside = 0.06
    """How far the head's box reaches beyond the face, on either side."""
    half: float
    """Half width of the face."""
    mouth: Mouth
    mouth_y: float
    body: Body

    def geometry(self, pose: Pose) -> FaceGeometry:
        """Boxes of mouth and head in this pose."""
        matrix = head_matrix(pose)
        reach, above, below = self.mouth.reach()
        x, y = self.mouth_turn * pose.yaw, self.mouth_y + NOD * pose.pitch
        mouth = mapped_box(matrix, x - reach, y - above, x + reach, y + below)
        beside = self.half + self.beside
        return FaceGeometry(mouth, mapped_box(matrix, -beside, self.crown, beside, 0.54))

    def draw(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Draw what hangs behind the head, trunk, head and a raised hand."""
        matrix = head_matrix(pose)
        with transformed(canvas, matrix):
            self.draw_behind(canvas)
        with at_shoulders(canvas, pose):
            self.body.draw(canvas, pose)
        with transformed(canvas, matrix):
            self.draw_head(canvas, pose)
        with at_shoulders(canvas, pose):
            self.body.draw_hand(canvas, pose)

    def draw_behind(self, canvas: skia.Canvas) -> None:
        """Draw what hangs behind the head."""

    def draw_head(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Draw the head."""
        raise NotImplementedError
