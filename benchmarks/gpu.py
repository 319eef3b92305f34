"""The released model at full size on one GPU, with random weights: `python benchmarks/gpu.py [--json OUT]`.

Stages, each in a process of its own that starts only while there is time left (`--minutes`); results are written after
each:
- rates:     what the machine's matrix products, attention and copies reach, on this network's shapes;
- 480p:      seconds of one call for two people: plain, with the quickest exact attention kernel, compiled, with fp8
             products, with sage attention;
- pipeline:  picture and voices to frames in four steps of one prediction, compiled, fp8; the parts around the network;
- offload:   the same within 8 GiB of GPU memory, enforced, the blocks coming from host memory;
- 720p:      as 480p, compiled only.
The floor is what the operations of a call would take at the rates measured. `--tiny` runs all of it on the CPU with
tiny networks, which tests the script and measures nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from gpu_model import (
    PEOPLE,
    Scale,
    full_scale,
    make_components,
    make_inputs,
    make_pipeline,
    make_scene,
    make_transformer,
    tiny_scale,
)
from measure import machine, print_table, write_results
from torch import Tensor

from polytalk.acceleration.apply import apply_options, set_attention_backend
from polytalk.acceleration.block_hooks import compile_blocks
from polytalk.acceleration.quantization import quantize
from polytalk.config.options import LoadOptions
from polytalk.errors import PolytalkError
from polytalk.models.attention import attend
from polytalk.planning.cost import NetworkConfig, VideoSize, call_flops
from polytalk.units import SAMPLES_PER_FRAME

BACKENDS = ("native", "_native_flash", "_native_cudnn", "_flash_3", "flash", "sage")
"""Attention kernels tried, by diffusers' names; those that are not installed are noted."""
ROUNDING = ("sage",)
"""Those that compute in fewer bits."""
STEPS = 4
AIMS = {"480p, bfloat16": 2.8, "480p, fp8": 1.9, "pipeline": 14.0}
"""Seconds."""
START_SECONDS = 60
"""A stage is not begun with less than this left."""


def synchronize(device: str) -> None:
    """Wait for the GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(call: Callable[[], Any], device: str, repeats: int) -> float:
    """Median seconds of a call, after one that does not count."""
    first = call()
    if isinstance(first, Tensor) and not first.isfinite().all():
        raise ValueError("gave numbers that are not finite")
    del first
    times = []
    for _ in range(repeats):
        synchronize(device)
        began = time.perf_counter()
        call()
        synchronize(device)
        times.append(time.perf_counter() - began)
    return median(times)


def free_memory(device: str) -> None:
    """Give back what nobody holds, and forget peaks."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib(device: str) -> float | None:
    """Most GPU memory held by tensors since `free_memory`."""
    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None


@contextmanager
def refusals(results: dict[str, Any], name: str):
    """A lever that this machine lacks, that fails on it or does not fit is noted and passed over."""
    try:
        yield
    except Exception as error:  # kernels fail in ways of their own, and the other figures are wanted all the same
        results[name] = {"not measured": (str(error).strip().splitlines() or [type(error).__name__])[0][:200]}


def measure_rates(scale: Scale) -> dict[str, Any]:
    """Operations a second of products and attention, bytes a second of copies."""
    side, device, results = scale.matrix, scale.device, {}

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=torch.bfloat16)

    size, heads, width = next(iter(scale.sizes.values())), *_heads(scale)
    tokens = size.tokens()
    for name, (rows, inner, columns) in {
        "square": (side, side, side),
        "projection": (tokens, heads * width, heads * width),
    }.items():
        left, right = random(rows, inner), random(inner, columns)
        seconds = seconds_of(lambda: left @ right, device, 10 * scale.repeats)  # noqa: B023
        results[f"bfloat16 products, {name}"] = 2 * rows * inner * columns / seconds
        if device == "cuda":
            with refusals(results, f"fp8 products, {name}"):
                seconds = seconds_of(_fp8_product(left, right), device, 10 * scale.repeats)
                results[f"fp8 products, {name}"] = 2 * rows * inner * columns / seconds
    for backend, rate in attention_rates(scale, size).items():
        results[f"attention, {backend}"] = rate
    block = torch.empty(2**30 if device == "cuda" else 2**20, dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    results["copy on the device, bytes read and written"] = (
        2 * block.numel() / seconds_of(lambda: other.copy_(block), device, 10)
    )
    if device == "cuda":
        host = torch.empty_like(block, device="cpu").pin_memory()
        results["copy from pinned host memory"] = block.numel() / seconds_of(lambda: block.copy_(host), device, 5)
    return {"rates": results}


def attention_rates(scale: Scale, size: VideoSize) -> dict[str, Any]:
    """Operations a second of self-attention at a size, by kernel."""
    heads, width = _heads(scale)
    tokens, results = size.tokens(), {}
    query, key, value = (torch.randn(1, tokens, heads, width).to(scale.device, torch.bfloat16) for _ in range(3))
    for backend in BACKENDS if scale.device == "cuda" else ("native",):
        with refusals(results, backend):
            chosen = _backend(backend)
            seconds = seconds_of(lambda: attend(query, key, value, chosen), scale.device, scale.repeats)  # noqa: B023
            results[backend] = 4 * tokens * tokens * heads * width / seconds
    return results


def quickest_backend(rates: dict[str, Any]) -> str:
    """The kernel with the highest rate of those that do not round."""
    exact = {name: rate for name, rate in rates.items() if isinstance(rate, float) and name not in ROUNDING}
    return max(exact, key=lambda name: exact[name])


def _heads(scale: Scale) -> tuple[int, int]:
    config = NetworkConfig.from_config(scale.transformer)
    return config.num_attention_heads, config.attention_head_dim


def _backend(name: str) -> Any:
    from diffusers.models.attention_dispatch import AttentionBackendName, _check_attention_backend_requirements

    chosen = AttentionBackendName(name)
    try:
        _check_attention_backend_requirements(chosen)
    except RuntimeError as error:
        raise PolytalkError("attention_backend", str(error), "Install it.") from error
    return chosen


def _fp8_product(left: Tensor, right: Tensor) -> Callable[[], Tensor]:
    narrow = torch.float8_e4m3fn
    a, b = left.to(narrow), right.t().contiguous().to(narrow).t()
    rows = torch.ones(left.shape[0], 1, device=left.device)
    columns = torch.ones(1, right.shape[1], device=left.device)
    return lambda: torch._scaled_mm(a, b, scale_a=rows, scale_b=columns, out_dtype=torch.bfloat16, use_fast_accum=True)


def measure_calls(scale: Scale, name: str) -> dict[str, Any]:
    """One call at a size by kernel, number format and compilation."""
    device, size, results = scale.device, scale.sizes[name], {}
    rates = attention_rates(scale, size)
    best = quickest_backend(rates)
    free_memory(device)
    model = make_transformer(scale)
    inputs = make_inputs(model, size, device)

    def time_call(number_format: str, backend: str, how: str) -> None:
        label = f"{name}, {number_format}, {backend}, {how}"
        free_memory(device)
        with refusals(results, label), torch.no_grad():
            set_attention_backend(model, backend, torch.device(device))
            torch._dynamo.reset()
            seconds = seconds_of(lambda: model(**inputs).sample, device, scale.repeats)
            results[label] = {"seconds": seconds, "peak GiB": peak_gib(device)}
        _say(f"{label}: {results[label]}")

    if name == next(iter(scale.sizes)):
        for backend in {"native": None, best: None}:
            time_call("bfloat16", backend, "plain")
    compile_blocks(model, scale.compile_backend)
    time_call("bfloat16", best, "compiled")
    with refusals(results, f"{name}, fp8"):
        quantize(model, "fp8")
        for backend in (best, *(backend for backend in ROUNDING if isinstance(rates.get(backend), float))):
            time_call("fp8", backend, "compiled")
    return {"calls": results, "operations": _operations(scale, size, name)}


def _operations(scale: Scale, size: VideoSize, name: str) -> dict[str, Any]:
    flops = call_flops(NetworkConfig.from_config(scale.transformer), size, PEOPLE)
    return {name: {"products": flops.linears, "attention": flops.attention}}


def measure_pipeline(scale: Scale) -> dict[str, Any]:
    """Picture and voices to frames in four steps of one prediction; then the parts around the network, alone."""
    device, size, results = scale.device, next(iter(scale.sizes.values())), {}
    backend = quickest_backend(attention_rates(scale, size))
    free_memory(device)
    label = f"bfloat16, {backend}, compiled"
    transformer = make_transformer(scale)
    with refusals(results, "fp8"):
        quantize(transformer, "fp8")
        label = f"fp8, {backend}, compiled"
    options = LoadOptions(compile=True, vae_dtype="bfloat16", attention_backend=backend)
    components = make_components(scale, transformer)
    apply_options(components, options, torch.device(device), compile_backend=scale.compile_backend)
    pipe = make_pipeline(components, scale, options)
    _run_pipeline(pipe, size, device)  # compiles
    free_memory(device)
    laps = _run_pipeline(pipe, size, device)
    results[f"{STEPS} steps, {label}"] = {
        "seconds": sum(laps.values()),
        "peak GiB": peak_gib(device),
        "parts": laps,
    }
    _say(f"pipeline: {sum(laps.values()):.2f} s {laps}")
    video = torch.zeros(1, 3, size.frames, size.height, size.width, device=device)
    latents = components.encode_video(video)
    picture = torch.zeros(1, 3, size.height, size.width, device=device)
    sound = torch.randn(PEOPLE, size.frames * SAMPLES_PER_FRAME, device=device)
    for part, call in {
        "autoencoder, encode": lambda: components.encode_video(video),
        "autoencoder, decode": lambda: components.decode_video(latents),
        "text encoder, two prompts": lambda: components.encode_text(["two people talk", "bright colours"]),
        "picture encoder": lambda: components.encode_image(picture),
        "speech encoder, two voices": lambda: components.encode_speech(sound, size.frames),
    }.items():
        results[part] = {"seconds": seconds_of(call, device, scale.repeats)}
    return {"pipeline": results}


def _run_pipeline(pipe: Any, size: VideoSize, device: str) -> dict[str, float]:
    """Make a video; returns seconds by what was going on."""
    laps: dict[str, float] = {}
    now, since = "", time.perf_counter()

    def lap(following: str) -> None:
        nonlocal now, since
        synchronize(device)
        moment = time.perf_counter()
        if now:
            laps[now] = laps.get(now, 0.0) + moment - since
        now, since = following, moment

    lap("reading picture and voices")
    output = pipe(
        make_scene(size),
        size=(size.height, size.width),
        num_inference_steps=STEPS,
        guidance_scale=1.0,
        audio_guidance_scale=1.0,
        generator=torch.Generator().manual_seed(0),
        progress=lambda event: lap(event.stage.value),
    )
    lap("")
    assert output.frames.shape == (size.frames, size.height, size.width, 3)
    return laps


def measure_offload(scale: Scale) -> dict[str, Any]:
    """The same in little GPU memory: blocks come from host memory in turn, encoders wait there, decoding in tiles."""
    device, size, results = scale.device, next(iter(scale.sizes.values())), {}
    options = LoadOptions(offload="group", vae_tiling=True, vae_dtype="bfloat16", branch_chunking=False)
    components = make_components(scale, make_transformer(scale, "cpu" if device == "cpu" else None))
    if device == "cuda":
        components.transformer.to("cpu")
        for part in components.lazy_parts().values():
            with part.use() as network:
                network.to("cpu")
    apply_options(components, options, torch.device(device))
    pipe = make_pipeline(components, scale, options)
    free_memory(device)
    if scale.vram_limit is not None:
        torch.cuda.set_per_process_memory_fraction(scale.vram_limit / torch.cuda.get_device_properties(0).total_memory)
    with refusals(results, "group offload"):
        laps = _run_pipeline(pipe, size, device)
        reserved = torch.cuda.max_memory_reserved() / 2**30 if device == "cuda" else None
        results["group offload"] = {
            "seconds": sum(laps.values()),
            "seconds of a call": laps["denoising"] / STEPS,
            "peak GiB": peak_gib(device),
            "peak GiB reserved": reserved,
            "parts": laps,
        }
        _say(f"offload: {laps}, {reserved} GiB")
    return {"offload": results}


STAGES: dict[str, Callable[[Scale], dict[str, Any]]] = {
    "rates": measure_rates,
    "480p": lambda scale: measure_calls(scale, "480p"),
    "pipeline": measure_pipeline,
    "offload": measure_offload,
    "720p": lambda scale: measure_calls(scale, "720p"),
}


def add_floors(results: dict[str, Any]) -> None:
    """Seconds that each call's operations take at the rates measured, and the share of it that was reached."""
    rates = {name: rate for name, rate in results.get("rates", {}).items() if isinstance(rate, float)}
    for label, call in results.get("calls", {}).items():
        size, number_format = label.split(", ")[:2]
        product = rates.get(f"{number_format} products, projection", rates.get("bfloat16 products, projection"))
        attention = [rate for name, rate in rates.items() if name.startswith("attention") and "sage" not in name]
        if "seconds" in call and product and attention:
            operations = results["operations"][size]
            call["floor"] = operations["products"] / product + operations["attention"] / max(attention)
            call["share of the floor"] = call["floor"] / call["seconds"]
            call["TFLOP/s"] = (operations["products"] + operations["attention"]) / call["seconds"] / 1e12


def report(results: dict[str, Any]) -> None:
    """Print tables."""
    print(f"\n{results['machine']}")
    rates = results.get("rates", {})
    if rates:
        rows = [[name, f"{r / 1e12:,.2f}" if isinstance(r, float) else r["not measured"]] for name, r in rates.items()]
        print_table(["rate", "T/s"], rows)
    rows = []
    for part in ("calls", "pipeline", "offload"):
        for name, entry in results.get(part, {}).items():
            if "not measured" in entry:
                rows.append([name, entry["not measured"], "", "", ""])
            else:
                cells = [entry["seconds"], entry.get("peak GiB"), entry.get("floor"), entry.get("share of the floor")]
                rows.append([name, *("" if cell is None else f"{cell:.2f}" for cell in cells)])
    if rows:
        print_table(["", "s", "peak GiB", "floor, s", "floor reached"], rows)
    for stage, reason in results.get("left out", {}).items():
        print(f"{stage}: left out, {reason}")


def run_stages(arguments: argparse.Namespace) -> dict[str, Any]:
    """Every stage in turn while there is time; returns the results of those that ended."""
    began = time.monotonic()
    results: dict[str, Any] = {"machine": machine() | _gpu(arguments.tiny), "left out": {}}
    for stage in arguments.stages:
        left = 60 * arguments.minutes - (time.monotonic() - began)
        if left < START_SECONDS:
            results["left out"][stage] = "no time left"
            continue
        try:
            found = STAGES[stage](tiny_scale()) if arguments.here else _in_process(stage, arguments.tiny, left)
        except (subprocess.SubprocessError, ValueError) as error:
            results["left out"][stage] = str(error)[-600:]
            continue
        for part, values in found.items():
            results.setdefault(part, {}).update(values)
        add_floors(results)
        write_results(arguments.json, results)
    return results


def _in_process(stage: str, tiny: bool, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "stage.json")
        command = [sys.executable, __file__, "--stage", stage, "--json", str(out), *(["--tiny"] if tiny else [])]
        done = subprocess.run(command, timeout=seconds, stderr=subprocess.PIPE, text=True)
        if not out.exists():
            raise ValueError(done.stderr)
        return json.loads(out.read_text())


def _gpu(tiny: bool) -> dict[str, Any]:
    if tiny:
        return {"gpu": None}
    free = subprocess.run(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"], capture_output=True)
    return {"gpu": free.stdout.decode().strip()}


def _say(line: str) -> None:
    print(line, flush=True)


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Measure and print; returns the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="tiny networks on the CPU")
    parser.add_argument("--here", action="store_true", help="with --tiny: all stages in this process")
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--minutes", type=float, default=9.5, help="in all")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    parser.add_argument("--stage", choices=list(STAGES), help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if not arguments.tiny and not torch.cuda.is_available():
        parser.error("there is no GPU here; --tiny runs everything on the CPU with tiny networks")
    if arguments.here and not arguments.tiny:
        parser.error("--here is for --tiny: at full size each stage needs the GPU's memory to itself")
    if arguments.stage:
        results = STAGES[arguments.stage](tiny_scale() if arguments.tiny else full_scale())
        write_results(arguments.json, results)
        return results
    results = run_stages(arguments)
    report(results)
    return results


if __name__ == "__main__":
    main()
