"""Close-ups laid back into the picture at its own size: its detail moves along, and what is new is added.

The model's cuts are small and soft, the picture is large and sharp. So a cut is not pasted: what it says is split into
how things have moved since the picture, which warps the picture itself (`close_up_motion`), and into what is new (an
open mouth, a shut eye), which is scaled up and added; there the picture's fine detail steps back. Both are measured
against the autoencoder's own reconstruction of the cut, so that its softness is no change. Both fade to nothing around
the head: the picture bends a little instead of showing a seam, a double edge or a step of colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from polytalk.postprocess.close_up_layout import Cut
from polytalk.postprocess.close_up_motion import blur, find_motion, move

MOVES = (1.3, 2.0)
"""Half axes of a head within which a cut's motion counts fully, and beyond which not at all."""
IS_NEW = (1.0, 1.25)
"""The same of what is new in it: beside the head a small model's mistakes would show, and little happens."""
ROUNDNESS = 2.5
"""Exponent of the superellipse that stands for a head: 2 is an ellipse, larger is boxier."""
BORDER = 0.14
"""Of a slot's side over which a cut fades towards the slot's edge; the last pixels are nothing at all."""
NEIGHBOUR = 0.3
"""Half axes over which a cut gives way to its neighbour's."""
NOISE = 0.012
"""Difference, of 1, up to which nothing has changed: the autoencoder's tremble."""
SHARPEN, SOFT = 0.5, 1.2
"""How much of what is lost within so many of the model's pixels is given back to what is new."""
NEW = 0.25
"""Difference, in deviations of the head's colours, at which only half of the picture's fine detail is left."""
TREMBLE = 0.06
"""Motion, in the model's pixels, half of which is taken for noise."""
REACH = 5.0
"""The model's pixels over which the motion of a head's rim goes on beside it."""
FAR = 0.02
"""Share of the rim below which all of the head's motion goes on instead."""
STRAY = 0.05
"""Difference beside the head from which it is something else than a drift of all colours."""


class CutComposite:
    """Says what one person's cut changes in the picture, clip by clip.

    Args:
        cut: where it is from.
        others: everybody else's; their heads are left to them.
        picture: (3, H, W) in 0..1 at the size of the result.
        shown: (3, h, w) in 0..1: the cut as the model was given it.
        still: (3, h, w) in 0..1: the same through the model's autoencoder.
    """

    def __init__(self, cut: Cut, others: Sequence[Cut], picture: Tensor, shown: Tensor, still: Tensor) -> None:
        self.cut, self.shown, self.still = cut, shown, still
        self.around, self.head = _border(cut, picture.shape[-2:], shown), _head_share(cut, others, shown, MOVES)
        self.face = _head_share(cut, others, shown, IS_NEW)
        self.rows, self.columns, self._up = self._reach(picture)
        self.base = picture[:, self.rows, self.columns]
        """(3, H', W'): the part of the picture that may change."""
        self.contrast = _contrast(shown, self.head)
        self._last: Tensor | None = None

    def changes(self, frames: Tensor) -> Iterator[Tensor]:
        """What a clip adds to the picture's part, (3, H', W') for each of its frames (T, 3, h, w) in 0..1."""
        reference = self._reference(frames)
        frames = frames - _drift(frames - reference, 1 - self.head * self.around)
        motion = self._steadied(find_motion(self.still, frames))
        inside = (motion * self.head).sum((-2, -1), keepdim=True) / self.head.sum()
        # (T, 2, h, w), follow the head
        shares = move(torch.stack([self.head, self.face]), inside.expand_as(motion)) * self.around
        motion = _carried_on(motion, shares[:, 1:], inside) * shares[:, :1]
        size = motion.square().sum(1, keepdim=True)
        motion = motion * size / (size + TREMBLE**2)
        new = (frames - move(reference, motion)) * shares[:, 1:]
        extent = blur(new.abs().amax(1, keepdim=True), 1.0)
        new = new * _rise(extent, NOISE / 2, 2 * NOISE)
        keep = 1 / (1 + (blur(new.abs().amax(1, keepdim=True), 1.5) / (NEW * self.contrast)) ** 4)
        new = new + SHARPEN * (1 - keep) * (new - blur(new, SOFT))
        added = (1 - keep) * move(self.shown, motion) + new
        for one, detail, soft in zip(motion, keep, added, strict=True):
            yield self._changed(one, detail, soft) - self.base

    def scaled_up(self, small: Tensor) -> Tensor:
        """What is shown in the slot, (C, h, w), where the picture's part is, (C, H', W')."""
        rows, columns = self._up
        return rows @ small @ columns.T

    def _changed(self, motion: Tensor, keep: Tensor, added: Tensor) -> Tensor:
        """The picture's part (3, H', W') moved by (2, h, w), kept as far as (1, h, w), and (3, h, w) added."""
        if not (motion.any() or added.any()):
            return self.base
        large = self.scaled_up(torch.cat([motion, 1 - keep, added]))
        scale = large.new_tensor([self.cut.width / self.shown.shape[-1], self.cut.height / self.shown.shape[-2]])
        moved = move(self.base, large[None, :2] * scale[:, None, None])[0]
        return moved * (1 - large[2:3]) + large[3:]

    def _reference(self, frames: Tensor) -> Tensor:
        """(T, 3, h, w): the cut as each frame shows it where nothing has changed.

        The picture itself may stand in the place of the autoencoder's pixels (see `polytalk.postprocess.stillness`).
        """
        to_shown, to_still = (
            blur((frames - known).abs().mean(1, keepdim=True), 2.0).square() for known in (self.shown, self.still)
        )
        return torch.lerp(self.still, self.shown, to_still / (to_shown + to_still + 1e-6))

    def _steadied(self, motion: Tensor) -> Tensor:
        """Motion smoothed over neighbouring frames; the clip before has the first one's neighbour."""
        before = motion[:1] if self._last is None else self._last
        self._last = motion[-1:]
        padded = torch.cat([before, motion, motion[-1:]])
        return (padded[:-2] + 2 * motion + padded[2:]) / 4

    def _reach(self, picture: Tensor) -> tuple[slice, slice, tuple[Tensor, Tensor]]:
        """Rows and columns of the picture that may change, and matrices (H', h), (W', w) that scale up to them."""
        cut = self.cut
        # bicubic scaling spreads over two pixels more
        near = F.max_pool2d((self.around > 0).float()[None], 5, 1, 2)[0]
        rows, up = _stretch(near.amax(1), cut.top, cut.height, picture.shape[-2])
        columns, across = _stretch(near.amax(0), cut.left, cut.width, picture.shape[-1])
        return rows, columns, (up.to(picture), across.to(picture))


def _stretch(near: Tensor, start: int, length: int, whole: int) -> tuple[slice, Tensor]:
    """Along one side: which pixels of the picture a slot (cells,) reaches, and the matrix (pixels, cells) to them."""
    cells = len(near)
    seen = near.nonzero()
    first = max(0, start + int(seen[0]) * length // cells)
    last = min(whole, start + -(-(int(seen[-1]) + 1) * length // cells))
    matrix = F.interpolate(torch.eye(cells)[None, None], (length, cells), mode="bicubic")[0, 0]
    return slice(first, last), matrix[first - start : last - start].contiguous()


def _border(cut: Cut, picture: Sequence[int], like: Tensor) -> Tensor:
    """(h, w) in 0..1: 0 at the slot's edges, 1 from so far inside; the picture's own edges are no edges."""
    sides = []
    for start, length, whole, cells in (
        (cut.top, cut.height, picture[0], cut.slot.height),
        (cut.left, cut.width, picture[1], cut.slot.width),
    ):
        place = torch.arange(cells, device=like.device)
        begins = torch.full_like(place, cells) if start <= 0 else place
        ends = torch.full_like(place, cells) if start + length >= whole else cells - 1 - place
        sides.append(_rise(torch.minimum(begins, ends).to(like) - 2, 0, BORDER * cells))
    return sides[0][:, None] * sides[1]


def _head_share(cut: Cut, others: Sequence[Cut], like: Tensor, fades: tuple[float, float]) -> Tensor:
    """(h, w) in 0..1: 1 on the head, fading over so many half axes, 0 where a neighbour's head is nearer."""
    own = _distance(cut, cut, like)
    share = 1 - _rise(own, *fades)
    for other in others:
        share = share * _rise(_distance(cut, other, like) - own, -NEIGHBOUR / 2, NEIGHBOUR / 2)
    return share


def _distance(cut: Cut, other: Cut, like: Tensor) -> Tensor:
    """(h, w): how far each of a cut's pixels is from the middle of somebody's head, in the head's half axes."""
    left, top, right, bottom = cut.in_slot(other.head)
    y = torch.arange(cut.slot.height, device=like.device)[:, None] + 0.5
    x = torch.arange(cut.slot.width, device=like.device) + 0.5
    across = ((2 * x - left - right) / (right - left)).abs() ** ROUNDNESS
    down = ((2 * y - top - bottom) / (bottom - top)).abs() ** ROUNDNESS
    return (across + down).to(like) ** (1 / ROUNDNESS)


def _carried_on(motion: Tensor, share: Tensor, mean: Tensor) -> Tensor:
    """Motion (T, 2, h, w) where the share (T, 1, h, w) is 1, carried on smoothly around it; far away it is the mean.

    Beside the head a small model's mistakes look like motion, and straight lines would ripple.
    """
    near = (blur(motion * share, REACH) + FAR * mean) / (blur(share, REACH) + FAR)
    return torch.lerp(near, motion, share)


def _contrast(shown: Tensor, head: Tensor) -> float:
    """Deviation of the colours (3, h, w) where the head (h, w) is, at least that of a very flat drawing."""
    weight = head / head.sum()
    mean = (shown * weight).sum((1, 2), keepdim=True)
    return max(0.05, float(((shown - mean).square() * weight).sum((1, 2)).mean().sqrt()))


def _drift(change: Tensor, weight: Tensor) -> Tensor:
    """How all colours have drifted: planes (T, 3, h, w) laid through a change where the weight (h, w) is.

    Twice, the second time without what is far from the first planes: something else that moves there.
    """
    height, width = change.shape[-2:]
    y = torch.linspace(-1, 1, height, device=change.device)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width, device=change.device).expand(height, width)
    basis = torch.stack([torch.ones_like(x), x, y]).flatten(1).to(change)  # (3, hw)
    wanted, planes = change.flatten(2), torch.zeros_like(change).flatten(2)
    for _ in range(3):
        far = ((wanted - planes) / STRAY).square().sum(1)
        weights = weight.flatten() / (1 + far) ** 2  # (T, hw)
        normal = torch.einsum("in,tn,jn->tij", basis, weights, basis) + 1e-3 * torch.eye(3, device=change.device)
        right = torch.einsum("in,tn,tcn->tic", basis, weights, wanted)
        planes = torch.einsum("tic,in->tcn", torch.linalg.solve(normal, right), basis)
    return planes.view(change.shape)


def _rise(values: Tensor, low: float, high: float) -> Tensor:
    """0 up to `low`, 1 from `high`, smooth between them."""
    share = ((values - low) / (high - low)).clamp(0, 1)
    return share * share * (3 - 2 * share)
