"""Units of the field, each said once: rates, strides, sizes, number formats, pixels to and from what networks take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polytalk.errors import PolytalkError

if TYPE_CHECKING:
    import numpy as np
    import torch

FPS = 25
"""Speech features, and video frames, a second."""

SAMPLE_RATE = 16_000
"""Hz, what speech encoders hear."""

SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
"""Samples of the sound that one frame lasts."""

TEMPORAL_STRIDE = 4
"""Frames in one latent frame; the first latent frame holds a single frame, so clips have 4n + 1."""

SPATIAL_STRIDE = 8
"""Pixels per latent."""

PATCH = 2
"""Latents per token, each way."""

PIXEL_STEP = SPATIAL_STRIDE * PATCH
"""Pixels: both sides of a video are multiples of it."""

Size = tuple[int, int]
"""(height, width) in pixels."""

DTYPES = ("float32", "bfloat16", "float16")
"""Number formats that networks run in, by PyTorch's names."""


def torch_dtype(name: str) -> torch.dtype:
    """The number format of this name.

    Raises:
        PolytalkError: none of `DTYPES`.
    """
    import torch

    if name not in DTYPES:
        raise PolytalkError("dtype", f"{name!r} is unknown", f"Use one of {', '.join(DTYPES)}.")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def round_up_frames(frames: int) -> int:
    """The smallest 4n + 1 that is at least `frames`."""
    return max(0, -(-(frames - 1) // TEMPORAL_STRIDE)) * TEMPORAL_STRIDE + 1


def latent_frames(frames: int) -> int:
    """Latent frames of a clip of 4n + 1 frames: n + 1."""
    return (frames - 1) // TEMPORAL_STRIDE + 1


def to_network(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (height, width, 3) or (T, height, width, 3) to float32 (1, 3, T, height, width) in −1..1."""
    import numpy as np
    import torch

    frames = np.array(np.asarray(pixels))
    frames = frames[None] if frames.ndim == 3 else frames
    return torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


def to_pixels(video: torch.Tensor) -> np.ndarray:
    """(3, T, height, width) in −1..1 to uint8 (T, height, width, 3)."""
    import torch

    return ((video + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 3, 0).cpu().numpy()
