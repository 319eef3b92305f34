"""What every synthesiser of training speech gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from polytalk.tts.phonemes import Phoneme
from polytalk.tts.speech import Speech, levelled, trimmed
from polytalk.units import SAMPLE_RATE

_MARGIN = 0.12  # seconds of silence kept before and after an utterance


def make_speech(samples: np.ndarray, phonemes: Sequence[Phoneme], voice: str, text: str, language: str) -> Speech:
    """A `Speech` from raw synthesis at 16 kHz: silence around it trimmed to 0.12 s, times moved along, RMS set to 0.1.

    Raises:
        PolytalkError: nothing is said, or the voice gave silence.
    """
    cut, moved = trimmed(samples, SAMPLE_RATE, phonemes, _MARGIN)
    return Speech(levelled(cut, SAMPLE_RATE, moved, voice), SAMPLE_RATE, moved, voice, text, language)


class SpeechSource(Protocol):
    """A synthesiser."""

    name: str
    licence: str

    def speak(self, rng: np.random.Generator) -> Speech:
        """A random utterance."""
        ...
