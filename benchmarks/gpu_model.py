"""The released model at full size with random weights, made where it will work; and a tiny one of the same classes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import without_av  # noqa: F401  # before polytalk
from diffusers import AutoencoderKLWan
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel, Wav2Vec2Config, Wav2Vec2Model

from polytalk import Scene, Speaker
from polytalk.acceleration.offload import LazyPart
from polytalk.checkpoints import names as official
from polytalk.config.pipeline import PipelineConfig
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.pipeline.components.wan import WanComponents, load_tokenizer
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.planning.cost import VideoSize
from polytalk.units import SAMPLE_RATE
from polytalk.weights.tokenizer import write_tokenizer

Network = TypeVar("Network", bound=nn.Module)
PEOPLE = 2


@dataclass(frozen=True)
class Scale:
    """How large everything is."""

    device: str
    sizes: dict[str, VideoSize]
    """By name; the first one is made into a video."""
    transformer: dict[str, Any]
    vae: dict[str, Any]
    text: UMT5Config
    image: CLIPVisionConfig
    speech: Wav2Vec2Config
    matrix: int
    """Side of the square matrices by which the rate of products is measured."""
    compile_backend: str
    vram_limit: float | None
    """Bytes that the run with offload may use; None where that cannot be enforced."""
    repeats: int = 3
    """Timed calls."""


def full_scale() -> Scale:
    """Wan2.1-I2V-14B with MultiTalk's audio branch, on the GPU."""
    return Scale(
        "cuda",
        {"480p": VideoSize(81, 448, 896), "720p": VideoSize(81, 720, 1280)},
        {},
        {},
        official.text_encoder_config({}),
        official.image_encoder_config({}),
        Wav2Vec2Config(),
        8192,
        "inductor",
        8 * 2**30,
    )


def tiny_scale() -> Scale:
    """Everything in its own class, in seconds, on the CPU."""
    return Scale(
        "cpu",
        {"480p": VideoSize(9, 64, 96), "720p": VideoSize(9, 96, 128)},
        {
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "num_layers": 2,
            "ffn_dim": 64,
            "freq_dim": 16,
            "text_dim": 32,
            "image_dim": 32,
            "audio_layers": 2,
            "audio_channels": 32,
            "audio_hidden_dim": 16,
            "audio_tokens": 4,
            "audio_dim": 32,
        },
        {"base_dim": 8},
        UMT5Config(
            vocab_size=512, d_model=32, d_kv=16, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
        ),
        CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        ),
        Wav2Vec2Config(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            conv_dim=(16,) * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
        ),
        64,
        "eager",
        None,
        1,
    )


@contextmanager
def made_in(dtype: torch.dtype, device: str) -> Iterator[None]:
    """Parameters made within are of this format, on this device."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def make(build: Callable[[], Network], device: str, dtype: torch.dtype = torch.bfloat16) -> Network:
    """A network with the random weights of its class."""
    with made_in(dtype, device):
        return build().eval().requires_grad_(False)


def make_transformer(scale: Scale, device: str | None = None) -> MultiTalkTransformer3DModel:
    """MultiTalk's network in bfloat16, in float32 what is loaded so."""
    model = make(lambda: MultiTalkTransformer3DModel(**scale.transformer), device or scale.device)
    exact: Any = model._keep_in_fp32_modules
    for name, parameter in model.named_parameters():
        if any(part in name.split(".") for part in exact):
            parameter.data = parameter.data.float()
    return model


def make_vae(scale: Scale) -> AutoencoderKLWan:
    """Wan2.1's autoencoder in bfloat16."""
    return make(lambda: AutoencoderKLWan(**scale.vae), scale.device)


def make_encoders(scale: Scale) -> dict[str, nn.Module]:
    """UMT5 and CLIP's vision tower in bfloat16, wav2vec2 in float32 as in the release."""
    return {
        "text_encoder": make(lambda: UMT5EncoderModel(scale.text), scale.device),
        "image_encoder": make(lambda: CLIPVisionModel(scale.image), scale.device),
        "speech_encoder": make(lambda: Wav2Vec2Model(scale.speech), scale.device, torch.float32),
    }


def make_components(scale: Scale, transformer: MultiTalkTransformer3DModel) -> WanComponents:
    """All parts of the released model around a transformer."""
    device = torch.device(scale.device)
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder, "tokenizer"))
        tokenizer = load_tokenizer(Path(folder, "tokenizer"))
    parts = {name: LazyPart.of(network, device) for name, network in make_encoders(scale).items()}
    return WanComponents(
        transformer, make_vae(scale), **parts, tokenizer=tokenizer, device=device, dtype=torch.bfloat16
    )


def make_pipeline(components: Any, scale: Scale, options: Any = None) -> MultiTalkPipeline:
    """Everything, with the released settings but for the length of a clip."""
    frames = next(iter(scale.sizes.values())).frames
    config = PipelineConfig(clip_frames=frames, motion_frames=min(25, frames - 4), batch_guidance=False)
    return MultiTalkPipeline(components, config, options)


def make_scene(size: VideoSize) -> Scene:
    """A picture of noise and a voice of noise for each person, as long as one clip."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (size.height, size.width, 3), dtype=np.uint8)
    seconds = size.frames / 25
    voices = [0.1 * rng.standard_normal(round(seconds * SAMPLE_RATE)).astype(np.float32) for _ in range(PEOPLE)]
    return Scene(image=picture, prompt="two people talk", speakers=[Speaker(voice, SAMPLE_RATE) for voice in voices])


def make_inputs(model: MultiTalkTransformer3DModel, size: VideoSize, device: str) -> dict[str, Any]:
    """Arguments of one call for two people, conditioning prepared."""
    config: Any = model.config
    frames, rows, columns = size.latent
    generator = torch.Generator(device).manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device, dtype=torch.bfloat16)

    masks = torch.zeros(1, PEOPLE, rows, columns, dtype=torch.bool, device=device)
    for person, places in enumerate(torch.arange(columns).chunk(PEOPLE)):
        masks[:, person, :, places[1] : places[-1]] = True
    window, layers, channels = config.audio_window, config.audio_layers, config.audio_channels
    conditioning = model.prepare_conditioning(
        random(1, config.text_len, config.text_dim),
        random(1, 257, config.image_dim),
        random(1, PEOPLE, size.frames, window, layers, channels),
    )
    return {
        "hidden_states": random(1, config.in_channels, frames, rows, columns),
        "timestep": torch.full((1,), 700.0, device=device),
        "conditioning": conditioning,
        "speaker_masks": masks,
    }
