"""The benchmarks measure what they say: same results on both sides, every stage of the GPU script runs."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import gpu
import measure
import network
from gpu_model import tiny_scale

SMALL = network.Sizes(tokens=500, heads=1, layers=2, people=3, dtype="float32")


@pytest.fixture(scope="module")
def case():
    return network.Case(SMALL)


@pytest.mark.parametrize("part", ["", "_silent", "_branch"])
def test_the_published_algorithm_gives_what_ours_gives(case, part):
    with torch.no_grad():
        found, wanted = getattr(case, f"ours{part}")(), getattr(case, f"published{part}")()
    assert network.difference(found, wanted) < 1e-5
    assert found.isfinite().all()


def test_without_sound_is_the_network_whose_audio_branch_adds_nothing():
    case = network.Case(SMALL)
    with torch.no_grad():
        silent = case.ours_silent()
        assert network.difference(case.ours(), silent) > 1e-3  # else the branch would do nothing anyway
        for block in case.model.blocks:
            block.audio_attn.to_out.weight.zero_()
            block.audio_attn.to_out.bias.zero_()
        assert torch.equal(case.ours(), silent)


def test_operations_are_those_of_the_formula():
    from polytalk.planning.cost import NetworkConfig, VideoSize, call_flops

    found = network.count(SMALL)
    frames, rows, columns = SMALL.grid
    size = VideoSize(4 * frames - 3, 16 * rows, 16 * columns)
    config = NetworkConfig.from_config(network.build(SMALL, "meta").config)
    flops = call_flops(config, size, SMALL.people)
    assert found["ours"] == pytest.approx(flops.step, rel=1e-3)
    assert found["prepare"] == pytest.approx(flops.context, rel=1e-3)
    assert found["published"] > found["ours"]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux only")
def test_peak_memory_is_that_of_the_process():
    script = str(Path(network.__file__))
    sizes = json.dumps({"tokens": 8000, "heads": 1, "layers": 1, "dtype": "float32"})
    peak = {
        name: measure.run_alone(script, ["--child", sizes, name])["bytes"]
        for name in ("published_branch", "ours_branch")
    }
    rows = network.Sizes(tokens=8000).grid
    tokens, frame = rows[0] * rows[1] * rows[2], rows[1] * rows[2]
    assert peak["published_branch"] > 2 * 4 * tokens * frame  # scores and their softmax
    assert peak["ours_branch"] < peak["published_branch"]


def test_every_stage_of_the_gpu_script_runs(tmp_path, capsys):
    path = tmp_path / "gpu.json"
    results = gpu.main(["--tiny", "--here", "--json", str(path)])
    assert not results["left out"], results["left out"]
    assert json.loads(path.read_text()) == json.loads(json.dumps(results))
    measured = {**results["calls"], **results["pipeline"], **results["offload"]}
    assert not [entry for entry in measured.values() if "seconds" not in entry]
    assert {name.split(", ")[0] for name in results["calls"]} == set(tiny_scale().sizes)
    assert all(call["floor"] > 0 for call in results["calls"].values())
    assert any(name.startswith(f"{gpu.STEPS} steps, fp8") for name in results["pipeline"])
    assert "720p, fp8" in capsys.readouterr().out


def test_a_stage_that_fails_leaves_the_others(tmp_path, monkeypatch):
    def broken(scale):
        raise ValueError("no such kernel")

    monkeypatch.setitem(gpu.STAGES, "480p", broken)
    results = gpu.main(["--tiny", "--here", "--stages", "480p", "rates"])
    assert results["left out"] == {"480p": "no such kernel"}
    assert results["rates"]["attention, native"] > 0


def test_full_size_needs_a_gpu(capsys):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "--tiny" in capsys.readouterr().err
