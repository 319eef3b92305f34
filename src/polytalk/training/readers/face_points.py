"""Trains what finds eyes, brows and mouths in pictures: `python -m polytalk.training.readers.face_points -o FILE`.

Drawn people of every source are drawn thrice in each of their poses: as they are, with eyes shut, with brows raised.
The pixels that differ show where eyes and brows are. Two cores draw for two minutes and train for five.
"""

from __future__ import annotations

import argparse
import dataclasses
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from scipy import ndimage
from torch import Tensor

from polytalk.postprocess.face_points import PLACES, REACH, SIDE, FacePointNetwork, square_around
from polytalk.synthetic.backgrounds import MARGIN, draw_background
from polytalk.synthetic.characters.character import Character, Pose
from polytalk.synthetic.characters.registry import SOURCES
from polytalk.synthetic.characters.vector.kit import raster
from polytalk.synthetic.picture_io import bundled_pictures
from polytalk.synthetic.scene_config import choose
from polytalk.synthetic.seeds import SEEDS

SOURCE_WEIGHTS = (
    ("flat person", 1.0), ("outlined person", 1.0), ("painted person", 1.4), ("sketch person", 0.8),
    ("flat animal", 0.4), ("outlined animal", 0.4), ("painted animal", 0.5), ("sketch animal", 0.3),
    ("3-D person", 2.2), ("portrait", 1.2),
)  # fmt: skip
CUTS = 4
"""Squares of each picture, around different places; the last one misses the face."""
CHANGED = 22
"""Grey levels by which a pixel differs that a blink has changed."""
HEIGHT, WIDTH = 192, 192


def random_pose(rng: np.random.Generator) -> Pose:
    """Somebody as a picture may show them, eyes open."""
    head = float(rng.uniform(0.45, 0.75)) * HEIGHT
    return Pose(
        x=float(rng.uniform(0.42, 0.58)) * WIDTH,
        y=float(rng.uniform(0.42, 0.55)) * HEIGHT,
        size=head,
        roll=float(rng.normal(0, 0.10)),
        yaw=float(np.clip(rng.normal(0, 0.35), -0.85, 0.85)),
        pitch=float(np.clip(rng.normal(0, 0.3), -0.8, 0.8)),
        opening=float(rng.uniform(0, 1)) if rng.random() < 0.4 else 0.0,
        width=float(rng.uniform(0.2, 1.0)),
        smile=float(rng.uniform(-0.2, 0.8)),
        gaze_x=float(np.clip(rng.normal(0, 0.4), -1, 1)),
        gaze_y=float(np.clip(rng.normal(0, 0.25), -1, 1)),
    )


def _drawn(who: Character, poses: list[Pose], rng: np.random.Generator) -> np.ndarray:
    """Somebody in poses before one background, uint8 (N, H, W, 3)."""
    kind = ("plain", "gradient", "noise", "room", "outdoor", "photo")[rng.integers(6)]
    background, _ = draw_background(rng, kind, WIDTH, HEIGHT, bundled_pictures())
    page = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    canvas = raster(page, opaque=True).getCanvas()
    frames = np.empty((len(poses), HEIGHT, WIDTH, 3), np.uint8)
    for row, pose in enumerate(poses):
        canvas.drawImage(background, -round(MARGIN * WIDTH), -round(MARGIN * HEIGHT))
        who.draw(canvas, pose)
        frames[row] = page[..., 2::-1]
    return frames


def changed_boxes(before: np.ndarray, after: np.ndarray) -> list[np.ndarray]:
    """Boxes (left, top, right, bottom) of what differs left and right between two pictures; none if not two parts."""
    differs = np.abs(before.astype(np.int16) - after).max(axis=-1) > CHANGED
    parts, count = ndimage.label(ndimage.binary_dilation(differs))
    if count < 2:
        return []
    areas = ndimage.sum_labels(differs, parts, range(1, count + 1))
    large = [number + 1 for number, area in enumerate(areas) if area >= 0.12 * areas.max()]
    middles = np.array([ndimage.center_of_mass(differs, parts, number)[1] for number in large])
    order = np.argsort(middles)
    gaps = np.diff(middles[order])
    if not len(gaps):
        return []
    border = int(gaps.argmax()) + 1
    found = []
    for group in (order[:border], order[border:]):
        rows, columns = np.nonzero(np.isin(parts, [large[place] for place in group]) & differs)
        found.append(np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float))
    return found


def draw_squares(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Squares of a person and their labels; (0, ...) where eyes are not seen apart. Runs in a worker process.

    Returns:
        uint8 (CUTS, 3, 64, 64); float32 (CUTS, 5, 5): of each of `PLACES` x, y, half-width, half-height as
        `FacePointNetwork` gives them, and whether they are known; all unknown where the face is missed.
    """

    torch.set_num_threads(1)
    rng = np.random.default_rng(SEEDS["face points"][number])
    who = SOURCES[choose(rng, SOURCE_WEIGHTS)](rng)
    pose = random_pose(rng)
    poses = [pose, dataclasses.replace(pose, blink=1.0), dataclasses.replace(pose, brow=1.0)]
    seen, shut, raised = _drawn(who, poses, rng)
    eyes, brows = changed_boxes(seen, shut), changed_boxes(seen, raised)
    geometry = who.geometry(pose)
    if not eyes or any(box[2] - box[0] > 0.3 * pose.size for box in eyes):
        return np.zeros((0, 3, SIDE, SIDE), np.uint8), np.zeros((0, len(PLACES), 5), np.float32)
    boxes = [*eyes, *(brows or [np.zeros(4)] * 2), np.array(geometry.mouth)]
    known = [True, True, bool(brows), bool(brows), True]
    squares, labels = [], []
    left, top, right, bottom = geometry.face
    for cut in range(CUTS):
        off = rng.uniform(-0.13, 0.13, 2) if cut < CUTS - 1 else rng.choice([-1, 1], 2) * rng.uniform(0.55, 0.9, 2)
        height = (bottom - top) * np.exp(rng.uniform(-0.22, 0.22))
        x, y = (left + right) / 2 + off[0] * height, (top + bottom) / 2 + off[1] * height
        squares.append((square_around(seen, x, y, REACH * height) * 255).round().to(torch.uint8).numpy())
        labels.append([_label(box, which, x, y, REACH * height / 2) for which, box in enumerate(boxes)])
        for label, is_known in zip(labels[-1], known, strict=True):
            label[4] = float(is_known and cut < CUTS - 1)
    return np.stack(squares), np.array(labels, np.float32)


def _label(box: np.ndarray, which: int, x: float, y: float, half: float) -> list[float]:
    is_brow = which in (2, 3)  # of brows, which the box shows at rest and raised, the lower edge counts
    down = box[3] if is_brow else (box[1] + box[3]) / 2
    return [((box[0] + box[2]) / 2 - x) / half, (down - y) / half, (box[2] - box[0]) / 2 / half,
            (box[3] - box[1]) / 2 / half, 0.0]  # fmt: skip


def augmented(squares: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Squares uint8 (B, 3, 64, 64) in other colours and mirrored, 0..1, with their labels."""
    count = len(squares)

    def uniform(*shape: int) -> Tensor:
        return torch.rand((count, *shape), generator=generator)

    pixels = squares.float() / 255
    soft = F.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
    pixels = torch.lerp(pixels, soft, (1.6 * uniform(1, 1, 1) - 0.6).clamp(min=0))
    grey = pixels.mean(1, keepdim=True)
    pixels = torch.lerp(pixels, grey.expand_as(pixels), (1.6 * uniform(1, 1, 1) - 0.6).clamp(min=0))
    pixels = pixels * (0.5 + 0.7 * uniform(1, 1, 1)) * (0.85 + 0.3 * uniform(3, 1, 1)) + 0.25 * uniform(1, 1, 1) - 0.1
    pixels = pixels + 0.04 * uniform(1, 1, 1) * torch.randn(pixels.shape, generator=generator)
    mirrored = uniform() < 0.5
    other = labels[:, [1, 0, 3, 2, 4]] * torch.tensor([-1.0, 1, 1, 1, 1])
    labels = torch.where(mirrored[:, None, None], other, labels)
    return torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels).clamp(0, 1), labels


def point_loss(model: FacePointNetwork, squares: Tensor, labels: Tensor) -> Tensor:
    """Errors of places, of sizes, and of whether there is a face."""
    places, sizes, sure = model(squares)
    known = labels[..., 4]
    has_face = known.amax(1)
    where = F.smooth_l1_loss(places, labels[..., :2], beta=0.02, reduction="none").sum(-1) * known
    large = F.smooth_l1_loss(sizes, labels[..., 2:4], beta=0.02, reduction="none").sum(-1) * known
    face = F.binary_cross_entropy_with_logits(sure, has_face)
    return (where.sum() + 0.7 * large.sum()) / known.sum().clamp(min=1) + 0.1 * face


def main() -> None:
    """Draw, train, save as bfloat16, and print the errors on people left out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=8000)
    parser.add_argument("--steps", type=int, default=3500)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(2) as executor:
        drawn = list(executor.map(draw_squares, range(arguments.people), chunksize=32))
    squares = torch.from_numpy(np.concatenate([pair[0] for pair in drawn]))
    labels = torch.from_numpy(np.concatenate([pair[1] for pair in drawn]))
    held_out = CUTS * (len(squares) // CUTS // 20)
    print(f"{len(squares)} squares, the last {held_out} left out")
    torch.manual_seed(0)
    model, generator = FacePointNetwork(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, arguments.steps, pct_start=0.05)
    for step in range(arguments.steps):
        rows = torch.randint(len(squares) - held_out, (96,), generator=generator)
        loss = point_loss(model, *augmented(squares[rows], labels[rows], generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 250 == 0:
            errors = report(model, squares[-held_out:], labels[-held_out:])
            print(f"step {step + 1}: {float(loss.detach()):.4f}, left out: {errors}", flush=True)
    save_file({name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}, arguments.out)


@torch.no_grad()
def report(model: FacePointNetwork, squares: Tensor, labels: Tensor) -> str:
    """Mean errors in heights of the head's box, and the share of squares in which a face is rightly seen or not."""
    places, sizes, sure = model(squares.float() / 255)
    known = labels[..., 4]
    parts = []
    for name, error in (
        ("places", (places - labels[..., :2]).norm(dim=-1)),
        ("sizes", (sizes - labels[..., 2:4]).abs().mean(-1)),
    ):
        mean = (error * known).sum(0) / known.sum(0) * REACH / 2
        parts.append(f"{name} " + " ".join(f"{value:.4f}" for value in mean.tolist()))
    return ", ".join([*parts, f"seen {float(((sure > 0) == (known.amax(1) > 0)).float().mean()):.3f}"])


if __name__ == "__main__":
    main()
