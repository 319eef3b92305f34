"""How what a cut shows has moved since the picture: a smooth field, found in the model's own soft pixels.

Lucas and Kanade's least squares over Gaussian windows, from coarse to fine, all frames at once. Pixels that changed
rather than moved (a mouth that opens, an eyelid) count less. The windows are wide, so that a head moves as a whole and
texture does not swim.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = (8, 4, 2)
"""Pixels per cell on which motion is looked for, coarse to fine; finer than that the field is smooth anyway."""
ROUNDS = (3, 3, 2)
"""Corrections at each level."""
WINDOW = 3.0
"""Cells: deviation of the windows."""
CHANGED = 0.2
"""Difference, of 1, at which a pixel counts half: it has changed, not moved."""
STIFFNESS = 2e-3
"""Squared gradient below which a window stays where it is."""


def find_motion(still: Tensor, frames: Tensor) -> Tensor:
    """Where each frame's pixels come from.

    Args:
        still: (3, h, w) in 0..1.
        frames: (T, 3, h, w) in 0..1.

    Returns:
        (T, 2, h, w): x and y in pixels; `move(still, motion)` looks like the frames.
    """
    motion = frames.new_zeros(len(frames), 2, 1, 1)
    for cells, rounds in zip(LEVELS, ROUNDS, strict=True):
        size = (max(8, frames.shape[-2] // cells), max(8, frames.shape[-1] // cells))
        step = frames.new_tensor([frames.shape[-1] / size[1], frames.shape[-2] / size[0]])[:, None, None]
        coarse = F.interpolate(frames, size, mode="area")
        first = F.interpolate(still[None], size, mode="area")[0]
        motion = F.interpolate(motion, size, mode="bilinear")
        for _ in range(rounds):
            motion = motion + step * _correction(first, coarse, motion / step)
            motion = blur(motion, 1.0)
    return F.interpolate(motion, frames.shape[-2:], mode="bicubic")


def _correction(still: Tensor, frames: Tensor, motion: Tensor) -> Tensor:
    """A step (T, 2, h, w) towards the motion, in cells."""
    moved = move(still, motion)
    gradient = torch.stack(torch.gradient(moved, dim=(-1, -2)), dim=1)  # (T, 2, 3, h, w)
    error = frames - moved
    weight = 1 / (1 + (error.square().sum(1, keepdim=True) / CHANGED**2))
    gx, gy = gradient[:, 0], gradient[:, 1]
    products = torch.stack([gx * gx, gx * gy, gy * gy, gx * error, gy * error], dim=1).sum(2)
    xx, xy, yy, xe, ye = blur(products * weight, WINDOW).unbind(1)
    xx, yy = xx + STIFFNESS, yy + STIFFNESS
    determinant = xx * yy - xy * xy
    # frame(y) = still(y - v): brightness rises against the motion
    x, y = -(yy * xe - xy * ye) / determinant, -(xx * ye - xy * xe) / determinant
    return torch.stack([x, y], dim=1).clamp(-1, 1)


def move(picture: Tensor, motion: Tensor) -> Tensor:
    """Pictures ([T,] C, h, w) as their pixels have moved by motion (T, 2, h, w), in pixels; edges are repeated."""
    height, width = picture.shape[-2:]
    x = torch.arange(width, device=picture.device, dtype=motion.dtype)
    y = torch.arange(height, device=picture.device, dtype=motion.dtype)[:, None]
    across = (x - motion[:, 0] + 0.5) * (2 / width) - 1
    down = (y - motion[:, 1] + 0.5) * (2 / height) - 1
    shown = picture.expand(len(motion), -1, -1, -1)
    grid = torch.stack([across, down], dim=-1)
    return F.grid_sample(shown, grid, mode="bilinear", padding_mode="border", align_corners=False)


def blur(values: Tensor, deviation: float) -> Tensor:
    """(T, C, h, w) under a Gaussian, each way; beyond the edges the edge is repeated."""
    reach = max(1, round(2.5 * deviation))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=values.device) / deviation) ** 2)
    kernel = (kernel / kernel.sum()).to(values.dtype)
    flat = values.flatten(0, 1)[:, None]
    flat = F.conv2d(F.pad(flat, (reach, reach, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    flat = F.conv2d(F.pad(flat, (0, 0, reach, reach), mode="replicate"), kernel.view(1, 1, -1, 1))
    return flat[:, 0].view(values.shape)
