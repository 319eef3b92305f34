"""Heads and figures in drawings, found by a small network of our own (`drawn_network`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image

from polytalk.casting.people.drawn_network import FINE, MULTIPLE, STRIDE, UNIT, DrawnFaceMaps, DrawnFaceNetwork
from polytalk.casting.people.geometry import Rect, overlap, overlap_of_smaller

LONGEST = (256, 512)
"""The picture is looked at with so many pixels on its longer side."""
LEAST_SCORE = 0.5
"""Finds below are dropped."""
LEAST_SIDE = 10.0
"""Pixels of a head as the network sees it; smaller ones are left to the closer look."""
MOST_SIDE = 190.0
"""The same at the other end, for the closer look."""
SAME = 0.45
"""Heads that overlap by more (intersection over union) are the same."""
INSIDE = 0.8
"""A head of which so much lies in a surer one is a part of it."""


@dataclass(frozen=True)
class DrawnHead:
    """One head."""

    box: Rect
    """left, top, right, bottom in pixels of the picture: with hair, ears and chin, inside the picture."""
    score: float
    """0..1."""


@dataclass(frozen=True, eq=False)
class Figures:
    """People and animals on a grid over the whole picture, rows × columns."""

    probability: np.ndarray
    """float32 (rows, columns), 0..1: somebody is here."""
    centre: np.ndarray
    """float32 (rows, columns, 2), x and y in pixels of the picture: the centre of that one's head."""


def find_drawn(picture: np.ndarray, least: float = LEAST_SCORE) -> tuple[list[DrawnHead], Figures]:
    """Heads in a picture, surest first, and the figures they belong to.

    Args:
        picture: uint8 (height, width, 3).
        least: finds of a smaller score are dropped, 0..1.
    """
    image = Image.fromarray(picture)
    heads: list[DrawnHead] = []
    figures: list[Figures] = []
    for longest in LONGEST:
        if longest > LONGEST[0] and longest > 1.5 * max(image.size):
            continue
        seen, scale, size = _look(image, longest)
        heads += _heads(seen, scale, size, image.size, least, closer=bool(figures))
        figures.append(_figures(seen, scale, size))
    return _merged(heads), figures[0]


def _look(image: Image.Image, longest: int) -> tuple[DrawnFaceMaps, tuple[float, float], tuple[int, int]]:
    """What the network sees, its pixels per pixel of the picture across and down, and its (width, height) in use."""
    factor = longest / max(image.size)
    size = max(8, round(image.width * factor)), max(8, round(image.height * factor))
    small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    width, height = (-(-length // MULTIPLE) * MULTIPLE for length in size)
    pixels = torch.zeros(1, 3, height, width)
    pixels[0, :, : size[1], : size[0]] = torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 127.5 - 1
    with torch.inference_mode():
        seen = _network()(pixels.contiguous(memory_format=torch.channels_last))
    return seen, (size[0] / image.width, size[1] / image.height), size


@cache
def _network() -> DrawnFaceNetwork:
    return DrawnFaceNetwork.from_pretrained().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _heads(
    seen: DrawnFaceMaps,
    scale: tuple[float, float],
    size: tuple[int, int],
    whole: tuple[int, int],
    least: float,
    *,
    closer: bool,
) -> list[DrawnHead]:
    """The peaks of the heat map as boxes in pixels of the picture of `whole` (width, height)."""
    heat = seen.heat[0].sigmoid()
    peak = torch.nn.functional.max_pool2d(heat[None, None], 3, 1, 1)[0, 0] == heat
    found = []
    for row, column in torch.nonzero(peak & (heat >= least)).tolist():
        left, top, right, bottom = (seen.reach[0, :, row, column].clamp(-4, 3).exp() * UNIT).tolist()
        x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
        if x >= size[0] or y >= size[1] or max(left + right, top + bottom) < LEAST_SIDE:
            continue
        if closer and max(left + right, top + bottom) > MOST_SIDE:
            continue
        low = max(0.0, (x - left) / scale[0]), max(0.0, (y - top) / scale[1])
        high = min(float(whole[0]), (x + right) / scale[0]), min(float(whole[1]), (y + bottom) / scale[1])
        found.append(DrawnHead((*low, *high), float(heat[row, column])))
    return found


def _figures(seen: DrawnFaceMaps, scale: tuple[float, float], size: tuple[int, int]) -> Figures:
    rows, columns = -(-size[1] // FINE), -(-size[0] // FINE)
    probability = seen.figure[0, :rows, :columns].sigmoid().numpy()
    spots = np.stack(np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5), axis=-1) * FINE
    votes = seen.vote[0, :, :rows, :columns].permute(1, 2, 0).numpy() * UNIT
    return Figures(probability, ((spots + votes) / np.array(scale)).astype(np.float32))


def _merged(heads: list[DrawnHead]) -> list[DrawnHead]:
    kept: list[DrawnHead] = []
    for head in sorted(heads, key=lambda head: -head.score):
        if not any(overlap(head.box, k.box) > SAME or overlap_of_smaller(head.box, k.box) > INSIDE for k in kept):
            kept.append(head)
    return kept
