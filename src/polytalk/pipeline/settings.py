"""One run's settings: a model's defaults with the caller's choices laid over, and what is built of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from polytalk.config.pipeline import PipelineConfig, choices_of
from polytalk.config.presets import find_preset
from polytalk.diffusion import AdaptiveProjection, FlowMatchingSchedule, Guidance
from polytalk.pipeline.clips import ClipPlanner


@dataclass(frozen=True)
class RunSettings:
    """One run's choices, complete and checked."""

    config: PipelineConfig
    """The model's, with what was chosen."""
    schedule: FlowMatchingSchedule
    """Noise levels."""
    guidance: Guidance
    """Weights of prompt and voices."""
    planner: ClipPlanner
    """Length of the clips."""

    @classmethod
    def choose(cls, config: PipelineConfig, *, preset: str | None = None, **choices: Any) -> RunSettings:
        """The config's values where nothing is chosen (None); a preset lies between the two.

        Args:
            config: the model's.
            preset: "quality", "balanced" or "fast" (see `polytalk.config.presets`).
            choices: knobs of `PipelineConfig`; `adaptive_projection` may be an `AdaptiveProjection`.

        Raises:
            PolytalkError: naming the knob that makes no sense.
            TypeError: a choice that does not exist.
        """
        known = choices_of()
        if unknown := sorted(set(choices) - set(known)):
            raise TypeError(f"unknown argument {unknown[0]!r}; known are {', '.join(('preset', *known))}")
        projection = choices.pop("adaptive_projection", None)
        together = find_preset(preset, config.size_class).settings if preset is not None else {}
        chosen = {name: value for name, value in choices.items() if value is not None}
        if projection is not None:
            chosen["adaptive_projection"] = bool(projection)
        config = dataclasses.replace(config, **{**together, **chosen})
        adaptive = projection if isinstance(projection, AdaptiveProjection) else None
        if config.adaptive_projection:
            adaptive = adaptive or AdaptiveProjection()
        return cls(
            config,
            FlowMatchingSchedule(config.num_inference_steps, config.shift, spacing=config.timestep_spacing),
            Guidance(config.guidance_scale, config.audio_guidance_scale, adaptive),
            ClipPlanner(config.clip_frames, config.motion_frames),
        )

    def for_source(self) -> RunSettings:
        """The same with a path that starts from a noised source."""
        return dataclasses.replace(self, schedule=dataclasses.replace(self.schedule, strength=self.config.strength))
