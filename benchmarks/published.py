"""The published algorithm with its costs, transcribed plainly from its description to measure ours against.

Written for the benchmark alone; nobody should use it. It computes what `MultiTalkTransformer3DModel` computes, with
that model's weights, and spends what the published code spends on the way:
- text, picture and sound are embedded and projected in every call and every branch of guidance;
- the rotary embedding multiplies complex128 numbers, its table put together anew for queries and keys of every block;
- norms, gates and modulation go through chains of float32 copies;
- the reference attention map is formed as (heads / 2, L, L / F), twice, also for one person and for the branch without
  sound, which throw it away;
- each token's value of the map is picked by an index list.
What costs time on a GPU alone (copies from the host, emptying the allocator's cache) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polytalk.models.block import MultiTalkTransformerBlock
from polytalk.models.transformer import MultiTalkTransformer3DModel

LONGEST = 1024
"""Positions that the rotary table holds along each axis."""
HEAD_SHARES = 2
"""Shares of the heads for which the map is formed one after the other."""
BACKGROUND = 12.0
Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention of (B, L, heads, d) over keys and values (B, S, heads, d)."""


def rotary_table(head_dim: int) -> Tensor:
    """Unit complex numbers (LONGEST, head_dim / 2), complex128: frame, row and column frequencies side by side."""
    spatial = 2 * (head_dim // 6)
    columns = []
    for dim in (head_dim - 2 * spatial, spatial, spatial):
        steps = torch.arange(0, dim, 2, dtype=torch.float64)
        angles = torch.outer(torch.arange(LONGEST, dtype=torch.float64), 10000.0 ** (-steps / dim))
        columns.append(torch.polar(torch.ones_like(angles), angles))
    return torch.cat(columns, dim=1)


def rotate_grid(x: Tensor, grid: tuple[int, int, int], table: Tensor) -> Tensor:
    """Rotate (B, L, heads, d) by frame, row and column in float64; returns float32."""
    frames, rows, columns = grid
    spatial = (x.shape[-1] // 6,) * 2
    by_frame, by_row, by_column = table.split([table.shape[1] - sum(spatial), *spatial], dim=1)
    turned = []
    for sample in x:
        numbers = torch.view_as_complex(sample.to(torch.float64).unflatten(-1, (-1, 2)))
        factors = torch.cat(
            [
                by_frame[:frames].view(frames, 1, 1, -1).expand(frames, rows, columns, -1),
                by_row[:rows].view(1, rows, 1, -1).expand(frames, rows, columns, -1),
                by_column[:columns].view(1, 1, columns, -1).expand(frames, rows, columns, -1),
            ],
            dim=-1,
        ).reshape(frames * rows * columns, 1, -1)
        turned.append(torch.view_as_real(numbers * factors.to(x.device)).flatten(2))
    return torch.stack(turned).float()


def rotate_labels(x: Tensor, positions: Tensor) -> Tensor:
    """Rotate (B, L, heads, d) by one real position per token (L,)."""
    dim = x.shape[-1]
    frequencies = 10000.0 ** (-torch.arange(0, dim, 2, device=x.device).float() / dim)
    angles = torch.outer(positions.float(), frequencies).repeat_interleave(2, dim=-1)[None, :, None]
    wide = x.float()
    first, second = wide.unflatten(-1, (-1, 2)).unbind(-1)
    half = torch.stack((-second, first), dim=-1).flatten(-2)
    return (wide * angles.cos() + half * angles.sin()).to(x.dtype)


def materialised_map(query: Tensor, key: Tensor, masks: Tensor) -> Tensor:
    """Mean attention of queries (1, L, heads, d) to the tokens, with keys (1, S, heads, d), of each mask (classes, S).

    Returns (classes, L).
    """
    total = torch.zeros(masks.shape[0], query.shape[1], dtype=query.dtype, device=query.device)
    shares = min(HEAD_SHARES, query.shape[2])
    for few_queries, few_keys in zip(query.chunk(shares, dim=2), key.chunk(shares, dim=2), strict=True):
        scaled = (few_queries * query.shape[-1] ** -0.5).transpose(1, 2)
        attention = (scaled @ few_keys.transpose(1, 2).transpose(-2, -1)).softmax(-1)  # (1, heads / 2, L, S)
        rows = []
        for mask in masks.to(query.dtype):
            masked = attention * mask[None, None, None]
            rows.append((masked.sum(-1) / mask.sum()).mean(1))
        total = total + torch.cat(rows)
    return total / shares


def labels_of(reference_map: Tensor) -> Tensor:
    """Labels (L,) from the map (P + 1, L)."""
    people = len(reference_map) - 1
    winner = reference_map.argmax(0)
    spread = []
    for person in range(people):
        row = reference_map[person].float()
        share = (row - row.min()) / (row.max() - row.min() + 1e-8)
        spread.append(share * 4 + 20 * person)
    spread.append(torch.full_like(spread[0], BACKGROUND))
    values = torch.stack(spread, dim=1)
    return values[range(len(values)), winner]


def audio_attention(
    attn: Any, x: Tensor, audio: Tensor, reference_map: Tensor | None, kernel: Kernel | None = None
) -> Tensor:
    """Tokens (1, L, D) attend to their frame's sound (1, F, P, tokens, width); projected here and now."""
    frames, people = audio.shape[1:3]
    query = attn.to_q(x).unflatten(-1, (attn.heads, -1))
    sound = audio.flatten(2, 3)[0]
    key, value = (projection(sound).unflatten(-1, (attn.heads, -1)) for projection in (attn.to_k, attn.to_v))
    if people > 1:
        assert reference_map is not None
        query = rotate_labels(query, labels_of(reference_map))
        centres = torch.arange(people, device=x.device).repeat_interleave(audio.shape[3]) * 20.0 + 2
        key = rotate_labels(key, centres)
    query = query[0].unflatten(0, (frames, -1))
    out = (kernel or torch_kernel)(query, key, value)
    return attn.to_out(out.flatten(2).flatten(0, 1)[None])


def torch_kernel(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The fast kernel of the published code is not for every machine: PyTorch's stands in for it."""
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2)


def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    """LayerNorm in float32, cast back."""
    weight, bias = (None if p is None else p.float() for p in (layer.weight, layer.bias))
    return F.layer_norm(x.float(), layer.normalized_shape, weight, bias, layer.eps).type_as(x)


def root_mean_square_norm(x: Tensor, layer: nn.RMSNorm) -> Tensor:
    """RMSNorm spelt out in float32."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + layer.eps)).type_as(x) * layer.weight.type_as(x)


class PublishedNetwork:
    """One call of the published network, with the weights of ours. For batches of one.

    Args:
        model: whose weights are used.
        with_sound: False leaves out audio branch and reference map.
        kernel: of every attention.
    """

    def __init__(
        self, model: MultiTalkTransformer3DModel, *, with_sound: bool = True, kernel: Kernel | None = None
    ) -> None:
        self.model, self.with_sound, self.kernel = model, with_sound, kernel or torch_kernel
        config: Any = model.config
        self.table = rotary_table(config.attention_head_dim)

    def __call__(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        text: Tensor,
        image: Tensor,
        audio: Tensor,
        masks: Tensor,
    ) -> Tensor:
        """Shapes as in `MultiTalkTransformer3DModel.forward`, but `masks` (classes, L / F) with the background."""
        model = self.model
        config: Any = model.config
        frames, rows, columns = (n // p for n, p in zip(hidden_states.shape[2:], config.patch_size, strict=True))
        dtype = model.patch_embedding.weight.dtype
        x = model.patch_embedding(hidden_states.to(dtype)).flatten(2).transpose(1, 2)
        temb, modulation = model.condition_embedder.time(timestep)
        embed = model.condition_embedder
        text = embed.text_embedder(F.pad(text, (0, 0, 0, config.text_len - text.shape[1])).to(dtype))
        image = embed.image_embedder(image.to(dtype))
        audio = model.audio_adapter(audio.to(dtype))
        for block in model.blocks:
            x = self._block(block, x, modulation, (frames, rows, columns), text, image, audio, masks)
        return model._to_sample(x, temb, (frames, rows, columns), hidden_states, timestep)

    def _block(
        self,
        block: MultiTalkTransformerBlock,
        x: Tensor,
        modulation: Tensor,
        grid: tuple[int, int, int],
        text: Tensor,
        image: Tensor,
        audio: Tensor,
        masks: Tensor,
    ) -> Tensor:
        dtype = x.dtype
        e = (block.scale_shift_table.float() + modulation.float()).chunk(6, dim=1)
        normed = (norm(x, block.norm1).float() * (1 + e[1]) + e[0]).type_as(x)
        attended, reference_map = self._self_attention(block.attn1, normed, grid, masks)
        x = (x.float() + attended.float() * e[2]).to(dtype)
        x = x + self._context_attention(block.attn2, norm(x, block.norm2), text, image)
        if self.with_sound:
            x = x + audio_attention(block.audio_attn, norm(x, block.norm_audio), audio, reference_map, self.kernel)
        normed = (norm(x, block.norm3).float() * (1 + e[4]) + e[3]).to(dtype)
        return (x.float() + block.ffn(normed).float() * e[5]).to(dtype)

    def _self_attention(
        self, attn: Any, x: Tensor, grid: tuple[int, int, int], masks: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        query = root_mean_square_norm(attn.to_q(x), attn.norm_q).unflatten(-1, (attn.heads, -1))
        key = root_mean_square_norm(attn.to_k(x), attn.norm_k).unflatten(-1, (attn.heads, -1))
        value = attn.to_v(x).unflatten(-1, (attn.heads, -1))
        query, key = rotate_grid(query, grid, self.table), rotate_grid(key, grid, self.table)
        query, key = query.type_as(x), key.type_as(x)
        out = attn.to_out[0](self.kernel(query, key, value).flatten(2))
        if not self.with_sound:
            return out, None
        with torch.no_grad():
            return out, materialised_map(query, key[:, : math.prod(grid[1:])], masks)

    def _context_attention(self, attn: Any, x: Tensor, text: Tensor, image: Tensor) -> Tensor:
        heads = (attn.heads, -1)
        query = root_mean_square_norm(attn.to_q(x), attn.norm_q).unflatten(-1, heads)
        key = root_mean_square_norm(attn.to_k(text), attn.norm_k).unflatten(-1, heads)
        image_key = root_mean_square_norm(attn.add_k_proj(image), attn.norm_added_k).unflatten(-1, heads)
        out = self.kernel(query, key, attn.to_v(text).unflatten(-1, heads))
        out = out + self.kernel(query, image_key, attn.add_v_proj(image).unflatten(-1, heads))
        return attn.to_out[0](out.flatten(2))
