"""Neck, shoulders, clothes and a raised hand of the vector characters, in head heights around the centre of the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import skia

from polytalk.data.character import Pose
from polytalk.data.vector_hair import cloth_colour
from polytalk.data.vector_kit import (
    Brush,
    Colour,
    Shape,
    argb,
    darker,
    draw_path,
    fill,
    glow,
    lighter,
    mirrored,
    mix,
    oval,
    smooth,
    stroke,
    simplified,
)

FLOOR = 7.0
"""The body reaches so many head heights below the centre of the head."""


@dataclass(frozen=True)
class Body:
    """A clothed trunk with a hand that can be raised."""

    words: str
    """How a prompt calls the clothes, e.g. "a green sweater"."""
    neck: Shape | None
    shade: skia.Paint
    shapes: tuple[Shape, ...]
    shoulder: float
    hand_paint: skia.Paint
    sleeve_paint: skia.Paint
    hand_contour: skia.Paint | None
    sleeve_contour: skia.Paint | None

    @classmethod
    def drawn(cls, rng: np.random.Generator, brush: Brush, skin: Colour, broad: float, neck: float) -> Body:
        """Body with shoulders of half width `broad` and a neck of half width `neck`."""
        name, colour = cloth_colour(rng)
        garment = str(
            rng.choice(["sweater", "shirt", "jacket", "T-shirt", "dress", "scarf and a coat", "hoodie", "suit"])
        )
        top = float(rng.uniform(0.60, 0.68))
        right = [(0, top + 0.02), (neck + 0.04, top), (0.6 * broad, top + 0.13), (0.93 * broad, top + 0.24), (broad + 0.07, top + 0.62), (broad + 0.12, top + 1.6),
                 (broad + 0.1, FLOOR), (0, FLOOR)]  # fmt: skip
        trunk = smooth(mirrored(right), tension=0.13)
        surface = brush.surface(colour, 0, top + 0.5, 1.25)
        if brush.style == "painted":
            stops = [argb(lighter(colour, 0.1)), argb(colour), argb(darker(colour, 0.32)), argb(darker(colour, 0.45))]
            shader = skia.GradientShader.MakeRadial(
                skia.Point(0.5 * broad * brush.light, top + 0.1), 1.6, stops, [0, 0.3, 0.75, 1]
            )
            surface = skia.Paint(Shader=shader, AntiAlias=True)
        contour = brush.contour(colour)
        shapes = [Shape(trunk, surface, contour)]
        shapes += cls._pattern(rng, trunk, colour, top, broad)
        shapes += cls._collar(rng, brush, garment, colour, skin, top, neck)
        if brush.soft:
            shapes += cls._folds(rng, colour, top, broad)
        article = "" if garment.startswith(("scarf",)) else ("an " if name[0] in "aeiou" else "a ")
        words = f"{article}{name} {garment}"
        stem = smooth(
            [
                (-neck, 0.2),
                (neck, 0.2),
                (neck, top - 0.04),
                (neck + 0.10, top + 0.09),
                (0, top + 0.22),
                (-neck - 0.10, top + 0.09),
                (-neck, top - 0.04),
            ],
            tension=0.12,
        )
        neck_shape = Shape(stem, brush.surface(darker(skin, 0.10), 0, 0.45, 0.5), brush.contour(skin))
        return cls(
            words, neck_shape, glow(0.03 * -brush.light, 0.42, 0.34, darker(skin, 0.55), 0.75 if brush.soft else 0.4), tuple(shapes), broad,
            brush.surface(skin, 0, 0, 0.25), surface if not brush.soft else fill(darker(colour, 0.08)),
            brush.contour(skin), contour,
        )  # fmt: skip

    @staticmethod
    def _pattern(rng: np.random.Generator, trunk: skia.Path, colour: Colour, top: float, broad: float) -> list[Shape]:
        kind = str(rng.choice(["plain", "plain", "stripes", "columns", "dots", "checks"]))
        if kind == "plain":
            return []
        other = lighter(colour, 0.55) if rng.random() < 0.6 else darker(colour, 0.45)
        path, step = skia.Path(), float(rng.uniform(0.1, 0.17))
        low = top + 2.2
        if kind in ("stripes", "checks"):
            for y in np.arange(top + 0.12, low, 2 * step):
                path.addRect(skia.Rect(-2, float(y), 2, float(y) + 0.7 * step))
        if kind in ("columns", "checks"):
            for x in np.arange(-broad - 0.2, broad + 0.2, 2 * step):
                path.addRect(skia.Rect(float(x), top - 0.1, float(x) + 0.5 * step, low))
        if kind == "dots":
            for row, y in enumerate(np.arange(top + 0.1, low, 1.5 * step)):
                for x in np.arange(-broad - 0.2, broad + 0.2, 1.7 * step):
                    path.addCircle(float(x) + 0.85 * step * (row % 2), float(y), 0.3 * step)
        clipped = skia.Op(path, trunk, skia.PathOp.kIntersect_PathOp)
        return [Shape(clipped, fill(other, float(rng.uniform(0.35, 0.8))))]

    @staticmethod
    def _collar(
        rng: np.random.Generator, brush: Brush, garment: str, colour: Colour, skin: Colour, top: float, neck: float
    ) -> list[Shape]:
        contour = brush.contour(colour)
        deep = fill(darker(skin, 0.08)) if not brush.soft else brush.surface(darker(skin, 0.06), 0, top, 0.5)
        if garment in ("T-shirt", "dress"):
            low = 0.12 if garment == "T-shirt" else 0.26
            return [
                Shape(
                    smooth([(-neck - 0.1, top - 0.03), (0, top - 0.06), (neck + 0.1, top - 0.03), (0, top + low)]),
                    deep,
                    contour,
                )
            ]
        if garment in ("shirt", "jacket", "suit"):
            inner = fill((0.93, 0.93, 0.91)) if garment != "shirt" else deep
            wide, low = neck + 0.09, top + (0.55 if garment == "suit" else 0.30)
            opening = skia.Path()
            opening.addPoly([skia.Point(-wide, top - 0.02), skia.Point(0, low), skia.Point(wide, top - 0.02)], True)
            shapes = [Shape(opening, inner)]
            if garment == "suit" and rng.random() < 0.7:
                tie = skia.Path()
                tie.addPoly(
                    [
                        skia.Point(-0.05, top + 0.1),
                        skia.Point(0.05, top + 0.1),
                        skia.Point(0.075, low),
                        skia.Point(-0.075, low),
                    ],
                    True,
                )
                shapes.append(Shape(tie, fill(cloth_colour(rng)[1]), contour))
            for side in (-1.0, 1.0):
                flap = skia.Path()
                points = [
                    (neck - 0.02, top - 0.09),
                    (wide + 0.07, top - 0.02),
                    (wide + 0.02, top + 0.22),
                    (0.02, top + 0.16 if garment != "suit" else low),
                ]
                flap.addPoly([skia.Point(side * x, y) for x, y in points], True)
                shapes.append(
                    Shape(flap, fill(lighter(colour, 0.1) if side * brush.light > 0 else darker(colour, 0.14)), contour)
                )
            return shapes
        if garment == "sweater":
            return [
                Shape(
                    smooth(
                        [
                            (-neck - 0.07, top - 0.06),
                            (0, top + 0.02),
                            (neck + 0.07, top - 0.06),
                            (neck + 0.09, top + 0.05),
                            (0, top + 0.14),
                            (-neck - 0.09, top + 0.05),
                        ]
                    ),
                    fill(darker(colour, 0.16)),
                    contour,
                )
            ]
        if garment.startswith("scarf"):
            wool = cloth_colour(rng)[1]
            return [
                Shape(
                    smooth(
                        [
                            (-neck - 0.13, top - 0.1),
                            (0, top - 0.02),
                            (neck + 0.13, top - 0.1),
                            (neck + 0.17, top + 0.09),
                            (0, top + 0.24),
                            (-neck - 0.17, top + 0.09),
                        ]
                    ),
                    brush.surface(wool, 0, top, 0.4),
                    brush.contour(wool),
                )
            ]
        cord = skia.Path()
        for side in (-1.0, 1.0):
            cord.moveTo(side * 0.1, top + 0.1)
            cord.lineTo(side * 0.12, top + 0.45)
        ring = smooth(
            [
                (-neck - 0.16, top - 0.08),
                (0, top + 0.04),
                (neck + 0.16, top - 0.08),
                (neck + 0.14, top + 0.08),
                (0, top + 0.2),
                (-neck - 0.14, top + 0.08),
            ]
        )
        return [Shape(ring, fill(darker(colour, 0.2)), contour), Shape(cord, stroke(lighter(colour, 0.6), 0.018))]

    @staticmethod
    def _folds(rng: np.random.Generator, colour: Colour, top: float, broad: float) -> list[Shape]:
        shapes = []
        for side in (-1.0, 1.0):
            arm = skia.Path()
            arm.moveTo(side * 0.74 * broad, top + 0.55)
            arm.quadTo(side * 0.70 * broad, top + 0.9, side * 0.78 * broad, top + 1.7)
            shapes.append(Shape(arm, stroke(darker(colour, 0.5), 0.03, 0.4)))
            for _ in range(2):
                x, y = side * rng.uniform(0.15, 0.7) * broad, top + rng.uniform(0.25, 0.7)
                fold = skia.Path()
                fold.moveTo(x, y)
                fold.quadTo(x - side * 0.1, y + 0.2, x - side * 0.05, y + 0.4)
                shapes.append(Shape(fold, stroke(darker(colour, 0.4), 0.03, 0.28)))
        return shapes

    def draw(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Draw trunk and neck; the canvas is at the centre of the upright head."""
        if self.neck is not None:
            canvas.save()
            # The neck follows the head half way.
            canvas.translate(0.5 * pose.lean, 0.0)
            self.neck.draw(canvas)
            canvas.drawPath(self.neck.path, self.shade)
            canvas.restore()
        for shape in self.shapes:
            shape.draw(canvas)

    def draw_hand(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Draw forearm and open hand, if raised."""
        if pose.hand <= 0.02:
            return
        canvas.save()
        x = pose.hand_side * (0.53 + 0.12 * self.shoulder)
        canvas.translate(x, 2.0 - 1.62 * pose.hand)
        canvas.rotate(pose.hand_side * 8.0 + np.degrees(pose.hand_angle))
        sleeve = skia.Path()
        sleeve.addRoundRect(skia.Rect(-0.12, 0.18, 0.12, 1.6), 0.08, 0.08)
        draw_path(canvas, sleeve, self.sleeve_paint, self.sleeve_contour)
        hand = skia.Path()
        hand.setFillType(skia.PathFillType.kWinding)
        hand.addRoundRect(skia.Rect(-0.085, 0.05, 0.085, 0.24), 0.05, 0.05)
        hand.addRoundRect(skia.Rect(-0.115, -0.12, 0.115, 0.12), 0.07, 0.07)
        for index, angle in enumerate((-15.0, -5.0, 5.0, 15.0)):
            finger = skia.Path()
            length = 0.20 if index in (1, 2) else 0.165
            finger.addRoundRect(skia.Rect(-0.026, -length, 0.026, 0.03), 0.026, 0.026)
            turn = skia.Matrix()
            turn.setRotate(angle)
            turn.postTranslate(-0.084 + 0.056 * index, -0.09)
            finger.transform(turn)
            hand.addPath(finger)
        thumb = skia.Path()
        thumb.addRoundRect(skia.Rect(-0.028, -0.16, 0.028, 0.04), 0.028, 0.028)
        turn = skia.Matrix()
        turn.setRotate(-48.0 * pose.hand_side)
        turn.postTranslate(-0.1 * pose.hand_side, 0.04)
        thumb.transform(turn)
        hand.addPath(thumb)
        hand = simplified(hand)
        draw_path(canvas, hand, self.hand_paint, self.hand_contour)
        canvas.restore()


__all__ = ["FLOOR", "Body", "mix", "oval"]
