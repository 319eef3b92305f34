"""Trains what reads faces: `python -m polytalk.training.readers.faces pose|identity -o FILE [--squares FILE]`.

People of every source are drawn in random poses before two backgrounds each; squares around their heads are moved,
scaled, tilted, mirrored, blurred, recoloured and noised, so that the readers also read what a video network makes.
Drawing takes one core about three minutes (`--squares` keeps the squares for the next reader), training about six.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from polytalk.evaluation.readers.face_reader import TIGHT, TIGHT_SCALE, WIDE, WIDE_SCALE, FaceReader
from polytalk.evaluation.readers.identity_reader import FACE, FACE_SCALE, IdentityReader
from polytalk.evaluation.readers.mouth_reader import cut_square
from polytalk.evaluation.scenes.synthetic_faces import READ, draw_faces, random_poses
from polytalk.synthetic.characters.character import Character
from polytalk.synthetic.characters.registry import SOURCES
from polytalk.synthetic.scene_config import SceneConfig, choose
from polytalk.synthetic.seeds import seeds_of
from polytalk.training.readers.fit import fit
from polytalk.training.readers.mouth import recolour, soften

MARGIN = 1.4
"""Squares are stored this much larger than a reader sees, to be moved about."""
STORED_TIGHT, STORED_WIDE = 128, 88
"""Pixels of a side of the stored squares."""
SOURCE_WEIGHTS = (*SceneConfig().sources, ("3-D person", 1.8), ("portrait", 0.4), ("avatar", 0.35))
PORTRAIT = "portrait"
"""Source whose characters are all the same person: left out where people are told apart."""
BACKGROUNDS = 2
"""For each character; half of its poses before each."""
_MIRRORED = torch.tensor([-1.0 if name in ("gaze_x", "yaw", "roll", "hand_angle") else 1.0 for name in READ])
_ROLL, _BLINK, _HAND = READ.index("roll"), READ.index("blink"), READ.index("hand")
_WEIGHT = torch.tensor([1.5, 1.5, 1.0, 1.5, 1.0, 2.0, 1.5, 0.8, 2.0, 0.7])


@dataclass(frozen=True)
class FaceSquares:
    """N stored squares; those of one character follow each other, one background after the other."""

    tight: torch.Tensor
    """(N, 3, STORED_TIGHT, STORED_TIGHT) uint8."""
    wide: torch.Tensor
    """(N, 3, STORED_WIDE, STORED_WIDE) uint8."""
    pose: torch.Tensor
    """(N, len(READ))."""
    owner: torch.Tensor
    """(N,) number of the character; -1 for portraits."""


def cut_face_squares(characters: int, poses: int, seed: int = 0) -> FaceSquares:
    """Draw characters, each in `poses` poses (an even number), and cut the squares."""
    tight: list[torch.Tensor] = []
    wide: list[torch.Tensor] = []
    pose, owner = [], []
    neighbour: Character | None = None
    for number, character_seed in enumerate(seeds_of("face readers", characters, seed)):
        rng = np.random.default_rng(character_seed)
        name = choose(rng, SOURCE_WEIGHTS)
        who = SOURCES[name](rng)
        for _ in range(BACKGROUNDS):
            beside = neighbour if rng.random() < 0.4 else None
            drawn = draw_faces(who, random_poses(rng, poses // BACKGROUNDS), rng, beside)
            for frame, box in zip(drawn.frames, drawn.face_boxes, strict=True):
                centre, size = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
                for kept, scale, pixels in ((tight, TIGHT_SCALE, STORED_TIGHT), (wide, WIDE_SCALE, STORED_WIDE)):
                    square = cut_square(frame, centre, size * scale * MARGIN, pixels)
                    kept.append((square * 255).round().to(torch.uint8))
            pose.append(torch.from_numpy(drawn.pose))
            owner += [-1 if name == PORTRAIT else number] * len(drawn.frames)
        neighbour = who
    return FaceSquares(torch.stack(tight), torch.stack(wide), torch.cat(pose), torch.tensor(owner))


@dataclass(frozen=True)
class Moves:
    """How B squares are moved: the head's new centre (B, 2) in the tight square, zoom, tilt and mirror (B,)."""

    shift: torch.Tensor
    zoom: torch.Tensor
    angle: torch.Tensor
    mirror: torch.Tensor

    @classmethod
    def drawn(cls, count: int, generator: torch.Generator, strength: float = 1.0) -> Moves:
        """Random ones; half of them hardly move, as when following."""

        def uniform(*size: int) -> torch.Tensor:
            return torch.rand(count, *size, generator=generator) * 2 - 1

        wild = torch.where(uniform() < 0, 1.0, 0.3) * strength
        shift, zoom = uniform(2) * 0.18 * wild[:, None], (uniform() * 0.22 * wild).exp()
        return cls(shift, zoom, uniform() * 0.12, uniform().sign())

    def apply(self, stored: torch.Tensor, pixels: int, scale: float = 1.0) -> torch.Tensor:
        """New squares (B, 3, pixels, pixels) 0..1 of stored ones; scale: sides of the new over the tight square's."""
        zoom = self.zoom / MARGIN
        cos, sin = self.angle.cos() * zoom, self.angle.sin() * zoom
        matrix = torch.stack([torch.stack([cos * self.mirror, -sin], 1), torch.stack([sin * self.mirror, cos], 1)], 1)
        offset = -(matrix @ (self.shift / scale)[:, :, None])
        grid = F.affine_grid(torch.cat([matrix, offset], 2), [len(stored), 3, pixels, pixels], align_corners=False)
        return F.grid_sample(stored.float() / 255, grid, padding_mode="border", align_corners=False)


def pose_batch(
    squares: FaceSquares, index: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Near and wide squares, true poses (B, len(READ)) and places (B, 3) of a batch."""
    moves = Moves.drawn(len(index), generator)
    tight = moves.apply(squares.tight[index], TIGHT)
    wide = moves.apply(squares.wide[index], WIDE, WIDE_SCALE / TIGHT_SCALE)
    tight, wide = (recolour(soften(each, generator), generator) for each in (tight, wide))
    pose = squares.pose[index].clone()
    pose[:, _ROLL] -= moves.angle
    pose = torch.where(moves.mirror[:, None] < 0, pose * _MIRRORED, pose)
    return tight, wide, pose, torch.cat([moves.shift, -moves.zoom.log()[:, None]], dim=1)


def pose_loss(reader: FaceReader, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Every reading, gaze only where eyes are open, the hand's angle only where a hand is; and where the head is."""
    tight, wide, pose, place = batch
    read, found = reader(tight, wide)
    seen = torch.ones_like(pose)
    for name in ("gaze_x", "gaze_y"):
        seen[:, READ.index(name)] = (pose[:, _BLINK] < 0.5).float()
    seen[:, READ.index("hand_angle")] = (pose[:, _HAND] > 0.5).float()
    off = F.smooth_l1_loss(read, pose, beta=0.1, reduction="none") * seen
    where = F.smooth_l1_loss(found, place, beta=0.03, reduction="none").sum(1)
    return off.mean(0) @ _WEIGHT + where.mean()


def identity_loss(
    reader: IdentityReader, squares: FaceSquares, pairs: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Each face is to be found among all others by the same person's other picture (InfoNCE); pairs (B, 2) of rows."""
    found = []
    for column in pairs.T:
        moves = Moves.drawn(len(column), generator, 0.4)
        # the identity reader's square is not quite the tight one
        zoomed = Moves(moves.shift, moves.zoom * FACE_SCALE / TIGHT_SCALE, moves.angle, moves.mirror)
        faces = recolour(soften(zoomed.apply(squares.tight[column], FACE), generator), generator)
        found.append(reader(faces))
    logits = found[0] @ found[1].T / 0.07
    target = torch.arange(len(pairs))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def draw_pairs(squares: FaceSquares, count: int, poses: int, generator: torch.Generator) -> torch.Tensor:
    """Rows (count, 2) of two pictures of each of `count` characters, before different backgrounds."""
    firsts = torch.arange(0, len(squares.owner), poses)
    firsts = firsts[squares.owner[firsts] >= 0]
    who = firsts[torch.randperm(len(firsts), generator=generator)[:count]]
    half = poses // BACKGROUNDS
    steps = [torch.randint(half, (len(who),), generator=generator) + half * place for place in range(2)]
    return torch.stack([who + step for step in steps], dim=1)


@dataclass(frozen=True)
class FaceTraining:
    """How a reader is trained."""

    steps: int
    batch: int
    learning_rate: float = 2e-3
    seed: int = 0


def train(
    kind: str, squares: FaceSquares, poses: int, config: FaceTraining, start: Path | None = None
) -> FaceReader | IdentityReader:
    """Train a reader of `kind` "pose" or "identity", new or from a file's weights; prints its progress."""
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    reader: FaceReader | IdentityReader = FaceReader() if kind == "pose" else IdentityReader()
    if start is not None:
        reader = type(reader).from_pretrained(start).train().requires_grad_(True)

    def loss() -> torch.Tensor:
        if isinstance(reader, FaceReader):
            index = torch.randint(len(squares.tight), (config.batch,), generator=generator)
            return pose_loss(reader, pose_batch(squares, index, generator))
        return identity_loss(reader, squares, draw_pairs(squares, config.batch, poses, generator), generator)

    fit(reader, loss, steps=config.steps, learning_rate=config.learning_rate)
    return reader.eval()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("pose", "identity"))
    parser.add_argument("-o", "--output", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--squares", type=Path, help="file that keeps the drawn squares; made if it is not there")
    parser.add_argument("--start", type=Path, help="weights to begin with; new ones by default")
    for name, default in (("characters", 1300), ("poses", 8), ("steps", 2400), ("batch", 64), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    began = time.monotonic()
    if options.squares is not None and options.squares.is_file():
        squares = FaceSquares(**load_file(options.squares))
    else:
        squares = cut_face_squares(options.characters, options.poses, options.seed)
        if options.squares is not None:
            save_file(dict(vars(squares)), options.squares)
    print(f"{len(squares.tight)} squares after {time.monotonic() - began:.0f} s", flush=True)
    config = FaceTraining(steps=options.steps, batch=options.batch, seed=options.seed)
    train(options.kind, squares, options.poses, config, options.start).save_pretrained(options.output)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
