"""Talking animals from vector shapes: cat, dog, bear, fox, rabbit, panda, mouse, lion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import skia

from polytalk.synthetic.characters.character import Pose
from polytalk.synthetic.characters.vector.body import Body
from polytalk.synthetic.characters.vector.colours import Colour, darker, mix
from polytalk.synthetic.characters.vector.face import Eyes, Nose
from polytalk.synthetic.characters.vector.figure import NOD, TURN, VectorCharacter
from polytalk.synthetic.characters.vector.kit import Brush, Shape, draw_path, fill, placed, stroke
from polytalk.synthetic.characters.vector.mouth import Mouth
from polytalk.synthetic.characters.vector.paths import Points, mirrored, oval, simplified, smooth


@dataclass(frozen=True)
class Kind:
    """What makes an animal that animal."""

    furs: tuple[tuple[str, Colour], ...]
    ear: Points
    """Outline of the right ear."""
    half: float
    """Half width of the head."""
    cheek: float
    """Half width at the jaw, as a share of `half`."""
    mask: Colour | None = None
    """Colour of muzzle and cheeks."""
    inner: bool = True
    """Whether the ear has a lighter inside."""


POINTED = [(0.12, -0.42), (0.30, -0.74), (0.40, -0.22)]
ROUND = [(0.17, -0.44), (0.24, -0.62), (0.38, -0.60), (0.46, -0.44), (0.36, -0.26)]
FLOPPY = [(0.22, -0.44), (0.42, -0.40), (0.54, -0.05), (0.48, 0.18), (0.38, 0.10), (0.34, -0.2)]
TALL = [(0.05, -0.42), (0.08, -0.80), (0.17, -1.0), (0.26, -0.82), (0.26, -0.36)]
BIG = [(0.16, -0.40), (0.22, -0.70), (0.46, -0.74), (0.58, -0.50), (0.44, -0.26)]
WHITE, CREAM = ("white", (0.95, 0.93, 0.90)), (0.96, 0.88, 0.76)
BLACK = ("black", (0.20, 0.19, 0.20))
KINDS: dict[str, Kind] = {
    "cat": Kind((("grey", (0.55, 0.55, 0.58)), ("ginger", (0.86, 0.53, 0.24)), BLACK), POINTED, 0.42, 0.92, WHITE[1]),
    "dog": Kind((("brown", (0.58, 0.38, 0.22)), ("tan", (0.86, 0.66, 0.4)), BLACK), FLOPPY, 0.38, 0.85, CREAM, False),
    "bear": Kind((("brown", (0.45, 0.29, 0.18)), BLACK, WHITE), ROUND, 0.43, 0.95, (0.80, 0.66, 0.48)),
    "fox": Kind((("red", (0.85, 0.42, 0.16)), ("grey", (0.60, 0.58, 0.57))), POINTED, 0.43, 0.70, WHITE[1]),
    "rabbit": Kind((WHITE, ("grey", (0.66, 0.64, 0.63)), ("brown", (0.64, 0.48, 0.34))), TALL, 0.38, 0.95, WHITE[1]),
    "panda": Kind((("black and white", WHITE[1]),), ROUND, 0.44, 0.97, WHITE[1], False),
    "mouse": Kind((("grey", (0.62, 0.60, 0.62)), ("brown", (0.58, 0.46, 0.36))), BIG, 0.38, 0.80, CREAM),
    "lion": Kind((("golden", (0.89, 0.68, 0.36)),), ROUND, 0.40, 0.92, CREAM),
}  # fmt: skip


class Animal(VectorCharacter):
    """An animal with clothes that speaks. See `Character`."""

    mouth_turn, crown, beside = 1.15 * TURN, -0.62, 0.05
    nose_y, mouth_y = 0.105, 0.255

    def __init__(self, rng: np.random.Generator, style: str) -> None:
        self.style = f"{style} animal"
        self.brush = brush = Brush.drawn(style, rng)
        self.name = str(rng.choice(list(KINDS)))
        kind = KINDS[self.name]
        self.fur_name, fur = kind.furs[rng.integers(len(kind.furs))]
        self.fur = mix(fur, (rng.random(), rng.random(), rng.random()), 0.05)
        muzzle = kind.mask or self.fur
        self.muzzle = mix(muzzle, self.fur, float(rng.uniform(0.0, 0.25)))
        self.half = kind.half
        self.outline = [
            (0, -0.48), (0.5 * self.half, -0.46), (0.9 * self.half, -0.28), (self.half, -0.02),
            (kind.cheek * self.half + 0.02, 0.24), (0.55 * self.half, 0.45), (0, 0.5),
        ]  # fmt: skip
        self.paint, self.contour = brush.surface(self.fur, 0, 0, 0.62), brush.contour(self.fur)
        self.back = self._mane() + self._ears(kind)
        self.muzzle_half = float(rng.uniform(0.21, 0.25))
        self.muzzle_paint = brush.surface(self.muzzle, 0, 0.22, 0.34, 0.6)
        eye_kind = "button" if rng.random() < 0.25 else "animal"
        self.eyes = Eyes.drawn(rng, brush, self.fur, darker(self.fur, 0.4), eye_kind, 0.8, animal=True)
        self.patches = self._patches(rng)
        self.nose = Nose.drawn(rng, brush, self.fur, "animal")
        base, full = float(rng.uniform(0.25, 0.30)), float(rng.uniform(0, 0.5))
        self.mouth = Mouth.drawn(rng, brush, self.muzzle, base, full, lips=False)
        self.whiskers = None
        if self.name in ("cat", "fox", "rabbit", "mouse", "lion"):
            self.whiskers = stroke(mix(darker(self.muzzle, 0.5), (1, 1, 1), 0.2), 0.008, 0.7)
        self.seam = stroke(mix(darker(self.muzzle, 0.6), (0.15, 0.06, 0.06), 0.5), 0.014)
        broad, wearer = float(rng.uniform(0.66, 0.8)), str(rng.choice(["man", "woman"]))
        self.body = Body.drawn(rng, brush, self.fur, broad, 0.2, wearer)

    def _mane(self) -> tuple[Shape, ...]:
        if self.name != "lion":
            return ()
        mane = skia.Path()
        mane.setFillType(skia.PathFillType.kWinding)
        for angle in np.deg2rad(np.arange(0, 360, 20)):
            mane.addCircle(float(0.5 * np.cos(angle)), float(0.5 * np.sin(angle)), 0.15)
        mane.addCircle(0, 0, 0.5)
        colour = (0.60, 0.33, 0.13)
        return (Shape(simplified(mane), self.brush.surface(colour, 0, 0, 0.8), self.brush.contour(colour)),)

    def _ears(self, kind: Kind) -> tuple[Shape, ...]:
        colour = {"panda": (0.15, 0.14, 0.15), "dog": darker(self.fur, 0.28)}.get(self.name, self.fur)
        shapes = []
        for side in (-1.0, 1.0):
            outline = [(side * x, y) for x, y in kind.ear]
            surface = self.brush.surface(colour, 0.3 * side, -0.5, 0.5)
            shapes.append(Shape(smooth(outline, tension=0.12), surface, self.contour))
            if kind.inner:
                centre_x = sum(x for x, _ in outline) / len(outline)
                centre_y = sum(y for _, y in outline) / len(outline)
                inner = [(centre_x + 0.55 * (x - centre_x), centre_y + 0.6 * (y - centre_y)) for x, y in outline]
                shapes.append(Shape(smooth(inner, tension=0.12), fill(mix((0.86, 0.60, 0.58), self.fur, 0.3))))
        return tuple(shapes)

    def _patches(self, rng: np.random.Generator) -> tuple[Shape, ...]:
        """Markings under the features; they turn with them."""
        shapes = []
        if self.name == "panda":
            for side in (-1.0, 1.0):
                patch = oval(side * self.eyes.apart, self.eyes.y + 0.02, 0.12, 0.13)
                shapes.append(Shape(patch, fill((0.15, 0.14, 0.15))))
        elif self.name == "fox":
            for side in (-1.0, 1.0):
                points = ((0.03, 0.16), (0.2, 0.1), (0.37, 0.08), (0.3, 0.3), (0.1, 0.42))
                shapes.append(Shape(smooth([(x * side, y) for x, y in points]), self.muzzle_paint))
        elif self.name == "cat" and self.fur_name in ("grey", "ginger"):
            for x in (-0.09, 0.0, 0.09):
                path = skia.Path()
                path.moveTo(x, -0.42)
                path.lineTo(0.75 * x, -0.28)
                shapes.append(Shape(path, stroke(darker(self.fur, 0.35), 0.032, 0.8)))
        elif self.name == "dog" and rng.random() < 0.5:
            side = float(rng.choice([-1.0, 1.0]))
            patch = oval(side * self.eyes.apart, self.eyes.y, 0.13, 0.15)
            shapes.append(Shape(patch, fill(darker(self.fur, 0.35), 0.9)))
        return tuple(shapes)

    def describe(self) -> str:
        """Noun phrase, e.g. "a ginger cat in a red sweater"."""
        article = "an" if self.fur_name[0] in "aeiou" else "a"
        return f"{article} {self.fur_name} {self.name} in {self.body.words}"

    def draw_head(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Draw ears, head, muzzle and features."""
        shift, down, gap = TURN * pose.yaw, NOD * pose.pitch, self.mouth.gap(pose.opening)
        with placed(canvas, 0.15 * shift, -0.3 * down):
            for shape in self.back:
                shape.draw(canvas)
        points = [
            (x + (0.25 * shift if y > 0.2 else 0.0), y + (0.5 * gap if y > 0.3 else 0.0))
            for x, y in mirrored(self.outline)
        ]
        draw_path(canvas, smooth(points), self.paint, self.contour)
        with placed(canvas, shift, down):
            for shape in self.patches:
                shape.draw(canvas)
        with placed(canvas, 0.0, down):
            muzzle = oval(1.15 * shift, 0.255 + 0.3 * gap, self.muzzle_half, 0.185 + 0.5 * gap)
            draw_path(canvas, muzzle, self.muzzle_paint, None)
            self.eyes.draw(canvas, pose, shift)
            canvas.translate(1.15 * shift, 0.0)
            canvas.drawLine(0.05 * shift, self.nose_y, 0, self.mouth_y - 0.26 * gap, self.seam)
            with placed(canvas, 0, self.mouth_y):
                self.mouth.draw(canvas, pose)
            if self.whiskers is not None:
                for side in (-1.0, 1.0):
                    for step in (-1, 0, 1):
                        canvas.drawLine(side * 0.15, 0.2 + 0.03 * step, side * 0.44, 0.18 + 0.08 * step, self.whiskers)
            canvas.translate(0.2 * shift, self.nose_y)
            self.nose.draw(canvas, pose, self.brush.light)
