"""Trains the finder of drawn people: `python -m polytalk.training.readers.synthetic_faces -o drawn_faces.safetensors`.

Scenes of every source of characters are drawn ahead; squares are cut out of them anywhere and at any size, mirrored,
recoloured, softened and noised. Photographs without people stand behind the drawn ones and are shown alone, so that the
finder keeps silent on them: those of scikit-image that show nobody, and a folder of one's own (`--photos`; the shipped
weights saw the wallpapers of Debian's mate-backgrounds, ukui-wallpapers and lomiri-wallpapers-20.04 too). The avatars
need the extra `sources`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from polytalk.casting.people.drawn_network import FINE, STRIDE, UNIT, DrawnFaceMaps, DrawnFaceNetwork
from polytalk.evaluation.scenes.synthetic_heads import EMPTY_TRAINING, HIDDEN, empty_photos, scene_config, visible_heads
from polytalk.synthetic.picture_io import LONGEST
from polytalk.synthetic.scenes import CELL, SyntheticClip, draw_clip
from polytalk.synthetic.seeds import seeds_of
from polytalk.training.readers.fit import fit

CROP = 160
"""Pixels of a side of the squares that the network is trained on."""
PERSONS = 4
"""Most people in a scene."""
SPREAD = 0.12
"""Width of the peak in the heat map, as a share of the head."""
SMALLEST, LARGEST = 9.0, 150.0
"""Pixels of a head's side in the network's picture; others are neither wanted nor wrong."""


@dataclass(frozen=True)
class FinderTraining:
    """How the finder is trained."""

    scenes: int = 1500
    """Drawn scenes; two frames of each are kept."""
    steps: int = 2200
    """Optimiser steps."""
    batch: int = 16
    """Squares per step."""
    empty: float = 0.2
    """Share of squares cut from photographs without people."""
    learning_rate: float = 3e-3
    """Peak of AdamW's learning rate; a linear warm-up, then a cosine to zero."""
    seed: int = 0
    """Of weights, squares and scenes."""


@dataclass(frozen=True)
class Scenes:
    """N frames of drawn scenes, (height, width) pixels, and where everybody is."""

    pixels: torch.Tensor
    """uint8 (N, 3, height, width)."""
    owner: torch.Tensor
    """uint8 (N, height / 8, width / 8): who is seen there, from 1; 0 for nobody."""
    heads: torch.Tensor
    """float32 (N, 4, 4): left, top, right, bottom within the frame; zeros for nobody."""
    visible: torch.Tensor
    """float32 (N, 4): the share of each head that is to be seen."""


def draw_scenes(config: FinderTraining, photos: Path) -> Scenes:
    """Draw the scenes to train on, with the photographs of a folder behind some.

    Raises:
        PolytalkError: no photographs, or a source of characters lacks its package.
    """
    parts = []
    for number, seed in enumerate(seeds_of("finder", config.scenes, config.seed * 100_000)):
        clip = draw_clip(seed, scene_config(photos, num_frames=5))
        parts += [_frame(clip, t) for t in (0, 4)]
        if (number + 1) % 300 == 0:
            print(f"{number + 1} scenes drawn", flush=True)
    return Scenes(*(torch.stack(part) for part in zip(*parts, strict=True)))


def _frame(clip: SyntheticClip, t: int) -> tuple[torch.Tensor, ...]:
    heads, seen = visible_heads(clip, t)
    padded, shares = torch.zeros(PERSONS, 4), torch.zeros(PERSONS)
    padded[: len(heads)], shares[: len(heads)] = torch.from_numpy(heads), torch.from_numpy(seen)
    owner = np.zeros(clip.masks.shape[2:], np.uint8)
    for person, mask in enumerate(clip.masks[t]):
        owner[mask] = person + 1
    return torch.from_numpy(clip.frames[t].copy()).permute(2, 0, 1), torch.from_numpy(owner), padded, shares


def load_photos(folder: Path) -> list[torch.Tensor]:
    """Pictures of a folder, uint8 (3, height, width), at most `LONGEST` pixels a side."""
    loaded = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as picture:
            converted = picture.convert("RGB")
            converted.thumbnail((LONGEST, LONGEST))
            loaded.append(torch.from_numpy(np.array(converted)).permute(2, 0, 1))
    return loaded


@dataclass(frozen=True)
class FinderBatch:
    """B squares and the truth about them; C = CROP / 8 cells a side, D = CROP / 4."""

    pixels: torch.Tensor
    """(B, 3, CROP, CROP), −1..1."""
    heat: torch.Tensor
    """(B, C, C): 1 at the centres of heads, falling to 0 around them."""
    known: torch.Tensor
    """(B, C, C) bool: not in the way of a head that is half hidden or of no useful size."""
    reach: torch.Tensor
    """(B, 4, C, C): logarithms as in `DrawnFaceMaps`."""
    inside: torch.Tensor
    """(B, C, C): weight of the reach, 0 away from centres."""
    figure: torch.Tensor
    """(B, D, D) float, 0 or 1."""
    vote: torch.Tensor
    """(B, 2, D, D): as in `DrawnFaceMaps`."""


def cut_batch(
    scenes: Scenes, photos: Sequence[torch.Tensor], config: FinderTraining, rng: np.random.Generator
) -> FinderBatch:
    """Squares cut from scenes and photographs, with their truth."""
    parts = []
    for _ in range(config.batch):
        if photos and rng.random() < config.empty:
            photo = photos[int(rng.integers(len(photos)))]
            square = _Window.drawn(photo.shape[2], photo.shape[1], rng).cut(photo, CROP, "bilinear")
            nobody = torch.zeros(CROP // FINE, CROP // FINE)
            parts.append((square, *_targets(torch.zeros(0, 4), torch.zeros(0), nobody)))
            continue
        which = int(rng.integers(len(scenes.pixels)))
        frame = scenes.pixels[which]
        window = _Window.drawn(frame.shape[2], frame.shape[1], rng)
        owner = window.cut(_enlarged(scenes.owner[which]), CROP // FINE, "nearest")[0]
        heads = _targets(window.place(scenes.heads[which]), scenes.visible[which], owner)
        parts.append((window.cut(frame, CROP, "bilinear"), *heads))
    stacked = [torch.stack(part) for part in zip(*parts, strict=True)]
    return FinderBatch(_recolour(stacked[0], rng), *stacked[1:])


def _enlarged(owner: torch.Tensor) -> torch.Tensor:
    """Cells as pixels: (1, height, width)."""
    return owner.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)[None]


@dataclass(frozen=True)
class _Window:
    """Which part of a frame a square shows: pixel x of the square is column left + x · across of the frame."""

    left: float
    top: float
    across: float
    down: float
    mirror: bool

    @classmethod
    def drawn(cls, width: int, height: int, rng: np.random.Generator) -> _Window:
        """Anywhere, from a small part, enlarged, to more than the whole frame."""
        factor = float(np.exp(rng.uniform(np.log(0.7), np.log(1.15 * max(height, width) / CROP))))
        stretch = float(np.exp(rng.normal(0, 0.06)))
        across, down = factor * stretch, factor / stretch
        spare_x, spare_y = width - CROP * across, height - CROP * down
        left = rng.uniform(min(0, spare_x) - 0.1 * width, max(0, spare_x) + 0.1 * width)
        top = rng.uniform(min(0, spare_y) - 0.1 * height, max(0, spare_y) + 0.1 * height)
        return cls(left, top, across, down, bool(rng.random() < 0.5))

    def cut(self, frame: torch.Tensor, cells: int, mode: str) -> torch.Tensor:
        """A frame's (channels, height, width) values at the square's cells, float32 (channels, cells, cells)."""
        height, width = frame.shape[1:]
        # Only what is needed is turned into numbers; it is shrunk first where cells lie far apart.
        shrink = max(1, round(min(self.across, self.down))) if mode == "bilinear" else 1
        low_x, low_y = max(0, int(self.left) - 4 * shrink), max(0, int(self.top) - 4 * shrink)
        high_x = min(width, int(self.left + CROP * self.across) + 4 * shrink)
        high_y = min(height, int(self.top + CROP * self.down) + 4 * shrink)
        if high_x - low_x < shrink or high_y - low_y < shrink:
            return torch.zeros(len(frame), cells, cells)
        part = frame[None, :, low_y:high_y, low_x:high_x].float()
        part = part / 127.5 - 1 if mode == "bilinear" else part
        part = F.avg_pool2d(part, shrink) if shrink > 1 else part
        spots = (torch.arange(cells) + 0.5) * (CROP / cells)
        columns = 2 * (self.left + spots * self.across - low_x) / (part.shape[3] * shrink) - 1
        rows = 2 * (self.top + spots * self.down - low_y) / (part.shape[2] * shrink) - 1
        columns = columns.flip(0) if self.mirror else columns
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)[None]
        return F.grid_sample(part, grid, mode=mode, padding_mode="zeros", align_corners=False)[0]

    def place(self, boxes: torch.Tensor) -> torch.Tensor:
        """Boxes (n, 4) of the frame in pixels of the square; empty ones stay zeros."""
        shift = torch.tensor([self.left, self.top, self.left, self.top])
        moved = (boxes - shift) / torch.tensor([self.across, self.down, self.across, self.down])
        if self.mirror:
            moved = torch.stack([CROP - moved[:, 2], moved[:, 1], CROP - moved[:, 0], moved[:, 3]], dim=1)
        return torch.where((boxes[:, 2:] > boxes[:, :2]).all(1, keepdim=True), moved, torch.zeros_like(moved))


def _targets(heads: torch.Tensor, seen: torch.Tensor, owner: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Heat, known, reach, inside, figure and vote of one square."""
    cells = CROP // STRIDE
    spots = (torch.arange(cells) + 0.5) * STRIDE
    heat, inside = torch.zeros(cells, cells), torch.zeros(cells, cells)
    known, reach = torch.ones(cells, cells, dtype=torch.bool), torch.zeros(4, cells, cells)
    fine = (torch.arange(CROP // FINE) + 0.5) * FINE
    vote = torch.zeros(2, len(fine), len(fine))
    for number, (box, share) in enumerate(zip(heads, seen, strict=True)):
        whole = (box[2:] - box[:2]).prod()
        cut = torch.cat([box[:2].clamp(min=0), box[2:].clamp(max=CROP)])
        size = cut[2:] - cut[:2]
        if whole <= 0 or (size <= 1).any():
            continue
        mine = owner == number + 1
        middle = (cut[:2] + cut[2:]) / 2
        vote[0][mine] = ((middle[0] - fine)[None, :].expand(len(fine), -1))[mine] / UNIT
        vote[1][mine] = ((middle[1] - fine)[:, None].expand(-1, len(fine)))[mine] / UNIT
        shown = share * size.prod() / whole
        if shown < HIDDEN or size.max() < SMALLEST or size.max() > LARGEST:
            within_x, within_y = (spots > cut[0]) & (spots < cut[2]), (spots > cut[1]) & (spots < cut[3])
            known &= ~(within_y[:, None] & within_x[None, :])
            continue
        width = (SPREAD * size).clamp(min=0.55 * STRIDE)
        peak_x = torch.exp(-(((spots - middle[0]) / width[0]) ** 2) / 2)
        peak_y = torch.exp(-(((spots - middle[1]) / width[1]) ** 2) / 2)
        peak = peak_y[:, None] * peak_x[None, :]
        peak[int(middle[1].clamp(0, CROP - 1) // STRIDE), int(middle[0].clamp(0, CROP - 1) // STRIDE)] = 1.0
        mine_here = peak > torch.maximum(inside, torch.tensor(0.3))
        across, down = spots[None, :].expand(cells, -1), spots[:, None].expand(-1, cells)
        far = torch.stack([across - cut[0], down - cut[1], cut[2] - across, cut[3] - down]).clamp(min=1.0)
        reach = torch.where(mine_here, (far / UNIT).log(), reach)
        inside = torch.where(mine_here, peak, inside)
        heat = torch.maximum(heat, peak)
    return heat, known, reach, inside, (owner > 0).float(), vote


def _recolour(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Contrast, brightness, tint, other colours, grey, blur and noise; the margin outside pictures stays grey."""
    made = []
    for square in pixels:
        nothing = (square == 0).all(dim=0)
        if rng.random() < 0.12:
            square = square.mean(dim=0, keepdim=True).expand(3, -1, -1)
        elif rng.random() < 0.15:
            square = square[torch.from_numpy(rng.permutation(3))]
        gain = torch.from_numpy(np.exp(rng.normal(0, 0.12, (3, 1, 1)) + rng.normal(0, 0.2))).float()
        square = square * gain + float(rng.normal(0, 0.12))
        if rng.random() < 0.25:
            factor = float(rng.uniform(1.3, 3.0))
            small = F.interpolate(square[None], scale_factor=1 / factor, mode="bilinear", antialias=True)
            square = F.interpolate(small, size=(CROP, CROP), mode="bilinear")[0]
        if rng.random() < 0.4:
            square = square + float(rng.uniform(0, 0.12)) * torch.randn(square.shape)
        made.append(torch.where(nothing, 0.0, square.clamp(-1, 1)))
    return torch.stack(made)


def loss(seen: DrawnFaceMaps, truth: FinderBatch) -> torch.Tensor:
    """Focal loss of the heat, intersection over union of the boxes, cross-entropy of the figures, distance of votes."""
    probability = seen.heat.sigmoid().clamp(1e-4, 1 - 1e-4)
    centre = truth.heat >= 0.999
    hit = -((1 - probability) ** 2) * probability.log() * centre
    miss = -((1 - truth.heat) ** 4) * probability**2 * (1 - probability).log() * (~centre) * truth.known
    heat = (hit.sum() + miss.sum()) / centre.sum().clamp(min=1)
    mine, theirs = seen.reach.clamp(-4, 3).exp(), truth.reach.exp()
    common = torch.minimum(mine, theirs)
    overlap = (common[:, 0] + common[:, 2]) * (common[:, 1] + common[:, 3])
    areas = [(each[:, 0] + each[:, 2]) * (each[:, 1] + each[:, 3]) for each in (mine, theirs)]
    union = areas[0] + areas[1] - overlap
    weight = truth.inside / truth.inside.sum().clamp(min=1)
    logarithms = F.smooth_l1_loss(seen.reach, truth.reach, beta=0.1, reduction="none").mean(dim=1)
    boxes = ((1 - overlap / union + 0.5 * logarithms) * weight).sum()
    figure = F.binary_cross_entropy_with_logits(seen.figure, truth.figure)
    distance = F.smooth_l1_loss(seen.vote, truth.vote, beta=0.2, reduction="none").mean(dim=1)
    vote = (distance * truth.figure).sum() / truth.figure.sum().clamp(min=1)
    return heat + 2 * boxes + 1.5 * figure + 0.5 * vote


def train(scenes: Scenes, photos: Sequence[torch.Tensor], config: FinderTraining) -> DrawnFaceNetwork:
    """Train a new network; prints its progress."""
    rng = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    network = DrawnFaceNetwork().train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def batch_loss() -> torch.Tensor:
        batch = cut_batch(scenes, photos, config, rng)
        with torch.autocast("cpu", torch.bfloat16):
            seen = network(batch.pixels.contiguous(memory_format=torch.channels_last))
        return loss(seen, batch)

    fit(network, batch_loss, steps=config.steps, learning_rate=config.learning_rate, warmup=0.08, clip=5.0)
    return network.eval()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Trains the finder of drawn people on drawn scenes.")
    parser.add_argument("-o", "--output", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--photos", type=Path, action="append", help="folder of photographs without people; repeatable")
    for name in ("scenes", "steps", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(FinderTraining, name))
    options = parser.parse_args()
    config = FinderTraining(scenes=options.scenes, steps=options.steps, seed=options.seed)
    with empty_photos(EMPTY_TRAINING, options.photos or ()) as folder:
        scenes, photos = draw_scenes(config, folder), load_photos(folder)
    train(scenes, photos, config).save_pretrained(options.output)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
