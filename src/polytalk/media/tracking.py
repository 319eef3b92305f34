"""Boxes carried along a video: where the faces are that were boxed in its first frame.

Template matching by normalised cross-correlation, on pictures scaled down until a box is some thirty pixels wide. A
box is compared with the frame in which it was given, so that it does not slip, and with the frame before, so that it
follows a head that turns. Sizes stay; a box given for a later frame replaces the one that was followed.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TEMPLATE = 32
"""Pixels of a template's longer side."""
_REACH = 0.15
"""Of the longer side: how far a box may move from one frame to the next."""
_FIRST = 0.5
"""Weight of the frame in which the box was given."""
_LOST = 0.3
"""Correlation below which a box is taken to be hidden, and waits."""


class BoxTracker:
    """Follows boxes from frame to frame.

    Args:
        frame: uint8 (height, width, 3), in which the boxes are given.
        boxes: (P, 4) left, top, right, bottom in pixels.
    """

    def __init__(self, frame: np.ndarray, boxes: np.ndarray) -> None:
        self.boxes = np.asarray(boxes, np.float64).copy()
        """(P, 4), where they were in the last frame."""
        self._scales = [min(1.0, TEMPLATE / max(b[2] - b[0], b[3] - b[1], 1.0)) for b in self.boxes]
        scaled = self._pyramid(frame)
        self._first = [self._cut(scaled[s], box, s) for box, s in zip(self.boxes, self._scales, strict=True)]
        self._recent = list(self._first)

    def follow(self, frame: np.ndarray) -> np.ndarray:
        """The boxes (P, 4) in the next frame."""
        scaled = self._pyramid(frame)
        for person, scale in enumerate(self._scales):
            picture, box = scaled[scale], self.boxes[person]
            step = self._step(picture, person, box, scale)
            if step is not None:
                self.boxes[person] = box + np.tile(step / scale, 2)
                self._recent[person] = self._cut(picture, self.boxes[person], scale)
        return self.boxes.copy()

    def _step(self, picture: Tensor, person: int, box: np.ndarray, scale: float) -> np.ndarray | None:
        """(x, y) pixels of the scaled picture to where the box fits best; None where it fits nowhere."""
        height, width = self._first[person].shape[-2:]
        reach = max(2, round(_REACH * max(height, width)))
        left, top = round(box[0] * scale), round(box[1] * scale)
        window = _window(picture, left - reach, top - reach, width + 2 * reach, height + 2 * reach)
        scores = _FIRST * _correlation(window, self._first[person])
        scores = scores + (1 - _FIRST) * _correlation(window, self._recent[person])
        y, x = divmod(int(scores.argmax()), scores.shape[1])
        if scores[y, x] < _LOST:
            return None
        found = np.array([x + _peak(scores[y], x), y + _peak(scores[:, x], y)]) - reach
        return found + np.array([left, top]) - box[:2] * scale

    def _pyramid(self, frame: np.ndarray) -> dict[float, Tensor]:
        """The frame (3, h, w) at every scale that somebody's box needs."""
        whole = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float()
        height, width = whole.shape[-2:]
        sizes = {scale: (max(1, round(height * scale)), max(1, round(width * scale))) for scale in set(self._scales)}
        return {scale: F.interpolate(whole, size, mode="area")[0] for scale, size in sizes.items()}

    @staticmethod
    def _cut(picture: Tensor, box: np.ndarray, scale: float) -> Tensor:
        """What is inside a box, (3, h, w)."""
        left, top = round(box[0] * scale), round(box[1] * scale)
        width, height = (max(3, round((box[i + 2] - box[i]) * scale)) for i in (0, 1))
        return _window(picture, left, top, width, height)


def _window(picture: Tensor, left: int, top: int, width: int, height: int) -> Tensor:
    """A part (3, height, width) of a picture; beyond its edges the edge is repeated."""
    rows = torch.arange(top, top + height).clamp(0, picture.shape[-2] - 1)
    columns = torch.arange(left, left + width).clamp(0, picture.shape[-1] - 1)
    return picture[:, rows][:, :, columns]


def _correlation(window: Tensor, template: Tensor) -> Tensor:
    """Normalised cross-correlation of a template at every place of a window where it fits, -1..1."""
    height, width = template.shape[-2:]
    patches = F.unfold(window[None], (height, width))[0]  # (3hw, places)
    patches = patches - patches.mean(dim=0)
    wanted = (template - template.mean()).flatten()
    norm = patches.norm(dim=0) * wanted.norm()
    scores = wanted @ patches / norm.clamp_min(1e-6)
    return scores.view(window.shape[-2] - height + 1, -1)


def _peak(scores: Tensor, place: int) -> float:
    """Where between the neighbours of a maximum a parabola through the three has its top, -0.5..0.5."""
    if not 0 < place < len(scores) - 1:
        return 0.0
    before, at, after = scores[place - 1 : place + 2].tolist()
    bend = before - 2 * at + after
    return max(-0.5, min(0.5, 0.5 * (before - after) / bend)) if bend < -1e-9 else 0.0
