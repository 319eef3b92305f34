"""One block of MultiTalk's transformer, and the labels that bind its video tokens to voices."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.normalization import FP32LayerNorm
from torch import Tensor, nn

from polytalk.models.attention import (
    AudioCrossAttention,
    ContextAttentionProcessor,
    ContextKeyValues,
    ContextTokens,
    Rotary,
    SelfAttentionProcessor,
    TokenShard,
    WanAttention,
    label_rotary,
    layer_norm,
    rounded_layer_norm,
)
from polytalk.models.conditioning import ContextPasses
from polytalk.models.label_rope import video_labels
from polytalk.models.library_internals import acts_like_forward


class KeptMap:
    """Where a block leaves its reference map when it is asked for, so that it returns video tokens and nothing else."""

    reference_map: Tensor
    """(B, P + 1, L), with gradient; there once the block has run"""


class MultiTalkTransformerBlock(nn.Module):
    """Self-attention, text and picture cross-attention, audio cross-attention, feed-forward.

    Args:
        dim, ffn_dim, num_heads: widths of the block.
        audio_dim: width of the audio tokens.
        has_image: whether there are picture tokens to attend to.
        eps: of the norms.
    """

    def __init__(self, dim: int, ffn_dim: int, num_heads: int, audio_dim: int, has_image: bool, eps: float) -> None:
        super().__init__()
        self.norm1 = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.attn1 = WanAttention(dim, num_heads, eps, SelfAttentionProcessor())
        self.norm2 = FP32LayerNorm(dim, eps, elementwise_affine=True)
        self.attn2 = WanAttention(
            dim, num_heads, eps, ContextAttentionProcessor(), is_cross_attention=True, has_image=has_image
        )
        self.norm_audio = FP32LayerNorm(dim, eps, elementwise_affine=True)
        self.audio_attn = AudioCrossAttention(dim, num_heads, audio_dim)
        self.norm3 = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = FeedForward(dim, inner_dim=ffn_dim, activation_fn="gelu-approximate")
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    @acts_like_forward
    def project_context(self, tokens: ContextTokens) -> ContextKeyValues:
        """Keys and values of text, picture and sound, which are the same at every step."""
        return self._keys_and_values(tokens)

    def _keys_and_values(self, tokens: ContextTokens) -> ContextKeyValues:
        attn: Any = self.attn2
        if attn.fused_projections:
            key, value = attn.to_kv(tokens.text).chunk(2, dim=-1)
        else:
            key, value = attn.to_k(tokens.text), attn.to_v(tokens.text)
        image_key = image_value = None
        if tokens.image is not None:
            if attn.fused_projections:
                image_key, image_value = attn.to_added_kv(tokens.image).chunk(2, dim=-1)
            else:
                image_key, image_value = attn.add_k_proj(tokens.image), attn.add_v_proj(tokens.image)
            image_key = attn.norm_added_k(image_key).unflatten(-1, (attn.heads, -1))
            image_value = image_value.unflatten(-1, (attn.heads, -1))
        return ContextKeyValues(
            attn.norm_k(key).unflatten(-1, (attn.heads, -1)),
            value.unflatten(-1, (attn.heads, -1)),
            image_key,
            image_value,
            *self.audio_attn.project(tokens.audio, tokens.rotary),
        )

    def forward(
        self,
        hidden_states: Tensor,
        context: ContextTokens | ContextKeyValues,
        temb: Tensor,
        rotary_emb: Rotary | None = None,
        reference_masks: Tensor | None = None,
        given_labels: Tensor | None = None,
        binds: Tensor | None = None,
        *,
        kept: KeptMap | None = None,
    ) -> Tensor:
        """One block: video tokens (B, L, D) to the same.

        Args:
            hidden_states: (B, L, D) video tokens.
            context: tokens to attend to, or this block's keys and values of them (see `project_context`).
            temb: (B, 6, D) modulation from the timestep.
            rotary_emb: rotary tables of the video tokens.
            reference_masks: (B, P + 1, L / F) bool, or None where no map is needed.
            given_labels: (B, L) labels that override the map's; NaN keeps the map's.
            binds: (B,) bool, False for samples that hear one person and must not be rotated.
            kept: takes the reference map, where it is wanted.
        """
        if isinstance(context, ContextTokens):
            context = self._keys_and_values(context)
        dtype = hidden_states.dtype
        modulation = (self.scale_shift_table.float() + temb.float()).chunk(6, dim=1)
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = modulation

        normed = (layer_norm(hidden_states, self.norm1) * (1 + scale) + shift).to(dtype)
        attended, reference_map = self.attn1(
            normed, rotary_emb=rotary_emb, reference_masks=reference_masks, map_needs_grad=kept is not None
        )
        hidden_states = (hidden_states.float() + attended * gate).to(dtype)

        normed = rounded_layer_norm(hidden_states, self.norm2)
        hidden_states = hidden_states + self.attn2(normed, context)

        shard = self.attn1.processor.token_shard
        labels = _labels(reference_map, reference_masks, given_labels, binds, shard)
        head_dim = hidden_states.shape[-1] // self.audio_attn.heads
        normed = rounded_layer_norm(hidden_states, self.norm_audio)
        rotary = None if labels is None else label_rotary(labels, head_dim)
        hidden_states = hidden_states + self.audio_attn(normed, context.audio_key, context.audio_value, rotary)

        normed = (layer_norm(hidden_states, self.norm3) * (1 + ffn_scale) + ffn_shift).to(dtype)
        hidden_states = (hidden_states.float() + self.ffn(normed) * ffn_gate).to(dtype)
        if kept is not None:
            assert reference_map is not None
            kept.reference_map = reference_map if shard is None else shard.gather(reference_map, -1)
        return hidden_states


def _labels(
    reference_map: Tensor | None,
    masks: Tensor | None,
    given: Tensor | None,
    binds: Tensor | None,
    shard: TokenShard | None,
) -> Tensor | None:
    labels = None
    if reference_map is not None and masks is not None:
        labels = video_labels(reference_map, masks, None if shard is None else shard.extremes)
    if labels is not None and given is not None:
        labels = torch.where(given.isnan(), labels, given)
    elif labels is None:
        labels = given
    return labels if labels is None or binds is None else labels * binds[:, None]


class BlockStack(nn.ModuleList):
    """The blocks, run one after the other by a call of their own: what wraps that call can leave them all out."""

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[MultiTalkTransformerBlock]: ...

    gradient_checkpointing = False
    _gradient_checkpointing_func: Any = None

    def forward(
        self,
        hidden_states: Tensor,
        contexts: Sequence[ContextTokens | ContextKeyValues | ContextPasses],
        temb: Tensor,
        rotary_emb: Rotary,
        reference_masks: Tensor | None,
        given_labels: Tensor | None,
        binds: Tensor | None,
        map_blocks: Collection[int],
    ) -> tuple[Tensor, list[Tensor]]:
        """All blocks.

        Args:
            contexts: one per block; `ContextPasses` where a hook runs the samples one after the other.
            map_blocks: blocks whose reference maps are returned.
            others: as in `MultiTalkTransformerBlock.forward`.

        Returns:
            Video tokens (B, L, D) and the maps asked for, each (B, P + 1, L), in the blocks' order.
        """
        maps = {index: KeptMap() for index in sorted(map_blocks)}
        for index, (block, context) in enumerate(zip(self, contexts, strict=True)):
            run = partial(block, kept=maps.get(index))
            arguments = (hidden_states, context, temb, rotary_emb, reference_masks, given_labels, binds)
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                hidden_states = self._gradient_checkpointing_func(run, *arguments)
            else:
                hidden_states = run(*arguments)
        return hidden_states, [kept.reference_map for kept in maps.values()]
