"""Reads faces back from pixels: eyelids, gaze, turn, nod and tilt of the head, smile, brows, a raised hand.

Two squares are cut around a head, a tight one for the face and a wide one for a hand beside it; a small convolutional
network reads both, and says where the head has moved to, so that `FaceReader.follow` carries the squares from frame to
frame. It is trained on drawn people by `python -m polytalk.training.readers.faces pose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from polytalk.assets import asset
from polytalk.errors import PolytalkError
from polytalk.evaluation.readers.mouth_reader import cut_square
from polytalk.evaluation.scenes.synthetic_faces import READ

TIGHT = 96
"""Pixels of a side of the tight square."""
WIDE = 64
"""Pixels of a side of the wide square."""
TIGHT_SCALE, WIDE_SCALE = 1.1, 2.5
"""Sides of the squares over the longer side of the face box."""
LIP_ROWS = slice(13, 24)
"""Of the 24 rows of the tight square's fine features: where lips are."""
BAND = (48, 96)
"""Rows and columns of the band around eyes and brows."""
SETTLING = 2
"""Looks at the first frame before it is read."""
MAX_STEP = 0.12
"""A head moves at most this part of the tight square from one frame to the next."""
WEIGHTS = "face_reader.safetensors"
Reader = TypeVar("Reader", bound=nn.Module)


@dataclass(frozen=True)
class FaceTrack:
    """The faces of one clip."""

    pose: np.ndarray
    """float32 (T, P, len(READ)): the fields of `drawn_faces.READ`."""
    centre: np.ndarray
    """(T, P, 2) x, y of the face box's centre in pixels."""
    size: np.ndarray
    """(T, P) longer side of the face box in pixels."""

    def of(self, name: str) -> np.ndarray:
        """(T, P) of one field of `READ`."""
        return self.pose[..., READ.index(name)]


def block(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """Convolution, norm, activation."""
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride=stride, padding=1), nn.GroupNorm(8, outside), nn.SiLU())


def _head(inside: int, hidden: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inside, hidden), nn.SiLU(), nn.Linear(hidden, outside))


def standardised(squares: torch.Tensor) -> torch.Tensor:
    """Squares (N, 3, h, w) with mean 0 and deviation 1 each."""
    mean, deviation = squares.mean(dim=(1, 2, 3), keepdim=True), squares.std(dim=(1, 2, 3), keepdim=True)
    return (squares - mean) / (deviation + 1e-2)


def eye_band(tight: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """The band around eyes and brows (N, 3, *BAND) of tight squares (N, 3, 96, 96), upright and at twice their scale.

    Args:
        turn: (N, 6) yaw, pitch, roll; x, y and growth of the head, as `FaceReader` reads them.
    """
    yaw, pitch, roll, x, y, growth = turn.unbind(1)
    head = 2 / (TIGHT_SCALE * 1.12) * growth.clamp(-0.5, 0.5).exp()  # its height; a face box has 1.12 of it
    cos, sin = roll.cos(), roll.sin()
    aside, down = 0.17 * yaw.clamp(-1, 1), 0.07 * pitch.clamp(-1, 1) - 0.01  # as the drawn features shift
    x, y = x + (cos * aside - sin * down) * head, y + (sin * aside + cos * down) * head
    wide, high = 0.30 * head, 0.15 * head
    rows = [torch.stack([cos * wide, -sin * high, x], 1), torch.stack([sin * wide, cos * high, y], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), [len(tight), 3, *BAND], align_corners=False)
    return F.grid_sample(tight, grid.to(tight.dtype), padding_mode="border", align_corners=False)


class FaceReader(nn.Module):
    """A tight and a wide square -> the fields of `READ`, and shift and growth of the head. About 0.4M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(block(3, 16, 2), block(16, 32, 2), block(32, 32))  # (N, 32, 24, 24)
        # what is where matters, so that places are kept
        self.coarse = nn.Sequential(block(32, 48, 2), block(48, 48), nn.Conv2d(48, 8, 1), nn.SiLU(), nn.Flatten(1))
        self.turn = _head(8 * 144, 80, 6)
        self.lip_cells = nn.Conv2d(32, 8, 1)
        self.lips = _head(8 * 24 * (LIP_ROWS.stop - LIP_ROWS.start), 24, 1)
        self.band = nn.Sequential(
            block(3, 16, 2), block(16, 24, 2), block(24, 32), nn.Conv2d(32, 12, 1), nn.SiLU(), nn.Flatten(1)
        )
        self.eyes = _head(12 * BAND[0] * BAND[1] // 16, 48, 4)
        self.wide = nn.Sequential(block(3, 16, 2), block(16, 24, 2), block(24, 32, 2), block(32, 32, 2), nn.Flatten(1))
        self.hand = _head(32 * 16, 48, 2)

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> FaceReader:
        """The reader that ships with the package, or the weights in another safetensors file."""
        return load_reader(cls(), path, WEIGHTS)

    def save_pretrained(self, path: str | Path) -> None:
        """Writes the weights as bfloat16 safetensors."""
        save_reader(self, path)

    def forward(self, tight: torch.Tensor, wide: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """tight (N, 3, 96, 96) and wide (N, 3, 64, 64), float 0..1.

        Returns:
            (N, len(READ)) pose; (N, 3) x, y of the head's centre in the tight square, -1..1, and the natural logarithm
            of its size over the size that the square was cut for.
        """
        fine = self.fine(standardised(tight))
        turn = self.turn(self.coarse(fine)).float()
        eyes = self.eyes(self.band(standardised(eye_band(tight, turn.detach())))).float()
        lips = self.lips(F.silu(self.lip_cells(fine[:, :, LIP_ROWS])).flatten(1)).float()
        hand = self.hand(self.wide(standardised(wide))).float()
        # in the order of READ: blink and gaze; yaw, pitch, roll; smile; brow; hand
        return torch.cat([eyes[:, :3], turn[:, :3], lips, eyes[:, 3:], hand], dim=1), turn[:, 3:]

    @torch.inference_mode()
    def follow(self, clips: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list[FaceTrack]:
        """Reads the faces of several clips at once, each followed from where it is in the first frame.

        Args:
            clips: frames uint8 (T, H, W, 3) each; lengths and sizes may differ.
            boxes: (P, 4) face boxes of each clip's first frame, left, top, right, bottom in pixels.
        """
        if len(clips) != len(boxes):
            raise PolytalkError("boxes", f"{len(boxes)} sets for {len(clips)} clips", "give one per clip")
        owner = [c for c, b in enumerate(boxes) for _ in range(len(b))]
        start = np.concatenate([np.asarray(b, dtype=np.float64).reshape(-1, 4) for b in boxes])
        centre, size = (start[:, :2] + start[:, 2:]) / 2, (start[:, 2:] - start[:, :2]).max(axis=1).clip(min=4.0)
        first, length = size.copy(), max(len(c) for c in clips)
        out = np.zeros((length, len(owner), len(READ) + 3), np.float32)
        for t in [0] * SETTLING + list(range(length)):
            index = np.array([i for i, c in enumerate(owner) if t < len(clips[c])])
            pose, place = self._look([clips[owner[i]][t] for i in index], centre[index], size[index])
            step = place[:, :2].clip(-2 * MAX_STEP, 2 * MAX_STEP) * size[index, None] * TIGHT_SCALE / 2
            centre[index] += step
            size[index] *= np.exp(place[:, 2].clip(-0.1, 0.1) * 0.5)
            size[index] = np.clip(size[index], first[index] * 0.6, first[index] * 1.7)
            out[t, index] = np.concatenate([pose, centre[index], size[index, None]], axis=1)
        tracks, begin = [], 0
        for clip, people in zip(clips, (len(b) for b in boxes), strict=True):
            part = out[: len(clip), begin : begin + people]
            tracks.append(FaceTrack(part[..., :-3], part[..., -3:-1], part[..., -1]))
            begin += people
        return tracks

    def _look(
        self, frames: Sequence[np.ndarray], centre: np.ndarray, size: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        tight, wide = zip(*(cut_pair(f, c, s) for f, c, s in zip(frames, centre, size, strict=True)), strict=True)
        pose, place = self(torch.stack(tight), torch.stack(wide))
        return pose.numpy(), place.numpy().astype(np.float64)


def cut_pair(frame: np.ndarray, centre: np.ndarray, size: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Near and wide square of a frame (H, W, 3) around a head's centre (x, y); size: longer side of its box."""
    tight = cut_square(frame, centre, float(size) * TIGHT_SCALE, TIGHT)
    return tight, cut_square(frame, centre, float(size) * WIDE_SCALE, WIDE)


def load_reader(reader: Reader, path: str | Path | None, name: str) -> Reader:
    """Weights of a file, or of an asset of the package, into a reader that is then ready to read.

    Raises:
        PolytalkError: the file is not there.
    """
    path = Path(path) if path is not None else asset(name)
    if not path.is_file():
        raise PolytalkError(str(path), "is not there", "Run python -m polytalk.training.readers.faces.")
    reader.load_state_dict({key: tensor.float() for key, tensor in load_file(path).items()})
    return reader.eval().requires_grad_(False)


def save_reader(reader: nn.Module, path: str | Path) -> None:
    """Writes weights as bfloat16 safetensors."""
    save_file({name: tensor.detach().bfloat16().contiguous() for name, tensor in reader.state_dict().items()}, path)
