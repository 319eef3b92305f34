"""From a scene to a video: the only room that conducts all the others."""

from polytalk.pipelines.chain import PreparedScene
from polytalk.pipelines.clips import Clip, ClipPlanner
from polytalk.pipelines.components import Components, MiniComponents
from polytalk.pipelines.config import PipelineConfig, RunChoices, RunSettings
from polytalk.pipelines.multitalk import MultiTalkPipeline, embedded_models
from polytalk.pipelines.options import LoadOptions, LoraChoice, ParallelChoice
from polytalk.pipelines.output import ClipOutput, TalkOutput
from polytalk.pipelines.progress import Progress, ProgressCallback, Stage
from polytalk.pipelines.wan_components import WanComponents

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
