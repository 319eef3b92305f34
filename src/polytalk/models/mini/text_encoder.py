"""The embedded model's text encoder: hashed character n-grams per word, then two transformer layers."""

from __future__ import annotations

import re
import zlib

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

WORD = re.compile(r"\w+|[^\w\s]")


class MiniTextEncoder(ModelMixin, ConfigMixin):
    """A word is the mean of its hashed n-grams (fastText, arXiv 1607.04606), so that no word is unknown.

    Args:
        text_len: words kept of a prompt.
        buckets: size of the hash table.
        grams: n-grams kept of a word, the whole word first.
        channels: width.
        layers: transformer layers.
        heads: attention heads.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        text_len: int = 48,
        buckets: int = 2048,
        grams: int = 12,
        channels: int = 128,
        layers: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(buckets + 1, channels, padding_idx=0)
        self.position = nn.Parameter(0.02 * torch.randn(text_len, channels))
        layer = nn.TransformerEncoderLayer(
            channels, heads, 2 * channels, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, layers, nn.LayerNorm(channels), enable_nested_tensor=False)

    def tokenize(self, prompts: list[str]) -> Tensor:
        """Prompts to hash buckets (B, text_len, grams), zero where there is none. An empty prompt is one empty word."""
        text_len, grams = self.config.text_len, self.config.grams
        ids = torch.zeros(len(prompts), text_len, grams, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            for column, word in enumerate((WORD.findall(prompt.lower()) or [""])[:text_len]):
                for slot, gram in enumerate(word_grams(word)[:grams]):
                    ids[row, column, slot] = 1 + zlib.crc32(gram.encode()) % self.config.buckets
        return ids

    def forward(self, ids: Tensor) -> Tensor:
        """Buckets (B, text_len, grams) to features (B, text_len, channels), zero behind the last word."""
        counts = (ids > 0).sum(dim=-1, keepdim=True)
        words = self.embedding(ids).sum(dim=2) / counts.clamp(min=1)
        absent = counts.squeeze(-1) == 0
        hidden = self.transformer(words + self.position.to(words.dtype), src_key_padding_mask=absent)
        return hidden.masked_fill(absent.unsqueeze(-1), 0)


def word_grams(word: str) -> list[str]:
    """The word itself, marked at its ends, then its 3-grams and 4-grams."""
    marked = f"<{word}>"
    return [marked] + [marked[i : i + n] for n in (3, 4) for i in range(len(marked) - n + 1) if n < len(marked)]
