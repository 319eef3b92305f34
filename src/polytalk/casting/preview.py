"""What was found in a picture, drawn over it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from polytalk.casting.found import FoundPerson
from polytalk.scene import Box

COLOURS = ((230, 80, 60), (60, 130, 230), (80, 190, 90), (230, 180, 50), (160, 90, 210), (70, 200, 200))
"""One for each person, from left to right, then from the first again."""
LONGEST = 1280
"""Pixels of the preview's longer side; smaller pictures keep their size."""
TINT = 0.35
"""Share of the colour in a mask."""


def draw_people(picture: Image.Image, people: Sequence[FoundPerson]) -> Image.Image:
    """The picture with everybody's mask tinted, head (thick) and body (thin) boxed, and named.

    Args:
        picture: as shown, of mode RGB.
        people: found in it.

    Returns:
        PIL image of mode RGB, at most `LONGEST` pixels a side.
    """
    scale = min(1.0, LONGEST / max(picture.size))
    size = round(picture.width * scale), round(picture.height * scale)
    canvas = np.asarray(picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)).astype(np.float32)
    for number, person in enumerate(people):
        if person.mask is not None:
            mask = np.asarray(Image.fromarray(person.mask).resize(size, Image.Resampling.NEAREST))
            canvas[mask] += TINT * (np.array(COLOURS[number % len(COLOURS)], np.float32) - canvas[mask])
    drawn = Image.fromarray(canvas.round().astype(np.uint8))
    draw = ImageDraw.Draw(drawn)
    thin = max(1, max(size) // 600)
    for number, person in enumerate(people):
        colour = COLOURS[number % len(COLOURS)]
        for box, width in ((person.body, thin), (person.face, thin), (person.head, 2 * thin)):
            draw.rectangle(_scaled(box, scale), outline=colour, width=width)
        if person.landmarks is not None:
            for x, y in person.landmarks[::4] * scale:
                draw.ellipse((x - thin / 2, y - thin / 2, x + thin / 2, y + thin / 2), fill=colour)
        _label(draw, f"{person.name}  {person.score:.2f} {person.finder}", _scaled(person.head, scale), size, colour)
    return drawn


def _scaled(box: Box, scale: float) -> tuple[float, float, float, float]:
    return box.left * scale, box.top * scale, box.right * scale - 1, box.bottom * scale - 1


def _label(
    draw: ImageDraw.ImageDraw,
    text: str,
    head: tuple[float, float, float, float],
    size: tuple[int, int],
    colour: tuple[int, int, int],
) -> None:
    """The name above the head, or inside its box where there is no room above."""
    letters = max(11, max(size) // 60)
    left, top = head[0], head[1] - 1.4 * letters if head[1] > 1.4 * letters else head[1] + 2
    right = draw.textbbox((left, top), text, font_size=letters)[2]
    left = max(0.0, left - max(0.0, right - size[0] + 2))
    draw.rectangle(draw.textbbox((left, top), text, font_size=letters), fill=colour)
    draw.text((left, top), text, (255, 255, 255), font_size=letters)
