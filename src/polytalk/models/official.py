"""Released checkpoints -> the libraries' own classes: names translated, every tensor used, every parameter filled."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

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
