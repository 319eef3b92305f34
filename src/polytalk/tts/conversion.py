"""One speaker's sound as another's: pitch and vocal tract length changed apart from each other.

Pitch by pitch-synchronous overlap-add (TD-PSOLA; Moulines and Charpentier 1990, doi 10.1016/0167-6393(90)90021-Z),
with the pitch that the synthesiser itself predicted instead of an estimate; the vocal tract (formants) by resampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

_LOWEST_PITCH = 45.0  # Hz; below, a frame is unvoiced
_UNVOICED_STEP = 0.005  # seconds between the grains of unvoiced sound
_LONGEST_GRAIN = 1.2  # periods to either side; a longer grain would hold two pulses


@dataclass(frozen=True)
class Timbre:
    """What makes one speaker of another."""

    pitch: float = 1.0
    """Factor on the fundamental frequency."""
    formants: float = 1.0
    """Factor on the resonances; below 1 is a longer vocal tract."""
    tilt: float = 0.0
    """Decibels per octave by which the spectrum rises, 200 Hz to 8 kHz; negative is darker."""
    pace: float = 1.0
    """Factor on the speed of speech."""


@dataclass(frozen=True)
class _Marks:
    places: np.ndarray  # samples, increasing
    voiced: np.ndarray  # bool: a pulse of the voice, or a point in unvoiced sound
    periods: np.ndarray  # samples


def change_timbre(samples: np.ndarray, pitch: np.ndarray, sample_rate: int, timbre: Timbre) -> np.ndarray:
    """Another speaker saying the same at the same sample rate.

    Args:
        samples: float (n,).
        pitch: Hz, evenly spaced over the samples, 0 where unvoiced.
        sample_rate: Hz.
        timbre: the pace is not changed here; but the result lasts 1 / formants as long.

    Returns:
        float32 (round(n / formants),).
    """
    shift = timbre.pitch / timbre.formants
    sound = np.asarray(samples, np.float64)
    if shift != 1 and (pitch > _LOWEST_PITCH).any():
        sound = _repitch(sound, _marks(sound, pitch, sample_rate), shift)
    if timbre.formants != 1:
        sound = soxr.resample(sound, sample_rate * timbre.formants, sample_rate)
    if timbre.tilt:
        sound = _tilted(sound, sample_rate, timbre.tilt)
    return sound.astype(np.float32)


def _tilted(samples: np.ndarray, rate: int, slope: float) -> np.ndarray:
    """Samples whose spectrum rises by `slope` dB per octave around 1 kHz, without a delay."""
    size = 1 << (len(samples) + rate // 10).bit_length()  # room, so that the end does not leak into the start
    octaves = np.log2(np.clip(np.fft.rfftfreq(size, 1 / rate), 200, 8_000) / 1_000)
    return np.fft.irfft(np.fft.rfft(samples, size) * 10 ** (slope * octaves / 20), size)[: len(samples)]


def _marks(samples: np.ndarray, pitch: np.ndarray, rate: int) -> _Marks:
    """Where each period of the voice has its strongest moment, and a point every 5 ms where there is no voice."""
    count = len(samples)
    frames = (np.arange(count) + 0.5) * len(pitch) / count - 0.5
    hertz = np.interp(frames, np.arange(len(pitch)), pitch)
    cycles = np.cumsum(hertz) / rate  # phase of the synthesiser's pulse train
    voiced = hertz > _LOWEST_PITCH
    pulses = np.flatnonzero(np.diff(np.floor(cycles - _loudest_phase(samples, cycles, voiced))) > 0) + 1
    pulses = pulses[voiced[pulses]]
    periods = rate / np.maximum(hertz, _LOWEST_PITCH)
    places, kinds, before = [], [], 0
    for pulse in [*pulses.tolist(), count]:
        gap = pulse - before
        if gap > 1.6 * periods[min(pulse, count - 1)]:
            pieces = int(np.ceil(gap / (_UNVOICED_STEP * rate)))
            points = [before + gap * piece // pieces for piece in range(1, pieces)]
            places += points
            kinds += [False] * len(points)
        if pulse < count:
            places.append(pulse)
            kinds.append(True)
        before = pulse
    where = np.asarray(places)
    return _Marks(where, np.asarray(kinds), periods[where])


def _loudest_phase(samples: np.ndarray, cycles: np.ndarray, voiced: np.ndarray, bins: int = 64) -> float:
    """The part of a period, 0 to 1, around which most of its energy lies."""
    part = (cycles[voiced] % 1 * bins).astype(int) % bins
    energy = np.bincount(part, np.square(samples[voiced]), minlength=bins)
    window = np.hanning(19)
    smooth = np.convolve(np.tile(energy, 3), window, "same")[bins : 2 * bins]
    return (float(smooth.argmax()) + 0.5) / bins


def _repitch(samples: np.ndarray, marks: _Marks, shift: float) -> np.ndarray:
    """Grains of two periods set down `shift` times as often; unvoiced sound stays as it is."""
    count = len(samples)
    out = np.zeros(count)
    places = marks.places
    last = len(places) - 1
    lengths = np.diff(np.concatenate([[0], places, [count]]))  # before each mark, and after the last
    at = float(places[0])
    while at < count:
        right = int(np.searchsorted(places, at))
        near = right - 1 if right > last or (right and at - places[right - 1] < places[right] - at) else right
        before, after = int(lengths[near]), int(lengths[near + 1])
        loudness = 1.0
        if marks.voiced[near]:
            reach = int(_LONGEST_GRAIN * marks.periods[near])
            before, after = min(before, reach), min(after, reach)
            loudness = shift**-0.5  # fewer pulses, the same power
        _add_grain(out, samples, int(places[near]), before, after, round(at), loudness)
        if marks.voiced[near]:
            at += marks.periods[near] / shift
        elif near < last:
            at = float(places[near + 1])
        else:
            break
    return out


def _add_grain(
    out: np.ndarray, samples: np.ndarray, source: int, before: int, after: int, target: int, loudness: float
) -> None:
    """Adds samples source−before … source+after under a window that falls to 0 at both ends, centred at `target`."""
    before, after = min(before, source, target), min(after, len(samples) - source, len(out) - target)
    if before + after < 2:
        return
    rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(before) / max(before, 1))
    fall = 0.5 + 0.5 * np.cos(np.pi * np.arange(after) / max(after, 1))
    grain = samples[source - before : source + after] * np.concatenate([rise, fall])
    out[target - before : target + after] += loudness * grain
