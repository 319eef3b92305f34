"""Hats, hoods, scarves and turbans of the vector people, with the hair that shows beneath."""

from __future__ import annotations

import skia

from polytalk.synthetic.characters.vector.clothes import cloth_colour
from polytalk.synthetic.characters.vector.colours import argb, darker, lighter
from polytalk.synthetic.characters.vector.hair import Hair, HairMaker
from polytalk.synthetic.characters.vector.kit import Shape, linear, stroke
from polytalk.synthetic.characters.vector.paths import mirrored, oval, smooth

HATS = ("hat", "beanie", "hood", "headscarf", "turban", "beret")


class HatMaker:
    """Builds headgear over somebody's hair."""

    def __init__(self, hair: HairMaker) -> None:
        self.hair, self.rng, self.brush, self.half = hair, hair.rng, hair.brush, hair.half
        self.name, self.colour = cloth_colour(self.rng)
        self.paint = self.brush.surface(self.colour, 0, -0.35, 0.6)
        self.contour = self.brush.contour(self.colour)

    def make(self, kind: str) -> Hair:
        """Headgear of a kind named in `HATS`."""
        return getattr(self, f"_{kind}")()

    def _words(self, kind: str) -> str:
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name} {kind}"

    def _sheet(self, right: list[tuple[float, float]]) -> Shape:
        return Shape(smooth(mirrored(right)), self.paint, self.contour)

    def _hat(self) -> Hair:
        half = self.half + 0.03
        crown = self._sheet([(0, -0.74), (0.85 * half, -0.66), (half, -0.3), (0, -0.26)])
        band = smooth(mirrored([(0, -0.38), (half - 0.02, -0.42), (half, -0.32), (0, -0.27)]))
        shade = Shape(band, self.brush.surface(darker(self.colour, 0.4), 0, -0.35, 0.5))
        brim = Shape(oval(0, -0.3, half + 0.2, 0.065), self.paint, self.contour)
        back = (self.hair.curtain(0.5, 0.05),) if self.rng.random() < 0.4 else ()
        return Hair(self._words("hat"), back, (self.hair.cap(-0.25, 0.1, 0.0), crown, shade, brim))

    def _beanie(self) -> Hair:
        half = self.half + 0.035
        crown = self._sheet([(0, -0.68), (0.9 * half, -0.52), (half, -0.22), (0, -0.27)])
        roll = smooth(mirrored([(0, -0.37), (half, -0.31), (half + 0.01, -0.2), (0, -0.25)]))
        light = self.brush.surface(lighter(self.colour, 0.18), 0, -0.25, 0.5)
        shapes = [self.hair.cap(-0.2, 0.1, 0.0), crown, Shape(roll, light, self.contour)]
        if self.rng.random() < 0.5:
            shapes.append(Shape(oval(0, -0.70, 0.09, 0.085), light, self.contour))
        return Hair(self._words("woolly hat"), (), tuple(shapes))

    def _beret(self) -> Hair:
        side, half = float(self.rng.choice([-1.0, 1.0])), self.half + 0.03
        points = [(-half, -0.27), (-half - 0.05, -0.42), (-0.3, -0.58), (0.2, -0.68), (half + 0.14, -0.55),
                  (half + 0.05, -0.3), (0, -0.33)]  # fmt: skip
        cap = Shape(smooth([(side * x, y) for x, y in points]), self.paint, self.contour)
        back = (self.hair.curtain(float(self.rng.uniform(0.4, 0.8)), 0.05),)
        return Hair(self._words("beret"), back, (self.hair.cap(-0.26, 0.15, 0.0), cap), hides_ears=True)

    def _around(self, kind: str, loose: float) -> Hair:
        """Cloth around the whole head with an opening for the face."""
        half, inner, top = self.half + 0.05 + loose, self.half - 0.045, -0.61 - loose
        outside = [(0, top), (0.7 * half, top + 0.1), (half, -0.2), (half + 0.02, 0.25), (0.9 * half, 0.62), (0, 0.72)]
        edge = [(0, top + 0.04), (0.7 * half, top + 0.14), (half, -0.18), (half, 0.25), (0.72 * half, 0.56), (0, 0.66)]
        face = [(0, -0.36), (0.7 * inner, -0.31), (inner, -0.05), (0.98 * inner, 0.2), (0.72 * inner, 0.47), (0, 0.70)]
        back, ring = smooth(mirrored(outside)), smooth(mirrored(edge))
        ring.addPath(smooth(mirrored(face)))
        ring.setFillType(skia.PathFillType.kEvenOdd)
        dark = linear((0, -0.6), (0, 0.7), [argb(darker(self.colour, 0.3)), argb(darker(self.colour, 0.5))])
        front = Shape(ring, self.paint, self.contour)
        return Hair(self._words(kind), (Shape(back, dark, self.contour),), (front,), hides_ears=True)

    def _hood(self) -> Hair:
        return self._around("hood", 0.05)

    def _headscarf(self) -> Hair:
        return self._around("headscarf", 0.0)

    def _turban(self) -> Hair:
        half = self.half + 0.05
        wrap = self._sheet([(0, -0.72), (0.6 * half, -0.66), (half + 0.03, -0.4), (half, -0.16), (0, -0.33)])
        folds = skia.Path()
        for lift in (0.0, 0.1, 0.2):
            folds.moveTo(-half, -0.22 - lift)
            folds.quadTo(-0.1, -0.32 - lift, 0.35 * half + 0.1 * lift, -0.64)
            folds.moveTo(half, -0.22 - lift)
            folds.quadTo(0.1, -0.36 - lift, -0.2 * half, -0.68)
        return Hair(self._words("turban"), (), (wrap, Shape(folds, stroke(darker(self.colour, 0.35), 0.013, 0.7))))
