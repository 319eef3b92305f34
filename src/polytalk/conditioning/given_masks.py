"""Masks that the user gives: pictures or arrays of a person's very shape."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from polytalk.errors import PolytalkError
from polytalk.scene import Box, Scene

DARK = 48
"""A pixel whose brightest channel lies below is background; smooth edges of shapes begin there."""
STEP = 64
"""Colours are told apart in steps of so many levels."""
LEAST_SHARE = 0.001
"""A colour that covers a smaller share of the picture is no person."""
SAME_ASPECT = 0.02
"""Width over height of mask and picture may differ by this share."""


@dataclass(frozen=True)
class MaskedBox(Box):
    """A box of which a part counts only: a person's very shape."""

    mask: np.ndarray = field(repr=False, compare=False, kw_only=True)
    """bool (height, width) of the picture; all of it lies inside the box."""

    @classmethod
    def around(cls, mask: np.ndarray) -> MaskedBox:
        """The smallest box that holds a mask, which is not empty."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        return cls(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1, mask=mask)


def given_masks(scene: Scene, width: int, height: int) -> tuple[np.ndarray | None, ...]:
    """Everybody's mask as given, bool (height, width) of the picture, or None.

    A file that several speakers name holds a colour for each, from left to right.

    Args:
        scene: whose speakers may have masks.
        width: of the picture as shown, pixels.
        height: of it, pixels.

    Raises:
        PolytalkError: a file is no picture, has other proportions, or another number of colours.
    """
    masks: list[np.ndarray | None] = [None] * len(scene.speakers)
    sharing: dict[Path, list[int]] = {}
    for place, speaker in enumerate(scene.speakers):
        if isinstance(speaker.mask, Path):
            sharing.setdefault(speaker.mask, []).append(place)
        elif speaker.mask is not None:
            masks[place] = _fitted(np.asarray(speaker.mask, bool), width, height, f"speaker {place + 1}'s array")
    for path, places in sharing.items():
        shapes = read_masks(path, len(places))
        for place, shape in zip(places, shapes, strict=True):
            masks[place] = _fitted(shape, width, height, str(path))
    return tuple(masks)


def read_masks(path: Path, people: int) -> list[np.ndarray]:
    """The masks in a picture file, bool (height, width) each.

    Args:
        path: white or coloured shapes on black, or on nothing.
        people: 1: all that is not black is one person; else a colour for each, returned from left to right.

    Raises:
        PolytalkError: the file is no picture, or has another number of colours.
    """
    pixels = _read(path)
    present = pixels.max(axis=2) >= DARK
    if not present.any():
        raise PolytalkError("mask", f"{path} shows nobody", "Paint the person white, or in a colour, on black.")
    if people == 1:
        return [present]
    shades = (pixels.astype(int) + STEP // 2) // STEP
    codes = np.where(present, shades @ np.array([64, 8, 1]), -1)
    # Along edges colours blend into new ones: only where the neighbours are alike is it a person's own.
    plain = present.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            plain &= codes == np.roll(codes, step, axis)
    values, counts = np.unique(codes[plain], return_counts=True)
    colours = values[counts >= LEAST_SHARE * codes.size]
    if len(colours) != people:
        problem = f"{path} has {len(colours)} colours for {people} speakers"
        raise PolytalkError("mask", problem, "Paint each in a plain colour of their own, or give each a file.")
    own = np.stack([pixels[plain & (codes == colour)].mean(axis=0) for colour in colours])
    distance = np.stack([np.square(pixels - colour).sum(axis=2) for colour in own])
    shapes = [present & (distance.argmin(axis=0) == place) for place in range(people)]
    return sorted(shapes, key=lambda shape: float(np.nonzero(shape)[1].mean()))


def _read(path: Path) -> np.ndarray:
    """uint8 (height, width, 3); what is transparent is black."""
    try:
        with Image.open(path) as picture:
            shapes = picture.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", shapes.size, (0, 0, 0, 255)), shapes))[..., :3]
    except FileNotFoundError:
        raise PolytalkError("mask", f"there is no file {path}", "Name a picture file.") from None
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
        raise PolytalkError("mask", f"{path} cannot be read as a picture ({error})", "Use a PNG file.") from None


def _fitted(mask: np.ndarray, width: int, height: int, name: str) -> np.ndarray:
    """The mask at the picture's size, nearest neighbour."""
    if mask.shape == (height, width):
        return mask
    own = mask.shape[1] / mask.shape[0]
    if abs(own * height / width - 1) > SAME_ASPECT:
        problem = f"{name} is {mask.shape[1]} × {mask.shape[0]}, the picture {width} × {height}"
        raise PolytalkError("mask", problem, "Give a mask of the picture's proportions.")
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
