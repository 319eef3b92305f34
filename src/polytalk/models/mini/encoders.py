"""The embedded model's encoders: what is said, what the picture shows, what is heard.

Text: hashed character n-grams per word, then two transformer layers. Picture: a few tokens. Sound: log-mel in, stacked
layer outputs at 25 frames a second out.
"""

from __future__ import annotations

import math
import re
import zlib

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from polytalk.units import SAMPLE_RATE, SAMPLES_PER_FRAME

WORD = re.compile(r"\w+|[^\w\s]")

HOP = 160
WINDOW = 400
FFT = 512


class MiniTextEncoder(ModelMixin, ConfigMixin):
    """A word is the mean of its hashed n-grams (fastText, arXiv 1607.04606), so that no word is unknown.

    Args:
        text_len: words kept of a prompt.
        buckets: size of the hash table.
        grams: n-grams kept of a word, the whole word first.
        channels: width.
        layers: transformer layers.
        heads: attention heads.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        text_len: int = 48,
        buckets: int = 2048,
        grams: int = 12,
        channels: int = 128,
        layers: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(buckets + 1, channels, padding_idx=0)
        self.position = nn.Parameter(0.02 * torch.randn(text_len, channels))
        layer = nn.TransformerEncoderLayer(
            channels, heads, 2 * channels, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, layers, nn.LayerNorm(channels), enable_nested_tensor=False)

    def tokenize(self, prompts: list[str]) -> Tensor:
        """Prompts to hash buckets (B, text_len, grams), zero where there is none. An empty prompt is one empty word."""
        text_len, grams = self.config.text_len, self.config.grams
        ids = torch.zeros(len(prompts), text_len, grams, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            for column, word in enumerate((WORD.findall(prompt.lower()) or [""])[:text_len]):
                for slot, gram in enumerate(word_grams(word)[:grams]):
                    ids[row, column, slot] = 1 + zlib.crc32(gram.encode()) % self.config.buckets
        return ids

    def forward(self, ids: Tensor) -> Tensor:
        """Buckets (B, text_len, grams) to features (B, text_len, channels), zero behind the last word."""
        counts = (ids > 0).sum(dim=-1, keepdim=True)
        words = self.embedding(ids).sum(dim=2) / counts.clamp(min=1)
        absent = counts.squeeze(-1) == 0
        hidden = self.transformer(words + self.position.to(words.dtype), src_key_padding_mask=absent)
        return hidden.masked_fill(absent.unsqueeze(-1), 0)


def word_grams(word: str) -> list[str]:
    """The word itself, marked at its ends, then its 3-grams and 4-grams."""
    marked = f"<{word}>"
    return [marked] + [marked[i : i + n] for n in (3, 4) for i in range(len(marked) - n + 1) if n < len(marked)]


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
        wanted = num_frames * SAMPLES_PER_FRAME
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
