"""Several processes on CPU (gloo) against one."""

import multiprocessing

import pytest
import torch
from parallel_cases import CASES, work

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
