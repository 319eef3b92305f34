"""From a synthetic clip to what a pipeline is given for it, and to the frames that it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from polytalk.errors import PolytalkError
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.scene import Box, Scene, Speaker
from polytalk.synthetic.scenes import SyntheticClip
from polytalk.units import SAMPLE_RATE

GIVEN_FRAMES = 1
"""The first frame is the picture, not something that was generated: it does not count."""
Regions = Literal["boxes", "masks"]
Request = tuple[SyntheticClip, np.ndarray]
"""A scene and the voices to render it with: audio float32 (P, samples) at 16 kHz, row p for person p."""
Generate = Callable[[Sequence[Request]], Sequence[np.ndarray]]
"""Renders a batch of requests: frames uint8 (T, H, W, 3) each, the first of them like the scene's picture."""


def pipeline_generator(
    pipeline: MultiTalkPipeline, *, seed: int = 0, regions: Regions = "boxes", **choices: Any
) -> Generate:
    """Makes a `Generate` of a pipeline: each scene from its picture, who is where in it, the voices and the prompt.

    Args:
        pipeline: its video is as long as the sound.
        seed: of the noise; a scene has the same noise with its own and with exchanged voices.
        regions: how the pipeline is told who is where: "boxes" around the heads in the picture, as a user would give
            them, or "masks", the people's true outlines in the picture.
        choices: passed on, e.g. num_inference_steps.
    """
    if regions not in ("boxes", "masks"):
        raise PolytalkError("regions", f"{regions!r} is unknown", 'Use "boxes" or "masks".')

    def generate(requests: Sequence[Request]) -> list[np.ndarray]:
        return [render(clip, audio) for clip, audio in requests]

    def render(clip: SyntheticClip, audio: np.ndarray) -> np.ndarray:
        prepared = pipeline.prepare(scene_of(clip, audio), clip.reference.shape[:2])
        if regions == "masks":
            prepared = replace(prepared, masks=torch.from_numpy(clip.reference_masks))
        return pipeline(prepared, generator=scene_noise(clip, seed), **choices).frames[: len(clip.frames)]

    return generate


def scene_noise(clip: SyntheticClip, seed: int) -> torch.Generator:
    """The noise that a scene begins with, the same in every measure."""
    return torch.Generator().manual_seed(seed * 10_000_000_019 + clip.seed)


def scene_of(clip: SyntheticClip, audio: np.ndarray) -> Scene:
    """What a user would give for a clip: its picture, boxes around the heads, voices (P, n) at 16 kHz, prompt."""
    speakers = [
        Speaker(audio=voice, sample_rate=SAMPLE_RATE, box=box)
        for voice, box in zip(audio, pixel_boxes(clip.face_boxes[0], clip.reference), strict=True)
    ]
    return Scene(image=clip.reference, prompt=clip.prompt, speakers=speakers)


def pixel_boxes(boxes: np.ndarray, picture: np.ndarray) -> list[Box]:
    """Boxes (P, 4) in whole pixels within a picture (H, W, 3)."""
    height, width = picture.shape[:2]
    low = np.floor(boxes[:, :2]).clip(0, (width - 2, height - 2)).astype(int)
    high = np.ceil(boxes[:, 2:]).clip(low + 2, (width, height)).astype(int)
    return [Box(*map(int, (*a, *b))) for a, b in zip(low, high, strict=True)]
