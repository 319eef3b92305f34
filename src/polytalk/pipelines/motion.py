"""How everybody moves in a whole video: unasked, and as the prompts ask; for networks that are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polytalk.conditioning.gestures import WALK, hand_sides
from polytalk.conditioning.idle_motion import idle_motions, pose_signal
from polytalk.conditioning.people import SPATIAL_STRIDE
from polytalk.conditioning.prompted import acts_over, neighbour, play, walking
from polytalk.conditioning.puppet import SIZE, Head, moved_picture
from polytalk.conditioning.speech import FPS
from polytalk.pipelines.clips import TEMPORAL_STRIDE, Clip
from polytalk.pipelines.prepared_scene import PreparedScene

LARGEST_HEAD = 0.95
"""Of the frame's height; masks may show more than heads."""
_MOVED = 0.5
"""Cells from where on somebody is elsewhere."""


@dataclass(frozen=True, eq=False)
class MovedPicture:
    """A reference picture whose heads move through a clip."""

    pixels: Tensor
    """(1, 3, T, H, W) in -1..1."""
    latents: Tensor
    """(1, C, F, h, w): the same, encoded."""
    unrest: Tensor
    """(T, H, W), see `moved_picture`."""


class MotionPlan:
    """Motion of everybody in a video.

    Args:
        scene: with prompts, and who is where in the first picture.
        seed: of what is done by chance.
        count: frames.
        amount: of sway, see `idle_motion`.
    """

    def __init__(self, scene: PreparedScene, seed: int, count: int, amount: float) -> None:
        found = heads(scene.masks)
        places, self.sizes = np.array([head.x for head in found]), SIZE * np.array([head.height for head in found])
        self.tracks = idle_motions(seed, places, count, amount)
        self._walks: list[range] = []
        order = [int(person) for person in np.argsort(places, kind="stable")]
        for track, side in zip(self.tracks, hand_sides(places, scene.masks.shape[-1] * SPATIAL_STRIDE), strict=True):
            track["hand_side"][:] = side
        acts = acts_over(_prompts(scene, count), len(order))
        for act, span in sorted(acts, key=lambda each: (each[1].start, each[0].name == WALK)):
            rng = np.random.default_rng([seed % 2**63, span.start, act.person + 1])
            play(self.tracks, act, span, order, places, self.sizes, rng)
            if act.name == WALK:  # "on the left" means somebody else from now on
                self._walks.append(walking(span))
                other = neighbour(act.person, len(order))
                pair, swapped = [order[act.person], order[other]], [order[other], order[act.person]]
                order[act.person], order[other] = swapped
                places[pair] = places[swapped]

    def told(self, people: Sequence[int], origin: int, span: range) -> Tensor:
        """The signal of people in a clip, (people, T, channels); the picture shows frame `origin`."""
        return torch.from_numpy(np.stack([pose_signal(self.tracks[person], origin, span) for person in people]))

    def picture(self, pixels: np.ndarray, masks: Tensor, origin: int, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """A picture with heads that move as in a clip, uint8 (T, H, W, 3), and its unrest, see `moved_picture`.

        Args:
            pixels: the picture, uint8 (H, W, 3), which shows frame `origin`.
            masks: (P, h, w) bool, who is where in it.
            origin: of the video.
            clip: its frames.
        """
        frames = range(clip.start, clip.start + clip.num_frames)
        return moved_picture(pixels, heads(masks), self.tracks, origin, frames)

    def camera_moves(self, clip: Clip, shown: int = 0) -> bool:
        """Whether the camera has moved by a clip's end since frame `shown` of the video, which the picture shows."""
        zoom = self.tracks[0]["zoom"]
        return bool(zoom[clip.start + clip.num_frames - 1] != zoom[shown])

    def labels(self, people: Sequence[int], clip: Clip, masks: Tensor) -> Tensor | None:
        """Who is where in a clip in which somebody walks, (F, h / 2, w / 2) int64; -1 where the network decides.

        Args:
            people: the cast.
            clip: its frames.
            masks: (P, h, w) bool, who is where in its first frame.
        """
        frames = range(clip.start, clip.start + clip.num_frames)
        if len(people) < 2 or not any(walk.start < frames.stop and walk.stop > frames.start for walk in self._walks):
            return None
        middles = [clip.start, *range(clip.start + TEMPORAL_STRIDE // 2, frames.stop, TEMPORAL_STRIDE)]
        found = [self._classes(people, clip.start, frame, masks.float().cpu()) for frame in middles]
        return torch.stack(found)

    def _classes(self, people: Sequence[int], start: int, frame: int, masks: Tensor) -> Tensor:
        ways = [self.tracks[person]["place"][frame] - self.tracks[person]["place"][start] for person in people]
        shifts = [way * self.sizes[person] / SPATIAL_STRIDE for way, person in zip(ways, people, strict=True)]
        if max(map(abs, shifts)) < _MOVED:
            return torch.full((masks.shape[1] // 2, masks.shape[2] // 2), -1)
        shown = torch.stack([_shifted(masks[person], round(by)) for person, by in zip(people, shifts, strict=True)])
        share = F.avg_pool2d(shown[None], 2)[0]
        nearer = torch.tensor(self.sizes[list(people)]).argsort().argsort()  # larger people stand in front
        share = share * (1 + 0.01 * nearer.view(-1, 1, 1))
        background = torch.full_like(share[:1], 0.49)
        return torch.cat([share, background]).argmax(dim=0)


def heads(masks: Tensor) -> list[Head]:
    """Where the heads of masks (P, h, w) are: their upper ends, where they show more."""
    _, height, width = masks.shape
    found = []
    for shape in masks.cpu().numpy():
        columns, rows = shape.sum(axis=0), np.flatnonzero(shape.any(axis=1))
        middle = float((columns * (np.arange(width) + 0.5)).sum() / max(1, columns.sum()))
        top, tall = (float(rows[0]), float(rows[-1] - rows[0] + 1)) if len(rows) else (0.0, float(height))
        tall = min(tall, LARGEST_HEAD * height)
        found.append(Head(middle * SPATIAL_STRIDE, (top + tall / 2) * SPATIAL_STRIDE, tall * SPATIAL_STRIDE))
    return found


def _prompts(scene: PreparedScene, count: int) -> list[tuple[range, str]]:
    if scene.schedule is None:
        return []
    last = count / FPS
    spans = ((span.start, min(span.stop, last), span.prompt) for span in scene.schedule.prompts)
    return [(range(round(start * FPS), round(stop * FPS)), prompt) for start, stop, prompt in spans if start < last]


def _shifted(mask: Tensor, cells: int) -> Tensor:
    """(h, w) moved to the right, without what leaves the picture."""
    moved = torch.zeros_like(mask)
    width = mask.shape[1]
    if abs(cells) < width:
        source = slice(max(0, -cells), width - max(0, cells))
        moved[:, max(0, cells) : width + min(0, cells)] = mask[:, source]
    return moved
