"""The model of a request: how it is run and in which frames, before it is loaded, and loading it."""

from __future__ import annotations

from polytalk.acceleration.parallel.launch import num_processes
from polytalk.conditioning.opened import OpenedFiles
from polytalk.conditioning.picture import choose_size, scaled_size
from polytalk.config.options import LoadOptions, ParallelChoice
from polytalk.config.pipeline import PipelineConfig
from polytalk.config.presets import check_preset
from polytalk.generation.request import GenerateRequest
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.scene import Scene
from polytalk.units import Size


def config_of(request: GenerateRequest, config: PipelineConfig) -> PipelineConfig:
    """The model's defaults with those of another size class, if one is wanted.

    Raises:
        PolytalkError: the preset or the size class is not for this model.
    """
    if request.size_class is not None:
        config = config.for_size_class(request.size_class)
    if request.preset is not None:
        check_preset(request.preset, config.size_class, bool(request.options().loras))
    return config


def asked_size(request: GenerateRequest, scene: Scene, files: OpenedFiles) -> Size | None:
    """(height, width) by `size`; None where the model's size class decides.

    Raises:
        PolytalkError: the picture cannot be read.
    """
    sides = request.sides()
    if sides is None or len(sides) == 2:
        return None if sides is None else (sides[1], sides[0])
    picture = files.picture(scene.image)
    return scaled_size(picture.width, picture.height, sides[0])


def frame_size(request: GenerateRequest, scene: Scene, size_class: str, files: OpenedFiles) -> Size:
    """(height, width) of the model's frame where all of the picture is made in it."""
    picture = files.picture(scene.image)
    return asked_size(request, scene, files) or choose_size(picture.width, picture.height, size_class)


def with_processes(options: LoadOptions) -> LoadOptions:
    """Levers as given; where torchrun has started several processes, they share tokens and heads unless told else."""
    processes = num_processes()
    if options.parallel is not None or processes == 1:
        return options
    return LoadOptions(**{**vars(options), "parallel": ParallelChoice(ulysses=processes)})


def load(request: GenerateRequest, options: LoadOptions, dtype: str | None) -> MultiTalkPipeline:
    """The pipeline, run as the request says.

    Raises:
        PolytalkError: as `MultiTalkPipeline.from_pretrained`.
    """
    pipe = MultiTalkPipeline.from_pretrained(
        request.model,
        torch_dtype=dtype,
        device=request.device,
        audio=request.audio_weights,
        speech=request.speech_weights,
        options=options,
    )
    return MultiTalkPipeline(pipe.components, config_of(request, pipe.config), pipe.options)
