"""Released checkpoints -> the libraries' own classes: names translated, every tensor used, every parameter filled."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from polytalk.errors import PolytalkError

Model = TypeVar("Model", bound=nn.Module)

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


def rename(name: str, rules: list[tuple[str, str]]) -> str:
    """Apply the rules, each a regular expression and its replacement, one after the other."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def fill(build: Callable[[], Model], state_dict: dict[str, Tensor], source: str) -> Model:
    """Build a model without memory of its own and give it the tensors.

    Raises PolytalkError when a tensor is missing, left over or of another shape; `source` names the checkpoint.
    """
    with torch.device("meta"):
        model = build()
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state_dict.items()}
    for problem, names in (
        ("lacks", sorted(wanted.keys() - found.keys())),
        ("has the unknown", sorted(found.keys() - wanted.keys())),
        ("has other sizes for", sorted(n for n in wanted.keys() & found.keys() if wanted[n] != found[n])),
    ):
        if names:
            listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise PolytalkError(source, f"{problem} {listed}", "Check that file and configuration belong together.")
    model.load_state_dict(state_dict, strict=True, assign=True)
    return model


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


def transformer_state_dict(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Released names -> ours; the audio branch's joint projection is split into keys and values."""
    result = {}
    for name, tensor in state_dict.items():
        ours = rename(name, _TRANSFORMER_NAMES)
        if ".audio_attn.to_kv." in ours:
            for part, half in zip(("to_k", "to_v"), tensor.chunk(2), strict=True):
                result[ours.replace("to_kv", part)] = half.clone()
        else:
            result[ours] = tensor
    return result


def load_transformer(cls: type[Model], state_dict: dict[str, Tensor], config: dict[str, Any]) -> Model:
    """The model of class `cls` from a released state dict."""
    arguments = transformer_config(config)
    return fill(lambda: cls(**arguments), transformer_state_dict(state_dict), "transformer checkpoint").eval()


def vae_from_official(state_dict: dict[str, Tensor], config: dict[str, Any]) -> AutoencoderKLWan:
    """Wan2.1_VAE.pth -> diffusers' autoencoder, whose config holds the latents' mean and deviation.

    `config` has the release's keys dim, z_dim, dim_mult and num_res_blocks; absent ones keep the released size.
    """
    names = {"dim": "base_dim", "z_dim": "z_dim", "dim_mult": "dim_mult", "num_res_blocks": "num_res_blocks"}
    arguments = {ours: config[theirs] for theirs, ours in names.items() if theirs in config}
    # the decoder's flat list becomes blocks of num_res_blocks + 1 residual layers and, save in the last, an upsampler
    residuals = config.get("num_res_blocks", 2) + 1
    renamed = {}
    for name, tensor in state_dict.items():
        ours = rename(name, _VAE_NAMES)
        found = re.match(r"decoder\.upsamples\.(\d+)\.(.*)", ours)
        if found:
            block, layer = divmod(int(found[1]), residuals + 1)
            part = f"resnets.{layer}" if layer < residuals else "upsamplers.0"
            ours = f"decoder.up_blocks.{block}.{part}.{found[2]}"
        renamed[ours] = tensor
    return fill(lambda: AutoencoderKLWan(**arguments), renamed, "autoencoder checkpoint").eval()


def text_encoder_from_official(state_dict: dict[str, Tensor], config: dict[str, Any]) -> UMT5EncoderModel:
    """models_t5_umt5-xxl-enc-bf16.pth -> transformers' UMT5 encoder.

    `config` has the release's keys vocab, dim, dim_attn, dim_ffn, num_heads, num_layers and num_buckets; absent ones
    keep the released size.
    """
    heads = config.get("num_heads", 64)
    umt5 = UMT5Config(
        vocab_size=config.get("vocab", 256384),
        d_model=config.get("dim", 4096),
        d_kv=config.get("dim_attn", 4096) // heads,
        d_ff=config.get("dim_ffn", 10240),
        num_heads=heads,
        num_layers=config.get("num_layers", 24),
        relative_attention_num_buckets=config.get("num_buckets", 32),
        feed_forward_proj="gated-gelu",
    )
    renamed = {rename(name, _TEXT_NAMES): tensor for name, tensor in state_dict.items()}
    if "shared.weight" in renamed:
        renamed["encoder.embed_tokens.weight"] = renamed["shared.weight"]
    model = fill(lambda: UMT5EncoderModel(umt5), renamed, "text encoder checkpoint")
    model.tie_weights()
    return model.eval()


def image_encoder_from_official(state_dict: dict[str, Tensor], config: dict[str, Any]) -> CLIPVisionModel:
    """The picture half of models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth -> transformers' CLIP vision model.

    The network gets `hidden_states[-2]`. The text half and the projection into the space shared with it are not needed.
    `config` has the release's keys image_size, patch_size, dim, mlp_ratio, num_heads and num_layers; absent ones keep
    the released size.
    """
    dim = config.get("dim", 1280)
    clip = CLIPVisionConfig(
        hidden_size=dim,
        intermediate_size=int(dim * config.get("mlp_ratio", 4)),
        num_hidden_layers=config.get("num_layers", 32),
        num_attention_heads=config.get("num_heads", 16),
        image_size=config.get("image_size", 224),
        patch_size=config.get("patch_size", 14),
        hidden_act=config.get("activation", "gelu"),
    )
    renamed = {}
    for name, tensor in state_dict.items():
        if not name.startswith("visual.") or name == "visual.head":
            continue
        ours = rename(name, _IMAGE_NAMES)
        if ".to_qkv." in ours:
            for part, third in zip(("q_proj", "k_proj", "v_proj"), tensor.chunk(3), strict=True):
                renamed[ours.replace("to_qkv", part)] = third.clone()
        else:
            renamed[ours] = tensor
    for name, leading in (("embeddings.class_embedding", 2), ("embeddings.position_embedding.weight", 1)):
        if name in renamed:
            renamed[name] = renamed[name].reshape(renamed[name].shape[leading:])
    model = fill(lambda: CLIPVisionModel(clip), renamed, "image encoder checkpoint")
    positions = model.embeddings.num_positions  # the one buffer that checkpoints do not hold
    model.embeddings.position_ids = torch.arange(positions)[None]
    return model.eval()
