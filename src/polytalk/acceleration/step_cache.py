"""Steps in which the transformer's blocks are left out because they would hardly change what they added before.

All three caches keep, for each of guidance's predictions, what the blocks added to the tokens the last time they ran,
and add it again in a step left out. They differ in how such a step is found: TeaCache and MagCache decide by the step
alone, FirstBlockCache by what the first block does. A cache lives for one clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

import torch
from diffusers.hooks.first_block_cache import FirstBlockCacheConfig
from diffusers.hooks.hooks import BaseState, HookRegistry, ModelHook, StateManager
from diffusers.hooks.mag_cache import MagCacheConfig
from torch import Tensor, nn

from polytalk.config.options import STEP_CACHES
from polytalk.errors import PolytalkError
from polytalk.models.transformer import MultiTalkTransformer3DModel

TEACACHE_COEFFICIENTS: Mapping[str, tuple[float, ...]] = {
    "480p": (2.57151496e05, -3.54229917e04, 1.40286849e03, -1.35890334e01, 1.32517977e-01),
    "720p": (8.10705460e03, 2.13393892e03, -3.72934672e02, 1.66203073e01, -4.17769401e-02),
}
"""Polynomials, highest power first, from the relative change of the timestep's modulation to that of the output;
published with TeaCache (arXiv 2411.19108) for Wan2.1-I2V-14B, and used by MultiTalk."""
TEACACHE_WARMUP = 5
"""First steps, which are never left out; the polynomials were fitted with them kept."""

MAGCACHE_RATIOS: Mapping[str, tuple[float, ...]] = {
    "480p": (
        *(1.0, 0.98783, 0.97559, 0.98311, 0.98202, 0.9888, 0.98762, 0.98957, 0.99052, 0.99383),
        *(0.98857, 0.99065, 0.98845, 0.99057, 0.98957, 0.98601, 0.98823, 0.98756, 0.98808, 0.98721),
        *(0.98571, 0.98543, 0.98157, 0.98411, 0.97952, 0.98149, 0.9774, 0.97825, 0.97355, 0.97085),
        *(0.97056, 0.96588, 0.96113, 0.9567, 0.94961, 0.93973, 0.93217, 0.91878, 0.90955, 0.92617),
    ),
    "720p": (
        *(1.0, 0.99428, 0.98588, 0.98273, 0.99018, 0.98911, 0.98646, 0.99454, 0.9891, 0.99124),
        *(0.99102, 0.99215, 0.99515, 0.99576, 0.99068, 0.99097, 0.99166, 0.99041, 0.99201, 0.99101),
        *(0.98599, 0.98845, 0.98848, 0.98862, 0.98718, 0.98497, 0.98264, 0.98389, 0.97938, 0.97535),
        *(0.97498, 0.973, 0.96827, 0.96261, 0.95335, 0.94649, 0.93397, 0.91636, 0.89088, 0.8679),
    ),
}
"""By how much the blocks' addition shrinks from step to step; published with MagCache (arXiv 2506.09045) for
Wan2.1-I2V-14B in 40 steps; other numbers of steps take the nearest."""
MAGCACHE_MAX_SKIPS = 2
"""Steps left out in a row at most, and
"""
MAGCACHE_RETENTION = 0.2
"""share of first steps that are kept, both as published for Wan2.1."""

_HOOK = "polytalk_teacache"


def teacache_plan(
    modulation: Tensor, coefficients: Sequence[float], threshold: float, *, keep_last: bool = False
) -> tuple[bool, ...]:
    """Which steps run the blocks (TeaCache, arXiv 2411.19108, section 3.3), known before the first step.

    Args:
        modulation: (steps, ...) the modulation that the blocks get from each step's timestep.
        coefficients: polynomial over its relative change from step to step, highest power first.
        threshold: a step runs when the changes since the last one that ran add up to this much.
        keep_last: the last step runs, too.

    Returns:
        One bool a step; False is left out.
    """
    now, before = modulation[1:].float().flatten(1), modulation[:-1].float().flatten(1)
    changes = (now - before).abs().mean(1) / before.abs().mean(1)
    plan, since = [True], 0.0
    for step, change in enumerate(changes.tolist(), start=1):
        for power, coefficient in enumerate(reversed(coefficients)):
            since += coefficient * change**power
        runs = step < TEACACHE_WARMUP or since >= threshold or (keep_last and step == len(changes))
        since = 0.0 if runs else since
        plan.append(runs)
    return tuple(plan)


class TeaCacheState(BaseState):
    """What the blocks added in the last step they ran, of one prediction."""

    def __init__(self) -> None:
        self.residual: Tensor | None = None

    def reset(self) -> None:
        """Forget it."""
        self.residual = None


class TeaCacheHook(ModelHook):
    """Leaves out the call of the stack of blocks in the steps planned."""

    _is_stateful = True

    def __init__(self, plan: Sequence[bool]) -> None:
        super().__init__()
        self.plan = plan
        self.state_manager = StateManager(TeaCacheState)

    def new_forward(self, module: nn.Module, hidden_states: Tensor, *args: Any) -> tuple[Tensor, list[Tensor]]:
        """As the stack's forward."""
        state = self.state_manager.get_state()
        if not self.plan[self.state_manager.context.step_index] and state.residual is not None:
            return hidden_states + state.residual, []
        output, maps = self.fn_ref.original_forward(hidden_states, *args)
        state.residual = output - hidden_states
        return output, maps

    def reset_state(self, module: nn.Module) -> nn.Module:
        """Forget all predictions."""
        self.state_manager.reset()
        return module


class StepCache:
    """A step cache on a transformer for one clip; a context manager that takes it off again.

    Args:
        transformer: the network, loaded, offloaded and compiled as it may be.
        kind: a key of `STEP_CACHES`.
        timesteps: (steps,) of the clip.
        threshold: None takes the kind's default.
        size_class: "480p" or "720p": whose published numbers are taken.
        keep_last: the last step runs in full, because its reference maps are read.
        numbers: TeaCache's coefficients or MagCache's ratios, in place of the published ones.

    Raises:
        PolytalkError: nothing is published for this network, and no numbers are given.
    """

    def __init__(
        self,
        transformer: MultiTalkTransformer3DModel,
        kind: str,
        timesteps: Tensor,
        *,
        threshold: float | None = None,
        size_class: str = "480p",
        keep_last: bool = False,
        numbers: Sequence[float] | None = None,
    ) -> None:
        self.transformer, self.kind, self.timesteps = transformer, kind, timesteps
        self.threshold = STEP_CACHES[kind] if threshold is None else threshold
        self.keep_last = keep_last
        table = {"teacache": TEACACHE_COEFFICIENTS, "magcache": MAGCACHE_RATIOS}.get(kind, {})
        self.numbers = numbers or (_published(table, kind, transformer, size_class) if table else ())
        self.plan: tuple[bool, ...] | None = None
        """Of TeaCache, once entered: which steps run."""

    def __enter__(self) -> Self:
        if self.kind == "teacache":
            modulation = step_modulation(self.transformer, self.timesteps)
            self.plan = teacache_plan(modulation, self.numbers, self.threshold, keep_last=self.keep_last)
            HookRegistry.check_if_exists_or_initialize(self.transformer.blocks).register_hook(
                TeaCacheHook(self.plan), _HOOK
            )
            self._registry.invalidate_child_registries_cache()
        elif self.kind == "magcache":
            config = MagCacheConfig(
                threshold=self.threshold,
                max_skip_steps=MAGCACHE_MAX_SKIPS,
                retention_ratio=MAGCACHE_RETENTION,
                num_inference_steps=len(self.timesteps),
                mag_ratios=list(self.numbers),
            )
            self.transformer.enable_cache(config)
        else:
            self.transformer.enable_cache(FirstBlockCacheConfig(threshold=self.threshold))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def context(self, prediction: str, step: int) -> AbstractContextManager[None]:
        """Around each call of the network: which prediction it makes, in which step."""
        return self.transformer.cache_context(prediction, step_index=step)

    def before_maps(self) -> None:
        """Before the last step, when its reference maps will be read: diffusers' hooks do not pass them on."""
        if self.kind != "teacache":
            self.stop()

    def stop(self) -> None:
        """Take the cache off; nothing of it is left."""
        if self.kind == "teacache":
            self._registry.remove_hook(_HOOK, recurse=True)
            self._registry.invalidate_child_registries_cache()
        elif self.transformer.is_cache_enabled:
            self.transformer.disable_cache()

    @property
    def _registry(self) -> HookRegistry:
        return HookRegistry.check_if_exists_or_initialize(self.transformer)


def _published(
    table: Mapping[str, tuple[float, ...]], kind: str, transformer: MultiTalkTransformer3DModel, size_class: str
) -> tuple[float, ...]:
    config: Any = transformer.config
    width, depth = config.num_attention_heads * config.attention_head_dim, config.num_layers
    if size_class not in table or (width, depth) != (5120, 40):
        problem = f"nothing is published for {kind} with {depth} blocks of width {width} at {size_class}"
        remedy = 'Use `step_cache="firstblock"`, or give `step_cache_numbers`.'
        raise PolytalkError("step_cache", problem, remedy)
    return table[size_class]


@torch.no_grad()
def step_modulation(transformer: MultiTalkTransformer3DModel, timesteps: Tensor) -> Tensor:
    """What the blocks get from each of `timesteps` (steps,): (steps, 6, D), on the device where the weights lie."""
    # outside the network's call nothing brings sharded or offloaded weights
    sharded: Any = transformer if hasattr(transformer, "unshard") else None
    if sharded is not None:
        sharded.unshard()
    device = transformer.condition_embedder.time_proj.weight.device
    modulation = transformer.condition_embedder.time(timesteps.to(device))[1]
    if sharded is not None:
        sharded.reshard()
    return modulation
