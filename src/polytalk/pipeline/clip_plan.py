"""Which clips a prepared scene is made in, and each one's own source of noise."""

from __future__ import annotations

import dataclasses
import hashlib

import torch

from polytalk.config.options import LoadOptions
from polytalk.pipeline.clips import Clip, ClipPlanner
from polytalk.pipeline.prepare import PreparedScene
from polytalk.pipeline.settings import RunSettings
from polytalk.pipeline.turns import entrances
from polytalk.units import FPS


def plan_clips(
    scene: PreparedScene, settings: RunSettings, options: LoadOptions, trained_voices: int | None
) -> list[Clip]:
    """The clips of a video, cut in pauses; of even lengths where each length would be compiled anew."""
    planner = planner_for(scene, settings, options, trained_voices)
    return planner.plan(scene.num_frames, None if options.compile else scene.loudness)


def planner_for(
    scene: PreparedScene, settings: RunSettings, options: LoadOptions, trained_voices: int | None
) -> ClipPlanner:
    """The run's planner, told where picture, prompt or, with weights that know few voices, the cast changes."""
    wanted: set[int] = set()
    if scene.schedule is not None:
        wanted |= {round(setting.start * FPS) for setting in scene.schedule.settings[1:]}
    if scene.activity is not None:
        wanted |= entrances(scene.activity, trained_voices)
    if not wanted or options.compile:
        return settings.planner
    return dataclasses.replace(settings.planner, wanted=tuple(sorted(wanted)))


def clip_generator(seed: int, clip: int) -> torch.Generator:
    """The source of one clip's noise: of the first clip that of the seed itself, of the others seeds made from it."""
    if clip:
        named = hashlib.blake2b(f"{seed} {clip}".encode(), digest_size=8).digest()
        seed = int.from_bytes(named, "little") >> 1
    return torch.Generator().manual_seed(seed)
