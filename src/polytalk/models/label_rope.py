"""Label rotary position embedding, L-RoPE (paper, section 3.4): which voice belongs to whom, written as a position.

The *reference attention map* tells how much each video token looks at each person of the reference frame: softmax over
the first latent frame's tokens, averaged over heads, summed inside each mask and divided by the mask's token count. It
is computed as attention whose values are the masks, so that no matrix of (heads, L, L / F) is formed.

A token's *label* is read from it. Person i owns the labels 20 i .. 20 i + 4. Their audio tokens sit at the band's
centre; a video token sits inside the band of the class it belongs to, or at the background's label.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BAND_STRIDE = 20.0
"""Distance between the bands of two neighbouring people."""
BAND_WIDTH = 4.0
BACKGROUND_LABEL = 12.0


def class_masks(speaker_masks: Tensor, patch_size: tuple[int, int, int]) -> Tensor:
    """Masks (B, P, H, W) on the latent grid -> bool (B, P + 1, tokens of a frame), the background last.

    A token takes the latent pixel at its upper left corner (nearest interpolation, as released). The background is the
    complement of the masks' union.
    """
    _, rows, columns = patch_size
    people = speaker_masks[..., ::rows, ::columns].flatten(2) > 0
    return torch.cat([people, ~people.any(1, keepdim=True)], dim=1)


def reference_attention_map(
    query: Tensor, key: Tensor, masks: Tensor, attend: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """Mean attention that each query pays to a token of each class.

    Args:
        query: (B, L, heads, d), after normalisation and rotary embedding.
        key: (B, S, heads, d), those of the reference frame.
        masks: (B, classes, S) bool.
        attend: attention on such tensors, with values that may be narrower.

    Returns:
        (B, classes, L) float32; the row of an empty class is 0.
    """
    heads, width = query.shape[2:]
    shares = []
    for chunk in masks.split(width, dim=1):  # one chunk unless there are more classes than channels in a head
        value = chunk.transpose(1, 2).to(query.dtype)[:, :, None]
        shares.append(attend(query, key, value.expand(-1, -1, heads, -1)).float().mean(2))
    # divided afterwards, in float32: 1 / count is not exact in bfloat16
    return torch.cat(shares, dim=-1).transpose(1, 2) / masks.sum(-1, keepdim=True).clamp(min=1)


def winning_class(reference_map: Tensor, masks: Tensor) -> Tensor:
    """Class of each token (B, L): the largest value of the map (B, classes, L); an empty class never wins."""
    empty = ~masks.any(-1, keepdim=True)
    return reference_map.detach().masked_fill(empty, -torch.inf).argmax(1)


def class_labels(people: int, device: torch.device | None = None) -> Tensor:
    """Labels (people + 1,): the centre of each person's band, then the background's."""
    centres = torch.arange(people, device=device, dtype=torch.float32) * BAND_STRIDE + BAND_WIDTH / 2
    return torch.cat([centres, torch.full((1,), BACKGROUND_LABEL, device=device)])


@torch.no_grad()
def video_labels(
    reference_map: Tensor, masks: Tensor, extremes: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
) -> Tensor:
    """Labels (B, L) of the video tokens from the map (B, P + 1, L) and its masks (B, P + 1, S).

    A token belongs to the class with the largest value. A person's tokens spread over the band by their value, which is
    normalised by the smallest and largest of that person's row. `extremes` takes these over all ranks where the tokens
    are one rank's.
    """
    people = reference_map[:, :-1].float()
    low, high = people.amin(-1, keepdim=True), people.amax(-1, keepdim=True)
    if extremes is not None:
        low, high = extremes(low, high)
    start = class_labels(people.shape[1], people.device)[:-1, None] - BAND_WIDTH / 2
    spread = start + (people - low) / (high - low + 1e-8) * BAND_WIDTH
    background = torch.full_like(spread[:, :1], BACKGROUND_LABEL)
    winner = winning_class(reference_map, masks)
    return torch.cat([spread, background], dim=1).gather(1, winner[:, None]).squeeze(1)
