"""Dubbing: people in a video speak anew, and what is not a speaking face stays as it was.

A scene whose picture is a video is dubbed. Each clip starts from the noised latents of the source's frames (video to
video, SDEdit, arXiv 2108.01073) and is blended at every step with the source outside the speakers' boxes (see
`polytalk.diffusion.SourceLatents`); there its latents are the source's own to the last bit. The same boxes, feathered,
lay the decoded faces over the source's pixels, so that not even the autoencoder touches the rest. Feathers reach
inwards only.

Boxes belong to the first frame, or to any other by a scene's cues; between them they follow the faces.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from polytalk.conditioning.masks import person_masks
from polytalk.conditioning.opened import OpenedFiles
from polytalk.conditioning.picture import PictureFit, fit_picture
from polytalk.conditioning.speech import pad_to_frames
from polytalk.diffusion import SourceLatents
from polytalk.errors import PolytalkError
from polytalk.media.audio import Sound
from polytalk.media.source_video import FrameSource, shows_video
from polytalk.media.tracking import BoxTracker
from polytalk.models.components import Components
from polytalk.pipeline.clips import Clip
from polytalk.scene import Box, Scene
from polytalk.scene.schedule import Schedule
from polytalk.units import FPS, SAMPLE_RATE, TEMPORAL_STRIDE, Size, latent_frames

FEATHER = 2
"""Latents over which a face passes into what is kept."""
Boxes = tuple[tuple[float, float, float, float], ...]
"""Everybody's left, top, right, bottom in pixels of the video that is made."""


@dataclass(frozen=True)
class ClipGuide:
    """What one clip takes from the source."""

    source: SourceLatents
    """Latents (1, C, F, h, w) of its frames, and the share of them that is kept, (1, 1, F, h, w)."""
    pixels: Tensor
    """(1, 3, T, H, W) in -1..1: its frames."""
    alpha: Tensor
    """(1, 1, T, H, W): how much of the new picture shows, 0 outside the speakers' boxes."""
    masks: Tensor
    """bool (P, h, w): who is where in the clip's first frame."""

    def composite(self, video: Tensor) -> Tensor:
        """Decoded frames (1, 3, T, H, W) laid over the source's."""
        return torch.lerp(self.pixels, video, self.alpha)


@dataclass
class DubbingSource:
    """A source video at the network's size, and who is where in each of its frames."""

    frames: FrameSource
    """At its own size."""
    target: Size
    """(height, width) of what is made."""
    key_boxes: Mapping[int, Boxes]
    """Frame -> everybody's box from there on; frame 0 has an entry."""
    speaking: Sequence[bool]
    """Whose face is made anew: everybody with a voice. The others stay as they are."""
    follows: bool = True
    """Carry boxes along with the faces; False: they stand still."""
    feather: int = FEATHER
    """Latents."""
    _boxes: list[np.ndarray] = field(default_factory=list)
    """(P, 4) of every frame so far."""
    _tracker: BoxTracker | None = None

    @property
    def num_frames(self) -> int:
        """Length of the video that is made."""
        return self.frames.num_frames

    def pixels(self, start: int, count: int) -> np.ndarray:
        """Frames at the network's size, uint8 (count, height, width, 3); beyond the end the last one stands still."""
        raw = self.frames.frames(start, count)
        if raw.shape[1:3] == tuple(self.target):
            return raw
        return np.stack([fit_picture(Image.fromarray(frame), self.target)[0] for frame in raw])

    def boxes(self, start: int, count: int) -> np.ndarray:
        """(count, P, 4) of frames from `start`; asked in order, each frame is looked at once."""
        wanted = min(start + count, self.num_frames)
        for number in range(len(self._boxes), wanted):
            key = self.key_boxes.get(number)
            if key is not None:
                boxes = np.asarray(key, np.float64)
                self._tracker = BoxTracker(self.pixels(number, 1)[0], boxes) if self.follows else None
            elif self._tracker is not None:
                boxes = self._tracker.follow(self.pixels(number, 1)[0])
            else:
                boxes = self._boxes[-1]
            self._boxes.append(boxes)
        places = np.minimum(np.arange(start, start + count), self.num_frames - 1)
        return np.stack([self._boxes[place] for place in places])

    def masks(self, start: int, count: int, stride: int) -> Tensor:
        """Who is where: bool (count, P, height / stride, width / stride)."""
        height, width = self.target
        whole = PictureFit(self.target, self.target, self.target, 0, 0)
        seen: dict[bytes, Tensor] = {}
        masks = []
        for boxes in self.boxes(start, count):
            low = np.floor(boxes[:, :2]).clip(0, (width - 2, height - 2)).astype(int)
            high = np.ceil(boxes[:, 2:]).clip(low + 2, (width, height)).astype(int)
            key = np.concatenate([low, high]).tobytes()
            if key not in seen:  # heads keep still for many frames
                inside = [Box(*map(int, (*a, *b))) for a, b in zip(low, high, strict=True)]
                seen[key] = person_masks(inside, whole, stride)
            masks.append(seen[key])
        return torch.stack(masks)

    @torch.no_grad()
    def guide(self, components: Components, clip: Clip) -> ClipGuide:
        """What a clip takes from the source."""
        masks = self.masks(clip.start, clip.num_frames, components.spatial_stride)
        pixels = torch.from_numpy(self.pixels(clip.start, clip.num_frames)).permute(3, 0, 1, 2)[None]
        pixels = (pixels.float() / 127.5 - 1).to(components.device)
        speaking = masks[:, list(self.speaking)]
        shares = feathered(_per_latent_frame(speaking), self.feather).amax(dim=1)
        inner = feathered(speaking, self.feather, outer=False).amax(dim=1)
        alpha = F.interpolate(inner[:, None], size=self.target, mode="bilinear")
        alpha = alpha * F.interpolate(speaking.any(dim=1)[:, None].float(), size=self.target)
        keep = (1 - shares)[None, None].to(components.device)
        source = SourceLatents(components.encode_video(pixels).float(), keep)
        return ClipGuide(source, pixels, alpha[None, :, :, :, :].transpose(1, 2).to(components.device), masks[0])

    def fit_tracks(self, tracks: np.ndarray) -> np.ndarray:
        """Voices (P, samples) at 16 kHz cut (with a warning), or filled with silence, to the video's length."""
        length = -(-self.num_frames * SAMPLE_RATE // FPS)
        lost = np.abs(tracks[:, length:]).max(initial=0.0) > 0
        if lost:
            more = (tracks.shape[1] - length) / SAMPLE_RATE
            message = f"the voices go on for {more:.1f} s after the video's end and are cut off there"
            warnings.warn(message, UserWarning, stacklevel=4)
        return pad_to_frames(tracks, self.num_frames)[:, :length]

    def fit_sound(self, sound: Sound) -> Sound:
        """What the audience hears, no longer than the video."""
        return Sound(sound.samples[: round(self.num_frames / FPS * sound.sample_rate)], sound.sample_rate)


def dubbing_source(
    scene: Scene, schedule: Schedule, boxes: Sequence[Box], fit: PictureFit, files: OpenedFiles | None = None
) -> DubbingSource | None:
    """The source of a scene whose picture is a video; None if it is a picture.

    Args:
        scene: what is wanted.
        schedule: who has a voice, and what boxes hold when.
        boxes: everybody's box in the first frame, in its own pixels.
        fit: how that frame is scaled and cropped.
        files: what has been opened already.

    Raises:
        PolytalkError: the video cannot be read, or a cue puts another picture in its place.
    """
    if not shows_video(scene.image):
        if any(cue.boxes is not None and cue.image is None for cue in scene.cues):
            problem = "boxes change without a picture that they count in"
            raise PolytalkError("cues", problem, "Give the picture, too; a video needs none.")
        return None
    keys = {0: tuple(fit.map_box(box) for box in boxes)}
    for setting in schedule.settings[1:]:
        if setting.image is not scene.image:
            problem = f"another picture from {setting.start:g} s on, and the scene shows a video"
            raise PolytalkError("cues", problem, "Leave out the picture; boxes may change at any frame.")
        number = round(setting.start * FPS)
        if setting.boxes is not None and number:
            keys[number] = tuple(fit.map_box(box) for box in setting.boxes)
    voices = {turn.speaker for turn in schedule.turns}
    speaking = [person in voices for person in range(schedule.num_speakers)]
    opened = (files or OpenedFiles()).frames(scene.image, "image")
    return DubbingSource(opened, fit.target, keys, speaking, follows=scene.boxes is not None)


def feathered(regions: Tensor, feather: int, *, outer: bool = True) -> Tensor:
    """Regions whose edge fades inwards; outside them the result is 0 exactly. A region too small to fade stays full.

    Args:
        regions: bool (..., h, w).
        feather: cells over which it fades; 0 for a hard edge.
        outer: the outermost cells count a little; False: not at all, so that interpolation between cells stays inside.

    Returns:
        float32, the regions' shape, 0..1. The picture's own edges are no edges.
    """
    now = regions.float().flatten(0, -3)[:, None]
    steps = [now] if outer or not feather else []
    for _ in range(feather):
        smaller = 1 - F.max_pool2d(1 - now, 3, 1, 1)
        now = torch.where(smaller.flatten(1).any(dim=1)[:, None, None, None], smaller, now)
        steps.append(now)
    return torch.stack(steps).mean(dim=0)[:, 0].view(regions.shape)


def _per_latent_frame(masks: Tensor) -> Tensor:
    """Masks (T, P, h, w) of frames to those of latent frames, (F, P, h, w): wherever somebody is in any."""
    first, later = masks[:1], masks[1:]
    assert latent_frames(len(masks)) == 1 + len(later) // TEMPORAL_STRIDE
    return torch.cat([first, later.unflatten(0, (-1, TEMPORAL_STRIDE)).any(dim=1)])
