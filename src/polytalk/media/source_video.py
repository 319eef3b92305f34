"""A video as the source of another: its frames at 25 a second, a clip at a time, however long it is.

Frames are shown when their time stamps say, so that a variable frame rate, or one other than 25, is resampled: frame i
of the result is the last one of the file that is on the screen at i / 25 s after the first. Nothing is blended.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.media.limits import check_size
from polytalk.units import FPS

VIDEO_SUFFIXES = frozenset((".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts"))
"""Endings by which a file is taken for a video and not for a picture."""
_REMEMBERED = 128
"""Frames that stay in memory at least, so that a clip may begin before the last one's end."""
_ROUNDING = 1e-4
"""Seconds by which time stamps, rounded to the file's clock, may come late."""


class FrameSource(Protocol):
    """Frames at 25 a second."""

    num_frames: int
    """Length."""
    width: int
    """Pixels, as shown."""
    height: int
    """Pixels, as shown."""

    def frames(self, start: int, count: int) -> np.ndarray:
        """uint8 (count, height, width, 3); beyond the end the last frame stands still."""


class ArrayFrames:
    """Frames that are in memory.

    Args:
        frames: uint8 (T, height, width, 3) at 25 a second.

    Raises:
        PolytalkError: no frames, or no pictures.
    """

    def __init__(self, frames: np.ndarray, field: str = "video") -> None:
        array = np.asarray(frames)
        if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8:
            problem = f"an array {array.dtype} of shape {array.shape} is no video"
            raise PolytalkError(field, problem, "Use uint8 (frames, height, width, 3).")
        if not len(array):
            raise PolytalkError(field, "it has no frames", "A video needs at least one.")
        self._frames, self.num_frames = array, len(array)
        self.height, self.width = array.shape[1:3]
        check_size(self.width, self.height, field, "the video")

    def frames(self, start: int, count: int) -> np.ndarray:
        """uint8 (count, height, width, 3); beyond the end the last frame stands still."""
        return self._frames[np.minimum(np.arange(start, start + count), self.num_frames - 1)]


class VideoFile:
    """Frames of a file, decoded as they are asked for; no more than a clip of them is kept.

    Asking in order costs one decoding of the file. Rotation noted in the file (telephones do that) is applied.

    Args:
        path: any video file that FFmpeg decodes.
        field: what to call it in errors.

    Raises:
        PolytalkError: missing, damaged, without pictures, or with pictures that are too small or too large.
    """

    def __init__(self, path: str | Path, field: str = "video") -> None:
        self.path, self.field = Path(path), field
        if not self.path.is_file():
            raise PolytalkError(field, f"there is no file {self.path}", "Name a video file.")
        self._times = self._read_times()
        self.num_frames = self._length()
        self._decoder: Iterator[np.ndarray] = iter(())
        self._near: deque[np.ndarray] = deque()
        self._first = 0
        """Number, in the file, of the first frame in `_near`."""
        self._begin()
        self.height, self.width = self._near[0].shape[:2]
        check_size(self.width, self.height, field, str(self.path))

    def frames(self, start: int, count: int) -> np.ndarray:
        """uint8 (count, height, width, 3); beyond the end the last frame stands still.

        Raises:
            PolytalkError: the file turns out to be damaged there.
        """
        wanted = [self._shown_at(number) for number in range(start, start + count)]
        if wanted[0] < self._first:
            self._begin()
        while self._first + len(self._near) <= wanted[-1] and self._decode_one():
            if self._first < wanted[0] and len(self._near) > _REMEMBERED:
                self._near.popleft()
                self._first += 1
        # fewer frames than packets: what could be decoded last stands still
        return np.stack([self._near[min(i - self._first, len(self._near) - 1)] for i in wanted])

    def _shown_at(self, number: int) -> int:
        """Which of the file's frames is on the screen in frame `number` of the result."""
        number = min(number, self.num_frames - 1)
        return max(0, bisect.bisect_right(self._times, number / FPS + _ROUNDING) - 1)

    def _length(self) -> int:
        """Frames at 25 a second; the last one is taken to stay as long as the one before it."""
        last = self._times[-1] - self._times[-2] if len(self._times) > 1 else 1 / FPS
        return max(1, round((self._times[-1] + min(last, 1.0)) * FPS))

    def _read_times(self) -> list[float]:
        """When each frame is shown, seconds after the first; read without decoding."""
        with self._open() as (container, stream):
            if stream is None:
                raise PolytalkError(self.field, f"{self.path} contains no pictures", "Use a video file.")
            packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_corrupt]
            base, rate = float(stream.time_base or 0), float(stream.average_rate or stream.guessed_rate or FPS)
        if not packets:
            raise PolytalkError(self.field, f"{self.path} has no frames", "Use a video with at least one.")
        stamps = [packet.pts for packet in packets if packet.pts is not None]
        if len(stamps) < len(packets) or not base:  # old containers know a rate only
            return [number / rate for number in range(len(packets))]
        stamps.sort()
        return [(stamp - stamps[0]) * base for stamp in stamps]

    def _begin(self) -> None:
        """Start decoding from the first frame."""
        self._decoder, self._first = self._decode(), 0
        self._near.clear()
        if not self._decode_one():
            raise PolytalkError(self.field, f"{self.path} has no frames", "Use a video with at least one.")

    def _decode_one(self) -> bool:
        frame = next(self._decoder, None)
        if frame is not None:
            self._near.append(frame)
        return frame is not None

    def _decode(self) -> Iterator[np.ndarray]:
        with self._open() as (container, stream):
            assert stream is not None
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                pixels = frame.to_ndarray(format="rgb24")
                yield np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        """Container and video stream; the stream is None where there are no pictures."""
        try:
            with av.open(str(self.path.absolute()), options={"protocol_whitelist": "file"}) as container:
                yield container, next(iter(container.streams.video), None)
        except (av.FFmpegError, OSError) as error:
            reason = error.strerror or str(error)
            raise PolytalkError(self.field, f"{self.path} cannot be decoded ({reason})", "Use a video file.") from None


def open_frames(source: str | Path | np.ndarray | FrameSource, field: str = "video") -> FrameSource:
    """A video file, or frames in memory.

    Raises:
        PolytalkError: as `VideoFile` and `ArrayFrames`.
    """
    if isinstance(source, str | Path):
        return VideoFile(source, field)
    if isinstance(source, np.ndarray):
        return ArrayFrames(source, field)
    return source


def is_video(path: str | Path) -> bool:
    """Whether a file's name is that of a video."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def shows_video(image: Any) -> bool:
    """Whether what a scene shows is a video: a file by its ending, an array (T, height, width, 3) by its shape."""
    return is_video(image) if isinstance(image, str | Path) else isinstance(image, np.ndarray) and image.ndim == 4


def first_picture(source: FrameSource) -> Image.Image:
    """The first frame as a picture."""
    return Image.fromarray(source.frames(0, 1)[0])
