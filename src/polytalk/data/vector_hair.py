"""Hair, hats and beards of the vector people: fixed shapes built once, behind and in front of the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import skia

from polytalk.data.vector_kit import (
    Brush,
    Colour,
    Points,
    Shape,
    argb,
    darker,
    fill,
    lighter,
    linear,
    mirrored,
    mix,
    oval,
    smooth,
    stroke,
    stroked,
    simplified,
)

LONG = ("long", "wavy", "bob", "bun", "ponytail", "braids", "hijab")
SHORT = ("short", "side", "buzz", "quiff", "bald", "curly", "receding")
ANY = ("curly", "afro", "fringe", "hat", "beanie", "hood", "turban")


@dataclass(frozen=True)
class Hair:
    """Hair or headgear: shapes behind the head and shapes over the forehead."""

    kind: str
    words: str
    """How a prompt calls it, e.g. "long red hair"."""
    back: tuple[Shape, ...]
    front: tuple[Shape, ...]

    def draw_back(self, canvas: skia.Canvas) -> None:
        """What hangs behind head and neck."""
        for shape in self.back:
            shape.draw(canvas)

    def draw_front(self, canvas: skia.Canvas) -> None:
        """What lies over the forehead."""
        for shape in self.front:
            shape.draw(canvas)


def hair_colour(rng: np.random.Generator, skin_value: float) -> tuple[str, Colour]:
    """Name and colour; fair hair seldom goes with dark skin, bright dyes are rare."""
    natural: list[tuple[str, Colour]] = [
        ("black", (0.10, 0.08, 0.09)), ("dark brown", (0.23, 0.14, 0.09)), ("brown", (0.38, 0.23, 0.13)),
        ("auburn", (0.48, 0.20, 0.11)), ("red", (0.68, 0.29, 0.12)), ("blonde", (0.85, 0.68, 0.38)),
        ("grey", (0.58, 0.57, 0.56)), ("white", (0.88, 0.87, 0.84)),
    ]  # fmt: skip
    dyed: list[tuple[str, Colour]] = [
        ("pink", (0.86, 0.42, 0.58)),
        ("blue", (0.25, 0.40, 0.68)),
        ("green", (0.28, 0.55, 0.42)),
    ]
    if rng.random() < 0.05:
        name, colour = dyed[rng.integers(3)]
    else:
        shares = np.array([0.16, 0.2, 0.2, 0.1, 0.1, 0.12, 0.07, 0.05])
        if skin_value < 0.55:
            shares = np.array([0.55, 0.25, 0.05, 0.02, 0.0, 0.01, 0.07, 0.05])
        name, colour = natural[rng.choice(8, p=shares / shares.sum())]
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

    def shape(self, points: Points, dark: bool = False, tension: float = 0.17) -> Shape:
        """A lock of hair through these points."""
        return Shape(smooth(points, tension=tension), self.dark if dark else self.paint, self.contour)

    def strands(self, low: float, spread: float, count: int) -> tuple[Shape, ...]:
        """Fine lines from the parting outwards, in painted styles only."""
        if not self.brush.soft:
            return ()
        tones = (lighter(self.colour, 0.3), darker(self.colour, 0.4))
        bundles = (skia.Path(), skia.Path())
        for index in range(count):
            side = self.rng.choice([-1.0, 1.0])
            end_x, end_y = side * self.rng.uniform(0.45, 1.0) * spread, self.rng.uniform(low - 0.15, low)
            line = skia.Path()
            line.moveTo(self.rng.uniform(-0.1, 0.1), -0.5)
            line.quadTo(0.75 * end_x, -0.52 + 0.06 * self.rng.random(), end_x, end_y)
            width = float(self.rng.uniform(0.004, 0.011))
            bundles[index % 2].addPath(stroked(line, stroke(self.colour, width))[0])
        return tuple(Shape(bundle, fill(tone, 0.45)) for bundle, tone in zip(bundles, tones, strict=True))

    def cap(self, line: float, side: float, top: float = 0.06, sweep: float = 0.0) -> Shape:
        """Hair over the skull: hairline height `line` at the middle, ends beside the temples at height `side`."""
        half = self.half + 0.025
        points = [
            (-half, side), (-half - 0.01, -0.18), (-0.8 * half, -0.43 - 0.4 * top), (-0.35 * half, -0.52 - top), (0.35 * half, -0.52 - top),
            (0.8 * half, -0.43 - 0.4 * top), (half + 0.01, -0.18), (half, side), (half - 0.055, side - 0.01), (half - 0.075, -0.16),
            (0.62 * half, line + 0.02 - sweep), (0.15 * half, line - 0.5 * sweep), (-0.35 * half, line + sweep),
            (-half + 0.075, -0.15 + 0.4 * sweep), (-half + 0.055, side - 0.01),
        ]  # fmt: skip
        return self.shape(points)

    def curtain(self, bottom: float, out: float) -> Shape:
        """Hair that hangs behind the head down to `bottom`."""
        half = self.half + out
        right = [(0, -0.56), (0.7 * half, -0.48), (half, -0.15), (half + 0.02, 0.2), (half + 0.03, bottom - 0.08), (0.75 * half, bottom), (0, bottom - 0.02)]  # fmt: skip
        return self.shape(mirrored(right), dark=True)

    def blobs(self, ring: float, size: float, low: float, dark: bool) -> Shape:
        """Curls: circles around the skull down to height `low`."""
        path = skia.Path()
        path.setFillType(skia.PathFillType.kWinding)
        angles = np.arange(-200, 21, 19 if size < 0.13 else 26)
        for angle in np.deg2rad(angles + self.rng.uniform(-4, 4, len(angles))):
            x, y = (self.half + ring) * np.cos(angle), -0.12 + (0.40 + ring) * np.sin(angle)
            path.addCircle(float(x), float(min(y, low)), size * float(self.rng.uniform(0.85, 1.15)))
        path.addPath(oval(0, -0.2, self.half + 0.01, 0.34))
        return Shape(simplified(path), self.dark if dark else self.paint, self.contour)

    def words(self, kind: str) -> str:
        return f"{kind} {self.name} hair".replace("  ", " ").strip()

    def _long(self) -> Hair:
        bottom = float(self.rng.uniform(0.55, 1.0))
        front = (
            self.cap(-0.27, 0.25, 0.05, float(self.rng.choice([-0.06, 0.0, 0.07]))),
            *self.strands(0.1, self.half, 14),
        )
        return Hair("long", self.words("long"), (self.curtain(bottom, 0.07),), front)

    def _wavy(self) -> Hair:
        half, points = self.half + 0.08, [(0.0, -0.57), (0.25, -0.54)]
        for step in range(7):
            points.append((half + (0.05 if step % 2 else -0.01), -0.3 + 0.16 * step))
        back = self.shape(mirrored([*points, (0.2, 0.72), (0, 0.68)]), dark=True)
        return Hair(
            "wavy",
            self.words("wavy"),
            (back,),
            (self.cap(-0.29, 0.3, 0.06, 0.06), *self.strands(0.2, self.half + 0.03, 16)),
        )

    def _bob(self) -> Hair:
        return Hair(
            "bob",
            self.words("chin-length"),
            (self.curtain(0.42, 0.08),),
            (self._fringe_shape(-0.16), *self.strands(0.1, self.half, 12)),
        )

    def _fringe_shape(self, line: float) -> Shape:
        half = self.half + 0.035
        points = [(-half, 0.22), (-half, -0.2), (-0.7 * half, -0.5), (0, -0.585), (0.7 * half, -0.5), (half, -0.2), (half, 0.22), (half - 0.07, 0.2),
                  (half - 0.07, line + 0.04), (0.4 * half, line), (0, line + 0.015), (-0.4 * half, line), (-half + 0.07, line + 0.04), (-half + 0.07, 0.2)]  # fmt: skip
        return self.shape(points, tension=0.14)

    def _bun(self) -> Hair:
        bun = Shape(oval(0, -0.62, 0.17, 0.15), self.dark, self.contour)
        return Hair(
            "bun",
            self.words("") + " in a bun",
            (bun,),
            (self.cap(-0.31, 0.02, 0.04), *self.strands(-0.1, self.half, 12)),
        )

    def _ponytail(self) -> Hair:
        side = float(self.rng.choice([-1, 1]))
        tail = [
            (0.1 * side, -0.5),
            (0.45 * side, -0.42),
            (0.6 * side, 0.0),
            (0.52 * side, 0.5),
            (0.44 * side, 0.1),
            (0.3 * side, -0.2),
        ]
        return Hair(
            "ponytail",
            self.words("") + " in a ponytail",
            (self.shape(tail, dark=True),),
            (self.cap(-0.3, 0.0, 0.04, 0.03), *self.strands(-0.1, self.half, 12)),
        )

    def _braids(self) -> Hair:
        path = skia.Path()
        for side in (-1.0, 1.0):
            for step in range(6):
                path.addPath(
                    oval(side * (self.half + 0.02 + 0.01 * step), 0.18 + 0.115 * step, 0.075 - 0.004 * step, 0.08)
                )
        return Hair(
            "braids",
            self.words("") + " in braids",
            (Shape(path, self.dark, self.contour),),
            (self.cap(-0.29, 0.2, 0.04), *self.strands(0.0, self.half, 12)),
        )

    def _short(self) -> Hair:
        return Hair(
            "short",
            self.words("short"),
            (),
            (
                self.cap(float(self.rng.uniform(-0.33, -0.26)), -0.02, float(self.rng.uniform(0.02, 0.08))),
                *self.strands(-0.15, self.half, 10),
            ),
        )

    def _side(self) -> Hair:
        sweep = float(self.rng.choice([-1, 1]) * self.rng.uniform(0.05, 0.09))
        return Hair(
            "side",
            self.words("neatly parted"),
            (),
            (self.cap(-0.3, 0.0, 0.07, sweep), *self.strands(-0.15, self.half, 14)),
        )

    def _buzz(self) -> Hair:
        return Hair("buzz", self.words("very short"), (), (self.cap(-0.32, -0.08, -0.01),))

    def _receding(self) -> Hair:
        half = self.half + 0.02
        tufts = [[(side * half, 0.05), (side * (half + 0.035), -0.15), (side * (half - 0.03), -0.34), (side * (half - 0.08), -0.25), (side * (half - 0.05), -0.05)] for side in (-1.0, 1.0)]  # fmt: skip
        return Hair("receding", "a bald crown", (), tuple(self.shape(tuft) for tuft in tufts))

    def _bald(self) -> Hair:
        return Hair("bald", "a bald head", (), ())

    def _quiff(self) -> Hair:
        half, side = self.half + 0.02, float(self.rng.choice([-1, 1]))
        points = [(-half, 0.0), (-half - 0.01, -0.25), (-0.75 * half, -0.5), (-0.2 * half, -0.66), (0.5 * half, -0.7), (half, -0.56), (half + 0.01, -0.25), (half, 0.0),
                  (half - 0.06, -0.02), (half - 0.08, -0.22), (0.5 * half, -0.33), (-0.3 * half, -0.3), (-half + 0.08, -0.2), (-half + 0.06, -0.02)]  # fmt: skip
        return Hair(
            "quiff",
            self.words("swept-up"),
            (),
            (self.shape([(side * x, y) for x, y in points]), *self.strands(-0.2, self.half, 10)),
        )

    def _curly(self) -> Hair:
        return Hair("curly", self.words("curly"), (self.blobs(0.03, 0.12, 0.12, True),), (self._curly_front(),))

    def _curly_front(self) -> Shape:
        path = skia.Path()
        path.setFillType(skia.PathFillType.kWinding)
        for angle in np.deg2rad(np.arange(-172, -7, 15)):
            x, y = self.half * np.cos(angle), -0.18 + 0.32 * np.sin(angle)
            path.addCircle(float(x), float(y) - 0.03, float(self.rng.uniform(0.075, 0.1)))
        return Shape(simplified(path), self.paint)

    def _afro(self) -> Hair:
        big = float(self.rng.uniform(0.08, 0.16))
        return Hair("afro", self.words("big round"), (self.blobs(big, 0.17, 0.2, True),), (self._curly_front(),))

    def _fringe(self) -> Hair:
        return Hair(
            "fringe",
            self.words("fringed"),
            (self.curtain(0.15, 0.04),),
            (self._fringe_shape(-0.17), *self.strands(-0.05, self.half, 12)),
        )

    def _cloth(self, words: str) -> tuple[str, Colour, skia.Paint, skia.Paint | None]:
        name, colour = cloth_colour(self.rng)
        return f"a {name} {words}", colour, self.brush.surface(colour, 0, -0.35, 0.6), self.brush.contour(colour)

    def _hat(self) -> Hair:
        words, colour, paint, contour = self._cloth("hat")
        half = self.half + 0.03
        crown = smooth(
            [(-half, -0.3), (-0.85 * half, -0.66), (0, -0.74), (0.85 * half, -0.66), (half, -0.3), (0, -0.26)]
        )
        brim, band = (
            oval(0, -0.3, half + 0.2, 0.065),
            smooth(
                [(-half, -0.32), (0, -0.27), (half, -0.32), (half - 0.02, -0.42), (0, -0.38), (-half + 0.02, -0.42)]
            ),
        )
        shade = Shape(band, self.brush.surface(darker(colour, 0.4), 0, -0.35, 0.5), None)
        hair = (self.cap(-0.25, 0.1, 0.0),)
        back = (self.curtain(0.5, 0.05),) if self.rng.random() < 0.4 else ()
        return Hair("hat", words, back, (*hair, Shape(crown, paint, contour), shade, Shape(brim, paint, contour)))

    def _beanie(self) -> Hair:
        words, colour, paint, contour = self._cloth("woolly hat")
        half = self.half + 0.035
        crown = smooth(
            [(-half, -0.22), (-0.9 * half, -0.52), (0, -0.68), (0.9 * half, -0.52), (half, -0.22), (0, -0.27)]
        )
        roll = smooth(
            [(-half - 0.01, -0.2), (-half, -0.31), (0, -0.37), (half, -0.31), (half + 0.01, -0.2), (0, -0.25)]
        )
        shapes = [
            self.cap(-0.2, 0.1, 0.0),
            Shape(crown, paint, contour),
            Shape(roll, self.brush.surface(lighter(colour, 0.18), 0, -0.25, 0.5), contour),
        ]
        if self.rng.random() < 0.5:
            shapes.append(
                Shape(oval(0, -0.70, 0.09, 0.085), self.brush.surface(lighter(colour, 0.3), 0, -0.7, 0.1), contour)
            )
        return Hair("beanie", words, (), tuple(shapes))

    def _hood_pair(self, words: str, tight: float) -> Hair:
        name, colour, paint, contour = self._cloth(words)
        half = self.half + 0.10 - tight
        back = smooth(
            mirrored(
                [
                    (0, -0.66 + tight),
                    (0.7 * half, -0.56 + tight),
                    (half, -0.2),
                    (half + 0.02, 0.25),
                    (0.9 * half, 0.62),
                    (0, 0.72),
                ]
            )
        )
        inner = self.half - 0.045
        ring = skia.Path(
            smooth(
                mirrored(
                    [
                        (0, -0.62 + tight),
                        (0.7 * half, -0.52 + tight),
                        (half, -0.18),
                        (half, 0.25),
                        (0.72 * half, 0.56),
                        (0, 0.66),
                    ]
                )
            )
        )
        ring.addPath(
            smooth(
                mirrored(
                    [
                        (0, -0.36),
                        (0.7 * inner, -0.31),
                        (inner, -0.05),
                        (inner * 0.98, 0.2),
                        (0.72 * inner, 0.47),
                        (0, 0.70),
                    ]
                )
            )
        )
        ring.setFillType(skia.PathFillType.kEvenOdd)
        dark = linear((0, -0.6), (0, 0.7), [argb(darker(colour, 0.3)), argb(darker(colour, 0.5))])
        return Hair("hood", name, (Shape(back, dark, contour),), (Shape(ring, paint, contour),))

    def _hood(self) -> Hair:
        return self._hood_pair("hood", 0.0)

    def _hijab(self) -> Hair:
        return self._hood_pair("headscarf", 0.05)

    def _turban(self) -> Hair:
        words, colour, paint, contour = self._cloth("turban")
        half = self.half + 0.05
        wrap = smooth(
            [
                (-half, -0.16),
                (-half - 0.03, -0.4),
                (-0.6 * half, -0.66),
                (0, -0.72),
                (0.6 * half, -0.66),
                (half + 0.03, -0.4),
                (half, -0.16),
                (0, -0.33),
            ]
        )
        shapes = [Shape(wrap, paint, contour)]
        for lift in (0.0, 0.1, 0.2):
            fold = skia.Path()
            fold.moveTo(-half, -0.22 - lift)
            fold.quadTo(-0.1, -0.32 - lift, 0.35 * half + 0.1 * lift, -0.64)
            fold.moveTo(half, -0.22 - lift)
            fold.quadTo(0.1, -0.36 - lift, -0.2 * half, -0.68)
            shapes.append(Shape(fold, stroke(darker(colour, 0.35), 0.013, 0.7)))
        return Hair("turban", words, (), tuple(shapes))


def cloth_colour(rng: np.random.Generator) -> tuple[str, Colour]:
    """Name and colour of cloth."""
    colours: list[tuple[str, Colour]] = [
        ("red", (0.74, 0.16, 0.18)), ("blue", (0.20, 0.36, 0.66)), ("green", (0.20, 0.50, 0.32)), ("yellow", (0.90, 0.74, 0.26)),
        ("orange", (0.88, 0.48, 0.18)), ("purple", (0.46, 0.28, 0.58)), ("pink", (0.88, 0.56, 0.64)), ("white", (0.92, 0.91, 0.88)),
        ("black", (0.14, 0.14, 0.16)), ("grey", (0.52, 0.53, 0.56)), ("brown", (0.46, 0.31, 0.20)), ("teal", (0.15, 0.50, 0.54)),
        ("navy", (0.12, 0.17, 0.34)), ("beige", (0.82, 0.74, 0.60)),
    ]  # fmt: skip
    name, colour = colours[rng.integers(len(colours))]
    return name, mix(colour, (rng.random(), rng.random(), rng.random()), 0.08)
