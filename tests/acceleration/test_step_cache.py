"""Steps left out: which ones, by whom it is decided, and that nothing outlives a clip or reaches another prediction."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import tiny_components

from polytalk import PolytalkError
from polytalk.acceleration.step_cache import (
    MAGCACHE_RATIOS,
    TEACACHE_COEFFICIENTS,
    TEACACHE_WARMUP,
    StepCache,
    step_modulation,
    teacache_plan,
)
from polytalk.diffusion import FlowMatchingSchedule, Guidance
from polytalk.models import MultiTalkTransformer3DModel
from polytalk.pipeline.denoising import GuidedVelocity, pass_conditioning

LINE = (1.0, 0.0)
"""Polynomial that takes the change as it is."""
STEPS = 10
TIMESTEPS = FlowMatchingSchedule(STEPS, 3.0).timesteps()[:-1]
NUMBERS = {"teacache": LINE, "magcache": (1.0,) * STEPS, "firstblock": None}
THRESHOLDS = {"teacache": 2.0, "magcache": 0.1, "firstblock": 0.5}


@pytest.fixture(scope="module")
def transformer():
    return tiny_components().transformer


def cache(transformer, kind, **changes):
    settings = {"threshold": THRESHOLDS[kind], "numbers": NUMBERS[kind]}
    return StepCache(transformer, kind, TIMESTEPS, **{**settings, **changes})


def velocity(transformer, step_cache=None, batched=False, guidance=None, seed=0):
    g = torch.Generator().manual_seed(seed)
    guidance = guidance or Guidance(3.0, 2.0)
    text, image = torch.randn(2, 5, 8, generator=g), torch.randn(1, 4, 8, generator=g)
    speech = torch.randn(2, 9, 5, 2, 6, generator=g)
    masks = torch.zeros(2, 4, 6, dtype=torch.bool)
    masks[0, :, :3], masks[1, :, 3:] = True, True
    conditioning = pass_conditioning(transformer, guidance.passes(), text, image, speech, 3)
    condition = torch.randn(1, 20, 3, 4, 6, generator=g)
    return GuidedVelocity(transformer, guidance, conditioning, condition, masks, batched=batched, step_cache=step_cache)


@torch.no_grad()
def walk(function, steps=STEPS):
    """The velocities along a path that moves a little every step."""
    latents = torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(5))
    return [function(latents * (1 - 0.01 * i), TIMESTEPS[i]) for i in range(steps)]


class Calls:
    """Counts what runs: calls of each block's feed-forward."""

    def __init__(self, transformer):
        self.counts = [0] * len(transformer.blocks)
        self._hooks = [b.ffn.register_forward_hook(self._count(i)) for i, b in enumerate(transformer.blocks)]

    def _count(self, index):
        def hook(*unused):
            self.counts[index] += 1

        return hook

    def __enter__(self):
        return self.counts

    def __exit__(self, *unused):
        for hook in self._hooks:
            hook.remove()


def test_published_numbers_are_for_the_released_network():
    coefficients = TEACACHE_COEFFICIENTS["480p"]
    assert len(coefficients) == len(TEACACHE_COEFFICIENTS["720p"]) == 5
    assert len(MAGCACHE_RATIOS["480p"]) == len(MAGCACHE_RATIOS["720p"]) == 40
    with torch.device("meta"):
        released = MultiTalkTransformer3DModel()
    for size_class in ("480p", "720p"):
        for kind in ("teacache", "magcache"):
            StepCache(released, kind, TIMESTEPS, size_class=size_class)
    with pytest.raises(PolytalkError, match="nothing is published for magcache with 40 blocks of width 5120 at mini"):
        StepCache(released, "magcache", TIMESTEPS, size_class="mini")


@pytest.mark.parametrize("kind", ["teacache", "magcache"])
def test_another_network_needs_numbers_of_its_own(transformer, kind):
    with pytest.raises(PolytalkError, match="step_cache_numbers"):
        StepCache(transformer, kind, TIMESTEPS)


@given(
    changes=st.lists(st.floats(0.001, 0.5), min_size=1, max_size=30),
    threshold=st.floats(0, 2),
    keep_last=st.booleans(),
)
def test_a_plan_lets_no_more_change_pass_than_the_threshold(changes, threshold, keep_last):
    levels = torch.tensor([1.0, *changes], dtype=torch.float64)
    modulation = torch.cumprod(1 + levels - levels * (torch.arange(len(levels)) == 0), 0)[:, None]
    plan = teacache_plan(modulation, LINE, threshold, keep_last=keep_last)
    assert len(plan) == len(changes) + 1
    assert all(plan[:TEACACHE_WARMUP])
    assert plan[-1] or not keep_last
    since = 0.0
    for step, runs in enumerate(plan[1:], start=1):
        since += float((modulation[step] - modulation[step - 1]) / modulation[step - 1])
        if step >= TEACACHE_WARMUP and abs(since - threshold) > 1e-4 and not (keep_last and step == len(changes)):
            assert runs == (since >= threshold)
        since = 0.0 if runs else since


def test_a_plan_evaluates_the_polynomial_of_each_change():
    # changes of 0.5; 4·0.25 - 0.9 = 0.1 each
    modulation = 1.5 ** torch.arange(12.0)[:, None]
    plan = teacache_plan(modulation, (4.0, 0.0, -0.9), 0.25)
    assert plan == (*(True,) * 5, False, False, True, False, False, True, False)


def test_the_modulation_is_what_the_blocks_get(transformer):
    given = []
    function = velocity(transformer, guidance=Guidance(1.0, 1.0))
    hook = transformer.blocks[0].register_forward_pre_hook(lambda _, args: given.append(args[2]))
    walk(function)
    hook.remove()
    torch.testing.assert_close(step_modulation(transformer, TIMESTEPS), torch.cat(given))


@pytest.mark.parametrize("kind", THRESHOLDS)
@pytest.mark.parametrize("batched", [False, True])
def test_steps_are_left_out_and_others_are_exact(transformer, kind, batched):
    plain = walk(velocity(transformer, batched=batched))
    with Calls(transformer) as counts:
        function = velocity(transformer, step_cache := cache(transformer, kind), batched)
        with step_cache:
            cached = walk(function)
    calls = STEPS if batched else 3 * STEPS
    assert 0 < counts[1] < calls
    assert counts[0] == (calls if kind == "firstblock" else counts[1])
    assert torch.equal(cached[0], plain[0])
    errors = [float((a - b).norm() / b.norm()) for a, b in zip(cached, plain, strict=True)]
    assert 0 < max(errors) < 0.5


def test_teacache_follows_its_plan(transformer):
    with Calls(transformer) as counts:
        function = velocity(transformer, step_cache := cache(transformer, "teacache"))
        with step_cache:
            for step, latents in enumerate([torch.ones(1, 16, 3, 4, 6)] * STEPS):
                before = counts[1]
                with torch.no_grad():
                    function(latents, TIMESTEPS[step])
                assert counts[1] - before == (3 if step_cache.plan[step] else 0)
    assert not all(step_cache.plan)


def test_no_threshold_leaves_nothing_out(transformer):
    plain = walk(velocity(transformer))
    function = velocity(transformer, step_cache := cache(transformer, "teacache", threshold=0.0))
    with step_cache:
        assert all(map(torch.equal, walk(function), plain))


@pytest.mark.parametrize("kind", THRESHOLDS)
def test_nothing_outlives_a_clip(transformer, kind):
    function = velocity(transformer, step_cache := cache(transformer, kind))
    with step_cache:
        first = walk(function)
    # no hooks: plain again, also for what the blocks do with the context alone
    assert all(map(torch.equal, walk(velocity(transformer)), walk(velocity(transformer))))
    with Calls(transformer) as counts:
        walk(velocity(transformer))
    assert counts == [3 * STEPS] * len(counts)
    # another clip between them changes nothing
    function = velocity(transformer, step_cache := cache(transformer, kind), seed=9)
    with step_cache:
        walk(function)
    function = velocity(transformer, step_cache := cache(transformer, kind))
    with step_cache:
        assert all(map(torch.equal, walk(function), first))


def test_predictions_do_not_mix(transformer):
    """With guidance each prediction is what it would be alone with the same cache."""
    alone = velocity(transformer, step_cache := cache(transformer, "teacache"), guidance=Guidance(1.0, 1.0))
    with step_cache:
        full = walk(alone)
    pair = velocity(transformer, step_cache := cache(transformer, "teacache"), guidance=Guidance(1.0, 1e-9))
    outputs = []
    hook = transformer.register_forward_hook(lambda _, args, out: outputs.append(out.sample.float()))
    with step_cache:
        walk(pair)
    hook.remove()
    assert all(map(torch.equal, outputs[0::2], full))
    assert not torch.equal(outputs[1], outputs[0])


@pytest.mark.parametrize("kind", THRESHOLDS)
def test_maps_are_read_in_the_last_step(transformer, kind):
    with Calls(transformer) as counts:
        function = velocity(transformer, step_cache := cache(transformer, kind, keep_last=True))
        with step_cache:
            walk(function, STEPS - 1)
            before = counts[1]
            function.watch_labels = True
            with torch.no_grad():
                function(torch.ones(1, 16, 3, 4, 6), TIMESTEPS[-1])
    assert counts[1] - before == 3
    assert [labels.shape for labels in function.labels] == [(3, 2, 3)] * len(transformer.blocks)


def test_a_cache_is_taken_off_when_sampling_fails(transformer):
    with pytest.raises(KeyboardInterrupt), cache(transformer, "firstblock"):
        raise KeyboardInterrupt
    assert not transformer.is_cache_enabled
    walk(velocity(transformer), 1)
