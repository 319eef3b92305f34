"""What has not moved shows the picture itself: against the wear of long videos, and for sharp surroundings."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from polytalk.errors import PolytalkError

SAME = 0.035
"""Mean difference in -1..1 (4 of 255 levels) up to which a place shows what the picture shows."""
OTHER = 0.09
"""Mean difference (11 levels) from which something else is there."""
AREA = 9
"""Pixels each way that make a place: texture that was smoothed differs in single pixels, not in their mean."""
_SHIFTS = 1
"""Pixels each way, at half size, by which surroundings may have slipped and still be as they were."""
_AT_REST = 0.6
"""Share of the surroundings that is as it was at least, unless the camera itself moves."""
_FRAMES = 5
"""Frames over which the largest difference counts, so that a place does not flicker between the two."""


def hold_still(
    frames: torch.Tensor, picture: torch.Tensor, strength: float = 1.0, people: torch.Tensor | None = None
) -> torch.Tensor:
    """Lay the picture over every place of a video that has not changed since; between the two they are blended.

    A network that repeats a background frame by frame and clip by clip loses a little of it each time. What it meant to
    leave as it is differs from the picture by that little; what moves differs by far more. Surroundings may
    slip by a pixel or two, too: away from people that counts as still, as long as most of them do no more.

    Args:
        frames: (batch, 3, T, height, width) in -1..1.
        picture: (batch, 3, 1, height, width) in -1..1.
        strength: 0 leaves the frames alone, 1 takes all of the picture where nothing has changed.
        people: bool (height, width), where somebody is or close by; None: nothing is known to be surroundings.

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
    changed = _share_changed(_difference(change))
    if people is not None and not people.all():
        changed = torch.where(people, changed, _slipped(frames, picture, people, changed))
    return picture + change * (1 - strength * (1 - changed))


def _difference(change: torch.Tensor) -> torch.Tensor:
    """How different places are (batch, 1, T, height, width), of frames minus picture (batch, 3, T, height, width)."""
    # the mean over an area of the signed difference: lost texture cancels out, another colour does not
    offset = _area_mean(change).abs().amax(dim=1, keepdim=True)
    spread = _area_mean(change.abs().mean(dim=1, keepdim=True))
    return torch.maximum(offset, spread / 2)


def _share_changed(found: torch.Tensor) -> torch.Tensor:
    """Differences to shares: 0 up to `SAME`, 1 from `OTHER`, smooth between; of frames around, the largest."""
    found = F.max_pool3d(found, (_FRAMES, 1, 1), 1, (_FRAMES // 2, 0, 0))
    share = ((found - SAME) / (OTHER - SAME)).clamp(0, 1)
    return share * share * (3 - 2 * share)


def _slipped(frames: torch.Tensor, picture: torch.Tensor, people: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    """How far places have changed (batch, 1, T, height, width) if a slip of the surroundings does not count."""
    small, before = (F.avg_pool3d(each, (1, 2, 2), ceil_mode=True) for each in (frames, picture))
    height, width = before.shape[-2:]
    margin = F.pad(before, (_SHIFTS, _SHIFTS, _SHIFTS, _SHIFTS, 0, 0), mode="replicate")
    found = torch.full_like(small[:, :1], float("inf"))
    for top in range(2 * _SHIFTS + 1):
        for left in range(2 * _SHIFTS + 1):
            shifted = margin[..., top : top + height, left : left + width]
            found = torch.minimum(found, _difference(small - shifted))
    found = F.interpolate(found, size=(found.shape[2], *frames.shape[-2:]))
    slipped = torch.minimum(changed, _share_changed(found))
    at_rest = (slipped < 0.5)[..., ~people].float().mean(dim=-1)
    return torch.where((at_rest >= _AT_REST)[..., None, None], slipped, changed)


def _area_mean(values: torch.Tensor) -> torch.Tensor:
    """Mean over `AREA` × `AREA` pixels, (batch, channels, T, height, width)."""
    half = AREA // 2
    columns = F.avg_pool3d(values, (1, AREA, 1), 1, (0, half, 0), count_include_pad=False)
    return F.avg_pool3d(columns, (1, 1, AREA), 1, (0, 0, half), count_include_pad=False)
