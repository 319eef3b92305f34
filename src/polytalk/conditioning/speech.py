"""Voices to the speech features that the audio adapter reads."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from polytalk.conditioning.conversation import Conversation, arrange, lay_down
from polytalk.errors import PolytalkError
from polytalk.media.audio import MIN_SECONDS, Sound, resample
from polytalk.units import FPS, SAMPLE_RATE

LOUDNESS = -23.0
"""LUFS (ITU-R BS.1770)."""
WINDOW = 5
"""Features per frame: two before, its own, two after."""

MOST_FEATURE_BYTES = 64 * 2**20
"""Speech features that are held in memory: a minute of one person at the released model's size."""

SpeechEncoder = Callable[[torch.Tensor], torch.Tensor]
"""Samples float32 (n,), 16 kHz, zero mean, unit variance → features (n·25 // 16000, layers, channels)."""


def normalise_loudness(samples: np.ndarray, sample_rate: int = SAMPLE_RATE, target: float = LOUDNESS) -> np.ndarray:
    """Bring samples (n,) to a loudness in LUFS.

    Left alone when shorter than the meter's 0.4 s, or when the meter reads beyond ±100 (silence reads −∞).
    """
    import pyloudnorm  # brings scipy.signal: half a second

    meter = pyloudnorm.Meter(sample_rate)
    if len(samples) < meter.block_size * sample_rate:
        return samples
    # The meter takes the logarithm of silence, which is what it means to report.
    with np.errstate(divide="ignore"):
        loudness = meter.integrated_loudness(np.asarray(samples, np.float64))
    if not abs(loudness) <= 100:
        return samples
    return (samples * 10 ** ((target - loudness) / 20)).astype(np.float32)


def standardise(samples: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance over the whole track (n,), as wav2vec2 expects; silence stays silence."""
    wide = np.asarray(samples, np.float64)
    return ((wide - wide.mean()) / np.sqrt(wide.var() + 1e-7)).astype(np.float32)


def speech_tracks(
    sounds: Sequence[Sound | None],
    arrangement: str = "together",
    offsets: Sequence[float] | None = None,
    min_seconds: float = MIN_SECONDS,
) -> np.ndarray:
    """Everybody's voice at 16 kHz and the same loudness, arranged in time: float32 (people, samples).

    Loudness is that of each voice by itself, before silence is added, as in the release.
    """
    levelled = [
        None
        if sound is None
        else Sound(normalise_loudness(resample(sound.samples, sound.sample_rate, SAMPLE_RATE)), SAMPLE_RATE)
        for sound in sounds
    ]
    return arrange(levelled, SAMPLE_RATE, arrangement, offsets, min_seconds)


def conversation_tracks(conversation: Conversation, min_seconds: float = MIN_SECONDS) -> np.ndarray:
    """Everybody's voice at 16 kHz and the same loudness, at its times: float32 (people, samples).

    A voice's loudness is measured over all of its utterances, joined without the silence between them, so that a
    whisper stays softer than a shout. With one sound per person it is what `speech_tracks` gives. A soundtrack that
    goes on after the last word adds silence.
    """
    heard = conversation.soundtrack
    min_seconds = max(min_seconds, heard.seconds if heard is not None else 0.0)
    tracks = [_voice_track(conversation, person) for person in range(conversation.schedule.num_speakers)]
    length = max([round(min_seconds * SAMPLE_RATE), *map(len, tracks)])
    return np.stack([np.pad(track, (0, length - len(track))) for track in tracks])


def _voice_track(conversation: Conversation, person: int) -> np.ndarray:
    """One person's voice at 16 kHz, up to its last sample."""
    turns = list(conversation.turns_of(person))
    sounds = [resample(sound.samples, sound.sample_rate, SAMPLE_RATE) for _, sound in turns]
    if not sounds:
        return np.zeros(0, np.float32)
    levelled = normalise_loudness(np.concatenate(sounds))
    pieces = np.split(levelled, np.cumsum([len(sound) for sound in sounds])[:-1])
    return lay_down([(turn.start, piece) for (turn, _), piece in zip(turns, pieces, strict=True)], SAMPLE_RATE)


def pad_to_frames(tracks: np.ndarray, num_frames: int) -> np.ndarray:
    """Tracks (people, samples), 16 kHz, with silence added so that `num_frames` video frames have features."""
    missing = -(-num_frames * SAMPLE_RATE // FPS) - tracks.shape[-1]
    return np.pad(tracks, ((0, 0), (0, max(0, missing))))


def num_feature_frames(num_samples: int) -> int:
    """Features that an encoder gives for so many samples at 16 kHz."""
    return num_samples * FPS // SAMPLE_RATE


@dataclass(frozen=True)
class SpeechFeatures:
    """What everybody says, one feature per video frame; windows are cut when a clip needs them.

    Kept without windows, which would take five times the memory for long sound.
    """

    features: torch.Tensor
    """(people, frames, layers, channels)."""

    @property
    def num_frames(self) -> int:
        """Length of the whole track in video frames."""
        return self.features.shape[1]

    def clip(self, start: int = 0, num_frames: int | None = None) -> torch.Tensor:
        """Windowed features of the frames from `start`: (people, num_frames, 5, layers, channels).

        Frame t sees t−2 to t+2. Windows reach into neighbouring clips; beyond the ends of the whole track the first
        or last feature is repeated.
        """
        count = self.num_frames - start if num_frames is None else num_frames
        if start < 0 or count < 1:
            raise PolytalkError("clip", f"{count} frames from {start} are none", "Start within the sound.")
        index = window_index(start, count, self.num_frames)
        return self.features[:, index.to(self.features.device)]


def window_index(start: int, count: int, num_frames: int) -> torch.Tensor:
    """Which features `count` frames from `start` see, of a track of `num_frames`: int64 (count, 5)."""
    reach = torch.arange(WINDOW) - WINDOW // 2
    return (start + torch.arange(count)[:, None] + reach).clamp(0, num_frames - 1)


def encode_speech(tracks: np.ndarray, encoder: SpeechEncoder, device: torch.device | str = "cpu") -> SpeechFeatures:
    """Run a speech encoder over everybody's whole track.

    Args:
        tracks: float32 (people, samples) at 16 kHz, from `speech_tracks`; at least 640 samples.
        encoder: see `SpeechEncoder`.
        device: where the encoder lives, and where the features stay unless they are many: those of long sound lie in
            a temporary file, mapped to memory, from which the system reads what a clip needs.

    Raises:
        PolytalkError: not even one frame of sound.
    """
    expected = num_feature_frames(tracks.shape[-1])
    if expected < 1:
        raise PolytalkError("audio", "it is shorter than one video frame (40 ms)", "Use a longer sound.")
    kept: torch.Tensor | None = None
    for person, track in enumerate(tracks):
        with torch.no_grad():
            features = encoder(torch.from_numpy(standardise(track)).to(device))
        if features.ndim != 3 or features.shape[0] != expected:
            raise ValueError(f"the encoder gave {tuple(features.shape)} for {expected} frames")
        if kept is None:
            kept = _room((len(tracks), *features.shape), features)
        kept[person] = features.to(kept.device)
    if kept is None:
        raise PolytalkError("speakers", "there is none", "Give at least one speaker.")
    return SpeechFeatures(kept)


def _room(shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """An empty tensor; a large one in a file that goes with it."""
    size = math.prod(shape)
    if size * like.element_size() <= MOST_FEATURE_BYTES:
        return like.new_empty(shape)
    with tempfile.NamedTemporaryFile(prefix="polytalk-") as file:
        file.truncate(size * like.element_size())
        return torch.from_file(file.name, shared=True, size=size, dtype=like.dtype).view(shape)
