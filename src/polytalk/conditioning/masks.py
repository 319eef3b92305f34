"""Who is where: boxes to masks on the latent grid (paper, section 3.2: the reference masks of L-RoPE)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from polytalk.conditioning.given_masks import MaskedBox, given_masks
from polytalk.conditioning.picture import PictureFit
from polytalk.errors import PolytalkError
from polytalk.media.image import save_image
from polytalk.scene import Box, Scene
from polytalk.units import PATCH, SPATIAL_STRIDE, Size

MARGIN = 0.05
"""Share of a part's side that stays free at each edge when nobody has a box."""
_COLOURS = ((230, 80, 60), (60, 130, 230), (80, 190, 90), (230, 180, 50), (160, 90, 210), (70, 200, 200))


def default_boxes(width: int, height: int, people: int) -> tuple[Box, ...]:
    """Equal parts of a picture from left to right, each shrunk by 5% at each edge, rounded as in the release.

    Raises:
        PolytalkError: the picture is too narrow for so many people.
    """
    part = width // people
    top, bottom = int(height * MARGIN), int(height * (1 - MARGIN))
    edges = [(int(part * MARGIN + part * i), int(part * (1 - MARGIN) + part * i)) for i in range(people)]
    if part < 2 * PATCH or bottom <= top:
        problem = f"{people} people do not fit into a picture of {width} × {height} pixels"
        raise PolytalkError("speakers", problem, "Use a larger picture or fewer speakers.")
    return tuple(Box(left, top, right, bottom) for left, right in edges)


def scene_boxes(scene: Scene, width: int, height: int) -> tuple[Box, ...]:
    """Everybody's place in a picture of `width` × `height` pixels: a `MaskedBox` for whoever has a mask, else the
    scene's own boxes, or equal parts.

    Raises:
        PolytalkError: a box leaves the picture, a mask does not fit it, or somebody has a point only.
    """
    scene.check_boxes(width, height)
    if not any(speaker.has_place for speaker in scene.speakers):
        return default_boxes(width, height, len(scene.speakers))
    places: list[Box] = []
    for number, (speaker, mask) in enumerate(zip(scene.speakers, given_masks(scene, width, height), strict=True), 1):
        if mask is not None:
            places.append(MaskedBox.around(mask))
        elif speaker.box is not None:
            places.append(speaker.box)
        else:
            problem = f"speaker {number} has a point, which shows nobody by itself"
            raise PolytalkError(
                "point", problem, "Find the people first: polytalk.casting.people.find.with_places(scene)."
            )
    return tuple(places)


def person_masks(boxes: Sequence[Box], fit: PictureFit, stride: int = SPATIAL_STRIDE) -> torch.Tensor:
    """Boxes of the picture as masks on the latent grid, through the same scaling and cropping as the picture.

    Nearest neighbour, as in the release; of a `MaskedBox` only its mask counts. A box so small that it would fall
    between the tokens still gets the token at its centre, since somebody without a mask would have no voice.

    Args:
        boxes: in pixels of the picture.
        fit: how the picture was scaled and cropped.
        stride: pixels per latent.

    Returns:
        bool (people, height / stride, width / stride). Masks may overlap.

    Raises:
        PolytalkError: a box lies wholly in the part that is cropped away.
    """
    rows = _source_index(fit.source[0], fit.scaled[0], fit.crop_top, fit.target[0], stride)
    columns = _source_index(fit.source[1], fit.scaled[1], fit.crop_left, fit.target[1], stride)
    masks = torch.zeros(len(boxes), len(rows), len(columns), dtype=torch.bool)
    for mask, box in zip(masks, boxes, strict=True):
        inside_rows = (rows >= box.top) & (rows < box.bottom)
        inside_columns = (columns >= box.left) & (columns < box.right)
        mask |= inside_rows[:, None] & inside_columns[None, :]
        if isinstance(box, MaskedBox):
            mask &= torch.from_numpy(box.mask[np.ix_(rows.long().numpy(), columns.long().numpy())])
        # The network takes every second latent each way as a token's place.
        if not mask[::PATCH, ::PATCH].any():
            _mark_centre(mask, box, fit, stride)
    return masks


def save_masks(path: str | Path, pixels: np.ndarray, masks: torch.Tensor, *, force: bool = False) -> None:
    """Write the picture with everybody's mask in a colour of its own and the speaker's number, to see who is where.

    Args:
        path: a picture file, e.g. masks.png.
        pixels: the picture at the network's size, uint8 (height, width, 3).
        masks: bool (people, height / stride, width / stride).
        force: overwrite an existing file.

    Raises:
        PolytalkError: as `save_image`.
    """
    height, width = pixels.shape[:2]
    scale = max(1, round(720 / max(height, width)))
    large: Size = (height * scale, width * scale)
    canvas = np.asarray(Image.fromarray(pixels).resize(large[::-1])).astype(np.float32)
    places = []
    for person, mask in enumerate(masks):
        colour = np.asarray(_COLOURS[person % len(_COLOURS)], np.float32)
        area = np.asarray(Image.fromarray(mask.numpy()).resize(large[::-1], Image.Resampling.NEAREST))
        canvas[area] = 0.55 * canvas[area] + 0.45 * colour
        ys, xs = np.nonzero(area)
        places.append((xs.mean(), ys.mean()) if len(xs) else (0.0, 0.0))
    picture = Image.fromarray(canvas.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for person, place in enumerate(places):
        size = max(12, large[0] // 12)
        draw.text(place, str(person + 1), (255, 255, 255), None, "mm", stroke_width=2, stroke_fill=0, font_size=size)
    save_image(path, picture, force=force)


def _source_index(source: int, scaled: int, crop: int, target: int, stride: int) -> torch.Tensor:
    """For each latent along one axis the pixel of the picture it looks at: nearest, crop, nearest."""
    # float32 as the release's masks: PyTorch works out places in the values' own type, and rounds otherwise in another
    position = torch.arange(source, dtype=torch.float32)[None, None]
    cropped = F.interpolate(position, size=scaled, mode="nearest")[..., crop : crop + target]
    return F.interpolate(cropped, size=target // stride, mode="nearest")[0, 0]


def _mark_centre(mask: torch.Tensor, box: Box, fit: PictureFit, stride: int) -> None:
    left, top, right, bottom = fit.map_box(box)
    left, right = max(left, 0.0), min(right, float(fit.target[1]))
    top, bottom = max(top, 0.0), min(bottom, float(fit.target[0]))
    if right <= left or bottom <= top:
        remedy = "Crop the picture closer to the people first."
        raise PolytalkError("box", f"{box} lies in the part that is cropped away", remedy)
    row, column = (int((a + b) / 2) // (stride * PATCH) * PATCH for a, b in ((top, bottom), (left, right)))
    mask[row : row + PATCH, column : column + PATCH] = True
