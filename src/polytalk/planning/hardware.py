"""What a run is planned for: a GPU's memory and rates from a small table, or this machine's processor, measured."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import psutil
import torch

from polytalk.acceleration.precision import choose_dtype
from polytalk.errors import PolytalkError

GIB = 2**30
MATMUL_SHARE = 0.8
"""Of a GPU's nominal rate that large products reach (H200: 790 of 989 TFLOP/s, measured)."""
ATTENTION_SHARE = 0.75
"""Of that, what attention reaches with PyTorch's own kernels."""
EIGHT_BIT_GAIN = 1.8
"""How much faster 8-bit floating-point products are than bfloat16's where the GPU has them."""
BANDWIDTH_SHARE = 0.8
"""Of a GPU's nominal memory bandwidth."""
_RESERVED = 0.6 * GIB
"""Of a GPU's memory that the driver, PyTorch's kernels and the libraries' work spaces take."""
_FRAGMENTED = 0.04
"""Of the rest that is lost between blocks of PyTorch's allocator."""
_CPU_PROBE = 1024
_CPU_RUNS = 3


@dataclass(frozen=True)
class Device:
    """What work is planned for."""

    name: str
    """As a user knows it."""
    kind: str
    """"cuda" or "cpu"."""
    memory: float
    """Bytes; of a CPU those of the machine."""
    matmul_rate: float
    """Operations a second of large products of bfloat16 matrices (float32 where it has none)."""
    attention_rate: float
    """Operations a second of attention."""
    bandwidth: float
    """Bytes a second between memory and cores."""
    link: float
    """Bytes a second from pinned host memory; of a CPU its memory's."""
    has_bfloat16: bool = True
    """Whether bfloat16 is the format of choice."""
    has_fp8: bool = False
    """Whether it multiplies 8-bit floating-point matrices."""
    assumed: bool = False
    """Only the memory was given; the rates are those of a card of that size."""

    @property
    def dtype(self) -> str:
        """Number format that a model runs in here."""
        return "bfloat16" if self.has_bfloat16 else "float32"

    @property
    def usable(self) -> float:
        """Bytes that tensors can have."""
        if self.kind == "cpu":
            return self.memory
        return max(0.0, self.memory - _RESERVED) * (1 - _FRAGMENTED)


def _gpu(gib: float, tflops: float, gb_s: float, link: float, *, bf16: bool = True, fp8: bool = False) -> Device:
    matmul = tflops * 1e12 * MATMUL_SHARE
    rates = (matmul, matmul * ATTENTION_SHARE, gb_s * 1e9 * BANDWIDTH_SHARE, link * 1e9)
    return Device("", "cuda", gib * GIB, *rates, has_bfloat16=bf16, has_fp8=fp8)


GPUS = {
    # GiB, nominal dense TFLOP/s in bfloat16 with float32 sums, GB/s of its memory, GB/s from the host
    "B200": _gpu(178, 2250, 8000, 50, fp8=True),
    "H200": _gpu(140, 989, 4800, 50, fp8=True),
    "H100": _gpu(79, 989, 3350, 50, fp8=True),
    "H100 PCIe": _gpu(79, 756, 2000, 50, fp8=True),
    "A100": _gpu(79, 312, 2000, 24),
    "A100 40GB": _gpu(39, 312, 1555, 24),
    "RTX PRO 6000": _gpu(95, 500, 1790, 50, fp8=True),
    "L40S": _gpu(44, 362, 864, 24, fp8=True),
    "RTX 6000 Ada": _gpu(47, 364, 960, 24, fp8=True),
    "RTX A6000": _gpu(47, 155, 768, 24),
    "A10G": _gpu(22, 70, 600, 24),
    "L4": _gpu(22, 121, 300, 24, fp8=True),
    "RTX 5090": _gpu(31, 210, 1790, 50, fp8=True),
    "RTX 5080": _gpu(15.5, 113, 960, 50, fp8=True),
    "RTX 5070 Ti": _gpu(15.5, 88, 896, 50, fp8=True),
    "RTX 5070": _gpu(11.5, 62, 672, 50, fp8=True),
    "RTX 4090": _gpu(23.5, 165, 1008, 24, fp8=True),
    "RTX 4080": _gpu(15.6, 97, 717, 24, fp8=True),
    "RTX 4070": _gpu(11.6, 58, 504, 24, fp8=True),
    "RTX 4060 Ti 16GB": _gpu(15.6, 44, 288, 12, fp8=True),
    "RTX 4060": _gpu(7.6, 30, 272, 12, fp8=True),
    "RTX 3090": _gpu(23.6, 71, 936, 24),
    "RTX 3080": _gpu(9.6, 60, 760, 24),
    "RTX 3060": _gpu(11.6, 25.5, 360, 24),
    "V100": _gpu(31.7, 15.7, 900, 12, bf16=False),
    "T4": _gpu(14.6, 8.1, 320, 12, bf16=False),
}
"""Cards by name. Without bfloat16 the rate is float32's."""
GPUS = {name: replace(card, name=name) for name, card in GPUS.items()}


def parse_bytes(text: str, knob: str = "vram") -> float:
    """ "8GiB", "8GB", "8G", "8192MiB" or "8" (GiB) to bytes.

    Args:
        text: the size.
        knob: what it was given for, for errors.

    Raises:
        PolytalkError: no size, or none above 0.
    """
    units = {"": GIB, "g": GIB, "gib": GIB, "gb": 1e9, "m": 2**20, "mib": 2**20, "mb": 1e6, "t": 2**40, "tib": 2**40}
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if found is None or found[2].lower() not in units or float(found[1]) == 0:
        raise PolytalkError(knob, f"{text!r} is no size", "Give e.g. 8GiB or 24GB.")
    return float(found[1]) * units[found[2].lower()]


def find_gpu(name: str) -> Device:
    """A card of the table; case, spaces and words like NVIDIA or GeForce do not matter, and "4090" is enough.

    Raises:
        PolytalkError: unknown.
    """
    wanted = _plain(name)
    # a name such as "NVIDIA H100 80GB HBM3" names the card that it contains; the longest such name is meant
    inside = [card for card in GPUS if _plain(card) in wanted]
    if inside:
        return GPUS[max(inside, key=len)]
    containing = [card for card in GPUS if wanted and wanted in _plain(card)]
    if containing:
        return GPUS[min(containing, key=len)]
    raise PolytalkError("gpu", f"{name!r} is not in the table", f"Give `vram`, or one of {', '.join(GPUS)}.")


def _plain(name: str) -> str:
    text = re.sub(r"nvidia|geforce|tesla|quadro", "", name.lower())
    return re.sub(r"[^a-z0-9]", "", text)


def planned_device(vram: str | None = None, gpu: str | None = None, device: str | None = None) -> Device:
    """The device that a plan is for.

    Args:
        vram: memory of a GPU, e.g. "8GiB"; also lowers that of `gpu`.
        gpu: a card's name.
        device: "cpu", "cuda" or "cuda:1" of this machine.

    Returns:
        The card named; with memory alone one of that size, its rates assumed; else this machine's GPU or CPU.

    Raises:
        PolytalkError: unknown card, no size, or no such device here.
    """
    if gpu is not None:
        card = find_gpu(gpu)
        return replace(card, memory=parse_bytes(vram)) if vram else card
    here = None if device == "cpu" or not torch.cuda.is_available() else _this_gpu(device)
    if vram is not None:
        memory = parse_bytes(vram)
        return replace(here, memory=memory) if here else _card_of_size(memory)
    if here is not None:
        return here
    if device is not None and device.startswith("cuda"):
        remedy = "Name the GPU to plan for by `gpu` or `vram`."
        raise PolytalkError("device", "this machine has no CUDA GPU", remedy)
    return this_cpu()


def _card_of_size(memory: float) -> Device:
    """The slowest card with about that memory, or the largest one."""
    fitting = [card for card in GPUS.values() if card.memory >= 0.9 * memory and card.has_bfloat16]
    smallest = min((card.memory for card in fitting), default=None)
    if smallest is None:
        typical = max(GPUS.values(), key=lambda card: card.memory)
    else:
        alike = [card for card in fitting if card.memory <= 1.1 * smallest]
        typical = min(alike, key=lambda card: card.matmul_rate)
    return replace(typical, memory=memory, assumed=True)


def _this_gpu(device: str | None) -> Device:
    index = torch.device(device or "cuda").index or 0
    properties = torch.cuda.get_device_properties(index)
    try:
        card = find_gpu(properties.name)
    except PolytalkError:
        card = replace(_card_of_size(properties.total_memory), name=properties.name)
    return replace(card, memory=properties.total_memory, assumed=card.assumed)


def this_cpu(dtype: str | None = None) -> Device:
    """This machine's processor, its rates measured in about 0.1 s.

    Args:
        dtype: format to measure in; None is bfloat16 where it is worth it, else float32.
    """
    number = choose_dtype(dtype, torch.device("cpu"))
    matmul = _matmul_rate(number)
    copied = _copy_rate()
    return Device(
        "this CPU",
        "cpu",
        psutil.virtual_memory().total,
        matmul,
        matmul * ATTENTION_SHARE,
        copied,
        copied,
        has_bfloat16=number == torch.bfloat16,
    )


def _matmul_rate(dtype: torch.dtype) -> float:
    x = torch.ones(_CPU_PROBE, _CPU_PROBE, dtype=dtype)
    return 2.0 * _CPU_PROBE**3 / _best_seconds(lambda: torch.mm(x, x))


def _copy_rate() -> float:
    """Bytes a second read and written by an elementwise operation on 32 MB."""
    x = torch.ones(8 * 2**20)
    return 2.0 * x.numel() * x.element_size() / _best_seconds(lambda: x.mul(2.0))


def _best_seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_CPU_RUNS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
