"""What mini's speech features tell of a mouth: python benchmarks/speech_features.py [--weights FILE]

A linear reader of the features (`polytalk.evaluation.readers.voice_reader`) reads opening, width and rounding off the packaged
voices, which no training has heard, in conversations of two with turns and overlaps. Its correlation with the truth
while somebody speaks, mean over people, is about the most that a network which hears only these features can reach.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from polytalk.evaluation.measures.metrics import pearson
from polytalk.evaluation.readers.voice_reader import VoiceReader
from polytalk.evaluation.scenes.held_out import evaluation_voices
from polytalk.models.mini.speech_encoder import MiniSpeechEncoder
from polytalk.synthetic.speech.conversation import draw_conversation

NAMES = ("opening", "width", "rounding")
FRAMES = 65
LEAST = 12
"""Frames that somebody must speak."""


def trained_reader(weights: Path) -> VoiceReader:
    """The reader of another run of stage "speech"."""
    tensors = load_file(weights)
    encoder = MiniSpeechEncoder()
    encoder.load_state_dict({name.removeprefix("encoder."): value for name, value in tensors.items()
                             if name.startswith("encoder.")}, strict=False)  # fmt: skip
    return VoiceReader(encoder, tensors["frame_reader.weight"], tensors["frame_reader.bias"])


def main() -> None:
    """Print the correlations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="of stage speech; the shipped ones by default")
    parser.add_argument("--conversations", type=int, default=64)
    arguments = parser.parse_args()
    reader = VoiceReader.from_pretrained() if arguments.weights is None else trained_reader(arguments.weights)
    found = []
    for number in range(arguments.conversations):
        rng = np.random.default_rng([20, number])
        talk = draw_conversation(evaluation_voices(), rng, 2, FRAMES, bool(number % 2))
        for read, true in zip(reader(talk.audio), talk.mouth, strict=True):
            spoken = true[:, 0] > 0
            if spoken.sum() >= LEAST:
                found.append([pearson(read[spoken, place], true[spoken, place]) for place in range(len(NAMES))])
    for name, value in zip(NAMES, np.nanmean(found, axis=0), strict=True):
        print(f"{name:9} {value:.3f}")
    print(f"{len(found)} voices of {arguments.conversations} conversations")


if __name__ == "__main__":
    main()
