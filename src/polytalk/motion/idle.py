"""What people do unasked, by chance (`idle_motions`), and all motion as a signal for networks (`pose_signal`).

A few sampling steps predict the mean of all that might happen, and the mean of all blinks is no blink. So the small
model is told in training, by the scene's truth, what people do besides speaking, in use that they do nothing; and what
they then do, by the random process below and by what the prompt asks for (`polytalk.motion.prompted`), is played
with its frames (`polytalk.postprocess.puppet`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polytalk.motion.gestures import Tracks
from polytalk.units import FPS

BLINKS_PER_SECOND = 0.3
"""Mean rate of blinks (Poisson); people blink 15-20 times a minute."""
BLINK = np.array([0.5, 1.0, 1.0, 0.6, 0.2])
"""Eyelids over the five frames (0.2 s) of one blink."""
GAZE_SHIFTS_PER_SECOND = 0.7
BROW_RAISES_PER_SECOND = 0.25
BROW_RAISE = np.hanning(14)[1:-1]

CHANNELS = ("given", "blink", "gaze_x", "gaze_y", "brow", "dx", "dy", "scale", "roll", "yaw", "pitch", "lean", "smile",
            "hand", "hand_angle", "place", "zoom")  # fmt: skip
"""Channels of the signal, of which a network may know the first ones. The very first is 1 where motion is told."""
_UNITS = {"gaze_x": 1.0, "gaze_y": 1.0, "brow": 1.0, "dx": 20.0, "dy": 40.0, "scale": 40.0, "roll": 8.0, "yaw": 3.0,
          "pitch": 3.0, "lean": 20.0, "smile": 1.0, "hand": 1.0, "hand_angle": 2.0, "place": 1.0,
          "zoom": 4.0}  # fmt: skip
"""Factors that make the changes of lively people about 0.5 large. Places are in head heights, angles in radians."""
PLAYED = ("dx", "dy", "scale", "roll", "yaw", "pitch", "lean", "place", "zoom")
"""Channels of what moves whole heads, and the camera."""
_LARGEST = 3.0
"""Soft limit of the signal."""


def smooth_noise(rng: np.random.Generator, count: int, period: float) -> np.ndarray:
    """Smooth random track of (count,) values, mostly within -1..1; `period` is its usual time scale in seconds."""
    time = np.arange(count) / FPS
    track = np.zeros(count)
    for share, factor in ((0.6, 1.0), (0.3, 0.53), (0.2, 0.31)):
        track += share * np.sin(2 * np.pi * (time / (period * factor * rng.uniform(0.8, 1.25)) + rng.random()))
    return track


def pose_signal(tracks: Mapping[str, np.ndarray], origin: int = 0, span: range | None = None) -> np.ndarray:
    """The signal float32 (T, len(CHANNELS)) of one person's tracks, each (N,).

    Args:
        tracks: blink, 0 open to 1 shut; gaze_x, gaze_y, brow, smile; dx, dy, lean and place (from left to right) in
            head heights; scale; roll, yaw, pitch; hand, 0 down to 1 up, hand_angle, and hand_side, -1 left or 1 right;
            zoom of the camera. What is missing does not change.
        origin: frame that the reference picture shows; all but blinks is told as the change since then.
        span: T frames of the N; all of them if None.
    """
    part = slice(None) if span is None else slice(span.start, span.stop)
    signal = np.ones((len(tracks["blink"][part]), len(CHANNELS)), np.float32)
    for place, name in enumerate(CHANNELS[1:], start=1):
        if name not in tracks:
            signal[:, place] = 0.0
            continue
        track = tracks[name]
        if name in ("scale", "zoom"):
            track = np.log(track)
        if name == "hand":
            track = track * tracks["hand_side"]
        change = track[part] if name == "blink" else _UNITS[name] * (track[part] - track[origin])
        signal[:, place] = _LARGEST * np.tanh(change / _LARGEST)
    return signal


def idle_motion(seed: int, person: int, count: int, amount: float, towards: float = 0.0) -> Tracks:
    """Random tracks of one person who is not asked for anything; longer ones begin like shorter ones.

    Args:
        seed: of the video.
        person: number of the person.
        count: frames.
        amount: of sway, turns and nods, 0 (only blinks, gazes and brows) to 1.
        towards: side on which the others are, -1 to 1 (0: nobody).
    """

    def random(stream: int) -> np.random.Generator:
        return np.random.default_rng([seed % 2**63, person, stream])

    def noise(stream: int, period: float) -> np.ndarray:
        return amount * smooth_noise(random(stream), count, period)

    gaze = _gaze(random(0), count, towards)
    return {
        "blink": _at_times(random(1), count, BLINKS_PER_SECOND, BLINK),
        "brow": _at_times(random(2), count, BROW_RAISES_PER_SECOND * (0.3 + amount), BROW_RAISE),
        "gaze_x": gaze[0],
        "gaze_y": gaze[1],
        "dx": 0.05 * noise(3, 2.4),
        "dy": 0.02 * noise(4, 1.9),
        "scale": 1.0 + 0.015 * noise(5, 2.8),
        "roll": 0.05 * noise(6, 1.8),
        "yaw": 0.19 * noise(7, 1.9),
        "pitch": 0.21 * noise(8, 0.9),
        "lean": 0.03 * noise(9, 2.2),
        **{name: np.zeros(count) for name in ("smile", "hand", "hand_angle", "place")},
        "hand_side": np.ones(count),
        "zoom": np.ones(count),
    }


def idle_motions(seed: int, places: np.ndarray, count: int, amount: float) -> list[Tracks]:
    """The tracks of everybody in a video.

    Args:
        seed: of the video.
        places: (P,) where everybody is, from left to right in any unit; people look to each other now and then.
        count: frames.
        amount: see `idle_motion`.
    """
    rank = np.argsort(np.argsort(places))
    towards = 1 - 2 * rank / max(1, len(places) - 1) if len(places) > 1 else np.zeros(1)
    return [idle_motion(seed, person, count, amount, float(side)) for person, side in enumerate(towards)]


def _at_times(rng: np.random.Generator, count: int, rate: float, shape: np.ndarray) -> np.ndarray:
    """(count,): ``shape`` at random times, ``rate`` times a second on average."""
    track, start = np.zeros(count + len(shape)), 0
    while True:
        start += len(shape) + int(rng.exponential(max(0.0, FPS / rate - len(shape))))
        if start >= count:
            return track[:count]
        track[start : start + len(shape)] = shape


def _gaze(rng: np.random.Generator, count: int, towards: float) -> np.ndarray:
    """(2, count): where the eyes look, right and down, for some time each."""
    gaze, start = np.zeros((2, count)), 0
    while start < count:
        hold = 1 + int(rng.exponential(FPS / GAZE_SHIFTS_PER_SECOND))
        look = rng.normal((0.35 * towards * (rng.random() < 0.5), 0.0), (0.3, 0.15))
        if start:  # at first everybody looks as in the picture
            gaze[:, start : start + hold] = np.clip(look, -1, 1)[:, None]
        start += hold
    return gaze
