"""What a request takes, before anything is loaded."""

from __future__ import annotations

import dataclasses

import psutil

from polytalk.conditioning.opened import OpenedFiles
from polytalk.config.pipeline import family_of
from polytalk.generation.cast import propose
from polytalk.generation.close_ups import close_ups_of
from polytalk.generation.material import scene_of
from polytalk.generation.model import asked_size, config_of, with_processes
from polytalk.generation.request import GenerateRequest
from polytalk.planning.describe import describe_model
from polytalk.planning.hardware import parse_bytes, planned_device
from polytalk.planning.plan import Plan, PlanRequest, Video, make_plan
from polytalk.scene import Scene


def plan(request: GenerateRequest, *, gpu: str | None = None, ram: str | None = None) -> Plan:
    """The plan of a request; reads picture, sounds, configurations and the headers of weight files, but no weight.

    The frame is the one that `generate` would make: in close-ups where it would make those.

    Args:
        request: what is asked for; `vram` is the GPU memory to plan for.
        gpu: card to plan for.
        ram: host memory to plan for.

    Raises:
        PolytalkError: bad input.
    """
    files = OpenedFiles()
    return plan_scene(request, scene_of(request, files), files, gpu=gpu, ram=ram)


def plan_scene(
    request: GenerateRequest,
    scene: Scene,
    files: OpenedFiles,
    *,
    gpu: str | None = None,
    ram: str | None = None,
) -> Plan:
    """As `plan`, of a scene that has been read."""
    model = describe_model(request.model, request.audio_weights, request.speech_weights)
    model = dataclasses.replace(model, config=config_of(request, model.config))
    size, size_class = asked_size(request, scene, files), model.config.size_class
    if request.find and request.close_ups is not False and (request.close_ups or family_of(size_class) == "mini"):
        proposal = propose(request, scene, files)
        run = close_ups_of(request, proposal.scene, proposal.people, size_class, size, files)
        if run is not None:
            scene, size = run.scene, run.plan.frame
    video = Video.of_scene(scene, size_class, size, request.max_seconds, files)
    device = planned_device(request.vram, gpu, request.device)
    memory = parse_bytes(ram, "ram") if ram else float(psutil.virtual_memory().total)
    options = with_processes(request.options())
    fixed, choices = request.fixed(), request.choices()
    return make_plan(PlanRequest(model, video, device, memory, options, fixed, choices, request.dtype))
