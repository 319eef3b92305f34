"""The reference attention map: how much each video token looks at each person of the reference frame.

Softmax over the first latent frame's tokens, averaged over heads, summed inside each mask and divided by the mask's
token count (paper, section 3.4). It is computed as attention whose values are the masks, so that no matrix of
(heads, L, L / F) is formed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


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
