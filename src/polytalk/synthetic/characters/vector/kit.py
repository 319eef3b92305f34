"""Brushes of the vector characters: fills, strokes, and what an art style does to a shape.

Lengths are head heights (chin to crown = 1) with the origin at the centre of the head, y downwards; the canvas is
scaled before anything is drawn, so that shaders and strokes are made once per character.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
import skia

from polytalk.synthetic.characters.vector.colours import Colour, argb, darker, lighter, mix

TEXTURE = 128
"""Side in pixels of the textures that gradients are baked into."""
STYLES = ("flat", "outlined", "painted", "sketch")
"""Art styles of the vector people and animals."""


def raster(pixels: np.ndarray, opaque: bool = False) -> skia.Surface:
    """Surface on top of a uint8 (height, width, 4) array in blue, green, red, alpha order, alpha multiplied in.

    That layout, and no other, takes skia's fast paths: five to twenty times faster when pictures are laid upon another.
    """
    height, width = pixels.shape[:2]
    alpha = skia.kOpaque_AlphaType if opaque else skia.kPremul_AlphaType
    return skia.Surface.MakeRasterDirect(skia.ImageInfo.Make(width, height, skia.kBGRA_8888_ColorType, alpha), pixels)


def picture(colours: np.ndarray) -> skia.Image:
    """Opaque image of a uint8 (height, width, 3) array of red, green, blue; the pixels are copied."""
    pixels = np.full((*colours.shape[:2], 4), 255, np.uint8)
    pixels[..., :3] = colours[..., ::-1]
    return skia.Image.fromarray(pixels, skia.kBGRA_8888_ColorType, skia.kOpaque_AlphaType)


@contextmanager
def placed(canvas: skia.Canvas, x: float = 0.0, y: float = 0.0, scale: float | None = None) -> Iterator[None]:
    """Whatever is drawn within is moved and, if a scale is given, scaled; the canvas is as before afterwards."""
    with skia.AutoCanvasRestore(canvas):
        canvas.translate(x, y)
        if scale is not None:
            canvas.scale(scale, scale)
        yield


@contextmanager
def transformed(canvas: skia.Canvas, matrix: skia.Matrix) -> Iterator[None]:
    """Whatever is drawn within is transformed; the canvas is as before afterwards."""
    with skia.AutoCanvasRestore(canvas):
        canvas.concat(matrix)
        yield


def fill(colour: Colour, alpha: float = 1.0) -> skia.Paint:
    """Plain antialiased fill."""
    return skia.Paint(Color=argb(colour, alpha), AntiAlias=True)


def stroke(colour: Colour, width: float, alpha: float = 1.0) -> skia.Paint:
    """Round-ended antialiased line; width in head heights."""
    return skia.Paint(
        Color=argb(colour, alpha), AntiAlias=True, Style=skia.Paint.kStroke_Style, StrokeWidth=width,
        StrokeCap=skia.Paint.kRound_Cap, StrokeJoin=skia.Paint.kRound_Join,
    )  # fmt: skip


def radial(
    x: float, y: float, radius: float, colours: Sequence[int], stops: Sequence[float] | None = None
) -> skia.Paint:
    """Radial gradient fill of packed colours from the centre outwards.

    It is baked into a texture, about as fine as the frame, and looked up without interpolation: a third to a tenth of
    the cost of skia's own gradients, which are computed per pixel and frame.
    """
    steps = np.linspace(0.0, 1.0, len(colours)) if stops is None else np.asarray(stops)
    ramp = np.linspace(0.0, 1.0, 256)
    parts = [np.interp(ramp, steps, [(colour >> shift) & 255 for colour in colours]) for shift in (0, 8, 16, 24)]
    table = np.stack(parts, axis=1)
    table[:, :3] *= table[:, 3:] / 255.0
    texels = np.rint(table).astype(np.uint8).view(np.uint32)[:, 0][_distances()]
    pixels = texels.view(np.uint8).reshape(TEXTURE, TEXTURE, 4)
    image = skia.Image.fromarray(pixels, skia.kBGRA_8888_ColorType, skia.kPremul_AlphaType)
    place = skia.Matrix()
    place.setScale(2 * radius / TEXTURE, 2 * radius / TEXTURE)
    place.postTranslate(x - radius, y - radius)
    shader = image.makeShader(skia.TileMode.kClamp, skia.TileMode.kClamp, skia.SamplingOptions(), place)
    return skia.Paint(Shader=shader, AntiAlias=True)


@cache
def _distances() -> np.ndarray:
    """Distance of each texel from the middle of a texture, uint8 (TEXTURE, TEXTURE), 255 at the rim and beyond."""
    axis = (np.arange(TEXTURE) + 0.5) / TEXTURE * 2 - 1
    distance = np.hypot(axis[:, None], axis[None])
    # The outermost texels repeat outside the texture, so they must be at the end of the gradient.
    return np.minimum(255, distance * 255 * TEXTURE / (TEXTURE - 2)).astype(np.uint8)


def linear(start: tuple[float, float], end: tuple[float, float], colours: Sequence[int]) -> skia.Paint:
    """Linear gradient fill of packed colours."""
    shader = skia.GradientShader.MakeLinear([skia.Point(*start), skia.Point(*end)], list(colours))
    return skia.Paint(Shader=shader, AntiAlias=True)


def glow(x: float, y: float, radius: float, colour: Colour, alpha: float) -> skia.Paint:
    """Soft spot that fades to nothing at `radius`: blush, shadow or shine without a blur."""
    return radial(x, y, radius, [argb(colour, alpha), argb(colour, 0.55 * alpha), argb(colour, 0.0)], [0.0, 0.45, 1.0])


@dataclass(frozen=True)
class Brush:
    """What an art style does to a shape."""

    style: str
    """One of `STYLES`."""
    light: float
    """Side the light comes from, -1 (left) to 1."""
    line: float
    """Width of outlines in head heights; 0 draws none."""
    seed: int
    """Makes the roughness of sketched lines."""

    @classmethod
    def drawn(cls, style: str, rng: np.random.Generator) -> Brush:
        """Brush of a style with random light and line width."""
        line = {"outlined": rng.uniform(0.014, 0.026), "sketch": rng.uniform(0.009, 0.015)}.get(style, 0.0)
        light = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.0))
        return cls(style, light, float(line), int(rng.integers(1 << 16)))

    @property
    def soft(self) -> bool:
        """Whether gradients and shadows are painted."""
        return self.style in ("painted", "sketch")

    def surface(self, colour: Colour, x: float, y: float, radius: float, depth: float = 1.0) -> skia.Paint:
        """Fill of a rounded surface around (x, y): one colour when flat, lit from the light's side when painted."""
        if self.style == "flat" or self.style == "outlined":
            return fill(colour)
        strength = depth * (1.0 if self.style == "painted" else 0.55)
        shades = (darker(colour, share * strength) for share in (0.14, 0.36))
        colours = [argb(each) for each in (lighter(colour, 0.16 * strength), colour, *shades)]
        centre_x, centre_y = x + 0.4 * radius * self.light, y - 0.3 * radius
        return radial(centre_x, centre_y, 1.35 * radius, colours, [0.0, 0.45, 0.78, 1.0])

    def contour(self, colour: Colour, scale: float = 1.0) -> skia.Paint | None:
        """Outline paint for a shape of this fill colour, None in styles without outlines."""
        if self.line == 0.0:
            return None
        paint = stroke(mix(darker(colour, 0.72), (0.1, 0.07, 0.09), 0.5), self.line * scale)
        if self.style == "sketch":
            paint.setPathEffect(skia.DiscretePathEffect.Make(0.09, 0.008, self.seed))
        return paint


def stroked(path: skia.Path, paint: skia.Paint) -> tuple[skia.Path, skia.Paint]:
    """A stroked path as a filled one: stroking, and roughening it, once instead of in every frame."""
    filled = skia.Path()
    paint.getFillPath(path, filled, None, 100.0)
    return filled, skia.Paint(Color=paint.getColor(), AntiAlias=True)


class Shape:
    """A fixed path with its fill (or stroke) and, in some styles, its outline."""

    def __init__(self, path: skia.Path, paint: skia.Paint, contour: skia.Paint | None = None) -> None:
        self.path = path
        self.layers = [stroked(path, paint) if paint.getStyle() == skia.Paint.kStroke_Style else (path, paint)]
        if contour is not None:
            self.layers.append(stroked(path, contour))

    def draw(self, canvas: skia.Canvas) -> None:
        """Draw it at the canvas's present transform."""
        for path, paint in self.layers:
            canvas.drawPath(path, paint)


def draw_path(canvas: skia.Canvas, path: skia.Path, paint: skia.Paint, contour: skia.Paint | None) -> None:
    """Draw a path that changes from frame to frame."""
    canvas.drawPath(path, paint)
    if contour is not None:
        canvas.drawPath(path, contour)
