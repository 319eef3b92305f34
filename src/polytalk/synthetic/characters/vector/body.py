"""Neck, trunk and a raised hand of the vector characters, in head heights around the centre of the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import skia

from polytalk.synthetic.characters.character import Pose
from polytalk.synthetic.characters.vector.clothes import GARMENTS, Tailor, cloth_colour
from polytalk.synthetic.characters.vector.colours import Colour, argb, darker, lighter
from polytalk.synthetic.characters.vector.kit import Brush, Shape, draw_path, fill, glow, placed, radial
from polytalk.synthetic.characters.vector.paths import mirrored, simplified, smooth

FLOOR = 7.0
"""The body reaches so many head heights below the centre of the head."""


@dataclass(frozen=True)
class Body:
    """A clothed trunk with a hand that can be raised."""

    words: str
    """How a prompt calls the clothes, e.g. "a green sweater"."""
    neck: Shape
    shade: skia.Paint
    """Shadow of the head on the neck."""
    shapes: tuple[Shape, ...]
    shoulder: float
    """Half width of the shoulders."""
    hand: tuple[skia.Path, skia.Path]
    """Open hand raised on the left and on the right, around the wrist."""
    hand_paint: skia.Paint
    sleeve_paint: skia.Paint
    hand_contour: skia.Paint | None
    sleeve_contour: skia.Paint | None

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, brush: Brush, skin: Colour, broad: float, neck: float, wearer: str = "child"
    ) -> Body:
        """Body with shoulders of half width `broad`, a neck of half width `neck`, and clothes of `GARMENTS[wearer]`."""
        name, colour = cloth_colour(rng)
        garment = str(rng.choice(GARMENTS[wearer]))
        cloth = darker(cloth_colour(rng)[1], 0.3) if garment == "scarf" else colour
        top = float(rng.uniform(0.60, 0.68))
        right = [(0, top + 0.02), (neck + 0.04, top), (0.6 * broad, top + 0.13), (0.93 * broad, top + 0.24),
                 (broad + 0.07, top + 0.62), (broad + 0.12, top + 1.6), (broad + 0.1, FLOOR), (0, FLOOR)]  # fmt: skip
        trunk = smooth(mirrored(right), tension=0.13)
        surface = fill(cloth)
        if brush.soft:
            depth = 1.0 if brush.style == "painted" else 0.55
            tones = [lighter(cloth, 0.1 * depth), cloth, darker(cloth, 0.32 * depth), darker(cloth, 0.45 * depth)]
            middle = 0.5 * broad * brush.light
            surface = radial(middle, top + 0.1, 1.6, [argb(tone) for tone in tones], [0, 0.3, 0.75, 1])
        tailor = Tailor(rng, brush, garment, colour, skin, top, neck, broad)
        shapes = [Shape(trunk, surface, brush.contour(cloth))]
        shapes += tailor.pattern(trunk) if garment != "scarf" else []
        shapes += tailor.collar() + (tailor.folds() if brush.soft else [])
        stem = [(-neck, 0.2), (neck, 0.2), (neck, top - 0.04), (neck + 0.10, top + 0.09), (0, top + 0.22),
                (-neck - 0.10, top + 0.09), (-neck, top - 0.04)]  # fmt: skip
        shaded = brush.surface(darker(skin, 0.10), 0, 0.45, 0.5)
        return cls(
            words=f"{'an' if name[0] in 'aeiou' else 'a'} {name} {garment}",
            neck=Shape(smooth(stem, tension=0.12), shaded, brush.contour(skin)),
            shade=glow(-0.03 * brush.light, 0.42, 0.34, darker(skin, 0.55), 0.75 if brush.soft else 0.4),
            shapes=tuple(shapes),
            shoulder=broad,
            hand=(_hand(-1.0), _hand(1.0)),
            hand_paint=brush.surface(skin, 0, 0, 0.25),
            sleeve_paint=fill(darker(cloth, 0.08)) if brush.soft else surface,
            hand_contour=brush.contour(skin),
            sleeve_contour=brush.contour(cloth),
        )

    def draw(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Draw trunk and neck; the canvas is at the centre of the upright head."""
        # The neck follows the head half way.
        with placed(canvas, 0.5 * pose.lean):
            self.neck.draw(canvas)
            canvas.drawPath(self.neck.path, self.shade)
        for shape in self.shapes:
            shape.draw(canvas)

    def draw_hand(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Draw forearm and open hand, if raised."""
        if pose.hand <= 0.02:
            return
        side = 1.0 if pose.hand_side > 0 else -1.0
        sleeve = skia.Path()
        sleeve.addRoundRect(skia.Rect(-0.12, 0.18, 0.12, 1.9), 0.08, 0.08)
        with placed(canvas, side * (0.53 + 0.12 * self.shoulder), 2.0 - 1.62 * pose.hand):
            canvas.rotate(side * 8.0 + float(np.degrees(pose.hand_angle)))
            draw_path(canvas, sleeve, self.sleeve_paint, self.sleeve_contour)
            draw_path(canvas, self.hand[side > 0], self.hand_paint, self.hand_contour)


def _hand(side: float) -> skia.Path:
    """Open hand around the wrist, its thumb towards the head: on the left (side -1) or right (1) of the picture."""
    hand = skia.Path()
    hand.setFillType(skia.PathFillType.kWinding)
    hand.addRoundRect(skia.Rect(-0.085, 0.05, 0.085, 0.24), 0.05, 0.05)
    hand.addRoundRect(skia.Rect(-0.115, -0.12, 0.115, 0.12), 0.07, 0.07)
    shapes = enumerate(((0.165, -15.0), (0.20, -5.0), (0.20, 5.0), (0.165, 15.0)))
    fingers = [(0.026, length, angle, -0.084 + 0.056 * index, -0.09) for index, (length, angle) in shapes]
    thumb = (0.028, 0.16, -48.0 * side, -0.1 * side, 0.04)
    for half, length, angle, x, y in (*fingers, thumb):
        finger = skia.Path()
        finger.addRoundRect(skia.Rect(-half, -length, half, 0.03), half, half)
        place = skia.Matrix()
        place.setRotate(angle)
        place.postTranslate(x, y)
        finger.transform(place)
        hand.addPath(finger)
    return simplified(hand)
