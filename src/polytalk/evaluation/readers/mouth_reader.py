"""Reads mouths back from pixels: how far open, how wide, how round, and where they have moved to.

The measures of binding need openings of frames that a network has made, for which no truth exists. A small
convolutional network looks at a square around the mouth, finds the mouth in it by a heat map and reads its shape from
the features there; `MouthReader.follow` carries the square from frame to frame. It is trained on drawn clips by
`python -m polytalk.training.readers.mouth`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from polytalk.assets import asset
from polytalk.errors import PolytalkError

CROP = 64
"""Pixels of a side of the square that the network sees."""
CROP_SCALE = 2.0
"""Side of the square over the longer side of the mouth box."""
MAX_STEP = 0.15
"""A mouth moves at most this part of the square from one frame to the next."""
SETTLING = 3
"""Looks at the first frame before it is read."""
PATCH = (7, 9)
"""Cells of the 16 x 16 feature map (rows, columns) around the mouth from which its shape is read."""
WEIGHTS = "mouth_reader.safetensors"


@dataclass(frozen=True)
class Reading:
    """What the network sees in N squares."""

    shape: torch.Tensor
    """(N, 3) opening, width, rounding, about 0..1."""
    position: torch.Tensor
    """(N, 2) x, y of the mouth's centre in the square, -1 (left, top) to 1."""
    scale: torch.Tensor
    """(N,) natural logarithm of the mouth's size over the size that the square was cut for."""
    presence: torch.Tensor
    """(N,) logit: a mouth is to be seen."""


@dataclass(frozen=True)
class Track:
    """The mouths of one clip."""

    opening: np.ndarray
    """(T, P) 0..1."""
    width: np.ndarray
    """(T, P) 0..1."""
    rounding: np.ndarray
    """(T, P) 0..1."""
    centre: np.ndarray
    """(T, P, 2) x, y in pixels of the frame."""
    size: np.ndarray
    """(T, P) longer side of the mouth box in pixels."""
    presence: np.ndarray
    """(T, P) probability that the mouth is to be seen."""


class MouthFollower(Protocol):
    """Whatever reads mouths from clips: a `MouthReader`, or one that remembers what it has read."""

    def follow(self, clips: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list[Track]:
        """As `MouthReader.follow`."""


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.norm = nn.GroupNorm(8, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.silu(self.norm(x + self.body(x)))


class MouthReader(nn.Module):
    """A square around a mouth -> opening, width, rounding, position, size, presence. About 0.3M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(16, 48, 3, stride=2, padding=1),
            nn.GroupNorm(8, 48),
            nn.SiLU(),
            _Residual(48),
        )  # (N, 48, 16, 16)
        self.context = nn.Sequential(
            nn.Conv2d(48, 64, 3, stride=2, padding=1), nn.SiLU(), _Residual(64), nn.Conv2d(64, 48, 1)
        )  # (N, 48, 8, 8)
        self.heat = nn.Conv2d(48, 1, 3, padding=1)
        self.detail = nn.Conv2d(48, 24, 1)
        self.read = nn.Sequential(nn.Linear(24 * PATCH[0] * PATCH[1], 96), nn.SiLU(), nn.Linear(96, 4))
        self.see = nn.Linear(48 + 1, 1)

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> MouthReader:
        """The reader that ships with the package, or the weights in another safetensors file."""
        if path is None:
            path = asset(WEIGHTS)
        if not Path(path).is_file():
            raise PolytalkError("mouth reader", f"{path} is not there", "run polytalk.training.readers.mouth")
        reader = cls()
        reader.load_state_dict({name: t.float() for name, t in load_file(path).items()})
        return reader.eval().requires_grad_(False)

    def save_pretrained(self, path: str | Path) -> None:
        """Writes the weights as bfloat16 safetensors."""
        save_file({name: t.detach().bfloat16().contiguous() for name, t in self.state_dict().items()}, path)

    def forward(self, squares: torch.Tensor) -> Reading:
        """squares: (N, 3, 64, 64) float 0..1 (anything affine of it: each square is standardised first)."""
        mean = squares.mean(dim=(1, 2, 3), keepdim=True)
        deviation = squares.std(dim=(1, 2, 3), keepdim=True)
        features = self.stem((squares - mean) / (deviation + 1e-2))
        context = F.interpolate(self.context(features), scale_factor=2, mode="bilinear", align_corners=False)
        features = features + context
        heat = self.heat(features).float()  # (N, 1, 16, 16)
        weight = heat.flatten(1).softmax(dim=1).view_as(heat)
        cells = torch.arange(16, device=heat.device) * 2 / 16 + 1 / 16 - 1  # cell centres, -1..1
        position = torch.stack([(weight * cells).sum((1, 2, 3)), (weight * cells[:, None]).sum((1, 2, 3))], dim=1)
        shape = self.read(self._patch(self.detail(features), position).flatten(1)).float()
        seen = torch.cat([(features * weight).sum((2, 3)), heat.flatten(1).logsumexp(1, keepdim=True)], dim=1)
        return Reading(shape[:, :3], position, shape[:, 3], self.see(seen)[:, 0].float())

    @staticmethod
    def _patch(features: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """The features (N, C, rows, columns) around a position (N, 2), so that shape is read wherever the mouth is."""
        rows, columns = (torch.arange(n, device=features.device) - (n - 1) / 2 for n in PATCH)
        step = 2 / features.shape[-1]
        x = position[:, 0, None, None] + columns[None, None, :] * step
        y = position[:, 1, None, None] + rows[None, :, None] * step
        grid = torch.stack(torch.broadcast_tensors(x, y), dim=-1)
        return F.grid_sample(features, grid.to(features.dtype), align_corners=False, padding_mode="border")

    @torch.inference_mode()
    def follow(self, clips: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list[Track]:
        """Reads the mouths of several clips at once, each followed from where it is in the first frame.

        Args:
            clips: frames uint8 (T, H, W, 3) each; lengths and sizes may differ.
            boxes: (P, 4) mouth boxes of each clip's first frame, left, top, right, bottom in pixels.

        Returns:
            One `Track` per clip.
        """
        if len(clips) != len(boxes):
            raise PolytalkError("boxes", f"{len(boxes)} sets for {len(clips)} clips", "give one per clip")
        owner = [c for c, b in enumerate(boxes) for _ in range(len(b))]
        start = np.concatenate([np.asarray(b, dtype=np.float64).reshape(-1, 4) for b in boxes])
        centre = np.stack([(start[:, 0] + start[:, 2]) / 2, (start[:, 1] + start[:, 3]) / 2], axis=1)
        size = np.maximum(start[:, 2] - start[:, 0], start[:, 3] - start[:, 1]).clip(min=2.0)
        first_size, length = size.copy(), max(len(c) for c in clips)
        out = np.zeros((length, len(owner), 7))
        # The first frame is looked at again until the squares sit right, so that they do not settle while being read.
        for t in [0] * SETTLING + list(range(length)):
            index = np.array([i for i, c in enumerate(owner) if t < len(clips[c])])
            squares = [cut_square(clips[owner[i]][t], centre[i], size[i] * CROP_SCALE) for i in index]
            reading = self(torch.stack(squares))
            seen = reading.presence.sigmoid().numpy()
            # A hidden mouth says nothing about where it went: the square waits for it.
            step = reading.position.clamp(-2 * MAX_STEP, 2 * MAX_STEP).numpy() * (seen > 0.5)[:, None]
            centre[index] += step * (size[index] * CROP_SCALE / 2)[:, None]
            growth = reading.scale.clamp(-0.2, 0.2).numpy() * 0.3 * (seen > 0.5)
            size[index] = np.clip(size[index] * np.exp(growth), first_size[index] * 0.5, first_size[index] * 2.0)
            out[t, index] = np.concatenate(
                [reading.shape.clamp(0, 1).numpy(), centre[index], size[index, None], seen[:, None]], axis=1
            )
        tracks, first = [], 0
        for clip, people in zip(clips, (len(b) for b in boxes), strict=True):
            o = out[: len(clip), first : first + people].astype(np.float32)
            tracks.append(Track(o[..., 0], o[..., 1], o[..., 2], o[..., 3:5], o[..., 5], o[..., 6]))
            first += people
        return tracks


def cut_square(frame: np.ndarray, centre: np.ndarray, side: float, pixels: int = CROP) -> torch.Tensor:
    """A square (3, pixels, pixels) float 0..1 around a centre (x, y) of a frame (H, W, 3); edges are repeated.

    Args:
        side: of the square, in pixels of the frame, fractions allowed.
    """
    reach = side / 2 + 2
    height, width = frame.shape[:2]
    # Only the neighbourhood is converted; it keeps at least one pixel when the centre has left the frame.
    left = int(np.clip(np.floor(centre[0] - reach), 0, width - 1))
    top = int(np.clip(np.floor(centre[1] - reach), 0, height - 1))
    right = int(np.clip(np.ceil(centre[0] + reach), left + 1, width))
    bottom = int(np.clip(np.ceil(centre[1] + reach), top + 1, height))
    near = torch.from_numpy(np.ascontiguousarray(frame[top:bottom, left:right])).permute(2, 0, 1)[None].float() / 255
    shrink = int(side // (pixels * 1.25))  # averages first where the square is cut from a much larger region
    x0, y0 = float(centre[0]) - left, float(centre[1]) - top
    if shrink > 1:
        near = F.avg_pool2d(near, shrink, ceil_mode=True, count_include_pad=False)
        x0, y0, side = x0 / shrink, y0 / shrink, side / shrink
    offsets = ((torch.arange(pixels) + 0.5) / pixels - 0.5) * side
    x = (x0 + offsets) * 2 / near.shape[3] - 1
    y = (y0 + offsets) * 2 / near.shape[2] - 1
    grid = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), dim=-1)[None]
    return F.grid_sample(near, grid.float(), mode="bilinear", padding_mode="border", align_corners=False)[0]
