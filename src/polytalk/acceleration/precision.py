"""Which device and which number format a machine runs fastest."""

from __future__ import annotations

import time

import torch

from polytalk.errors import PolytalkError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PROBE_SIZE = 512
_PROBE_RUNS = 4
_WORTHWHILE = 1.3
"""bfloat16 costs digits: it must gain at least this factor."""


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or the best one there is: a CUDA GPU, Apple's, the CPU.

    Raises:
        PolytalkError: unknown, or not in this machine.
    """
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise PolytalkError("device", f"{device!r} is unknown", "Use cpu, cuda, cuda:1 or mps.") from None
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(chosen.type, False):
        raise PolytalkError("device", f"this machine has no {chosen.type}", "Use --device cpu, or leave it out.")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        problem = f"there is no {chosen}, only {torch.cuda.device_count()} GPU(s)"
        raise PolytalkError("device", problem, "GPUs count from 0.")
    return chosen


def choose_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """The number format asked for, or bfloat16 where it is fast and float32 elsewhere.

    Raises:
        PolytalkError: unknown.
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype is not None:
        if dtype not in _DTYPES:
            raise PolytalkError("dtype", f"{dtype!r} is unknown", f"Use one of {', '.join(_DTYPES)}.")
        return _DTYPES[dtype]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if device.type == "cpu" and bfloat16_speedup() > _WORTHWHILE else torch.float32


def bfloat16_speedup() -> float:
    """How many times faster than float32 this CPU multiplies bfloat16 matrices; takes some 20 ms.

    Instruction sets do not tell: AVX512-BF16 loses in some kernels, AMX wins by far, others emulate.
    """
    return _matmul_seconds(torch.float32) / _matmul_seconds(torch.bfloat16)


def _matmul_seconds(dtype: torch.dtype) -> float:
    x = torch.ones(_PROBE_SIZE, _PROBE_SIZE, dtype=dtype)
    best = float("inf")
    for _ in range(_PROBE_RUNS):
        start = time.perf_counter()
        torch.mm(x, x)
        best = min(best, time.perf_counter() - start)
    return best
