"""People cut out of a picture along their outlines, so that they can be put elsewhere in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree

from polytalk.postprocess.face import Head

FACE, HAIR = (0.26, 0.38), (0.62, 0.72)
"""Half-axes of what is a head for sure and of what may be, in heights of its box, as all that follows."""
NECK, CHEST, SHOULDERS = 0.14, 0.34, 0.95
"""Half-widths: of the neck and the chest for sure, and of what may be shoulders."""
CHIN, COLLAR = 0.40, 0.72
"""How far below a head's middle the neck and the chest begin."""
WORKING_HEIGHT = 160
"""Pixels of a picture's height at which outlines are found."""
COLOUR = 4.0
"""What the whole range of a colour counts against a head's height of distance."""
NEIGHBOURS = 6
"""Pixels known to be somebody, or not, that each pixel is compared with."""
_SOFTNESS = 0.06
"""Difference of the distances at which a pixel is mostly the one or the other."""
_SAMPLE = 4000
"""Pixels of each kind that are compared with, at most."""


def cut_out(picture: np.ndarray, heads: Sequence[Head]) -> np.ndarray:
    """How much of each pixel shows each person, float32 (P, H, W), 0..1.

    Pixels that are somebody's face, neck or chest for sure, and those far from them, decide by the likeness of their
    colours and their distance about those in between (as in KNN matting, Chen et al. 2013).

    Args:
        picture: uint8 (H, W, 3).
        heads: of all people in it.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, WORKING_HEIGHT / height)
    size = max(8, round(width * scale)), max(8, round(height * scale))
    small = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX), np.float32) / 255
    across, down = (np.arange(count) + 0.5 for count in size)
    cores, reaches, offsets = [], [], []
    for head in heads:
        x = (across[None] * width / size[0] - head.x) / head.height
        y = (down[:, None] * height / size[1] - head.y) / head.height
        core = np.hypot(x / FACE[0], y / FACE[1]) < 1
        core |= (np.abs(x) < NECK) & (y > 0) & (y < COLLAR) | (np.abs(x) < CHEST) & (y >= COLLAR)
        reach = np.hypot(x / HAIR[0], y / HAIR[1]) < 1
        cores.append(core)
        reaches.append(reach | (np.abs(x) < SHOULDERS) & (y > CHIN) | core)
        offsets.append(np.stack(np.broadcast_arrays(x, y), axis=-1).astype(np.float32))
    found = []
    for person, (core, reach, offset) in enumerate(zip(cores, reaches, offsets, strict=True)):
        others = [other for number, other in enumerate(cores) if number != person]
        elsewhere = ~reach | np.any([*others, np.zeros_like(core)], axis=0)
        share = _share(small, offset, core, elsewhere & ~core)
        fade = np.clip(ndimage.distance_transform_edt(reach) / 3, 0, 1)
        share = ndimage.gaussian_filter(ndimage.median_filter(share, 3), 0.6) * fade
        large = Image.fromarray(share.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        found.append(np.asarray(large, np.float32).clip(0, 1))
    return np.stack(found)


def _share(pixels: np.ndarray, offset: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """(H, W) 0..1: 1 inside, 0 outside, between them by colours (H, W, 3) and places (H, W, 2)."""
    share = inside.astype(np.float64)
    open_ = ~inside & ~outside
    if not (inside.any() and outside.any() and open_.any()):
        return share
    features = np.concatenate([COLOUR * pixels, offset], axis=-1)
    far = [cKDTree(_some(features[known])).query(features[open_], NEIGHBOURS)[0].mean(axis=1)
           for known in (inside, outside)]  # fmt: skip
    share[open_] = 1 / (1 + np.exp(np.clip((far[0] - far[1]) / _SOFTNESS, -30, 30)))
    return share


def _some(rows: np.ndarray) -> np.ndarray:
    """Not more than `_SAMPLE` rows, evenly."""
    return rows[:: -(-len(rows) // _SAMPLE)]
