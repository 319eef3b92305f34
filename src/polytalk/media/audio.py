"""Sound files and arrays to mono tracks: decoding, resampling, arranging in time, mixing."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soxr

from polytalk.errors import PolytalkError
from polytalk.media.output import replace_when_done
from polytalk.scene import MAX_SAMPLE_RATE, MAX_SECONDS, MIN_SAMPLE_RATE
from polytalk.units import FPS

MIN_SECONDS = 5 / FPS
"""Shortest arrangement: five frames, the first and one group of four; shorter ones end in silence."""
_FORMATS = "Use WAV, FLAC, MP3, M4A, OGG or a video with sound."


@dataclass(frozen=True)
class Sound:
    """One channel of sound."""

    samples: np.ndarray
    """float32 (n,), full scale ±1."""
    sample_rate: int
    """Hz."""

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / self.sample_rate


def load_audio(path: str | Path, field: str = "audio", max_seconds: float = MAX_SECONDS) -> Sound:
    """Decode a sound file, or the first sound track of a video, to one channel at its own sample rate.

    Channels are averaged, as the release does.

    Raises:
        PolytalkError: missing, not sound, damaged, empty, with samples that are not numbers, or longer than
            `max_seconds` (by its header, or found while decoding, before all of it is in memory).
    """
    path = Path(path)
    if not path.exists():
        raise PolytalkError(field, f"there is no file {path}", "Name a sound file.")
    if not path.is_file():
        raise PolytalkError(field, f"{path} is not a file", "Name a sound file.")
    if path.stat().st_size == 0:
        raise PolytalkError(field, f"{path} is empty", _FORMATS)
    try:
        # Only files: a playlist must not make the decoder fetch anything from elsewhere.
        with av.open(str(path.absolute()), options={"protocol_whitelist": "file"}) as container:
            samples, rate = _decode(container, path, field, max_seconds)
    except (av.FFmpegError, OSError, UnicodeError) as error:
        if isinstance(error, PermissionError):
            raise PolytalkError(field, f"{path} must not be read", "Change its permissions.") from None
        reason = getattr(error, "strerror", None) or str(error)
        raise PolytalkError(field, f"{path} cannot be decoded as sound ({reason})", _FORMATS) from None
    return Sound(_checked(samples, rate, field, str(path), max_seconds), rate)


def _decode(
    container: av.container.InputContainer, path: Path, field: str, max_seconds: float
) -> tuple[np.ndarray, int]:
    if not container.streams.audio:
        raise PolytalkError(field, f"{path} contains no sound", _FORMATS)
    stream = container.streams.audio[0]
    rate = stream.codec_context.sample_rate
    if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
        remedy = f"Use {MIN_SAMPLE_RATE:,} to {MAX_SAMPLE_RATE:,} Hz."
        raise PolytalkError(field, f"{path} has a sample rate of {rate} Hz", remedy)
    if stream.duration is not None and stream.time_base is not None:
        _check_length(float(stream.duration * stream.time_base), field, str(path), max_seconds)
    elif container.duration is not None:
        _check_length(container.duration / av.time_base, field, str(path), max_seconds)
    # Rate and layout stay; only the sample format changes (and a rate that changes on the way is evened out).
    resampler = av.AudioResampler(format="fltp", layout=stream.codec_context.layout, rate=rate)
    parts: list[np.ndarray] = []
    count = 0
    for frame in container.decode(stream):
        for converted in resampler.resample(frame):
            parts.append(converted.to_ndarray().mean(axis=0, dtype=np.float32))
            count += len(parts[-1])
        _check_length(count / rate, field, str(path), max_seconds)
    parts += [converted.to_ndarray().mean(axis=0, dtype=np.float32) for converted in resampler.resample(None)]
    samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if "mp4" in container.format.name and stream.duration is not None and stream.time_base is not None:
        # MP4 states where the sound ends inside its last AAC frame, which decodes whole.
        samples = samples[: round(stream.duration * stream.time_base * rate)]
    return samples, rate


def sound_of(
    audio: str | Path | np.ndarray,
    sample_rate: int | None = None,
    field: str = "audio",
    max_seconds: float = MAX_SECONDS,
) -> Sound:
    """A `Sound` from a file or from samples.

    Args:
        audio: a file, or samples as (n,) or (channels, n): floating point in ±1, or integers of their full range.
        sample_rate: Hz; for samples.
        field: what to call it in errors.
        max_seconds: longest sound taken.

    Raises:
        PolytalkError: as `load_audio`, or an array that is no sound.
    """
    if isinstance(audio, str | Path):
        return load_audio(audio, field, max_seconds)
    if sample_rate is None:
        raise PolytalkError(field, "samples come without a sample rate", "Pass sample_rate in Hz.")
    array = np.asarray(audio)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[0] > array.shape[1] > 0):
        problem = f"an array of shape {array.shape} is no sound"
        raise PolytalkError(field, problem, "Use (samples,) or (channels, samples).")
    if array.dtype == np.uint8:
        array = (array.astype(np.float32) - 128) / 128
    elif np.issubdtype(array.dtype, np.signedinteger):
        array = array.astype(np.float32) / -float(np.iinfo(array.dtype).min)
    elif not np.issubdtype(array.dtype, np.floating):
        raise PolytalkError(field, f"its samples are {array.dtype}", "Use float32 in ±1, or int16.")
    mono = array.mean(axis=0) if array.ndim == 2 and array.size else array.reshape(-1)
    return Sound(_checked(mono.astype(np.float32), sample_rate, field, "the sound", max_seconds), sample_rate)


def _checked(samples: np.ndarray, rate: int, field: str, name: str, max_seconds: float) -> np.ndarray:
    if samples.size == 0:
        raise PolytalkError(field, f"{name} has no samples", "Use a sound that lasts.")
    _check_length(len(samples) / rate, field, name, max_seconds)
    if not np.isfinite(samples).all():
        raise PolytalkError(field, f"{name} has samples that are not numbers (NaN or infinite)", "Export it anew.")
    return samples


def _check_length(seconds: float, field: str, name: str, max_seconds: float) -> None:
    if seconds > max_seconds:
        length = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds:.1f} seconds"
        limit = f"{max_seconds / 3600:g} hours" if max_seconds >= 3600 else f"{max_seconds:g} seconds"
        raise PolytalkError(field, f"{name} lasts {length} or more", f"Cut it to at most {limit}.")


def save_sound(path: Path, sound: Sound, *, force: bool = False) -> None:
    """Write a sound as 16-bit WAV; nothing is left half-written.

    Raises:
        PolytalkError: the file exists and `force` is off, or it cannot be written.
    """
    with replace_when_done(path, force=force) as temporary, wave.open(str(temporary), "wb") as file:
        file.setparams((1, 2, sound.sample_rate, 0, "NONE", "not compressed"))
        file.writeframes((np.clip(sound.samples, -1, 1) * 32767).round().astype("<i2").tobytes())


def resample(samples: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Samples (n,) at another rate: float32 (round(n · target / source),), by soxr's high quality."""
    samples = np.asarray(samples, np.float32)
    if source_rate == target_rate or samples.size == 0:
        return samples
    length = max(1, round(len(samples) * target_rate / source_rate))
    out = soxr.resample(samples, source_rate, target_rate, quality="HQ")
    return np.pad(out[:length], (0, max(0, length - len(out)))).astype(np.float32)


def mix(tracks: np.ndarray) -> np.ndarray:
    """Sum of tracks (people, n) as float32 (n,); turned down as a whole if its peak would pass ±1."""
    return limit_peak(np.asarray(tracks, np.float32).sum(axis=0))


def limit_peak(samples: np.ndarray) -> np.ndarray:
    """Samples (n,), turned down as a whole if their peak passes ±1."""
    peak = float(np.abs(samples).max(initial=0.0))
    return samples / np.float32(peak) if peak > 1 else samples
