"""Colours of drawn characters, mixed, shaded and lit."""

from __future__ import annotations

import colorsys

Colour = tuple[float, float, float]
"""Red, green, blue in 0..1."""


def argb(colour: Colour, alpha: float = 1.0) -> int:
    """Skia's packed colour."""
    red, green, blue = (min(255, max(0, round(255 * part))) for part in colour)
    return (round(255 * min(1.0, max(0.0, alpha))) << 24) | (red << 16) | (green << 8) | blue


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Colour from hue (turns), saturation and value, the last two clipped to 0..1."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(1.0, max(0.0, saturation)), min(1.0, max(0.0, value)))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0..1) of `second` in it."""
    keep = 1.0 - share
    red, green, blue = (keep * one + share * other for one, other in zip(first, second, strict=True))
    return red, green, blue


def darker(colour: Colour, amount: float) -> Colour:
    """Shade of a colour, slightly bluer and richer as shadows are."""
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    return hsv(hue, saturation + 0.35 * amount * saturation, value * (1 - amount))


def lighter(colour: Colour, amount: float) -> Colour:
    """Highlight of a colour."""
    return mix(colour, (1.0, 0.98, 0.93), amount)


def brightness(colour: Colour) -> float:
    """Luma (ITU-R BT.601), 0..1."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
