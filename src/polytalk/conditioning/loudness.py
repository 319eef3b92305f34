"""How loud everybody is, frame by frame: where a video may be cut."""

from __future__ import annotations

import numpy as np

from polytalk.conditioning.speech import FPS, SAMPLE_RATE

_QUIET, _LOUD = -50.0, -25.0
"""Decibels of full scale: at and below the first nobody speaks, at and above the second somebody speaks clearly. Voices
have been levelled to -23 LUFS."""


def frame_loudness(tracks: np.ndarray, num_frames: int | None = None) -> np.ndarray:
    """Loudness of each frame from 0 (silent) to 1 (speaks clearly), float32 (people, frames).

    Args:
        tracks: float (people, samples) at 16 kHz, levelled.
        num_frames: of the result; None is what the sound lasts. Frames beyond the sound are silent.
    """
    size = SAMPLE_RATE // FPS
    frames = tracks.shape[-1] // size if num_frames is None else num_frames
    loudness = np.zeros((len(tracks), frames), np.float32)
    for row, track in zip(loudness, tracks, strict=True):
        heard = track[: frames * size]
        whole = np.pad(heard, (0, -len(heard) % size)).reshape(-1, size)
        power = np.einsum("fs,fs->f", whole, whole, dtype=np.float64) / size
        decibels = 10 * np.log10(np.maximum(power, 1e-12))
        row[: len(whole)] = ((decibels - _QUIET) / (_LOUD - _QUIET)).clip(0, 1)
    return loudness
