"""Ways of running a model by one word: steps, timestep shift and guidance that belong together.

For the released network "balanced" and "fast" stand for a step-distilled adapter and the settings its authors, and
MultiTalk's, give with it; without the adapter they give noise. The embedded mini needs none: there the words say how
many steps it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from polytalk.config.pipeline import family_of
from polytalk.errors import PolytalkError

PRESET_NAMES = ("quality", "balanced", "fast")


@dataclass(frozen=True)
class Preset:
    """Settings that are chosen together. None keeps the model's own."""

    num_inference_steps: int
    """Steps of the sampler."""
    shift: float | None = None
    """Timestep shift."""
    guidance_scale: float | None = None
    """Weight of the prompt; 1 is off."""
    audio_guidance_scale: float | None = None
    """Weight of the voices; 1 is off. With both off a step is one prediction."""
    lora: str | None = None
    """The adapter it needs, by its id in `polytalk weights list`."""

    @property
    def settings(self) -> dict[str, Any]:
        """What it overrides in a `PipelineConfig`."""
        values = {
            "num_inference_steps": self.num_inference_steps,
            "shift": self.shift,
            "guidance_scale": self.guidance_scale,
            "audio_guidance_scale": self.audio_guidance_scale,
        }
        return {name: value for name, value in values.items() if value is not None}


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        # 40 steps, text 5 and audio 4 are the release's own; its shift depends on the size (7 at 480p, 11 at 720p)
        "quality": Preset(40, None, 5.0, 4.0),
        # the release's settings for the adapter: 8 steps, shift 2, text 1, audio 2 (two predictions a step)
        "balanced": Preset(8, 2.0, 1.0, 2.0, "fusionx"),
        # distilled for 4 steps without guidance: one prediction a step
        "fast": Preset(4, 2.0, 1.0, 1.0, "lightx2v"),
    }
)
"""For the released network."""
_LORAS_720P = {"lightx2v": "lightx2v-720p"}
"""Adapters that are published for each of the network's two sizes."""

MINI_PRESETS: Mapping[str, Preset] = MappingProxyType({"quality": Preset(4), "balanced": Preset(3), "fast": Preset(2)})
"""For the embedded mini, which keeps its own shift and guidance."""


def find_preset(name: str, size_class: str) -> Preset:
    """The preset of this name for a model of this size class.

    Raises:
        PolytalkError: an unknown name.
    """
    presets = MINI_PRESETS if family_of(size_class) == "mini" else PRESETS
    if name not in presets:
        raise PolytalkError("preset", f"{name!r} is unknown", f"Use one of {', '.join(presets)}.")
    preset = presets[name]
    if size_class == "720p" and preset.lora in _LORAS_720P:
        return replace(preset, lora=_LORAS_720P[preset.lora])
    return preset


def check_preset(name: str, size_class: str, has_lora: bool) -> Preset:
    """As `find_preset`, for a model with or without an adapter.

    Raises:
        PolytalkError: an unknown name, or a preset whose adapter is missing.
    """
    preset = find_preset(name, size_class)
    if preset.lora is not None and not has_lora:
        problem = f"{name!r} needs the adapter {preset.lora}, and no LoRA is loaded"
        remedy = f"Get it with `polytalk weights download {preset.lora}` and give its file as a LoRA."
        raise PolytalkError("preset", problem, remedy)
    return preset
