"""How everybody moves in a whole video, unasked and as the prompts ask, with networks that are told.

The network draws how people speak, and is told that they do nothing else; all else is played with its frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.motion.gestures import WALK, hand_sides
from polytalk.motion.idle import idle_motions
from polytalk.motion.prompted import acts_over, neighbour, play
from polytalk.pipeline.prepare import PreparedScene
from polytalk.pipeline.settings import RunSettings
from polytalk.postprocess.face import Head
from polytalk.postprocess.puppet import SIZE, Puppets
from polytalk.units import FPS, SPATIAL_STRIDE

LARGEST_HEAD = 0.95
"""Of the frame's height; masks may show more than heads."""


class MotionPlan:
    """Motion of everybody in a video.

    Args:
        found: everybody's head in the first picture.
        width: of the picture.
        prompts: frames in which each holds, in order of time.
        seed: of what is done by chance.
        count: frames.
        amount: of sway, see `idle_motion`.
    """

    def __init__(
        self, found: Sequence[Head], width: int, prompts: Sequence[tuple[range, str]], seed: int, count: int,
        amount: float,
    ) -> None:  # fmt: skip
        places, sizes = np.array([head.x for head in found]), SIZE * np.array([head.height for head in found])
        self.tracks = idle_motions(seed, places, count, amount)
        order = [int(person) for person in np.argsort(places, kind="stable")]
        for track, side in zip(self.tracks, hand_sides(places, width), strict=True):
            track["hand_side"][:] = side
        acts = acts_over(prompts, len(order))
        for act, span in sorted(acts, key=lambda each: (each[1].start, each[0].name == WALK)):
            rng = np.random.default_rng([seed % 2**63, span.start, act.person + 1])
            play(self.tracks, act, span, order, places, sizes, rng)
            if act.name == WALK:  # "on the left" means somebody else from now on
                other = neighbour(act.person, len(order))
                pair, swapped = [order[act.person], order[other]], [order[other], order[act.person]]
                order[act.person], order[other] = swapped
                places[pair] = places[swapped]

    @classmethod
    def of(
        cls, scene: PreparedScene, settings: RunSettings, seed: int, count: int,
        found: Sequence[Head] | None = None, width: int | None = None,
    ) -> MotionPlan:  # fmt: skip
        """The plan of a run whose network is told that people only speak (see `is_told`).

        Args:
            scene: as it is prepared.
            settings: the run's.
            seed: of what is done by chance.
            count: frames.
            found: everybody's head in a larger picture, of which the scene shows parts.
            width: of the larger picture.
        """
        amount = settings.config.idle_motion or 0.0
        found = heads(scene.masks) if found is None else found
        return cls(found, width or scene.pixels.shape[1], _prompts(scene, count), seed, count, amount)

    def play(self, frames: np.ndarray, people: Puppets, origin: int, start: int) -> np.ndarray:
        """Frames in which people only speak, uint8 (T, H, W, 3), with all else that they do.

        Args:
            frames: from frame `start` of the video on.
            people: of the picture that they stand in.
            origin: frame of the video in which everybody is where the picture shows them.
            start: of the video.
        """
        return people.move(frames, self.tracks, origin, range(start, start + len(frames)))


def is_told(scene: PreparedScene, settings: RunSettings, network: MultiTalkTransformer3DModel) -> bool:
    """Whether the network is told that people only speak, and all else is played; else it, or a source video, decides
    how they move."""
    told = settings.config.idle_motion is not None and scene.source is None
    return told and bool(network.config.get("pose_channels", 0))


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
