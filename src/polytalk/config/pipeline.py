"""A model's own way of being run: the defaults that lie beside its weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from polytalk.config.knobs import SAMPLING, check_knobs, knob, knobs_of
from polytalk.errors import PolytalkError
from polytalk.units import round_up_frames

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

    Fields that are knobs may be chosen for each run (see `choices_of`).

    Raises:
        PolytalkError: naming the setting that makes no sense.
    """

    num_inference_steps: int = knob(
        40,
        "Sampling steps; more is slower and finer.",
        panel=SAMPLING,
        flags=("--steps",),
        shown_default="the model's",
        least=1,
    )
    guidance_scale: float = knob(
        5.0,
        "How closely the prompt is followed; 1 is off and fastest.",
        panel=SAMPLING,
        flags=("--guidance",),
        shown_default="the model's",
        least=0,
    )
    audio_guidance_scale: float = knob(
        4.0,
        "How closely the voices are followed; 1 is off and fastest.",
        panel=SAMPLING,
        flags=("--audio-guidance",),
        shown_default="the model's",
        least=0,
    )
    adaptive_projection: bool = knob(
        False,
        "Adaptive projected guidance: strong scales without burnt colours.",
        panel=SAMPLING,
        flags=("--apg",),
    )
    shift: float = knob(
        7.0,
        "Timestep shift: 7 at 480p, 11 at 720p, 2 with a distilled LoRA.",
        panel=SAMPLING,
        shown_default="the model's",
        above=0,
    )
    timestep_spacing: Literal["linspace", "trailing"] = knob(
        "linspace",
        "Where the last step starts: at timestep 1 as in the release, or so that all steps are alike (see "
        "`polytalk.diffusion.schedule`).",
        panel=SAMPLING,
        shown_default="the model's",
    )
    clip_frames: int = knob(
        81,
        "Longest clip in frames, 4n + 1; fewer take less memory.",
        panel=SAMPLING,
        shown_default="the model's",
    )
    motion_frames: int = knob(
        25,
        "Frames that neighbouring clips share, 4k + 1.",
        panel=SAMPLING,
        shown_default="the model's",
    )
    strength: float = knob(
        0.8,
        "With a source video: share of noise to start from; less keeps more of the faces.",
        panel=SAMPLING,
        shown_default="the model's",
        above=0,
        most=1,
    )
    colour_strength: float = knob(
        1.0,
        "How far the colours of each frame are matched to the picture's.",
        panel=SAMPLING,
        flags=("--colour",),
        shown_default="the model's",
        least=0,
        most=1,
    )
    colour_region: Literal["all", "still"] = knob(
        "all",
        "What the colours are compared on: whole frames as in the release, or what shows the same as in the picture.",
        panel=SAMPLING,
        shown_default="the model's",
    )
    hold_still: float = knob(
        0.0,
        "How far places that have not changed show the picture itself (see `polytalk.postprocess.stillness`).",
        panel=SAMPLING,
        shown_default="the model's",
        least=0,
        most=1,
    )
    idle_motion: float | None = knob(
        None,
        "How lively people are unasked, 0 (only blinks and gazes) to 1, for networks that can be told (mini); left "
        "out, the network decides.",
        panel=SAMPLING,
        shown_default="the model's",
        least=0,
        most=1,
    )
    move_heads: bool = knob(
        True,
        "Whether people do in the finished frames what they do besides speaking (see `polytalk.postprocess.puppet`), "
        "with networks that can be told that they do nothing else.",
        panel=SAMPLING,
    )
    carry_over: Literal["pixels", "latent"] = knob(
        "pixels",
        "How a clip takes over the last frames of the one before: decoded and encoded again as in the release, or "
        "their latents as they are.",
        panel=SAMPLING,
        shown_default="the model's",
    )
    carry_masks: bool = knob(
        True,
        "Whether the people's masks follow them from clip to clip, read from the network's own reference map and "
        "checked against what everybody looks like; off, the first picture's masks are kept, as the release does.",
        panel=SAMPLING,
        off=("--fixed-masks",),
    )
    gate_silence: bool = knob(
        True,
        "Whether silence takes the place of breath and noise on a track while its speaker is silent; off, the track "
        "is left as it is, as the release does.",
        panel=SAMPLING,
        off=("--ungated",),
    )

    negative_prompt: str = RELEASED_NEGATIVE_PROMPT
    """Stands in for the prompt where guidance drops it."""
    size_class: str = "480p"
    """Which frame sizes to choose from by the picture's aspect (see `polytalk.conditioning.picture`)."""
    fill_condition: Literal["zero", "reference"] = "zero"
    """What the condition shows where no frame is known: mid grey as in the release, or the reference picture."""
    keep_picture: bool = False
    """Overwrite the first latent frame of the first clip with the picture at every step, as with motion frames."""
    label_block: int | None = None
    """Block whose reference map is read where masks follow people; None is the middle one."""
    trained_voices: int | None = None
    """Most people with a voice of their own that the weights have been trained on; in each clip those who speak most
    are chosen. None: any number."""
    batch_guidance: bool = True
    """Run guidance's predictions as one batch: faster, at the memory of that many."""

    def __post_init__(self) -> None:
        check_knobs(self)
        _check_lengths(self.clip_frames, self.motion_frames)
        if self.trained_voices is not None and self.trained_voices < 1:
            raise PolytalkError("trained_voices", f"it is {self.trained_voices}", "Give at least 1, or nothing.")
        if self.fill_condition not in ("zero", "reference"):
            raise PolytalkError("fill_condition", f"{self.fill_condition!r} is unknown", 'Use "zero" or "reference".')

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PipelineConfig:
        """Build from a JSON object; keys left out keep their defaults.

        Raises:
            PolytalkError: a key is unknown, or a value makes no sense.
        """
        from pydantic import TypeAdapter, ValidationError

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
            raise PolytalkError("size_class", f"this model does not know {size_class!r}", f"Use {' or '.join(known)}.")
        return dataclasses.replace(self, size_class=size_class, shift=RELEASED_SHIFTS[size_class])


def family_of(size_class: str) -> Literal["mini", "wan"]:
    """Of which family a model with these frame sizes is: the embedded one's, or the released one's."""
    return "wan" if size_class in RELEASED_SHIFTS else "mini"


def choices_of(settings: type = PipelineConfig) -> tuple[str, ...]:
    """Names of what may be chosen for each run."""
    return tuple(entry.name for entry in knobs_of(settings))


def _check_lengths(clip_frames: int, motion_frames: int) -> None:
    for field, frames in (("clip_frames", clip_frames), ("motion_frames", motion_frames)):
        if frames < 1 or frames != round_up_frames(frames):
            raise PolytalkError(field, f"{frames} is not 4n + 1", f"Give e.g. {round_up_frames(max(frames, 1))}.")
    if motion_frames >= clip_frames:
        problem = f"{motion_frames} leave nothing of a clip of {clip_frames} frames"
        raise PolytalkError("motion_frames", problem, "Give fewer motion frames or longer clips.")
