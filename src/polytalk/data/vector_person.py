"""People drawn from vector shapes in several art styles."""

from __future__ import annotations

import numpy as np
import skia

from polytalk.data.character import FaceGeometry, Pose
from polytalk.data.vector_body import Body
from polytalk.data.vector_face import Eyes, Glasses, Nose, cheek
from polytalk.data.vector_hair import ANY, LONG, SHORT, Hair, HairMaker, hair_colour
from polytalk.data.vector_kit import (
    Brush,
    Colour,
    Shape,
    brightness,
    darker,
    draw_path,
    fill,
    glow,
    mirrored,
    mix,
    oval,
    smooth,
    stroke,
)
from polytalk.data.vector_mouth import Mouth

SKINS: tuple[Colour, ...] = (
    (0.99, 0.88, 0.80), (0.96, 0.81, 0.69), (0.91, 0.73, 0.58), (0.85, 0.64, 0.47), (0.74, 0.53, 0.37), (0.60, 0.41, 0.28), (0.46, 0.30, 0.21), (0.36, 0.23, 0.17),
)  # fmt: skip
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


class Person:
    """A human being, drawn from a seed. See `Character`."""

    def __init__(self, rng: np.random.Generator, style: str) -> None:
        self.style = f"{style} person"
        self.brush = brush = Brush.drawn(style, rng)
        self.skin = mix(SKINS[rng.integers(len(SKINS))], (rng.random(), rng.random(), rng.random()), 0.03)
        self.kind = str(rng.choice(["woman", "man", "girl", "boy"], p=[0.38, 0.38, 0.12, 0.12]))
        young, male = self.kind in ("girl", "boy"), self.kind in ("man", "boy")
        self.half = float(rng.uniform(0.335, 0.385) + 0.02 * young)
        jaw = rng.uniform(0.74, 0.88) if male and not young else rng.uniform(0.64, 0.80)
        self.outline = self._outline(float(jaw), float(rng.uniform(0.30, 0.44)))
        name, colour = hair_colour(rng, brightness(self.skin))
        kinds = (SHORT if male else LONG) if rng.random() < 0.72 else ANY
        hair_kind = str(kinds[rng.integers(len(kinds))])
        if young and hair_kind in ("bald", "receding"):
            hair_kind = "short"
        self.hair: Hair = HairMaker(rng, brush, colour, name, self.half).make(hair_kind)
        eye_kind = "button" if style != "painted" and rng.random() < 0.12 else "full"
        self.eyes = Eyes.drawn(rng, brush, self.skin, colour, eye_kind, 0.3 if male else 1.0, animal=False)
        self.nose = Nose.drawn(rng, brush, self.skin, self._nose_kind(rng))
        self.nose_y = float(rng.uniform(0.155, 0.185))
        self.mouth_y = float(rng.uniform(0.285, 0.305))
        self.mouth = Mouth.drawn(rng, brush, self.skin, float(rng.uniform(0.235, 0.285)), float(rng.uniform(0.0, 0.5) if male else rng.uniform(0.3, 1.0)),
                                 lips=brush.soft or eye_kind == "full" and rng.random() < 0.75)  # fmt: skip
        self.glasses = Glasses.drawn(rng) if rng.random() < 0.22 else None
        self.face_paint = brush.surface(self.skin, 0, 0.0, 0.62)
        self.face_contour = brush.contour(self.skin)
        self.cheek = cheek(brush, self.skin, float(rng.uniform(0.2, 1.0))) if rng.random() < 0.75 else None
        self.ear = self._ears() if hair_kind not in ("hood", "hijab") else ()
        self.beard_words, self.beard, self.moustache = (
            self._beard(rng, colour) if self.kind == "man" and rng.random() < 0.38 else ("", None, None)
        )
        self.freckles = self._freckles(rng) if rng.random() < 0.12 else None
        self.lower_shade = glow(0, 0.12, 0.17, darker(self.skin, 0.4), 0.22) if brush.soft else None
        broad = rng.uniform(0.78, 0.95) if self.kind == "man" else rng.uniform(0.66, 0.8)
        self.body = Body.drawn(
            rng,
            brush,
            self.skin,
            float(broad - 0.1 * young),
            float(rng.uniform(0.2, 0.24) if self.kind == "man" else rng.uniform(0.15, 0.18)),
        )

    def _outline(self, jaw: float, chin: float) -> list[tuple[float, float]]:
        half = self.half
        return [
            (0, -0.5),
            (0.55 * half, -0.465),
            (0.90 * half, -0.30),
            (half, -0.06),
            (0.965 * half, 0.14),
            (jaw * half + 0.02, 0.33),
            (chin * half, 0.475),
            (0, 0.5),
        ]

    def _nose_kind(self, rng: np.random.Generator) -> str:
        if self.brush.style == "painted":
            return "soft"
        return str(rng.choice(["side", "dot", "soft"], p=[0.6, 0.2, 0.2]))

    def _ears(self) -> tuple[Shape, ...]:
        shapes = []
        for side in (-1.0, 1.0):
            x = side * (self.half + 0.012)
            shapes.append(
                Shape(
                    oval(x, 0.06, 0.055, 0.095),
                    self.brush.surface(darker(self.skin, 0.05), x, 0.06, 0.12),
                    self.face_contour,
                )
            )
            shapes.append(Shape(oval(x, 0.065, 0.027, 0.055), fill(darker(self.skin, 0.25), 0.7)))
        return tuple(shapes)

    def _beard(self, rng: np.random.Generator, colour: Colour) -> tuple[str, skia.Paint | None, skia.Paint | None]:
        kind = str(rng.choice(["beard", "stubble", "moustache"]))
        tone = darker(colour, 0.1)
        if kind == "stubble":
            return "stubble", fill(mix(darker(self.skin, 0.5), tone, 0.5), 0.26), None
        paint = self.brush.surface(tone, 0, 0.35, 0.5)
        return f"a {kind}", (paint if kind == "beard" else None), fill(darker(tone, 0.08))

    def _freckles(self, rng: np.random.Generator) -> Shape:
        path = skia.Path()
        for _ in range(18):
            side = rng.choice([-1.0, 1.0])
            path.addCircle(
                float(side * rng.uniform(0.06, 0.22)), float(rng.uniform(0.06, 0.17)), float(rng.uniform(0.004, 0.008))
            )
        return Shape(path, fill(mix(darker(self.skin, 0.35), (0.6, 0.3, 0.15), 0.4), 0.7))

    def describe(self) -> str:
        """Noun phrase, e.g. "a woman with long red hair, glasses and a blue sweater"."""
        parts = [self.hair.words]
        if self.beard_words and self.beard_words != "stubble":
            parts.append(self.beard_words)
        if self.glasses is not None:
            parts.append("glasses")
        return f"a {self.kind} with {', '.join(parts)} and {self.body.words}"

    def geometry(self, pose: Pose) -> FaceGeometry:
        """Boxes of mouth and head in this pose."""
        matrix = head_matrix(pose)
        reach, above, below = self.mouth.reach()
        x, y = TURN * pose.yaw, self.mouth_y + NOD * pose.pitch
        mouth = mapped_box(matrix, x - reach, y - above, x + reach, y + below)
        return FaceGeometry(mouth, mapped_box(matrix, -self.half - 0.06, -0.58, self.half + 0.06, 0.54))

    def draw(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Draw the person."""
        drop = 0.62 * self.mouth.gap(pose.opening)
        canvas.save()
        canvas.concat(head_matrix(pose))
        self.hair.draw_back(canvas)
        canvas.restore()
        canvas.save()
        canvas.translate(pose.x - pose.lean * pose.size, pose.y)
        canvas.scale(pose.size, pose.size)
        self.body.draw(canvas, pose)
        canvas.restore()
        canvas.save()
        canvas.concat(head_matrix(pose))
        self._draw_head(canvas, pose, drop)
        canvas.restore()
        canvas.save()
        canvas.translate(pose.x - pose.lean * pose.size, pose.y)
        canvas.scale(pose.size, pose.size)
        self.body.draw_hand(canvas, pose)
        canvas.restore()

    def _draw_head(self, canvas: skia.Canvas, pose: Pose, drop: float) -> None:
        shift, down = TURN * pose.yaw, NOD * pose.pitch
        canvas.save()
        canvas.translate(-0.22 * shift, -0.4 * down)
        for ear in self.ear:
            ear.draw(canvas)
        canvas.restore()
        draw_path(canvas, self._face_path(pose, drop), self.face_paint, self.face_contour)
        canvas.save()
        canvas.translate(0.0, down)
        if self.cheek is not None:
            for side in (-1.0, 1.0):
                canvas.save()
                canvas.translate(shift + side * 0.185, 0.15)
                canvas.drawCircle(0, 0, 0.12 if self.brush.soft else 0.06, self.cheek)
                canvas.restore()
        if self.beard is not None:
            self._draw_beard(canvas, pose, shift, drop, down)
        canvas.save()
        canvas.translate(shift, self.mouth_y)
        if self.lower_shade is not None and self.beard is None:
            canvas.drawCircle(0, 0.10 + drop, 0.17, self.lower_shade)
        self.mouth.draw(canvas, pose)
        canvas.restore()
        if self.freckles is not None:
            canvas.save()
            canvas.translate(shift, 0)
            self.freckles.draw(canvas)
            canvas.restore()
        self.eyes.draw(canvas, pose, shift)
        canvas.save()
        canvas.translate(1.3 * shift, self.nose_y)
        self.nose.draw(canvas, pose, self.brush.light)
        canvas.restore()
        if self.moustache is not None:
            self._draw_moustache(canvas, pose, shift)
        if self.glasses is not None:
            self.glasses.draw(canvas, self.eyes, pose, shift, self.half)
        canvas.restore()
        canvas.save()
        canvas.translate(0.25 * shift, 0.35 * down)
        self.hair.draw_front(canvas)
        canvas.restore()

    def _face_path(self, pose: Pose, drop: float) -> skia.Path:
        lean = 0.35 * TURN * pose.yaw
        points = []
        for x, y in mirrored(self.outline):
            low = min(1.0, max(0.0, (y - 0.1) / 0.35))
            points.append((x + lean * (low - 0.2), y + low * (drop + 0.03 * pose.pitch)))
        return smooth(points)

    def _draw_beard(self, canvas: skia.Canvas, pose: Pose, shift: float, drop: float, down: float) -> None:
        assert self.beard is not None
        half, lip = self.half, self.mouth_y
        right = [
            (0, lip + 0.005),
            (0.14 + 0.02 * pose.width, lip - 0.05),
            (0.7 * half, lip - 0.06),
            (0.93 * half, 0.06),
            (0.985 * half, 0.10),
            (0.86 * half, 0.36),
            (0.48 * half, 0.515),
            (0, 0.55),
        ]
        points = [
            (x + shift * (0.35 if y > 0.05 else 0.1), y - down + (drop if y > lip else 0)) for x, y in mirrored(right)
        ]
        canvas.drawPath(smooth(points, tension=0.13), self.beard)

    def _draw_moustache(self, canvas: skia.Canvas, pose: Pose, shift: float) -> None:
        assert self.moustache is not None
        top = 0.5 * (self.nose_y + self.mouth_y) - 0.012 - 0.26 * self.mouth.gap(pose.opening)
        low = self.mouth_y - self.mouth.upper - 0.008 - 0.28 * self.mouth.gap(pose.opening)
        points = [(0, top), (0.1, top + 0.004), (0.155, low + 0.02), (0.08, low), (0, low - 0.004)]
        canvas.save()
        canvas.translate(shift, 0)
        canvas.drawPath(smooth(mirrored(points)), self.moustache)
        canvas.restore()


__all__ = ["SKINS", "Person", "head_matrix", "mapped_box", "stroke"]
