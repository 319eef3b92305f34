"""Wan in the Diffusers layout (transformer, text and picture encoder as that library saves them) -> ours.

diffusers' names of the base network are ours; the audio branch comes from multitalk.safetensors in released names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from polytalk.checkpoints.released_names import Origin, Plan, transformer_plan
from polytalk.errors import PolytalkError

_AUDIO_MARKS = ("audio_proj.", ".audio_cross_attn.", ".norm_x.")


def is_audio_branch(name: str) -> bool:
    """Whether a released name belongs to what MultiTalk adds to Wan."""
    return any(mark in f".{name}" for mark in _AUDIO_MARKS)


def diffusers_transformer_plan(names: Iterable[str]) -> Plan:
    """Base tensors in diffusers' names and the audio branch in released ones, together -> ours."""
    plan: Plan = {}
    for name in names:
        if is_audio_branch(name):
            plan |= transformer_plan([name])
        elif not name.startswith("rope."):  # tables of angles that some versions saved; ours are computed
            plan[name] = Origin(name)
    return plan


def diffusers_transformer_config(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What shapes do not show, from config.json of a WanTransformer3DModel, in our names.

    Raises:
        PolytalkError: a variant of Wan whose arithmetic differs.
    """
    expected = {"qk_norm": "rms_norm_across_heads", "cross_attn_norm": True, "pos_embed_seq_len": None}
    for key, value in expected.items():
        if config.get(key, value) != value:
            problem = f"{key} is {config[key]!r}"
            raise PolytalkError(source, problem, "MultiTalk needs the Diffusers layout of Wan2.1-I2V-14B.")
    stated = {name: config[name] for name in ("num_attention_heads", "eps") if name in config}
    return stated | {"text_len": 512}


def text_encoder_plan(names: Iterable[str]) -> Plan:
    """UMT5 as transformers saves it: the token embedding may be stored once, under either name."""
    plan: Plan = {name: Origin(name) for name in names if not name.startswith("decoder.")}
    pair = ("shared.weight", "encoder.embed_tokens.weight")
    stored = next((plan[name] for name in pair if name in plan), None)
    return plan if stored is None else plan | dict.fromkeys(pair, stored)


def image_encoder_plan(names: Iterable[str]) -> Plan:
    """CLIP's vision model as transformers saves it, with or without its projection and its table of positions."""
    prefix = "vision_model."
    return {
        name.removeprefix(prefix): Origin(name)
        for name in names
        if not name.endswith("position_ids") and not name.startswith(("visual_projection.", "text_", "logit_scale"))
    }


def speech_encoder_plan(names: Iterable[str]) -> Plan:
    """wav2vec2 as transformers saves it, bare or inside a model for pre-training or recognition -> Wav2Vec2Model.

    Older files spell the parts of the normalised convolution weight_g and weight_v.
    """
    listed = list(names)
    prefix = "wav2vec2." if any(name.startswith("wav2vec2.") for name in listed) else ""
    plan: Plan = {}
    for name in listed:
        if prefix and not name.startswith(prefix):
            continue  # quantiser and projections of the pre-training task, or a recogniser's head
        ours = name.removeprefix(prefix)
        for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
            ours = ours.replace(f"pos_conv_embed.conv.{old}", f"pos_conv_embed.conv.parametrizations.weight.{new}")
        plan[ours] = Origin(name)
    return plan
