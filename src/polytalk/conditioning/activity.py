"""Who speaks when, heard from the voices themselves; and silence for whoever does not.

A track is rarely silent where its speaker is: breath, a hum, the others through a shared microphone. The network makes
small movements of the mouth of it. Where nobody speaks on a track its features give way to those of zero samples, which
is what the network has learnt as listening.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from polytalk.conditioning.conversation import Conversation
from polytalk.conditioning.speech import SpeechEncoder, standardise, window_index
from polytalk.scene.schedule import runs
from polytalk.units import FPS, SAMPLE_RATE

_HOP = 160
"""Samples (10 ms) of one measurement of the level."""
_HOPS_PER_FRAME = SAMPLE_RATE // FPS // _HOP
_QUIETEST = -70.0
"""dB below full scale that count as silence, whatever the rest of the track is like."""
_LOUD_HOPS = 30
"""A voice's level is what it reaches for so many hops (0.3 s) in all, so that a click does not count."""
_LEAK_HOPS = 80
"""Hops (0.8 s) over which two tracks are compared."""
_ENOUGH_HOPS = 200
"""Hops (2 s) in which speech has soft sounds as well."""


@dataclass(frozen=True)
class ActivityConfig:
    """When a track counts as voice. In doubt it does: a mouth that misses a word is worse than one that stirs."""

    above_noise: float = 7.0
    """dB over the track's noise, at which voice begins."""
    below_voice: float = 32.0
    """dB below the voice's level, at which it begins, where the track has no noise."""
    most_noise: float = 16.0
    """dB below the voice's level: noise is never taken to be louder than that."""
    steady: float = 8.0
    """dB: a track of some seconds whose level varies by less is noise throughout."""
    hysteresis: float = 5.0
    """dB below where it begins, at which voice ends."""
    leak: float = 8.0
    """dB by which another track is louder where this one may merely hear it."""
    likeness: float = 0.75
    """Correlation of the two tracks' levels from which on it does."""
    shortest: float = 0.08
    """Seconds: shorter sounds are clicks."""
    longest_gap: float = 0.3
    """Seconds: shorter silence lies within speech."""
    before: float = 0.08
    """Seconds added in front: lips part before they sound."""
    after: float = 0.16
    """Seconds added behind."""


def voice_activity(
    tracks: np.ndarray, num_frames: int, config: ActivityConfig | None = None, gains: np.ndarray | None = None
) -> np.ndarray:
    """Which frames hold a voice, by its energy with hysteresis.

    Args:
        tracks: float32 (P, samples), 16 kHz.
        num_frames: T, at 25 a second; frames beyond the sound are silent.
        config: thresholds.
        gains: (P,) dB by which each track was made louder than it was recorded (`track_gains`); whether a track merely
            hears another is a matter of the levels as recorded. None: not at all.

    Returns:
        bool (P, T).
    """
    config = config or ActivityConfig()
    levels = np.stack([_levels(track) for track in tracks])
    recorded = levels if gains is None else levels - np.asarray(gains)[:, None]
    rows = []
    for person, level in enumerate(levels):
        active = _above_threshold(level, config)
        for other in np.delete(recorded, person, axis=0):
            active &= ~_leaks(recorded[person], other, config)
        rows.append(_frames(_rounded_off(active, config), num_frames))
    return np.stack(rows)


def track_gains(conversation: Conversation, tracks: np.ndarray) -> np.ndarray:
    """dB (P,) by which levelled tracks (P, samples) at 16 kHz are louder than the sounds they were made of."""
    gains = np.zeros(len(tracks))
    for person, track in enumerate(tracks):
        sounds = [sound for _, sound in conversation.turns_of(person)]
        before = sum(float(np.sum(s.samples.astype(np.float64) ** 2)) / s.sample_rate for s in sounds)
        after = float(np.sum(track.astype(np.float64) ** 2)) / SAMPLE_RATE
        if before > 0 and after > 0:
            gains[person] = 10 * np.log10(after / before)
    return gains


@dataclass(frozen=True)
class VoiceGate:
    """Lets voices through and replaces the rest by silence."""

    openings: Tensor
    """float32 (P, T) in 0..1: how much of each frame's features stays."""
    silence: Tensor
    """(layers, channels): features of zero samples."""

    @classmethod
    def of(cls, activity: np.ndarray, silence: Tensor, edge: int = 2) -> VoiceGate:
        """A gate that is wholly open where somebody speaks and opens and shuts over `edge` frames around that.

        Args:
            activity: bool (P, T).
            silence: see `silent_features`.
            edge: frames.
        """
        speaks = torch.from_numpy(np.asarray(activity)).float()
        openings = speaks.clone()
        for step in range(1, edge + 1):
            share = 1 - step / (edge + 1)
            openings[:, step:] = torch.maximum(openings[:, step:], speaks[:, :-step] * share)
            openings[:, :-step] = torch.maximum(openings[:, :-step], speaks[:, step:] * share)
        return cls(openings, silence)

    def first(self, num_frames: int) -> VoiceGate:
        """The gate of the first frames alone."""
        return VoiceGate(self.openings[:, :num_frames], self.silence)

    def __call__(self, windows: Tensor, start: int) -> Tensor:
        """Features (P, n, window, layers, channels) of the frames from `start`, as `SpeechFeatures.clip` cuts them."""
        index = window_index(start, windows.shape[1], self.openings.shape[1])
        opening = self.openings[:, index].to(windows)[..., None, None]
        return torch.lerp(self.silence.to(windows).expand_as(windows), windows, opening)


def silent_features(encoder: SpeechEncoder, num_frames: int = 2 * FPS) -> Tensor:
    """Features (layers, channels) that an encoder gives in the middle of `num_frames` frames of zero samples."""
    nothing = standardise(np.zeros(num_frames * SAMPLE_RATE // FPS, np.float32))
    with torch.no_grad():
        features = encoder(torch.from_numpy(nothing))
    return features[len(features) // 2]


def _levels(track: np.ndarray) -> np.ndarray:
    """dB per hop, evened out over three; without what moves more slowly than a hop, such as mains hum's lower half."""
    hops = track[: len(track) // _HOP * _HOP].reshape(-1, _HOP)
    energy = np.pad(hops.var(axis=1, dtype=np.float64), 1)
    energy = (energy[:-2] + energy[1:-1] + energy[2:]) / 3
    return 10 * np.log10(np.maximum(energy, 10 ** (_QUIETEST / 10)))


def _above_threshold(levels: np.ndarray, config: ActivityConfig) -> np.ndarray:
    """Hops that are loud enough for this track, with hysteresis."""
    active = np.zeros(len(levels), bool)
    if not len(levels) or levels.max() <= _QUIETEST:
        return active
    loud = float(np.sort(levels)[-min(_LOUD_HOPS, (len(levels) + 1) // 2)])
    if loud <= _QUIETEST:  # less than the shortest word in all
        loud = float(levels.max())
    low = float(np.quantile(levels, 0.1))
    if loud - low < config.steady and len(levels) >= _ENOUGH_HOPS:
        return active
    noise = min(low, loud - config.most_noise)
    begins = max(noise + config.above_noise, loud - config.below_voice, _QUIETEST + 1)
    # a stretch above the lower threshold counts if it reaches the upper one
    for first, last in runs(levels >= max(begins - config.hysteresis, _QUIETEST + 0.5)):
        active[first:last] = (levels[first:last] >= begins).any()
    return active


def _leaks(levels: np.ndarray, other: np.ndarray, config: ActivityConfig) -> np.ndarray:
    """Hops whose level goes up and down with a much louder track's: one microphone hears the other's speaker."""
    if len(levels) < _LEAK_HOPS:
        return np.zeros(len(levels), bool)

    def around(values: np.ndarray) -> np.ndarray:
        half = _LEAK_HOPS // 2
        sums = np.cumsum(np.pad(values, (half + 1, half), mode="edge"))
        mean: np.ndarray = (sums[2 * half + 1 :] - sums[: -2 * half - 1]) / (2 * half + 1)
        return mean

    mine, theirs = around(levels), around(other)
    together = around(levels * other) - mine * theirs
    spread = np.sqrt(np.maximum((around(levels**2) - mine**2) * (around(other**2) - theirs**2), 1e-6))
    result: np.ndarray = (theirs - mine > config.leak) & (together / spread > config.likeness)
    return result


def _rounded_off(active: np.ndarray, config: ActivityConfig) -> np.ndarray:
    """Without clicks and short gaps, and with something added on either side."""
    active, hop = active.copy(), _HOP / SAMPLE_RATE
    for first, last in runs(active):
        active[first:last] = last - first >= config.shortest / hop
    for first, last in runs(~active):
        if first > 0 and last < len(active) and last - first < config.longest_gap / hop:
            active[first:last] = True
    before, after = round(config.before / hop), round(config.after / hop)
    for first, last in runs(active):
        active[max(0, first - before) : last + after] = True
    return active


def _frames(hops: np.ndarray, num_frames: int) -> np.ndarray:
    """Hops to frames: a frame has voice if any of its hops has."""
    padded = np.zeros(num_frames * _HOPS_PER_FRAME, bool)
    padded[: len(hops)] = hops[: len(padded)]
    frames: np.ndarray = padded.reshape(num_frames, _HOPS_PER_FRAME).max(axis=1, initial=False)
    return frames


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
