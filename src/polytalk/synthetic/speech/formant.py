"""A tiny formant synthesiser in numpy: always available, phoneme times exact by construction, any number of speakers.

Voiced sound is a sum of harmonics whose amplitudes follow three moving resonances (source-filter model, Fant 1960;
formant values after Peterson and Barney 1952); hiss and bursts are noise shaped in the same way.
"""

from __future__ import annotations

import numpy as np

from polytalk.synthetic.speech.source import make_speech
from polytalk.tts.phonemes import SILENCE, Phoneme
from polytalk.tts.speech import Speech
from polytalk.units import SAMPLE_RATE

_STEP = 160  # samples between parameter frames (10 ms)

# phoneme -> (F1, F2, F3 in Hz, voicing 0..1, noise 0..1, noise centre in Hz)
_SOUNDS: dict[str, tuple[float, float, float, float, float, float]] = {
    "a": (760, 1250, 2550, 1, 0, 0), "ɑ": (730, 1090, 2440, 1, 0, 0), "æ": (660, 1720, 2410, 1, 0, 0),
    "ʌ": (640, 1190, 2390, 1, 0, 0), "ə": (500, 1450, 2450, 0.9, 0, 0), "ɛ": (530, 1840, 2480, 1, 0, 0),
    "e": (420, 2050, 2600, 1, 0, 0), "i": (270, 2290, 3010, 0.9, 0, 0), "ɪ": (390, 1990, 2550, 0.9, 0, 0),
    "o": (450, 850, 2400, 1, 0, 0), "ɔ": (570, 840, 2410, 1, 0, 0), "u": (300, 870, 2240, 0.9, 0, 0),
    "ʊ": (440, 1020, 2240, 0.9, 0, 0), "m": (250, 1000, 2200, 0.35, 0, 0), "n": (250, 1600, 2600, 0.35, 0, 0),
    "ŋ": (250, 2100, 2700, 0.3, 0, 0), "b": (200, 800, 2200, 0.06, 0, 0), "d": (200, 1700, 2600, 0.06, 0, 0),
    "ɡ": (200, 2000, 2500, 0.06, 0, 0), "p": (300, 800, 2200, 0, 0, 0), "t": (300, 1700, 2600, 0, 0, 0),
    "k": (300, 2000, 2500, 0, 0, 0), "f": (300, 1100, 2300, 0, 0.12, 6000), "v": (250, 1100, 2300, 0.3, 0.06, 5500),
    "s": (300, 1700, 2600, 0, 0.3, 6500), "z": (250, 1700, 2600, 0.25, 0.2, 6500),
    "ʃ": (300, 1900, 2600, 0, 0.35, 3200),
    "h": (500, 1500, 2500, 0, 0.12, 1500), "l": (360, 1100, 2600, 0.6, 0, 0), "ɹ": (350, 1200, 1600, 0.6, 0, 0),
    "w": (290, 650, 2200, 0.6, 0, 0), "j": (270, 2200, 3000, 0.6, 0, 0),
}  # fmt: skip
_BURST = {"p": 1200, "b": 1000, "t": 4500, "d": 4000, "k": 2200, "ɡ": 2000}  # Hz
_VOWELS = ("a", "ɑ", "æ", "ʌ", "ə", "ɛ", "e", "i", "ɪ", "o", "ɔ", "u", "ʊ")
_ONSETS = ("p", "b", "m", "f", "v", "t", "d", "n", "s", "z", "ʃ", "k", "ɡ", "h", "l", "ɹ", "w", "j")


def synthesise(phonemes: tuple[Phoneme, ...], pitch: np.ndarray, tract: float, rng: np.random.Generator) -> np.ndarray:
    """Phonemes -> float32 (n,) at 16 kHz.

    Args:
        phonemes: symbols of the table above (or silence), seconds.
        pitch: (2,) Hz at the beginning and at the end of the utterance.
        tract: factor on all formants, 1 = a man's vocal tract, 1.2 a woman's.
    """
    frames = int(np.ceil(phonemes[-1][2] * SAMPLE_RATE / _STEP)) + 1
    times = np.arange(frames) * _STEP / SAMPLE_RATE
    values = np.zeros((frames, 6))
    values[:, :3] = (500, 1500, 2500)
    for symbol, start, end in phonemes:
        here = (times >= start) & (times < end)
        if symbol == SILENCE:
            continue
        values[here] = _SOUNDS[symbol]
        if symbol in _BURST:  # the last 15 ms of a stop are its release
            release = here & (times >= end - 0.015)
            values[release, 4], values[release, 5] = 0.3, _BURST[symbol]
    kernel = np.hanning(7)[1:-1] / np.hanning(7).sum()
    padded = np.pad(values[:, :4], ((2, 2), (0, 0)), mode="edge")
    values[:, :4] = np.stack([np.convolve(padded[:, i], kernel, "valid") for i in range(4)], axis=1)
    count = frames * _STEP
    position = np.arange(count) / _STEP
    f0 = np.interp(position, [0, frames], pitch) * (1 + 0.02 * np.sin(2 * np.pi * 5 * np.arange(count) / SAMPLE_RATE))
    return (_voiced(values, f0, position, tract) + _noise(values, rng)).astype(np.float32)


def _resonance(frequency: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """Gain (n, k) of three resonances at (n, 3) Hz for frequencies (n, k)."""
    gain = np.zeros_like(frequency)
    for number, (width, strength) in enumerate(((90, 1.0), (110, 0.5), (170, 0.25))):
        gain += strength / (1 + ((frequency - formants[:, number : number + 1]) / width) ** 2)
    return gain + 0.01


def _voiced(values: np.ndarray, f0: np.ndarray, position: np.ndarray, tract: float) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE
    slow = f0[::_STEP]
    number = np.arange(1, max(int(5500 / slow.max()), 2) + 1)
    tilt = number**-0.6
    gain = _resonance(slow[:, None] * number, values[:, :3] * tract) * tilt * values[:, 3:4]
    sound = np.zeros(len(f0))
    frames = np.arange(len(gain))
    for index, k in enumerate(number):
        sound += np.interp(position, frames, gain[:, index]) * np.sin(k * phase)
    return 0.25 * sound


def _noise(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    window = np.hanning(2 * _STEP + 1)[:-1]
    frequency = np.fft.rfftfreq(2 * _STEP, 1 / SAMPLE_RATE)
    sound = np.zeros((len(values) + 1) * _STEP)
    for number in np.flatnonzero(values[:, 4] > 0):
        shape = np.exp(-0.5 * ((frequency - values[number, 5]) / 1200) ** 2)
        spectrum = np.fft.rfft(rng.standard_normal(2 * _STEP)) * shape
        at = number * _STEP
        sound[at : at + 2 * _STEP] += values[number, 4] * window * np.fft.irfft(spectrum, 2 * _STEP)
    return 0.6 * sound[_STEP // 2 :][: len(values) * _STEP]


class FormantSource:
    """Nonsense syllables by a drawn speaker; needs nothing installed."""

    name = "formant"
    licence = "Apache-2.0 (part of Polytalk)"
    speakers = 24

    @staticmethod
    def missing() -> str | None:
        """Always installed."""
        return None

    def speak(self, rng: np.random.Generator) -> Speech:
        """One to five nonsense words."""
        speaker = int(rng.integers(self.speakers))
        traits = np.random.default_rng([20, speaker])
        base = float(traits.uniform(85, 260))
        tract = 0.95 + 0.3 * (base - 85) / 175 + float(traits.normal(0, 0.03))
        phonemes = self._words(rng, float(rng.uniform(0.8, 1.3)))
        pitch = base * np.array([rng.uniform(1.0, 1.2), rng.uniform(0.8, 1.05)])
        samples = synthesise(phonemes, pitch, tract, rng)
        return make_speech(samples, phonemes, f"formant:{speaker}", "", "none")

    @staticmethod
    def _words(rng: np.random.Generator, pace: float) -> tuple[Phoneme, ...]:
        now, result = 0.15, [(SILENCE, 0.0, 0.15)]
        for _ in range(int(rng.integers(1, 6))):
            for _ in range(int(rng.integers(1, 4))):
                sounds = [str(rng.choice(_ONSETS))] if rng.random() < 0.9 else []
                sounds.append(str(rng.choice(_VOWELS)))
                if rng.random() < 0.3:
                    sounds.append(str(rng.choice(("m", "n", "s", "t", "p", "l", "k"))))
                for sound in sounds:
                    length = (rng.uniform(0.08, 0.2) if sound in _VOWELS else rng.uniform(0.055, 0.11)) / pace
                    result.append((sound, now, now + length))
                    now += length
            if rng.random() < 0.3:
                pause = rng.uniform(0.1, 0.35)
                result.append((SILENCE, now, now + pause))
                now += pause
        result.append((SILENCE, now, now + 0.15))
        return tuple(result)
