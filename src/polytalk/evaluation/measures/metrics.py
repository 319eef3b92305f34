"""Measures of talking videos, each with update() and compute(), so that the report and the trainer share them.

Frames are uint8 (T, H, W, 3); mouth openings are float32 0..1 per frame; boxes are left, top, right, bottom in pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torchmetrics import Metric

from polytalk.errors import PolytalkError

MIN_FRAMES = 8
"""A voice that speaks for fewer frames than this says nothing about whose mouth follows it."""
MIN_DEVIATION = 0.05
"""A true opening that varies less than this (standard deviation, 0..1) leaves the correlation undefined."""
STILL = 0.02
"""A read opening that varies less than this is a mouth that does not move: its correlation with anything is 0."""


def pearson(read: np.ndarray, true: np.ndarray) -> float:
    """Correlation of two tracks (n,). NaN if the truth is short or hardly varies; 0 if only the read one is still."""
    if len(true) < MIN_FRAMES or float(np.std(true)) < MIN_DEVIATION:
        return float("nan")
    if float(np.std(read)) < STILL:
        return 0.0
    return float(np.corrcoef(read, true)[0, 1])


def sync_matrix(read: np.ndarray, true: np.ndarray, speaking: np.ndarray) -> np.ndarray:
    """Correlations person x voice of one scene, each over the frames in which the voice speaks.

    Args:
        read: (T, P) mouth openings read from the pixels.
        true: (T, V) mouth openings that belong to the voices.
        speaking: (T, V) bool.

    Returns:
        (P, V) float64; a whole column is NaN when its voice speaks too little or hardly opens the mouth.
    """
    if read.shape[0] != true.shape[0] or true.shape != speaking.shape:
        raise PolytalkError(
            "tracks", f"read {read.shape}, true {true.shape}, speaking {speaking.shape}", "one row per frame in each"
        )
    columns = [[pearson(read[on, p], true[on, v]) for p in range(read.shape[1])] for v, on in enumerate(speaking.T)]
    return np.array(columns, dtype=np.float64).reshape(true.shape[1], read.shape[1]).T


class SyncMatrix(Metric):
    """Mean correlation person x voice, and how often a person's own voice is the one followed most.

    A row counts when the person's own voice is defined; it is won when the own entry is strictly the largest, so that a
    still mouth (all zeros) wins nothing. `left_out` counts the rows that could not be defined.
    """

    full_state_update = False
    total: torch.Tensor
    count: torch.Tensor
    won: torch.Tensor
    rows: torch.Tensor
    left_out: torch.Tensor

    def __init__(self, people: int) -> None:
        super().__init__()
        self.people = people
        zeros = torch.zeros(people, people, dtype=torch.float64)
        self.add_state("total", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("count", zeros.clone(), dist_reduce_fx="sum")
        for name in ("won", "rows", "left_out"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, read: np.ndarray, true: np.ndarray, speaking: np.ndarray) -> None:
        """Adds one scene: read (T, P), true (T, P), speaking (T, P). Column p is the voice that person p was given."""
        matrix = torch.from_numpy(sync_matrix(read, true, speaking)).to(self.total.device)
        known = ~torch.isnan(matrix)
        self.total += torch.where(known, matrix, 0.0)
        self.count += known
        for person in range(self.people):
            if not known[person, person]:
                self.left_out += 1
                continue
            others = [matrix[person, v] for v in range(self.people) if v != person and known[person, v]]
            own = matrix[person, person]
            self.rows += 1
            self.won += int(own > 0 and all(own > other for other in others))

    def matrix(self) -> np.ndarray:
        """(P, P) mean correlations; NaN where no scene defined one."""
        return torch.where(self.count > 0, self.total / self.count.clamp(min=1), torch.nan).cpu().numpy()

    def compute(self) -> dict[str, float]:
        """own and other (means over all defined entries), diagonal (share of rows won), rows and left_out (counts)."""
        eye = torch.eye(self.people, dtype=torch.bool, device=self.total.device)

        def mean(where: torch.Tensor) -> float:
            entries = float(self.count[where].sum())
            return float(self.total[where].sum()) / entries if entries else float("nan")

        rows = int(self.rows)
        return {
            "own": mean(eye),
            "other": mean(~eye),
            "diagonal": int(self.won) / rows if rows else float("nan"),
            "rows": rows,
            "left_out": int(self.left_out),
        }


class SilentMotion(Metric):
    """Mouth motion of silent people relative to speaking ones: mean |opening(t) - opening(t-1)| of each, divided.

    Frames within `margin` frames of speech count as neither: mouths close a little after the sound ends.
    """

    full_state_update = False
    motion: torch.Tensor
    count: torch.Tensor

    def __init__(self, margin: int = 3) -> None:
        super().__init__()
        self.margin = margin
        self.add_state("motion", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, read: np.ndarray, speaking: np.ndarray) -> None:
        """Adds one scene: read (T, P) openings, speaking (T, P) bool."""
        step = np.abs(np.diff(read.astype(np.float64), axis=0))
        near = speaking.copy()
        for shift in range(1, self.margin + 1):
            near[shift:] |= speaking[:-shift]
            near[:-shift] |= speaking[shift:]
        silent, talks = ~near[1:] & ~near[:-1], speaking[1:] & speaking[:-1]
        for kind, where in enumerate((silent, talks)):
            self.motion[kind] += float(step[where].sum())
            self.count[kind] += int(where.sum())

    def compute(self) -> float:
        """The ratio; NaN when nobody is silent long enough, or when speaking mouths do not move at all."""
        silent, talks = (self.motion / self.count).tolist()
        return silent / talks if talks > 1e-6 else float("nan")


def face_region(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part (h, w, 3) of a frame inside a box, clipped to the frame; at least 2x2 pixels."""
    height, width = frame.shape[:2]
    left, top = int(np.clip(box[0], 0, width - 2)), int(np.clip(box[1], 0, height - 2))
    right, bottom = int(np.clip(np.ceil(box[2]), left + 2, width)), int(np.clip(np.ceil(box[3]), top + 2, height))
    return frame[top:bottom, left:right]


def gradient_energy(region: np.ndarray) -> float:
    """Mean absolute difference of neighbouring pixels of a region (h, w, 3), in grey levels."""
    grey = region.astype(np.float32).mean(axis=-1)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) / 2


class _Mean(Metric):
    """A mean over everything that was added."""

    full_state_update = False
    total: torch.Tensor
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def _add(self, values: np.ndarray) -> None:
        self.total += float(np.sum(values, dtype=np.float64))
        self.count += int(np.size(values))

    def compute(self) -> float:
        return float(self.total / self.count) if self.count else float("nan")


class FaceSharpness(_Mean):
    """Gradients in the faces relative to the reference picture's: 1 as sharp, 0 flat. (Noise reads as sharpness.)"""

    def update(self, frames: np.ndarray, reference: np.ndarray, boxes: np.ndarray) -> None:
        """frames (T, H, W, 3), reference (H, W, 3), boxes (T, P, 4) of the faces; boxes[0] is the reference's."""
        for person in range(boxes.shape[1]):
            base = gradient_energy(face_region(reference, boxes[0, person]))
            if base > 0.5:  # a flat patch has no sharpness to lose
                energy = [gradient_energy(face_region(f, b)) for f, b in zip(frames, boxes[:, person], strict=True)]
                self._add(np.array(energy) / base)


class BackgroundPSNR(_Mean):
    """PSNR in dB of the pixels that belong to nobody, against the reference picture. Meant for a still camera."""

    def update(self, frames: np.ndarray, reference: np.ndarray, people: np.ndarray) -> None:
        """frames (T, H, W, 3), reference (H, W, 3), people (H, W) bool: True wherever somebody is in any frame."""
        if people.all():
            return
        error = frames[:, ~people].astype(np.float64) - reference[~people].astype(np.float64)
        mse = np.mean(error**2, axis=(1, 2))
        self._add(10 * np.log10(255.0**2 / np.maximum(mse, 255.0**2 * 1e-6)))  # at most 60 dB


def appearance(region: np.ndarray, bins: int = 8) -> np.ndarray:
    """Descriptor (3*bins + bins,) of a region (h, w, 3): colour histograms and a histogram of edge directions."""
    colours = [np.histogram(region[..., c], bins=bins, range=(0, 256))[0] for c in range(3)]
    grey = region.astype(np.float32).mean(axis=-1)
    dy, dx = np.gradient(grey)
    angle = np.arctan2(dy, dx) % np.pi
    edges = np.histogram(angle, bins=bins, range=(0, np.pi), weights=np.hypot(dx, dy))[0]
    parts = [part / max(float(part.sum()), 1e-6) for part in (*colours, edges)]
    return np.concatenate(parts)


class FaceAppearanceDistance(_Mean):
    """How far the faces drift from the reference in colours and edge directions: 0 the same, 1 nothing in common.

    A plain descriptor, not face recognition: it notices that a face dissolves or changes colour, not that it
    becomes a similar person.
    """

    def update(self, frames: np.ndarray, reference: np.ndarray, boxes: np.ndarray) -> None:
        """frames (T, H, W, 3), reference (H, W, 3), boxes (T, P, 4) of the faces; boxes[0] is the reference's."""
        for person in range(boxes.shape[1]):
            base = appearance(face_region(reference, boxes[0, person]))
            found = [appearance(face_region(f, b)) for f, b in zip(frames, boxes[:, person], strict=True)]
            self._add(np.abs(np.array(found) - base).sum(axis=1) / 8)  # four histograms, each at most 2 apart


class Flicker(_Mean):
    """Trembling from frame to frame: mean |x(t-1) - 2 x(t) + x(t+1)| in grey levels; 0 for a still picture."""

    def update(self, frames: np.ndarray, where: np.ndarray | None = None) -> None:
        """frames (T, H, W, 3) with T >= 3; where (H, W) bool: only these pixels count (all when None)."""
        grey = frames.astype(np.float32).mean(axis=-1)
        bend = np.abs(grey[:-2] - 2 * grey[1:-1] + grey[2:]).mean(axis=0)
        self._add(bend if where is None else bend[where])
