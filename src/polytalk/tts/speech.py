"""What a synthesiser returns: sound, and which phoneme is heard when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.media.audio import Sound
from polytalk.tts.phonemes import SILENCE, Phoneme

_LEVEL = 0.1  # RMS of the spoken part, about −20 dBFS
_PEAK = 0.99
_FADE = 0.01  # seconds


@dataclass(frozen=True, eq=False)
class Speech:
    """One utterance."""

    samples: np.ndarray
    """float32 (n,), peak at most 1."""
    sample_rate: int
    """Hz."""
    phonemes: tuple[Phoneme, ...]
    """(symbol of `phonemes.PHONEMES`, start, end) in seconds, in order, gap-free; pauses are "sil"."""
    voice: str
    """Who speaks; the same string means the same speaker."""
    text: str
    """What is said ("" for nonsense syllables)."""
    language: str
    """Code such as "en" or "de"."""

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / self.sample_rate

    @property
    def sound(self) -> Sound:
        """The samples alone."""
        return Sound(self.samples, self.sample_rate)


def trimmed(
    samples: np.ndarray, sample_rate: int, phonemes: Sequence[Phoneme], margin: float, field: str = "text"
) -> tuple[np.ndarray, tuple[Phoneme, ...]]:
    """Sound from `margin` seconds before the first phoneme to `margin` after the last, and the times moved along.

    Raises:
        PolytalkError: nothing but silence.
    """
    spoken = [phoneme for phoneme in phonemes if phoneme[0] != SILENCE]
    if not spoken:
        raise PolytalkError(field, "nothing is said in it", "Give a text with words.")
    start = max(spoken[0][1] - margin, 0.0)
    stop = min(spoken[-1][2] + margin, len(samples) / sample_rate)
    first = round(start * sample_rate)
    cut = np.asarray(samples[first : round(stop * sample_rate)], dtype=np.float32)
    shift, end = first / sample_rate, len(cut) / sample_rate
    moved = [(symbol, max(a - shift, 0.0), min(b - shift, end)) for symbol, a, b in phonemes]
    return cut, tuple(phoneme for phoneme in moved if phoneme[2] > phoneme[1])


def levelled(samples: np.ndarray, sample_rate: int, phonemes: Sequence[Phoneme], voice: str) -> np.ndarray:
    """Samples whose spoken part has an RMS of 0.1, or less where the peak would pass 0.99.

    Raises:
        PolytalkError: the voice gave silence.
    """
    spoken = [phoneme for phoneme in phonemes if phoneme[0] != SILENCE]
    active = samples[round(spoken[0][1] * sample_rate) : round(spoken[-1][2] * sample_rate)]
    level = float(np.sqrt(np.mean(np.square(active), dtype=np.float64)))
    if level < 1e-5:
        raise PolytalkError("voice", f"{voice} gave silence", "Try another voice.")
    return samples * np.float32(min(_LEVEL / level, _PEAK / float(np.abs(samples).max())))


def joined(
    parts: Sequence[tuple[np.ndarray, Sequence[Phoneme]]], pauses: Sequence[float], sample_rate: int
) -> tuple[np.ndarray, tuple[Phoneme, ...]]:
    """Phrases one after the other: sound (n,) and gap-free phonemes.

    Args:
        parts: samples (n,) and phonemes of each phrase.
        pauses: seconds of silence after each phrase but the last.
        sample_rate: Hz.
    """
    sound: list[np.ndarray] = []
    phonemes: list[Phoneme] = []
    at = 0  # samples so far
    for number, (samples, said) in enumerate(parts):
        silence = round(pauses[number] * sample_rate) if number < len(parts) - 1 else 0
        sound += [_faded(samples, sample_rate), np.zeros(silence, np.float32)]
        for symbol, start, end in said:
            _append(phonemes, (symbol, at / sample_rate + start, at / sample_rate + end))
        at += len(samples)
        if silence:
            _append(phonemes, (SILENCE, at / sample_rate, (at + silence) / sample_rate))
        at += silence
    return np.concatenate(sound), tuple(phonemes)


def _append(phonemes: list[Phoneme], phoneme: Phoneme) -> None:
    """Adds a phoneme that begins where the last one ended; silence after silence is one silence."""
    symbol, start, end = phoneme
    start = phonemes[-1][2] if phonemes else start
    if end <= start:
        return
    if phonemes and symbol == SILENCE == phonemes[-1][0]:
        phonemes[-1] = (SILENCE, phonemes[-1][1], end)
    else:
        phonemes.append((symbol, start, end))


def _faded(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """A phrase that comes and goes without a click."""
    count = min(round(_FADE * sample_rate), len(samples) // 2)
    ramp = np.linspace(0, 1, count + 1, dtype=np.float32)[1:]
    faded = samples.astype(np.float32)
    faded[:count] *= ramp
    faded[len(faded) - count :] *= ramp[::-1]
    return faded
