"""What stands behind the people: plain, gradient, stripes, noise, rooms, landscapes, cities, photographs.

Each background is drawn once per clip, `MARGIN` larger than the frame on every side, so that the camera may move.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import skia

from polytalk.synthetic.characters.vector.colours import Colour, argb, darker, hsv, lighter, mix
from polytalk.synthetic.characters.vector.kit import fill, linear, picture, radial, raster, stroke
from polytalk.synthetic.characters.vector.paths import polygon
from polytalk.synthetic.picture_io import load_picture

MARGIN = 0.15
"""Extra background around the frame, as a share of its width and height."""

Painter = Callable[[np.random.Generator, skia.Canvas, int, int], str]
"""Paints (width, height) pixels and returns how a prompt calls the place ("" for nothing to say)."""


def _colour(rng: np.random.Generator) -> Colour:
    return hsv(rng.random(), rng.uniform(0.05, 0.55), rng.uniform(0.25, 0.95))


def plain(rng: np.random.Generator, canvas: skia.Canvas, width: int, height: int) -> str:
    """One colour."""
    canvas.clear(argb(_colour(rng)))
    return "a plain background"


def gradient(rng: np.random.Generator, canvas: skia.Canvas, width: int, height: int) -> str:
    """Two or three colours that melt into each other."""
    first = _colour(rng)
    second = mix(_colour(rng), darker(first, 0.4), 0.5)
    if rng.random() < 0.5:
        end = (rng.uniform(0, width), height) if rng.random() < 0.7 else (width, 0)
        canvas.drawPaint(linear((0, 0), (float(end[0]), float(end[1])), [argb(first), argb(second)]))
    else:
        x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.1, 0.7) * height
        canvas.drawPaint(radial(x, y, 0.8 * width, [argb(lighter(first, 0.2)), argb(second)]))
    return "a soft studio background"


def stripes(rng: np.random.Generator, canvas: skia.Canvas, width: int, height: int) -> str:
    """Wallpaper of stripes, checks or dots."""
    base = _colour(rng)
    other = mix(base, lighter(base, 0.5) if rng.random() < 0.5 else darker(base, 0.4), rng.uniform(0.3, 1.0))
    canvas.clear(argb(base))
    step, paint = float(rng.uniform(0.06, 0.18)) * height, fill(other)
    kind = rng.integers(4)
    if kind == 3:
        for row, y in enumerate(np.arange(0, height + step, step)):
            for x in np.arange(0, width + step, step):
                canvas.drawCircle(float(x) + 0.5 * step * (row % 2), float(y), 0.22 * step, paint)
        return "dotted wallpaper"
    if kind == 2:
        canvas.rotate(float(rng.uniform(-30, 30)), width / 2, height / 2)
    if kind in (0, 2):
        for x in np.arange(-width, 2 * width, 2 * step):
            canvas.drawRect(skia.Rect(float(x), -height, float(x) + step, 2 * height), paint)
    if kind == 1:
        for y in np.arange(0, height, 2 * step):
            canvas.drawRect(skia.Rect(0, float(y), width, float(y) + step), paint)
    canvas.resetMatrix()
    return "striped wallpaper"


def noise(rng: np.random.Generator, canvas: skia.Canvas, width: int, height: int) -> str:
    """Cloudy texture of several scales."""
    first, second = np.array(_colour(rng)), np.array(_colour(rng))
    field = np.zeros((height, width), np.float32)
    big = np.zeros((height, width, 4), np.uint8)
    for cells in (3, 7, 17, 45):
        coarse = np.repeat(rng.integers(0, 256, (cells, 2 * cells, 1), np.uint8), 3, axis=2)
        box, sampling = skia.Rect(0, 0, width, height), skia.SamplingOptions(skia.FilterMode.kLinear)
        raster(big, opaque=True).getCanvas().drawImageRect(picture(coarse), box, sampling)
        field += big[..., 0].astype(np.float32) / 255 / np.sqrt(cells)
    field = (field - field.min()) / max(1e-6, float(field.max() - field.min()))
    canvas.drawImage(picture((255 * (first + field[..., None] * (0.6 * (second - first)))).astype(np.uint8)), 0, 0)
    return "a painted backdrop"


def room(rng: np.random.Generator, canvas: skia.Canvas, width: int, height: int) -> str:
    """A wall with a window, pictures, a shelf or a lamp."""
    wall = hsv(rng.random(), rng.uniform(0.08, 0.4), rng.uniform(0.45, 0.92))
    canvas.drawPaint(linear((0, 0), (width, height), [argb(lighter(wall, 0.12)), argb(darker(wall, 0.18))]))
    floor = float(rng.uniform(0.78, 1.0)) * height
    canvas.drawRect(skia.Rect(0, floor, width, height), fill(mix((0.5, 0.34, 0.22), darker(wall, 0.3), rng.random())))
    canvas.drawRect(skia.Rect(0, floor - 0.02 * height, width, floor), fill(lighter(wall, 0.4)))
    slots = rng.permutation(4)[: int(rng.integers(2, 5))]
    for slot in slots:
        left = (0.03 + 0.25 * slot) * width
        piece = rng.choice(np.array([_window, _shelf, _picture, _lamp, _plant], dtype=object))
        piece(rng, canvas, left, 0.2 * width, height, wall)
    return str(rng.choice(["a room", "a living room", "a cosy room"]))


def _window(rng: np.random.Generator, canvas: skia.Canvas, left: float, wide: float, height: int, wall: Colour) -> None:
    top, bottom = 0.1 * height, float(rng.uniform(0.5, 0.65)) * height
    sky = hsv(rng.uniform(0.52, 0.62), rng.uniform(0.1, 0.5), rng.uniform(0.5, 1.0))
    box = skia.Rect(left, top, left + wide, bottom)
    canvas.drawRect(box, linear((0, top), (0, bottom), [argb(sky), argb(lighter(sky, 0.6))]))
    hill = skia.Path()
    hill.addCircle(left + 0.6 * wide, bottom + 0.25 * wide, 0.5 * wide)
    with skia.AutoCanvasRestore(canvas):
        canvas.clipRect(box)
        canvas.drawPath(hill, fill(hsv(rng.uniform(0.2, 0.4), 0.4, 0.5)))
    frame = stroke(lighter(wall, 0.7), 0.02 * height)
    canvas.drawRect(box, frame)
    canvas.drawLine(left + wide / 2, top, left + wide / 2, bottom, frame)
    canvas.drawLine(left, (top + bottom) / 2, left + wide, (top + bottom) / 2, frame)


def _shelf(rng: np.random.Generator, canvas: skia.Canvas, left: float, wide: float, height: int, wall: Colour) -> None:
    wood = mix((0.45, 0.30, 0.18), (0.85, 0.8, 0.74), rng.random())
    for level in range(3):
        y = (0.24 + 0.22 * level) * height
        x = left
        while x < left + 0.9 * wide:
            thick, tall = rng.uniform(0.04, 0.11) * wide, rng.uniform(0.09, 0.16) * height
            if rng.random() < 0.85:
                book = fill(hsv(rng.random(), 0.5, rng.uniform(0.3, 0.85)))
                canvas.drawRect(skia.Rect(x, y - tall, x + thick, y), book)
            x += thick * 1.05
        canvas.drawRect(skia.Rect(left, y, left + wide, y + 0.02 * height), fill(wood))


def _picture(
    rng: np.random.Generator, canvas: skia.Canvas, left: float, wide: float, height: int, wall: Colour
) -> None:
    top, tall = float(rng.uniform(0.1, 0.3)) * height, float(rng.uniform(0.2, 0.35)) * height
    box = skia.Rect(left + 0.1 * wide, top, left + 0.9 * wide, top + tall)
    canvas.drawRect(box, linear((left, top), (left + wide, top + tall), [argb(_colour(rng)), argb(_colour(rng))]))
    canvas.drawCircle(left + rng.uniform(0.3, 0.7) * wide, top + 0.5 * tall, 0.2 * tall, fill(_colour(rng)))
    canvas.drawRect(box, stroke(darker(wall, 0.6), 0.015 * height))


def _lamp(rng: np.random.Generator, canvas: skia.Canvas, left: float, wide: float, height: int, wall: Colour) -> None:
    x, y = left + 0.5 * wide, float(rng.uniform(0.2, 0.4)) * height
    glow = radial(x, y, 0.9 * wide, [argb((1, 0.93, 0.7), 0.7), argb((1, 0.93, 0.7), 0.0)])
    canvas.drawCircle(x, y, 0.9 * wide, glow)
    canvas.drawLine(x, 0, x, y, stroke((0.15, 0.14, 0.14), 0.008 * height))
    shade = skia.Rect(x - 0.3 * wide, y - 0.07 * height, x + 0.3 * wide, y + 0.05 * height)
    canvas.drawOval(shade, fill((1.0, 0.93, 0.72)))


def _plant(rng: np.random.Generator, canvas: skia.Canvas, left: float, wide: float, height: int, wall: Colour) -> None:
    x, base = left + 0.5 * wide, 0.85 * height
    green = hsv(rng.uniform(0.25, 0.42), rng.uniform(0.4, 0.7), rng.uniform(0.3, 0.6))
    for angle in rng.uniform(-1.1, 1.1, 12):
        length = rng.uniform(0.25, 0.55) * height
        leaf = skia.Path()
        tip_x, tip_y = x + np.sin(angle) * length * 0.7, base - 0.15 * height - np.cos(angle) * length
        leaf.moveTo(x, base - 0.12 * height)
        leaf.quadTo(x + 0.2 * (tip_x - x) - 6, tip_y + 0.2 * length, tip_x, tip_y)
        leaf.quadTo(x + 0.6 * (tip_x - x) + 8, tip_y + 0.5 * length, x, base - 0.12 * height)
        canvas.drawPath(leaf, fill(darker(green, float(rng.uniform(0, 0.4)))))
    pot = skia.Rect(x - 0.22 * wide, base - 0.15 * height, x + 0.22 * wide, base + 0.1 * height)
    canvas.drawRect(pot, fill((0.68, 0.36, 0.24)))


def outdoor(rng: np.random.Generator, canvas: skia.Canvas, width: int, height: int) -> str:
    """Sky, sun or clouds, hills and trees."""
    hue = rng.uniform(0.5, 0.65) if rng.random() < 0.75 else rng.uniform(0.0, 0.1)
    sky = hsv(hue, rng.uniform(0.15, 0.55), rng.uniform(0.6, 1.0))
    canvas.drawPaint(linear((0, 0), (0, 0.7 * height), [argb(sky), argb(lighter(sky, 0.65))]))
    for _ in range(int(rng.integers(0, 5))):
        x, y, r = rng.uniform(0, width), rng.uniform(0.05, 0.3) * height, rng.uniform(0.04, 0.09) * height
        for step in (-1.3, 0.0, 1.3):
            canvas.drawCircle(x + step * r, y + 0.2 * abs(step) * r, r, fill((1, 1, 1), 0.8))
    hue = rng.uniform(0.18, 0.42)
    horizon = rng.uniform(0.4, 0.65) * height
    for layer in range(3):
        colour = mix(hsv(hue, 0.5, 0.35 + 0.12 * layer), lighter(sky, 0.3), 0.5 - 0.22 * layer)
        base = horizon + 0.14 * layer * height
        hill = skia.Path()
        hill.moveTo(0, height)
        for x in np.linspace(0, width, 9):
            hill.lineTo(float(x), float(base + rng.uniform(-0.06, 0.06) * height))
        hill.lineTo(width, height)
        paint = fill(colour)
        paint.setPathEffect(skia.CornerPathEffect.Make(0.2 * width))
        canvas.drawPath(hill, paint)
        for _ in range(int(rng.integers(0, 5))):
            x, tall = rng.uniform(0, width), rng.uniform(0.15, 0.35) * height * (0.6 + 0.3 * layer)
            canvas.drawLine(x, base + 0.06 * height, x, base - 0.5 * tall, stroke((0.36, 0.25, 0.16), 0.06 * tall))
            leaf = darker(hsv(hue + rng.uniform(-0.04, 0.04), 0.55, 0.55), 0.1 * layer)
            if rng.random() < 0.5:
                canvas.drawCircle(x, base - 0.65 * tall, 0.33 * tall, fill(leaf))
            else:
                low = base - 0.2 * tall
                tree = polygon([(x - 0.28 * tall, low), (x, base - tall), (x + 0.28 * tall, low)])
                canvas.drawPath(tree, fill(leaf))
    return str(rng.choice(["a park", "green hills", "the countryside"]))


def city(rng: np.random.Generator, canvas: skia.Canvas, width: int, height: int) -> str:
    """Houses with lit windows against the sky, by day or at night."""
    night = rng.random() < 0.4
    sky = (0.10, 0.12, 0.26) if night else hsv(rng.uniform(0.53, 0.62), 0.3, 0.95)
    low = (0.45, 0.30, 0.38) if night else (0.97, 0.93, 0.86)
    canvas.drawPaint(linear((0, 0), (0, height), [argb(sky), argb(low)]))
    for layer in range(2):
        x = -0.05 * width
        while x < width:
            wide, tall = rng.uniform(0.08, 0.18) * width, rng.uniform(0.3, 0.85 - 0.25 * layer) * height
            wall = mix(hsv(rng.random(), 0.25, 0.3 if night else 0.65), sky, 0.45 - 0.3 * layer)
            canvas.drawRect(skia.Rect(x, height - tall, x + wide, height), fill(wall))
            pane = max(2.0, 0.03 * height)
            for wx in np.arange(x + pane, x + wide - pane, 2 * pane):
                for wy in np.arange(height - tall + pane, height, 2.2 * pane):
                    lit = (0.98, 0.85, 0.5) if rng.random() < (0.5 if night else 0.1) else darker(wall, 0.3)
                    x0, y0 = float(wx), float(wy)
                    canvas.drawRect(skia.Rect(x0, y0, x0 + pane, y0 + 1.2 * pane), fill(lit))
            x += wide * rng.uniform(1.0, 1.2)
    return str(rng.choice(["a city at night", "a street at night"]) if night else rng.choice(["a city", "a street"]))


PAINTERS: dict[str, Painter] = {
    "plain": plain, "gradient": gradient, "stripes": stripes, "noise": noise, "room": room, "outdoor": outdoor,
    "city": city,
}  # fmt: skip
"""Painters by name; "photo" is made by `photo` from a list of pictures."""


def photo(rng: np.random.Generator, canvas: skia.Canvas, width: int, height: int, pictures: tuple[Path, ...]) -> str:
    """A crop of a photograph, mirrored, recoloured and more or less out of focus."""
    photograph = load_picture(pictures[rng.integers(len(pictures))])
    tall, wide = photograph.shape[:2]
    scale = rng.uniform(0.45, 1.0) * min(wide / width, tall / height)
    crop_w, crop_h = scale * width, scale * height
    left, top = rng.uniform(0, wide - crop_w), rng.uniform(0, tall - crop_h)
    image = picture(photograph)
    paint = skia.Paint()
    blur = float(rng.choice([0.0, rng.uniform(0.002, 0.03)])) * height
    if blur > 0.5:
        paint.setImageFilter(skia.ImageFilters.Blur(blur, blur, skia.TileMode.kClamp))
    if rng.random() < 0.5:
        canvas.translate(width, 0)
        canvas.scale(-1, 1)
    source = skia.Rect(left, top, left + crop_w, top + crop_h)
    sampling = skia.SamplingOptions(skia.FilterMode.kLinear, skia.MipmapMode.kLinear)
    canvas.drawImageRect(image, source, skia.Rect(0, 0, width, height), sampling, paint)
    canvas.resetMatrix()
    canvas.drawColor(argb(_colour(rng), float(rng.uniform(0.0, 0.35))))
    return ""


def draw_background(
    rng: np.random.Generator, kind: str, width: int, height: int, pictures: tuple[Path, ...]
) -> tuple[skia.Image, str]:
    """Background for frames of this size, larger than they by `MARGIN` on every side, and words for it."""
    full_w, full_h = round(width * (1 + 2 * MARGIN)), round(height * (1 + 2 * MARGIN))
    pixels = np.zeros((full_h, full_w, 4), np.uint8)
    surface = raster(pixels, opaque=True)
    canvas = surface.getCanvas()
    if kind == "photo" and pictures:
        words = photo(rng, canvas, full_w, full_h, pictures)
    else:
        words = PAINTERS[kind if kind in PAINTERS else "gradient"](rng, canvas, full_w, full_h)
    return picture(pixels[..., 2::-1]), words
