"""What is done to a clip's decoded frames: laid over a source video, colours matched, held still, and people played."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polytalk.pipeline.clips import Clip
from polytalk.pipeline.dubbing import ClipGuide
from polytalk.pipeline.motion import MotionPlan, heads
from polytalk.pipeline.prepare import PreparedScene
from polytalk.pipeline.settings import RunSettings
from polytalk.postprocess.colour import match_colour
from polytalk.postprocess.puppet import Puppets
from polytalk.postprocess.stillness import AREA, hold_still
from polytalk.units import FPS


class Finish:
    """Finishes clips, in order.

    Args:
        scene: the run's.
        settings: likewise.
        is_told: whether the network is told that people only speak: nothing but their faces can differ then.
        motion: what people do besides, to be played with the finished frames; None plays nothing.
    """

    def __init__(
        self, scene: PreparedScene, settings: RunSettings, *, is_told: bool, motion: MotionPlan | None
    ) -> None:
        self.scene, self.settings, self.is_told, self.motion = scene, settings, is_told, motion
        self._puppets: Puppets | None = None

    def show(self, clip: Clip, video: Tensor, picture: Tensor, somebody: Tensor, guide: ClipGuide | None) -> Tensor:
        """A clip as the audience sees it, but for what is played; itself if that is as decoded.

        Args:
            clip: which.
            video: (1, 3, T, H, W) in -1..1, as decoded.
            picture: (1, 3, 1, H, W), the scene's.
            somebody: bool (h, w), where anybody is at the clip's beginning or in the picture.
            guide: what the clip takes from a source video.
        """
        if guide is not None:
            return guide.composite(video)  # its colours are held by what is around them
        config = self.settings.config
        matched = match_colour(video, picture, config.colour_strength, still_only=config.colour_region == "still")
        near = _near(somebody, (video.shape[-2], video.shape[-1]))
        if not self.is_told or not config.hold_still:
            return hold_still(matched, picture, config.hold_still, near)
        return self._only_speaking(clip, matched, picture, near)

    def play(self, clip: Clip, frames: np.ndarray) -> np.ndarray:
        """A clip's new frames, uint8 (T, height, width, 3), with all that people do besides speaking."""
        if self.motion is None:
            return frames
        since = round(self.scene.picture_for(clip).start * FPS)
        return self.motion.play(frames, self._people(clip), since, clip.new_start)

    def _only_speaking(self, clip: Clip, matched: Tensor, picture: Tensor, near: Tensor) -> Tensor:
        """The picture itself wherever nobody's face is."""
        speaking = torch.from_numpy(self._people(clip).speaking).to(matched)
        part = (..., *_extent(speaking > 0, AREA))
        shown = picture.expand_as(matched).clone()
        still = hold_still(matched[part], picture[part], self.settings.config.hold_still, near[part])
        shown[part] += speaking[part] * (still - shown[part])
        return shown

    def _people(self, clip: Clip) -> Puppets:
        """The people of the picture that a clip shows."""
        shown = self.scene.picture_for(clip)
        if self._puppets is None or self._puppets.picture is not shown.pixels:
            self._puppets = Puppets(shown.pixels, heads(shown.masks))
        return self._puppets


def _near(somebody: Tensor, size: tuple[int, int]) -> Tensor:
    """bool (H, W): there, and a cell around."""
    near = F.max_pool2d(somebody[None, None].float(), 3, 1, 1)
    return F.interpolate(near, size=size)[0, 0] > 0


def _extent(where: Tensor, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold all places (H, W) that are, and so many pixels around them."""
    found = []
    for seen in (where.any(dim=1), where.any(dim=0)):
        places = seen.nonzero()
        first, last = (int(places[0]), int(places[-1])) if len(places) else (0, 0)
        found.append(slice(max(0, first - margin), last + margin + 1))
    return found[0], found[1]
