"""Errors of latents as the audience sees them: windows around mouths and eyes, decoded to pixels."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from polytalk.models.mini.autoencoder import MiniAutoencoder
from polytalk.training.latents import EYES, MOUTH
from polytalk.training.stages.autoencoder import gradients
from polytalk.units import SPATIAL_STRIDE

WINDOW, MARGIN = 8, 1
"""Cells of a window's sides, and how many of them at its edges only give the decoder its surroundings."""


class DecodedFaces:
    """Absolute error of pixels, and of their gradients, around one mouth or pair of eyes of every clip.

    A squared error of latents has nothing against soft lips, nor against seams between the network's tokens.

    Args:
        autoencoder: whose decoder is used; it stays as it is.
        eyes: share of the clips in which eyes are looked at.
    """

    def __init__(self, autoencoder: MiniAutoencoder, eyes: float = 0.0) -> None:
        self.eyes = eyes
        self.autoencoder = copy.deepcopy(autoencoder).float().requires_grad_(False).eval()

    def __call__(self, predicted: Tensor, wanted: Tensor, flags: Tensor, generator: torch.Generator) -> Tensor:
        """Error (B,) of latents (B, C, F, h, w) against those wanted; flags (B, F, h, w) tell where both are."""
        windows = face_windows(flags, generator, self.eyes)
        with torch.autocast(predicted.device.type, torch.bfloat16):
            found = self._decoded(predicted, windows)
            with torch.no_grad():
                true = self._decoded(wanted, windows)
        error = found - true
        parts = [part.abs().mean(dim=(1, 2, 3, 4)) for part in (error, *gradients(error))]
        return torch.stack(parts).sum(dim=0)

    def _decoded(self, latents: Tensor, windows: list[tuple[int, int]]) -> Tensor:
        """Pixels (B, 3, T, n, n) of the inner parts of windows."""
        parts = [
            clip[..., top : top + WINDOW, left : left + WINDOW]
            for clip, (top, left) in zip(latents, windows, strict=True)
        ]
        edge = MARGIN * SPATIAL_STRIDE
        return self.autoencoder.decode(torch.stack(parts))[..., edge:-edge, edge:-edge].float()


def face_windows(flags: Tensor, generator: torch.Generator, eyes: float = 0.0) -> list[tuple[int, int]]:
    """Row and column of a window for every clip, around a random mouth of its flags (B, F, h, w), or around eyes."""
    height, width = flags.shape[-2:]
    places = []
    for clip in flags:
        seen = EYES if eyes and torch.rand((), generator=generator) < eyes else MOUTH
        found = (clip == seen).any(dim=0).nonzero()
        chance = torch.rand((), generator=generator)
        middle = found[int(chance * len(found))] if len(found) else torch.tensor([height // 2, width // 2])
        row, column = (int(place) - WINDOW // 2 for place in middle)
        places.append((min(max(row, 0), height - WINDOW), min(max(column, 0), width - WINDOW)))
    return places
