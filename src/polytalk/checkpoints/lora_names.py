"""Names that low-rank adapters give the network's layers -> ours.

Known are the released names (`blocks.0.self_attn.q`), those of diffusers' Wan, which are ours (`blocks.0.attn1.to_q`),
and either with every dot turned into an underscore, as kohya's trainers write them (`blocks_0_self_attn_q`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

PREFIXES = ("base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "pipe.dit.", "model.")
"""What may stand before a layer's name, several in a row."""
UNDERSCORE_PREFIXES = ("lora_unet_", "lora_transformer_", "lycoris_")
"""The same where dots are underscores; the one or two underscores that follow are dropped."""

_LAYERS = {
    "patch_embedding": "patch_embedding",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
    "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
    "head.head": "proj_out",
    "audio_proj.proj1": "audio_adapter.first_frame",
    "audio_proj.proj1_vf": "audio_adapter.later_frames",
    "audio_proj.proj2": "audio_adapter.shared",
    "audio_proj.proj3": "audio_adapter.to_tokens",
    "audio_proj.norm": "audio_adapter.norm",
}
_BLOCK_LAYERS = {
    "self_attn.q": "attn1.to_q",
    "self_attn.k": "attn1.to_k",
    "self_attn.v": "attn1.to_v",
    "self_attn.o": "attn1.to_out.0",
    "self_attn.norm_q": "attn1.norm_q",
    "self_attn.norm_k": "attn1.norm_k",
    "cross_attn.q": "attn2.to_q",
    "cross_attn.k": "attn2.to_k",
    "cross_attn.v": "attn2.to_v",
    "cross_attn.o": "attn2.to_out.0",
    "cross_attn.norm_q": "attn2.norm_q",
    "cross_attn.norm_k": "attn2.norm_k",
    "cross_attn.k_img": "attn2.add_k_proj",
    "cross_attn.v_img": "attn2.add_v_proj",
    "cross_attn.norm_k_img": "attn2.norm_added_k",
    "norm3": "norm2",  # the release's other norms have no weights
    "norm_x": "norm_audio",
    "audio_cross_attn.q_linear": "audio_attn.to_q",
    "audio_cross_attn.proj": "audio_attn.to_out",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
}
_JOINT_LAYERS = {"audio_cross_attn.kv_linear": ("audio_attn.to_k", "audio_attn.to_v")}
"""Layers of the release that we hold in equal parts, one after the other along their outputs."""


@dataclass(frozen=True)
class Target:
    """What a foreign name stands for."""

    names: tuple[str, ...]
    """Our layer, or our layers that share the foreign one's outputs equally."""
    is_parameter: bool = False
    """The name is that of a parameter, not of a layer."""


def name_index(model: nn.Module, blocks: int) -> dict[str, Target]:
    """Foreign name without prefix -> what it stands for in a network of so many blocks."""
    ours = {name for name, module in model.named_modules() if getattr(module, "weight", None) is not None}
    index = {name: Target((name,)) for name in sorted(ours)}
    released: dict[str, tuple[str, ...]] = {theirs: (name,) for theirs, name in _LAYERS.items()}
    for block in range(blocks):
        released |= {f"blocks.{block}.{theirs}": (f"blocks.{block}.{name}",) for theirs, name in _BLOCK_LAYERS.items()}
        for theirs, parts in _JOINT_LAYERS.items():
            released[f"blocks.{block}.{theirs}"] = tuple(f"blocks.{block}.{part}" for part in parts)
    for theirs, names in released.items():
        # the diffusers name of one norm is the released name of another, which has no weights: ours wins
        if ours.issuperset(names):
            index.setdefault(theirs, Target(names))
    tables = {"": ("head", "head.modulation")}
    tables |= {f"blocks.{i}.": (f"blocks.{i}", f"blocks.{i}.modulation") for i in range(blocks)}
    for prefix, aliases in tables.items():
        table = Target((f"{prefix}scale_shift_table",), is_parameter=True)
        index |= dict.fromkeys((*aliases, *table.names), table)
    return index | {name.replace(".", "_"): target for name, target in index.items()}


def strip_prefixes(name: str) -> str:
    """The layer's own name."""
    while (stripped := _without_prefix(name)) != name:
        name = stripped
    return name


def _without_prefix(name: str) -> str:
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    for prefix in UNDERSCORE_PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix).lstrip("_")
    return name


_OTHER_ARCHITECTURES = [
    (r"lora_te|text_model|text_encoder|te_text", "a text encoder of an image model"),
    (r"down_blocks|up_blocks|mid_block|input_blocks|output_blocks|middle_block", "a UNet (Stable Diffusion or SDXL)"),
    (r"double_blocks|single_blocks|single_transformer_blocks|guidance_in|x_embedder", "Flux or HunyuanVideo"),
    (r"joint_blocks|context_block", "Stable Diffusion 3"),
    (r"vace_", "Wan VACE"),
    (r"emb_pos", "Wan with first and last frame (FLF2V)"),
    (r"control_adapter|ref_conv", "Wan Fun Control"),
    (r"transformer_blocks", "another image or video transformer (SD3, Qwen-Image, LTX, CogVideoX)"),
]


def describe_unknown(name: str, blocks: int) -> str:
    """What kind of network a layer that is not ours belongs to, as far as its name tells."""
    for pattern, kind in _OTHER_ARCHITECTURES:
        if re.search(pattern, name):
            return f"belongs to {kind}, another architecture"
    block = re.match(r"blocks[._](\d+)", name)
    if block and int(block[1]) >= blocks:
        return f"is in block {block[1]}; this network has {blocks}"
    return "is no layer of this network"
