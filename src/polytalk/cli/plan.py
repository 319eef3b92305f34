"""`polytalk plan`: what a video takes, as a table or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from polytalk.cli.errors import in_flags, make_quiet, reports_errors
from polytalk.generation.request import GenerateRequest

if TYPE_CHECKING:
    from polytalk.planning.plan import Candidate, Plan

_GIB = 2**30
_SHOWN = 6
"""Ways of making the video that the table lists."""


@reports_errors
def plan(values: dict[str, Any], *, gpu: str | None, ram: str | None, as_json: bool) -> None:
    """Say what a video takes before anything is loaded: frames, memory, time, and the settings that fit."""
    make_quiet()
    from polytalk.generation.plan import plan as plan_request

    found = plan_request(GenerateRequest(**values), gpu=gpu, ram=ram)
    if as_json:
        print(json.dumps(plan_as_dict(found), indent=2))
    else:
        _print_tables(found)
    found.require()


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values; bytes and seconds."""
    request, device, size = plan.request, plan.request.device, plan.clip_size
    return {
        "model": request.model.name,
        "people": request.video.people,
        "seconds": request.video.seconds,
        "frames": request.video.frames,
        "width": request.video.size[1],
        "height": request.video.size[0],
        "clips": [clip.num_frames for clip in (plan.chosen or plan.asked).clips],
        "tokens": plan.tokens,
        "latent": list(size.latent),
        "flops_per_prediction": plan.flops,
        "device": {
            "name": device.name,
            "kind": device.kind,
            "memory": device.memory,
            "dtype": request.dtype or device.dtype,
            "rates_assumed": device.assumed,
        },
        "host_memory": request.host_memory,
        "asked": _candidate_as_dict(plan.asked),
        "chosen": None if plan.chosen is None else _candidate_as_dict(plan.chosen),
    }


def _candidate_as_dict(candidate: Candidate) -> dict[str, Any]:
    memory, duration = candidate.memory, candidate.duration
    return {
        "options": in_flags(candidate.options),
        "clip_frames": candidate.clip_frames,
        "steps": candidate.steps,
        "predictions_per_step": candidate.predictions,
        "fits": candidate.fits,
        "peak_device_memory": memory.device,
        "peak_host_memory": memory.host,
        "peak_while": memory.stage,
        "device_memory_by_stage": memory.stages,
        "weights": memory.weights,
        "seconds": duration.total,
        "seconds_per_step": duration.call,
        "seconds_by_stage": {
            "prepare": duration.prepare,
            "denoise": duration.denoise,
            "autoencoder": duration.autoencoder,
        },
    }


def _print_tables(plan: Plan) -> None:
    console = Console()
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in _facts(plan):
        facts.add_row(name, value)
    console.print(facts)
    console.print()
    console.print(_ways(plan))


def _facts(plan: Plan) -> list[tuple[str, str]]:
    request, device = plan.request, plan.request.device
    best = plan.chosen or plan.asked
    height, width = request.video.size
    clips = ", ".join(str(clip.num_frames) for clip in best.clips[:_SHOWN]) + (" …" if len(best.clips) > _SHOWN else "")
    where = f"{device.name}, {device.memory / _GIB:.1f} GiB, {request.dtype or device.dtype}"
    if device.assumed:
        where = f"GPU with {device.memory / _GIB:.1f} GiB (rates of an {device.name})"
    predictions = f"{best.steps} steps of {best.predictions} prediction{'s' if best.predictions > 1 else ''}"
    weights = plan.asked.memory.weights
    return [
        ("model", f"{request.model.name}, {weights / 1e9:.1f} GB of weights"),
        ("video", f"{request.video.seconds:.1f} s, {request.video.frames} frames of {width} × {height}"),
        ("people", str(request.video.people)),
        ("clips", f"{len(best.clips)} ({clips} frames)"),
        ("tokens", f"{plan.tokens:,} in the longest clip"),
        ("work", f"{predictions}, {plan.flops / 1e12:,.4g} TFLOP each"),
        ("device", f"{where}; {request.host_memory / _GIB:.0f} GiB of host memory"),
    ]


def _ways(plan: Plan) -> Table:
    """As asked, the chosen one, and what else fits."""
    on_cpu = plan.request.device.kind == "cpu"
    table = Table(pad_edge=False)
    table.add_column("settings", overflow="fold")
    for name in ("clip", *(() if on_cpu else ("VRAM",)), "RAM", "per step", "time"):
        table.add_column(name, justify="right")
    table.add_column("")
    for candidate in _listed(plan):
        marks = ["asked"] if candidate is plan.asked else []
        marks += ["chosen"] if candidate is plan.chosen else []
        marks += [] if candidate.fits else ["does not fit"]
        memory, duration = candidate.memory, candidate.duration
        vram = () if on_cpu else (f"{memory.device / _GIB:.1f} GiB",)
        table.add_row(
            in_flags(candidate.options),
            str(candidate.clip_frames),
            *vram,
            f"{memory.host / _GIB:.1f} GiB",
            _time(duration.call),
            _time(duration.total),
            ", ".join(marks),
            style="bold" if candidate is plan.chosen else "" if candidate.fits else "dim",
        )
    return table


def _listed(plan: Plan) -> list[Candidate]:
    rest = [c for c in plan.tried if c.fits and c is not plan.chosen and c is not plan.asked]
    rest = sorted((c for c in rest if plan.chosen is None or c.options != plan.chosen.options), key=lambda c: c.rank)
    first = [plan.asked] if plan.chosen in (None, plan.asked) else [plan.asked, plan.chosen]
    return [*first, *rest][:_SHOWN]


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:,.1f} h"
