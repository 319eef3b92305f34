"""Trains the mouth reader: `python -m polytalk.training.readers.mouth -o mouth_reader.safetensors`.

Squares are cut around the mouths of drawn people and of nobody, then moved, scaled, tilted, mirrored, blurred,
recoloured and noised, so that the reader also reads the soft frames that a small video network makes. The true opening
stays. One core needs about ten minutes; the avatars need the extra `sources`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from polytalk.evaluation.readers.mouth_reader import CROP, CROP_SCALE, MouthReader, cut_square
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import CELL, SyntheticClip, draw_clips
from polytalk.synthetic.seeds import seeds_of
from polytalk.training.readers.fit import fit

MARGIN = 1.6
"""Squares are stored this much larger than the reader sees, to be moved about."""
STORED = 96
"""Pixels of a side of a stored square."""
SCENES = SceneConfig(
    num_frames=9,
    head_size=(0.35, 0.95),
    motion=0.8,
    camera_motion=0.5,
    event_probability=0.5,
    crossing_probability=0.1,
    silent_probability=0.1,
    sources=(*SceneConfig().sources, ("3-D person", 3.0), ("portrait", 1.0), ("avatar", 1.5)),
)
"""Every kind of person, and more sizes, turns and events than the video network sees."""


@dataclass(frozen=True)
class ReaderTraining:
    """How the reader is trained."""

    clips: int = 1200
    """Drawn clips to cut from."""
    per_person: int = 5
    """Squares cut from each person of a clip."""
    steps: int = 4000
    """Optimiser steps."""
    batch: int = 64
    """Squares per step."""
    learning_rate: float = 2e-3
    """Peak of AdamW's learning rate; a linear warm-up, then a cosine to zero."""
    seed: int = 0
    """Of weights, batches and augmentation; the clips' seeds begin so much later, too."""


@dataclass(frozen=True)
class Squares:
    """N stored squares."""

    pixels: torch.Tensor
    """(N, 3, STORED, STORED) uint8."""
    shape: torch.Tensor
    """(N, 3) opening, width, rounding."""
    present: torch.Tensor
    """(N,) bool: a mouth is at the centre."""


def cut_squares(clips: list[SyntheticClip], per_person: int, rng: np.random.Generator) -> Squares:
    """Squares around visible mouths, and one of eight beside them, where no mouth is."""
    pixels, shapes, present = [], [], []
    for clip in clips:
        for person in range(clip.mouth.shape[1]):
            for t in _choose_frames(clip.mouth[:, person, 0], per_person, rng):
                box = clip.mouth_boxes[t, person]
                centre, size = (box[:2] + box[2:]) / 2, float(max(box[2:] - box[:2]))
                seen = _visible(clip, int(t), person, centre)
                if rng.random() < 1 / 8:  # beside the mouth: eyes, hair, clothes, background
                    away = rng.uniform(0.9, 2.5) * size * CROP_SCALE / 2
                    angle = rng.uniform(0, 2 * np.pi)
                    centre = centre + away * np.array([np.cos(angle), np.sin(angle)])
                    seen = False
                    if _any_mouth_near(clip.mouth_boxes[t], centre, size):
                        continue
                square = cut_square(clip.frames[t], centre, size * CROP_SCALE * MARGIN, STORED)
                pixels.append((square * 255).round().to(torch.uint8))
                shapes.append(clip.mouth[t, person])
                present.append(seen)
    return Squares(torch.stack(pixels), torch.from_numpy(np.array(shapes)).float(), torch.tensor(present))


def _choose_frames(opening: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Frames with the openings spread evenly: shut mouths would otherwise be half of all."""
    weight = 0.15 + opening
    return rng.choice(len(opening), size=min(count, len(opening)), replace=False, p=weight / weight.sum())


def _visible(clip: SyntheticClip, t: int, person: int, centre: np.ndarray) -> bool:
    height, width = clip.frames.shape[1:3]
    if not (0 <= centre[0] < width and 0 <= centre[1] < height):
        return False
    return bool(clip.masks[t, person, int(centre[1]) // CELL, int(centre[0]) // CELL])


def _any_mouth_near(boxes: np.ndarray, centre: np.ndarray, size: float) -> bool:
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    return bool((np.abs(middles - centre).max(axis=1) < size * CROP_SCALE * 0.4).any())


@dataclass(frozen=True)
class MouthBatch:
    """Augmented squares and what the reader should say about them."""

    pixels: torch.Tensor
    """(B, 3, CROP, CROP) 0..1."""
    shape: torch.Tensor
    """(B, 3)."""
    position: torch.Tensor
    """(B, 2), -1..1."""
    scale: torch.Tensor
    """(B,)."""
    present: torch.Tensor
    """(B,) float."""


def augment(squares: Squares, index: torch.Tensor, generator: torch.Generator) -> MouthBatch:
    """A batch of moved, scaled, tilted, mirrored, softened, recoloured and noised squares."""
    count = len(index)

    def uniform(low: float, high: float, *size: int) -> torch.Tensor:
        return torch.rand(count, *size, generator=generator) * (high - low) + low

    wild = uniform(0, 1) < 0.5  # half of them nearly in place, as when following
    shift = uniform(-1, 1, 2) * torch.where(wild, 0.45, 0.12)[:, None]
    log_scale = uniform(-1, 1) * torch.where(wild, 0.3, 0.1)
    angle, mirror = uniform(-0.2, 0.2), torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    # A point u of the new square (-1..1) shows the stored square's point A u + b; the mouth sits at the stored centre.
    zoom = log_scale.exp() / MARGIN
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    matrix = torch.stack([torch.stack([cos * mirror, -sin], 1), torch.stack([sin * mirror, cos], 1)], 1)
    offset = -(matrix @ shift[:, :, None])
    grid = F.affine_grid(torch.cat([matrix, offset], 2), [count, 3, CROP, CROP], align_corners=False)
    pixels = F.grid_sample(squares.pixels[index].float() / 255, grid, padding_mode="border", align_corners=False)
    pixels = recolour(soften(pixels, generator), generator)
    return MouthBatch(pixels, squares.shape[index], shift, -log_scale, squares.present[index].float())


def soften(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blurs six of ten squares (B, 3, n, n): resolution lost to a half, third or quarter, or a Gaussian blur."""
    pixels, side = pixels.clone(), pixels.shape[-1]
    kind = torch.rand(len(pixels), generator=generator)
    for low, high, factor in ((0.0, 0.15, 2.0), (0.15, 0.25, 3.0), (0.25, 0.3, 4.0)):
        part = (kind >= low) & (kind < high)
        if part.any():
            small = F.interpolate(pixels[part], scale_factor=1 / factor, mode="bilinear", antialias=True)
            pixels[part] = F.interpolate(small, size=side, mode="bicubic")
    for low, high, sigma in ((0.3, 0.45, 1.0), (0.45, 0.55, 1.8), (0.55, 0.6, 2.6)):
        part = (kind >= low) & (kind < high)
        if part.any():
            offsets = torch.arange(-6, 7, dtype=torch.float32)
            line = torch.softmax(-(offsets**2) / (2 * sigma**2), 0).expand(3, 1, 1, 13)
            wide = F.conv2d(F.pad(pixels[part], (6, 6, 6, 6), mode="replicate"), line, groups=3)
            pixels[part] = F.conv2d(wide, line.transpose(2, 3), groups=3)
    return pixels


def recolour(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Changes contrast, brightness and tint of squares (B, 3, n, n) and adds coarse and fine noise."""
    count, side = len(pixels), pixels.shape[-1]

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(count, *size, generator=generator)

    contrast, level = (1 + 0.2 * normal(1, 1, 1)).clamp(0.4, 1.6), pixels.mean(dim=(2, 3), keepdim=True)
    pixels = (pixels - level) * contrast + level + 0.06 * normal(1, 1, 1) + 0.04 * normal(3, 1, 1)
    strength = torch.rand(count, 1, 1, 1, generator=generator) ** 2
    pixels = pixels + 0.04 * strength * normal(3, side, side)
    coarse = F.interpolate(normal(3, 9, 9), size=side, mode="bicubic")
    return (pixels + 0.04 * strength.flip(0) * coarse).clamp(0, 1)


def loss(reader: MouthReader, batch: MouthBatch) -> torch.Tensor:
    """Opening first; width, rounding, position and size where a mouth is to be seen; presence everywhere."""
    reading, seen = reader(batch.pixels), batch.present
    weight = torch.tensor([1.0, 0.8, 0.5])  # width is the hardest to see: its range is a few pixels
    shape = F.smooth_l1_loss(reading.shape, batch.shape, beta=0.05, reduction="none") @ weight
    place = F.smooth_l1_loss(reading.position, batch.position, beta=0.05, reduction="none").sum(1)
    size = F.smooth_l1_loss(reading.scale, batch.scale, beta=0.05, reduction="none")
    presence = F.binary_cross_entropy_with_logits(reading.presence, seen)
    return ((shape + 0.5 * place + 0.25 * size) * seen).sum() / seen.sum().clamp(min=1) + 0.05 * presence


def train(
    config: ReaderTraining, people: tuple[int, ...] = (1, 2, 2, 3), reader: MouthReader | None = None
) -> MouthReader:
    """Draws the clips, cuts the squares, trains a new reader or the given one further; prints its progress."""
    clip_seeds = seeds_of("mouth reader", config.clips, config.seed)
    began, rng = time.monotonic(), np.random.default_rng(config.seed)
    parts = []
    for start in range(0, config.clips, 50):
        seeds = clip_seeds[start : start + 50]
        clips = draw_clips(seeds, [people[s % len(people)] for s in seeds], SCENES)
        parts.append(cut_squares(clips, config.per_person, rng))
    squares = Squares(*(torch.cat([getattr(p, name) for p in parts]) for name in ("pixels", "shape", "present")))
    print(f"{len(squares.pixels)} squares from {config.clips} clips after {time.monotonic() - began:.0f} s", flush=True)
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    reader = (reader or MouthReader()).train().requires_grad_(True)

    def batch_loss() -> torch.Tensor:
        index = torch.randint(len(squares.pixels), (config.batch,), generator=generator)
        return loss(reader, augment(squares, index, generator))

    fit(reader, batch_loss, steps=config.steps, learning_rate=config.learning_rate)
    return reader.eval()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Trains the mouth reader on drawn clips.")
    parser.add_argument("-o", "--output", type=Path, required=True, help="safetensors file to write")
    for name, default in (("clips", 1200), ("steps", 4000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--learning-rate", type=float, default=ReaderTraining.learning_rate)
    parser.add_argument("--start", type=Path, help="weights to begin with; new ones by default")
    options = parser.parse_args()
    config = ReaderTraining(
        clips=options.clips, steps=options.steps, seed=options.seed, learning_rate=options.learning_rate
    )
    reader = train(config, reader=MouthReader.from_pretrained(options.start) if options.start else None)
    reader.save_pretrained(options.output)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
