"""Tells drawn characters apart: a face to 64 numbers that are close for the same person and far for others.

Trained by `python -m polytalk.training.readers.faces identity` on drawn people seen in different poses, before
different backgrounds and in different light, so that neither is taken for the person.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from polytalk.evaluation.readers.face_reader import block, load_reader, save_reader
from polytalk.evaluation.readers.mouth_reader import cut_square

FACE = 64
"""Pixels of a side of the square that the network sees."""
FACE_SCALE = 1.15
"""Side of the square over the longer side of the face box."""
LENGTH = 64
"""Numbers in an embedding."""
WEIGHTS = "identity_reader.safetensors"


class IdentityReader(nn.Module):
    """A square around a face (N, 3, 64, 64), 0..1 -> embeddings (N, 64) of length 1. About 0.15M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            block(3, 24, 2), block(24, 32, 2), block(32, 48), block(48, 64, 2), block(64, 64), nn.Conv2d(64, 20, 1)
        )  # (N, 20, 8, 8)
        self.embed = nn.Sequential(nn.SiLU(), nn.Linear(20 * 64, LENGTH))

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> IdentityReader:
        """The reader that ships with the package, or the weights in another safetensors file."""
        return load_reader(cls(), path, WEIGHTS)

    def save_pretrained(self, path: str | Path) -> None:
        """Writes the weights as bfloat16 safetensors."""
        save_reader(self, path)

    def forward(self, squares: torch.Tensor) -> torch.Tensor:
        """(N, 3, 64, 64) float 0..1 -> (N, 64) of length 1. Colours are kept as they are: they belong to a person."""
        return F.normalize(self.embed(self.body(squares * 4 - 2).flatten(1)).float(), dim=1)

    @torch.inference_mode()
    def embed_faces(self, frames: Sequence[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        """Embeddings (N, 64) of one face in each frame (H, W, 3); boxes (N, 4) of the faces."""
        boxes = np.asarray(boxes, dtype=np.float64)
        centre, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1) * FACE_SCALE
        squares = [cut_square(f, c, float(s), FACE) for f, c, s in zip(frames, centre, side, strict=True)]
        return self(torch.stack(squares)).numpy()
