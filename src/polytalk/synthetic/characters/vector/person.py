"""People drawn from vector shapes in several art styles."""

from __future__ import annotations

import numpy as np
import skia

from polytalk.synthetic.characters.character import Pose
from polytalk.synthetic.characters.vector.body import Body
from polytalk.synthetic.characters.vector.colours import Colour, brightness, darker, mix
from polytalk.synthetic.characters.vector.face import Eyes, Glasses, Nose, cheek
from polytalk.synthetic.characters.vector.figure import NOD, TURN, VectorCharacter
from polytalk.synthetic.characters.vector.hair import ANY, LONG, SHORT, Hair, HairMaker, hair_colour
from polytalk.synthetic.characters.vector.hats import HATS, HatMaker
from polytalk.synthetic.characters.vector.kit import Brush, Shape, draw_path, fill, glow, placed, stroke
from polytalk.synthetic.characters.vector.mouth import Mouth
from polytalk.synthetic.characters.vector.paths import intersection, mirrored, oval, smooth

SKINS: tuple[Colour, ...] = (
    (0.99, 0.88, 0.80), (0.96, 0.81, 0.69), (0.91, 0.73, 0.58), (0.85, 0.64, 0.47),
    (0.74, 0.53, 0.37), (0.60, 0.41, 0.28), (0.48, 0.32, 0.22), (0.41, 0.27, 0.20),
)  # fmt: skip


class Person(VectorCharacter):
    """A human being, drawn from a seed. See `Character`."""

    def __init__(self, rng: np.random.Generator, style: str) -> None:
        self.style = f"{style} person"
        self.brush = brush = Brush.drawn(style, rng)
        self.skin = mix(SKINS[rng.integers(len(SKINS))], (rng.random(), rng.random(), rng.random()), 0.03)
        self.kind = str(rng.choice(["woman", "man", "girl", "boy"], p=[0.38, 0.38, 0.12, 0.12]))
        self.young, self.male = self.kind in ("girl", "boy"), self.kind in ("man", "boy")
        self.half = float(rng.uniform(0.335, 0.385) + 0.02 * self.young)
        self.outline = self._outline(rng)
        name, colour = hair_colour(rng, brightness(self.skin), self.young)
        self.old = name in ("grey", "white") and rng.random() < 0.75
        self.hair = self._hair(rng, name, colour)
        self._features(rng, colour)
        self.face_paint = brush.surface(self.skin, 0, 0.0, 0.62)
        self.face_contour = brush.contour(self.skin)
        self.under_hair = self._shadow_of_hair()
        self.ear = () if self.hair.hides_ears else self._ears(rng)
        self.marks = self._marks(rng)
        self.lower_shade = glow(0, 0.12, 0.17, darker(self.skin, 0.4), 0.22) if brush.soft else None
        broad = rng.uniform(0.78, 0.95) if self.kind == "man" else rng.uniform(0.66, 0.8)
        neck = rng.uniform(0.2, 0.24) if self.kind == "man" else rng.uniform(0.15, 0.18)
        wearer = "child" if self.young else self.kind
        self.body = Body.drawn(rng, brush, self.skin, float(broad - 0.1 * self.young), float(neck), wearer)

    def _outline(self, rng: np.random.Generator) -> list[tuple[float, float]]:
        """Right half of the face, from the crown to the chin."""
        half = self.half
        jaw = rng.uniform(0.74, 0.88) if self.kind == "man" else rng.uniform(0.66, 0.80)
        chin = rng.uniform(0.30, 0.44)
        return [
            (0, -0.5), (0.55 * half, -0.465), (0.90 * half, -0.30), (half, -0.06), (0.965 * half, 0.14),
            (float(jaw) * half + 0.02, 0.33), (float(chin) * half, 0.475), (0, 0.5),
        ]  # fmt: skip

    def _hair(self, rng: np.random.Generator, name: str, colour: Colour) -> Hair:
        maker = HairMaker(rng, self.brush, colour, name, self.half)
        if rng.random() < 0.17:
            return HatMaker(maker).make(str(rng.choice(HATS)))
        kinds = (SHORT if self.male else LONG) if rng.random() < 0.8 else ANY
        kind = str(rng.choice(kinds))
        return maker.make("short" if self.young and kind in ("bald", "receding") else kind)

    def _features(self, rng: np.random.Generator, hair: Colour) -> None:
        """Eyes, nose, mouth, and what grows or sits around them."""
        brush, soft = self.brush, self.brush.soft
        eye_kind = "button" if brush.style != "painted" and rng.random() < 0.12 else "full"
        self.eyes = Eyes.drawn(rng, brush, self.skin, hair, eye_kind, 0.3 if self.male else 1.0, animal=False)
        nose_kind = "soft" if brush.style == "painted" else str(rng.choice(["side", "dot"], p=[0.75, 0.25]))
        self.nose = Nose.drawn(rng, brush, self.skin, nose_kind)
        self.nose_y = float(rng.uniform(0.155, 0.185))
        self.mouth_y = float(rng.uniform(0.285, 0.305))
        full = float(rng.uniform(0.0, 0.5) if self.male else rng.uniform(0.3, 1.0))
        lips = soft or (eye_kind == "full" and rng.random() < 0.75)
        self.mouth = Mouth.drawn(rng, brush, self.skin, float(rng.uniform(0.235, 0.285)), full, lips)
        self.glasses = Glasses.drawn(rng) if rng.random() < 0.22 else None
        self.cheek = cheek(brush, self.skin, float(rng.uniform(0.2, 1.0))) if rng.random() < 0.75 else None
        self.beard_words, self.beard, self.moustache = "", None, None
        if self.kind == "man" and rng.random() < 0.38:
            self._grow_beard(rng, darker(hair, 0.1))

    def _grow_beard(self, rng: np.random.Generator, tone: Colour) -> None:
        kind = str(rng.choice(["beard", "stubble", "moustache"]))
        if kind == "stubble":
            self.beard = fill(mix(darker(self.skin, 0.5), tone, 0.5), 0.26)
            return
        self.beard_words = f"a {kind}"
        self.beard = self.brush.surface(tone, 0, 0.35, 0.5) if kind == "beard" else None
        self.moustache = fill(darker(tone, 0.08))

    def _shadow_of_hair(self) -> Shape | None:
        """Shadow that the hair throws on the forehead."""
        if not self.hair.front:
            return None
        path = skia.Path(self.hair.front[0].path)
        path.offset(-0.012 * self.brush.light, 0.035)
        inside = intersection(path, smooth(mirrored(self.outline)))
        return Shape(inside, fill(darker(self.skin, 0.5), 0.28 if self.brush.soft else 0.2))

    def _ears(self, rng: np.random.Generator) -> tuple[Shape, ...]:
        shapes = []
        ring = None
        if not self.male and rng.random() < 0.4:
            ring = fill(((0.93, 0.78, 0.35), (0.85, 0.86, 0.9))[rng.integers(2)])
        for side in (-1.0, 1.0):
            x = side * (self.half + 0.012)
            skin = self.brush.surface(darker(self.skin, 0.05), x, 0.06, 0.12)
            shapes.append(Shape(oval(x, 0.06, 0.055, 0.095), skin, self.face_contour))
            shapes.append(Shape(oval(x, 0.065, 0.027, 0.055), fill(darker(self.skin, 0.25), 0.7)))
            if ring is not None:
                shapes.append(Shape(oval(x, 0.175, 0.022, 0.022), ring))
        return tuple(shapes)

    def _marks(self, rng: np.random.Generator) -> tuple[Shape, ...]:
        """Freckles, or the lines of age."""
        if self.old:
            lines = skia.Path()
            for side in (-1.0, 1.0):
                lines.moveTo(side * 0.095, 0.17)
                lines.quadTo(side * 0.155, 0.22, side * 0.165, 0.29)
                lines.moveTo(side * 0.12, 0.075)
                lines.quadTo(side * 0.17, 0.095, side * 0.22, 0.07)
            for y in (-0.22, -0.185):
                lines.moveTo(-0.13, y)
                lines.quadTo(0, y - 0.02, 0.13, y)
            return (Shape(lines, stroke(darker(self.skin, 0.4), 0.009, 0.6)),)
        if rng.random() >= 0.12:
            return ()
        freckles = skia.Path()
        for _ in range(18):
            x, y = rng.choice([-1.0, 1.0]) * rng.uniform(0.06, 0.22), rng.uniform(0.06, 0.17)
            freckles.addCircle(float(x), float(y), float(rng.uniform(0.004, 0.008)))
        return (Shape(freckles, fill(mix(darker(self.skin, 0.35), (0.6, 0.3, 0.15), 0.4), 0.7)),)

    def describe(self) -> str:
        """Noun phrase, e.g. "a woman with long red hair, glasses and a blue sweater"."""
        parts = [self.hair.words]
        if self.beard_words:
            parts.append(self.beard_words)
        if self.glasses is not None:
            parts.append("glasses")
        who = f"an old {self.kind}" if self.old else f"a {self.kind}"
        return f"{who} with {', '.join(parts)} and {self.body.words}"

    def draw_behind(self, canvas: skia.Canvas) -> None:
        """Draw the hair that hangs behind the head."""
        self.hair.draw_back(canvas)

    def draw_head(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Draw ears, face, features and the hair over the forehead."""
        shift, down, drop = TURN * pose.yaw, NOD * pose.pitch, 0.62 * self.mouth.gap(pose.opening)
        with placed(canvas, -0.22 * shift, -0.4 * down):
            for ear in self.ear:
                ear.draw(canvas)
        draw_path(canvas, self._face_path(pose, drop), self.face_paint, self.face_contour)
        if self.under_hair is not None:
            self.under_hair.draw(canvas)
        with placed(canvas, 0.0, down):
            self._draw_features(canvas, pose, shift, drop, down)
        with placed(canvas, 0.25 * shift, 0.35 * down):
            self.hair.draw_front(canvas)

    def _draw_features(self, canvas: skia.Canvas, pose: Pose, shift: float, drop: float, down: float) -> None:
        if self.cheek is not None:
            for side in (-1.0, 1.0):
                with placed(canvas, shift + side * 0.185, 0.15):
                    canvas.drawCircle(0, 0, 0.12 if self.brush.soft else 0.06, self.cheek)
        if self.beard is not None:
            self._draw_beard(canvas, pose, shift, drop, down)
        with placed(canvas, shift, self.mouth_y):
            if self.lower_shade is not None and self.beard is None:
                canvas.drawCircle(0, 0.10 + drop, 0.17, self.lower_shade)
            self.mouth.draw(canvas, pose)
        with placed(canvas, shift):
            for mark in self.marks:
                mark.draw(canvas)
        self.eyes.draw(canvas, pose, shift)
        with placed(canvas, 1.3 * shift, self.nose_y):
            self.nose.draw(canvas, pose, self.brush.light)
        if self.moustache is not None:
            self._draw_moustache(canvas, pose, shift)
        if self.glasses is not None:
            self.glasses.draw(canvas, self.eyes, pose, shift, self.half)

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
            (0, lip + 0.005), (0.14 + 0.02 * pose.width, lip - 0.05), (0.7 * half, lip - 0.06), (0.93 * half, 0.06),
            (0.985 * half, 0.10), (0.86 * half, 0.36), (0.48 * half, 0.515), (0, 0.55),
        ]  # fmt: skip
        points = [
            (x + shift * (0.35 if y > 0.05 else 0.1), y - down + (drop if y > lip else 0)) for x, y in mirrored(right)
        ]
        canvas.drawPath(smooth(points, tension=0.13), self.beard)

    def _draw_moustache(self, canvas: skia.Canvas, pose: Pose, shift: float) -> None:
        assert self.moustache is not None
        top = 0.5 * (self.nose_y + self.mouth_y) - 0.012 - 0.26 * self.mouth.gap(pose.opening)
        low = self.mouth_y - self.mouth.upper - 0.008 - 0.28 * self.mouth.gap(pose.opening)
        points = [(0, top), (0.1, top + 0.004), (0.155, low + 0.02), (0.08, low), (0, low - 0.004)]
        with placed(canvas, shift):
            canvas.drawPath(smooth(mirrored(points)), self.moustache)
