"""What the picture loses: sharpness of faces frame by frame, and trembling where nothing moves."""

from __future__ import annotations

import numpy as np
import torch
from torchmetrics import Metric

from polytalk.evaluation.measures.metrics import _Mean, face_region, gradient_energy
from polytalk.synthetic.scenes import CELL, SyntheticClip

STILL_LEVELS = 1.0
"""Pixels of drawn frames that never differ from the picture by more than so many of 255 levels stand still."""
_AROUND = 1
"""Cells around the people that are left out of the background: generated people sway otherwise than drawn ones."""
LEAST_STILL = 0.02
"""A picture with a smaller share of still pixels than this is left out: its camera moves, or it is full of people."""


def around_people(clip: SyntheticClip) -> np.ndarray:
    """(H, W) bool: True wherever somebody is in any frame of a clip, and close by."""
    cells = torch.from_numpy(clip.masks.any(axis=(0, 1)))[None, None].float()
    grown = torch.nn.functional.max_pool2d(cells, 2 * _AROUND + 1, 1, _AROUND)[0, 0].bool().numpy()
    height, width = clip.reference.shape[:2]
    return grown.repeat(CELL, axis=0).repeat(CELL, axis=1)[:height, :width]


def still_pixels(clip: SyntheticClip) -> np.ndarray | None:
    """(H, W) bool: background of a drawn clip that does not move; None where there is hardly any."""
    moved = np.abs(clip.frames.astype(np.int16) - clip.reference.astype(np.int16)).max(axis=(0, 3))
    still = (moved <= STILL_LEVELS) & ~around_people(clip)
    return still if still.mean() >= LEAST_STILL else None


class SharpnessOverTime(Metric):
    """Mean gradient in the faces over the picture's, frame by frame: 1 as sharp, 0 flat. (Noise reads as sharpness.)

    Args:
        num_frames: of the clips; of longer ones the first so many are measured.
    """

    full_state_update = False
    total: torch.Tensor
    count: torch.Tensor

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        for name in ("total", "count"):
            self.add_state(name, torch.zeros(num_frames, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, frames: np.ndarray, boxes: np.ndarray, reference: np.ndarray, reference_boxes: np.ndarray) -> None:
        """frames (T, H, W, 3), boxes (T, P, 4) of the faces; reference (H, W, 3), reference_boxes (P, 4)."""
        for person, own in enumerate(reference_boxes):
            base = gradient_energy(face_region(reference, own))
            if base <= 0.5:  # a flat patch has no sharpness to lose
                continue
            for t in range(min(len(frames), len(self.total))):
                self.total[t] += gradient_energy(face_region(frames[t], boxes[t, person])) / base
                self.count[t] += 1

    def curve(self) -> list[float]:
        """Ratio of every frame; NaN where none was seen."""
        return (self.total / self.count).tolist()

    def compute(self) -> dict[str, float]:
        """mean over all frames, and last: of the last fifth."""
        seen = self.count > 0
        if not seen.any():
            return {"mean": float("nan"), "last": float("nan")}
        ratio = (self.total / self.count)[seen]
        return {"mean": float(ratio.mean()), "last": float(ratio[-max(1, len(ratio) // 5) :].mean())}


class StillFlicker(_Mean):
    """Mean |x(t+1) - x(t)| of pixels that should stand still, in levels of 255."""

    def update(self, frames: np.ndarray, still: np.ndarray) -> None:
        """frames (T, H, W, 3), still (H, W) bool."""
        pixels = frames[:, still].astype(np.int16)
        if len(pixels) > 1 and pixels.size:
            self._add(np.abs(np.diff(pixels, axis=0)))
