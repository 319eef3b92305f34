"""hibari-tts (Apache-2.0, Maureese Williams): English, 8 MB a voice, a hundred times faster than real time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polytalk.tts.conversion import Timbre, change_timbre
from polytalk.tts.durations import UNIT, expose, open_session, snap_pauses, token_times
from polytalk.tts.phonemes import Phoneme

SAMPLE_RATE = 24_000
"""Hz of what it says."""


@dataclass(frozen=True, eq=False)
class Render:
    """What the network made of a phoneme string, at its speaker's own pitch."""

    samples: np.ndarray
    """float32 (n,), 24 kHz."""
    pitch: np.ndarray
    """Hz, one per 12.5 ms, 0 where unvoiced."""
    units: np.ndarray
    """Length of each token, pads included, in units of 25 ms."""


class HibariModel:
    """One voice of hibari: phonemes to sound.

    Args:
        name: of the voice as hibari calls it; "heart" is in its package, others are fetched when first used.

    Raises:
        ModuleNotFoundError: hibari-tts is not installed.
        RuntimeError: the voice must be fetched and there is no connection.
    """

    def __init__(self, name: str = "heart") -> None:
        from hibari import Hibari

        self._tts: Any = Hibari(name)
        model = Path(self._tts.model_path).read_bytes()
        self._tts.sess = None
        self._session = open_session(expose(model, "/Round_output_0"))

    def known(self, phonemes: str) -> str:
        """The phonemes that the network knows."""
        return "".join(c for c in phonemes if c in self._tts.vocab)

    def render(self, tokens: str, speed: float, rng: np.random.Generator) -> Render:
        """Sound of a phoneme string.

        Args:
            tokens: misaki phonemes; those that the network does not know must have been left out (`known`).
            speed: 1 is the speaker's own.
            rng: of the breath noise.
        """
        from hibari import dsp

        feed = {"ids": np.asarray([self._tts.ids(tokens)], np.int64), "speed": np.asarray([speed], np.float32)}
        *spectrum, units = self._session.run(None, feed)
        samples = dsp.synth(*(part[0] for part in spectrum), rng)
        return Render(np.asarray(samples, np.float32), spectrum[-1][0], units.reshape(-1))

    def say(self, tokens: str, timbre: Timbre, rng: np.random.Generator) -> tuple[np.ndarray, tuple[Phoneme, ...]]:
        """Phonemes in a changed timbre: float32 (n,) at 24 kHz, and their times in seconds."""
        tokens = self.known(tokens)
        render = self.render(tokens, timbre.pace / timbre.formants, rng)
        samples = change_timbre(render.samples, render.pitch, SAMPLE_RATE, timbre)
        phonemes = token_times(tokens, render.units, UNIT / timbre.formants)
        return samples, snap_pauses(samples, SAMPLE_RATE, phonemes)
