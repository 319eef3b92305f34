"""Several processes on CPU (gloo) against one."""

import multiprocessing

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parallel_cases import CASES, work

from polytalk import PolytalkError
from polytalk.acceleration.parallel.division import RankShard
from polytalk.acceleration.parallel.launch import is_main_process, join, num_processes
from polytalk.config.options import LoadOptions, ParallelChoice

PATIENCE = 240


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """World size -> rank -> case -> what went wrong. Every world is started once."""
    context = multiprocessing.get_context("forkserver")  # PyTorch is imported once for all processes
    context.set_forkserver_preload(["parallel_cases"])
    found = {}
    for world in CASES:
        folder = tmp_path_factory.mktemp(f"world{world}")
        processes = [context.Process(target=work, args=(rank, world, str(folder))) for rank in range(world)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(PATIENCE)
            process.kill()
        reports = [folder / f"{rank}.pt" for rank in range(world)]
        found[world] = [torch.load(path) if path.exists() else None for path in reports]
    return found


@pytest.mark.parametrize(
    ("world", "name"), [(world, function.__name__) for world, functions in CASES.items() for function in functions]
)
def test_processes_agree_with_one(world, name, outcomes):
    for rank, failures in enumerate(outcomes[world]):
        assert failures is not None, f"process {rank} of {world} died"
        assert name not in failures, f"process {rank} of {world}: {failures[name]}"


@given(total=st.integers(1, 500), ranks=st.integers(1, 16))
def test_shards_are_those_of_tensor_split(total, ranks):
    shard = RankShard(total, 0, ranks, None)
    wanted = [(int(part[0]), int(part[-1]) + 1) for part in torch.arange(total).tensor_split(ranks) if len(part)]
    bounds = [shard.bounds(rank) for rank in range(ranks)]
    assert [both for both in bounds if both[0] < both[1]] == wanted
    assert bounds[-1][1] == total


@given(
    ulysses=st.integers(1, 8),
    ring=st.integers(1, 8),
    guidance=st.integers(1, 3),
    fsdp=st.booleans(),
    world=st.integers(2, 64),
)
def test_degrees_multiply_to_the_processes(ulysses, ring, guidance, fsdp, world):
    choice = ParallelChoice(ulysses, ring, guidance, fsdp)
    text = f"ulysses={ulysses}, ring={ring},guidance={guidance}" + ",fsdp" * fsdp
    assert ParallelChoice.parse(text) == choice
    product = ulysses * ring * guidance
    if product == world or (product == 1 and fsdp):
        choice.check_processes(world)
    else:
        with pytest.raises(PolytalkError, match=f"for {world} processes"):
            choice.check_processes(world)


@pytest.mark.parametrize(
    "text", ["", "ulysses", "ulysses=two", "ulysses=-2", "fsdp=1", "tensor=2", "ring=1.5", "ulysses=²"]
)
def test_unknown_words_are_refused(text):
    with pytest.raises(PolytalkError, match="parallel"):
        ParallelChoice.parse(text)


@pytest.mark.parametrize("degrees", [{"ulysses": 0}, {"ring": -1}, {"guidance": 4}, {"ulysses": True}, {"ring": 1.5}])
def test_impossible_degrees_are_refused(degrees):
    with pytest.raises(PolytalkError, match=next(iter(degrees))):
        ParallelChoice(**degrees)


def test_one_process_has_nobody_to_share_with(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PolytalkError, match="torchrun"):
        join("cpu")
    with pytest.raises(PolytalkError, match="one process only"):
        ParallelChoice(fsdp=True).check_processes(1)


def test_who_writes_is_read_from_the_environment():
    assert num_processes({}) == 1
    assert is_main_process({})
    launched = {"RANK": "3", "WORLD_SIZE": "4"}
    assert num_processes(launched) == 4
    assert not is_main_process(launched)
    assert is_main_process(launched | {"RANK": "0"})


@pytest.mark.parametrize(
    ("levers", "field"),
    [
        ({"offload": "group"}, "offload"),
        ({"offload": "model"}, "offload"),
        ({"layerwise_casting": True}, "layerwise_casting"),
        ({"quantization": "fp8"}, "quantization"),
        ({"step_cache": "firstblock"}, "step_cache"),
    ],
)
def test_levers_that_sharded_weights_exclude(levers, field):
    with pytest.raises(PolytalkError) as error:
        LoadOptions(parallel=ParallelChoice(fsdp=True), **levers)
    assert error.value.field == field


def test_a_cache_that_looks_at_tokens_cannot_decide_alike():
    with pytest.raises(PolytalkError, match="disagree"):
        LoadOptions(parallel=ParallelChoice(ulysses=2), step_cache="firstblock")
