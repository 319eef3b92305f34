"""The sampler on flows whose end is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk.diffusion import FlowMatchingSchedule, SourceLatents, draw_noise, sample
from polytalk.errors import PolytalkError

SHAPE = (1, 2, 4, 3, 3)


def towards(target):
    """The exact velocity of the straight paths that all end at `target`."""
    return lambda latents, timestep: (latents - target) / (timestep / 1000)


@settings(deadline=None)
@given(st.integers(1, 12), st.floats(0.5, 11), st.integers(0, 3))
def test_ends_at_the_data_whatever_the_steps(steps, shift, seed):
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(SHAPE, generator=generator)
    out = sample(towards(target), draw_noise(SHAPE, generator), FlowMatchingSchedule(steps, shift))
    torch.testing.assert_close(out, target, atol=1e-4, rtol=1e-4)


def test_known_frames_are_overwritten_at_every_step():
    generator = torch.Generator().manual_seed(0)
    known = torch.full((1, 2, 2, 3, 3), 50.0)
    seen = []

    def velocity(latents, timestep):
        t = timestep / 1000
        seen.append(((latents[:, :, :2] - (1 - t) * known) / t).flatten())
        return torch.full_like(latents, 7.0)

    noise = draw_noise(SHAPE, generator)
    out = sample(velocity, noise, FlowMatchingSchedule(5, 3.0), known=known, generator=generator)
    torch.testing.assert_close(out[:, :, :2], known)
    torch.testing.assert_close(out[:, :, 2:], noise[:, :, 2:] - 7.0, atol=1e-5, rtol=1e-5)
    assert len(seen) == 5
    drawn = torch.stack(seen[:-1])  # at the last, nearly clean level the division loses the digits
    assert drawn.mean().abs() < 0.4
    assert 0.7 < drawn.std() < 1.3
    assert not torch.allclose(drawn[0], drawn[1])


def test_callback_sees_every_step_and_can_stop():
    seen = []

    def callback(index, timestep, latents):
        seen.append((index, float(timestep), latents.shape))
        if index == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(towards(torch.zeros(SHAPE)), torch.ones(SHAPE), FlowMatchingSchedule(8, 2.0), callback=callback)
    assert [index for index, _, _ in seen] == [0, 1, 2]
    assert seen[0][1] == 1000


def test_the_same_seed_gives_the_same_clip():
    def run(seed):
        generator = torch.Generator().manual_seed(seed)
        noise = draw_noise(SHAPE, generator)
        known = torch.ones(1, 2, 1, 3, 3)
        return sample(lambda x, t: 0.5 * x, noise, FlowMatchingSchedule(3), known=known, generator=generator)

    torch.testing.assert_close(run(1), run(1), rtol=0, atol=0)
    assert not torch.allclose(run(1), run(2))


@pytest.mark.parametrize("shape", [(1, 2, 5, 3, 3), (1, 2, 2, 3, 4), (1, 3, 2, 3, 3), (2, 2, 3, 3)])
def test_motion_frames_must_fit(shape):
    with pytest.raises(PolytalkError, match="motion_frames"):
        sample(towards(torch.zeros(SHAPE)), torch.ones(SHAPE), FlowMatchingSchedule(2), known=torch.zeros(shape))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 8), st.floats(0.5, 11), st.floats(0.05, 1), st.integers(0, 3))
def test_what_is_kept_of_a_source_is_the_source(steps, shift, strength, seed):
    generator = torch.Generator().manual_seed(seed)
    target, latents = torch.randn(2, *SHAPE, generator=generator)
    keep = torch.zeros(1, 1, *SHAPE[2:])
    keep[..., 1:] = 1
    noise = draw_noise(SHAPE, generator)
    seen = []

    def velocity(now, timestep):
        seen.append((now, timestep / 1000))
        return towards(target)(now, timestep)

    schedule = FlowMatchingSchedule(steps, shift, strength)
    out = sample(velocity, noise, schedule, source=SourceLatents(latents, keep))
    torch.testing.assert_close(out[..., 1:], latents[..., 1:], atol=0, rtol=0)
    torch.testing.assert_close(out[..., :1], target[..., :1], atol=1e-4, rtol=1e-4)
    # the path begins with the noised source, and what is kept is the source at every step's level
    torch.testing.assert_close(seen[0][0], (1 - strength) * latents + strength * noise, atol=1e-5, rtol=1e-5)
    for now, t in seen:
        torch.testing.assert_close(now[..., 1:], ((1 - t) * latents + t * noise)[..., 1:], atol=1e-5, rtol=1e-5)


def test_a_feathered_edge_lies_between_source_and_target():
    generator = torch.Generator().manual_seed(0)
    keep = torch.tensor([0.0, 0.5, 1.0])
    source = SourceLatents(torch.full(SHAPE, 4.0), keep)
    out = sample(
        towards(torch.zeros(SHAPE)), draw_noise(SHAPE, generator), FlowMatchingSchedule(3, 3.0, 0.7), source=source
    )
    torch.testing.assert_close(out[..., 0], torch.zeros_like(out[..., 0]), atol=1e-4, rtol=0)
    assert ((out[..., 1] > 0.5) & (out[..., 1] < 3.5)).all()
    torch.testing.assert_close(out[..., 2], torch.full_like(out[..., 2], 4.0))


def test_sources_that_do_not_fit_are_refused():
    noise, flow = torch.zeros(SHAPE), towards(torch.zeros(SHAPE))
    with pytest.raises(PolytalkError, match="source: latents"):
        sample(flow, noise, FlowMatchingSchedule(2), source=SourceLatents(torch.zeros(1, 2, 3, 3, 3)))
    with pytest.raises(PolytalkError, match="there is none"):
        sample(flow, noise, FlowMatchingSchedule(2, 7.0, 0.5))
    for strength in (0.0, -1.0, 1.1, float("nan")):
        with pytest.raises(PolytalkError, match="strength"):
            FlowMatchingSchedule(2, 7.0, strength)
