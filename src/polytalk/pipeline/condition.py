"""Motion frames as latents: what a clip takes over from the one before without decoding and encoding it.

Decoding and encoding again costs sharpness and moves colours a little, and a chain of clips does it at every border.
Both autoencoders (mini's and Wan2.1's) are causal and treat the first frame by itself: latent frame 0 holds frame 0
alone, latent frame j the frames 4j - 3 to 4j. The m = 4k + 1 motion frames are the last frame of one latent frame and
all of the k after it. So only the first motion frame changes its place in the grid and must be encoded anew, as a
picture; the k latents that follow keep their frames and are taken as the sampler left them. Encoded with the motion
frames alone behind them they would differ a little, as a causal encoder remembers what came before; decoding shows
these latents again only as the memory from which the new frames start.

Where colours are matched to the picture, the frames shown are not those that the latents hold. The difference that this
makes to the encoded frames is then added to the latents.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polytalk.models.components import Components
from polytalk.units import TEMPORAL_STRIDE, latent_frames


def carried_latents(components: Components, latents: Tensor, motion: Tensor, decoded: Tensor | None = None) -> Tensor:
    """Latents with which the next clip begins.

    Args:
        components: encode.
        latents: (1, C, F, h, w), clean, of the clip that ends.
        motion: (1, 3, 4k + 1, H, W) in -1..1, its last frames as they are shown.
        decoded: the same frames as decoded, where they are shown otherwise; None: shown as decoded.

    Returns:
        float32 (1, C, k + 1, h, w).
    """
    kept = (motion.shape[2] - 1) // 4
    first = components.encode_video(motion[:, :, :1]).float()
    if not kept:
        return first
    later = latents[:, :, -kept:].float()
    if decoded is not None:
        change = components.encode_video(motion).float() - components.encode_video(decoded).float()
        later = later + change[:, :, 1:].to(later)
    return torch.cat([first, later.to(first)], dim=2)


def with_carried(condition: Tensor, carried: Tensor | None) -> Tensor:
    """A condition (1, 4 + C, F, h, w) whose first latent frames are those carried over, (1, C, k + 1, h, w)."""
    if carried is None:
        return condition
    known = carried.shape[2]
    shown = torch.cat([condition[:, : -carried.shape[1], :known], carried.to(condition)], dim=1)
    return torch.cat([shown, condition[:, :, known:]], dim=2)


def known_mask(num_known: int, num_frames: int, height: int, width: int) -> Tensor:
    """Mask channels of the condition: 1 where a frame is known, on the latent grid.

    As in Wan2.1, the first frame is repeated four times so that every latent frame has four channels.

    Args:
        num_known: frames known at the start.
        num_frames: T, 4n + 1.
        height, width: of the latent grid.

    Returns:
        float32 (1, 4, F, height, width).
    """
    known = (torch.arange(num_frames) < num_known).float()
    channels = torch.cat([known[:1].repeat(TEMPORAL_STRIDE), known[1:]]).view(latent_frames(num_frames), -1)
    return channels.T[None, :, :, None, None].expand(-1, -1, -1, height, width).contiguous()


def build_condition(components: Components, known: Tensor, reference: Tensor, num_frames: int, fill: str) -> Tensor:
    """The condition of one clip: mask channels, then the latents of the known frames and of what fills the rest.

    Args:
        components: encode.
        known: (1, 3, M, H, W) frames that begin the clip, M = 4k + 1: the picture, or the motion frames.
        reference: (1, 3, H, W) the scene's picture.
        num_frames: T of the clip, 4n + 1.
        fill: `PipelineConfig.fill_condition`. With "zero" the video of known frames and grey ones is encoded as a
            whole, as in the release; with "reference" the standing picture's latents follow those of the known frames.

    Returns:
        float32 (1, 4 + C, F, H / stride, W / stride).
    """
    missing = num_frames - known.shape[2]
    if fill == "zero":
        grey = known.new_zeros(1, 3, missing, *known.shape[-2:])
        latents = components.encode_video(torch.cat([known, grey], dim=2))
    else:
        latents = components.encode_video(known)
        filled = components.fill_latents(reference, latent_frames(num_frames), fill)
        latents = torch.cat([latents, filled[:, :, latents.shape[2] :]], dim=2)
    mask = known_mask(known.shape[2], num_frames, *latents.shape[-2:]).to(latents.device)
    return torch.cat([mask, latents.float()], dim=1)
