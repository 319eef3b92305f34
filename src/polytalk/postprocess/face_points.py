"""Where eyes, brows and mouth are in a head that a picture shows, drawn or photographed.

A small network looks at a square around the head; `polytalk.training.readers.face_points` trains it on drawn people, of
whom it is known which pixels a blink changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from polytalk.assets import asset
from polytalk.postprocess.face import Eye, FacePoints, Head

SIDE = 64
"""Pixels of a side of the square that the network sees."""
REACH = 1.3
"""Side of the square in heights of the head's box."""
PLACES = ("left eye", "right eye", "left brow", "right brow", "mouth")
"""What is found; left and right as in the picture."""
LEAST_SURE = 0.5
"""Of a face, 0..1; below, it is left alone."""
LEAST_DISTANCE, FARTHEST_MOUTH = 0.18, 0.5
"""Eyes nearer to each other, in heights of the head's box, and mouths farther aside of their middle, in distances of
the eyes, are those of profiles, of which one eye is seen: they are left alone, too."""
WEIGHTS = "face_points.safetensors"


def _block(inside: int, outside: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inside, outside, 3, stride, padding=dilation, dilation=dilation)
    return nn.Sequential(layer, nn.GroupNorm(4, outside), nn.SiLU())


class FacePointNetwork(nn.Module):
    """Squares (N, 3, 64, 64) in 0..1 -> heat maps of `PLACES`, sizes there, and how sure it is. 38,000 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = _block(3, 12, 2)
        self.middle = nn.Sequential(_block(12, 20, 2), _block(20, 20))
        self.coarse = nn.Sequential(_block(20, 32, 2), _block(32, 32), _block(32, 32, dilation=2))
        self.from_coarse, self.from_middle = nn.Conv2d(32, 20, 1), nn.Conv2d(20, 16, 1)
        self.join = _block(20, 20)
        self.from_fine = nn.Conv2d(12, 16, 1)
        self.out = nn.Sequential(_block(16, 16), nn.Conv2d(16, 3 * len(PLACES), 1))
        self.sure = nn.Linear(32, 1)

    def forward(self, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of N squares: places (N, 5, 2), x and y in -1..1; sizes (N, 5, 2), half-widths and half-heights in the same
        unit; logits (N,) that there is a face."""
        mean = squares.mean(dim=(1, 2, 3), keepdim=True)
        fine = self.fine((squares - mean) / (squares.std(dim=(1, 2, 3), keepdim=True) + 0.05))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        half = self.join(_doubled(self.from_coarse(coarse)) + middle)
        heat, wide, high = self.out(_doubled(self.from_middle(half)) + self.from_fine(fine)).float().chunk(3, dim=1)
        share = heat.flatten(2).softmax(-1).view_as(heat)
        side = share.shape[-1]
        along = (torch.arange(side, device=share.device) + 0.5) * 2 / side - 1
        places = torch.stack([(share.sum(2) * along).sum(-1), (share.sum(3) * along).sum(-1)], dim=-1)
        sizes = torch.stack([(share * F.softplus(size)).sum((2, 3)) for size in (wide, high)], dim=-1)
        return places, 0.3 * sizes, self.sure(coarse.mean((2, 3)))[:, 0].float()


def _doubled(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


@cache
def network() -> FacePointNetwork:
    """The network with the weights that the package carries."""
    found = FacePointNetwork()
    weights = load_file(asset(WEIGHTS))
    found.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return found.eval()


def square_around(picture: np.ndarray, x: float, y: float, side: float) -> Tensor:
    """(3, 64, 64) in 0..1: a square of so many pixels around a place of a picture, uint8 (H, W, 3)."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    shrink = max(1, int(side // SIDE))
    if shrink > 1:
        pixels = F.avg_pool2d(pixels, shrink, ceil_mode=True, count_include_pad=False)
    height, width = (shrink * count for count in pixels.shape[-2:])  # of what was pooled, a little larger
    along = ((torch.arange(SIDE) + 0.5) / SIDE - 0.5) * side
    across, down = (x + along) * 2 / width - 1, (y + along) * 2 / height - 1
    grid = torch.stack(torch.broadcast_tensors(across[None, :], down[:, None]), dim=-1)[None].float()
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)[0]


@torch.no_grad()
def find_points(picture: np.ndarray, heads: Sequence[Head]) -> list[FacePoints | None]:
    """Eyes, brows and mouth of every head in a picture, uint8 (H, W, 3); None where no face is seen."""
    if not heads:
        return []
    squares = [square_around(picture, head.x, head.y, REACH * head.height) for head in heads]
    places, sizes, sure = network()(torch.stack(squares))
    found: list[FacePoints | None] = []
    for head, place, size, logit in zip(heads, places.numpy(), sizes.numpy(), sure, strict=True):
        half = REACH * head.height / 2
        points, lengths = place * half + (head.x, head.y), size * half
        across = points[1] - points[0]
        distance = float(np.hypot(*across))
        aside = float((points[4] - (points[0] + points[1]) / 2) @ across) / max(distance, 1e-6) ** 2
        if (
            float(logit.sigmoid()) < LEAST_SURE
            or distance < LEAST_DISTANCE * head.height
            or abs(aside) > FARTHEST_MOUTH
        ):
            found.append(None)
            continue
        eyes = [_eye(points[eye], lengths[eye], points[2 + eye]) for eye in (0, 1)]
        found.append(FacePoints((eyes[0], eyes[1]), *map(float, (*points[4], lengths[4][0]))))
    return found


def _eye(middle: np.ndarray, half: np.ndarray, brow: np.ndarray) -> Eye:
    return Eye(float(middle[0]), float(middle[1]), float(half[0]), float(half[1]), float(brow[0]), float(brow[1]))
