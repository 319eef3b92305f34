"""Sizes of a model in the released layout: the published one, and smaller ones of the same shape for trying things."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from polytalk.errors import PolytalkError

Z_DIM = 16
"""Channels of the latent."""


@dataclass(frozen=True)
class TransformerSize:
    """Wan's network with its audio branch; D = width."""

    dim: int = 5120
    """D."""
    ffn_dim: int = 13824
    """Hidden width of the feed-forward."""
    num_heads: int = 40
    """Heads; D is a multiple."""
    num_layers: int = 40
    """Blocks."""
    freq_dim: int = 256
    """Sinusoids of the timestep."""
    text_len: int = 512
    """Tokens of a prompt."""
    audio_hidden: int = 512
    """Hidden width of the audio adapter."""
    audio_tokens: int = 32
    """Tokens per latent frame."""
    audio_dim: int = 768
    """Width of such a token."""
    audio_window: int = 5
    """Frames of speech features that a token hears."""
    vae_scale: int = 4
    """Video frames in a latent frame."""


@dataclass(frozen=True)
class TextEncoderSize:
    """UMT5's encoder."""

    vocab: int = 256384
    """Pieces."""
    dim: int = 4096
    """Width, which the network reads."""
    dim_attn: int = 4096
    """All heads together."""
    dim_ffn: int = 10240
    """Hidden width."""
    num_heads: int = 64
    """Heads."""
    num_layers: int = 24
    """Blocks."""
    num_buckets: int = 32
    """Of relative positions."""


@dataclass(frozen=True)
class ImageEncoderSize:
    """CLIP's picture half (the text half is not synthesised: nothing reads it)."""

    dim: int = 1280
    """Width, which the network reads; a multiple of 16, the number of heads."""
    mlp_dim: int = 5120
    """Hidden width."""
    num_layers: int = 32
    """Blocks, at least 2: the last one's output is not used."""
    image_size: int = 224
    """Pixels of a side."""
    patch_size: int = 14
    """Pixels of a patch's side."""
    out_dim: int = 1024
    """Of the projection, which nothing reads."""


@dataclass(frozen=True)
class SpeechEncoderSize:
    """wav2vec2."""

    hidden: int = 768
    """Channels of a feature."""
    layers: int = 12
    """Blocks; the network reads the outputs of all."""
    heads: int = 12
    """Heads."""
    ffn_dim: int = 3072
    """Hidden width."""
    conv_dim: int = 512
    """Channels of the convolutions."""


@dataclass(frozen=True)
class ModelSize:
    """Everything that a released folder holds."""

    transformer: TransformerSize = TransformerSize()
    """Denoises."""
    text: TextEncoderSize = TextEncoderSize()
    """Prompts."""
    image: ImageEncoderSize = ImageEncoderSize()
    """Pictures."""
    speech: SpeechEncoderSize = SpeechEncoderSize()
    """Voices."""
    vae_dim: int = 96
    """Channels of the autoencoder's first level; the others have 2, 4 and 4 times as many."""

    def __post_init__(self) -> None:
        net, text = self.transformer, self.text
        for field, number in _numbers(self):
            if number < 1:
                raise PolytalkError(field, f"it is {number}", "Give a positive number.")
        if net.dim % net.num_heads or (net.dim // net.num_heads) % 2:
            problem = f"{net.dim} channels do not fall into {net.num_heads} heads of even width"
            raise PolytalkError("transformer.num_heads", problem, "Give a divisor.")
        if text.dim_attn % text.num_heads or self.image.dim % 16 or self.speech.hidden % self.speech.heads:
            raise PolytalkError("size", "an encoder's width is not a multiple of its heads", "Give a multiple.")

    def config(self) -> dict[str, Any]:
        """The folder's config.json, with the published keys."""
        net = self.transformer
        return {
            "_class_name": "WanModel",
            "_diffusers_version": "0.30.0",
            "dim": net.dim,
            "eps": 1e-06,
            "ffn_dim": net.ffn_dim,
            "freq_dim": net.freq_dim,
            "in_dim": 2 * Z_DIM + 4,
            "model_type": "i2v",
            "num_heads": net.num_heads,
            "num_layers": net.num_layers,
            "out_dim": Z_DIM,
            "text_len": net.text_len,
        }

    def speech_config(self) -> dict[str, Any]:
        """config.json of the speech encoder."""
        size = self.speech
        return {
            "model_type": "wav2vec2",
            "architectures": ["Wav2Vec2ForPreTraining"],
            "hidden_size": size.hidden,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "intermediate_size": size.ffn_dim,
            "conv_dim": [size.conv_dim] * 7,
            "conv_stride": [5, 2, 2, 2, 2, 2, 2],
            "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
            "conv_bias": False,
            "feat_extract_norm": "group",
            "do_stable_layer_norm": False,
            "num_conv_pos_embeddings": 128 if size.hidden >= 768 else 16,
            "num_conv_pos_embedding_groups": 16 if size.hidden % 16 == 0 else 1,
        }

    def with_blocks(self, blocks: int) -> ModelSize:
        """Another number of blocks."""
        return dataclasses.replace(self, transformer=dataclasses.replace(self.transformer, num_layers=blocks))

    def with_small_encoders(self) -> ModelSize:
        """Encoders as small as their outputs' width allows; the network is unchanged."""
        return dataclasses.replace(
            self,
            text=TextEncoderSize(512, self.text.dim, 64, 64, 2, 1),
            image=ImageEncoderSize(self.image.dim, 64, 2, 28, 14, 32),
            speech=dataclasses.replace(self.speech, ffn_dim=64, conv_dim=32),
            vae_dim=8,
        )


def _numbers(size: ModelSize) -> list[tuple[str, int]]:
    parts = {"transformer": size.transformer, "text": size.text, "image": size.image, "speech": size.speech}
    listed = [(f"{name}.{key}", value) for name, part in parts.items() for key, value in vars(part).items()]
    return [*listed, ("vae_dim", size.vae_dim)]


TINY = ModelSize(
    TransformerSize(48, 64, 2, 2, 32, 32, 16, 4, 32),
    TextEncoderSize(512, 32, 32, 64, 2, 2),
    ImageEncoderSize(32, 64, 3, 28, 14, 16),
    SpeechEncoderSize(24, 4, 2, 32, 16),
    8,
)
"""A few hundred thousand weights."""

SIZES = {"14b": ModelSize(), "tiny": TINY}
"""Name -> size; "14b" is the published model."""


def choose_size(name: str, blocks: int | None = None, small_encoders: bool = False) -> ModelSize:
    """A size by name, with another number of blocks, or small encoders.

    Raises:
        PolytalkError: unknown name, or not one block.
    """
    if name not in SIZES:
        raise PolytalkError("size", f"{name!r} is unknown", f"Use one of {', '.join(SIZES)}.")
    size = SIZES[name] if blocks is None else SIZES[name].with_blocks(blocks)
    return size.with_small_encoders() if small_encoders else size
