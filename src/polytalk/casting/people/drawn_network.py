"""The network that finds heads and figures in drawings; `polytalk.training.readers.synthetic_faces` trains it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from polytalk.assets import asset
from polytalk.errors import PolytalkError

STRIDE = 8
"""Pixels per cell of the heat map."""
FINE = 4
"""Pixels per cell of the figures."""
MULTIPLE = 32
"""Sides of the network's pictures are multiples of this."""
UNIT = 32.0
"""Pixels that stand for 1 in the network's lengths."""
WEIGHTS = "drawn_faces.safetensors"


@dataclass(frozen=True)
class DrawnFaceMaps:
    """What the network sees in N pictures of height × width pixels."""

    heat: torch.Tensor
    """(N, height / 8, width / 8) logit: a head has its centre here."""
    reach: torch.Tensor
    """(N, 4, height / 8, width / 8) natural logarithm of the distances from the cell's centre to the head's left, top,
    right and bottom edge, in units of 32 pixels."""
    figure: torch.Tensor
    """(N, height / 4, width / 4) logit: this is a person or animal."""
    vote: torch.Tensor
    """(N, 2, height / 4, width / 4) x and y from the cell to the centre of the head it belongs to, in 32 pixels."""


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    """Widened, filtered per channel with 5 × 5, narrowed, and added to what came in."""

    def __init__(self, channels: int, widen: int = 2) -> None:
        super().__init__()
        inner = channels * widen
        self.body = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, inner, 5, padding=2, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class DrawnFaceNetwork(nn.Module):
    """A picture -> heads and figures. A pyramid of convolutions, under 0.2M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_convolution(3, 16, 2), _convolution(16, 24, 2))
        self.middle = nn.Sequential(_convolution(24, 48, 2), _convolution(48, 48), _Residual(48))
        self.coarse = nn.Sequential(_convolution(48, 56, 2), _Residual(56), _Residual(56))
        self.context = nn.Sequential(_convolution(56, 56, 2), _Residual(56), _Residual(56))
        self.from_context, self.from_coarse = nn.Conv2d(56, 56, 1), nn.Conv2d(56, 48, 1)
        self.join = _convolution(48, 48)
        self.heads = nn.Conv2d(48, 5, 1)
        self.figures = nn.Conv2d(48, 3 * (STRIDE // FINE) ** 2, 1)
        assert self.heads.bias is not None
        nn.init.constant_(self.heads.bias[:1], -4.0)

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> DrawnFaceNetwork:
        """The network that ships with the package, or the weights in another safetensors file.

        Raises:
            PolytalkError: the file is not there.
        """
        if path is None:
            path = asset(WEIGHTS)
        if not Path(path).is_file():
            raise PolytalkError(str(path), "the file is not there", "Name a file of weights, or none.")
        network = cls()
        network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()}, strict=False)
        return network.eval().requires_grad_(False)

    def save_pretrained(self, path: str | Path) -> None:
        """Write the weights as bfloat16 safetensors."""
        state = {name: tensor for name, tensor in self.state_dict().items() if "num_batches" not in name}
        save_file({name: tensor.detach().bfloat16().contiguous() for name, tensor in state.items()}, path)

    def forward(self, pictures: torch.Tensor) -> DrawnFaceMaps:
        """What is to be seen.

        Args:
            pictures: (N, 3, height, width) in −1..1, both sides multiples of 32; 0 where there is no picture.
        """
        middle = self.middle(self.fine(pictures))
        coarse = self.coarse(middle)
        context = self.from_context(self.context(coarse))
        coarse = F.relu(coarse + F.interpolate(context, scale_factor=2.0, mode="nearest"))
        middle = middle + F.interpolate(self.from_coarse(coarse), scale_factor=2.0, mode="nearest")
        features = self.join(F.relu(middle))
        heads = self.heads(features).float()
        figures = F.pixel_shuffle(self.figures(features), STRIDE // FINE).float()
        return DrawnFaceMaps(heads[:, 0], heads[:, 1:], figures[:, 0], figures[:, 1:])
