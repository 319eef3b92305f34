"""Run as a process of its own: loads a synthesised network in several ways and prints the memory that each took.

    python measure_loading.py FOLDER [DEVICE]

Prints JSON: way -> {"peak": bytes of resident memory above the start, mapped file pages included, "kept": bytes of the
model}, "shard": bytes of the largest file.
"""

import gc
import json
import sys
from pathlib import Path

import torch

from polytalk.acceleration.quantization import quantizer
from polytalk.checkpoints.fill import load_into
from polytalk.checkpoints.layouts import locate
from polytalk.checkpoints.wan import part_openers
from polytalk.models.library_internals import float32_names
from polytalk.models.transformer import MultiTalkTransformer3DModel


def resident(field):
    """VmRSS (now) or VmHWM (most since the last reset), in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def measure(load):
    """Peak above the start, and the model's size."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    start = resident("VmRSS")
    model = load()
    peak = resident("VmHWM") - start
    kept = sum(p.numel() * p.element_size() for p in model.parameters() if not p.is_meta)
    return {"peak": peak, "kept": kept}


def main(folder, device="cpu"):
    location = locate(folder)
    part = part_openers(location)["transformer"]()
    wide = float32_names(MultiTalkTransformer3DModel)
    choices = {"dtype": torch.bfloat16, "keep_in_fp32": wide}

    def forget(name, module):
        module.to("meta")

    ways = {
        "forget": lambda: load_into(part.build, part.tensors, on_module=forget, **choices),
        "int8": lambda: load_into(part.build, part.tensors, on_module=quantizer("int8"), **choices),
        "plain": lambda: load_into(part.build, part.tensors, device=device, **choices),
    }
    measure(ways["forget"])  # what libraries allocate once is not the model's
    figures = {name: measure(load) for name, load in ways.items()}
    print(json.dumps(figures | {"shard": max(file.stat().st_size for file in part.tensors.files)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
