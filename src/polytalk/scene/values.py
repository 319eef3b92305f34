"""Checks of single values that the parts of a scene share: seconds, names, sounds, pictures, points and masks."""

from __future__ import annotations

import math
import unicodedata
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from polytalk.errors import PolytalkError

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1_000, 768_000
"""Hz."""
MAX_NAME = 100
"""Characters in a name."""
_JOINERS = "\u200c\u200d"
"""Invisible, yet part of names and words in some scripts, and of emoji."""


def same(left: Any, right: Any) -> bool:
    """Equality that compares arrays by their contents."""
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return type(left) is type(right) and left.dtype == right.dtype and np.array_equal(left, right)
    return bool(left == right)


def checked_seconds(value: Any, field: str, lowest: float = 0.0, highest: float = math.inf) -> float:
    """A finite number of seconds within a range, as float.

    Raises:
        PolytalkError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise PolytalkError(field, f"it is {value!r}", "Give seconds.")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds) or seconds < lowest:
        below = f", {lowest:g} or more" if math.isfinite(lowest) else ""
        raise PolytalkError(field, f"it is {seconds!r}", f"Give seconds{below}.")
    if seconds > highest:
        raise PolytalkError(field, f"it is {seconds!r}", f"Give at most {highest:g} seconds.")
    return seconds + 0.0  # −0 is 0


def checked_text(value: Any, field: str) -> str:
    """Text on one line: white space of any kind becomes single spaces.

    Raises:
        PolytalkError: no text, or characters that no file can hold.
    """
    if not isinstance(value, str):
        raise PolytalkError(field, f"it is a {type(value).__name__}", "Give text.")
    text = " ".join(value.split())
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") or character == "\ufeff":
            problem = f"it holds the control character U+{ord(character):04X}"
            raise PolytalkError(field, problem, "Give printable text.")
    return text


def checked_name(value: Any, field: str) -> str:
    """A person's name: visible characters and single spaces.

    Raises:
        PolytalkError: it is not.
    """
    name = checked_text(value, field)
    if not any(character.isprintable() and not character.isspace() for character in name):
        raise PolytalkError(field, "it is empty", "Give a name, or none at all.")
    if len(name) > MAX_NAME:
        raise PolytalkError(field, f"it has {len(name)} characters", f"Use at most {MAX_NAME}.")
    hidden = [c for c in name if not c.isprintable() and c not in _JOINERS]
    if hidden:
        problem = f"it holds the invisible character U+{ord(hidden[0]):04X}"
        raise PolytalkError(field, problem, "Use visible characters.")
    return name


def checked_audio(audio: Any, field: str) -> Path | np.ndarray | None:
    """A file's path, samples, or None.

    Raises:
        PolytalkError: the path is empty.
    """
    if isinstance(audio, str | Path):
        if not str(audio).strip():
            raise PolytalkError(field, "the file name is empty", "Name a sound file.")
        return Path(audio)
    return None if audio is None else np.asarray(audio)


def checked_sample_rate(rate: Any, audio: Any, field: str) -> int | None:
    """Hz of samples; None for a file, which knows its own.

    Raises:
        PolytalkError: missing, out of range, or not wanted.
    """
    if not isinstance(audio, np.ndarray):
        if rate is not None:
            raise PolytalkError(field, "a file has its own sample rate", "Leave it out, or pass samples.")
        return None
    if rate is None:
        raise PolytalkError(field, "samples come without a sample rate", "Pass sample_rate in Hz.")
    if int(rate) != rate or not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
        remedy = f"Use a whole number of Hz from {MIN_SAMPLE_RATE:,} to {MAX_SAMPLE_RATE:,}."
        raise PolytalkError(field, f"it is {rate!r}", remedy)
    return int(rate)


def checked_image(image: Any, field: str = "image") -> Any:
    """A picture's path, or the array or PIL image as it is.

    Raises:
        PolytalkError: the path is empty.
    """
    if isinstance(image, str | Path):
        if not str(image).strip():
            raise PolytalkError(field, "the file name is empty", "Name a picture file.")
        return Path(image)
    return image


def checked_point(point: Any, field: str) -> tuple[float, float] | None:
    """x and y of a pixel, as floats, or None.

    Raises:
        PolytalkError: not two numbers, or before the picture's first pixel.
    """
    if point is None:
        return None
    remedy = "Give x and y in pixels of the picture as shown."
    try:
        x, y = (float(value) for value in point)
    except (TypeError, ValueError, OverflowError):
        raise PolytalkError(field, f"it is {point!r}", remedy) from None
    if not (math.isfinite(x) and math.isfinite(y) and x >= 0 and y >= 0):
        raise PolytalkError(field, f"it is {x:g},{y:g}", remedy)
    return x + 0.0, y + 0.0  # −0 is 0


def checked_mask(mask: Any, field: str) -> Path | np.ndarray | None:
    """A picture file's path, an array (height, width), or None.

    Raises:
        PolytalkError: the path is empty, or the array is no mask or shows nobody.
    """
    if mask is None:
        return None
    if isinstance(mask, str | Path):
        if not str(mask).strip():
            raise PolytalkError(field, "the file name is empty", "Name a picture file.")
        return Path(mask)
    array = np.asarray(mask)
    remedy = "Give an array (height, width) of the picture's size: True, or above 0, where the person is."
    if array.ndim != 2 or array.dtype.kind not in "buif":
        raise PolytalkError(field, f"it has shape {array.shape} and values {array.dtype}", remedy)
    if not (array > 0).any():
        raise PolytalkError(field, "it shows nobody", remedy)
    return array > 0
