"""The training loop: exact resuming, going on from weights, EMA, refusal of what does not fit."""

from pathlib import Path

import pytest
import torch
from torch import nn

from polytalk.errors import PolytalkError
from polytalk.training.loop import LOG, WEIGHTS, Loop, LoopConfig, learning_rate_factor, load_weights, save_weights


def make_module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def regression(loop: Loop):
    """Loss whose data depends on the step's generator alone."""

    def loss(step, generator):
        x = torch.randn(32, 4, generator=generator).to(next(loop.worker.parameters()).dtype)
        return {"loss": (loop.worker(x) - x.sum(1, keepdim=True)).float().square().mean()}

    return loss


def trained(out: Path, stops: list[int], **config) -> Loop:
    for steps in stops:
        loop = Loop(make_module(), out, LoopConfig(**{"steps": steps, "cooldown": 0.0, "warmup": 5, **config}))
        loop.run(regression(loop))
    return loop


@pytest.mark.parametrize("matrix_learning_rate", [None, 1e-2])
def test_an_interrupted_run_goes_on_exactly(tmp_path, matrix_learning_rate):
    through = trained(tmp_path / "a", [30], matrix_learning_rate=matrix_learning_rate)
    broken = trained(tmp_path / "b", [11, 30], matrix_learning_rate=matrix_learning_rate)
    for name, value in through.module.state_dict().items():
        assert torch.equal(value, broken.module.state_dict()[name]), name
    for name, value in through.ema.state_dict().items():
        assert torch.equal(value, broken.ema.state_dict()[name]), name


def test_training_learns_and_is_logged(tmp_path):
    loop = Loop(make_module(), tmp_path, LoopConfig(steps=200, learning_rate=1e-2, warmup=5))
    first = float(regression(loop)(0, torch.Generator().manual_seed(1))["loss"].detach())
    loop.run(regression(loop))
    last = float(regression(loop)(0, torch.Generator().manual_seed(1))["loss"].detach())
    assert last < 0.3 * first
    assert len((tmp_path / LOG).read_text().splitlines()) == 10


def test_half_precision_copy_learns_with_float32_masters(tmp_path):
    loop = Loop(make_module(), tmp_path, LoopConfig(steps=100, learning_rate=1e-2, warmup=5), dtype=torch.bfloat16)
    start = float(regression(loop)(0, torch.Generator().manual_seed(1))["loss"].detach())
    loop.run(regression(loop))
    assert next(loop.module.parameters()).dtype == torch.float32
    assert next(loop.worker.parameters()).dtype == torch.bfloat16
    assert float(regression(loop)(0, torch.Generator().manual_seed(1))["loss"].detach()) < 0.7 * start


def test_goes_on_from_weights_alone(tmp_path):
    trained(tmp_path / "a", [20])
    loop = Loop(make_module(), tmp_path / "b", LoopConfig(steps=1), init=tmp_path / "a" / WEIGHTS)
    assert loop.step == 0
    other = make_module()
    load_weights(other, tmp_path / "a" / WEIGHTS)
    assert torch.equal(loop.module.state_dict()["0.weight"], other.state_dict()["0.weight"])


def test_weights_of_another_network_are_refused(tmp_path):
    save_weights(nn.Linear(4, 8), tmp_path / "w.safetensors")
    with pytest.raises(PolytalkError, match=r"w\.safetensors.*does not fit"):
        load_weights(make_module(), tmp_path / "w.safetensors")
    with pytest.raises(PolytalkError, match="no such weights"):
        load_weights(make_module(), tmp_path / "none.safetensors")


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    loop = Loop(make_module(), tmp_path, LoopConfig(steps=5))
    with pytest.raises(PolytalkError, match="not finite at step 0"):
        loop.run(lambda step, generator: {"loss": loop.module(torch.ones(1, 4)).sum() * float("nan")})


def test_learning_rate_warms_up_and_cools_down():
    config = LoopConfig(steps=100, warmup=10, cooldown=0.5)
    factors = [learning_rate_factor(step, config) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10:50] == [1.0] * 40
    assert factors[50:] == sorted(factors[50:], reverse=True)
    assert factors[-1] == pytest.approx(0.05)
