"""The embedded model's speech encoder: log-mel in, stacked layer outputs at 25 frames a second out."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from polytalk.units import SAMPLE_RATE

HOP = 160
WINDOW = 400
FFT = 512
FRAME = 640
"""Samples of one video frame at 25 frames a second."""


def mel_filters(num_mels: int, low: float = 50.0, high: float = 7600.0) -> Tensor:
    """Triangular filters (num_mels, FFT//2 + 1) on the mel scale (O'Shaughnessy 1987)."""
    edges_mel = torch.linspace(2595 * math.log10(1 + low / 700), 2595 * math.log10(1 + high / 700), num_mels + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    bins = torch.arange(FFT // 2 + 1) * SAMPLE_RATE / FFT
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0)


class ConvBlock(nn.Module):
    """Depthwise convolution in time, then a feed-forward layer (ConvNeXt, arXiv 2201.03545), added to the input."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.up = nn.Linear(channels, 2 * channels)
        self.down = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to the same."""
        hidden = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.down(F.gelu(self.up(self.norm(hidden))))


class MiniSpeechEncoder(ModelMixin, ConfigMixin):
    """Log-mel, a front at 100 frames a second, then residual blocks at 25; every block's output is handed on.

    Args:
        num_mels: mel channels.
        front_channels: width at 100 frames a second.
        hidden_channels: width at 25 frames a second.
        channels: width of each output layer.
        layers: number of blocks, and of output layers.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        num_mels: int = 64,
        front_channels: int = 96,
        hidden_channels: int = 192,
        channels: int = 96,
        layers: int = 4,
    ) -> None:
        super().__init__()
        self.register_buffer("filters", mel_filters(num_mels), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.front_in = nn.Conv1d(num_mels, front_channels, 5, padding=2)
        self.front = nn.ModuleList(ConvBlock(front_channels, 9) for _ in range(2))
        self.down = nn.Conv1d(front_channels, hidden_channels, 8, stride=4, padding=2)
        self.blocks = nn.ModuleList(ConvBlock(hidden_channels, 7) for _ in range(layers))
        self.outs = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden_channels), nn.Linear(hidden_channels, channels)) for _ in range(layers)
        )

    def log_mel(self, samples: Tensor) -> Tensor:
        """Samples (B, n) to log-mel (B, num_mels, n // HOP), about -1..1, in float32."""
        samples = samples.float()
        window, filters = self.window.float(), self.filters.float()
        spectrum = torch.stft(samples, FFT, HOP, WINDOW, window, center=True, pad_mode="constant", return_complex=True)
        power = spectrum[..., : samples.shape[-1] // HOP].abs().square()
        return (torch.einsum("mf,bft->bmt", filters, power).clamp(min=1e-3).log10() - 0.5) / 2

    def forward(self, samples: Tensor, num_frames: int) -> Tensor:
        """Speech features.

        Args:
            samples: (B, n) mono, 16 kHz, zero mean and unit deviation (all zeros for a silent speaker).
            num_frames: T, video frames at 25 a second; the sound is cut or filled with silence to fit.

        Returns:
            (B, T, layers, channels).
        """
        wanted = num_frames * FRAME
        samples = F.pad(samples, (0, max(0, wanted - samples.shape[-1])))[..., :wanted]
        mel = self.log_mel(samples).to(self.front_in.weight.dtype)
        hidden = F.gelu(self.front_in(mel)).transpose(1, 2)
        for block in self.front:
            hidden = block(hidden)
        hidden = self.down(hidden.transpose(1, 2)).transpose(1, 2)
        outputs = []
        for block, out in zip(self.blocks, self.outs, strict=True):
            hidden = block(hidden)
            outputs.append(out(hidden))
        return torch.stack(outputs, dim=2)
