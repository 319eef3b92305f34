"""What a video will take, before anything is loaded, and the cheapest settings with which it fits a device."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from polytalk.conditioning.masks import scene_boxes
from polytalk.conditioning.opened import OpenedFiles
from polytalk.conditioning.picture import choose_size
from polytalk.conditioning.speech import conversation_tracks, num_feature_frames
from polytalk.config.knobs import knobs_of
from polytalk.config.options import LoadOptions, LoraChoice
from polytalk.errors import PolytalkError
from polytalk.media.source_video import shows_video
from polytalk.pipeline.clips import Clip
from polytalk.pipeline.settings import RunSettings
from polytalk.planning.activations import MOST_TEXT_TOKENS, Activations
from polytalk.planning.cost import VideoSize, call_flops
from polytalk.planning.duration import Duration, estimate
from polytalk.planning.fake_tensor_trace import TracedCall
from polytalk.planning.hardware import GIB, Device
from polytalk.planning.memory import MemoryEstimate, Workload
from polytalk.planning.model_sizes import ModelSizes
from polytalk.scene import Scene
from polytalk.units import FPS, SAMPLE_RATE, Size, torch_dtype

LEVERS: dict[str, tuple[Any, ...]] = {
    "vae_tiling": (False, True),
    "quantization": (None, "fp8", "int8", "int4"),
    "offload": ("none", "model", "group", "stream"),
    "branch_chunking": (None, False),
}
"""What is tried, each from the plain to the thrifty."""
_RELUCTANCE = {"fp8": 1.4, "int8": 1.4, "int8-dynamic": 1.6, "int4": 2.0}
"""How many times faster a coarser number format must be to be chosen over the exact one."""
_STREAMING = 1.5
"""The same for streaming from a disk, whose speed is not known."""
_SHORTER_CLIPS = (61, 45, 33)
"""Frames of a clip tried when nothing fits; the network was trained at 81."""


@dataclass(frozen=True)
class Video:
    """What is to be made, read from the scene's files."""

    people: int
    """Voices."""
    frames: int
    """Length."""
    size: Size
    """(height, width) in pixels."""
    text_tokens: int = MOST_TEXT_TOKENS
    """At most so many pieces has the longer prompt."""
    is_dubbed: bool = False
    """Whether people of a source video speak anew."""

    @property
    def seconds(self) -> float:
        """Length."""
        return self.frames / FPS

    @classmethod
    def of_scene(
        cls,
        scene: Scene,
        size_class: str,
        size: Size | None = None,
        max_seconds: float | None = None,
        files: OpenedFiles | None = None,
    ) -> Video:
        """Read picture and sounds as the pipeline will.

        Args:
            scene: what is wanted; where it shows a video, voices are cut or followed by silence to its length.
            size_class: of the model; gives the size by the picture's aspect.
            size: (height, width) instead.
            max_seconds: where the video is cut off.
            files: what has been opened already.

        Raises:
            PolytalkError: a file or a field of the scene is wrong.
        """
        files = files or OpenedFiles()
        picture = files.picture(scene.image)
        scene_boxes(scene, picture.width, picture.height)
        frames = num_feature_frames(conversation_tracks(files.conversation(scene)).shape[-1])
        is_dubbed = shows_video(scene.image)
        if is_dubbed:
            frames = files.frames(scene.image, "image").num_frames
        if max_seconds is not None:
            frames = min(frames, max(1, round(max_seconds * FPS)))
        # a piece is a character or more; the negative prompt may be the model's, which is not short
        prompts = [len(scene.prompt), MOST_TEXT_TOKENS if scene.negative_prompt is None else len(scene.negative_prompt)]
        target = size or choose_size(picture.width, picture.height, size_class)
        return cls(len(scene.speakers), frames, target, max(*prompts, 1) + 1, is_dubbed)


@dataclass(frozen=True)
class PlanRequest:
    """What is asked for: a video by a model on a device.

    Raises:
        PolytalkError: a choice makes no sense, or the format is unknown.
    """

    model: ModelSizes
    """The networks."""
    video: Video
    """What they are to make."""
    device: Device
    """Where."""
    host_memory: float
    """Bytes of host memory that may be used."""
    options: LoadOptions = field(default_factory=LoadOptions)
    """Levers chosen already."""
    fixed: frozenset[str] = frozenset()
    """Names of levers, and "clip_frames", that must stay as they are."""
    choices: Mapping[str, Any] = field(default_factory=dict)
    """`preset` and knobs of `PipelineConfig`."""
    dtype: str | None = None
    """Number format; None is the device's."""

    def __post_init__(self) -> None:
        self.settings()
        if self.dtype is not None:
            torch_dtype(self.dtype)  # refuses an unknown one

    def settings(self, clip_frames: int | None = None) -> RunSettings:
        """The run's choices, or with shorter clips."""
        choices: Any = dict(self.choices)
        if clip_frames is not None:
            choices["clip_frames"] = clip_frames
        return RunSettings.choose(self.model.config, **choices)

    @property
    def predictions(self) -> int:
        """Of the network in each step."""
        return len(self.settings().guidance.passes())

    @property
    def number(self) -> torch.dtype:
        """Number format of the weights."""
        return torch_dtype(self.dtype or self.device.dtype)


@dataclass(frozen=True)
class Candidate:
    """One way of making the video."""

    options: LoadOptions
    """The levers."""
    clip_frames: int
    """Longest clip allowed."""
    clips: list[Clip]
    """The video cut up."""
    memory: MemoryEstimate
    """Memory."""
    duration: Duration
    """Time."""
    fits: bool
    """Whether both memories are large enough."""
    steps: int
    """Of the sampler."""
    predictions: int
    """Of the network in each step."""
    shortened: bool = False
    """Whether clips are shorter than asked for."""

    @property
    def rank(self) -> float:
        """Seconds, with what is lost in exactness weighed in; the least is the cheapest."""
        effort = 1.01 if self.options.vae_tiling else 1.0
        effort *= {"none": 1.0, "stream": _STREAMING}.get(self.options.offload, 1.02)
        return self.duration.total * effort * _RELUCTANCE.get(self.options.quantization or "", 1.0)

    def changes(self, asked: LoadOptions) -> dict[str, Any]:
        """Levers that differ from those asked for."""
        names = [entry.name for entry in dataclasses.fields(LoadOptions)]
        return {
            name: getattr(self.options, name) for name in names if getattr(self.options, name) != getattr(asked, name)
        }


@dataclass(frozen=True)
class Plan:
    """What a request takes, and what would make it fit."""

    request: PlanRequest
    """What was asked for."""
    asked: Candidate
    """With the levers as they are."""
    chosen: Candidate | None
    """The cheapest that fits; None when nothing does."""
    tried: list[Candidate]
    """Everything looked at."""

    @property
    def tokens(self) -> int:
        """Video tokens of the longest clip."""
        return self.clip_size.tokens(self.request.model.network.patch_size)

    @property
    def clip_size(self) -> VideoSize:
        """The longest clip."""
        return _clip_size(self.request, (self.chosen or self.asked).clips)

    @property
    def flops(self) -> float:
        """Operations of one prediction of the longest clip."""
        return call_flops(self.request.model.network, self.clip_size, self.request.video.people, text_tokens=64).step

    def require(self) -> Candidate:
        """The cheapest candidate that fits.

        Raises:
            PolytalkError: nothing does; says what the least is and what else can be done.
        """
        if self.chosen is not None:
            return self.chosen
        request, device = self.request, self.request.device
        least = min(self.tried, key=_shortage(request))
        memory, knob, lack = least.memory, "ram", "host memory"
        needed, there = memory.host, request.host_memory
        if device.kind != "cpu" and memory.device > device.usable:
            knob, lack = "vram", "GPU memory"
            needed, there = memory.device / max(device.usable, 1) * device.memory, device.memory
        height, width = request.video.size
        levers = ", ".join(f"`{lever}`" for lever in _words(least.options)) or "plain"
        problem = (
            f"{there / GIB:.1f} GiB of {lack} are too little for {width} × {height} with {request.video.people} "
            f"voice(s): even the thriftiest settings ({levers}) take {needed / GIB:.1f} GiB while {memory.stage}"
        )
        raise PolytalkError(knob, problem, _remedy(least, request))


def make_plan(request: PlanRequest, traced: dict[tuple[Any, ...], TracedCall] | None = None) -> Plan:
    """Look at the levers that are free and choose the cheapest that fits.

    Args:
        request: what is asked for.
        traced: what of this model has been traced for other plans; is added to.
    """
    known = {} if traced is None else traced
    works: dict[int, tuple[Workload, list[Clip], RunSettings]] = {}

    def weigh(options: LoadOptions, clip_frames: int) -> Candidate:
        if clip_frames not in works:
            works[clip_frames] = _workload(request, clip_frames, known)
        work, clips, settings = works[clip_frames]
        return _weigh(request, options, clip_frames, work, clips, settings)

    longest = request.settings().planner.clip_frames
    asked = weigh(request.options, longest)
    tried = [asked]
    for clip_frames in _clip_lengths(request, longest):
        tried += [weigh(options, clip_frames) for options in _free_options(request)]
        fitting = [candidate for candidate in tried if candidate.fits]
        if fitting:
            return Plan(request, asked, min(fitting, key=lambda candidate: candidate.rank), tried)
    return Plan(request, asked, None, tried)


def _clip_lengths(request: PlanRequest, longest: int) -> list[int]:
    if "clip_frames" in request.fixed or request.model.family == "mini":
        return [longest]
    motion = request.settings().planner.motion_frames
    return [longest, *(frames for frames in _SHORTER_CLIPS if motion < frames < longest)]


def _free_options(request: PlanRequest) -> Iterator[LoadOptions]:
    """Every combination of levers that may be changed and that make sense together."""
    free = {name: values for name, values in LEVERS.items() if name not in request.fixed}
    if request.model.quantization is not None:
        free.pop("quantization", None)  # the files' own stays
    if request.model.family == "mini":
        free = {}  # its parts are small, and most levers are not for them
    if request.device.kind == "cpu":
        free["offload"] = tuple(value for value in free.get("offload", ()) if value in ("none", "stream")) or ("none",)
    combinations: list[dict[str, Any]] = [{}]
    for name, values in free.items():
        combinations = [{**chosen, name: value} for chosen in combinations for value in values]
    for chosen in combinations:
        if _sensible(request, chosen):
            yield dataclasses.replace(request.options, **chosen)


def _sensible(request: PlanRequest, chosen: dict[str, Any]) -> bool:
    merged = {**dataclasses.asdict(request.options), **chosen}
    offload, number = merged["offload"], merged["quantization"]
    if chosen.get("branch_chunking") is False and (offload not in ("group", "stream") or request.predictions == 1):
        return False  # without offload predictions run one by one anyway where memory counts
    if number == "fp8" and "quantization" in chosen and (not request.device.has_fp8 or offload != "none"):
        return False
    if number is not None and merged["layerwise_casting"] and "quantization" in chosen:
        return False
    # blocks stream from files as they are: there is nothing to quantise on the way
    return not (offload == "stream" and number is not None and "quantization" in chosen)


def _workload(
    request: PlanRequest, clip_frames: int, traced: dict[tuple[Any, ...], TracedCall]
) -> tuple[Workload, list[Clip], RunSettings]:
    settings = request.settings(clip_frames)
    clips = settings.planner.plan(request.video.frames)
    options = request.options
    vae = torch_dtype(options.vae_dtype) if options.vae_dtype else None
    size = _clip_size(request, clips)
    people, kind = request.video.people, request.device.kind
    tokens = request.video.text_tokens
    activations = Activations(request.model, size, people, kind, request.number, vae, tokens, traced)
    samples = round(request.video.frames / FPS * SAMPLE_RATE)
    passes, is_dubbed = settings.guidance.passes(), request.video.is_dubbed
    work = Workload(request.model, activations, passes, samples, kind, len(clips) > 1, is_dubbed)
    return work, clips, settings


def _weigh(
    request: PlanRequest,
    options: LoadOptions,
    clip_frames: int,
    work: Workload,
    clips: list[Clip],
    settings: RunSettings,
) -> Candidate:
    memory = work.memory(options)
    steps, (height, width) = settings.schedule.num_steps, request.video.size
    duration = estimate(work, request.device, options, clips, height, width, steps)
    on_device = request.device.kind == "cpu" or memory.device <= request.device.usable
    fits = on_device and memory.host <= request.host_memory
    shortened = clip_frames < request.settings().planner.clip_frames
    return Candidate(options, clip_frames, clips, memory, duration, fits, steps, len(work.passes), shortened)


def _clip_size(request: PlanRequest, clips: list[Clip]) -> VideoSize:
    return VideoSize(max(clip.num_frames for clip in clips), *request.video.size)


def _shortage(request: PlanRequest) -> Callable[[Candidate], float]:
    """Sorts candidates by how far they are from fitting."""

    def lacking(candidate: Candidate) -> float:
        memory, device = candidate.memory, request.device
        gpu = 0.0 if device.kind == "cpu" else max(0.0, memory.device - device.usable)
        return gpu + max(0.0, memory.host - request.host_memory)

    return lacking


def _remedy(least: Candidate, request: PlanRequest) -> str:
    more = "a machine with more memory" if request.device.kind == "cpu" else "a GPU with more memory"
    if request.model.family == "mini":
        return f"{more[0].upper()}{more[1:]}, or a smaller `size`."
    ways = ["use `preset=fast` (one prediction a step)"] if least.predictions > 1 else []
    ways.append("a smaller `size`" if request.model.config.size_class == "480p" else "`size_class=480p`")
    text = ", ".join([*ways, "fewer `clip_frames`", more, "or `model=mini`"])
    return f"{text[0].upper()}{text[1:]}."


def levers_in(options: LoadOptions) -> list[tuple[str, Any]]:
    """The levers that are not plain, by the names of their knobs; of LoRAs each one."""
    found = [(entry.name, getattr(options, entry.name), entry.default) for entry in knobs_of(LoadOptions)]
    return [
        (name, each)
        for name, value, default in found
        if value != default
        for each in (value if name == "loras" else (value,))
    ]


def describe_options(options: LoadOptions) -> str:
    """The levers that are not plain, in the notation of errors: "offload=stream, quantization=int8, vae_tiling"."""
    return ", ".join(_words(options)) or "plain"


def _words(options: LoadOptions) -> list[str]:
    return [name if value is True else f"{name}={_said(value)}" for name, value in levers_in(options)]


def _said(value: Any) -> str:
    return f"{Path(value.path).name}:{value.scale:g}" if isinstance(value, LoraChoice) else str(value)
