"""Picture files and arrays to 8-bit RGB, upright."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from polytalk.errors import PolytalkError
from polytalk.media.limits import MAX_PIXELS, check_size
from polytalk.media.output import replace_when_done
from polytalk.media.source_video import first_picture, open_frames, shows_video

BACKDROP = (128, 128, 128)
"""Shows through transparent parts: mid grey, which is also what the network sees where nothing is known."""


def load_image(source: str | Path | np.ndarray | Image.Image, field: str = "image") -> Image.Image:
    """Decode a picture to RGB as it is meant to be seen; of a video its first frame.

    EXIF rotation is applied, transparency laid over mid grey, 16 bits and floating point brought to 8, palettes,
    CMYK and grey levels to RGB. Of several frames the first counts.

    Args:
        source: a file Pillow reads; an array (height, width), (height, width, 1, 3 or 4), uint8, uint16 or
            floating point in 0..1; or a PIL image.
        field: what to call it in errors.

    Returns:
        PIL image of mode RGB.

    Raises:
        PolytalkError: missing, no picture, damaged, smaller than 16 × 16 or larger than 80 megapixels.
    """
    if isinstance(source, Image.Image):
        return _to_rgb(source, field, "the picture")
    if shows_video(source):
        return first_picture(open_frames(source, field))
    if isinstance(source, str | Path):
        return _read(Path(source), field)
    return _from_array(np.asarray(source), field)


def _read(path: Path, field: str) -> Image.Image:
    if not path.exists():
        raise PolytalkError(field, f"there is no file {path}", "Name a picture file.")
    if not path.is_file():
        raise PolytalkError(field, f"{path} is not a file", "Name a picture file.")
    try:
        with warnings.catch_warnings():
            # Pillow warns at its own limit; ours is smaller and an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path)
        with picture:
            return _to_rgb(picture, field, str(path))
    except PolytalkError:
        raise
    except Image.DecompressionBombError:
        remedy = f"Scale it down to at most {MAX_PIXELS // 1_000_000} megapixels."
        raise PolytalkError(field, f"{path} has far too many pixels", remedy) from None
    except UnidentifiedImageError:
        raise PolytalkError(field, f"{path} is not a picture", "Use PNG, JPEG, WebP or another format.") from None
    except PermissionError:
        raise PolytalkError(field, f"{path} must not be read", "Change its permissions.") from None
    # Pillow's decoders raise whatever a damaged file makes them run into.
    except Exception as error:
        raise PolytalkError(field, f"{path} is damaged ({error})", "Save it anew.") from None


def _to_rgb(picture: Image.Image, field: str, name: str) -> Image.Image:
    check_size(picture.width, picture.height, field, name)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        return Image.fromarray(_to_8_bit(np.asarray(picture))).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        backdrop = Image.new("RGBA", picture.size, (*BACKDROP, 255))
        picture = Image.alpha_composite(backdrop, picture)
    return picture.convert("RGB")


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    """Wider samples to uint8: integers hold 16 bits (Pillow's modes I and I;16), floats 0..1 or 0..255."""
    if values.dtype == np.uint8:
        return values
    if np.issubdtype(values.dtype, np.integer):
        return np.rint(np.clip(values, 0, 65535) / 257).astype(np.uint8)
    values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=255.0, neginf=0.0)
    top = 1.0 if values.max(initial=0.0) <= 1.0 else 255.0
    return np.rint(np.clip(values / top, 0, 1) * 255).astype(np.uint8)


def _from_array(array: np.ndarray, field: str) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4):
        problem = f"an array of shape {array.shape} is no picture"
        raise PolytalkError(field, problem, "Use (height, width), or (height, width, channels) with 1, 3 or 4.")
    if array.dtype not in (np.uint8, np.uint16) and not np.issubdtype(array.dtype, np.floating):
        raise PolytalkError(field, f"its values are {array.dtype}", "Use uint8, uint16, or floats in 0..1.")
    if np.issubdtype(array.dtype, np.floating) and not (array.size and np.isfinite(array).all()):
        raise PolytalkError(field, "it is empty or holds values that are not numbers", "Use floats in 0..1.")
    if np.issubdtype(array.dtype, np.floating) and not (array.min() >= 0 and array.max() <= 1):
        problem = f"its values run from {array.min():.3g} to {array.max():.3g}"
        raise PolytalkError(field, problem, "Use floats in 0..1, or uint8.")
    check_size(array.shape[1], array.shape[0], field)
    array = _to_8_bit(array)
    pixels = array[..., 0] if channels == 1 and array.ndim == 3 else array
    return _to_rgb(Image.fromarray(np.ascontiguousarray(pixels)), field, "the picture")


def save_image(path: str | Path, picture: Any, *, force: bool = False) -> None:
    """Write a picture; the format follows the file name. Nothing is left behind when that fails.

    Args:
        path: where to; missing folders are an error.
        picture: uint8 array (height, width, 3) or a PIL image.
        force: overwrite an existing file.

    Raises:
        PolytalkError: the file exists and `force` is off, the format is unknown, or it cannot be written.
    """
    path = Path(path)
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.asarray(picture))
    if path.suffix.lower() not in Image.registered_extensions():
        raise PolytalkError(str(path), "the ending names no picture format", "Use .png.")
    with replace_when_done(path, force=force) as temporary:
        image.save(temporary)
