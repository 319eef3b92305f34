"""The loop under the readers' training: AdamW, a short linear warm-up, then a cosine to zero."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

_REPORT_EVERY = 250


def fit(
    module: nn.Module,
    loss: Callable[[], torch.Tensor],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.02,
    warmup: float = 0.05,
    clip: float = 1.0,
) -> None:
    """Train a module in place; prints its progress.

    Args:
        module: its parameters learn.
        loss: what is minimised, of a new batch at every call.
        steps: optimiser steps.
        learning_rate: at its peak.
        weight_decay: decoupled.
        warmup: share of the steps up to the peak.
        clip: largest norm of the gradient.
    """
    began, mean = time.monotonic(), 0.0
    optimizer = torch.optim.AdamW(module.parameters(), learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, steps, pct_start=warmup)
    for step in range(steps):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(module.parameters(), clip)
        optimizer.step()
        schedule.step()
        mean += (float(value.detach()) - mean) * max(0.01, 1 / (step + 1))
        if (step + 1) % _REPORT_EVERY == 0:
            print(f"step {step + 1}: loss {mean:.4f} after {time.monotonic() - began:.0f} s", flush=True)
