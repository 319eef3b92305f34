"""Many people from one picture of a face: another shape, complexion, light and skin, beards and glasses."""

from __future__ import annotations

import numpy as np
import skia

from polytalk.synthetic.characters.photos.portrait import Portrait
from polytalk.synthetic.characters.vector.colours import mix
from polytalk.synthetic.characters.vector.kit import picture
from polytalk.synthetic.picture_io import bundled_pictures, load_picture

BUMPS = 7
"""Places at which a face is made wider, longer or shorter."""
FRAMES = ((0.08, 0.07, 0.07), (0.35, 0.22, 0.12), (0.55, 0.55, 0.58), (0.75, 0.62, 0.30))
"""Colours of glasses."""


class FaceShape:
    """A smooth displacement of a face's points: equal for skin, eyes and mouth, so that the truth stays true."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._centre = rng.uniform((-0.4, -0.45), (0.4, 0.5), (BUMPS, 2))
        self._shift = rng.normal(0, 0.03, (BUMPS, 2))
        self._width = rng.uniform(0.16, 0.34, BUMPS)
        self._stretch = rng.uniform((0.9, 0.95), (1.1, 1.05))

    def __call__(self, place: np.ndarray) -> np.ndarray:
        """Moved places (..., 2), in head heights around the head's middle."""
        distance = place[..., None, :] - self._centre
        near = np.exp(-(distance**2).sum(axis=-1) / (2 * self._width**2))
        return place * self._stretch + near @ self._shift


def colour_matrix(rng: np.random.Generator) -> np.ndarray:
    """(3, 5): another complexion and another light."""
    saturation, gain = rng.uniform(0.55, 1.3), rng.uniform(0.6, 1.1) * rng.uniform(0.88, 1.12, 3)
    grey = np.tile([0.299, 0.587, 0.114], (3, 1))
    matrix = gain[:, None] * (grey + saturation * (np.eye(3) - grey))
    return np.concatenate([matrix, np.zeros((3, 2))], axis=1)


def varied(rng: np.random.Generator, portrait: Portrait) -> skia.Image:
    """The portrait's picture with another skin, light from a side, now and then a beard or glasses."""
    width, height = portrait.image.width(), portrait.image.height()
    surface = skia.Surface(width, height)
    canvas = surface.getCanvas()
    canvas.drawImage(portrait.image, 0, 0)
    _overlay(rng, canvas, width, height)
    _light(rng, canvas, portrait)
    if rng.random() < 0.25:
        _beard(rng, canvas, portrait)
    if rng.random() < 0.3 and portrait.landmarks.eyes:
        _glasses(rng, canvas, portrait)
    return surface.makeImageSnapshot().withDefaultMipmaps()


def _overlay(rng: np.random.Generator, canvas: skia.Canvas, width: int, height: int) -> None:
    """Wrinkles, spots, cloth: a part of any photograph, as a soft light."""
    pictures = bundled_pictures()
    if not pictures or rng.random() < 0.25:
        return
    pixels = load_picture(pictures[rng.integers(len(pictures))])
    side = int(min(pixels.shape[:2]) * rng.uniform(0.3, 1.0))
    top, left = (int(rng.integers(n - side + 1)) for n in pixels.shape[:2])
    part = picture(np.ascontiguousarray(pixels[top : top + side, left : left + side]))
    paint = skia.Paint(Alphaf=float(rng.uniform(0.1, 0.75)), BlendMode=skia.BlendMode.kSoftLight)
    sampling = skia.SamplingOptions(skia.FilterMode.kLinear)
    canvas.drawImageRect(part, skia.Rect.MakeWH(width, height), sampling, paint)


def _light(rng: np.random.Generator, canvas: skia.Canvas, portrait: Portrait) -> None:
    """A shadow on one side of the face."""
    left, top, right, bottom = portrait.landmarks.face
    angle, depth = rng.uniform(0, 2 * np.pi), float(rng.uniform(0, 0.55)) * float(rng.random() < 0.6)
    middle = np.array([(left + right) / 2, (top + bottom) / 2])
    reach = 0.6 * (right - left) * np.array([np.cos(angle), np.sin(angle)])
    ends = [skia.Point(*map(float, middle + way * reach)) for way in (-1, 1)]
    colours = [skia.Color4f(0, 0, 0, alpha).toColor() for alpha in (depth, 0)]
    shade = skia.GradientShader.MakeLinear(ends, colours)
    canvas.drawPaint(skia.Paint(Shader=shade))


def _beard(rng: np.random.Generator, canvas: skia.Canvas, portrait: Portrait) -> None:
    """Dark from ear to ear below the mouth, and a moustache; the lips stay free."""
    marks = portrait.landmarks
    left, _, right, bottom = marks.face
    x, y = (marks.left[0] + marks.right[0]) / 2, marks.edges[1]
    half, wide = (marks.right[0] - marks.left[0]) / 2, 0.40 * (right - left)
    shape = skia.Path()
    shape.addOval(skia.Rect.MakeLTRB(x - wide, y - 0.8 * half, x + wide, bottom + 0.05 * (bottom - y)))
    lips = skia.Path()
    lips.addOval(skia.Rect.MakeLTRB(x - 1.15 * half, marks.edges[0] - 1, x + 1.15 * half, marks.edges[3] + 1))
    cheeks = skia.Path()
    for side in (-1, 1):
        cheek = x + side * 1.9 * half
        cheeks.addOval(skia.Rect.MakeLTRB(cheek - 0.9 * half, y - 2.2 * half, cheek + 0.9 * half, y + 0.1 * half))
    free = skia.Op(skia.Op(shape, lips, skia.PathOp.kDifference_PathOp), cheeks, skia.PathOp.kDifference_PathOp)
    colour = mix((0.10, 0.07, 0.05), (0.62, 0.58, 0.54), float(rng.random() ** 1.5))
    paint = skia.Paint(
        Color4f=skia.Color4f(*colour, float(rng.uniform(0.3, 0.7))),
        AntiAlias=True,
        MaskFilter=skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, 0.12 * half),
    )
    canvas.drawPath(free, paint)


def _glasses(rng: np.random.Generator, canvas: skia.Canvas, portrait: Portrait) -> None:
    """Two rims and a bridge."""
    (x0, y0), (x1, y1) = portrait.landmarks.eyes[:2]
    apart = abs(x1 - x0)
    wide, high = apart * rng.uniform(0.34, 0.42), apart * rng.uniform(0.24, 0.36)
    colour = FRAMES[rng.integers(len(FRAMES))]
    paint = skia.Paint(
        Color4f=skia.Color4f(*colour, 1.0),
        AntiAlias=True,
        Style=skia.Paint.kStroke_Style,
        StrokeWidth=float(apart * rng.uniform(0.025, 0.075)),
    )
    corner = float(rng.uniform(0.3, 1.0) * high)
    for x, y in ((x0, y0), (x1, y1)):
        rim = skia.Rect.MakeLTRB(x - wide, y - high, x + wide, y + high * 1.1)
        canvas.drawRoundRect(rim, corner, corner, paint)
    canvas.drawLine(float(x0 + wide), float(y0), float(x1 - wide), float(y1), paint)
