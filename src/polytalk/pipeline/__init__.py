"""From a scene to a video: the only room that conducts all the others."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polytalk.assets import embedded_models
    from polytalk.config.options import LoadOptions, LoraChoice, ParallelChoice
    from polytalk.config.pipeline import PipelineConfig, RunChoices, RunSettings
    from polytalk.models.components import Components
    from polytalk.pipeline.clips import Clip, ClipPlanner
    from polytalk.pipeline.components.mini import MiniComponents
    from polytalk.pipeline.components.wan import WanComponents
    from polytalk.pipeline.multitalk import MultiTalkPipeline
    from polytalk.pipeline.output import ClipOutput, TalkOutput
    from polytalk.pipeline.prepare import PreparedScene
    from polytalk.pipeline.progress import Progress, ProgressCallback, Stage

_MODULES = {
    "clips": ("Clip", "ClipPlanner"),
    "components": ("Components", "MiniComponents"),
    "config": ("PipelineConfig", "RunChoices", "RunSettings"),
    "multitalk": ("MultiTalkPipeline", "embedded_models"),
    "options": ("LoadOptions", "LoraChoice"),
    "output": ("ClipOutput", "TalkOutput"),
    "parallel.choice": ("ParallelChoice",),
    "prepared_scene": ("PreparedScene",),
    "progress": ("Progress", "ProgressCallback", "Stage"),
    "wan_components": ("WanComponents",),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Clip",
    "ClipOutput",
    "ClipPlanner",
    "Components",
    "LoadOptions",
    "LoraChoice",
    "MiniComponents",
    "MultiTalkPipeline",
    "ParallelChoice",
    "PipelineConfig",
    "PreparedScene",
    "Progress",
    "ProgressCallback",
    "RunChoices",
    "RunSettings",
    "Stage",
    "TalkOutput",
    "WanComponents",
    "embedded_models",
]


def __getattr__(name: str) -> Any:
    # Each name is imported when it is asked for: torch and diffusers take seconds, and a plan needs neither.
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
