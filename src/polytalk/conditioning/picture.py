"""The picture at the network's size: which size, how it is scaled and cropped, and where boxes end up.

Scaling and cropping agree with the released preprocessing to the last bit.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.scene import Box
from polytalk.units import PIXEL_STEP, Size

# The released size classes, about 627² and 960² pixels: the key that a picture's height / width is compared with is
# rounded in the release, so it is kept beside each size.
SIZES_480: dict[float, Size] = {
    0.26: (320, 1216), 0.38: (384, 1024), 0.50: (448, 896), 0.67: (512, 768), 0.82: (576, 704), 1.00: (640, 640),
    1.22: (704, 576), 1.50: (768, 512), 1.86: (832, 448), 2.00: (896, 448), 2.50: (960, 384), 2.83: (1088, 384),
    3.60: (1152, 320), 3.80: (1216, 320), 4.00: (1280, 320),
}  # fmt: skip
SIZES_720: dict[float, Size] = {
    0.22: (448, 2048), 0.29: (512, 1792), 0.36: (576, 1600), 0.45: (640, 1408), 0.55: (704, 1280), 0.63: (768, 1216),
    0.76: (832, 1088), 0.88: (896, 1024), 1.00: (960, 960), 1.14: (1024, 896), 1.31: (1088, 832), 1.50: (1152, 768),
    1.58: (1216, 768), 1.82: (1280, 704), 1.91: (1344, 704), 2.20: (1408, 640), 2.30: (1472, 640), 2.67: (1536, 576),
    2.89: (1664, 576), 3.62: (1856, 512), 3.75: (1920, 512),
}  # fmt: skip
_MINI = ((96, 384), (112, 336), (128, 288), (144, 256), (160, 240), (176, 208), (192, 192))
# Sides are multiples of 16, areas lie between 36,608 and 38,400 pixels, so that every clip costs about the same.
SIZES_MINI: dict[float, Size] = {
    height / width: (height, width) for height, width in (*_MINI, *((w, h) for h, w in reversed(_MINI[:-1])))
}
SIZE_CLASSES = {"480p": SIZES_480, "720p": SIZES_720, "mini": SIZES_MINI}
CUT_WARNING = 0.02
"""Share of a box that the crop may take before a warning."""


def check_sides(size: Size) -> Size:
    """A (height, width) that networks can take.

    Raises:
        PolytalkError: a side is no multiple of 16.
    """
    height, width = size
    if any(side < PIXEL_STEP or side % PIXEL_STEP for side in size):
        near = " × ".join(str(max(PIXEL_STEP, round(side / PIXEL_STEP) * PIXEL_STEP)) for side in (width, height))
        problem = f"{width} × {height} has a side that is no multiple of {PIXEL_STEP}"
        raise PolytalkError("size", problem, f"Both sides must be multiples of {PIXEL_STEP}, e.g. {near}.")
    return height, width


def choose_size(width: int, height: int, size_class: str = "mini") -> Size:
    """The (height, width) of a size class whose aspect is nearest to a picture of `width` × `height` pixels.

    Args:
        size_class: "480p", "720p" (those of the release, compared as it does) or "mini".

    Raises:
        PolytalkError: unknown size class.
    """
    if size_class not in SIZE_CLASSES:
        raise PolytalkError("size", f"{size_class!r} is unknown", f"Use one of {', '.join(SIZE_CLASSES)}.")
    aspect, sizes = height / width, SIZE_CLASSES[size_class]
    if size_class == "mini":
        # By ratio, so that tall and wide pictures are treated alike.
        # A tie goes to the squarer one, whatever the last digit of a logarithm says.
        return min(sizes.values(), key=lambda size: (round(abs(math.log(size[0] / size[1] / aspect)), 9), max(size)))
    return sizes[min(sizes, key=lambda ratio: abs(ratio - aspect))]


def scaled_size(width: int, height: int, shorter: int, step: int = 16) -> Size:
    """The (height, width) nearest to the aspect of a picture of `width` × `height` pixels with a given shorter side.

    Args:
        shorter: pixels, a multiple of `step`.
        step: both sides are multiples of it.
    """
    longer = max(shorter, round(shorter * max(width, height) / min(width, height) / step) * step)
    return (shorter, longer) if width >= height else (longer, shorter)


@dataclass(frozen=True)
class PictureFit:
    """How a picture is scaled to cover a size and cropped about its centre."""

    source: Size
    """(height, width) of the picture."""
    scaled: Size
    """(height, width) after scaling."""
    target: Size
    """(height, width) after cropping."""
    crop_top: int
    """Rows of the scaled picture above the crop."""
    crop_left: int
    """Columns of the scaled picture to the left of the crop."""

    @classmethod
    def plan(cls, width: int, height: int, target: Size) -> PictureFit:
        """The fit of a picture of `width` × `height` pixels to `target`, (height, width)."""
        scale = max(target[0] / height, target[1] / width)
        scaled = (math.ceil(scale * height), math.ceil(scale * width))
        top, left = (round((have - want) / 2) for have, want in zip(scaled, target, strict=True))
        return cls((height, width), scaled, target, top, left)

    def map_box(self, box: Box) -> tuple[float, float, float, float]:
        """A box of the picture as (left, top, right, bottom) in pixels of the result; may lie beyond its edges."""
        across, down = self.scaled[1] / self.source[1], self.scaled[0] / self.source[0]
        left, right = (x * across - self.crop_left for x in (box.left, box.right))
        top, bottom = (y * down - self.crop_top for y in (box.top, box.bottom))
        return left, top, right, bottom

    def cut_share(self, box: Box) -> float:
        """The share of a box's area that the crop takes away, 0 to 1."""
        left, top, right, bottom = self.map_box(box)
        inside_x = max(0.0, min(right, self.target[1]) - max(left, 0.0))
        inside_y = max(0.0, min(bottom, self.target[0]) - max(top, 0.0))
        return 1 - inside_x * inside_y / ((right - left) * (bottom - top))


def fit_picture(picture: Image.Image, target: Size) -> tuple[np.ndarray, PictureFit]:
    """Scale and crop an RGB picture to `target`, (height, width), exactly as the release does.

    Returns:
        uint8 (height, width, 3), and how it was made.
    """
    fit = PictureFit.plan(picture.width, picture.height, target)
    scaled = picture.resize((fit.scaled[1], fit.scaled[0]), Image.Resampling.BILINEAR)
    right, bottom = fit.crop_left + target[1], fit.crop_top + target[0]
    return np.asarray(scaled.crop((fit.crop_left, fit.crop_top, right, bottom))), fit


def warn_of_cut_boxes(boxes: Sequence[Box], fit: PictureFit) -> None:
    """Warn (UserWarning) of every person whose box the crop would cut.

    Raises:
        PolytalkError: nothing of a box is left.
    """
    for number, box in enumerate(boxes, start=1):
        share = fit.cut_share(box)
        height, width = fit.target
        if share >= 1:
            problem = f"{box} of speaker {number} lies in the part that is cropped away at {width} × {height}"
            raise PolytalkError("box", problem, "Crop the picture closer to the people first.")
        if share > CUT_WARNING:
            message = (
                f"{share:.0%} of speaker {number}'s box {box} is cropped away at {width} × {height}; "
                "crop the picture closer to the people to keep it"
            )
            warnings.warn(message, UserWarning, stacklevel=2)
