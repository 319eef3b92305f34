"""Classifier-free guidance over two conditions, text and sound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from torch import Tensor

from polytalk.diffusion.adaptive import AdaptiveProjection, ProjectedDifference
from polytalk.errors import PolytalkError


class GuidancePass(Enum):
    """One prediction of the network, and what it is conditioned on."""

    FULL = "full"
    """The prompt and the people's voices."""
    DROP_TEXT = "drop_text"
    """The negative prompt, with the voices."""
    DROP_AUDIO = "drop_audio"
    """The prompt, with speech features zeroed and treated as one person."""
    DROP_TEXT_AND_AUDIO = "drop_text_and_audio"
    """The negative prompt, with speech features zeroed and treated as one person."""

    @property
    def has_text(self) -> bool:
        """Whether this prediction sees the prompt."""
        return self in (GuidancePass.FULL, GuidancePass.DROP_AUDIO)

    @property
    def has_audio(self) -> bool:
        """Whether this prediction hears the voices."""
        return self in (GuidancePass.FULL, GuidancePass.DROP_TEXT)


@dataclass(frozen=True)
class Guidance:
    """How strongly prompt and sound are followed; the released 14B model uses 5 and 4.

    v = uncond + text_scale · (full - drop_text) + audio_scale · (drop_text - uncond), from as few predictions as give
    that value: two when the text scale is 1 (full and audio dropped, as in the release), when the audio scale is 1 (no
    uncond is needed) or when both are equal (drop_text cancels out), one when both are 1.

    Raises:
        PolytalkError: when a scale is negative or not finite.
    """

    text_scale: float = 5.0
    """1 adds nothing and saves a prediction."""
    audio_scale: float = 4.0
    """1 adds nothing and saves a prediction."""
    adaptive: AdaptiveProjection | None = None
    """Projects the differences (arXiv 2410.02416) instead of adding them as they are."""

    def __post_init__(self) -> None:
        for field, scale in (("guidance_scale", self.text_scale), ("audio_guidance_scale", self.audio_scale)):
            if not (scale >= 0 and math.isfinite(scale)):
                raise PolytalkError(field, f"a scale of {scale}", "Give 1 (off) or a larger number, e.g. 4.")

    def passes(self) -> tuple[GuidancePass, ...]:
        """The predictions that `GuidedClip.combine` needs, the full one first."""
        text, audio = not math.isclose(self.text_scale, 1), not math.isclose(self.audio_scale, 1)
        if not text:
            return (GuidancePass.FULL, GuidancePass.DROP_AUDIO) if audio else (GuidancePass.FULL,)
        if not audio:
            return (GuidancePass.FULL, GuidancePass.DROP_TEXT)
        if self.adaptive is None and math.isclose(self.text_scale, self.audio_scale):
            return (GuidancePass.FULL, GuidancePass.DROP_TEXT_AND_AUDIO)
        return (GuidancePass.FULL, GuidancePass.DROP_TEXT, GuidancePass.DROP_TEXT_AND_AUDIO)

    def start_clip(self) -> GuidedClip:
        """Fresh state (momentum) for the steps of one clip."""
        return GuidedClip(self)


class GuidedClip:
    """Combines the predictions of each step of one clip; holds one momentum per difference."""

    def __init__(self, guidance: Guidance) -> None:
        self.guidance = guidance
        self._differences = self._ladder(guidance)
        settings = guidance.adaptive
        self._projected = [ProjectedDifference(settings) for _ in self._differences] if settings else None

    @staticmethod
    def _ladder(guidance: Guidance) -> list[tuple[float, GuidancePass, GuidancePass]]:
        """(scale, stronger, weaker) down from the full prediction; each step down loses one condition."""
        passes = guidance.passes()
        if len(passes) == 1:
            return []
        if len(passes) == 2:
            scale = guidance.text_scale if passes[1] is not GuidancePass.DROP_AUDIO else guidance.audio_scale
            return [(scale, passes[0], passes[1])]
        full, drop_text, uncond = passes
        return [(guidance.text_scale, full, drop_text), (guidance.audio_scale, drop_text, uncond)]

    def combine(self, predictions: Mapping[GuidancePass, Tensor]) -> Tensor:
        """One velocity from the passes' predictions, each (B, C, F, H, W).

        Raises:
            KeyError: when one that `Guidance.passes` names is missing.
        """
        full = predictions[GuidancePass.FULL]
        velocity = full
        for index, (scale, stronger, weaker) in enumerate(self._differences):
            difference = predictions[stronger] - predictions[weaker]
            if self._projected is not None:
                difference = self._projected[index].update(difference, full)
            # full = uncond + the sum of all differences, so (scale - 1) of each is what is left to add
            velocity = velocity + (scale - 1) * difference
        return velocity
