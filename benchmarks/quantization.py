"""What each number format of the weights costs in exactness: its error against bfloat16 on the same input.

    python benchmarks/quantization.py                          # the embedded model, whose weights are trained
    python benchmarks/quantization.py --model FOLDER           # another model
    python benchmarks/quantization.py --random --blocks 2      # random weights of the released width

Prints per scheme the norm of the difference over the norm of the output, the largest difference over the largest
output, the size of the network and seconds of the second call. With several people a token belongs to the class of the
largest value, so that a small error now and then moves one to another person, which random weights exaggerate.
"""

from __future__ import annotations

import argparse
import platform
import time
from typing import Any

import torch
from quantization_report import error_report
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from polytalk import MultiTalkPipeline
from polytalk.acceleration.quantization import SCHEMES
from polytalk.models import MultiTalkTransformer3DModel

GGUF = ("gguf-Q8_0", "gguf-Q5_0", "gguf-Q4_0")
"""Types that the package gguf can write; the K types can be read only."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini", help='"mini", a folder or a hub id')
    parser.add_argument("--random", action="store_true", help="a random network of the released width instead")
    parser.add_argument("--blocks", type=int, default=2, help="blocks of the random network")
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--frames", type=int, default=9, help="frames of the video, 4n + 1")
    parser.add_argument("--size", type=int, default=128, help="pixels in a row and column, a multiple of 16")
    parser.add_argument("--schemes", nargs="*", default=[*SCHEMES, *GGUF])
    options = parser.parse_args()
    model = random_network(options.blocks) if options.random else trained_network(options.model)
    given = inputs(model, options.people, options.frames, options.size // 8)
    seconds: list[float] = []

    def run(variant: nn.Module) -> Tensor:
        variant(**given)
        started = time.perf_counter()
        sample = variant(**given).sample
        seconds.append(time.perf_counter() - started)
        return sample

    rows = error_report(model, run, options.schemes)
    if len(seconds) == len(options.schemes) + 2:  # the reference runs before the float32 model
        seconds[:2] = reversed(seconds[:2])
    what = f"random, {options.blocks} blocks of the released width" if options.random else options.model
    print(f"{what}; {options.people} people; {platform.machine()}, {torch.get_num_threads()} threads")
    table = Table("weights", "relative error", "largest error", "MB", "s / call")
    for row, time_taken in zip(rows, seconds, strict=True):
        errors = (f"{row.relative_error:.4f}", f"{row.largest_error:.4f}")
        table.add_row(row.scheme, *errors, f"{row.num_bytes / 1e6:.1f}", f"{time_taken:.3f}")
    Console().print(table)


def trained_network(name: str) -> MultiTalkTransformer3DModel:
    """The network of a model."""
    return MultiTalkPipeline.from_pretrained(name, torch_dtype=torch.float32).components.transformer


def random_network(blocks: int) -> MultiTalkTransformer3DModel:
    """Of the released width, in bfloat16."""
    torch.manual_seed(0)
    return MultiTalkTransformer3DModel(num_layers=blocks).bfloat16().eval().requires_grad_(False)


def inputs(model: MultiTalkTransformer3DModel, people: int, frames: int, side: int) -> dict[str, Any]:
    """Random arguments of a call; people stand side by side."""
    config: Any = model.config
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(model.device)

    masks = torch.zeros(1, people, side, side, dtype=torch.bool, device=model.device)
    for person in range(people):
        masks[:, person, :, person * side // people : (person + 1) * side // people - 2] = True
    text_len = config.text_len or 32
    return {
        "hidden_states": draw(1, config.in_channels, 1 + (frames - 1) // config.frames_per_latent, side, side),
        "timestep": torch.tensor([600.0], device=model.device),
        "encoder_hidden_states": draw(1, text_len, config.text_dim),
        "encoder_hidden_states_image": None if config.image_dim is None else draw(1, 257, config.image_dim),
        "encoder_hidden_states_audio": draw(
            1, people, frames, config.audio_window, config.audio_layers, config.audio_channels
        ),
        "speaker_masks": masks if people > 1 else None,
    }


if __name__ == "__main__":
    main()
