"""Frames packed without loss, to be kept while a video is being made."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np

from polytalk.errors import PolytalkError
from polytalk.units import FPS


def pack_frames(frames: np.ndarray) -> bytes:
    """Frames uint8 (T, height, width, 3), T ≥ 1, as FFV1 in a NUT container; about half or a third of their size."""
    height, width = frames.shape[1:3]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="nut") as container:
        # every frame by itself, with a checksum for each slice of it
        stream = container.add_stream("ffv1", rate=FPS, options={"level": "3", "slicecrc": "1", "g": "1"})
        stream.height, stream.width, stream.pix_fmt = height, width, "bgr0"
        padded = np.zeros((height, width, 4), np.uint8)
        for frame in frames:
            padded[..., :3] = frame[..., ::-1]
            packets: Any = stream.encode(_bgr0(padded))
            container.mux(packets)
        container.mux(stream.encode(None))
    return buffer.getvalue()


def unpack_frames(packed: bytes, field: str = "frames") -> np.ndarray:
    """What `pack_frames` was given.

    Raises:
        PolytalkError: the bytes are damaged; `field` says whose they are.
    """
    try:
        with av.open(io.BytesIO(packed), "r", format="nut") as container:
            frames = [_from_bgr0(frame) for frame in container.decode(video=0)]
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PolytalkError(field, f"its frames are damaged ({reason})", "Have it made again.") from None
    if not frames:
        raise PolytalkError(field, "it holds no frames", "Have it made again.")
    return np.stack(frames)


def _bgr0(pixels: np.ndarray) -> av.VideoFrame:
    """Blue, green, red, nothing: FFV1's own format, so that nothing is converted on the way."""
    height, width, _ = pixels.shape
    frame = av.VideoFrame(width, height, "bgr0")
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
    rows[:, : 4 * width] = pixels.reshape(height, -1)
    return frame


def _from_bgr0(frame: av.VideoFrame) -> np.ndarray:
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)[:, : 4 * frame.width]
    return rows.reshape(frame.height, frame.width, 4)[..., 2::-1].copy()
