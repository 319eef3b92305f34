"""From scores of voices over time to turns, and from turns to a track per voice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from polytalk.casting.found import VoiceTurn
from polytalk.casting.voices.voice_activity_model import FRAME
from polytalk.casting.voices.voice_embedding import BLOCK
from polytalk.scene.schedule import runs
from polytalk.units import SAMPLE_RATE

FRAME_SECONDS = FRAME / SAMPLE_RATE
_CHANGE = 6.0
"""Cost of a change of voice, in cosines times 0.1 s times `_TRUST`."""
_TRUST = 25.0
_SNAP = round(0.3 / FRAME_SECONDS)
"""Frames by which a change moves to the nearest pause."""
_SHORTEST = round(0.16 / FRAME_SECONDS)
"""Frames: a voice is not heard for less."""
_JOINED = round(0.5 / FRAME_SECONDS)
"""Frames: shorter silence of one voice lies within its turn, unless somebody else speaks in it."""
_AROUND = round(5.0 / FRAME_SECONDS)
"""Frames around an overlap in which the second voice is looked for."""
_FADE = 0.02
"""Seconds in which a track fades in before a turn and out after it."""


def best_path(scores: np.ndarray) -> np.ndarray:
    """Which voice speaks in each block, int (blocks,): the most likely sequence that changes only for a reason.

    Args:
        scores: (blocks, voices) cosines, 0 where nobody speaks.
    """
    blocks, voices = scores.shape
    gains = scores.astype(np.float64) * _TRUST
    came = np.zeros((blocks, voices), np.int64)
    value = gains[0].copy()
    for block in range(1, blocks):
        best = int(value.argmax())
        came[block] = np.where(value >= value[best] - _CHANGE, np.arange(voices), best)
        value = np.maximum(value, value[best] - _CHANGE) + gains[block]
    path = np.zeros(blocks, np.int64)
    path[-1] = value.argmax()
    for block in range(blocks - 1, 0, -1):
        path[block - 1] = came[block, path[block]]
    return path


def voices_in_frames(path: np.ndarray, speech: np.ndarray, probability: np.ndarray, double: np.ndarray) -> np.ndarray:
    """Who speaks in each frame of 20 ms: bool (voices, frames).

    Args:
        path: int (blocks,), from `best_path`.
        speech: bool (frames,): somebody speaks.
        probability: (frames,) that somebody does: changes of voice move to where it is least.
        double: bool (frames,): two speak.
    """
    labels = _snapped(np.repeat(path, BLOCK)[: len(speech)], probability)
    voices = int(path.max()) + 1
    active = np.zeros((voices, len(speech)), bool)
    active[labels[speech], np.flatnonzero(speech)] = True
    _drop_glitches(active)
    for first, last in runs(double & speech):
        pair = _pair(active, first, last)
        active[list(pair), first:last] = True
    return active


def _snapped(labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Labels whose changes lie where speech is least likely, as near as possible."""
    labels, given = labels.copy(), labels
    changes = np.flatnonzero(np.diff(given)) + 1
    for place, change in enumerate(changes):
        low = max(int(change) - _SNAP, int(changes[place - 1]) if place else 0)
        high = min(int(change) + _SNAP, int(changes[place + 1]) if place + 1 < len(changes) else len(given))
        near = np.arange(low, high)
        found = int(near[np.argmin(probability[near] + 0.2 * np.abs(near - change) / _SNAP)])
        labels[min(found, change) : max(found, change)] = given[change if found < change else change - 1]
    return labels


def _drop_glitches(active: np.ndarray) -> None:
    """A voice heard for a moment belongs to the voice beside it; alone it is no speech."""
    for voice in range(len(active)):
        for first, last in runs(active[voice]):
            if last - first < _SHORTEST:
                active[voice, first:last] = False
                before = active[:, first - 1] if first else np.zeros(len(active), bool)
                after = active[:, last] if last < active.shape[1] else np.zeros(len(active), bool)
                beside = np.flatnonzero(before | after)
                if len(beside):
                    active[beside[0], first:last] = True


def _pair(active: np.ndarray, first: int, last: int) -> set[int]:
    """The two voices of an overlap: those before and after it; or the one in it, and whoever else is nearest."""
    pair = [int(voice) for voice in np.flatnonzero(active[:, first:last].any(axis=1))]
    pair.sort(key=lambda voice: -int(active[voice, first:last].sum()))
    distances = []
    for voice in range(len(active)):
        low = max(first - _AROUND, 0)
        before, after = np.flatnonzero(active[voice, low:first]), np.flatnonzero(active[voice, last : last + _AROUND])
        distance = min(first - low - before[-1] if len(before) else _AROUND, after[0] if len(after) else _AROUND)
        distances.append((int(distance), voice))
    for distance, voice in sorted(distances):
        if voice not in pair and distance < _AROUND:
            pair.append(voice)
    return set(pair[:2])


def turns_of(active: np.ndarray, seconds: float) -> tuple[VoiceTurn, ...]:
    """Frames to turns, by start; voices are numbered by first speech.

    Args:
        active: bool (voices, frames), changed in place: short silence is filled.
        seconds: of the recording; turns end with it.
    """
    for voice in range(len(active)):
        others = np.asarray(np.delete(active, voice, axis=0).any(axis=0))
        spoken = runs(active[voice])
        for (_, last), (first, _) in pairwise(spoken):
            if first - last < _JOINED and not others[last:first].any():
                active[voice, last:first] = True
    found = [
        (first * FRAME_SECONDS, min(last * FRAME_SECONDS, seconds), voice)
        for voice in range(len(active))
        for first, last in runs(active[voice])
    ]
    found.sort()
    order = list(dict.fromkeys(voice for _, _, voice in found))
    return tuple(VoiceTurn(order.index(voice), round(start, 3), round(end, 3)) for start, end, voice in found)


def overlaps(turns: Sequence[VoiceTurn]) -> tuple[tuple[float, float], ...]:
    """Seconds, start and end, in which two or more voices speak."""
    events = sorted([(turn.start, 1) for turn in turns] + [(turn.end, -1) for turn in turns])
    found: list[tuple[float, float]] = []
    speaking, since = 0, 0.0
    for moment, change in events:
        if speaking == 1 and change == 1:
            since = moment
        if speaking == 2 and change == -1 and moment > since:
            found.append((since, moment))
        speaking += change
    return tuple(found)


def cut_tracks(samples: np.ndarray, sample_rate: int, turns: Sequence[VoiceTurn], voices: int) -> np.ndarray:
    """A track per voice: the recording in its turns, with short fades around them, silence elsewhere.

    Args:
        samples: float32 (n,).
        sample_rate: Hz.
        turns: who speaks when.
        voices: how many.

    Returns:
        float32 (voices, n).
    """
    fade = max(1, round(_FADE * sample_rate))
    ramp = (np.arange(fade, dtype=np.float32) + 0.5) / fade
    gains = np.zeros((voices, len(samples)), np.float32)
    for turn in turns:
        first, last = round(turn.start * sample_rate), min(round(turn.end * sample_rate), len(samples))
        gain = gains[turn.voice]
        gain[first:last] = 1
        before, after = gain[max(first - fade, 0) : first], gain[last : last + fade]
        np.maximum(before, ramp[fade - len(before) :], out=before)
        np.maximum(after, ramp[::-1][: len(after)], out=after)
    gains *= samples
    return gains
