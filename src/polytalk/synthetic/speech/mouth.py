"""Phonemes -> mouth opening, width and rounding per video frame, with coarticulation.

Every phoneme has a target (viseme) and, per channel, a weight: how much it insists on it. Sounds made inside the mouth
(k, h, ...) insist little and take the shape of their neighbours; lips that must touch (p, b, m) insist wholly. Between
the middles of the sounds the mouth moves along minimum-jerk curves (Flash and Hogan 1985); rounding begins some 80 ms
early (Lubker and Gay 1982). Targets and weights follow the idea of Cohen and Massaro's dominance functions (1993), with
contrasts enlarged so that they show at 25 frames a second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.tts.phonemes import INDEX, PHONEMES, SILENCE, Phoneme
from polytalk.units import FPS

_ANTICIPATION = 0.08  # seconds by which rounding precedes its sound
_CLOSING = 0.09  # seconds a mouth takes at most to open from or close to silence

# phoneme: (opening, width, rounding, weight of opening, weight of width and rounding)
_TARGETS: dict[str, tuple[float, float, float, float, float]] = {
    "sil": (0.0, 0.5, 0.0, 1.0, 0.5),
    "a": (1.0, 0.6, 0.0, 1.0, 0.6), "ɑ": (1.0, 0.5, 0.05, 1.0, 0.6), "æ": (1, 0.75, 0.0, 1.0, 0.7),
    "ʌ": (0.86, 0.5, 0.0, 0.9, 0.5), "ə": (0.62, 0.5, 0.05, 0.6, 0.3), "ɜ": (0.6, 0.4, 0.3, 0.8, 0.5),
    "ɛ": (0.86, 0.75, 0.0, 0.9, 0.7), "e": (0.7, 0.9, 0.0, 0.9, 0.9), "i": (0.4, 1.0, 0.0, 0.9, 1.0),
    "ɪ": (0.5, 0.85, 0.0, 0.8, 0.8), "ɨ": (0.42, 0.65, 0.0, 0.8, 0.6), "o": (0.68, 0.2, 0.85, 0.9, 1.0),
    "ɔ": (0.9, 0.3, 0.6, 0.9, 0.9), "u": (0.3, 0.05, 1.0, 0.9, 1.0), "ʊ": (0.42, 0.2, 0.7, 0.8, 0.9),
    "ɯ": (0.34, 0.4, 0.3, 0.8, 0.7), "y": (0.34, 0.1, 1.0, 0.9, 1.0), "ø": (0.55, 0.2, 0.85, 0.9, 1.0),
    "œ": (0.75, 0.3, 0.65, 0.9, 0.9),
    "p": (0.0, 0.45, 0.0, 1.0, 0.25), "b": (0.0, 0.45, 0.0, 1.0, 0.25), "m": (0.0, 0.45, 0.0, 1.0, 0.25),
    "f": (0.06, 0.55, 0.0, 1.0, 0.6), "v": (0.06, 0.55, 0.0, 1.0, 0.6),
    "θ": (0.22, 0.6, 0.0, 0.6, 0.4), "ð": (0.22, 0.6, 0.0, 0.6, 0.4), "t": (0.2, 0.6, 0.0, 0.6, 0.3),
    "d": (0.2, 0.6, 0.0, 0.6, 0.3), "n": (0.2, 0.6, 0.0, 0.6, 0.3), "s": (0.1, 0.75, 0.0, 0.8, 0.6),
    "z": (0.1, 0.75, 0.0, 0.8, 0.6), "ʃ": (0.15, 0.2, 0.75, 0.8, 0.9), "ʒ": (0.15, 0.2, 0.75, 0.8, 0.9),
    "tʃ": (0.12, 0.25, 0.7, 0.8, 0.9), "dʒ": (0.12, 0.25, 0.7, 0.8, 0.9), "l": (0.36, 0.6, 0.0, 0.5, 0.3),
    "ɹ": (0.28, 0.3, 0.5, 0.6, 0.7), "r": (0.36, 0.5, 0.1, 0.5, 0.2), "j": (0.22, 0.95, 0.0, 0.7, 0.9),
    "w": (0.1, 0.0, 1.0, 0.9, 1.0), "k": (0.36, 0.55, 0.0, 0.35, 0.15), "ɡ": (0.36, 0.55, 0.0, 0.35, 0.15),
    "ŋ": (0.36, 0.55, 0.0, 0.35, 0.15), "x": (0.35, 0.5, 0.0, 0.35, 0.15), "h": (0.4, 0.5, 0.0, 0.15, 0.1),
    "ʔ": (0.3, 0.5, 0.0, 0.1, 0.1),
}  # fmt: skip
VISEMES = np.array([_TARGETS[symbol] for symbol in PHONEMES], dtype=np.float64)
"""(phonemes, 5), in the order of PHONEMES: opening, width, rounding, weight of the opening, weight of the other two."""

_LIPS_TOUCH = np.array([symbol in ("p", "b", "m") for symbol in PHONEMES])
_LIP_TO_TEETH = np.array([symbol in ("f", "v") for symbol in PHONEMES])
_REST = np.array([0.0, 0.5, 0.0])


def minimum_jerk(x: np.ndarray) -> np.ndarray:
    """0..1 -> 0..1 with zero speed and acceleration at both ends: 10 x³ − 15 x⁴ + 6 x⁵."""
    return x * x * x * (10 + x * (6 * x - 15))


def mouth_track(phonemes: Sequence[Phoneme], num_frames: int, fps: float = FPS) -> np.ndarray:
    """The mouth at each frame's centre, (k + 0.5) / fps.

    Opening is exactly 0 in silence (but for the moves into and out of it) and on p, b, m, whose closure always covers
    at least one frame centre; width is 0.5 at rest, 1 spread, 0 pursed.

    Args:
        phonemes: (symbol of `phonemes.PHONEMES`, start, end) in seconds, in order; may begin before 0 and end after the
            last frame; where there is none there is silence.
        num_frames: frames.
        fps: frames a second.

    Returns:
        float32 (num_frames, 3): opening, width, rounding in 0..1.

    Raises:
        PolytalkError: an unknown symbol, or phonemes that overlap or run backwards.
    """
    track = np.tile(_REST, (num_frames, 1))
    numbers, starts, ends = _as_arrays(phonemes)
    if len(numbers) == 0 or num_frames == 0:
        return track.astype(np.float32)
    times = (np.arange(num_frames) + 0.5) / fps
    targets = _coarticulated(numbers, starts, ends)
    silent = numbers == INDEX[SILENCE]
    hold_in, hold_out = _plateaus(starts, ends, silent)
    for channel in range(3):
        early = _ANTICIPATION if channel else 0.0
        track[:, channel] = _move(times, hold_in, hold_out, targets[:, channel], early)
    _close_lips(track, numbers, starts, ends, fps)
    return np.clip(track, 0.0, 1.0).astype(np.float32)


def _as_arrays(phonemes: Sequence[Phoneme]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phonemes as numbers, starts, ends; silence fills the gaps and the time before and after."""
    symbols = [symbol for symbol, _, _ in phonemes]
    unknown = set(symbols) - INDEX.keys()
    if unknown:
        raise PolytalkError("phonemes", f"{min(unknown)!r} is not in the set", "Translate with phonemes.unify.")
    times = np.array([(start, end) for _, start, end in phonemes], dtype=np.float64).reshape(-1, 2)
    if len(times) == 0:
        return np.zeros(0, dtype=np.int64), times[:, 0], times[:, 1]
    if (np.diff(times.ravel()) < -1e-3).any():
        raise PolytalkError("phonemes", "their times overlap or run backwards", "Sort them; let none overlap.")
    gaps = np.flatnonzero(times[1:, 0] - times[:-1, 1] > 1e-3)
    silence = INDEX[SILENCE]
    numbers = np.insert([INDEX[symbol] for symbol in symbols], gaps + 1, silence)
    starts = np.insert(times[:, 0], gaps + 1, times[gaps, 1])
    ends = np.insert(times[:, 1], gaps + 1, times[gaps + 1, 0])
    first, last = starts[0], ends[-1]
    return (
        np.concatenate([[silence], numbers, [silence]]),
        np.concatenate([[first - 1.0], starts, [last]]),
        np.concatenate([[first], ends, [last + 1.0]]),
    )


def _coarticulated(numbers: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(n, 3) targets: each sound's own, mixed with its neighbours' as far as it does not insist.

    Short vowels do not reach their target (undershoot, Lindblom 1963): opening x 0.8 at 50 ms, whole from 100 ms on.
    """
    own = VISEMES[numbers, :3].copy()
    length = ends - starts
    own[:, 0] *= np.clip(0.6 + 0.4 * length / 0.1, 0.8, 1.0)
    insist = VISEMES[numbers, 3:][:, [0, 1, 1]]
    silent = numbers == INDEX[SILENCE]
    # a neighbour far away in time says less
    near = np.exp(-np.minimum(length, 1.0) / 0.25)[:, None] * insist * np.where(silent, 0.3, 1.0)[:, None]
    weight = np.full_like(own, 1e-6)  # a sound without neighbours takes its own shape
    pull = weight * own
    for step, share in ((1, 1.0), (2, 0.35)):
        if len(numbers) > step:
            pull[:-step] += share * near[step:] * own[step:]
            weight[:-step] += share * near[step:]
            pull[step:] += share * near[:-step] * own[:-step]
            weight[step:] += share * near[:-step]
    return insist * own + (1 - insist) * pull / weight


def _plateaus(starts: np.ndarray, ends: np.ndarray, silent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each sound's shape is held: the middle 30% of it, all of a silence but the moves at its edges."""
    length = ends - starts
    margin = np.where(silent, np.minimum(_CLOSING / 2, length / 2), 0.35 * length)
    margin = np.minimum(margin, 0.07)
    return starts + margin, ends - margin


def _move(times: np.ndarray, hold: np.ndarray, release: np.ndarray, targets: np.ndarray, early: float) -> np.ndarray:
    """Minimum-jerk curves between plateaus; growing values begin up to `early` seconds before, at most half a sound."""
    if early:
        rise = np.zeros(len(hold))
        rise[1:] = np.where(targets[1:] > targets[:-1], np.minimum(early, (release - hold)[:-1] * 0.5 + 0.02), 0.0)
        release = np.maximum(release - np.append(rise[1:], 0.0), hold)
        hold = np.maximum(hold - rise, np.append(-np.inf, release[:-1]))
        release = np.maximum(release, hold)
    which = np.clip(np.searchsorted(hold, times, side="right") - 1, 0, len(hold) - 2)
    gap = np.maximum(hold[which + 1] - release[which], 1e-6)
    x = np.clip((times - release[which]) / gap, 0.0, 1.0)
    return targets[which] + (targets[which + 1] - targets[which]) * minimum_jerk(x)


def _close_lips(track: np.ndarray, numbers: np.ndarray, starts: np.ndarray, ends: np.ndarray, fps: float) -> None:
    """Sets the opening at every frame centre within a closure; a closure between two centres takes the nearest one."""
    for kind, limit in ((_LIP_TO_TEETH, _TARGETS["f"][0]), (_LIPS_TOUCH, 0.0)):
        for number in np.flatnonzero(kind[numbers]):
            middle, half = (starts[number] + ends[number]) / 2, (ends[number] - starts[number]) / 2
            half = max(half - 0.015, 0.5 / fps)  # the lips part a little before the sound ends
            first, last = int(np.ceil((middle - half) * fps - 0.5)), int(np.floor((middle + half) * fps - 0.5))
            first, last = max(first, 0), min(max(last, first), len(track) - 1)
            if first <= last:
                track[first : last + 1, 0] = np.minimum(track[first : last + 1, 0], limit)


def speaking_track(phonemes: Sequence[Phoneme], num_frames: int, fps: float = FPS, bridge: float = 0.2) -> np.ndarray:
    """Who makes sound when: bool (num_frames,), true within speech and within pauses shorter than `bridge` seconds."""
    speaking = np.zeros(num_frames, dtype=bool)
    last_end = -np.inf
    for symbol, start, end in phonemes:
        if symbol == SILENCE:
            continue
        begin = last_end if start - last_end < bridge else start
        first, last = (max(int(np.ceil(t * fps - 0.5)), 0) for t in (begin, end))
        speaking[first:last] = True
        last_end = end
    return speaking
