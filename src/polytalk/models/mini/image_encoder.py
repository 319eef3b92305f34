"""The embedded model's image encoder: a few tokens that say what the reference picture shows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn


class MiniImageEncoder(ModelMixin, ConfigMixin):
    """Convolutions to 1/32 of the resolution, pooled to a fixed grid of tokens.

    Args:
        channels: width of the tokens.
        grid: tokens along each side.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self, channels: int = 128, grid: int = 6) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, channels // 4, 8, stride=8)
        self.conv1 = nn.Conv2d(channels // 4, channels // 2, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(channels // 2, channels, 3, padding=1)
        self.norm = nn.LayerNorm(channels)
        self.position = nn.Parameter(0.02 * torch.randn(grid * grid, channels))
        self.out = nn.Linear(channels, channels)

    def forward(self, picture: Tensor) -> Tensor:
        """Picture (B, 3, H, W) in -1..1 to tokens (B, grid², channels)."""
        hidden = self.conv2(F.gelu(self.conv1(F.gelu(self.conv_in(picture)))))
        pooled = F.adaptive_avg_pool2d(hidden, self.config.grid).flatten(2).transpose(1, 2)
        return self.out(self.norm(pooled) + self.position.to(pooled.dtype))
