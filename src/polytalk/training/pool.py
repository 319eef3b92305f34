"""Drawn clips kept on disk as pixels: drawn once by several processes, read by memory map."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import draw_clip


@dataclass(frozen=True)
class PoolConfig:
    """Clips drawn ahead for the autoencoder."""

    folder: str = "runs/pixels"
    """Where the clips lie; drawn anew only when this config has changed."""
    clips: int = 0
    """Number of clips."""
    seed: int = 0
    """First seed; clip i has seed + i."""
    scene: dict[str, Any] = field(default_factory=dict)
    """Fields of `polytalk.synthetic.scene_config.SceneConfig` (height, width, num_frames, people, ...)."""
    workers: int = 2
    """Processes that draw."""


def _draw(job: tuple[int, dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    seed, scene = job
    clip = draw_clip(seed, SceneConfig(**scene))
    boxes = np.stack([clip.face_boxes, clip.mouth_boxes], axis=2)
    return clip.frames, pad_people(boxes)


def pad_people(values: np.ndarray, people: int = 4) -> np.ndarray:
    """(T, P, ...) to (T, people, ...) with zeros."""
    out = np.zeros((values.shape[0], people, *values.shape[2:]), np.float32)
    out[:, : values.shape[1]] = values
    return out


class PixelPool:
    """Frames (N, T, H, W, 3) uint8 and boxes (N, T, 4, 2, 4): of four people, the face's and the mouth's."""

    def __init__(self, config: PoolConfig) -> None:
        self.count = config.clips
        if not config.clips:
            return
        folder = Path(config.folder)
        mark = folder / "pool.json"
        wanted = json.dumps(asdict(config), sort_keys=True)
        if not mark.exists() or mark.read_text() != wanted:
            self._fill(config, folder)
            mark.write_text(wanted)
        self.frames = np.load(folder / "frames.npy", mmap_mode="r")
        self.boxes = np.load(folder / "boxes.npy", mmap_mode="r")

    def __len__(self) -> int:
        return self.count

    @staticmethod
    def _fill(config: PoolConfig, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pool.json").unlink(missing_ok=True)
        jobs = [(config.seed + i, config.scene) for i in range(config.clips)]
        frames = boxes = None
        with ProcessPoolExecutor(min(config.workers, os.cpu_count() or 1)) as executor:
            results = executor.map(_draw, jobs, chunksize=16)
            for i, (pixels, rectangles) in enumerate(track(results, "drawing", total=len(jobs))):
                if frames is None or boxes is None:
                    open_ = np.lib.format.open_memmap
                    frames = open_(folder / "frames.npy", "w+", np.uint8, (config.clips, *pixels.shape))
                    boxes = open_(folder / "boxes.npy", "w+", np.float32, (config.clips, *rectangles.shape))
                frames[i], boxes[i] = pixels, rectangles

    def crop(
        self, rng: np.random.Generator, frames: int, size: int, face_weight: float = 2.0, mouth_weight: float = 6.0,
        at_mouth: float = 0.0,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """A crop (T, S, S, 3) uint8 and weights (T, S, S): 1, more on faces and mouths.

        Args:
            rng: chooses clip and place.
            frames: T.
            size: S.
            face_weight: weight in faces.
            mouth_weight: weight in mouths.
            at_mouth: share of crops that are placed where a mouth is.
        """
        index = int(rng.integers(self.count))
        _, time, height, width, _ = self.frames.shape
        start = int(rng.integers(time - frames + 1))
        top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
        if rng.random() < at_mouth:
            mouths = self.boxes[index, start, :, 1]
            mouths = mouths[mouths[:, 2] > mouths[:, 0]]
            x0, y0, x1, y1 = mouths[rng.integers(len(mouths))]
            left = int(np.clip((x0 + x1 - size) / 2 + rng.uniform(-0.3, 0.3) * size, 0, width - size))
            top = int(np.clip((y0 + y1 - size) / 2 + rng.uniform(-0.3, 0.3) * size, 0, height - size))
        span = slice(start, start + frames)
        pixels = np.ascontiguousarray(self.frames[index, span, top : top + size, left : left + size])
        weight = np.ones((frames, size, size), np.float32)
        boxes = np.rint(self.boxes[index, span] - np.array([left, top, left, top])).astype(int).clip(0, size)
        for value, kind in ((face_weight, 0), (mouth_weight, 1)):
            for t, people in enumerate(boxes[:, :, kind]):
                for x0, y0, x1, y1 in people:
                    weight[t, y0:y1, x0:x1] = value
        return pixels, weight
