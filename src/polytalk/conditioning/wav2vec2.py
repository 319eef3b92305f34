"""The released model's speech encoder: wav2vec2 heard at the video's frame rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from polytalk.conditioning.speech import num_feature_frames
from polytalk.units import SAMPLE_RATE

if TYPE_CHECKING:
    from transformers import Wav2Vec2Model

CHUNK = 30 * SAMPLE_RATE
"""Samples convolved at once: the first layer alone makes 400 bytes of each."""


class Wav2Vec2SpeechEncoder:
    """A `SpeechEncoder` over transformers' wav2vec2.

    The convolutional features, 50 a second, are interpolated to one per video frame before the transformer, so that
    each of its layers speaks of frames; the layers' outputs are stacked, the embedding left out.

    Args:
        model: a loaded Wav2Vec2Model; put into evaluation mode.
    """

    def __init__(self, model: Wav2Vec2Model) -> None:
        self.model = model.eval()

    @torch.no_grad()
    def __call__(self, samples: torch.Tensor) -> torch.Tensor:
        """Samples (n,), 16 kHz, standardised → (n·25 // 16000, layers, channels)."""
        frames = num_feature_frames(samples.shape[-1])
        convolved = convolve(self.model, samples[None])
        per_frame = F.interpolate(convolved, size=frames, mode="linear", align_corners=True)
        hidden, _ = self.model.feature_projection(per_frame.transpose(1, 2))
        return torch.stack(self._layer_outputs(hidden), dim=2)[0]

    def _layer_outputs(self, hidden: torch.Tensor) -> list[torch.Tensor]:
        # Called by itself the encoder does not hand out its layers' outputs in every version of transformers.
        outputs: list[torch.Tensor] = []

        def keep(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            outputs.append(output[0] if isinstance(output, tuple) else output)

        with ExitStack() as hooks:
            for layer in self.model.encoder.layers:
                hooks.callback(layer.register_forward_hook(keep).remove)
            self.model.encoder(hidden)
        return outputs


def convolve(model: Wav2Vec2Model, samples: torch.Tensor, chunk: int = CHUNK) -> torch.Tensor:
    """wav2vec2's convolutional features of a long track, piece by piece.

    The first layer is normalised over the whole track, so that its statistics are gathered first; the pieces then give
    what the whole would, in a fraction of its memory.

    Args:
        model: the network.
        samples: (1, n) at 16 kHz.
        chunk: samples per piece.

    Returns:
        (1, channels, about n / 320).
    """
    config: Any = model.config
    stride, field = math.prod(config.conv_stride), _receptive_field(config.conv_kernel, config.conv_stride)
    first, *others = model.feature_extractor.conv_layers
    norm = getattr(first, "layer_norm", None)
    if samples.shape[1] <= max(chunk, field) or not isinstance(norm, torch.nn.GroupNorm):
        return model.feature_extractor(samples)

    mean, variance = _statistics(first.conv, samples, chunk)
    scale = norm.weight / (variance + norm.eps).sqrt()
    shift = norm.bias - mean * scale
    frames, step = (samples.shape[1] - field) // stride + 1, max(1, chunk // stride)
    pieces = []
    for start in range(0, frames, step):
        stop = min(start + step, frames)
        states = first.conv(samples[:, None, start * stride : (stop - 1) * stride + field])
        states = first.activation(states * scale[:, None] + shift[:, None])
        for layer in others:
            states = layer(states)
        pieces.append(states)
    return torch.cat(pieces, dim=2)


def _statistics(conv: torch.nn.Conv1d, samples: torch.Tensor, chunk: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance over time of each channel (channels,) of a convolution of (1, n)."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    count, step = (samples.shape[1] - kernel) // stride + 1, max(1, chunk // stride)
    total = squares = torch.zeros(conv.out_channels, dtype=torch.float64)
    for start in range(0, count, step):
        stop = min(start + step, count)
        states = conv(samples[:, None, start * stride : (stop - 1) * stride + kernel])[0].double().cpu()
        total, squares = total + states.sum(dim=1), squares + states.square().sum(dim=1)
    mean = total / count
    variance = squares / count - mean.square()
    return mean.to(samples), variance.clamp(min=0).to(samples)


def _receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Samples that one feature is made of."""
    field, jump = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field, jump = field + (kernel - 1) * jump, jump * stride
    return field
