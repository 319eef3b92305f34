"""What a command's options say of model, video and levers, and what that means to the pipeline."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polytalk.errors import PolytalkError

if TYPE_CHECKING:
    from polytalk.casting.found import FoundPerson
    from polytalk.generation.close_ups import CloseUpRun

if TYPE_CHECKING:
    from polytalk.config.options import LoadOptions, ParallelChoice
    from polytalk.config.pipeline import PipelineConfig
    from polytalk.scene import Scene
    from polytalk.units import Size

_LEVERS = ("quantization", "offload", "branch_chunking", "layerwise_casting", "vae_tiling", "vae_dtype", "compile")
_STEP = 16
"""Pixels: both sides of a video are multiples of it."""


@dataclass(frozen=True)
class Wishes:
    """Options as they were given; None is not given.

    Raises:
        PolytalkError: an option that makes no sense by itself.
    """

    model: str = "mini"
    """Embedded model, folder or hub id."""
    audio_weights: Path | None = None
    """The audio branch's folder or file."""
    speech_weights: Path | None = None
    """The speech encoder's folder."""
    loras: tuple[str, ...] = ()
    """FILE or FILE:SCALE."""
    device: str | None = None
    """None chooses."""
    dtype: str | None = None
    """None chooses."""
    size: str | None = None
    """WIDTHxHEIGHT, or the shorter side."""
    size_class: str | None = None
    """480p or 720p."""
    max_seconds: float | None = None
    """Longest video."""
    preset: str | None = None
    """Steps, shift and guidance by one word."""
    steps: int | None = None
    """Sampling steps."""
    guidance: float | None = None
    """Weight of the prompt."""
    audio_guidance: float | None = None
    """Weight of the voices."""
    adaptive: bool = False
    """Adaptive projected guidance."""
    shift: float | None = None
    """Timestep shift."""
    clip_frames: int | None = None
    """Longest clip."""
    motion_frames: int | None = None
    """Shared by neighbouring clips."""
    strength: float | None = None
    """Noise in a source video."""
    colour: float | None = None
    """How far colours are matched."""
    hold_still: float | None = None
    """How far what has not moved shows the picture."""
    idle_motion: float | None = None
    """How lively people are unasked."""
    carry_over: str | None = None
    """pixels or latent."""
    fixed_masks: bool = False
    """The first picture's masks for every clip."""
    ungated: bool = False
    """Tracks as they are."""
    quantization: str | None = None
    """Number format of the blocks."""
    offload: str | None = None
    """Where weights wait."""
    branch_chunking: bool | None = None
    """Predictions one after the other in each block."""
    layerwise_casting: bool | None = None
    """Blocks' weights in 8 bits."""
    vae_tiling: bool | None = None
    """Tiles."""
    vae_dtype: str | None = None
    """Number format of the autoencoder."""
    compile: bool | None = None
    """Compile the blocks."""
    attention: str | None = None
    """Attention kernel."""
    step_cache: str | None = None
    """NAME or NAME:THRESHOLD."""
    parallel: str | None = None
    """What torchrun's processes share."""

    def __post_init__(self) -> None:
        if self.max_seconds is not None and not (self.max_seconds > 0 and math.isfinite(self.max_seconds)):
            raise PolytalkError("--max-seconds", f"it is {self.max_seconds}", "Give seconds, more than 0.")
        if self.size is not None:
            _parse_size(self.size)
            if self.size_class is not None:
                raise PolytalkError("--size-class", "--size says more", "Leave out one of the two.")

    def choices(self) -> dict[str, Any]:
        """The run's choices, as `RunChoices`."""
        return {
            "preset": self.preset,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "audio_guidance_scale": self.audio_guidance,
            "shift": self.shift,
            "clip_frames": self.clip_frames,
            "motion_frames": self.motion_frames,
            "strength": self.strength,
            "colour_strength": self.colour,
            "hold_still": self.hold_still,
            "idle_motion": self.idle_motion,
            "carry_over": self.carry_over,
            "carry_masks": False if self.fixed_masks else None,
            "gate_silence": False if self.ungated else None,
            "adaptive_projection": self.adaptive,
        }

    def options(self) -> LoadOptions:
        """The levers.

        Raises:
            PolytalkError: one is unknown, or two exclude each other.
        """
        from polytalk.config.options import LoadOptions, LoraChoice

        levers = {name: getattr(self, name) for name in _LEVERS if getattr(self, name) is not None}
        cache, threshold = self._step_cache()
        return LoadOptions(
            loras=tuple(LoraChoice.parse(text) for text in self.loras),
            attention_backend=self.attention,
            step_cache=cache,
            step_cache_threshold=threshold,
            parallel=self._parallel(),
            **levers,
        )

    def fixed(self) -> frozenset[str]:
        """Names of the levers that were given, and "clip_frames" if it was."""
        return frozenset(name for name in (*_LEVERS, "clip_frames") if getattr(self, name) is not None)

    def frame_size(self, scene: Scene) -> Size | None:
        """(height, width) by --size; None where the model's size class decides.

        Raises:
            PolytalkError: the picture cannot be read.
        """
        if self.size is None:
            return None
        sides = _parse_size(self.size)
        if len(sides) == 2:
            return sides[1], sides[0]
        from polytalk.conditioning.picture import scaled_size
        from polytalk.media.image import load_image

        picture = load_image(scene.image)
        return scaled_size(picture.width, picture.height, sides[0])

    def model_config(self, config: PipelineConfig) -> PipelineConfig:
        """The model's defaults with those of another size class, if one is wanted.

        Raises:
            PolytalkError: the preset or the size class is not for this model.
        """
        from polytalk.config.presets import check_preset

        if self.size_class is not None:
            config = config.for_size_class(self.size_class)
        if self.preset is not None:
            check_preset(self.preset, config.size_class, bool(self.loras))
        return config

    def _parallel(self) -> ParallelChoice | None:
        """As given; else torchrun's processes share tokens and heads."""
        from polytalk.acceleration.parallel.launch import num_processes
        from polytalk.config.options import ParallelChoice

        if self.parallel is not None:
            return ParallelChoice.parse(self.parallel)
        processes = num_processes()
        return ParallelChoice(ulysses=processes) if processes > 1 else None

    def _step_cache(self) -> tuple[str | None, float | None]:
        if self.step_cache is None:
            return None, None
        name, colon, number = self.step_cache.partition(":")
        try:
            return name, float(number) if colon else None
        except ValueError:
            problem = f"{number!r} is no threshold"
            raise PolytalkError("--step-cache", problem, "Give e.g. teacache or teacache:0.2.") from None


def _parse_size(text: str) -> tuple[int, ...]:
    """(width, height), or (shorter side,)."""
    found = re.fullmatch(r"\s*(\d+)\s*(?:[x×X]\s*(\d+)\s*)?", text)
    if found is None:
        raise PolytalkError("--size", f"{text!r} is no size", "Give WIDTHxHEIGHT, e.g. 896x448, or the shorter side.")
    sides = tuple(int(side) for side in found.groups() if side is not None)
    if any(side < _STEP or side % _STEP for side in sides):
        near = "x".join(str(max(_STEP, round(side / _STEP) * _STEP)) for side in sides)
        raise PolytalkError("--size", f"{text} has a side that is no multiple of {_STEP}", f"Give e.g. {near}.")
    return sides


def wishes_of(given: dict[str, Any]) -> Wishes:
    """The wishes among a command's arguments; those that a command does not have are not given."""
    values = {entry.name: given[entry.name] for entry in fields(Wishes) if entry.name in given}
    return Wishes(**values, loras=tuple(given.get("lora") or ()), adaptive=bool(given.get("apg")))


@dataclass(frozen=True)
class CloseUpWishes:
    """Options about close-ups, as they were given.

    Raises:
        PolytalkError: a height of the video without close-ups.
    """

    wanted: bool | None = None
    """Make them; None: where they gain much."""
    height: int | None = None
    """Of the video, pixels."""

    def __post_init__(self) -> None:
        if self.wanted is False and self.height is not None:
            problem = "it is the height to which close-ups are laid into the picture"
            raise PolytalkError("--height", problem, "Leave out one of --height and --no-close-ups; or give --size.")

    def plan(
        self, scene: Scene, people: Sequence[FoundPerson], size_class: str, size: Size | None
    ) -> CloseUpRun | None:
        """The scene in close-ups; None where they are not made.

        Args:
            scene: what is wanted.
            people: who is in the picture, as casting found.
            size_class: whose frames the model knows.
            size: (height, width) of the model's frame, if it was given.

        Raises:
            PolytalkError: they were asked for, and cannot be made.
        """
        from polytalk.generation.close_ups import plan_close_ups, wants_close_ups

        asked = self.wanted or self.height is not None
        if self.wanted is False or (not asked and (size is not None or size_class != "mini")):
            return None
        # somebody without a score stands for a part of the picture in which nobody was found
        found = [person for person in people if person.score]
        try:
            run = plan_close_ups(scene, size_class, size=size, height=self.height, people=found)
        except PolytalkError:
            if asked:
                raise
            return None
        return run if asked or wants_close_ups(run, size_class) else None


def describe(run: CloseUpRun) -> str:
    """One line about what is going to be made."""
    (height, width), (rows, columns) = run.plan.picture, run.plan.frame
    heads = "a head" if len(run.plan.cuts) == 1 else f"{len(run.plan.cuts)} heads side by side"
    return f"close-ups: {heads} in {columns} × {rows}, laid into {width} × {height}; --no-close-ups leaves them out"
