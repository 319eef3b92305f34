"""Photographs to put behind drawn people: the ones that scikit-image's wheel carries, or a folder of one's own."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from polytalk.errors import PolytalkError

BUNDLED = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
"""Names of the pictures that lie inside scikit-image's wheel (nothing is downloaded)."""
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
"""Of files that are taken for pictures where a folder is searched for them."""
LONGEST = 640
"""Pictures are kept with at most so many pixels a side."""


def bundled_folder() -> Path:
    """Where scikit-image keeps its pictures.

    Raises:
        PolytalkError: it is not installed.
    """
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise PolytalkError("photos", "scikit-image is not installed", 'Install it with pip install "polytalk[train]".')
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def bundled_pictures() -> tuple[Path, ...]:
    """Paths of the bundled pictures that are there, in a fixed order; empty without scikit-image."""
    try:
        folder = bundled_folder()
    except PolytalkError:
        return ()
    return tuple(folder / name for name in BUNDLED if (folder / name).is_file())


def folder_pictures(folder: str) -> tuple[Path, ...]:
    """Pictures in a folder, sorted by name.

    Raises:
        PolytalkError: the folder holds no picture.
    """
    found = tuple(sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in ENDINGS))
    if not found:
        raise PolytalkError("photo_folder", f"no pictures in {folder}", "Give a folder with .png, .jpg or .webp files.")
    return found


@lru_cache(maxsize=64)
def load_picture(path: Path) -> np.ndarray:
    """A picture as uint8 (height, width, 3), not above `LONGEST` pixels a side; read-only, since it is shared."""
    with Image.open(path) as picture:
        converted = picture.convert("RGB")
        converted.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        array = np.asarray(converted).copy()
    array.setflags(write=False)
    return array
