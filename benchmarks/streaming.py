"""A network that fits neither GPU nor host memory, run from disk: peak memory and seconds of one call.

    python benchmarks/streaming.py                        # the 14B model in int8: 40 blocks, 19 GB on disk meanwhile
    python benchmarks/streaming.py --blocks 4 --people 3  # smaller

Writes a random checkpoint of the released size, block by block, to a temporary folder (`--folder` chooses the disk),
reads the model so that its blocks stay there, and makes one prediction. Memory is the process's own: anonymous (what it
allocated) and resident in all (with libraries and mapped files); the system's cache of the files is not part of it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import torch
from accelerate import init_empty_weights
from safetensors.torch import save_file
from torch import Tensor, nn

from polytalk.acceleration.quantization import convert_linears
from polytalk.acceleration.streaming import BlockStream, load_streamed, stream_of
from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.models import MultiTalkTransformer3DModel
from polytalk.models.quantized import Int4Linear, Int8Linear

INDEX = "diffusion_pytorch_model.safetensors.index.json"
EMPTY = {"int8": Int8Linear.empty, "int4": Int4Linear.empty, "bf16": None}
TEXT_TOKENS, IMAGE_TOKENS = 512, 257
GB = 1e9
POOL = 2**27
"""Random bytes drawn; weights are pieces of them."""
SAMPLING = 0.02
"""Seconds between two looks at the memory."""


def main() -> None:
    options = parse()
    folder = Path(tempfile.mkdtemp(prefix="polytalk-streaming-", dir=options.folder))
    try:
        started = time.perf_counter()
        config = {"num_layers": options.blocks}
        with ProcessPoolExecutor(1, get_context("spawn")) as writer:  # whose memory does not count
            size = writer.submit(write_checkpoint, folder, config, options.scheme).result()
        print(f"checkpoint     {size / GB:6.2f} GB written in {time.perf_counter() - started:.0f} s ({options.scheme})")
        run(folder, config, options)
    finally:
        if not options.keep:
            shutil.rmtree(folder)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=40, help="blocks of the network; the released one has 40")
    parser.add_argument("--scheme", choices=EMPTY, default="int8", help="format of the blocks' weights")
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--frames", type=int, default=9, help="frames of the video, 4n + 1")
    parser.add_argument("--height", type=int, default=128, help="pixels, a multiple of 16")
    parser.add_argument("--width", type=int, default=128, help="pixels, a multiple of 16")
    parser.add_argument("--calls", type=int, default=2, help="predictions; each reads the blocks again")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--folder", help="where the checkpoint is written; None is the system's temporary folder")
    parser.add_argument("--keep", action="store_true", help="do not delete the checkpoint")
    return parser.parse_args()


def write_checkpoint(folder: Path, config: dict, scheme: str) -> int:
    """Random weights of the released shapes, a file per block and one for the rest; returns the bytes."""
    with init_empty_weights(include_buffers=False):
        model = MultiTalkTransformer3DModel(**config)
        if EMPTY[scheme] is not None:
            for block in model.blocks:
                convert_linears(block, EMPTY[scheme])
    rng = np.random.default_rng(0)
    pool = np.frombuffer(rng.bytes(POOL), np.uint8)
    places, total = {}, 0
    units = [("", model), *((f"blocks.{i}.", block) for i, block in enumerate(model.blocks))]
    for number, (prefix, module) in enumerate(units):
        names = [name for name in module.state_dict() if prefix or not name.startswith("blocks.")]
        state = {prefix + name: random_tensor(name, module.state_dict()[name], module, pool, rng) for name in names}
        file = f"diffusion_pytorch_model-{number:05d}.safetensors"
        save_file(state, folder / file)
        places |= dict.fromkeys(state, file)
        total += (folder / file).stat().st_size
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": places}))
    return total


def random_tensor(name: str, like: Tensor, module: nn.Module, pool: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Matrices that keep the size of what flows through, norms of one, small biases; bytes come from the pool."""
    path, _, leaf = name.rpartition(".")
    layer = module.get_submodule(path)
    if not like.is_floating_point():  # packed: any bytes will do
        start = int(rng.integers(POOL - like.numel()))
        return torch.from_numpy(pool[start : start + like.numel()].copy()).view(like.dtype).view(like.shape)
    if leaf == "weight_scale":
        deviation = 74 if isinstance(layer, Int8Linear) else 4.6  # of the numbers that the bytes stand for
        return torch.full(like.shape, 1 / (deviation * layer.in_features**0.5), dtype=like.dtype)
    if leaf == "weight" and like.ndim == 1:
        return torch.ones(like.shape, dtype=torch.bfloat16)
    noise = torch.from_numpy(np.resize(rng.standard_normal(min(like.numel(), POOL // 8), np.float32), like.shape))
    fan = like[0].numel() if like.ndim > 1 and leaf == "weight" else 5120
    return (noise / fan**0.5).bfloat16()


@torch.no_grad()
def run(folder: Path, config: dict, options: argparse.Namespace) -> None:
    """Load, prepare the conditioning, predict."""
    keep = tuple(MultiTalkTransformer3DModel._keep_in_fp32_modules)
    with measured("load"):
        model = load_streamed(
            lambda: MultiTalkTransformer3DModel(**config),
            Checkpoint.open(folder / INDEX),
            device=options.device,
            keep_in_fp32=keep,
        )
    stream = stream_of(model)
    assert stream is not None
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"parameters     {parameters / 1e9:6.2f} × 10⁹ (as stored), torch with {torch.get_num_threads()} threads")
    latent, masks, context = inputs(options)
    print(f"video tokens   {latent[0, 0].numel() // 4:6d} ({options.frames} frames, {options.width}×{options.height})")
    with measured("conditioning", stream):
        conditioning = model.prepare_conditioning(*context)
    timestep = torch.tensor([900.0], device=options.device)
    for _ in range(options.calls):
        with measured("call", stream):
            sample = model(latent, timestep, speaker_masks=masks, conditioning=conditioning).sample
    if not sample.isfinite().all():
        sys.exit("the prediction is not finite")


def inputs(options: argparse.Namespace) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...]]:
    """Latent, masks of people side by side, and text, picture and sound."""
    generator = torch.Generator().manual_seed(0)
    frames, rows, columns = 1 + (options.frames - 1) // 4, options.height // 8, options.width // 8

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(options.device)

    masks = torch.zeros(1, options.people, rows, columns, dtype=torch.bool, device=options.device)
    for person in range(options.people):
        masks[:, person, :, person * columns // options.people : (person + 1) * columns // options.people - 1] = True
    sound = draw(1, options.people, options.frames, 5, 12, 768)
    context = (draw(1, TEXT_TOKENS, 4096), draw(1, IMAGE_TOKENS, 1280), sound)
    return draw(1, 36, frames, rows, columns), masks if options.people > 1 else None, context


@contextmanager
def measured(what: str, stream: BlockStream | None = None) -> Iterator[None]:
    """Print seconds, bytes read and the largest memory while the body runs."""
    process, peaks, done = psutil.Process(), [0, 0], threading.Event()

    def look() -> None:
        while True:
            memory = process.memory_info()
            anonymous = memory.rss - memory.shared  # on Linux
            peaks[:] = max(peaks[0], anonymous), max(peaks[1], memory.rss)
            if done.wait(SAMPLING):
                return

    before = 0 if stream is None else stream.bytes_read
    watcher = threading.Thread(target=look)
    watcher.start()
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - started
        done.set()
        watcher.join()
    read = "" if stream is None else f", {(stream.bytes_read - before) / GB:.2f} GB read"
    memory = f"peak memory {peaks[0] / GB:.2f} GB anonymous, {peaks[1] / GB:.2f} GB resident"
    gpu = f", {torch.cuda.max_memory_allocated() / GB:.2f} GB on the GPU" if torch.cuda.is_available() else ""
    print(f"{what:14s} {seconds:6.1f} s{read}; {memory}{gpu}", flush=True)


if __name__ == "__main__":
    main()
