"""Active speaker detection in a video: whose mouth moves while a voice is heard.

Faces are followed from the first frame. The lower part of a face is compared with itself a frame before; what moves as
well in its upper part is the head, and is taken off. What remains is correlated with the loudness of each voice. No
network is needed, and drawings work as photographs do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.media.source_video import FrameSource
from polytalk.media.tracking import BoxTracker
from polytalk.scene import Box
from polytalk.units import FPS

LONGEST = 60.0
"""Seconds of a video that are looked at."""
_WIDEST = 640
"""Pixels of a frame's longer side beyond which it is scaled down first."""
_FACE = 32
"""Pixels of a side of a face while it is compared."""
_MOUTH = (slice(20, 32), slice(6, 26))
"""Rows and columns of the mouth in a face from brows to chin."""
_UPPER = (slice(0, 14), slice(4, 28))
"""Those of eyes and nose's root, which move with the head."""
_EVEN = 5
"""Frames over which motion and loudness are evened out: a syllable."""
_ENOUGH = 2 * FPS
"""Frames below which nothing is said."""


def mouth_motion(frames: FrameSource, faces: Sequence[Box], seconds: float = LONGEST) -> np.ndarray:
    """How much each mouth moves beyond its head.

    Args:
        frames: the video.
        faces: brows to chin of everybody in the first frame, in its pixels.
        seconds: how much of the video is looked at.

    Returns:
        float32 (P, T), 0 for a mouth at rest; the first frame's is 0.
    """
    count = min(frames.num_frames, round(seconds * FPS))
    meter = MouthMeter(faces)
    rows = [meter.add(frames.frames(number, 1)[0]) for number in range(count)]
    return np.stack(rows, axis=1) if rows else np.zeros((len(faces), 0), np.float32)


class MouthMeter:
    """`mouth_motion` of one frame after the other.

    Args:
        faces: brows to chin of everybody in the first frame, in its pixels.
    """

    def __init__(self, faces: Sequence[Box]) -> None:
        self._first = np.array([[face.left, face.top, face.right, face.bottom] for face in faces], np.float64)
        self._tracker: BoxTracker | None = None
        self._before: list[np.ndarray] = []

    def add(self, frame: np.ndarray) -> np.ndarray:
        """How much each mouth has moved since the frame before, beyond its head: float32 (P,).

        Args:
            frame: uint8 (height, width, 3), all of one size.
        """
        scale = min(1.0, _WIDEST / max(frame.shape[:2]))
        picture = _scaled(frame, scale)
        boxes = self._first * scale
        if self._tracker is None:
            self._tracker = BoxTracker(np.array(picture), boxes)
        else:
            boxes = self._tracker.follow(np.array(picture))
        grey = picture.convert("L")
        now = [_face(grey, box) for box in boxes]
        motion = np.zeros(len(now), np.float32)
        for person, (old, new) in enumerate(zip(self._before, now, strict=False)):
            change = np.abs(new - old)
            motion[person] = max(0.0, float(change[_MOUTH].mean() - change[_UPPER].mean()))
        self._before = now
        return motion


def speaker_scores(motion: np.ndarray, loudness: np.ndarray, enough: int = _ENOUGH) -> np.ndarray:
    """How well each mouth follows each voice.

    Args:
        motion: (P, T) from `mouth_motion`.
        loudness: (V, T') amplitude of each voice, frame by frame; the shorter of the two lengths counts.
        enough: frames below which nothing is said.

    Returns:
        float64 (P, V), correlations -1..1; NaN where there is too little to say anything. A still mouth has 0.

    Raises:
        PolytalkError: they are not tables of one row per person and voice.
    """
    if motion.ndim != 2 or loudness.ndim != 2:
        raise PolytalkError("motion", f"{motion.shape} and {loudness.shape}", "Give (people, T) and (voices, T).")
    length = min(motion.shape[1], loudness.shape[1])
    mouths = np.stack([_even(row[:length]) for row in motion]) if len(motion) else np.zeros((0, length))
    voices = np.stack([_even(np.sqrt(row[:length])) for row in loudness]) if len(loudness) else np.zeros((0, length))
    scores = np.full((len(mouths), len(voices)), np.nan)
    if length < enough:
        return scores
    for voice, heard in enumerate(voices):
        if heard.std() > 1e-6:
            for person, seen in enumerate(mouths):
                scores[person, voice] = np.corrcoef(seen, heard)[0, 1] if seen.std() > 1e-6 else 0.0
    return scores


def voice_loudness(tracks: np.ndarray, sample_rate: int) -> np.ndarray:
    """Root mean square of tracks (V, samples), frame by frame at 25 a second: float32 (V, T)."""
    hop = sample_rate / FPS
    edges = np.round(np.arange(int(tracks.shape[1] / hop) + 1) * hop).astype(int)
    power = np.add.reduceat(np.square(tracks, dtype=np.float64), edges[:-1], axis=1)[:, : len(edges) - 1]
    return np.sqrt(power / np.diff(edges)).astype(np.float32)


def _scaled(frame: np.ndarray, scale: float) -> Image.Image:
    picture = Image.fromarray(frame)
    if scale == 1.0:
        return picture
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BOX)


def _face(grey: Image.Image, box: np.ndarray) -> np.ndarray:
    """A face at a common size and contrast, float32 (32, 32)."""
    cut = grey.resize((_FACE, _FACE), Image.Resampling.BILINEAR, _inside(box, grey.size))
    values = np.asarray(cut, np.float32)
    return (values - values.mean()) / (values.std() + 4.0)


def _inside(box: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = size
    left, top = min(max(box[0], 0.0), width - 2.0), min(max(box[1], 0.0), height - 2.0)
    return left, top, max(min(box[2], width), left + 1.0), max(min(box[3], height), top + 1.0)


def _even(values: np.ndarray) -> np.ndarray:
    """Mean over a few frames around each, float64."""
    padded = np.pad(np.asarray(values, np.float64), _EVEN // 2, mode="edge")
    return np.convolve(padded, np.full(_EVEN, 1 / _EVEN), "valid")
