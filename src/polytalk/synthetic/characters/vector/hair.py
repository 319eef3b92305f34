"""Hair of the vector people: fixed shapes built once, behind and in front of the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import skia

from polytalk.synthetic.characters.vector.colours import Colour, darker, lighter, mix
from polytalk.synthetic.characters.vector.kit import Brush, Shape, fill, stroke, stroked
from polytalk.synthetic.characters.vector.paths import Points, intersection, mirrored, oval, simplified, smooth

LONG = ("long", "wavy", "bob", "bun", "ponytail", "braids", "pixie")
"""Mostly women's and girls'."""
SHORT = ("short", "side", "buzz", "quiff", "bald", "curly", "receding")
"""Mostly men's and boys'."""
ANY = ("curly", "afro", "fringe")

NATURAL: tuple[tuple[str, Colour], ...] = (
    ("black", (0.10, 0.08, 0.09)), ("dark brown", (0.23, 0.14, 0.09)), ("brown", (0.38, 0.23, 0.13)),
    ("auburn", (0.48, 0.20, 0.11)), ("red", (0.68, 0.29, 0.12)), ("blonde", (0.85, 0.68, 0.38)),
    ("grey", (0.58, 0.57, 0.56)), ("white", (0.88, 0.87, 0.84)),
)  # fmt: skip
DYED: tuple[tuple[str, Colour], ...] = (
    ("pink", (0.86, 0.42, 0.58)), ("blue", (0.25, 0.40, 0.68)), ("green", (0.28, 0.55, 0.42)),
)  # fmt: skip
ON_FAIR_SKIN = (0.16, 0.20, 0.20, 0.10, 0.10, 0.12, 0.07, 0.05)
"""Shares of `NATURAL`."""
ON_DARK_SKIN = (0.58, 0.25, 0.05, 0.00, 0.00, 0.00, 0.07, 0.05)


@dataclass(frozen=True)
class Hair:
    """Hair or headgear: shapes behind the head and shapes over the forehead."""

    words: str
    """How a prompt calls it, e.g. "long red hair"."""
    back: tuple[Shape, ...]
    front: tuple[Shape, ...]
    hides_ears: bool = False

    def draw_back(self, canvas: skia.Canvas) -> None:
        """What hangs behind head and neck."""
        for shape in self.back:
            shape.draw(canvas)

    def draw_front(self, canvas: skia.Canvas) -> None:
        """What lies over the forehead."""
        for shape in self.front:
            shape.draw(canvas)


def hair_colour(rng: np.random.Generator, skin_value: float, young: bool) -> tuple[str, Colour]:
    """Name and colour; fair hair seldom goes with dark skin, bright dyes are rare, children are not grey."""
    if rng.random() < 0.05:
        name, colour = DYED[rng.integers(len(DYED))]
    else:
        shares = np.array(ON_FAIR_SKIN if skin_value > 0.55 else ON_DARK_SKIN)
        if young:
            shares[-2:] = 0.0
        name, colour = NATURAL[rng.choice(len(NATURAL), p=shares / shares.sum())]
    return name, mix(colour, (rng.random(), rng.random(), rng.random()), 0.04)


class HairMaker:
    """Builds one person's hair around a head of given half width (head heights)."""

    def __init__(self, rng: np.random.Generator, brush: Brush, colour: Colour, name: str, half: float) -> None:
        self.rng, self.brush, self.colour, self.name, self.half = rng, brush, colour, name, half
        self.paint = brush.surface(colour, 0, -0.2, 0.75, 0.9)
        self.dark = brush.surface(darker(colour, 0.22), 0, 0.1, 0.9, 0.9)
        self.contour = brush.contour(colour)

    def make(self, kind: str) -> Hair:
        """Hair of a kind named in `LONG`, `SHORT` or `ANY`."""
        return getattr(self, f"_{kind}")()

    def words(self, kind: str, ending: str = "") -> str:
        """E.g. "curly black hair"."""
        return f"{kind} {self.name} hair {ending}".strip()

    def _either(self) -> float:
        return float(self.rng.choice([-1.0, 1.0]))

    # -- pieces --------------------------------------------------------------------------------------------------------

    def shape(self, points: Points, dark: bool = False, tension: float = 0.17) -> Shape:
        """A lock of hair through these points."""
        return Shape(smooth(points, tension=tension), self.dark if dark else self.paint, self.contour)

    def combed(self, top: Shape, low: float, count: int) -> tuple[Shape, ...]:
        """Hair with fine lines from the parting outwards and down to `low`, in painted styles only."""
        if not self.brush.soft:
            return (top,)
        bundles = (skia.Path(), skia.Path())
        parting = 0.1 * self._either()
        for index in range(count):
            side = self._either()
            end_x, end_y = side * self.rng.uniform(0.45, 1.1) * self.half, self.rng.uniform(low - 0.15, low)
            line = skia.Path()
            line.moveTo(parting + self.rng.uniform(-0.06, 0.06), -0.56)
            line.quadTo(0.8 * end_x, -0.54 + 0.06 * self.rng.random(), end_x, end_y)
            width = float(self.rng.uniform(0.004, 0.012))
            bundles[index % 2].addPath(stroked(line, stroke(self.colour, width))[0])
        tones = (lighter(self.colour, 0.3), darker(self.colour, 0.4))
        strands = (intersection(bundle, top.path) for bundle in bundles)
        return (top, *(Shape(path, fill(tone, 0.5)) for path, tone in zip(strands, tones, strict=True)))

    def cap(self, line: float, side: float, top: float = 0.06, sweep: float = 0.0) -> Shape:
        """Hair over the skull: hairline height `line` at the middle, ends beside the temples at height `side`."""
        half = self.half + 0.025
        crown = -0.43 - 0.4 * top
        points = [
            (-half, side), (-half - 0.01, -0.18), (-0.8 * half, crown), (-0.35 * half, -0.52 - top),
            (0.35 * half, -0.52 - top), (0.8 * half, crown), (half + 0.01, -0.18), (half, side),
            (half - 0.055, side - 0.01), (half - 0.075, -0.16), (0.62 * half, line + 0.02 - sweep),
            (0.15 * half, line - 0.5 * sweep), (-0.35 * half, line + sweep), (-half + 0.075, -0.15 + 0.4 * sweep),
            (-half + 0.055, side - 0.01),
        ]  # fmt: skip
        return self.shape(points)

    def fringe(self, line: float) -> Shape:
        """Hair cut straight above the brows, at height `line`, and beside the cheeks."""
        half = self.half + 0.035
        right = [(0, -0.585), (0.7 * half, -0.5), (half, -0.2), (half, 0.22), (half - 0.07, 0.2),
                 (half - 0.07, line + 0.04), (0.4 * half, line), (0, line + 0.015)]  # fmt: skip
        return self.shape(mirrored(right), tension=0.14)

    def curtain(self, bottom: float, out: float) -> Shape:
        """Hair that hangs behind the head down to `bottom`."""
        half = self.half + out
        right = [(0, -0.56), (0.7 * half, -0.48), (half, -0.15), (half + 0.02, 0.2), (half + 0.03, bottom - 0.08),
                 (0.75 * half, bottom), (0, bottom - 0.02)]  # fmt: skip
        return self.shape(mirrored(right), dark=True)

    def curls_behind(self, ring: float, size: float, low: float) -> Shape:
        """Circles around the skull down to height `low`."""
        path = skia.Path()
        path.setFillType(skia.PathFillType.kWinding)
        angles = np.arange(-200, 21, 19 if size < 0.13 else 26)
        for angle in np.deg2rad(angles + self.rng.uniform(-4, 4, len(angles))):
            x, y = (self.half + ring) * np.cos(angle), -0.12 + (0.40 + ring) * np.sin(angle)
            path.addCircle(float(x), float(min(y, low)), size * float(self.rng.uniform(0.85, 1.15)))
        path.addPath(oval(0, -0.2, self.half + 0.01, 0.34))
        return Shape(simplified(path), self.dark, self.contour)

    def curls_in_front(self) -> Shape:
        """Circles along the hairline."""
        path = skia.Path()
        path.setFillType(skia.PathFillType.kWinding)
        for angle in np.deg2rad(np.arange(-172, -7, 15)):
            x, y = self.half * np.cos(angle), -0.21 + 0.32 * np.sin(angle)
            path.addCircle(float(x), float(y), float(self.rng.uniform(0.075, 0.1)))
        return Shape(simplified(path), self.paint)

    # -- kinds ---------------------------------------------------------------------------------------------------------

    def _long(self) -> Hair:
        back = self.curtain(float(self.rng.uniform(0.55, 1.0)), 0.07)
        cap = self.cap(-0.27, 0.25, 0.05, float(self.rng.choice([-0.06, 0.0, 0.07])))
        return Hair(self.words("long"), (back,), self.combed(cap, 0.1, 16), hides_ears=True)

    def _wavy(self) -> Hair:
        half = self.half + 0.08
        waves = [(half + (0.05 if step % 2 else -0.01), -0.3 + 0.16 * step) for step in range(7)]
        back = self.shape(mirrored([(0.0, -0.57), (0.25, -0.54), *waves, (0.2, 0.72), (0, 0.68)]), dark=True)
        front = self.combed(self.cap(-0.29, 0.3, 0.06, 0.06), 0.2, 16)
        return Hair(self.words("wavy"), (back,), front, hides_ears=True)

    def _bob(self) -> Hair:
        front = self.combed(self.fringe(-0.16), 0.1, 12)
        return Hair(self.words("chin-length"), (self.curtain(0.42, 0.08),), front, hides_ears=True)

    def _bun(self) -> Hair:
        bun = Shape(oval(0, -0.62, 0.17, 0.15), self.dark, self.contour)
        return Hair(self.words("", "in a bun"), (bun,), self.combed(self.cap(-0.31, 0.02, 0.04), -0.1, 14))

    def _ponytail(self) -> Hair:
        side = self._either()
        tail = [(0.1, -0.5), (0.45, -0.42), (0.6, 0.0), (0.52, 0.5), (0.44, 0.1), (0.3, -0.2)]
        back = self.shape([(side * x, y) for x, y in tail], dark=True)
        return Hair(self.words("", "in a ponytail"), (back,), self.combed(self.cap(-0.3, 0.0, 0.04, 0.03), -0.1, 14))

    def _braids(self) -> Hair:
        path = skia.Path()
        for side in (-1.0, 1.0):
            for step in range(6):
                x, y = side * (self.half + 0.02 + 0.01 * step), 0.18 + 0.115 * step
                path.addPath(oval(x, y, 0.075 - 0.004 * step, 0.08))
        back = Shape(path, self.dark, self.contour)
        front = self.combed(self.cap(-0.29, 0.2, 0.04), 0.0, 14)
        return Hair(self.words("", "in braids"), (back,), front, hides_ears=True)

    def _pixie(self) -> Hair:
        cap = self.cap(-0.24, 0.08, 0.07, 0.08 * self._either())
        return Hair(self.words("cropped"), (), self.combed(cap, -0.05, 14))

    def _short(self) -> Hair:
        cap = self.cap(float(self.rng.uniform(-0.33, -0.26)), -0.02, float(self.rng.uniform(0.02, 0.08)))
        return Hair(self.words("short"), (), self.combed(cap, -0.15, 12))

    def _side(self) -> Hair:
        cap = self.cap(-0.3, 0.0, 0.07, self._either() * float(self.rng.uniform(0.05, 0.09)))
        return Hair(self.words("neatly parted"), (), self.combed(cap, -0.15, 14))

    def _buzz(self) -> Hair:
        return Hair(self.words("very short"), (), (self.cap(-0.32, -0.08, -0.01),))

    def _receding(self) -> Hair:
        half = self.half + 0.02
        tuft = [(half, 0.05), (half + 0.035, -0.15), (half - 0.03, -0.34), (half - 0.08, -0.25), (half - 0.05, -0.05)]
        sides = [[(side * x, y) for x, y in tuft] for side in (-1.0, 1.0)]
        return Hair("a bald crown", (), tuple(self.shape(points) for points in sides))

    def _bald(self) -> Hair:
        return Hair("a bald head", (), ())

    def _quiff(self) -> Hair:
        half, side = self.half + 0.02, self._either()
        points = [
            (-half, 0.0), (-half - 0.01, -0.25), (-0.75 * half, -0.5), (-0.2 * half, -0.66), (0.5 * half, -0.7),
            (half, -0.56), (half + 0.01, -0.25), (half, 0.0), (half - 0.06, -0.02), (half - 0.08, -0.22),
            (0.5 * half, -0.33), (-0.3 * half, -0.3), (-half + 0.08, -0.2), (-half + 0.06, -0.02),
        ]  # fmt: skip
        top = self.shape([(side * x, y) for x, y in points])
        return Hair(self.words("swept-up"), (), self.combed(top, -0.2, 12))

    def _curly(self) -> Hair:
        return Hair(self.words("curly"), (self.curls_behind(0.03, 0.12, 0.12),), (self.curls_in_front(),))

    def _afro(self) -> Hair:
        back = self.curls_behind(float(self.rng.uniform(0.08, 0.16)), 0.17, 0.2)
        return Hair(self.words("big round"), (back,), (self.curls_in_front(),))

    def _fringe(self) -> Hair:
        return Hair(self.words("fringed"), (self.curtain(0.15, 0.04),), self.combed(self.fringe(-0.17), -0.05, 12))
