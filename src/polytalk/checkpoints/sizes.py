"""What kind and size of network a checkpoint holds, read from its tensors' shapes alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from polytalk.errors import PolytalkError

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor -> shape."""

_HEAD_DIM = 128
"""Width of a head in every released Wan2.1 transformer."""
_NEEDED = "MultiTalk needs the image-to-video checkpoint of 14B, Wan2.1-I2V-14B-480P or -720P."


def transformer_sizes(
    shapes: Shapes, stated: Mapping[str, Any], speech: tuple[int, int], base_source: str, audio_source: str
) -> dict[str, Any]:
    """Arguments of `MultiTalkTransformer3DModel` for tensors that already have our names.

    Args:
        shapes: of the base network and the audio branch together.
        stated: what the checkpoint's config.json says, in our names; only what shapes do not show is taken from it
            (heads, eps, text_len).
        speech: (layers, channels) of the speech encoder, whose features the audio branch reads.
        base_source, audio_source: the files, for messages.

    Raises:
        PolytalkError: a text-to-video checkpoint, no audio branch, or an audio branch made for another network.
    """
    if "patch_embedding.weight" not in shapes or "proj_out.weight" not in shapes:
        problem = "lacks patch_embedding.weight or the output layer: no Wan2.1 transformer"
        raise PolytalkError(base_source, problem, _NEEDED)
    width, channels, *patch = shapes["patch_embedding.weight"]
    image = shapes.get("condition_embedder.image_embedder.norm1.weight")
    if image is None:
        problem = (
            f"holds a text-to-video checkpoint: patch_embedding.weight reads {channels} channels, and there is no "
            "picture branch (img_emb)"
        )
        raise PolytalkError(base_source, problem, _NEEDED)
    audio = _audio_sizes(shapes, speech, audio_source)
    query = shapes.get("blocks.0.audio_attn.to_q.weight")
    if query is None or query[0] != width:  # rows, for columns may be packed
        made_for = "no network at all" if query is None else f"a network of width {query[0]}"
        problem = f"its audio branch is made for {made_for}, but {base_source} has width {width}{_known_width(width)}"
        raise PolytalkError(audio_source, problem, _NEEDED)
    heads = stated.get("num_attention_heads", max(1, width // _HEAD_DIM))
    return {
        "patch_size": tuple(patch),
        "num_attention_heads": heads,
        "attention_head_dim": width // heads,
        "in_channels": channels,
        "out_channels": shapes["proj_out.weight"][0] // math.prod(patch),
        "text_dim": shapes["condition_embedder.text_embedder.linear_1.weight"][1],
        "text_len": stated.get("text_len", 512),
        "freq_dim": shapes["condition_embedder.time_embedder.linear_1.weight"][1],
        "ffn_dim": shapes["blocks.0.ffn.net.0.proj.weight"][0],
        "num_layers": count(shapes, r"blocks\.(\d+)\."),
        "image_dim": image[0],
        "eps": stated.get("eps", 1e-6),
        **audio,
    }


def _audio_sizes(shapes: Shapes, speech: tuple[int, int], source: str) -> dict[str, int]:
    parts = ("first_frame", "later_frames", "to_tokens", "norm")
    lacking = [part for part in parts if f"audio_adapter.{part}.weight" not in shapes]
    if lacking:
        problem = "holds no audio branch (audio_proj.*)"
        raise PolytalkError(source, problem, "Give MeiGen-MultiTalk's multitalk.safetensors as audio=.")
    first, later, to_tokens, norm = (shapes[f"audio_adapter.{part}.weight"] for part in parts)
    layers, channels = speech
    window, rest = divmod(first[1], layers * channels)
    if rest or not window % 2 or later[1] % (layers * channels):
        problem = f"its audio branch reads {first[1]} features a frame, the speech encoder gives {layers} × {channels}"
        raise PolytalkError(source, problem, "The release's speech encoder is chinese-wav2vec2-base (12 × 768).")
    return {
        "audio_layers": layers,
        "audio_channels": channels,
        "audio_window": window,
        "audio_hidden_dim": first[0],
        "audio_tokens": to_tokens[0] // norm[0],
        "audio_dim": norm[0],
        "frames_per_latent": later[1] // (layers * channels) - window + 1,
    }


def _known_width(width: int) -> str:
    return {1536: " (a 1.3B model)", 5120: " (a 14B model)"}.get(width, "")


def vae_sizes(shapes: Shapes) -> dict[str, Any]:
    """The release's configuration keys of an autoencoder in the names of Wan2.1_VAE.pth."""
    return {"dim": shapes["encoder.conv1.weight"][0], "z_dim": shapes["conv2.weight"][0]}


def text_encoder_sizes(shapes: Shapes) -> dict[str, Any]:
    """The release's configuration keys of a text encoder in the names of models_t5_umt5-xxl-enc-bf16.pth."""
    vocab, dim = shapes["token_embedding.weight"]
    buckets, heads = shapes["blocks.0.pos_embedding.embedding.weight"]
    return {
        "vocab": vocab,
        "dim": dim,
        "dim_attn": shapes["blocks.0.attn.q.weight"][0],
        "dim_ffn": shapes["blocks.0.ffn.fc1.weight"][0],
        "num_heads": heads,
        "num_layers": count(shapes, r"blocks\.(\d+)\."),
        "num_buckets": buckets,
    }


def image_encoder_sizes(shapes: Shapes) -> dict[str, Any]:
    """The release's configuration keys of a picture encoder in the names of the released CLIP file.

    Shapes do not show the number of heads: it is the release's 16.
    """
    dim = shapes["visual.cls_embedding"][-1]
    patch = shapes["visual.patch_embedding.weight"][-1]
    return {
        "dim": dim,
        "patch_size": patch,
        "image_size": math.isqrt(shapes["visual.pos_embedding"][-2] - 1) * patch,
        "mlp_ratio": shapes["visual.transformer.0.mlp.0.weight"][0] / dim,
        "num_layers": count(shapes, r"visual\.transformer\.(\d+)\."),
    }


def count(names: Iterable[str], pattern: str) -> int:
    """One more than the largest number that the pattern's group matches at the start of a name."""
    found = (re.match(pattern, name) for name in names)
    return 1 + max((int(match[1]) for match in found if match), default=-1)
