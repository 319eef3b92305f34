"""Timesteps against the authors' own, and the path between data and noise."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk.diffusion import FlowMatchingSchedule, add_noise
from polytalk.errors import PolytalkError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "timesteps.json").read_text())


@pytest.mark.parametrize("name", GOLDEN)
def test_timesteps_equal_the_release(name):
    steps, shift = name.split("_")
    ours = FlowMatchingSchedule(int(steps), float(shift)).timesteps()
    torch.testing.assert_close(ours, torch.tensor(GOLDEN[name]), rtol=0, atol=0)


@settings(deadline=None)
@given(st.integers(1, 60), st.floats(0.2, 20))
def test_timesteps_fall_from_1000_to_0(steps, shift):
    timesteps = FlowMatchingSchedule(steps, shift).timesteps()
    assert timesteps.shape == (steps + 1,)
    assert timesteps[0] == pytest.approx(1000)
    assert timesteps[-1] == 0
    assert (timesteps.diff() < 0).all()


@pytest.mark.parametrize(("steps", "shift"), [(0, 7.0), (-3, 7.0), (4, 0.0), (4, float("nan")), (4, float("inf"))])
def test_impossible_schedules_are_refused(steps, shift):
    with pytest.raises(PolytalkError):
        FlowMatchingSchedule(steps, shift)


def test_add_noise_is_a_straight_path():
    data, noise = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)), torch.full((2, 3), 5.0)
    torch.testing.assert_close(add_noise(data, noise, 0.0), data)
    torch.testing.assert_close(add_noise(data, noise, 1000.0), noise)
    torch.testing.assert_close(add_noise(data, noise, 250.0), 0.75 * data + 0.25 * noise)


def test_trailing_steps_each_take_away_as_much():
    timesteps = FlowMatchingSchedule(4, 1.0, spacing="trailing").timesteps()
    torch.testing.assert_close(timesteps, torch.tensor([1000.0, 750.0, 500.0, 250.0, 0.0]))
    bent = FlowMatchingSchedule(3, 3.0, spacing="trailing").timesteps()
    released = FlowMatchingSchedule(4, 3.0).timesteps()
    torch.testing.assert_close(bent[:3], released[:3], rtol=0, atol=1.0)
    with pytest.raises(PolytalkError, match="timestep_spacing"):
        FlowMatchingSchedule(4, 1.0, spacing="even")  # type: ignore[arg-type]
