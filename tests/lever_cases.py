"""The levers, each with what it may change in the result; a tiny model of the released family to pull them on.

`python tests/lever_cases.py > docs/levers.md` writes the table of pairs.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from quantized_models import save_plain
from safetensors.torch import save_file
from tiny_model import scene
from tiny_wan import TINY, write_released

from polytalk.acceleration.apply import apply_options
from polytalk.acceleration.quantization import quantize
from polytalk.acceleration.streaming import load_streamed
from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.config.options import LoadOptions, LoraChoice
from polytalk.models.library_internals import float32_names
from polytalk.pipeline.multitalk import MultiTalkPipeline

EXACT = 1e-4
"""Greatest relative difference of a lever that only reorders the arithmetic."""
STEPS = 8
"""Enough for every step cache to leave some out."""


@dataclass(frozen=True)
class Lever:
    """One lever."""

    name: str
    options: dict[str, Any]
    tolerance: float = EXACT
    """Relative difference (Frobenius) from the result without it, on this tiny random model."""
    kind: str = ""
    """Levers of one kind exclude each other."""
    changes_scene: bool = False
    """The result is another one on purpose (LoRA), so that it is compared with itself alone."""


LEVERS = [
    Lever("LoRA", {"loras": True}, changes_scene=True),
    Lever("int8", {"quantization": "int8"}, 0.1, "quantization"),
    Lever("fp8", {"quantization": "fp8"}, 0.2, "quantization"),
    Lever("int4", {"quantization": "int4"}, 0.6, "quantization"),
    Lever("layer-wise casting", {"layerwise_casting": True}, 0.2),
    Lever("encoders offloaded", {"offload": "model"}, kind="offload"),
    Lever("group offload", {"offload": "group"}, kind="offload"),
    Lever("blocks from disk", {"offload": "stream"}, kind="offload"),
    Lever("passes in turn", {"branch_chunking": True}),
    Lever("compile", {"compile": True}),
    Lever("attention backend", {"attention_backend": "_native_math"}),
    Lever(
        "TeaCache",
        {"step_cache": "teacache", "step_cache_threshold": 2.0, "step_cache_numbers": (1.0, 0.0)},
        0.6,
        "step cache",
    ),
    Lever("MagCache", {"step_cache": "magcache", "step_cache_numbers": (1.0,) * STEPS}, 0.6, "step cache"),
    Lever("FirstBlockCache", {"step_cache": "firstblock", "step_cache_threshold": 0.3}, 0.6, "step cache"),
    Lever("VAE tiling", {"vae_tiling": True}, 0.3),
    Lever("VAE in bfloat16", {"vae_dtype": "bfloat16"}, 0.05),
]
IMPOSSIBLE = {
    frozenset(("fp8", "blocks from disk")): "torchao's tensors are made while loading",
    frozenset(("layer-wise casting", "blocks from disk")): "weights that come from disk are held nowhere",
}
"""Pairs that are refused or make no sense, and why."""
PAIRS = [
    (a, b)
    for a, b in itertools.combinations(LEVERS, 2)
    if not (a.kind and a.kind == b.kind) and frozenset((a.name, b.name)) not in IMPOSSIBLE
]


class LeverBench:
    """A tiny released model, loaded once and copied for every case.

    Args:
        folder: for its files.
    """

    def __init__(self, folder: Path) -> None:
        size = dataclasses.replace(TINY, transformer=dataclasses.replace(TINY.transformer, num_layers=3, text_len=16))
        self.pipe = MultiTalkPipeline.from_pretrained(write_released(folder, size), "float32", "cpu")
        _enliven(self.pipe.components)
        self.lora = write_lora(folder / "tiny_lora.safetensors", self.pipe.components.transformer)
        self.results: dict[Any, dict[str, torch.Tensor]] = {}
        self.folder = folder
        self._make(self.pipe, 1, 1.0)  # reads the encoders, so that copies have them

    def result(self, levers: tuple[Lever, ...], people: int, audio_scale: float) -> dict[str, torch.Tensor]:
        """Latents and video with these levers; kept, so that each is made once."""
        key = (frozenset(lever.name for lever in levers), people, audio_scale)
        if key not in self.results:
            self.results[key] = self._run(levers, people, audio_scale)
        return self.results[key]

    def parts(self) -> Any:
        """A fresh copy of the model's parts."""
        parts = self.pipe.components
        return copy.deepcopy(parts, {id(parts.tokenizer): parts.tokenizer})

    def options(self, levers: tuple[Lever, ...]) -> LoadOptions:
        """Those that pull the levers."""
        chosen: dict[str, Any] = {}
        for lever in levers:
            chosen |= lever.options
        if "loras" in chosen:
            chosen["loras"] = (LoraChoice(self.lora, 0.8),)
        return LoadOptions(**chosen)

    def _run(self, levers: tuple[Lever, ...], people: int, audio_scale: float) -> dict[str, torch.Tensor]:
        options, parts = self.options(levers), self.parts()
        if options.compile:
            torch._dynamo.reset()
        if options.quantization:
            quantize(parts.transformer, options.quantization)
        if options.offload == "stream":
            parts.transformer = self._streamed(parts.transformer)
        if options.vae_dtype:
            parts.vae.to(getattr(torch, options.vae_dtype))
        parts = apply_options(parts, options, compile_backend="eager")
        if options.vae_tiling:
            small_tiles(parts.vae)
        made: dict[str, torch.Tensor] = {}
        watch(parts, "decode_video", lambda latents, video: made.update(latents=latents, video=video.float()))
        self._make(MultiTalkPipeline(parts, self.pipe.config, options), people, audio_scale)
        return made

    def _streamed(self, network: Any) -> Any:
        """The same network with its blocks on disk."""
        checkpoint = Checkpoint.open(save_plain(network, self.folder / f"{len(self.results)}.safetensors"))
        kept = float32_names(network)
        streamed = load_streamed(
            lambda: type(network)(**sizes_of(network)), checkpoint, dtype=torch.float32, keep_in_fp32=kept
        )
        return streamed.requires_grad_(False)

    def _make(self, pipe: MultiTalkPipeline, people: int, audio_scale: float) -> None:
        generator = torch.Generator().manual_seed(0)
        choices = {"num_inference_steps": STEPS, "guidance_scale": 3.0, "audio_guidance_scale": audio_scale}
        pipe(scene(people, 0.2), size=(32, 32), generator=generator, **choices)


def sizes_of(network: Any) -> dict[str, Any]:
    """Arguments that build a network of the same size."""
    return {name: value for name, value in network.config.items() if not name.startswith("_")}


def watch(parts: Any, method: str, report: Callable[[Any, Any], None]) -> None:
    """Report argument and result of a method of one object."""
    original = getattr(parts, method)

    def watched(argument: Any) -> Any:
        result = original(argument)
        report(argument, result)
        return result

    setattr(parts, method, watched)


def small_tiles(vae: Any) -> None:
    """Tiles that a tiny video has several of."""
    vae.tile_sample_min_height = vae.tile_sample_min_width = 24
    vae.tile_sample_stride_height = vae.tile_sample_stride_width = 16


def write_lora(path: Path, transformer: Any, rank: int = 2) -> Path:
    """An adapter in PEFT's names for layers of every kind in the blocks."""
    generator, tensors = torch.Generator().manual_seed(1), {}
    places = {
        "self_attn.q": "attn1.to_q",
        "cross_attn.k": "attn2.to_k",
        "ffn.0": "ffn.net.0.proj",
        "ffn.2": "ffn.net.2",
    }
    for index, block in enumerate(transformer.blocks):
        for released, ours in places.items():
            out, width = block.get_submodule(ours).weight.shape
            name = f"diffusion_model.blocks.{index}.{released}"
            tensors[f"{name}.lora_A.weight"] = torch.randn(rank, width, generator=generator) / width**0.5
            tensors[f"{name}.lora_B.weight"] = torch.randn(out, rank, generator=generator) / rank
    save_file(tensors, path)
    return path


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Size of the difference over the size of what is wanted."""
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


def _enliven(parts: Any) -> None:
    """Weights large enough that every part of the network matters."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in parts.transformer.parameters():
            if parameter.ndim > 1:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise / parameter[0].numel() ** 0.5)


INTRODUCTION = f"""
Written by `python tests/lever_cases.py`. `tests/acceleration/test_levers.py` runs every pair marked ● through the whole
pipeline on a tiny random model of the released family, with two people, three predictions a step and {STEPS} steps
(`make test-slow`; the most telling ones in `make test`).

An *exact* lever must leave latents and video as they are, within {EXACT:g} of their size, whatever the other lever of
the pair is. Two others are compared with the plain model: the difference must stay below the sum of what each may lose
(on random weights, which forgive less than trained ones).
"""
NOTES = """
Blocks that come one by one (group offload, from disk) run guidance's predictions in turn inside each block;
FirstBlockCache then decides for all of them at once. Several levers at once are tested with one and with three people.
Many processes (Ulysses, ring, guidance, FSDP) have tests of their own in `tests/acceleration/test_parallel.py`.
"""


def document() -> str:
    """The table of pairs, in Markdown; a test compares it with the file in `docs`."""
    letters = [chr(ord("A") + index) for index in range(len(LEVERS))]
    pairs = {frozenset((a.name, b.name)) for a, b in PAIRS}
    lines = [
        "# Levers and the pairs of them that are tested",
        INTRODUCTION,
        "| | | may lose | " + " | ".join(letters) + " |",
        "| --- | --- | --- |" + " --- |" * len(LEVERS),
    ]
    for letter, lever in zip(letters, LEVERS, strict=True):
        loss = "exact" if lever.tolerance <= EXACT else f"{lever.tolerance:.0%}"
        cells = [_cell(lever, other, pairs) for other in LEVERS]
        loss = "another result" if lever.changes_scene else loss
        lines.append(f"| {letter} | {lever.name} | {loss} | " + " | ".join(cells) + " |")
    lines += ["", "● tested; ○ tested alone; · one of a kind, choose one; × not possible:", ""]
    lines += [f"- {' with '.join(sorted(names))}: {why}" for names, why in IMPOSSIBLE.items()]
    return "\n".join([*lines, NOTES])


def _cell(lever: Lever, other: Lever, pairs: set[frozenset[str]]) -> str:
    if lever is other:
        return "○"
    names = frozenset((lever.name, other.name))
    return "●" if names in pairs else "×" if names in IMPOSSIBLE else "·"


if __name__ == "__main__":
    print(document(), end="")
