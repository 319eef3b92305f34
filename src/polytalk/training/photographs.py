"""Photographs as short clips with a slow camera move: texture that drawn scenes do not have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.synthetic.picture_io import ENDINGS, bundled_folder

BUNDLED = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "color.png", "brick.png",
           "grass.png", "gravel.png", "camera.png", "coins.png", "retina.jpg", "ihc.png", "hubble_deep_field.jpg",
           "logo.png", "page.png", "text.png", "clock_motion.png", "moon.png")  # fmt: skip


class Photographs:
    """Pictures of scikit-image's wheel and of the given folders, cropped, scaled, mirrored, coloured and moved."""

    def __init__(self, folders: Sequence[str] = ()) -> None:
        bundled = bundled_folder()
        files = [bundled / name for name in BUNDLED if (bundled / name).exists()]
        for folder in folders:
            if not Path(folder).is_dir():
                raise PolytalkError("photographs", f"{folder} is no folder", "name folders of pictures")
            files += sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in ENDINGS)
        self.pictures = [Image.open(file).convert("RGB") for file in files]

    def clip(self, rng: np.random.Generator, frames: int, size: int) -> np.ndarray:
        """A clip (T, size, size, 3) uint8: a window that drifts and zooms over one picture."""
        picture = self.pictures[rng.integers(len(self.pictures))]
        short = min(picture.size)
        side = short * np.exp(rng.uniform(np.log(min(1.0, size * 0.6 / short)), 0))
        zoom = rng.uniform(0.97, 1.03)
        drift = rng.normal(0, 0.04, 2) * side * (rng.random() < 0.7)
        room = np.maximum(np.array(picture.size) - side * 1.05, 0)
        start = rng.uniform(0, 1, 2) * room
        gain, offset = rng.uniform(0.7, 1.15, 3) ** (rng.random() < 0.5), rng.uniform(-15, 15)
        mirror = rng.random() < 0.5
        out = np.empty((frames, size, size, 3), np.uint8)
        for t in range(frames):
            share = t / max(1, frames - 1)
            width = side * zoom**share
            left, top = np.clip(start + drift * share, 0, np.maximum(np.array(picture.size) - width, 0))
            box = (left, top, min(left + width, picture.width), min(top + width, picture.height))
            filter_ = Image.Resampling.BICUBIC if width < 2 * size else Image.Resampling.BOX
            frame = np.asarray(picture.resize((size, size), filter_, box=box), np.float32) * gain + offset
            out[t] = np.clip(frame, 0, 255).astype(np.uint8)
        return out[:, :, ::-1] if mirror else out
