"""What a clip takes over from those before it, on the device and, to be kept in a work folder, as tensors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from polytalk.pipeline.following import Appearance
from polytalk.pipeline.prepare import ReferencePicture
from polytalk.pipeline.turns import Cast
from polytalk.units import to_network


class ShownPicture:
    """The picture that a clip shows, as the network sees it.

    Args:
        picture: of the scene.
        device: where to.
    """

    def __init__(self, picture: ReferencePicture, device: torch.device) -> None:
        self.start = picture.start
        """Seconds from which on it is shown."""
        self.pixels = to_network(picture.pixels).to(device)
        """(1, 3, 1, H, W) in -1..1."""
        self.masks = picture.masks
        """(P, h, w) bool, on the CPU: who is where in it."""
        self._appearance: Appearance | None = None

    @property
    def appearance(self) -> Appearance:
        """What everybody looks like in it."""
        if self._appearance is None:
            self._appearance = Appearance.of(self.pixels[0, :, 0], self.masks)
        return self._appearance


class ClipState:
    """All that the next clip takes over; the picture takes the place of frames before the first one.

    Args:
        picture: uint8 (height, width, 3).
        masks: bool (P, h, w), who is where in it.
        device: where the network is.
    """

    def __init__(self, picture: np.ndarray, masks: Tensor, device: torch.device) -> None:
        self.device = device
        self.cast = Cast(())
        """Who has a voice of their own in the clip that is being made, or was made last."""
        self.begin_with(picture, masks)

    def begin_with(self, picture: np.ndarray, masks: Tensor) -> None:
        """Begin the next clip with a picture: a cut."""
        self.know(picture[None])
        self.masks = masks.to(self.device)
        """(P, h, w) bool: who is where in the first frame of the next clip."""
        self.reference: tuple[np.ndarray, Tensor] | None = None
        """Pixels and masks that stand for the picture after people have moved away from their places in it."""
        self.carried: Tensor | None = None
        """(1, C, k + 1, h, w): latents of `known`, where they are taken over as they are."""

    def know(self, pixels: np.ndarray) -> None:
        """Begin the next clip with these frames, uint8 (M, height, width, 3).

        They are rounded to pixels, as the audience sees them, whether or not they come from a file.
        """
        self.known_pixels = np.array(pixels)
        self.known = to_network(self.known_pixels).to(self.device)
        """(1, 3, M, H, W): frames that the next clip starts with; the picture, later the motion frames."""

    def to_tensors(self) -> dict[str, Tensor]:
        """All of it by name, on the CPU."""
        cast = torch.tensor(self.cast.people, dtype=torch.int64)
        state = {"known": torch.from_numpy(self.known_pixels), "masks": self.masks.cpu(), "cast": cast}
        if self.carried is not None:
            state["carried"] = self.carried.cpu()
        if self.reference is not None:
            pixels, masks = self.reference
            state |= {"reference": torch.from_numpy(np.array(pixels)), "reference_masks": masks}
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on as if the clip that left this state had just been made."""
        self.know(state["known"].numpy())
        self.masks = state["masks"].to(self.device)
        self.cast = Cast(tuple(state["cast"].tolist()))
        moved = state.get("reference")
        self.reference = None if moved is None else (moved.numpy(), state["reference_masks"])
        carried = state.get("carried")
        self.carried = None if carried is None else carried.to(self.device)
