"""One picture, one voice per person and a prompt in; a video in which everybody speaks with their own voice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polytalk.errors import PolytalkError
from polytalk.scene import Box, Cue, Scene, Speaker, Utterance

if TYPE_CHECKING:
    from polytalk.pipeline.multitalk import MultiTalkPipeline

__version__ = "0.1.0"
__all__ = ["Box", "Cue", "MultiTalkPipeline", "PolytalkError", "Scene", "Speaker", "Utterance"]


def __getattr__(name: str) -> Any:
    # The pipeline brings torch and diffusers, which take seconds to import; a scene needs neither.
    if name == "MultiTalkPipeline":
        from polytalk.pipeline.multitalk import MultiTalkPipeline

        return MultiTalkPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
