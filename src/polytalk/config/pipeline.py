"""A model's own way of being run: the defaults that lie beside its weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

from pydantic import TypeAdapter, ValidationError

from polytalk.config.presets import find_preset
from polytalk.diffusion import AdaptiveProjection, FlowMatchingSchedule, Guidance
from polytalk.errors import PolytalkError
from polytalk.pipeline.clips import ClipPlanner

RELEASED_NEGATIVE_PROMPT = (
    "bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, images, static, overall "
    "gray, worst quality, low quality, JPEG compression residue, ugly, incomplete, extra fingers, poorly drawn hands, "
    "poorly drawn faces, deformed, disfigured, misshapen limbs, fused fingers, still picture, messy background, three "
    "legs, many people in the background, walking backwards"
)

RELEASED_SHIFTS = {"480p": 7.0, "720p": 11.0}
"""Timestep shift of the released model by size class."""


@dataclass(frozen=True)
class PipelineConfig:
    """How a model is run when the caller does not say otherwise. The defaults are those of the released 14B model.

    Raises:
        PolytalkError: naming the setting that makes no sense.
    """

    num_inference_steps: int = 40
    """Steps of the sampler."""
    shift: float = 7.0
    """Timestep shift: 7 at 480p, 11 at 720p, 2 with a distilled LoRA."""
    timestep_spacing: Literal["linspace", "trailing"] = "linspace"
    """Where the last step starts: at timestep 1 as in the release, or so that all steps are alike (see
    `polytalk.diffusion.schedule`)."""
    guidance_scale: float = 5.0
    """Weight of the prompt; 1 is off."""
    audio_guidance_scale: float = 4.0
    """Weight of the voices; 1 is off."""
    negative_prompt: str = RELEASED_NEGATIVE_PROMPT
    """Stands in for the prompt where guidance drops it."""
    clip_frames: int = 81
    """Longest clip, 4n + 1 frames."""
    motion_frames: int = 25
    """Frames that a clip takes over from the one before, 4k + 1."""
    size_class: str = "480p"
    """Which frame sizes to choose from by the picture's aspect (see `polytalk.conditioning.picture`)."""
    colour_strength: float = 1.0
    """How far each frame's colours are matched to the picture's: 0 is off, 1 is fully."""
    hold_still: float = 0.0
    """How far places that have not changed show the picture itself, moved or not, 0 to 1 (see
    `polytalk.postprocess.stillness`)."""
    colour_region: Literal["all", "still"] = "all"
    """What the colours are compared on: whole frames as in the release, or what shows the same as in the picture."""
    carry_over: Literal["pixels", "latent"] = "pixels"
    """How a clip takes over motion frames: decoded and encoded again as in the release, or their latents as they are
    (see `polytalk.pipeline.condition`)."""
    strength: float = 0.8
    """Share of noise that a source video's clips start with: less keeps more of its faces, 1 nothing (dubbing)."""
    idle_motion: float | None = None
    """How lively people are unasked, 0 (only blinks, gazes and brows) to 1, for networks that can be told (see
    `polytalk.motion.idle`); None leaves it to the network."""
    move_heads: bool = True
    """Whether people do in the finished frames what they do besides speaking (see `polytalk.postprocess.puppet`),
    with networks that can be told that they do nothing else; False leaves eyes, hands and heads as in the picture."""
    fill_condition: Literal["zero", "reference"] = "zero"
    """What the condition shows where no frame is known: mid grey as in the release, or the reference picture."""
    keep_picture: bool = False
    """Overwrite the first latent frame of the first clip with the picture at every step, as with motion frames."""
    carry_masks: bool = True
    """Let the people's masks follow them from clip to clip, read from the network's own reference map and checked
    against what everybody looks like (see `polytalk.pipeline.following`); False keeps the first picture's masks for
    every clip, as the release does."""
    label_block: int | None = None
    """Block whose reference map is read for that; None is the middle one."""
    gate_silence: bool = True
    """Put silence in the place of whatever is on a track while its speaker is silent; False leaves it, as the release
    does."""
    trained_voices: int | None = None
    """Most people with a voice of their own that the weights have been trained on; in each clip those who speak most
    are chosen. None: any number."""
    batch_guidance: bool = True
    """Run guidance's predictions as one batch: faster, at the memory of that many."""

    def __post_init__(self) -> None:
        FlowMatchingSchedule(self.num_inference_steps, self.shift, spacing=self.timestep_spacing)
        Guidance(self.guidance_scale, self.audio_guidance_scale)
        ClipPlanner(self.clip_frames, self.motion_frames)
        if not 0 <= self.colour_strength <= 1:
            raise PolytalkError("colour_strength", f"it is {self.colour_strength}", "Give a number from 0 to 1.")
        if not 0 <= self.hold_still <= 1:
            raise PolytalkError("hold_still", f"it is {self.hold_still}", "Give a number from 0 to 1.")
        if self.trained_voices is not None and self.trained_voices < 1:
            raise PolytalkError("trained_voices", f"it is {self.trained_voices}", "Give at least 1, or nothing.")
        if self.idle_motion is not None and not 0 <= self.idle_motion <= 1:
            raise PolytalkError("idle_motion", f"it is {self.idle_motion}", "Give a number from 0 to 1, or nothing.")
        if self.fill_condition not in ("zero", "reference"):
            raise PolytalkError("fill_condition", f"{self.fill_condition!r} is unknown", 'Use "zero" or "reference".')
        if not 0 < self.strength <= 1:
            raise PolytalkError("strength", f"it is {self.strength}", "Give a number above 0, up to 1.")
        if self.colour_region not in ("all", "still"):
            raise PolytalkError("colour_region", f"{self.colour_region!r} is unknown", 'Use "all" or "still".')
        if self.carry_over not in ("pixels", "latent"):
            raise PolytalkError("carry_over", f"{self.carry_over!r} is unknown", 'Use "pixels" or "latent".')

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PipelineConfig:
        """Build from a JSON object; keys left out keep their defaults.

        Raises:
            PolytalkError: a key is unknown, or a value makes no sense.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise PolytalkError(f"defaults.{unknown[0]}", "unknown setting", f"Known are {', '.join(sorted(known))}.")
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            cause = first.get("ctx", {}).get("error")
            if isinstance(cause, PolytalkError):
                raise cause from None
            field = ".".join(["defaults", *map(str, first["loc"])])
            raise PolytalkError(field, first["msg"], "Correct it in the model's index.") from None

    def for_size_class(self, size_class: str) -> PipelineConfig:
        """The same model at another size: the released one knows 480p and 720p, each with a shift of its own.

        Raises:
            PolytalkError: the model does not know it.
        """
        if size_class == self.size_class:
            return self
        if size_class not in RELEASED_SHIFTS or self.size_class not in RELEASED_SHIFTS:
            known = [*RELEASED_SHIFTS] if self.size_class in RELEASED_SHIFTS else [self.size_class]
            raise PolytalkError("size class", f"this model does not know {size_class!r}", f"Use {' or '.join(known)}.")
        return dataclasses.replace(self, size_class=size_class, shift=RELEASED_SHIFTS[size_class])


class RunChoices(TypedDict, total=False):
    """What a caller may choose for one run; anything left out, or None, is the model's default."""

    preset: str | None
    """"quality", "balanced" or "fast": steps, shift and guidance together (see `polytalk.config.presets`); any of
    them that is given besides takes precedence."""
    num_inference_steps: int | None
    """Steps of the sampler."""
    guidance_scale: float | None
    """Weight of the prompt."""
    audio_guidance_scale: float | None
    """Weight of the voices."""
    shift: float | None
    """Timestep shift."""
    timestep_spacing: Literal["linspace", "trailing"] | None
    """Where the last step starts."""
    clip_frames: int | None
    """Longest clip, 4n + 1 frames."""
    motion_frames: int | None
    """Frames shared by neighbouring clips, 4k + 1."""
    colour_strength: float | None
    """How far colours are matched to the picture's, 0 to 1."""
    colour_region: Literal["all", "still"] | None
    """What they are compared on."""
    hold_still: float | None
    """How far places that have not changed show the picture itself, 0 to 1."""
    idle_motion: float | None
    """How lively people are unasked, 0 to 1."""
    move_heads: bool | None
    """Whether people do anything but speak, with networks that can be told."""
    carry_over: Literal["pixels", "latent"] | None
    """How motion frames are taken over."""
    strength: float | None
    """Share of noise that a source video starts with, above 0 up to 1."""
    carry_masks: bool | None
    """Whether the people's masks follow them from clip to clip; False is the release's way."""
    gate_silence: bool | None
    """Whether a track is made silent while its speaker is; False is the release's way."""
    adaptive_projection: AdaptiveProjection | bool
    """Adaptive projected guidance; True takes its defaults."""


@dataclass(frozen=True)
class RunSettings:
    """One run's choices, complete and checked: a model's defaults with the caller's wishes laid over."""

    schedule: FlowMatchingSchedule
    """Noise levels."""
    guidance: Guidance
    """Weights of prompt and voices."""
    planner: ClipPlanner
    """Length of the clips."""
    colour_strength: float
    """0 to 1."""
    colour_region: str = "all"
    """"all" or "still"."""
    carry_over: str = "pixels"
    """"pixels" or "latent"."""
    strength: float = 1.0
    """Above 0, up to 1; counts where there is a source video."""

    def for_source(self) -> RunSettings:
        """The same with a path that starts from a noised source."""
        return dataclasses.replace(self, schedule=dataclasses.replace(self.schedule, strength=self.strength))

    carry_masks: bool = True
    """Masks follow the people."""
    gate_silence: bool = True
    """Silence where nobody speaks."""
    hold_still: float = 0.0
    """0 to 1."""
    idle_motion: float | None = None
    """0 to 1, or nobody is told."""
    move_heads: bool = True
    """Heads are moved in the finished frames."""

    @classmethod
    def choose(cls, config: PipelineConfig, **choices: Unpack[RunChoices]) -> RunSettings:
        """The config's values where the caller has no wish; a preset lies between the two.

        Raises:
            PolytalkError: naming the field that makes no sense.
            TypeError: a choice that does not exist.
        """
        unknown = sorted(set(choices) - set(RunChoices.__annotations__))
        if unknown:
            raise TypeError(f"unknown argument {unknown[0]!r}; known are {', '.join(RunChoices.__annotations__)}")
        projection = choices.pop("adaptive_projection", False)
        preset = choices.pop("preset", None)
        together = find_preset(preset, config.size_class).settings if preset is not None else {}
        wishes: dict[str, Any] = {name: value for name, value in choices.items() if value is not None}
        chosen = dataclasses.replace(config, **{**together, **wishes})
        adaptive = AdaptiveProjection() if projection is True else projection or None
        return cls(
            FlowMatchingSchedule(chosen.num_inference_steps, chosen.shift, spacing=chosen.timestep_spacing),
            Guidance(chosen.guidance_scale, chosen.audio_guidance_scale, adaptive),
            ClipPlanner(chosen.clip_frames, chosen.motion_frames),
            chosen.colour_strength,
            chosen.colour_region,
            chosen.carry_over,
            strength=chosen.strength,
            carry_masks=chosen.carry_masks,
            gate_silence=chosen.gate_silence,
            hold_still=chosen.hold_still,
            idle_motion=chosen.idle_motion,
            move_heads=chosen.move_heads,
        )
