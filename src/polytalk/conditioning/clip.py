"""Picture to tokens as the released model sees them: squeezed to a square, encoded up to CLIP's last block but one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Red, green, blue of CLIP's training pictures, 0..1."""
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Their deviations."""


def clip_pixels(picture: Tensor, size: int) -> Tensor:
    """Pixels at the network's size to what CLIP reads, as the release does it.

    The whole picture is scaled to a square, its aspect ignored: bicubic, without antialiasing, unclamped, in float32.

    Args:
        picture: (B, 3, H, W) in -1..1.
        size: side of CLIP's pictures in pixels (224 in the release).

    Returns:
        float32 (B, 3, size, size), normalised.
    """
    scaled = F.interpolate(picture.float(), size=(size, size), mode="bicubic", align_corners=False)
    mean, std = (torch.tensor(x, device=picture.device).view(1, 3, 1, 1) for x in (CLIP_MEAN, CLIP_STD))
    return (scaled * 0.5 + 0.5 - mean) / std


def encode_picture(picture: Tensor, encoder: nn.Module, dtype: torch.dtype) -> Tensor:
    """Picture (B, 3, H, W) in -1..1 to tokens (B, 257, 1280): the states before CLIP's last block.

    Args:
        picture: on the encoder's device.
        encoder: transformers' CLIPVisionModel.
        dtype: format of its weights.
    """
    pixels = clip_pixels(picture, encoder.config.image_size).to(dtype)  # type: ignore[union-attr,arg-type]
    return encoder(pixels, output_hidden_states=True).hidden_states[-2]
