"""`polytalk info`: the machine, the choices made for it, the models, and what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

PACKAGES = ("polytalk", "torch", "diffusers", "transformers", "accelerate", "peft", "av", "soxr")
OPTIONAL = {
    "skia": "drawn scenes: polytalk train, polytalk evaluate",
    "skimage": "photographic backgrounds: polytalk train, polytalk evaluate",
    "scipy": "training and evaluation",
}
"""Import name of a package of polytalk[train] -> what needs it."""


def print_info() -> None:
    """Print what a bug report needs; takes a few seconds, most of them to import PyTorch."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for rows in (_machine(), _compute(), _packages(), _models(), _missing()):
        for name, value in rows:
            table.add_row(name, value)
    Console(soft_wrap=True).print(table)


def _machine() -> list[tuple[str, str]]:
    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        ("system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"),
        ("processor", f"{processor_name()}, {cores} cores"),
        ("memory", f"{memory.total / 2**30:.1f} GB, {memory.available / 2**30:.1f} GB free"),
        ("disk", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GB free here"),
    ]


def processor_name() -> str:
    """The processor as it calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _compute() -> list[tuple[str, str]]:
    started = time.monotonic()
    import torch

    from polytalk.acceleration.precision import BFLOAT16_FLAGS, choose_device, choose_dtype

    seconds = time.monotonic() - started
    cpu_dtype = choose_dtype(None, torch.device("cpu"))
    reason = f"{'has' if cpu_dtype is torch.bfloat16 else 'lacks'} {' or '.join(BFLOAT16_FLAGS)} for bfloat16"
    devices = [f"cpu ({torch.get_num_threads()} threads, {str(cpu_dtype).removeprefix('torch.')}: it {reason})"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(f"cuda:{index} {properties.name}, {properties.total_memory / 2**30:.0f} GB")
    if torch.backends.mps.is_available():
        devices.append("mps")
    chosen = choose_device()
    dtype = str(choose_dtype(None, chosen)).removeprefix("torch.")
    return [
        ("devices", "; ".join(devices)),
        ("chosen", f"{chosen}, {dtype}"),
        ("import", f"{seconds:.1f} s for PyTorch and the pipeline"),
    ]


def _packages() -> list[tuple[str, str]]:
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} missing")
    return [("packages", ", ".join(versions))]


def _models() -> list[tuple[str, str]]:
    from polytalk.assets import embedded_models, model_folder
    from polytalk.config.index import ModelIndex

    rows = []
    for name in embedded_models():
        folder = model_folder(name)
        config = ModelIndex.read(folder).config
        size = sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6
        scales = f"guidance {config.guidance_scale:g}/{config.audio_guidance_scale:g}"
        clips = f"clips of {config.clip_frames} frames"
        rows.append((f"model {name}", f"{size:.1f} MB, {config.num_inference_steps} steps, {scales}, {clips}"))
    return rows or [("models", "none embedded")]


def _missing() -> list[tuple[str, str]]:
    from polytalk.assets import asset, embedded_models

    missing = [
        f"{name} ({what}): pip install 'polytalk[train]'"
        for name, what in OPTIONAL.items()
        if importlib.util.find_spec(name) is None
    ]
    if "mini" not in embedded_models():
        missing.append("the embedded model mini: reinstall Polytalk, or name a folder by --model")
    if not asset("demo.json").exists():
        missing.append("the demo's picture and voices: reinstall Polytalk")
    return [("missing", "; ".join(missing) or "nothing")]
