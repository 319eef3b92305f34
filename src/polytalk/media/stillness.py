"""What has not moved shows the picture itself: against the wear of long videos, and for sharp surroundings."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from polytalk.errors import PolytalkError

SAME = 0.035
"""Mean difference in -1..1 (4 of 255 levels) up to which a place shows what the picture shows."""
OTHER = 0.09
"""Mean difference (11 levels) from which something else is there."""
_AREA = 9
"""Pixels each way that make a place: texture that was smoothed differs in single pixels, not in their mean."""
_FRAMES = 5
"""Frames over which the largest difference counts, so that a place does not flicker between the two."""


def hold_still(frames: torch.Tensor, picture: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """Lay the picture over every place of a video that has not changed since; between the two they are blended.

    A network that repeats a background frame by frame and clip by clip loses a little of it each time. What it meant to
    leave as it is differs from the picture by that little; what moves differs by far more.

    Args:
        frames: (batch, 3, T, height, width) in -1..1.
        picture: (batch, 3, 1, height, width) in -1..1.
        strength: 0 leaves the frames alone, 1 takes all of the picture where nothing has changed.

    Returns:
        As `frames`.

    Raises:
        PolytalkError: strength outside 0..1.
    """
    if not 0 <= strength <= 1:
        raise PolytalkError("hold_still", f"it is {strength}", "Use 0 to 1.")
    if strength == 0:
        return frames
    change = frames - picture
    # the mean over an area of the signed difference: lost texture cancels out, another colour does not
    offset = _area_mean(change).abs().amax(dim=1, keepdim=True)
    spread = _area_mean(change.abs().mean(dim=1, keepdim=True))
    found = torch.maximum(offset, spread / 2)
    found = F.max_pool3d(found, (_FRAMES, 1, 1), 1, (_FRAMES // 2, 0, 0))
    share = ((found - SAME) / (OTHER - SAME)).clamp(0, 1)
    changed = share * share * (3 - 2 * share)
    return picture + change * (1 - strength * (1 - changed))


def _area_mean(values: torch.Tensor) -> torch.Tensor:
    """Mean over `_AREA` × `_AREA` pixels, (batch, channels, T, height, width)."""
    window = (1, _AREA, _AREA)
    return F.avg_pool3d(values, window, 1, (0, _AREA // 2, _AREA // 2), count_include_pad=False)
