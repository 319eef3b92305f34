"""How people move unasked: sway, turns, blinks and gazes.

A person's motion is a dictionary of float arrays, one value per frame, named like the fields of `Pose`; positions are
in head heights relative to the place of the person until `scenes` puts them into the frame.
"""

from __future__ import annotations

import numpy as np

from polytalk.motion.gestures import Tracks
from polytalk.motion.idle import (
    BLINK,
    BLINKS_PER_SECOND,
    BROW_RAISE,
    BROW_RAISES_PER_SECOND,
    GAZE_SHIFTS_PER_SECOND,
    smooth_noise,
)
from polytalk.units import FPS


def occasional(rng: np.random.Generator, count: int, rate: float, shape: np.ndarray) -> np.ndarray:
    """`shape` added at random times, `rate` times a second on average."""
    track = np.zeros(count + 2 * len(shape))
    for start in np.flatnonzero(rng.random(count + len(shape)) < rate / FPS):
        stop = start + len(shape)
        track[start:stop] = np.maximum(track[start:stop], shape)
    return track[len(shape) : len(shape) + count]


def idle(
    rng: np.random.Generator, count: int, motion: float, speaking: np.ndarray, towards: float,
    blinks: float = BLINKS_PER_SECOND,
) -> Tracks:  # fmt: skip
    """Motion of somebody who listens and speaks.

    Args:
        count: frames.
        motion: amount, 0 (only blinks and gazes) to 1.
        speaking: bool (count,); speakers move more.
        towards: side on which the others are, -1 to 1 (0: nobody).
        blinks: a second.
    """
    kernel = np.ones(9) / 9
    energy = np.convolve(np.pad(speaking.astype(float), 4, mode="edge"), kernel, mode="valid")
    lively = motion * (0.5 + 0.5 * energy)
    gaze = np.zeros((2, count))
    look, end = rng.normal((0.3 * towards, 0.0), 0.25), 0
    for index in range(count):
        if index >= end:
            end = index + 1 + int(rng.exponential(FPS / GAZE_SHIFTS_PER_SECOND))
            look = rng.normal((0.35 * towards * (rng.random() < 0.5), 0.0), (0.3, 0.15))
        gaze[:, index] = look
    base_yaw = float(np.clip(rng.normal(0.25 * towards, 0.22), -0.7, 0.7))
    return {
        "dx": motion * 0.05 * smooth_noise(rng, count, 2.4),
        "dy": motion * 0.02 * smooth_noise(rng, count, 1.9),
        "scale": 1.0 + motion * 0.015 * smooth_noise(rng, count, 2.8),
        "roll": rng.normal(0, 0.03) + lively * 0.07 * smooth_noise(rng, count, 1.8),
        "yaw": base_yaw + lively * 0.25 * smooth_noise(rng, count, 1.9),
        "pitch": rng.normal(0, 0.12) + lively * 0.28 * smooth_noise(rng, count, 0.9),
        "lean": motion * 0.03 * smooth_noise(rng, count, 2.2),
        "smile": np.full(count, float(np.clip(rng.normal(0.15, 0.2), -0.3, 0.5))),
        "blink": occasional(rng, count, blinks, BLINK),
        "gaze_x": np.clip(gaze[0], -1, 1),
        "gaze_y": np.clip(gaze[1], -1, 1),
        "brow": rng.normal(0, 0.2) + occasional(rng, count, BROW_RAISES_PER_SECOND * (0.3 + motion), BROW_RAISE),
        "hand": np.zeros(count),
        "hand_angle": np.zeros(count),
    }


def random_mouth(rng: np.random.Generator, count: int, talking: bool) -> np.ndarray:
    """Mouth (count, 3) of somebody who babbles without sound, or keeps it shut: opening, width, rounding."""
    track = np.zeros((count, 3))
    track[:, 1] = 0.5
    if talking:
        syllables = np.clip(0.35 + 0.55 * smooth_noise(rng, count, 0.36), 0, 1)
        phrase = np.clip(0.6 + 1.2 * smooth_noise(rng, count, 2.0), 0, 1)
        track[:, 0] = syllables * phrase * rng.uniform(0.6, 1.1)
        track[:, 1] = 0.5 + 0.45 * smooth_noise(rng, count, 0.5)
        track[:, 2] = np.clip(0.2 + 0.7 * smooth_noise(rng, count, 0.6), 0, 1) * (track[:, 0] > 0)
    return np.clip(track, 0, 1).astype(np.float32)
