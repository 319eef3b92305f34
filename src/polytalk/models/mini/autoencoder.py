"""The embedded model's causal video autoencoder: 4x in time, 8x in space, 16 channels.

All convolutions are two-dimensional over groups of four frames; time is crossed by causal 1x1 convolutions on the
previous group's features. The first frame is repeated to fill its group, so that 4n+1 frames give n+1 latent frames. A
linear path beside each half starts as the principal components of 8x8x4 blocks; the convolutions learn the rest.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

TIME_GROUP = 4
SPACE_PATCH = 4


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a causal step in time, added to the input. No norm: sums stay tame by zero starts."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.previous = nn.Conv2d(channels, channels, 1, bias=False)
        for parameter in self.conv2.parameters():
            nn.init.zeros_(parameter)
        nn.init.zeros_(self.previous.weight)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B·F, C, h, w) to the same; ``frames`` is F."""
        hidden = self.conv1(F.silu(x))
        earlier = self.previous(x).unflatten(0, (-1, frames))
        hidden = hidden + F.pad(earlier[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0)).flatten(0, 1)
        return x + self.conv2(F.silu(hidden))


class MiniAutoencoder(ModelMixin, ConfigMixin):
    """Causal 3-D video autoencoder with deterministic latents of about unit deviation per channel.

    Args:
        latent_channels: channels of the latents.
        encoder_channels: widths at 1/4 and 1/8 of the picture's resolution.
        decoder_channels: widths at 1/8 and 1/4 of the picture's resolution.
        encoder_blocks: residual blocks at 1/4 and 1/8.
        decoder_blocks: residual blocks at 1/8 and 1/4.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 16,
        encoder_channels: tuple[int, int] = (64, 128),
        decoder_channels: tuple[int, int] = (192, 96),
        encoder_blocks: tuple[int, int] = (1, 2),
        decoder_blocks: tuple[int, int] = (3, 2),
    ) -> None:
        super().__init__()
        pixels = 3 * TIME_GROUP * SPACE_PATCH**2
        fine, coarse = encoder_channels
        self.encoder_in = nn.Conv2d(pixels, fine, 3, padding=1)
        self.encoder_fine = nn.ModuleList(ResidualBlock(fine) for _ in range(encoder_blocks[0]))
        self.encoder_down = nn.Conv2d(fine, coarse, 2, stride=2)
        self.encoder_coarse = nn.ModuleList(ResidualBlock(coarse) for _ in range(encoder_blocks[1]))
        self.encoder_out = nn.Conv2d(coarse, latent_channels, 3, padding=1)
        coarse, fine = decoder_channels
        self.decoder_in = nn.Conv2d(latent_channels, coarse, 3, padding=1)
        self.decoder_coarse = nn.ModuleList(ResidualBlock(coarse) for _ in range(decoder_blocks[0]))
        self.decoder_up = nn.Conv2d(coarse, fine * 4, 1)
        self.decoder_fine = nn.ModuleList(ResidualBlock(fine) for _ in range(decoder_blocks[1]))
        self.decoder_out = nn.Conv2d(fine, pixels, 3, padding=1)
        block = pixels * 4
        self.linear_in = nn.Conv2d(block, latent_channels, 1)
        self.linear_out = nn.Conv2d(latent_channels, block, 1)
        for last in (self.encoder_out, self.decoder_out):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)
        self.register_buffer("latents_mean", torch.zeros(latent_channels))
        self.register_buffer("latents_std", torch.ones(latent_channels))

    @torch.no_grad()
    def start_from_components(self, video: Tensor) -> None:
        """Set the linear paths to the whitened principal components of videos (B, 3, T, H, W) in -1..1."""
        blocks = F.pixel_unshuffle(self._groups(video), 2 * SPACE_PATCH)
        rows = blocks.permute(0, 2, 3, 1).flatten(0, 2).float()
        mean = rows.mean(dim=0)
        _, _, directions = torch.pca_lowrank(rows - mean, self.linear_in.out_channels, niter=4)
        deviation = ((rows - mean) @ directions).std(dim=0)
        assert self.linear_in.bias is not None
        assert self.linear_out.bias is not None
        self.linear_in.weight.copy_((directions / deviation).T[:, :, None, None])
        self.linear_in.bias.copy_(-(directions / deviation).T @ mean)
        self.linear_out.weight.copy_((directions * deviation)[:, :, None, None])
        self.linear_out.bias.copy_(mean)

    def encode(self, video: Tensor) -> Tensor:
        """Video (B, 3, T, H, W) in -1..1, T = 4n+1, H and W multiples of 8, to latents (B, C, n+1, H/8, W/8)."""
        latents = self.encode_raw(video)
        return (latents - self._per_channel(self.latents_mean, latents)) / self._per_channel(self.latents_std, latents)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, C, F, h, w) to video (B, 3, 4F-3, 8h, 8w), about -1..1 (not clamped)."""
        raw = latents * self._per_channel(self.latents_std, latents) + self._per_channel(self.latents_mean, latents)
        return self.decode_raw(raw)

    def still(self, picture: Tensor, num_latent_frames: int) -> Tensor:
        """Latents (B, C, F, H/8, W/8) of a picture (B, 3, H, W) repeated in time."""
        settled = 1 + TIME_GROUP * min(num_latent_frames - 1, self.time_reach)
        latents = self.encode(picture.unsqueeze(2).expand(-1, -1, settled, -1, -1))
        missing = num_latent_frames - latents.shape[2]
        return torch.cat([latents, latents[:, :, -1:].expand(-1, -1, missing, -1, -1)], dim=2)

    @property
    def time_reach(self) -> int:
        """Latent frames after which a still picture's latents no longer change."""
        return len(self.encoder_fine) + len(self.encoder_coarse)

    def encode_raw(self, video: Tensor) -> Tensor:
        """As `encode`, before the latents are normalised."""
        batch, frames = len(video), (video.shape[2] + TIME_GROUP - 1) // TIME_GROUP
        groups = self._groups(video)
        hidden = F.pixel_unshuffle(groups, SPACE_PATCH).contiguous(memory_format=torch.channels_last)
        hidden = self.encoder_in(hidden)
        for block in self.encoder_fine:
            hidden = block(hidden, frames)
        hidden = self.encoder_down(hidden)
        for block in self.encoder_coarse:
            hidden = block(hidden, frames)
        blocks = F.pixel_unshuffle(groups, 2 * SPACE_PATCH).contiguous(memory_format=torch.channels_last)
        latents = self.encoder_out(F.silu(hidden)) + self.linear_in(blocks)
        return latents.unflatten(0, (batch, frames)).transpose(1, 2)

    @staticmethod
    def _groups(video: Tensor) -> Tensor:
        """(B, 3, 4n+1, H, W) to (B·(n+1), 12, H, W), the first frame repeated."""
        video = torch.cat([video[:, :, :1].expand(-1, -1, TIME_GROUP - 1, -1, -1), video], dim=2)
        return video.unflatten(2, (-1, TIME_GROUP)).transpose(1, 2).flatten(0, 1).flatten(1, 2)

    def decode_raw(self, latents: Tensor) -> Tensor:
        """As `decode`, for latents that are not normalised."""
        batch, _, frames = latents.shape[:3]
        hidden = latents.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        linear = F.pixel_shuffle(self.linear_out(hidden), 2 * SPACE_PATCH)
        hidden = self.decoder_in(hidden)
        for block in self.decoder_coarse:
            hidden = block(hidden, frames)
        hidden = F.pixel_shuffle(self.decoder_up(hidden), 2)
        for block in self.decoder_fine:
            hidden = block(hidden, frames)
        groups = F.pixel_shuffle(self.decoder_out(F.silu(hidden)), SPACE_PATCH) + linear
        height, width = groups.shape[-2:]
        video = groups.reshape(batch, frames, 3, TIME_GROUP, height, width).transpose(1, 2)
        return video.flatten(2, 3)[:, :, TIME_GROUP - 1 :]

    @staticmethod
    def _per_channel(values: Tensor, like: Tensor) -> Tensor:
        return values.to(like.dtype).view(1, -1, 1, 1, 1)
