"""Seconds, peak memory and floating-point operations of a call, and the machine they were measured on."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

RESET_PEAK = "5"
"""What Linux wants written to /proc/self/clear_refs to forget the peak of the resident set."""
STEADY_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Has glibc give freed tensors back at once, so that the resident set follows the live tensors."""


@dataclass(frozen=True)
class Seconds:
    """One call's time over several rounds."""

    wall: float
    """Shortest; what others do on the machine can only lengthen it."""
    median: float
    """Middle of the rounds."""
    processor: float
    """Least processor time of all threads; hardly touched by what others do."""


def time_rounds(cases: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Seconds]:
    """Time each case once a round, in turn, so that a slow moment of the machine hits all of them alike."""
    wall: dict[str, list[float]] = {name: [] for name in cases}
    processor: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, call in cases.items():
            gc.collect()
            began, used = time.perf_counter(), time.process_time()
            call()
            wall[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - used)
    return {name: Seconds(min(wall[name]), median(wall[name]), min(processor[name])) for name in cases}


def peak_memory(call: Callable[[], Any]) -> int:
    """Bytes by which the resident set rises while `call` runs. Exact on Linux in a fresh process only."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
        before = _status("VmRSS")
    except (OSError, AttributeError):  # not Linux: the peak cannot be forgotten
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        call()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) - before
    call()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def run_alone(script: str, arguments: list[str]) -> dict[str, Any]:
    """Run a script in a process of its own; returns the JSON of its last line."""
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, env={**os.environ, **STEADY_ALLOCATOR}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def operations(call: Callable[[], Any]) -> int:
    """Floating-point operations of the matrix products in `call`, whose tensors are best on the meta device."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return counter.get_total_flops()


def machine() -> dict[str, Any]:
    """What the measurement ran on."""
    from polytalk.cli.info import processor_name

    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": [round(x, 1) for x in os.getloadavg()],
    }


def write_results(path: Path | None, results: dict[str, Any]) -> None:
    """Write the results as JSON, if a path is given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n")


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """A table in Markdown, the first column left, the others right."""
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for index, row in enumerate(table):
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("| " + " | ".join(cells) + " |")
        if index == 0:
            print("| " + " | ".join("-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)) + " |")
