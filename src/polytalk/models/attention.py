"""The one door to attention, the rotation that rotary embeddings share, and the processors of the Wan attention layers.

Every attention of the network goes through :func:`attend`. PyTorch's own kernel (through diffusers' dispatcher, so that
`model.set_attention_backend(...)` and context parallelism work) is the default.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor, nn

from polytalk.models.label_rope import reference_attention_map
from polytalk.models.library_internals import AttentionChoices

MATMUL = "matmul"

LARGEST_SCORE_MATRIX = 2**24
"""Entries (32 MiB in bfloat16) of the scores up to which plain products take all of them at once."""
SCORES_IN_CACHE = 3 * 2**20
"""Entries (6 MiB in bfloat16) of the scores that plain products form at a time when there are more than that."""
LARGEST_SAVED_SCORES = 2**27
"""Entries (256 MiB in bfloat16) above which no scores are kept unasked for the backward pass."""


class Rotary(NamedTuple):
    """Cosines and sines of rotary angles, each float32 and broadcastable to (B, L, heads, head_dim // 2)."""

    cos: Tensor
    sin: Tensor


class ContextTokens(NamedTuple):
    """What the cross-attentions of every block attend to, before the blocks' own projections."""

    text: Tensor
    """(B, text tokens, D)"""
    image: Tensor | None
    """(B, image tokens, D)"""
    audio: Tensor
    """(B, F, P, audio tokens, audio width)"""
    rotary: Rotary | None
    """L-RoPE of the audio keys, one position per (B or 1, P * audio tokens); None for one person"""


class ContextKeyValues(NamedTuple):
    """Keys and values of one block's cross-attentions; text and image (B, tokens, heads, d)."""

    text_key: Tensor
    text_value: Tensor
    image_key: Tensor | None
    image_value: Tensor | None
    audio_key: Tensor
    """(B, F, P * audio tokens, heads, d), rotated to the people's labels when there are several people"""
    audio_value: Tensor
    """as `audio_key`, not rotated"""


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Rotate neighbouring channel pairs of `x` (..., L, heads, d) in float32; returns the dtype of `x`."""
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = rotary  # float32, so that the products are, too, without a float32 copy of x
    turned = ((first * cos - second * sin).to(x.dtype), (first * sin + second * cos).to(x.dtype))
    return torch.stack(turned, dim=-1).flatten(-2)


def attend(query: Tensor, key: Tensor, value: Tensor, backend: Any = None, parallel_config: Any = None) -> Tensor:
    """Attention of (B, L, heads, d) over keys (B, S, heads, d) and values (B, S, heads, d or fewer).

    `backend` is a name diffusers knows, "matmul" (two plain products), or None: PyTorch's kernel, but plain products
    where these are known to be faster.
    """
    if backend is None and parallel_config is None and _plain_products_are_faster(query, key):
        backend = MATMUL
    if backend == MATMUL and parallel_config is None:
        return _plain_products(query, key, value)
    backend = None if backend == MATMUL else backend
    width = value.shape[-1]
    if width < query.shape[-1]:  # PyTorch would fall back to the kernel that forms all scores
        value = F.pad(value, (0, query.shape[-1] - width))
    return dispatch_attention_fn(query, key, value, backend=backend, parallel_config=parallel_config)[..., :width]


def _plain_products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention as two products, a few rows of one head at a time when the scores would not stay in the cache."""
    query, key, value = (x.transpose(1, 2) for x in (query * query.shape[-1] ** -0.5, key, value))
    scores = query.shape[:3].numel() * key.shape[2]
    if scores <= LARGEST_SCORE_MATRIX or (torch.is_grad_enabled() and query.requires_grad):
        return ((query @ key.transpose(-1, -2)).softmax(-1) @ value).transpose(1, 2)
    rows = max(1, SCORES_IN_CACHE // key.shape[2])
    out = query.new_empty(*query.shape[:3], value.shape[-1])
    for sample in range(query.shape[0]):
        for head in range(query.shape[1]):
            keys, values = key[sample, head].t(), value[sample, head]
            for start in range(0, query.shape[2], rows):
                few = query[sample, head, start : start + rows]
                out[sample, head, start : start + rows] = (few @ keys).softmax(-1) @ values
    return out.transpose(1, 2)


def _plain_products_are_faster(query: Tensor, key: Tensor) -> bool:
    # PyTorch's CPU kernel gains nothing from bfloat16: plain products took 0.4-0.6 of its time forward, with 720 tokens
    # and with 33,000, and 0.35 with the backward pass (720 tokens, AVX-512 BF16); in float32 the kernel wins
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return False
    keeps_scores = torch.is_grad_enabled() and query.requires_grad
    return not keeps_scores or query.shape[:3].numel() * key.shape[1] <= LARGEST_SAVED_SCORES


class TokenShard(Protocol):
    """What the network asks of whoever divides its video tokens over ranks: one rank's share, a contiguous range that
    may begin or end inside a latent frame.

    Almost all of the network treats every token alike. What does not: self-attention (diffusers' context parallelism),
    the reference attention map (looks at the first frame's keys, wherever they are), the labels (normalised by the
    extremes over all tokens) and audio cross-attention (each token hears its own latent frame).
    """

    start: int
    """First token held here."""
    stop: int
    """Token after the last one held here."""
    total: int
    """L, the tokens of all ranks."""

    def first_tokens(self, local: Tensor, count: int) -> Tensor:
        """The video's first `count` tokens (B, count, ...) from the ranks' own (B, stop - start, ...)."""

    def extremes(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Smallest and largest over all ranks, element by element."""

    def gather(self, local: Tensor, dim: int) -> Tensor:
        """All ranks' tokens, joined along `dim`, on every rank."""


class AttentionProcessor(AttentionChoices):
    """Carries the choices made from outside: the kernel, and how tokens are divided over ranks."""

    token_shard: TokenShard | None = None
    """which of the video's tokens are here; None = all of them"""


class SelfAttentionProcessor(AttentionProcessor):
    """Self-attention over all video tokens, which can hand out the reference attention map of its queries and keys."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        rotary_emb: Rotary | None = None,
        reference_masks: Tensor | None = None,
        map_needs_grad: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, L, D) -> (B, L, D) and the map (B, classes, L), None without `reference_masks` (B, classes, L / F)."""
        if attn.fused_projections:
            query, key, value = attn.to_qkv(hidden_states).chunk(3, dim=-1)
        else:
            query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        query, key, value = (x.unflatten(-1, (attn.heads, -1)) for x in (attn.norm_q(query), attn.norm_k(key), value))
        if rotary_emb is not None:
            query, key = rotate(query, rotary_emb), rotate(key, rotary_emb)
        reference_map = None
        if reference_masks is not None:
            with torch.set_grad_enabled(map_needs_grad and torch.is_grad_enabled()):
                reference_map = reference_attention_map(
                    query, self._first_tokens(key, reference_masks.shape[-1]), reference_masks, self._attend_reference
                )
        hidden_states = attend(query, key, value, self.backend, self.parallel_config)
        return attn.to_out[1](attn.to_out[0](hidden_states.flatten(2).to(query.dtype))), reference_map

    def _first_tokens(self, key: Tensor, count: int) -> Tensor:
        return key[:, :count] if self.token_shard is None else self.token_shard.first_tokens(key, count)

    def _attend_reference(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        # by the kernel that forms no matrix of scores, whatever was asked for, where gradients would keep it
        backend = None if self.backend == MATMUL else self.backend
        return attend(query, key, value, backend)


class ContextAttentionProcessor(AttentionProcessor):
    """Decoupled attention to text and picture: each with its own keys and values, the results summed."""

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: ContextKeyValues, *unused: None
    ) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        context = encoder_hidden_states
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(-1, (attn.heads, -1))
        out = attend(query, context.text_key, context.text_value, self.backend)
        if context.image_key is not None:
            assert context.image_value is not None
            out = out + attend(query, context.image_key, context.image_value, self.backend)
        return attn.to_out[1](attn.to_out[0](out.flatten(2).to(query.dtype)))


class WanAttention(nn.Module, AttentionModuleMixin):
    """The layers of diffusers' class of this name, whose file takes a second to import: all its other transformers and
    scipy.stats come along.

    Args:
        dim: width of the video tokens and of what they attend to.
        heads: number of attention heads.
        eps: of the norms.
        processor: what attends with these layers.
        is_cross_attention: whether there are other tokens to attend to.
        has_image: whether picture tokens have keys and values of their own.
    """

    _default_processor_cls = AttentionProcessor
    _available_processors: list[type] = [AttentionProcessor]  # noqa: RUF012 (diffusers' attribute)
    use_bias = True

    def __init__(
        self,
        dim: int,
        heads: int,
        eps: float,
        processor: AttentionProcessor,
        *,
        is_cross_attention: bool = False,
        has_image: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.is_cross_attention, self.has_image = heads, is_cross_attention, has_image
        self.to_q, self.to_k, self.to_v = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim), nn.Dropout(0.0)])
        self.norm_q, self.norm_k = nn.RMSNorm(dim, eps=eps), nn.RMSNorm(dim, eps=eps)
        if has_image:
            self.add_k_proj, self.add_v_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
            self.norm_added_k = nn.RMSNorm(dim, eps=eps)
        self.processor: Any = processor

    @torch.no_grad()
    def fuse_projections(self) -> None:
        """Make one layer of those that have the same input."""
        if self.has_image and not self.fused_projections:
            pair = (self.add_k_proj, self.add_v_proj)
            weight = pair[0].weight
            self.to_added_kv = nn.Linear(weight.shape[1], 2 * weight.shape[0], device=weight.device, dtype=weight.dtype)
            self.to_added_kv.weight.copy_(torch.cat([layer.weight for layer in pair]))
            self.to_added_kv.bias.copy_(torch.cat([layer.bias for layer in pair]))
        super().fuse_projections()

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """(B, L, D) -> what the processor gives."""
        return self.processor(self, hidden_states, *args, **kwargs)


class AudioCrossAttention(nn.Module, AttentionModuleMixin):
    """Video tokens of a latent frame attend to that frame's audio tokens of all people (paper, section 3.3).

    Args:
        dim: width of the video tokens.
        heads: number of attention heads.
        audio_dim: width of the audio tokens.
    """

    _default_processor_cls = AttentionProcessor
    _available_processors: list[type] = [AttentionProcessor]  # noqa: RUF012 (diffusers' attribute)
    _supports_qkv_fusion = False

    def __init__(self, dim: int, heads: int, audio_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(audio_dim, dim)
        self.to_v = nn.Linear(audio_dim, dim)
        self.to_out = nn.Linear(dim, dim)
        mixin: Any = self
        mixin.set_processor(AttentionProcessor())

    def project(self, audio: Tensor, rotary: Rotary | None) -> tuple[Tensor, Tensor]:
        """Audio tokens (B, F, P, N, audio_dim) -> keys, rotated by `rotary`, and values (B, F, P * N, heads, d)."""
        audio = audio.flatten(2, 3)
        key, value = (x.unflatten(-1, (self.heads, -1)) for x in (self.to_k(audio), self.to_v(audio)))
        return (key if rotary is None else rotate(key, rotary)), value

    def forward(self, hidden_states: Tensor, key: Tensor, value: Tensor, rotary: Rotary | None = None) -> Tensor:
        """(B, L, D) -> (B, L, D); `rotary` is the L-RoPE of the video tokens' labels, None for one person."""
        frames, processor = key.shape[1], cast(AttentionProcessor, self.processor)
        query = self.to_q(hidden_states).unflatten(-1, (self.heads, -1))
        if rotary is not None:
            query = rotate(query, rotary)
        shard, length, front = processor.token_shard, query.shape[1], 0
        if shard is not None:  # the frames that these tokens belong to, the first and the last filled up with zeros
            size = shard.total // frames
            begin, end = shard.start // size, -(-shard.stop // size)
            front, back = shard.start - begin * size, end * size - shard.stop
            query, key, value = F.pad(query, (0, 0, 0, 0, front, back)), key[:, begin:end], value[:, begin:end]
            frames = end - begin
        # latent frames become batch entries, so that a frame sees its own sound alone
        query = query.unflatten(1, (frames, -1)).flatten(0, 1)
        out = attend(query, key.flatten(0, 1), value.flatten(0, 1), processor.backend)
        out = out.flatten(2).unflatten(0, (-1, frames)).flatten(1, 2)
        return self.to_out(out[:, front : front + length].to(query.dtype))


class RotaryEmbedding3D(nn.Module):
    """Wan's rotary positions over frame, row and column, computed once per call for the grid at hand.

    Unlike diffusers' `WanRotaryPosEmbed` it holds no table: nothing loses precision in `model.to(torch.bfloat16)`, and
    no longest video is assumed. Channels are shared out the same way: columns and rows take d // 6 pairs each.
    """

    def __init__(self, head_dim: int, patch_size: tuple[int, int, int], theta: float = 10000.0) -> None:
        super().__init__()
        spatial = 2 * (head_dim // 6)
        self.axis_dims = (head_dim - 2 * spatial, spatial, spatial)
        self.patch_size, self.theta = patch_size, theta

    def forward(self, hidden_states: Tensor) -> Rotary:
        """Latent (B, C, F, H, W) -> tables (1, L, 1, d / 2) for its L patches."""
        grid = [size // patch for size, patch in zip(hidden_states.shape[2:], self.patch_size, strict=True)]
        angles = []
        for axis, (size, dim) in enumerate(zip(grid, self.axis_dims, strict=True)):
            shape = [1, 1, 1, dim // 2]
            shape[axis] = size
            positions = torch.arange(size, device=hidden_states.device, dtype=torch.float32)
            angles.append(rotary_angles(positions, dim, self.theta).view(shape).expand(*grid, -1))
        angle = torch.cat(angles, dim=-1).flatten(0, 2)[None, :, None]
        return Rotary(angle.cos(), angle.sin())


def rotary_angles(positions: Tensor, dim: int, theta: float = 10000.0) -> Tensor:
    """Angles (..., dim / 2) in float32 of real-valued `positions` (...)."""
    steps = torch.arange(0, dim, 2, device=positions.device, dtype=torch.float32)
    return positions.float()[..., None] * theta ** (-steps / dim)


def label_rotary(labels: Tensor, head_dim: int) -> Rotary:
    """Tables (..., L, 1, head_dim / 2) that rotate tokens to their real-valued `labels` (..., L)."""
    angle = rotary_angles(labels, head_dim)[..., None, :]
    return Rotary(angle.cos(), angle.sin())


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """`norm` in float32, returned in float32 (adaLN modulates it there)."""
    weight, bias = (None if p is None else p.float() for p in (norm.weight, norm.bias))
    return F.layer_norm(x.float(), norm.normalized_shape, weight, bias, norm.eps)


def rounded_layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """`norm` in float32, returned in the dtype of `x`."""
    exact = norm.weight is not None and norm.weight.dtype == torch.float32
    if exact and x.device.type == "cpu":  # whose kernel takes both formats and makes no float32 copy
        return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    return layer_norm(x, norm).to(x.dtype)
