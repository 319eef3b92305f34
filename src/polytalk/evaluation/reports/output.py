"""How reports say what they found: numbers for JSON, cells of tables, curves in pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from polytalk.errors import PolytalkError


def plain(value: Any) -> Any:
    """What JSON can hold: numbers of four digits after the point, None where nothing was measured (NaN), lists."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def cell(value: float, form: str = ".3f") -> str:
    """A figure in a table, "-" where nothing was measured."""
    return f"{value:{form}}" if math.isfinite(value) else "-"


def new_plot(width: float, height: float = 3.4) -> Any:
    """An empty figure of matplotlib, inches.

    Raises:
        PolytalkError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise PolytalkError("matplotlib", "is not installed", 'Run pip install "polytalk[train]".') from None
    return Figure(figsize=(width, height), layout="constrained")


def save_plot(figure: Any, path: str | Path) -> None:
    """Write a figure of matplotlib as a picture.

    Raises:
        PolytalkError: the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=90)
    except (OSError, ValueError) as error:
        remedy = "Name a .png in a folder of yours."
        raise PolytalkError(str(path), f"cannot be written ({error})", remedy) from None
