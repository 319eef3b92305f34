"""Adaptive projected guidance (arXiv 2410.02416): strong guidance without burnt colours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from polytalk.errors import PolytalkError

_SAMPLE_DIMS = (-4, -3, -2, -1)
"""Channels, frames, height and width: one norm and one projection per sample."""


@dataclass(frozen=True)
class AdaptiveProjection:
    """Settings of adaptive projected guidance; the defaults are MultiTalk's."""

    momentum: float = -0.75
    """Weight of the running sum of earlier differences; negative pushes away from where it went before."""
    norm_threshold: float = 55.0
    """Longest L2 norm of a difference, over all elements of one sample; 0 switches the limit off."""
    eta: float = 0.0
    """Share kept of the part parallel to the prediction, which is what burns colours."""

    def __post_init__(self) -> None:
        if not -1 < self.momentum < 1:
            raise PolytalkError("momentum", f"{self.momentum} would grow without bound", "Give a number in (-1, 1).")
        if self.norm_threshold < 0:
            raise PolytalkError("norm_threshold", f"{self.norm_threshold} is negative", "Give 0 (off) or more.")


class ProjectedDifference:
    """One difference of predictions, followed through the steps of one clip; holds its momentum."""

    def __init__(self, settings: AdaptiveProjection) -> None:
        self.settings = settings
        self._running: Tensor | None = None

    def update(self, difference: Tensor, prediction: Tensor) -> Tensor:
        """Add one step's difference; return what guidance adds instead of it.

        Args:
            difference: (..., C, F, H, W), a stronger minus a weaker prediction.
            prediction: the full prediction, the same shape; the result is orthogonal to it when eta is 0.
        """
        if self._running is not None:
            difference = difference + self.settings.momentum * self._running
        self._running = difference
        if self.settings.norm_threshold > 0:
            norm = torch.linalg.vector_norm(difference, dim=_SAMPLE_DIMS, keepdim=True)
            difference = difference * (self.settings.norm_threshold / norm).clamp(max=1)
        shape = prediction.shape
        direction = F.normalize(prediction.flatten(-4), dim=-1).reshape(shape)
        parallel = (difference * direction).sum(dim=_SAMPLE_DIMS, keepdim=True) * direction
        return difference - parallel + self.settings.eta * parallel
