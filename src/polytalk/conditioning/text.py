"""Prompt to text tokens as the released model hears them: cleaned, cut into pieces, encoded by UMT5."""

from __future__ import annotations

import html
import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def clean_prompt(prompt: str) -> str:
    """Mend broken encodings, undo HTML escapes (also doubled ones) and make every run of white space one space."""
    import ftfy  # with it come tables of all encodings

    unescaped = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", unescaped).strip()


def encode_prompts(
    prompts: list[str], tokenizer: Any, encoder: nn.Module, text_len: int, device: torch.device
) -> Tensor:
    """Prompts to (B, text_len, text_dim); what lies behind a prompt's last token is zero.

    The encoder sees only as many tokens as the longest prompt has: padding is masked there, so that the rest of the
    `text_len` places would be computed in vain.

    Args:
        prompts: as the user wrote them; tokens beyond `text_len` are cut off.
        tokenizer: google/umt5-xxl's, of transformers.
        encoder: transformers' UMT5EncoderModel.
        text_len: tokens that the network reads (512 in the release).
        device: where the encoder runs.
    """
    pieces = tokenizer(
        [clean_prompt(prompt) for prompt in prompts],
        padding="longest",
        truncation=True,
        max_length=text_len,
        add_special_tokens=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    ids, mask = pieces.input_ids.to(device), pieces.attention_mask.to(device)
    states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    states = states.masked_fill(mask[..., None] == 0, 0)
    return F.pad(states, (0, 0, 0, text_len - states.shape[1]))
