"""Which device and which number format a machine runs fastest."""

from __future__ import annotations

import torch

from polytalk.errors import PolytalkError
from polytalk.models.library_internals import processor_has
from polytalk.units import torch_dtype

BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")
"""Instruction sets of processors on which networks run in bfloat16 unasked: Intel's matrix unit (Sapphire Rapids and
later), and AVX512's products (Zen 4 and later, Cooper Lake), with which mini was trained and measured. ARM's ("bf16":
Graviton 3) does not count: it has not been measured, and bfloat16 costs digits. Other processors emulate it, much
slower."""


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
        raise PolytalkError("device", f"this machine has no {chosen.type}", 'Use `device="cpu"`, or leave it out.')
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        problem = f"there is no {chosen}, only {torch.cuda.device_count()} GPU(s)"
        raise PolytalkError("device", problem, "GPUs count from 0.")
    return chosen


def choose_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """The number format asked for, or bfloat16 where it is fast and float32 elsewhere; always the same on one machine.

    Raises:
        PolytalkError: unknown.
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype is not None:
        return torch_dtype(dtype)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if device.type == "cpu" and any(map(processor_has, BFLOAT16_FLAGS)) else torch.float32
