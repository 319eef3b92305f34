"""The released model's speech encoder: wav2vec2 heard at the video's frame rate."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from transformers import Wav2Vec2Model

from polytalk.conditioning.speech import num_feature_frames


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
        convolved = self.model.feature_extractor(samples[None])
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
