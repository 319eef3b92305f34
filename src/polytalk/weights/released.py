"""Names and shapes of every tensor of the released files, for any size; the default is the published one."""

from __future__ import annotations

import math

from polytalk.weights.sizes import Z_DIM, ModelSize

Shapes = dict[str, tuple[int, ...]]
"""Tensor -> shape, in the order of the file."""

_DIM_MULT = (1, 2, 4, 4)
_RESIDUALS = 2
_TEMPORAL_DOWN = (False, True, True)
"""Which of the autoencoder's three halvings also halve time."""


def base_shapes(size: ModelSize) -> Shapes:
    """Wan2.1-I2V's transformer, diffusion_pytorch_model-*.safetensors."""
    net, image = size.transformer, size.image.dim
    dim = net.dim
    shapes: Shapes = {"patch_embedding.weight": (dim, 2 * Z_DIM + 4, 1, 2, 2), "patch_embedding.bias": (dim,)}
    shapes |= _linear("text_embedding.0", dim, size.text.dim) | _linear("text_embedding.2", dim, dim)
    shapes |= _linear("time_embedding.0", dim, net.freq_dim) | _linear("time_embedding.2", dim, dim)
    shapes |= _linear("time_projection.1", 6 * dim, dim)
    for index in range(net.num_layers):
        block = f"blocks.{index}"
        shapes[f"{block}.modulation"] = (1, 6, dim)
        for attention, images in (("self_attn", False), ("cross_attn", True)):
            for part in ("q", "k", "v", "o", *(("k_img", "v_img") if images else ())):
                shapes |= _linear(f"{block}.{attention}.{part}", dim, dim)
            for part in ("norm_q", "norm_k", *(("norm_k_img",) if images else ())):
                shapes[f"{block}.{attention}.{part}.weight"] = (dim,)
        shapes |= _norm(f"{block}.norm3", dim)
        shapes |= _linear(f"{block}.ffn.0", net.ffn_dim, dim) | _linear(f"{block}.ffn.2", dim, net.ffn_dim)
    shapes["head.modulation"] = (1, 2, dim)
    shapes |= _linear("head.head", 4 * Z_DIM, dim)
    shapes |= _norm("img_emb.proj.0", image) | _linear("img_emb.proj.1", image, image)
    return shapes | _linear("img_emb.proj.3", dim, image) | _norm("img_emb.proj.4", dim)


def audio_shapes(size: ModelSize) -> Shapes:
    """What MultiTalk adds, multitalk.safetensors."""
    net, features = size.transformer, size.speech.layers * size.speech.hidden
    dim, hidden, tokens = net.dim, net.audio_hidden, net.audio_tokens * net.audio_dim
    shapes: Shapes = {}
    for index in range(net.num_layers):
        attention = f"blocks.{index}.audio_cross_attn"
        shapes |= _linear(f"{attention}.q_linear", dim, dim) | _linear(f"{attention}.proj", dim, dim)
        shapes |= _linear(f"{attention}.kv_linear", 2 * dim, net.audio_dim) | _norm(f"blocks.{index}.norm_x", dim)
    later = net.audio_window + net.vae_scale - 1
    shapes |= _linear("audio_proj.proj1", hidden, net.audio_window * features)
    shapes |= _linear("audio_proj.proj1_vf", hidden, later * features)
    shapes |= _linear("audio_proj.proj2", hidden, hidden) | _linear("audio_proj.proj3", tokens, hidden)
    return shapes | _norm("audio_proj.norm", net.audio_dim)


def text_encoder_shapes(size: ModelSize) -> Shapes:
    """models_t5_umt5-xxl-enc-bf16.pth."""
    text = size.text
    shapes: Shapes = {"token_embedding.weight": (text.vocab, text.dim)}
    for index in range(text.num_layers):
        block = f"blocks.{index}"
        shapes[f"{block}.norm1.weight"] = (text.dim,)
        for part in ("q", "k", "v"):
            shapes[f"{block}.attn.{part}.weight"] = (text.dim_attn, text.dim)
        shapes[f"{block}.attn.o.weight"] = (text.dim, text.dim_attn)
        shapes[f"{block}.norm2.weight"] = (text.dim,)
        shapes[f"{block}.ffn.gate.0.weight"] = shapes[f"{block}.ffn.fc1.weight"] = (text.dim_ffn, text.dim)
        shapes[f"{block}.ffn.fc2.weight"] = (text.dim, text.dim_ffn)
        shapes[f"{block}.pos_embedding.embedding.weight"] = (text.num_buckets, text.num_heads)
    return shapes | {"norm.weight": (text.dim,)}


def image_encoder_shapes(size: ModelSize) -> Shapes:
    """The picture half of models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth."""
    image = size.image
    dim, patches = image.dim, (image.image_size // image.patch_size) ** 2
    shapes: Shapes = {
        "visual.cls_embedding": (1, 1, dim),
        "visual.pos_embedding": (1, 1 + patches, dim),
        "visual.head": (dim, image.out_dim),
        "visual.patch_embedding.weight": (dim, 3, image.patch_size, image.patch_size),
    }
    shapes |= _norm("visual.pre_norm", dim)
    for index in range(image.num_layers):
        block = f"visual.transformer.{index}"
        shapes |= _norm(f"{block}.norm1", dim)
        shapes |= _linear(f"{block}.attn.to_qkv", 3 * dim, dim) | _linear(f"{block}.attn.proj", dim, dim)
        shapes |= _norm(f"{block}.norm2", dim)
        shapes |= _linear(f"{block}.mlp.0", image.mlp_dim, dim) | _linear(f"{block}.mlp.2", dim, image.mlp_dim)
    return shapes | _norm("visual.post_norm", dim)


def vae_shapes(size: ModelSize) -> Shapes:
    """Wan2.1_VAE.pth."""
    widths = [size.vae_dim * factor for factor in _DIM_MULT]
    top = widths[-1]
    shapes = _conv("encoder.conv1", widths[0], 3, 3)
    flat = 0
    for level, width in enumerate(widths):
        for before in (widths[max(level - 1, 0)], *[width] * (_RESIDUALS - 1)):
            shapes |= _residual(f"encoder.downsamples.{flat}", before, width)
            flat += 1
        if level < len(_TEMPORAL_DOWN):
            shapes |= _plane(f"encoder.downsamples.{flat}.resample.1", width, width, 3)
            if _TEMPORAL_DOWN[level]:
                shapes |= _conv(f"encoder.downsamples.{flat}.time_conv", width, width, 3, 1, 1)
            flat += 1
    shapes |= _middle("encoder", top) | _head("encoder", 2 * Z_DIM, top)
    shapes |= _conv("conv1", 2 * Z_DIM, 2 * Z_DIM, 1) | _conv("conv2", Z_DIM, Z_DIM, 1)
    shapes |= _conv("decoder.conv1", top, Z_DIM, 3) | _middle("decoder", top)
    flat, before = 0, top
    for level, width in enumerate(reversed(widths)):
        for entering in (before, *[width] * _RESIDUALS):
            shapes |= _residual(f"decoder.upsamples.{flat}", entering, width)
            flat += 1
        if level < len(_TEMPORAL_DOWN):
            shapes |= _plane(f"decoder.upsamples.{flat}.resample.1", width // 2, width, 3)
            if _TEMPORAL_DOWN[-1 - level]:
                shapes |= _conv(f"decoder.upsamples.{flat}.time_conv", 2 * width, width, 3, 1, 1)
            flat += 1
        before = width // 2
    return shapes | _head("decoder", 3, widths[0])


def speech_encoder_shapes(size: ModelSize) -> Shapes:
    """chinese-wav2vec2-base's model.safetensors, the parts that are read."""
    from accelerate import init_empty_weights
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    with init_empty_weights():
        model = Wav2Vec2Model(Wav2Vec2Config(**size.speech_config()))
    # as published: inside a model for pre-training, and the normalised convolution in its older spelling
    renamed = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    shapes: Shapes = {}
    for name, tensor in model.state_dict().items():
        for new, old in renamed.items():
            name = name.replace(new, old)
        shapes[f"wav2vec2.{name}"] = tuple(tensor.shape)
    return shapes


def num_elements(shapes: Shapes) -> int:
    """Weights in all tensors."""
    return sum(math.prod(shape) for shape in shapes.values())


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _conv(name: str, outputs: int, inputs: int, time: int, *space: int) -> Shapes:
    kernel = (time, *space) if space else (time, time, time)
    return {f"{name}.weight": (outputs, inputs, *kernel), f"{name}.bias": (outputs,)}


def _plane(name: str, outputs: int, inputs: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}


def _residual(name: str, inputs: int, outputs: int) -> Shapes:
    shapes: Shapes = {f"{name}.residual.0.gamma": (inputs, 1, 1, 1)}
    shapes |= _conv(f"{name}.residual.2", outputs, inputs, 3)
    shapes |= {f"{name}.residual.3.gamma": (outputs, 1, 1, 1)} | _conv(f"{name}.residual.6", outputs, outputs, 3)
    return shapes if inputs == outputs else shapes | _conv(f"{name}.shortcut", outputs, inputs, 1)


def _middle(name: str, width: int) -> Shapes:
    shapes = _residual(f"{name}.middle.0", width, width) | {f"{name}.middle.1.norm.gamma": (width, 1, 1)}
    shapes |= _plane(f"{name}.middle.1.to_qkv", 3 * width, width, 1)
    return shapes | _plane(f"{name}.middle.1.proj", width, width, 1) | _residual(f"{name}.middle.2", width, width)


def _head(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.head.0.gamma": (inputs, 1, 1, 1)} | _conv(f"{name}.head.2", outputs, inputs, 3)
