"""The sampler on flows whose end is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk.diffusion import FlowMatchingSchedule, draw_noise, sample
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
    with pytest.raises(PolytalkError, match="motion frames"):
        sample(towards(torch.zeros(SHAPE)), torch.ones(SHAPE), FlowMatchingSchedule(2), known=torch.zeros(shape))
