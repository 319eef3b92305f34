"""How much music is under a voice (`has_music`); and, with an extra, the voice without it (`separate_voice`).

Music holds several tones still at once; a voice glides, and its harmonics with it. So moments are counted in which at
least three tones have stood still for a third of a second.
"""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from typing import Any

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.media.audio import Sound, resample

WARN = 0.5
"""Share of music in a sound from which on it is worth a warning."""
_RATE = 8_000
_FFT, _HOP = 2048, 512
"""Samples (256 and 64 ms): bins of 3.9 Hz, fine enough to see a tone stand still, and a voice not."""
_LOW, _HIGH = 150.0, 2000.0
"""Hz: rumble lies below, and tones higher up are weak."""
_STILL = 6
"""Spectra (0.38 s) in which a tone moves by no more than a bin."""
_PROMINENT, _AROUND = 10.0, 41
"""dB of a tone over the mean of so many bins around it."""
_LOUDEST = 60.0
"""dB below the loudest tone, at which tones end."""
_HUM, _HUM_END, _HUM_WIDTH = (50.0, 60.0), 700.0, 4.0
"""Hz: overtones of the mains are no music; up to where, and how near."""
_TONES = 3
_SHARE = 0.06
"""Share of the moments of a stretch in which so many tones stand still, from which on there is music in it. Speech has
0 to 0.03, music 20 dB below it 0.08 to 0.3."""
_STRETCH = 94
"""Spectra (6 s) per stretch."""
_COMMAND = "pip install 'polytalk[music]'"
_SEPARATOR = "htdemucs"
_SEPARATOR_RATE = 44_100


def has_music(sound: Sound) -> float:
    """Share of a sound, 0..1, in which music is heard, alone or under voices; singing by itself hardly counts.

    Args:
        sound: at any rate; less than half a second has none.
    """
    samples = resample(sound.samples, sound.sample_rate, _RATE)
    count = (len(samples) - _FFT) // _HOP + 1
    if count < _STILL:
        return 0.0
    stretches = max(1, round(count / _STRETCH))
    edges = np.linspace(0, count, stretches + 1).astype(int)
    found = [_is_music(samples[first * _HOP : (last - 1) * _HOP + _FFT]) for first, last in pairwise(edges)]
    return float(np.mean(found))


def _is_music(samples: np.ndarray) -> bool:
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    windows = np.lib.stride_tricks.sliding_window_view(samples, _FFT)[::_HOP]
    frequencies = np.fft.rfftfreq(_FFT, 1 / _RATE)
    band = (frequencies >= _LOW) & (frequencies <= _HIGH)
    spectra = np.abs(np.fft.rfft(windows * np.hanning(_FFT).astype(np.float32)))[:, band]
    levels = 20 * np.log10(spectra + 1e-7)
    tones = levels == maximum_filter1d(levels, 5, axis=1)
    tones &= levels - uniform_filter1d(levels, _AROUND, axis=1) > _PROMINENT
    tones &= levels > levels.max() - _LOUDEST
    near = maximum_filter1d(tones.astype(np.uint8), 3, axis=1) > 0
    held = np.zeros(tones.shape[1], int)
    standing = np.zeros(len(tones), int)
    heard = ~_is_hum(frequencies[band])
    for moment, row in enumerate(near):
        held = np.where(row, held + 1, 0)
        standing[moment] = (tones[moment] & heard & (held >= _STILL)).sum()
    return bool((standing >= _TONES).mean() >= _SHARE)


def _is_hum(frequencies: np.ndarray) -> np.ndarray:
    hum = np.zeros(len(frequencies), bool)
    for base in _HUM:
        hum |= np.abs(frequencies - np.round(frequencies / base) * base) < _HUM_WIDTH
    return hum & (frequencies < _HUM_END)


def separate_voice(sound: Sound, separator: Any = None) -> Sound:
    """The voices of a sound without the music, by Demucs (Rouard et al. 2023, arXiv 2211.08553).

    The extra `music` brings it; its weights are fetched from the net at the first use.

    Args:
        sound: voices and music, at any rate.
        separator: a model of Demucs with a source called "vocals"; None loads `htdemucs`.

    Returns:
        As long as the sound, at its rate.

    Raises:
        PolytalkError: Demucs is not installed, or its weights cannot be fetched.
    """
    import torch

    if importlib.util.find_spec("demucs") is None:
        raise PolytalkError("separate_music", "it needs Demucs, which is not installed", f"Run `{_COMMAND}`.")
    from demucs.apply import apply_model

    model = separator or _load_separator()
    rate = int(getattr(model, "samplerate", _SEPARATOR_RATE))
    mix = torch.from_numpy(resample(sound.samples, sound.sample_rate, rate)).expand(1, 2, -1)
    # the network was trained on music of unit deviation
    scale = mix.std().clamp(min=1e-6)
    with torch.inference_mode():
        sources = apply_model(model, mix / scale, split=True, overlap=0.25)[0]
    voice = (sources[model.sources.index("vocals")] * scale).mean(dim=0).numpy()
    samples = resample(voice, rate, sound.sample_rate)[: len(sound.samples)]
    return Sound(np.pad(samples, (0, len(sound.samples) - len(samples))), sound.sample_rate)


def _load_separator() -> Any:
    from demucs.pretrained import get_model

    try:
        return get_model(_SEPARATOR).eval()
    except Exception as error:  # what a failed download raises depends on where it fails
        problem = f"Demucs's weights cannot be loaded ({type(error).__name__})"
        remedy = "Connect to the net once, or give a recording without music."
        raise PolytalkError("separate_music", problem, remedy) from error
