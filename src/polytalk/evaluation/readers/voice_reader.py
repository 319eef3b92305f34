"""What a voice asks of a mouth, heard from its sound.

Mini's speech encoder was trained to tell mouths from sound, with the exact times of synthetic phonemes as truth; its
linear reader, three rows of weights, is all that has to be added to hear what a mouth should do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from polytalk.assets import asset, model_folder
from polytalk.conditioning.speech import encode_speech, num_feature_frames
from polytalk.models.mini.encoders import MiniSpeechEncoder

WEIGHTS = "voice_reader.safetensors"


class VoiceReader:
    """Sound to mouth shapes at 25 frames a second."""

    def __init__(self, encoder: MiniSpeechEncoder, weight: torch.Tensor, bias: torch.Tensor) -> None:
        self._encoder, self._weight, self._bias = encoder.float().eval(), weight.float(), bias.float()

    @classmethod
    def from_pretrained(cls) -> VoiceReader:
        """The one that comes with Polytalk."""
        encoder = MiniSpeechEncoder.from_pretrained(model_folder("mini") / "speech_encoder")
        tensors = load_file(asset(WEIGHTS))
        return cls(encoder, tensors["weight"], tensors["bias"])

    @torch.no_grad()
    def __call__(self, tracks: np.ndarray) -> np.ndarray:
        """Opening, width, rounding (P, T, 3), about 0..1, of voices float32 (P, samples) at 16 kHz."""

        def encode(samples: torch.Tensor) -> torch.Tensor:
            return self._encoder(samples[None], num_feature_frames(samples.shape[-1]))[0]

        features = encode_speech(tracks, encode).features.flatten(2)
        return (features.float() @ self._weight.T + self._bias).clamp(0, 1).numpy()


def main() -> None:
    """Cut the reader out of the weights of stage "speech"."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("src/polytalk/assets") / WEIGHTS)
    arguments = parser.parse_args()
    tensors = load_file(arguments.weights)
    save_file({name: tensors[f"frame_reader.{name}"].contiguous() for name in ("weight", "bias")}, arguments.out)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
