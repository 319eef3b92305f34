"""Label rotary position embedding, L-RoPE (paper, section 3.4): which voice belongs to whom, written as a position.

Person i owns the labels 20 i .. 20 i + 4. Their audio tokens sit at the band's centre; a video token sits inside the
band of the class it belongs to, or at the background's label.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polytalk.models.attention import Rotary, rotary_angles
from polytalk.models.reference_map import winning_class
from polytalk.models.token_shard import TokenShard

BAND_STRIDE = 20.0
"""Distance between the bands of two neighbouring people."""
BAND_WIDTH = 4.0
BACKGROUND_LABEL = 12.0


def label_rotary(labels: Tensor, head_dim: int) -> Rotary:
    """Tables (..., L, 1, head_dim / 2) that rotate tokens to their real-valued `labels` (..., L)."""
    angle = rotary_angles(labels, head_dim)[..., None, :]
    return Rotary(angle.cos(), angle.sin())


def class_labels(people: int, device: torch.device | None = None) -> Tensor:
    """Labels (people + 1,): the centre of each person's band, then the background's."""
    centres = torch.arange(people, device=device, dtype=torch.float32) * BAND_STRIDE + BAND_WIDTH / 2
    return torch.cat([centres, torch.full((1,), BACKGROUND_LABEL, device=device)])


@torch.no_grad()
def video_labels(reference_map: Tensor, masks: Tensor, shard: TokenShard | None = None) -> Tensor:
    """Labels (B, L) of the video tokens from the map (B, P + 1, L) and its masks (B, P + 1, S).

    A token belongs to the class with the largest value. A person's tokens spread over the band by their value, which is
    normalised by the smallest and largest of that person's row. With `shard` these are one rank's tokens and the
    extremes are taken over all ranks.
    """
    people = reference_map[:, :-1].float()
    low, high = people.amin(-1, keepdim=True), people.amax(-1, keepdim=True)
    if shard is not None:
        low, high = shard.extremes(low, high)
    start = class_labels(people.shape[1], people.device)[:-1, None] - BAND_WIDTH / 2
    spread = start + (people - low) / (high - low + 1e-8) * BAND_WIDTH
    background = torch.full_like(spread[:, :1], BACKGROUND_LABEL)
    winner = winning_class(reference_map, masks)
    return torch.cat([spread, background], dim=1).gather(1, winner[:, None]).squeeze(1)
