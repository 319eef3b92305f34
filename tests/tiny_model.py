"""A tiny model of the real classes with random weights, and scenes to feed it."""

import numpy as np
import torch

from polytalk import Box, Scene, Speaker
from polytalk.config.pipeline import PipelineConfig
from polytalk.models.mini.autoencoder import MiniAutoencoder
from polytalk.models.mini.encoders import MiniImageEncoder, MiniSpeechEncoder, MiniTextEncoder
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.pipeline.components.mini import MiniComponents
from polytalk.pipeline.multitalk import MultiTalkPipeline

SIZE = (32, 48)
TINY = PipelineConfig(
    num_inference_steps=2,
    shift=2.0,
    guidance_scale=1.0,
    audio_guidance_scale=1.0,
    negative_prompt="",
    clip_frames=9,
    motion_frames=1,
    size_class="mini",
    fill_condition="reference",
)


def tiny_components(seed: int = 0, pose_channels: int = 0) -> MiniComponents:
    """Every part in its real class, a few thousand weights each, none of them zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = MiniComponents(
            MultiTalkTransformer3DModel(
                num_attention_heads=2,
                attention_head_dim=12,
                text_dim=8,
                text_len=6,
                freq_dim=16,
                ffn_dim=32,
                num_layers=2,
                image_dim=8,
                audio_layers=2,
                audio_channels=6,
                audio_hidden_dim=16,
                audio_tokens=2,
                audio_dim=16,
                prediction_type="reference_change",
                pose_channels=pose_channels,
            ),
            MiniAutoencoder(
                encoder_channels=(8, 8), decoder_channels=(8, 8), encoder_blocks=(1, 1), decoder_blocks=(1, 1)
            ),
            MiniSpeechEncoder(num_mels=16, front_channels=8, hidden_channels=8, channels=6, layers=2),
            MiniTextEncoder(text_len=6, buckets=64, channels=8, layers=1, heads=2),
            MiniImageEncoder(channels=8, grid=2),
        )
        for part in parts.parts().values():
            part.eval().requires_grad_(False)
            for parameter in part.parameters():
                # zero starts (gates, last layers) would hide what the tests are after
                if parameter.ndim > 1:
                    parameter.copy_(torch.randn_like(parameter) / parameter[0].numel() ** 0.5)
    return parts


def tiny_pipeline(**changes) -> MultiTalkPipeline:
    """The tiny model with some settings changed."""
    return MultiTalkPipeline(tiny_components(), PipelineConfig(**{**TINY.__dict__, **changes}))


def voice(seconds: float, seed: int = 0, rate: int = 16_000) -> np.ndarray:
    """Noise bursts, loud enough to be levelled."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    return (0.2 * rng.standard_normal(n) * (np.sin(np.arange(n) * 9 / rate) > 0)).astype(np.float32)


def picture(height: int = 64, width: int = 96) -> np.ndarray:
    """A colourful gradient."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 255 / height, columns * 255 / width, 128 + 0 * rows], axis=-1).astype(np.uint8)


def scene(people: int = 2, seconds: float = 0.4, boxes: bool = False, **changes) -> Scene:
    """`people` side by side, each with a voice of their own."""
    width = 96 // people
    speakers = [
        Speaker(voice(seconds, seed=i), 16_000, Box(i * width, 0, (i + 1) * width, 64) if boxes else None)
        for i in range(people)
    ]
    return Scene(**{"image": picture(), "prompt": "they talk", "speakers": speakers, **changes})
