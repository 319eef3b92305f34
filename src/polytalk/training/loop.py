"""The loop under every training stage: optimiser, warm-up and cool-down, EMA, checkpoints, log, progress."""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsFloat

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from polytalk.errors import PolytalkError
from polytalk.models.library_internals import copy_all, lerp_all

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "ema.safetensors"
LOG = "log.jsonl"


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast a stage learns."""

    steps: int = 1000
    """Optimiser steps in all."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW."""
    matrix_learning_rate: float | None = None
    """Peak learning rate of Muon for two-dimensional weights inside blocks; None trains them with AdamW too."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    warmup: int = 100
    """Steps of linear warm-up."""
    cooldown: float = 0.3
    """Share of the steps, at the end, over which the learning rate falls linearly to a twentieth."""
    ema: float = 0.999
    """Decay of the exponential moving average of the weights, per step (shorter at the start)."""
    clip: float = 1.0
    """Largest gradient norm."""
    checkpoint_minutes: float = 4.0
    """Minutes between checkpoints."""
    validate_every: int = 0
    """Steps between validations; 0 for none."""
    seed: int = 0
    """Seed of everything drawn in training."""


def learning_rate_factor(step: int, config: LoopConfig) -> float:
    """Share of the peak learning rate at a step: linear warm-up, constant, linear cool-down."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    start = config.steps * (1 - config.cooldown)
    cold = 1.0 if step < start else max(0.05, (config.steps - step) / max(1.0, config.steps - start))
    return warm * cold


def build_optimizers(module: nn.Module, config: LoopConfig) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or Muon for the matrices inside blocks and AdamW for the rest."""
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    matrices: list[Tensor] = []
    if config.matrix_learning_rate is not None:
        matrices = [p for name, p in named if p.ndim == 2 and "blocks." in name and "table" not in name]
    chosen = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay)
    ]
    if matrices and config.matrix_learning_rate is not None:
        optimizers.append(
            torch.optim.Muon(
                matrices,
                lr=config.matrix_learning_rate,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


class Loop:
    """Trains the parameters of ``module`` with losses from a callable; everything it needs to go on lies in ``out``.

    Args:
        module: holds every parameter that learns.
        out: folder of checkpoint, weights (EMA) and log.
        config: see `LoopConfig`.
        init: safetensors weights to start from when there is no checkpoint (onwards from weights alone).
        young: beginnings of names that older weights may lack; those start as they are.
        dtype: type in which forward and backward run, on a copy (`worker`); None runs them on ``module`` itself.
    """

    def __init__(
        self,
        module: nn.Module,
        out: Path,
        config: LoopConfig,
        init: Path | None = None,
        dtype: torch.dtype | None = None,
        young: Iterable[str] = (),
    ) -> None:
        self.module, self.out, self.config = module, out, config
        out.mkdir(parents=True, exist_ok=True)
        self.step = 0
        self.stopped = False
        if init is not None:
            load_weights(module, init, young)
        self.ema = copy.deepcopy(module).requires_grad_(False).eval()
        self.optimizers = build_optimizers(module, config)
        if (out / CHECKPOINT).exists():
            self._resume()
        self.worker = module if dtype is None else copy.deepcopy(module).to(dtype)

    def run(
        self,
        loss: Callable[[int, torch.Generator], Mapping[str, Tensor]],
        validate: Callable[[nn.Module, int], Mapping[str, float]] | None = None,
        title: str = "training",
    ) -> None:
        """Train to the last step. ``loss(step, generator)`` returns named losses; "loss" is what is minimised.

        The generator depends on seed and step alone, so that an interrupted run continues exactly.
        """
        previous = signal.signal(signal.SIGTERM, self._on_signal)
        last_save = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        sums: dict[str, float] = {}
        count, since = 0, time.monotonic()
        try:
            with Progress(*columns, refresh_per_second=0.5) as progress:
                task = progress.add_task(title, total=self.config.steps, completed=self.step, note="")
                while self.step < self.config.steps and not self.stopped:
                    generator = torch.Generator().manual_seed((self.config.seed << 32) + self.step)
                    losses = self._update(loss(self.step, generator))
                    for name, value in losses.items():
                        sums[name] = sums.get(name, 0.0) + value
                    count += 1
                    self.step += 1
                    if self.step % 20 == 0 or self.step == self.config.steps:
                        means = {name: total / count for name, total in sums.items()}
                        self._log({"step": self.step, "seconds": time.monotonic() - since, **means})
                        progress.update(task, completed=self.step, note=f"loss {means['loss']:.4f}")
                        sums, count, since = {}, 0, time.monotonic()
                    every = self.config.validate_every
                    if validate is not None and every and self.step % every == 0:
                        self._log({"step": self.step, "validation": dict(validate(self.ema, self.step))})
                    if time.monotonic() - last_save > self.config.checkpoint_minutes * 60:
                        self.save()
                        last_save = time.monotonic()
        except KeyboardInterrupt:
            self.stopped = True
        finally:
            signal.signal(signal.SIGTERM, previous)
            self.save()

    def _update(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        total = losses["loss"]
        if not torch.isfinite(total):
            self.stopped = True
            raise PolytalkError("loss", f"not finite at step {self.step}", "lower the learning rate")
        total.backward()
        if self.worker is not self.module:
            for master, copied in zip(self.module.parameters(), self.worker.parameters(), strict=True):
                master.grad = None if copied.grad is None else copied.grad.float()
                copied.grad = None
        parameters = [p for p in self.module.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, self.config.clip)
        factor = learning_rate_factor(self.step, self.config)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.worker is not self.module:
            with torch.no_grad():
                copy_all(list(self.worker.parameters()), list(self.module.parameters()))
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            pairs = zip(self.ema.parameters(), self.module.parameters(), strict=True)
            averaged, current = map(list, zip(*((a, p) for a, p in pairs if p.requires_grad), strict=True))
            lerp_all(averaged, current, 1 - decay)
        return {**{name: float(value.detach()) for name, value in losses.items()}, "gradient_norm": float(norm)}

    def save(self) -> None:
        """Write checkpoint and EMA weights, each atomically."""
        state = {
            "step": self.step,
            "module": self.module.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        temporary = self.out / (CHECKPOINT + ".part")
        torch.save(state, temporary)
        os.replace(temporary, self.out / CHECKPOINT)
        save_weights(self.ema, self.out / WEIGHTS)

    def _resume(self) -> None:
        state = torch.load(self.out / CHECKPOINT, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.ema.load_state_dict(state["ema"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            peaks = [group["peak"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["peak"] = peak
        self.step = state["step"]

    def _log(self, row: Mapping[str, object]) -> None:
        with (self.out / LOG).open("a") as file:
            file.write(json.dumps(row, default=_rounded) + "\n")

    def _on_signal(self, *_: object) -> None:
        self.stopped = True


def _rounded(value: SupportsFloat) -> float:
    number = float(value)
    return number if not math.isfinite(number) else round(number, 6)


def save_weights(module: nn.Module, path: Path, dtype: torch.dtype | None = None) -> None:
    """Write a module's tensors as safetensors, atomically; ``dtype`` converts floating-point ones."""
    tensors = {
        name: (value.to(dtype) if dtype and value.is_floating_point() else value).contiguous()
        for name, value in module.state_dict().items()
    }
    temporary = path.with_name(path.name + ".part")
    save_file(tensors, temporary)
    os.replace(temporary, path)


def load_weights(module: nn.Module, path: Path, ignore: Iterable[str] = ()) -> None:
    """Fill a module from safetensors; names starting with an entry of ``ignore`` may be missing on either side."""
    if not path.exists():
        raise PolytalkError(str(path), "no such weights", "name a safetensors file written by an earlier stage")
    missing, unexpected = module.load_state_dict(load_file(path), strict=False)
    wrong = [n for n in (*missing, *unexpected) if not n.startswith(tuple(ignore))] if ignore else missing + unexpected
    if wrong:
        raise PolytalkError(str(path), f"does not fit the network: {', '.join(wrong[:5])}", "use the same config")
