"""What a model costs: parameters, bytes and floating-point operations, from its configuration alone.

Counts follow the usual conventions: a multiply-add is two operations, and only matrix products and convolutions are
counted (as `torch.utils.flop_counter` does). For the released 14B model they give the published 18.88B parameters and
1.83 PFLOP per call of 81 frames at 480p.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polytalk.errors import PolytalkError
from polytalk.units import latent_frames

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
"""Bytes of one number."""
QUANTIZED_BYTES = {"int8": 1.0, "int8-dynamic": 1.0, "fp8": 1.0, "int4": 0.5}
"""Bytes of one weight of a quantised layer, scales apart."""
_INT4_GROUP = 64
"""Weights that share a scale of 2 bytes in int4."""
CLIP_TOKENS = 257
"""Picture tokens of the released image encoder."""


@dataclass(frozen=True)
class NetworkConfig:
    """The sizes of a `MultiTalkTransformer3DModel`; names and defaults are those of its configuration."""

    patch_size: tuple[int, int, int] = (1, 2, 2)
    """Latent frames, rows and columns per token."""
    num_attention_heads: int = 40
    """Heads of every attention."""
    attention_head_dim: int = 128
    """Channels of a head."""
    in_channels: int = 36
    """Noisy latent, mask and condition."""
    out_channels: int = 16
    """Of the latent."""
    text_dim: int = 4096
    """Width of the text encoder."""
    text_len: int | None = 512
    """Text tokens; None is as many as the encoder gives."""
    freq_dim: int = 256
    """Width of the sinusoidal timestep."""
    ffn_dim: int = 13824
    """Hidden width of the feed-forward layers."""
    num_layers: int = 40
    """Blocks."""
    image_dim: int | None = 1280
    """Width of the image encoder; None is no picture branch."""
    audio_layers: int = 12
    """Layers of speech features."""
    audio_channels: int = 768
    """Channels of speech features."""
    audio_window: int = 5
    """Video frames in a window of speech features."""
    audio_hidden_dim: int = 512
    """Hidden width of the audio adapter."""
    audio_tokens: int = 32
    """Audio tokens per person and latent frame."""
    audio_dim: int = 768
    """Width of an audio token."""
    frames_per_latent: int = 4
    """Video frames in every latent frame but the first."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NetworkConfig:
        """From a model's config.json or `model.config`; keys that say nothing about size are passed over.

        Raises:
            PolytalkError: a size is no whole number above 0.
        """
        values = {field.name: config[field.name] for field in dataclasses.fields(cls) if field.name in config}
        if "patch_size" in values:
            values["patch_size"] = tuple(values["patch_size"])
        for name, value in values.items():
            numbers = value if isinstance(value, tuple) else (value,)
            if value is None and name in ("text_len", "image_dim"):
                continue
            if not all(isinstance(number, int) and number > 0 for number in numbers):
                raise PolytalkError(f"transformer config, {name}", f"it is {value!r}", "Give whole numbers above 0.")
        return cls(**values)

    @property
    def dim(self) -> int:
        """D, the width of the video tokens."""
        return self.num_attention_heads * self.attention_head_dim


RELEASED_14B = NetworkConfig()
"""The published Wan2.1-I2V-14B with MultiTalk's audio branch."""


@dataclass(frozen=True)
class NetworkParameters:
    """Numbers of weights, by what becomes of them."""

    block_linears: int
    """Matrices of the blocks that act on video tokens: quantised when quantisation is on."""
    context_linears: int
    """Matrices of the blocks that act on text, picture and sound alone (their keys and values): used once per clip."""
    float32: int
    """Norms, modulation tables and the embedding of time, which stay float32."""
    other: int
    """Everything else: embedders of patches, text and picture, audio adapter, biases, output layer."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.block_linears + self.context_linears + self.float32 + self.other

    def bytes(self, dtype: str = "bfloat16", quantization: str | None = None) -> float:
        """Bytes of the weights.

        Args:
            dtype: of what is not quantised and not kept in float32.
            quantization: "int8", "fp8", "int4", or None.

        Raises:
            PolytalkError: unknown format.
        """
        linears = self.block_linears + self.context_linears
        plain = _lookup(BYTES, dtype, "dtype")
        return linears * linear_bytes(dtype, quantization) + self.other * plain + self.float32 * 4


def linear_bytes(dtype: str, quantization: str | None) -> float:
    """Bytes per weight of the blocks' matrices, scales included where they weigh anything.

    Raises:
        PolytalkError: unknown format.
    """
    if quantization is None:
        return _lookup(BYTES, dtype, "dtype")
    scales = 2 / _INT4_GROUP if quantization == "int4" else 0.0
    return _lookup(QUANTIZED_BYTES, quantization, "quantization") + scales


def _lookup(table: Mapping[str, float], name: str, field: str) -> float:
    if name not in table:
        raise PolytalkError(field, f"{name!r} is unknown", f"Use one of {', '.join(table)}.")
    return table[name]


def network_parameters(config: NetworkConfig) -> NetworkParameters:
    """Numbers of weights of a transformer; their sum is that of the built model."""
    dim, layers = config.dim, config.num_layers
    # self-attention q, k, v, o; text q, o; audio q, o; feed-forward
    block = 8 * dim * dim + 2 * dim * config.ffn_dim
    context = 2 * dim * dim + 2 * config.audio_dim * dim
    block_biases = (8 * dim + config.ffn_dim + dim) + 4 * dim
    # norm_q and norm_k twice, two affine norms, the modulation table
    tables = 4 * dim + 4 * dim + 6 * dim
    if config.image_dim is not None:
        context += 2 * dim * dim
        block_biases += 2 * dim
        tables += dim
    # diffusers' list of what stays float32 names norm1, norm2, norm3, norm_audio and the tables, but not q's and k's
    kept = 4 * dim + 6 * dim
    float32 = layers * kept + 2 * dim + _linear(config.freq_dim, dim) + _linear(dim, dim) + _linear(dim, 6 * dim)
    if config.image_dim is not None:
        float32 += 2 * config.image_dim + 2 * dim  # the norms before and after the picture's embedder
    other = layers * (block_biases + tables - kept) + _embedder_parameters(config)
    return NetworkParameters(layers * block, layers * context, float32, other)


def _embedder_parameters(config: NetworkConfig) -> int:
    """Embedders of patches, text, picture and sound, and the output layer."""
    dim, patch = config.dim, math.prod(config.patch_size)
    total = _linear(config.in_channels * patch, dim) + _linear(dim, config.out_channels * patch)
    total += _linear(config.text_dim, dim) + _linear(dim, dim)
    if config.image_dim is not None:
        image = config.image_dim
        total += _linear(image, image) + _linear(image, dim)
    features, hidden = config.audio_layers * config.audio_channels, config.audio_hidden_dim
    total += _linear(config.audio_window * features, hidden) + _linear(_later_window(config) * features, hidden)
    total += _linear(hidden, hidden) + _linear(hidden, config.audio_tokens * config.audio_dim) + 2 * config.audio_dim
    return total


def _later_window(config: NetworkConfig) -> int:
    """Speech features that a later latent frame hears."""
    return config.frames_per_latent + config.audio_window - 1


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


@dataclass(frozen=True)
class VideoSize:
    """What one call of the network works on.

    Raises:
        PolytalkError: a size is not positive, or the picture's sides are no multiples of 16.
    """

    frames: int
    """Video frames, 4n + 1."""
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    spatial_stride: int = 8
    """Pixels in one row or column of the latent grid."""

    def __post_init__(self) -> None:
        if self.frames < 1 or (self.frames - 1) % 4:
            raise PolytalkError("frames", f"{self.frames} is not 4n + 1", "Give e.g. 81.")
        step = 2 * self.spatial_stride
        if min(self.height, self.width) < step or self.height % step or self.width % step:
            problem = f"{self.width} × {self.height} pixels"
            raise PolytalkError("size", problem, f"Both sides must be multiples of {step}.")

    @property
    def latent(self) -> tuple[int, int, int]:
        """(F, H, W) of the latent."""
        return (latent_frames(self.frames), self.height // self.spatial_stride, self.width // self.spatial_stride)

    def tokens(self, patch_size: tuple[int, int, int] = (1, 2, 2)) -> int:
        """L, video tokens of a call."""
        return math.prod(size // step for size, step in zip(self.latent, patch_size, strict=True))


@dataclass(frozen=True)
class CallFlops:
    """Floating-point operations of one call of the network, for one prediction (one pass of guidance)."""

    self_projections: float
    """q, k, v and output of self-attention."""
    self_core: float
    """Attention of all video tokens to all."""
    feed_forward: float
    """The two feed-forward matrices."""
    cross_projections: float
    """q and output of attention to text and picture."""
    cross_core: float
    """That attention."""
    cross_context: float
    """Keys and values of text and picture: once per clip."""
    audio_projections: float
    """q and output of attention to the voices."""
    audio_core: float
    """That attention: a frame's tokens to the frame's sound, all people's."""
    audio_context: float
    """Keys and values of the voices: once per clip."""
    reference_map: float
    """Attention over the people's masks; 0 for one person."""
    embedders: float
    """Patches, timestep and output layer."""
    context_embedders: float
    """Text, picture and sound embedders: once per clip."""

    @property
    def linears(self) -> float:
        """Products with weights at every step."""
        return (
            self.self_projections + self.feed_forward + self.cross_projections + self.audio_projections + self.embedders
        )

    @property
    def attention(self) -> float:
        """Products of activations with activations at every step."""
        return self.self_core + self.cross_core + self.audio_core + self.reference_map

    @property
    def step(self) -> float:
        """What every step costs."""
        return self.linears + self.attention

    @property
    def context(self) -> float:
        """What a clip costs once, whatever its number of steps."""
        return self.cross_context + self.audio_context + self.context_embedders

    @property
    def total(self) -> float:
        """A call by itself, with nothing prepared."""
        return self.step + self.context


def call_flops(
    config: NetworkConfig,
    size: VideoSize,
    people: int = 1,
    *,
    text_tokens: int | None = None,
    image_tokens: int = CLIP_TOKENS,
) -> CallFlops:
    """Operations of one prediction.

    Args:
        config: sizes of the network.
        size: of the video.
        people: voices; 1 also for the pass without sound. With one person there is no reference map.
        text_tokens: of the prompt, where the network does not fix their number.
        image_tokens: of the picture.
    """
    dim, layers, tokens = config.dim, config.num_layers, size.tokens(config.patch_size)
    frames = size.latent[0] // config.patch_size[0]
    text = config.text_len or text_tokens or 0
    context = text + (image_tokens if config.image_dim is not None else 0)
    voices = frames * people * config.audio_tokens
    square = 2.0 * tokens * dim * dim
    return CallFlops(
        self_projections=layers * 4 * square,
        self_core=layers * 4.0 * tokens * tokens * dim,
        feed_forward=layers * 4.0 * tokens * dim * config.ffn_dim,
        cross_projections=layers * 2 * square,
        cross_core=layers * 4.0 * tokens * context * dim,
        cross_context=layers * 4.0 * context * dim * dim,
        audio_projections=layers * 2 * square,
        audio_core=layers * 4.0 * tokens * people * config.audio_tokens * dim,
        audio_context=layers * 4.0 * voices * config.audio_dim * dim,
        reference_map=layers * 4.0 * tokens * (tokens // frames) * dim if people > 1 else 0.0,
        embedders=_embedder_flops(config, tokens),
        context_embedders=_context_embedder_flops(config, text, image_tokens, frames * people, people),
    )


def _embedder_flops(config: NetworkConfig, tokens: int) -> float:
    dim, patch = config.dim, math.prod(config.patch_size)
    time = config.freq_dim * dim + dim * dim + 6 * dim * dim
    return 2.0 * (tokens * (config.in_channels + config.out_channels) * patch * dim + time)


def _context_embedder_flops(config: NetworkConfig, text: int, image: int, windows: int, people: int) -> float:
    dim, features, hidden = config.dim, config.audio_layers * config.audio_channels, config.audio_hidden_dim
    total = text * (config.text_dim * dim + dim * dim)
    if config.image_dim is not None:
        total += image * (config.image_dim**2 + config.image_dim * dim)
    total += people * config.audio_window * features * hidden
    total += (windows - people) * _later_window(config) * features * hidden
    total += windows * hidden * (hidden + config.audio_tokens * config.audio_dim)
    return 2.0 * total


def context_bytes(
    config: NetworkConfig,
    size: VideoSize,
    people: int = 1,
    dtype: str = "bfloat16",
    *,
    text_tokens: int | None = None,
    image_tokens: int = CLIP_TOKENS,
) -> float:
    """Bytes of the keys and values that one prediction keeps for all steps of a clip (all blocks)."""
    text = config.text_len or text_tokens or 0
    image = image_tokens if config.image_dim is not None else 0
    voices = size.latent[0] // config.patch_size[0] * people * config.audio_tokens
    return 2.0 * config.num_layers * config.dim * (text + image + voices) * _lookup(BYTES, dtype, "dtype")
