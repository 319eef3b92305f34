"""Where close-ups are cut from a picture, and how they sit side by side in one frame of the model.

Everybody gets a slot of the frame, full height in one row as long as that gives larger heads. A cut has its slot's
aspect and is so large that head and room around it fill the slot; it moves away from neighbours and from the picture's
edges rather than shrink. Regions are whole pixels of the picture and may leave it where a head is nearly as large as
the picture; what is beyond is filled with the picture's edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.scene import Box
from polytalk.units import PIXEL_STEP, SPATIAL_STRIDE, Size

LEAST_SLOT = 2 * PIXEL_STEP
"""Pixels of a slot's sides: two of the network's tokens."""
FILL_HEIGHT = 0.64
"""Of a slot's height that a head takes."""
FILL_WIDTH = 0.78
"""Of a slot's width that a head may take; among several rather the width is scarce."""
HEAD_CENTRE = 0.47
"""Of a slot's height at which the middle of a head lies: below it neck and shoulders show."""
ROOM = 0.06
"""Of a slot's side that stays between a head and the slot's edge, however far a cut moves aside."""
PREFERRED: dict[int, Size] = {1: (192, 192), 2: (144, 256), 3: (144, 256), 4: (128, 288)}
"""People -> the frame (height, width) that mini has learnt them in."""
PREFERENCE = 1.25
"""Heads in another frame must be larger by this factor."""


@dataclass(frozen=True)
class Cut:
    """One person's part of the picture, and its slot in the model's frame."""

    head: Box
    """In the picture."""
    left: int
    """First column of the region in the picture; may be negative."""
    top: int
    """First row, likewise."""
    width: int
    """Columns of the region."""
    height: int
    """Rows of the region."""
    slot: Box
    """Where the region is shown in the frame."""

    @property
    def scale(self) -> float:
        """Pixels of the frame per pixel of the picture."""
        return self.slot.height / self.height

    @property
    def right(self) -> int:
        """One past the last column."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """One past the last row."""
        return self.top + self.height

    def in_slot(self, box: Box) -> tuple[float, float, float, float]:
        """A box of the picture as left, top, right, bottom in the frame's pixels, counted from the slot's corner."""
        across, down = self.slot.width / self.width, self.slot.height / self.height
        left, right = ((x - self.left) * across for x in (box.left, box.right))
        top, bottom = ((y - self.top) * down for y in (box.top, box.bottom))
        return left, top, right, bottom

    def head_in_frame(self) -> Box:
        """The head in the model's frame, clipped to the slot."""
        left, top, right, bottom = self.in_slot(self.head)
        x0, y0 = (int(max(0.0, math.floor(a))) for a in (left, top))
        x1, y1 = min(math.ceil(right), self.slot.width), min(math.ceil(bottom), self.slot.height)
        return Box(self.slot.left + x0, self.slot.top + y0, self.slot.left + x1, self.slot.top + y1)


def lay_out(picture: Size, heads: Sequence[Box], frames: Iterable[Size]) -> tuple[Size, tuple[Cut, ...]]:
    """The frame that shows all heads largest, and everybody's cut.

    Args:
        picture: (height, width) in pixels.
        heads: everybody's, with hair, ears and chin, in pixels of the picture.
        frames: (height, width) of the frames that the model knows.

    Returns:
        (height, width) of the frame, and the cuts in the heads' order.

    Raises:
        PolytalkError: no head, one outside the picture, or more than the frames can show.
    """
    _check(picture, heads)
    best: tuple[float, Size, list[Box]] | None = None
    for frame in frames:
        for rows in range(1, len(heads) + 1):
            slots = _slots(frame, len(heads), rows)
            if slots is None:
                continue
            # from left to right in the picture and in the frame
            order = sorted(range(len(heads)), key=lambda i: (heads[i].left + heads[i].right, i))
            own = [slots[order.index(person)] for person in range(len(heads))]
            size = np.exp(np.mean([math.log(_scale(h, s) * h.height) for h, s in zip(heads, own, strict=True)]))
            likes = rows == 1 and frame == PREFERRED.get(len(heads))
            score = float(size) * (PREFERENCE if likes else 1.0)
            if best is None or score > best[0]:
                best = score, frame, own
    if best is None:
        problem = f"{len(heads)} heads do not fit into one frame of the model"
        raise PolytalkError("close_ups", problem, "Leave close-ups out: `close_ups=False`.")
    _, frame, own = best
    return frame, tuple(_cut(picture, heads, i, slot) for i, slot in enumerate(own))


def _check(picture: Size, heads: Sequence[Box]) -> None:
    if not heads:
        raise PolytalkError("heads", "there is none", "Give at least one person's box.")
    for number, head in enumerate(heads, start=1):
        if head.right > picture[1] or head.bottom > picture[0]:
            problem = f"{head} of speaker {number} leaves the picture, which is {picture[1]} × {picture[0]} pixels"
            raise PolytalkError("box", problem, "Count pixels of the picture as shown: left,top,right,bottom.")


def _slots(frame: Size, people: int, rows: int) -> list[Box] | None:
    """Equal slots row by row, up to whole latents; None where they would be narrower than two tokens."""
    columns = math.ceil(people / rows)
    if math.ceil(people / columns) != rows or min(frame[1] // columns, frame[0] // rows) < LEAST_SLOT:
        return None
    tops = _edges(frame[0], rows)
    slots = []
    for row in range(rows):
        here = min(columns, people - row * columns)
        sides = _edges(frame[1], here)
        slots += [Box(sides[i], tops[row], sides[i + 1], tops[row + 1]) for i in range(here)]
    return slots


def _edges(length: int, parts: int) -> list[int]:
    """Where equal parts of a side begin, and its end; each begins with a latent."""
    cells = length // SPATIAL_STRIDE
    return [round(cells * i / parts) * SPATIAL_STRIDE for i in range(parts)] + [length]


def _scale(head: Box, slot: Box) -> float:
    """Pixels of the frame per pixel of the picture with which a head fills its slot."""
    return min(FILL_HEIGHT * slot.height / head.height, FILL_WIDTH * slot.width / head.width)


def _cut(picture: Size, heads: Sequence[Box], person: int, slot: Box) -> Cut:
    head, scale = heads[person], _scale(heads[person], slot)
    width, height = round(slot.width / scale), round(slot.height / scale)
    room = ROOM * width
    low, high = head.right + room - width, head.left - room  # the region's left edge at its leftmost and rightmost
    left = (head.left + head.right - width) / 2
    left += _aside(heads, person, left, width, low, high)
    top = (head.top + head.bottom) / 2 - HEAD_CENTRE * height
    return Cut(head, _inside(left, width, picture[1]), _inside(top, height, picture[0]), width, height, slot)


def _aside(heads: Sequence[Box], person: int, left: float, width: int, low: float, high: float) -> float:
    """How far a region moves aside so that it shows less of its neighbours; 0 where both sides are alike."""
    head = heads[person]
    into_left = into_right = 0.0
    for other in heads:
        if other is head or other.bottom <= head.top or other.top >= head.bottom:
            continue
        if other.left + other.right <= head.left + head.right:
            into_left = max(into_left, other.right - left)
        else:
            into_right = max(into_right, left + width - other.left)
    wanted = into_left - into_right if into_left and into_right else into_left or -into_right
    wanted = wanted / 2 if into_left and into_right else wanted
    return min(max(wanted, min(low - left, 0.0)), max(high - left, 0.0))


def _inside(start: float, length: int, whole: int) -> int:
    """Start of a stretch, moved into 0..whole; one that is longer than the whole is centred about it."""
    if length >= whole:
        return round(min(max(start, whole - length), 0))
    return round(min(max(start, 0), whole - length))


def cut_out(picture: Image.Image, cut: Cut) -> np.ndarray:
    """A region at its slot's size, uint8 (height, width, 3); beyond the picture its edge is repeated."""
    box = (max(cut.left, 0), max(cut.top, 0), min(cut.right, picture.width), min(cut.bottom, picture.height))
    if box == (cut.left, cut.top, cut.right, cut.bottom):
        return np.asarray(picture.resize((cut.slot.width, cut.slot.height), Image.Resampling.BILINEAR, box=box))
    inside = np.asarray(picture.crop(box))
    around = [(box[1] - cut.top, cut.bottom - box[3]), (box[0] - cut.left, cut.right - box[2]), (0, 0)]
    whole = Image.fromarray(np.pad(inside, around, mode="edge"))
    return np.asarray(whole.resize((cut.slot.width, cut.slot.height), Image.Resampling.BILINEAR))


def compose_frame(picture: Image.Image, frame: Size, cuts: Sequence[Cut]) -> np.ndarray:
    """The model's frame, uint8 (height, width, 3): all regions in their slots."""
    composed = np.zeros((*frame, 3), np.uint8)
    for cut in cuts:
        slot = cut.slot
        composed[slot.top : slot.bottom, slot.left : slot.right] = cut_out(picture, cut)
    return composed
