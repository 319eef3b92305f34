"""Changes to a voice that keep its timing: room, microphone, telephone, noise.

All of them are cheap: tone and room are one multiplication between two Fourier transforms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.units import SAMPLE_RATE


@dataclass(frozen=True)
class Augmentation:
    """How often and how much a voice is changed.

    Args:
        speed: probability of another speed; pitch and formants move with it, as on a tape.
        speed_range: slowest and fastest factor.
        tone: probability of another frequency response; a quarter of these are a telephone's 300-3400 Hz.
        room: probability of reverberation.
        noise: probability of noise behind the voice.
        noise_snr_db: loudest and quietest noise, dB below the voice.
        bleed: probability that other speakers are faintly heard in a speaker's track.
        bleed_db: loudest and quietest bleed, dB relative to the other's own level.
        gain_db: range of the track's level.
    """

    speed: float = 0.6
    speed_range: tuple[float, float] = (0.82, 1.22)
    tone: float = 0.4
    room: float = 0.35
    noise: float = 0.45
    noise_snr_db: tuple[float, float] = (10.0, 40.0)
    bleed: float = 0.15
    bleed_db: tuple[float, float] = (-40.0, -22.0)
    gain_db: tuple[float, float] = (-12.0, 4.0)

    def __post_init__(self) -> None:
        for name in ("speed", "tone", "room", "noise", "bleed"):
            if not 0 <= getattr(self, name) <= 1:
                raise PolytalkError(f"Augmentation.{name}", f"{getattr(self, name)} is no probability", "Give 0 to 1.")
        low, high = self.speed_range
        if not 0.5 <= low <= high <= 2:
            raise PolytalkError("Augmentation.speed_range", f"{self.speed_range}", "Give two factors from 0.5 to 2.")

    def draw_speed(self, rng: np.random.Generator) -> float:
        """A factor, 1 if the speed stays."""
        low, high = np.log(self.speed_range)
        return float(np.exp(rng.uniform(low, high))) if rng.random() < self.speed else 1.0


def colour(samples: np.ndarray, rng: np.random.Generator, config: Augmentation) -> np.ndarray:
    """Tone and room of one drawn microphone and place.

    The direct sound stays where it was, and so do all times. Level: unchanged (same RMS).

    Args:
        samples: float32 (n,), 16 kHz.
    """
    tone, room = rng.random() < config.tone, rng.random() < config.room
    if not (tone or room):
        return samples
    tail = int(rng.uniform(0.06, 0.3) * SAMPLE_RATE) if room else 1
    size = _fast_length(len(samples) + tail)
    spectrum = np.fft.rfft(samples, size)
    if tone:
        spectrum *= _response(size // 2 + 1, rng)
    if room:
        spectrum *= np.fft.rfft(_impulse(tail, rng), size)
    result = np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)
    level, before = np.dot(result, result), np.dot(samples, samples)
    return result * np.float32(np.sqrt(before / level)) if level > 1e-12 else samples


def _fast_length(n: int) -> int:
    """The next size that is a power of two times 1, 3, 5 or 9 / 8."""
    power = 1 << max(n - 1, 1).bit_length()
    return min(size for size in (power, power // 8 * 5, power // 4 * 3, power // 16 * 9) if size >= n)


def _response(bins: int, rng: np.random.Generator) -> np.ndarray:
    """Zero-phase gain per frequency bin: a smooth drawn curve of +-8 dB, or a telephone's band."""
    frequency = np.linspace(0, SAMPLE_RATE / 2, bins, dtype=np.float32)
    points = np.array([0, 150, 400, 1000, 2500, 5000, 8000])
    decibels = rng.uniform(-8, 8, len(points))
    if rng.random() < 0.25:
        points, decibels = np.array([0, 200, 320, 3300, 3700, 8000]), np.array([-60.0, -40, 0, 0, -40, -60])
    return np.exp(np.interp(frequency, points, decibels) * (np.log(10) / 20)).astype(np.float32)


def _impulse(tail: int, rng: np.random.Generator) -> np.ndarray:
    """Impulse response of a small room: the direct sound at 0, then noise that dies away (60 dB in `tail` samples)."""
    impulse = rng.standard_normal(tail, dtype=np.float32) * np.exp(-6.9 / tail * np.arange(tail, dtype=np.float32))
    impulse[: int(0.002 * SAMPLE_RATE)] = 0
    impulse *= np.float32(rng.uniform(0.2, 0.7) / max(float(np.sqrt(np.dot(impulse, impulse))), 1e-6))
    impulse[0] = 1
    return impulse


def draw_noise(n: int, rng: np.random.Generator) -> np.ndarray:
    """Background noise with RMS 1, float32 (n,): hiss, rumble, mains hum, or a chord as of distant music."""
    kind = int(rng.integers(4))
    noise: np.ndarray
    time = np.arange(n, dtype=np.float32) / SAMPLE_RATE
    if kind <= 1:
        noise = rng.standard_normal(n, dtype=np.float32)
        if kind == 1:  # rumble: a running mean of about 3 ms
            width = int(rng.integers(8, 100))
            total = np.cumsum(np.concatenate([noise, noise[:width]]), dtype=np.float64)
            noise = (total[width:] - total[:-width]).astype(np.float32)
    elif kind == 2:
        base = float(rng.choice([50.0, 60.0]))
        overtones = np.array([1, 2, 3, 5])
        strength = rng.uniform(0.1, 1, 4) / overtones
        noise = strength @ np.sin(2 * np.pi * base * overtones[:, None] * time + rng.uniform(0, 6.28, (4, 1)))
    else:
        root = float(rng.uniform(110, 440))
        beat = 0.6 + 0.4 * np.cos(2 * np.pi * rng.uniform(0.7, 3) * time + rng.uniform(0, 6.28))
        ratios = np.array([[1], [1.2599], [1.4983]])  # a major triad
        noise = beat * np.sin(2 * np.pi * root * ratios * time + rng.uniform(0, 6.28, (3, 1))).sum(0)
    noise = np.asarray(noise, dtype=np.float32)
    return noise / np.float32(np.sqrt(np.mean(np.square(noise))) + 1e-9)
