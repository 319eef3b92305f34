"""One picture, one voice per person and a prompt in; a video in which everybody speaks with their own voice."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from polytalk.errors import PolytalkError

if TYPE_CHECKING:
    from polytalk.config.options import LoadOptions, LoraChoice, ParallelChoice
    from polytalk.config.pipeline import PipelineConfig
    from polytalk.generation.cast import cast
    from polytalk.generation.generate import GenerateResult, generate
    from polytalk.generation.plan import plan
    from polytalk.generation.request import GenerateRequest
    from polytalk.pipeline.multitalk import MultiTalkPipeline
    from polytalk.scene import Box, Cue, Scene, Speaker, Utterance

__version__ = "0.1.0"
__all__ = [
    "Box",
    "Cue",
    "GenerateRequest",
    "GenerateResult",
    "LoadOptions",
    "LoraChoice",
    "MultiTalkPipeline",
    "ParallelChoice",
    "PipelineConfig",
    "PolytalkError",
    "Scene",
    "Speaker",
    "Utterance",
    "cast",
    "generate",
    "plan",
]

# Each name is imported when it is asked for: torch and diffusers take seconds, and a scene needs neither.
_PLACES = {
    "config.options": ("LoadOptions", "LoraChoice", "ParallelChoice"),
    "config.pipeline": ("PipelineConfig",),
    "generation.cast": ("cast",),
    "generation.generate": ("GenerateResult", "generate"),
    "generation.plan": ("plan",),
    "generation.request": ("GenerateRequest",),
    "pipeline.multitalk": ("MultiTalkPipeline",),
    "scene": ("Box", "Cue", "Scene", "Speaker", "Utterance"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
