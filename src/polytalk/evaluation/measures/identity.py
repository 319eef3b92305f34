"""Do people stay themselves? Faces are compared with their own pictures and with everybody else's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torchmetrics import Metric

from polytalk.evaluation.readers.identity_reader import IdentityReader

GALLERY = 64
"""A face is compared with the pictures of at most so many people, so that more scenes do not make it harder."""
EVERY = 8
"""Every so many-th frame is looked at, and the last one."""
NOT_ONE = ("portrait",)
"""Styles whose characters are all the same person."""


class IdentityConfusion(Metric):
    """Share of faces that resemble somebody else's picture more than their own. Keeps 64 numbers per face."""

    full_state_update = False
    faces: list[torch.Tensor]
    owners: list[torch.Tensor]
    pictures: list[torch.Tensor]

    def __init__(self, reader: IdentityReader) -> None:
        super().__init__()
        self.reader = reader
        for name in ("faces", "owners", "pictures"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(
        self,
        frames: np.ndarray,
        boxes: np.ndarray,
        reference: np.ndarray,
        reference_boxes: np.ndarray,
        styles: Sequence[str],
    ) -> None:
        """frames (T, H, W, 3), boxes (T, P, 4); reference (H, W, 3), reference_boxes (P, 4); P names of styles."""
        chosen = sorted({*range(EVERY, len(frames), EVERY), len(frames) - 1})
        for person, style in enumerate(styles):
            if style in NOT_ONE:
                continue
            seen = self.reader.embed_faces([frames[t] for t in chosen], boxes[chosen, person])
            own = self.reader.embed_faces([reference], reference_boxes[person : person + 1])
            self.faces.append(torch.from_numpy(seen))
            self.owners.append(torch.full((len(seen),), len(self.pictures)))
            self.pictures.append(torch.from_numpy(own))

    def compute(self) -> dict[str, float]:
        """confused: the share; likeness: mean cosine with the own picture; others: with the nearest other's; people."""
        if len(self.pictures) < 2:
            return {"confused": float("nan"), "likeness": float("nan"), "others": float("nan"), "people": 0}
        pictures, faces, owners = torch.cat(self.pictures), torch.cat(self.faces), torch.cat(self.owners)
        close = faces @ pictures.T
        # people meet those of their own group only
        group = torch.arange(len(pictures)) // GALLERY
        close[group[owners][:, None] != group[None]] = -2.0
        own = close.gather(1, owners[:, None])[:, 0]
        nearest = close.scatter(1, owners[:, None], -2.0).max(dim=1).values
        known = nearest > -2.0
        confused = (nearest > own)[known].double().mean()
        return {
            "confused": float(confused),
            "likeness": float(own.mean()),
            "others": float(nearest[known].mean()),
            "people": len(pictures),
        }
