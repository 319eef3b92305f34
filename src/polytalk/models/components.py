"""What the pipeline asks of a model's networks."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from polytalk.models.transformer import MultiTalkTransformer3DModel


class Components(Protocol):
    """What the pipeline asks of a model. Pixels are in -1..1, tensors on the model's own device."""

    transformer: MultiTalkTransformer3DModel

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""

    @property
    def dtype(self) -> torch.dtype:
        """Format of the weights."""

    @property
    def spatial_stride(self) -> int:
        """Pixels in one row or column of the latent grid."""

    def encode_text(self, prompts: list[str]) -> Tensor:
        """Prompts to (B, text_len, text_dim)."""

    def encode_image(self, picture: Tensor) -> Tensor:
        """Picture (B, 3, H, W) to tokens (B, tokens, image_dim)."""

    def encode_speech(self, samples: Tensor, num_frames: int) -> Tensor:
        """Normalised 16 kHz sound (P, n) to features (P, num_frames, layers, channels)."""

    def encode_video(self, video: Tensor) -> Tensor:
        """Video (B, 3, 4n + 1, H, W) to latents (B, C, n + 1, H / stride, W / stride)."""

    def decode_video(self, latents: Tensor) -> Tensor:
        """The inverse of `encode_video`."""

    def fill_latents(self, picture: Tensor, num_latent_frames: int, fill: str) -> Tensor:
        """Condition latents (B, C, F, h, w) of frames that are not known, by `PipelineConfig.fill_condition`."""
