"""Hair of the 3-D heads: the scalp's triangles again, lifted off the skin, with strands painted into the vertices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import skia

from polytalk.synthetic.characters.heads.mesh import HeadMesh, Light
from polytalk.synthetic.characters.vector.colours import Colour, darker
from polytalk.synthetic.characters.vector.kit import Brush, Shape
from polytalk.synthetic.characters.vector.paths import mirrored, oval, smooth


@dataclass(frozen=True)
class Haircut:
    """A haircut: where the hairline runs and how far the hair stands off."""

    name: str
    front: float
    """Height of the hairline over the middle of the forehead (head heights, y)."""
    temple: float
    """The same at the temples."""
    side: float
    """The same in front of the ears."""
    volume: float
    """Lift off the scalp, head heights."""
    top: float
    """Further lift on top."""
    rough: float
    """Unevenness of the lift, 0 (sleek) to 1."""
    back: str = ""
    """What hangs behind: "", "long", "bob", "bun" or "curls"."""


WOMEN = (
    Haircut("long", -0.29, -0.16, 0.20, 0.050, 0.02, 0.1, "long"),
    Haircut("chin-length", -0.16, -0.10, 0.26, 0.060, 0.02, 0.05, "bob"),
    Haircut("tied-back", -0.31, -0.20, 0.02, 0.022, 0.01, 0.05, "bun"),
    Haircut("curly", -0.26, -0.14, 0.20, 0.085, 0.05, 0.9, "curls"),
    Haircut("short", -0.24, -0.14, 0.10, 0.045, 0.05, 0.4),
)
MEN = (
    Haircut("short", -0.29, -0.20, 0.06, 0.030, 0.05, 0.3),
    Haircut("swept-up", -0.31, -0.22, 0.04, 0.022, 0.12, 0.3),
    Haircut("very short", -0.30, -0.22, 0.05, 0.010, 0.0, 0.0),
    Haircut("receding", -0.40, -0.30, 0.03, 0.014, 0.0, 0.1),
    Haircut("curly", -0.27, -0.18, 0.08, 0.060, 0.05, 0.9),
    Haircut("no", -9.0, -9.0, -9.0, 0.0, 0.0, 0.0),
)


@dataclass(frozen=True)
class HairCap:
    """Hair on one head."""

    cut: Haircut
    words: str
    vertices: np.ndarray
    """(N,) scalp vertices that are drawn again as hair."""
    lift: np.ndarray
    """(N, 3) their displacement."""
    alpha: np.ndarray
    """(N,) opacity, 0 outside the hairline."""
    faces: np.ndarray
    """(F + G, 3) triangles of the head and of the hair, whose vertices are numbered after the head's."""
    albedo: np.ndarray
    """(N, 3)."""

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, head: HeadMesh, colour: Colour, name: str, male: bool, young: bool
    ) -> HairCap:
        """A random cut for this head."""
        cuts = MEN if male else WOMEN
        cut = cuts[rng.integers(len(cuts) - (2 if male and young else 0))]
        inside = hairline(head, cut)
        shown = np.clip(inside / 0.035 + 0.5, 0, 1) * np.clip(1 - 1.6 * head.bank.ears, 0, 1)
        if cut.name == "very short":
            shown *= 0.8
        faces = head.bank.faces
        used = (shown[faces] > 0.02).any(axis=1)
        vertices = np.unique(faces[used])
        number = np.full(len(shown), -1)
        number[vertices] = np.arange(len(vertices)) + len(shown)
        place, normal = head.neutral[vertices], head.normals[vertices]
        deep = np.clip(inside[vertices] / 0.12, 0, 1)
        bumps = sum(np.sin(place @ rng.normal(0, 22, 3) + rng.uniform(0, 6)) for _ in range(3)) / 3
        upper = np.clip((-0.25 - place[:, 1]) / 0.2, 0, 1) * np.clip((place[:, 2] + 0.25) / 0.3, 0, 1)
        height = deep * (cut.volume * (1 + 0.6 * cut.rough * bumps) + cut.top * upper)
        lift = normal * height[:, None]
        words = {"no": "a bald head", "receding": f"receding {name} hair"}.get(cut.name, f"{cut.name} {name} hair")
        return cls(
            cut=cut,
            words=words,
            vertices=vertices,
            lift=lift.astype(np.float32),
            alpha=shown[vertices].astype(np.float32),
            faces=np.concatenate([faces, number[faces[used]]]),
            albedo=_strands(rng, place, colour),
        )

    def shade(self, light: Light, normals: np.ndarray) -> np.ndarray:
        """(N, 3) colours, given the head's normals (V, 3)."""
        ours = normals[self.vertices]
        depth = np.clip(0.55 + 6 * np.linalg.norm(self.lift, axis=1), 0, 1)
        return light.shade(self.albedo, ours, depth.astype(np.float32), 0.25)

    def back_shapes(self, rng: np.random.Generator, brush: Brush, colour: Colour, half: float) -> tuple[Shape, ...]:
        """What hangs behind a head of half width `half` and its neck, drawn flat; lengths in head heights."""
        paint = brush.surface(darker(colour, 0.22), 0, 0.1, 0.9)
        if self.cut.back == "bun":
            return (Shape(oval(0, -0.62, 0.17, 0.15), paint),)
        if self.cut.back == "curls":
            path = skia.Path()
            path.setFillType(skia.PathFillType.kWinding)
            for angle in np.deg2rad(np.arange(-205, 26, 19) + rng.uniform(-4, 4)):
                x, y = (half + 0.03) * np.cos(angle), -0.10 + 0.43 * np.sin(angle)
                path.addCircle(float(x), float(y), 0.12 * float(rng.uniform(0.85, 1.15)))
            return (Shape(path, paint),)
        if self.cut.back in ("long", "bob"):
            low, wide = (float(rng.uniform(0.6, 1.0)), half + 0.04) if self.cut.back == "long" else (0.44, half + 0.05)
            right = [(0, -0.5), (0.7 * wide, -0.44), (wide, -0.15), (wide + 0.02, 0.2), (wide + 0.03, low - 0.08)]
            return (Shape(smooth(mirrored([*right, (0.75 * wide, low), (0, low - 0.02)])), paint),)
        return ()


def hairline(head: HeadMesh, cut: Haircut) -> np.ndarray:
    """(V,) how far each vertex lies above the hairline, in head heights (negative: skin)."""
    place = head.neutral
    around = np.degrees(np.arctan2(np.abs(place[:, 0]), place[:, 2] + 0.02))
    angles = (0, 30, 52, 68, 88, 110, 140, 180)
    line = (cut.front, cut.front + 0.01, cut.temple, 0.5 * (cut.temple + cut.side) - 0.05, cut.side, 0.10, 0.28, 0.32)
    if cut.name == "no":
        return np.full(len(place), -1.0)
    if cut.name == "receding":
        line = (*line[:5], 0.05, 0.25, 0.3)
    return np.interp(around, angles, line) - place[:, 1]


def _strands(rng: np.random.Generator, place: np.ndarray, colour: Colour) -> np.ndarray:
    """(N, 3) hair colour with lighter and darker strands running from the crown."""
    around = np.arctan2(place[:, 0], place[:, 2] + 0.02)
    streak = sum(np.sin(around * k + rng.uniform(0, 6)) for k in (7, 13, 23)) / 3 + rng.normal(0, 0.35, len(place))
    return np.clip(np.array(colour) * (1 + 0.22 * streak[:, None]), 0.02, 1).astype(np.float32)
