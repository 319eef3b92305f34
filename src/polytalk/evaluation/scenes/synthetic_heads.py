"""Drawn scenes to find people in, and where their heads truly are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.synthetic.picture_io import ENDINGS, bundled_folder
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import CELL, SyntheticClip

HIDDEN = 0.35
"""Heads of which a smaller share is to be seen need not be found, and may be."""
SOURCES = (*SceneConfig().sources, ("3-D person", 2.5), ("avatar", 1.8), ("portrait", 0.6))
"""Every source of characters, with its weight. The avatars need the extra `sources`."""
EMPTY_TRAINING = ("brick.png", "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png",
                  "retina.jpg")  # fmt: skip
"""Pictures of scikit-image that show neither people nor animals: behind the scenes of training."""
EMPTY_HELD_OUT = ("coffee.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg", "clock_motion.png")
"""The same, for measuring only."""


def scene_config(photos: Path, num_frames: int = 1) -> SceneConfig:
    """Scenes of one to four people of all sources, heads from an eighth to nearly all of the frame's height.

    Args:
        photos: folder of photographs that show nobody, to stand behind some of the scenes.
        num_frames: of a clip, 4n+1.
    """
    return SceneConfig(
        height=288,
        width=512,
        num_frames=num_frames,
        people=(1, 4),
        head_size=(0.13, 0.92),
        motion=0.8,
        sources=SOURCES,
        photo_folder=str(photos),
    )


@contextmanager
def empty_photos(names: Sequence[str], folders: Sequence[Path] = ()) -> Iterator[Path]:
    """A folder, for as long as the context lasts, with pictures of scikit-image and those of other folders.

    Raises:
        PolytalkError: scikit-image is not installed, or a folder is not there.
    """
    own = bundled_folder()
    with tempfile.TemporaryDirectory(prefix="polytalk_photos_") as name:
        for picture in names:
            (Path(name) / picture).symlink_to(own / picture)
        for number, folder in enumerate(folders):
            if not folder.is_dir():
                raise PolytalkError("photos", f"there is no folder {folder}", "Name a folder of photographs.")
            for path in folder.rglob("*"):
                if path.suffix.lower() in ENDINGS and path.is_file():
                    (Path(name) / f"{number}_{path.name}").symlink_to(path.resolve())
        yield Path(name)


def visible_heads(clip: SyntheticClip, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Everybody's head box within the frame, and the share of the head that is to be seen.

    Args:
        clip: a drawn clip.
        t: which of its frames.

    Returns:
        float32 (P, 4) left, top, right, bottom in pixels, and float32 (P,) in 0..1: the part of the box inside the
        frame, times the part of its middle in which nobody else stands in front.
    """
    height, width = clip.frames.shape[1:3]
    limits = np.array([width, height, width, height], np.float32)
    boxes, seen = np.clip(clip.face_boxes[t], 0, limits).astype(np.float32), []
    for person, (whole, box) in enumerate(zip(clip.face_boxes[t], boxes, strict=True)):
        inside = _area(box) / max(1e-6, _area(whole))
        middle, half = (box[:2] + box[2:]) / 2, 0.3 * (box[2:] - box[:2])
        left, top = np.floor((middle - half) / CELL).astype(int)
        right, bottom = np.ceil((middle + half) / CELL).astype(int)
        cells = clip.masks[t, person, top:bottom, left:right]
        seen.append(inside * float(cells.mean()) if cells.size else 0.0)
    return boxes, np.array(seen, np.float32)


def _area(box: np.ndarray) -> float:
    return float(np.prod(np.clip(box[2:] - box[:2], 0, None)))
