"""Clothes of the vector characters: what they are called, their patterns, collars and folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import skia

from polytalk.synthetic.characters.vector.colours import Colour, darker, lighter, mix
from polytalk.synthetic.characters.vector.kit import Brush, Shape, fill, stroke
from polytalk.synthetic.characters.vector.paths import intersection, mirrored, polygon, smooth

GARMENTS: dict[str, tuple[str, ...]] = {
    "woman": ("sweater", "shirt", "jacket", "T-shirt", "dress", "scarf", "hoodie", "blouse"),
    "man": ("sweater", "shirt", "jacket", "T-shirt", "suit", "scarf", "hoodie"),
    "child": ("sweater", "shirt", "T-shirt", "hoodie", "scarf"),
}
"""What people wear."""

CLOTH: tuple[tuple[str, Colour], ...] = (
    ("red", (0.74, 0.16, 0.18)), ("blue", (0.20, 0.36, 0.66)), ("green", (0.20, 0.50, 0.32)),
    ("yellow", (0.90, 0.74, 0.26)), ("orange", (0.88, 0.48, 0.18)), ("purple", (0.46, 0.28, 0.58)),
    ("pink", (0.88, 0.56, 0.64)), ("white", (0.92, 0.91, 0.88)), ("black", (0.14, 0.14, 0.16)),
    ("grey", (0.52, 0.53, 0.56)), ("brown", (0.46, 0.31, 0.20)), ("teal", (0.15, 0.50, 0.54)),
    ("navy", (0.12, 0.17, 0.34)), ("beige", (0.82, 0.74, 0.60)),
)  # fmt: skip
"""Names and colours of cloth."""


def cloth_colour(rng: np.random.Generator) -> tuple[str, Colour]:
    """Name and colour of cloth."""
    name, colour = CLOTH[rng.integers(len(CLOTH))]
    return name, mix(colour, (rng.random(), rng.random(), rng.random()), 0.08)


@dataclass(frozen=True)
class Tailor:
    """Sews one garment around a neck of half width `neck`, whose cloth begins at height `top`."""

    rng: np.random.Generator
    brush: Brush
    garment: str
    colour: Colour
    skin: Colour
    top: float
    neck: float
    broad: float

    def pattern(self, trunk: skia.Path) -> list[Shape]:
        """Stripes, checks or dots on the trunk, or nothing."""
        kind = str(self.rng.choice(["plain", "plain", "stripes", "columns", "dots", "checks"]))
        if kind == "plain":
            return []
        other = lighter(self.colour, 0.55) if self.rng.random() < 0.6 else darker(self.colour, 0.45)
        path, step = skia.Path(), float(self.rng.uniform(0.1, 0.17))
        low, wide = self.top + 2.2, self.broad + 0.2
        if kind in ("stripes", "checks"):
            for y in np.arange(self.top + 0.12, low, 2 * step):
                path.addRect(skia.Rect(-2, float(y), 2, float(y) + 0.7 * step))
        if kind in ("columns", "checks"):
            for x in np.arange(-wide, wide, 2 * step):
                path.addRect(skia.Rect(float(x), self.top - 0.1, float(x) + 0.5 * step, low))
        if kind == "dots":
            for row, y in enumerate(np.arange(self.top + 0.1, low, 1.5 * step)):
                for x in np.arange(-wide, wide, 1.7 * step):
                    path.addCircle(float(x) + 0.85 * step * (row % 2), float(y), 0.3 * step)
        return [Shape(intersection(path, trunk), fill(other, float(self.rng.uniform(0.35, 0.8))))]

    def collar(self) -> list[Shape]:
        """What is around the neck."""
        makers = {"T-shirt": self._round, "blouse": self._round, "dress": self._round, "sweater": self._rollneck}
        makers |= {"scarf": self._scarf, "hoodie": self._hoodie}
        return makers.get(self.garment, self._lapels)()

    def _bare(self) -> skia.Paint:
        if self.brush.soft:
            return self.brush.surface(darker(self.skin, 0.06), 0, self.top, 0.5)
        return fill(darker(self.skin, 0.08))

    def _round(self) -> list[Shape]:
        low = {"T-shirt": 0.12, "blouse": 0.18}.get(self.garment, 0.26)
        wide, top = self.neck + 0.1, self.top
        edge = smooth([(-wide, top - 0.03), (0, top - 0.06), (wide, top - 0.03), (0, top + low)])
        shapes = [Shape(edge, self._bare(), self.brush.contour(self.colour))]
        if self.garment == "T-shirt":
            hem = smooth([(-wide, top - 0.01), (0, top + low + 0.012), (wide, top - 0.01)], closed=False)
            shapes.append(Shape(hem, stroke(darker(self.colour, 0.2), 0.022)))
        return shapes

    def _lapels(self) -> list[Shape]:
        top, wide, low = self.top, self.neck + 0.09, self.top + (0.55 if self.garment == "suit" else 0.30)
        contour = self.brush.contour(self.colour)
        inner = self._bare() if self.garment == "shirt" else fill((0.93, 0.93, 0.91))
        shapes = [Shape(polygon([(-wide, top - 0.02), (0, low), (wide, top - 0.02)]), inner)]
        if self.garment == "suit" and self.rng.random() < 0.7:
            tie = polygon([(-0.045, top + 0.1), (0.045, top + 0.1), (0.07, low), (-0.07, low)])
            shapes.append(Shape(tie, fill(cloth_colour(self.rng)[1]), contour))
        end = (0.02, low if self.garment == "suit" else top + 0.16)
        for side in (-1.0, 1.0):
            flap = [(self.neck - 0.02, top - 0.09), (wide + 0.07, top - 0.02), (wide + 0.02, top + 0.22), end]
            lit = lighter(self.colour, 0.1) if side * self.brush.light > 0 else darker(self.colour, 0.14)
            shapes.append(Shape(polygon([(side * x, y) for x, y in flap]), fill(lit), contour))
        return shapes

    def _ring(self, out: float, rise: float, middle: float, low: float) -> skia.Path:
        """Band around the neck."""
        wide, top = self.neck + out, self.top
        right = [(0, top + middle), (wide, top - rise), (wide + 0.03, top + 0.06), (0, top + low)]
        return smooth(mirrored(right))

    def _rollneck(self) -> list[Shape]:
        ring = self._ring(0.05, 0.05, 0.0, 0.13)
        return [Shape(ring, fill(darker(self.colour, 0.14)), self.brush.contour(self.colour))]

    def _scarf(self) -> list[Shape]:
        # The pattern and name belong to the scarf; the coat below is darkened cloth.
        ring = self._ring(0.13, 0.1, -0.02, 0.24)
        return [Shape(ring, self.brush.surface(self.colour, 0, self.top, 0.4), self.brush.contour(self.colour))]

    def _hoodie(self) -> list[Shape]:
        cord = skia.Path()
        for side in (-1.0, 1.0):
            cord.moveTo(side * 0.1, self.top + 0.12)
            cord.lineTo(side * 0.12, self.top + 0.45)
        ring = self._ring(0.15, 0.07, 0.04, 0.2)
        hood = Shape(ring, fill(darker(self.colour, 0.2)), self.brush.contour(self.colour))
        return [hood, Shape(cord, stroke(lighter(self.colour, 0.6), 0.018))]

    def folds(self) -> list[Shape]:
        """Soft dark lines where arms and cloth fold."""
        path = skia.Path()
        for side in (-1.0, 1.0):
            path.moveTo(side * 0.74 * self.broad, self.top + 0.55)
            path.quadTo(side * 0.70 * self.broad, self.top + 0.9, side * 0.78 * self.broad, self.top + 1.7)
            for _ in range(2):
                x = side * self.rng.uniform(0.15, 0.7) * self.broad
                y = self.top + self.rng.uniform(0.25, 0.7)
                path.moveTo(x, y)
                path.quadTo(x - side * 0.1, y + 0.2, x - side * 0.05, y + 0.4)
        return [Shape(path, stroke(darker(self.colour, 0.45), 0.03, 0.3))]
