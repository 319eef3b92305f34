"""What is asked for: a picture, who speaks where and when with which sound, and a prompt. Validated when built.

Nothing here opens a picture or a sound; `polytalk.media` does. Boxes count pixels of the picture as shown, that is
after its EXIF rotation, whatever order the file they came from uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polytalk.scene.box import Box
    from polytalk.scene.scene import ARRANGEMENTS, Scene, pair_speakers
    from polytalk.scene.speaker import Speaker
    from polytalk.scene.utterance import DEFAULT_PAUSE, MAX_SECONDS, Cue, Utterance
    from polytalk.scene.values import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE

__all__ = [
    "ARRANGEMENTS",
    "DEFAULT_PAUSE",
    "MAX_SAMPLE_RATE",
    "MAX_SECONDS",
    "MIN_SAMPLE_RATE",
    "Box",
    "Cue",
    "Scene",
    "Speaker",
    "Utterance",
    "pair_speakers",
]

# Imported when they are asked for, so that a command line that only needs `Box` does not read arrays and JSON schemas.
_PLACES = {
    "box": ("Box",),
    "scene": ("ARRANGEMENTS", "Scene", "pair_speakers"),
    "speaker": ("Speaker",),
    "utterance": ("DEFAULT_PAUSE", "MAX_SECONDS", "Cue", "Utterance"),
    "values": ("MAX_SAMPLE_RATE", "MIN_SAMPLE_RATE"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
