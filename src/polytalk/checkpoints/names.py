"""Names of tensors and of settings in published checkpoints -> those of our network and of the libraries' classes.

Released checkpoints first, then what diffusers and transformers save. Diffusers' names of the base network are ours;
the audio branch comes from multitalk.safetensors in released names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from polytalk.errors import PolytalkError

if TYPE_CHECKING:
    from transformers import CLIPVisionConfig, UMT5Config

_TRANSFORMER_NAMES = [
    # the audio branch first: its names contain those of the text branch
    (r"^audio_proj\.proj1\.", "audio_adapter.first_frame."),
    (r"^audio_proj\.proj1_vf\.", "audio_adapter.later_frames."),
    (r"^audio_proj\.proj2\.", "audio_adapter.shared."),
    (r"^audio_proj\.proj3\.", "audio_adapter.to_tokens."),
    (r"^audio_proj\.norm\.", "audio_adapter.norm."),
    (r"\.audio_cross_attn\.q_linear\.", ".audio_attn.to_q."),
    (r"\.audio_cross_attn\.kv_linear\.", ".audio_attn.to_kv."),
    (r"\.audio_cross_attn\.proj\.", ".audio_attn.to_out."),
    (r"\.norm_x\.", ".norm_audio."),
    (r"^time_embedding\.0\.", "condition_embedder.time_embedder.linear_1."),
    (r"^time_embedding\.2\.", "condition_embedder.time_embedder.linear_2."),
    (r"^text_embedding\.0\.", "condition_embedder.text_embedder.linear_1."),
    (r"^text_embedding\.2\.", "condition_embedder.text_embedder.linear_2."),
    (r"^time_projection\.1\.", "condition_embedder.time_proj."),
    (r"^img_emb\.proj\.0\.", "condition_embedder.image_embedder.norm1."),
    (r"^img_emb\.proj\.1\.", "condition_embedder.image_embedder.ff.net.0.proj."),
    (r"^img_emb\.proj\.3\.", "condition_embedder.image_embedder.ff.net.2."),
    (r"^img_emb\.proj\.4\.", "condition_embedder.image_embedder.norm2."),
    (r"^head\.modulation$", "scale_shift_table"),
    (r"^head\.head\.", "proj_out."),
    (r"\.modulation$", ".scale_shift_table"),
    (r"\.self_attn\.", ".attn1."),
    (r"\.cross_attn\.", ".attn2."),
    (r"\.(attn[12])\.([qkv])\.", r".\1.to_\2."),
    (r"\.(attn[12])\.o\.", r".\1.to_out.0."),
    (r"\.attn2\.([kv])_img\.", r".attn2.add_\1_proj."),
    (r"\.norm_k_img\.", ".norm_added_k."),
    # norm2 and norm3 change places; only the affine one (the release's norm3) has weights
    (r"^(blocks\.\d+)\.norm3\.", r"\1.norm2."),
    (r"\.ffn\.0\.", ".ffn.net.0.proj."),
    (r"\.ffn\.2\.", ".ffn.net.2."),
]


_VAE_NAMES = [
    (r"^conv1\.", "quant_conv."),
    (r"^conv2\.", "post_quant_conv."),
    (r"^(encoder|decoder)\.conv1\.", r"\1.conv_in."),
    (r"\.head\.0\.", ".norm_out."),
    (r"\.head\.2\.", ".conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"\.downsamples\.", ".down_blocks."),
    (r"\.residual\.0\.", ".norm1."),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
]

_TEXT_NAMES = [
    (r"^token_embedding\.", "shared."),
    (r"^norm\.", "encoder.final_layer_norm."),
    (r"^blocks\.", "encoder.block."),
    (r"\.attn\.", ".layer.0.SelfAttention."),
    (r"\.pos_embedding\.embedding\.", ".layer.0.SelfAttention.relative_attention_bias."),
    (r"\.norm1\.", ".layer.0.layer_norm."),
    (r"\.ffn\.gate\.0\.", ".layer.1.DenseReluDense.wi_0."),
    (r"\.ffn\.fc1\.", ".layer.1.DenseReluDense.wi_1."),
    (r"\.ffn\.fc2\.", ".layer.1.DenseReluDense.wo."),
    (r"\.norm2\.", ".layer.1.layer_norm."),
]

_IMAGE_NAMES = [
    (r"^visual\.", ""),
    (r"^cls_embedding$", "embeddings.class_embedding"),
    (r"^pos_embedding$", "embeddings.position_embedding.weight"),
    (r"^patch_embedding\.", "embeddings.patch_embedding."),
    (r"^pre_norm\.", "pre_layrnorm."),
    (r"^post_norm\.", "post_layernorm."),
    (r"^transformer\.", "encoder.layers."),
    (r"\.attn\.proj\.", ".self_attn.out_proj."),
    (r"\.attn\.to_qkv\.", ".self_attn.to_qkv."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.2\.", ".mlp.fc2."),
    (r"\.norm([12])\.", r".layer_norm\1."),
]

_AUDIO_MARKS = ("audio_proj.", ".audio_cross_attn.", ".norm_x.")


@dataclass(frozen=True)
class Origin:
    """Where a parameter of ours comes from in a checkpoint."""

    name: str
    """The checkpoint's tensor."""
    part: tuple[int, int] | None = None
    """(index, count): only this of `count` equal parts along the first axis."""
    drop_axes: int = 0
    """Leading axes, each of size 1, that our parameter does not have."""

    def shape(self, whole: Sequence[int]) -> tuple[int, ...]:
        """Our parameter's shape, given that of the checkpoint's tensor."""
        shape = tuple(whole)[self.drop_axes :]
        return shape if self.part is None or not shape else (shape[0] // self.part[1], *shape[1:])


Plan = dict[str, Origin]
"""Name of ours -> where it comes from."""


def translate(state_dict: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """The tensors under our names. Parts are copied, so that no two tensors share memory; the rest is taken over."""
    result = {}
    for ours, origin in plan.items():
        tensor = state_dict[origin.name]
        if origin.part is not None:
            tensor = tensor.chunk(origin.part[1])[origin.part[0]].clone()
        result[ours] = tensor.reshape(tensor.shape[origin.drop_axes :])
    return result


def unused_names(names: Iterable[str], plan: Plan) -> list[str]:
    """The checkpoint's tensors that no parameter of ours comes from."""
    used = {origin.name for origin in plan.values()}
    return sorted(name for name in names if name not in used)


def rename(name: str, rules: list[tuple[str, str]]) -> str:
    """Apply the rules, each a regular expression and its replacement, one after the other."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _split(plan: Plan, ours: str, joint: str, parts: Sequence[str], origin: str) -> None:
    for index, part in enumerate(parts):
        plan[ours.replace(joint, part)] = Origin(origin, (index, len(parts)))


def transformer_config(config: dict[str, Any]) -> dict[str, Any]:
    """The release's configuration keys -> those of `MultiTalkTransformer3DModel`. Absent keys keep the 14B size."""
    names = {
        "in_dim": "in_channels",
        "out_dim": "out_channels",
        "num_heads": "num_attention_heads",
        "intermediate_dim": "audio_hidden_dim",
        "output_dim": "audio_dim",
        "context_tokens": "audio_tokens",
        "audio_blocks": "audio_layers",
        "vae_scale": "frames_per_latent",
    }
    same = ("patch_size", "ffn_dim", "freq_dim", "text_dim", "text_len", "num_layers", "eps", "audio_channels")
    result = {name: config[name] for name in (*same, "audio_window") if name in config}
    result |= {ours: config[theirs] for theirs, ours in names.items() if theirs in config}
    if "dim" in config:
        result["attention_head_dim"] = config["dim"] // config.get("num_heads", 40)
    return result


def transformer_plan(names: Iterable[str]) -> Plan:
    """Released names -> ours; the audio branch's joint projection is split into keys and values."""
    plan: Plan = {}
    for name in names:
        ours = rename(name, _TRANSFORMER_NAMES)
        if ".audio_attn.to_kv." in ours:
            _split(plan, ours, "to_kv", ("to_k", "to_v"), name)
        else:
            plan[ours] = Origin(name)
    return plan


def vae_plan(names: Iterable[str], num_res_blocks: int = 2) -> Plan:
    """Names of Wan2.1_VAE.pth -> diffusers'."""
    # the decoder's flat list becomes blocks of num_res_blocks + 1 residual layers and, save in the last, an upsampler
    residuals = num_res_blocks + 1
    plan: Plan = {}
    for name in names:
        ours = rename(name, _VAE_NAMES)
        found = re.match(r"decoder\.upsamples\.(\d+)\.(.*)", ours)
        if found:
            block, layer = divmod(int(found[1]), residuals + 1)
            part = f"resnets.{layer}" if layer < residuals else "upsamplers.0"
            ours = f"decoder.up_blocks.{block}.{part}.{found[2]}"
        plan[ours] = Origin(name)
    return plan


def vae_config(config: dict[str, Any]) -> dict[str, Any]:
    """The release's keys dim, z_dim, dim_mult and num_res_blocks -> diffusers'; absent ones keep the released size."""
    names = {"dim": "base_dim", "z_dim": "z_dim", "dim_mult": "dim_mult", "num_res_blocks": "num_res_blocks"}
    return {ours: config[theirs] for theirs, ours in names.items() if theirs in config}


def text_encoder_plan(names: Iterable[str]) -> Plan:
    """Names of models_t5_umt5-xxl-enc-bf16.pth -> transformers'. The token embedding appears twice there."""
    plan = {rename(name, _TEXT_NAMES): Origin(name) for name in names}
    if "shared.weight" in plan:
        plan["encoder.embed_tokens.weight"] = plan["shared.weight"]
    return plan


def text_encoder_config(config: dict[str, Any]) -> UMT5Config:
    """The release's keys vocab, dim, dim_attn, dim_ffn, num_heads, num_layers and num_buckets -> transformers'.

    Absent ones keep the released size.
    """
    from transformers import UMT5Config  # a second to import

    heads = config.get("num_heads", 64)
    return UMT5Config(
        vocab_size=config.get("vocab", 256384),
        d_model=config.get("dim", 4096),
        d_kv=config.get("dim_attn", 4096) // heads,
        d_ff=config.get("dim_ffn", 10240),
        num_heads=heads,
        num_layers=config.get("num_layers", 24),
        relative_attention_num_buckets=config.get("num_buckets", 32),
        feed_forward_proj="gated-gelu",
    )


def image_encoder_plan(names: Iterable[str]) -> Plan:
    """Names of models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth -> transformers'; its picture half only.

    The text half and the projection into the space shared with it are not needed.
    """
    plan: Plan = {}
    axes = {"embeddings.class_embedding": 2, "embeddings.position_embedding.weight": 1}
    for name in names:
        if not name.startswith("visual.") or name == "visual.head":
            continue
        ours = rename(name, _IMAGE_NAMES)
        if ".to_qkv." in ours:
            _split(plan, ours, "to_qkv", ("q_proj", "k_proj", "v_proj"), name)
        else:
            plan[ours] = Origin(name, drop_axes=axes.get(ours, 0))
    return plan


def image_encoder_config(config: dict[str, Any]) -> CLIPVisionConfig:
    """The release's keys image_size, patch_size, dim, mlp_ratio, num_heads and num_layers -> transformers'.

    Absent ones keep the released size.
    """
    from transformers import CLIPVisionConfig

    dim = config.get("dim", 1280)
    return CLIPVisionConfig(
        hidden_size=dim,
        intermediate_size=int(dim * config.get("mlp_ratio", 4)),
        num_hidden_layers=config.get("num_layers", 32),
        num_attention_heads=config.get("num_heads", 16),
        image_size=config.get("image_size", 224),
        patch_size=config.get("patch_size", 14),
        hidden_act=config.get("activation", "gelu"),
    )


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


def library_text_encoder_plan(names: Iterable[str]) -> Plan:
    """UMT5 as transformers saves it: the token embedding may be stored once, under either name."""
    plan: Plan = {name: Origin(name) for name in names if not name.startswith("decoder.")}
    pair = ("shared.weight", "encoder.embed_tokens.weight")
    stored = next((plan[name] for name in pair if name in plan), None)
    return plan if stored is None else plan | dict.fromkeys(pair, stored)


def library_image_encoder_plan(names: Iterable[str]) -> Plan:
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
