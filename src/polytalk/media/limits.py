"""How small and how large pictures may be (`check_size`)."""

from __future__ import annotations

from polytalk.errors import PolytalkError

MIN_SIDE = 16
"""Pixels; nobody can be seen in less."""


MAX_PIXELS = 80_000_000
"""Refused beyond, from the header alone: 240 MB once decoded."""


def check_size(width: int, height: int, field: str = "image", name: str = "the picture") -> None:
    """Raise PolytalkError when a picture of `width` × `height` pixels is too small or too large to use."""
    if min(width, height) < MIN_SIDE:
        remedy = f"Use one of at least {MIN_SIDE} × {MIN_SIDE} pixels."
        raise PolytalkError(field, f"{name} has only {width} × {height} pixels", remedy)
    if width * height > MAX_PIXELS:
        problem = f"{name} has {width} × {height} pixels, {width * height / 1e6:.0f} megapixels"
        raise PolytalkError(field, problem, f"Scale it down to at most {MAX_PIXELS // 1_000_000} megapixels.")
