"""The processes that `torchrun` starts: who am I, which device is mine, how do we talk."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist

from polytalk.errors import PolytalkError


def num_processes(environment: Mapping[str, str] = os.environ) -> int:
    """Processes that work on this video together; 1 without torchrun. Reads the environment only."""
    return int(environment.get("WORLD_SIZE", 1)) if "RANK" in environment else 1


def is_main_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process writes files and shows progress: rank 0, or the only one. Reads the environment only."""
    return num_processes(environment) == 1 or environment["RANK"] == "0"


def join(device: str | torch.device | None = None) -> torch.device:
    """Meet the other processes, once; they part at exit.

    Args:
        device: None takes the GPU of this process's number on its machine, where there are GPUs; "cpu" or another
            device stands as given.

    Returns:
        This process's device, which has become the current one.

    Raises:
        PolytalkError: this process was not started by torchrun, or there are more processes than GPUs.
    """
    chosen = _own_device(device)
    if not dist.is_initialized():
        if not dist.is_torchelastic_launched() and "RANK" not in os.environ:
            remedy = "Start it by `torchrun --nproc-per-node N -m polytalk ...`."
            raise PolytalkError("parallel", "this process was not started by torchrun", remedy)
        # sizes and names travel by gloo, tensors of a GPU by nccl
        dist.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
        atexit.register(leave)
    return chosen


def agree(value: Any) -> Any:
    """Rank 0's value on all ranks, for what differs from machine to machine."""
    values = [value]
    dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
    return values[0]


def leave() -> None:
    """Part from the other processes; does nothing when there are none."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _own_device(device: str | torch.device | None) -> torch.device:
    asked = torch.device("cuda" if torch.cuda.is_available() else "cpu") if device is None else torch.device(device)
    if asked.type != "cuda":
        return asked
    local = int(os.environ.get("LOCAL_RANK", 0))
    if local >= torch.cuda.device_count():
        problem = f"process {local} has no GPU of its own, there are {torch.cuda.device_count()}"
        raise PolytalkError("parallel", problem, 'Start as many processes as GPUs, or use `device="cpu"`.')
    torch.cuda.set_device(local)
    return torch.device("cuda", local)
