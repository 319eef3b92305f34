"""Our network beside the published algorithm: `python benchmarks/network.py [--dtype bfloat16] [--json OUT]`.

Same weights, same inputs, same number format, one process, in turn: two people, the tokens of 81 frames at 896×448, a
network of the released one's head width and proportions with fewer heads and blocks. Prints seconds, peak memory and
floating-point operations of
- the whole call of both;
- the same networks without audio branch and reference map;
- audio branch and reference map of one block alone, on the same inputs.
Peak memory is measured in a process of its own for each case. Before anything is measured the outputs must agree.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from measure import Seconds, machine, operations, peak_memory, print_table, run_alone, time_rounds, write_results
from published import PublishedNetwork, audio_attention, materialised_map, norm
from torch import Tensor, nn

from polytalk.models.attention import ContextKeyValues, Rotary, attend, label_rotary, layer_norm, rounded_layer_norm
from polytalk.models.block import BlockStack, MultiTalkTransformerBlock
from polytalk.models.label_rope import class_masks, reference_attention_map, video_labels
from polytalk.models.transformer import MultiTalkTransformer3DModel

LATENT_FRAMES, ROWS, COLUMNS = 21, 28, 56
"""Tokens of 81 frames at 896×448."""
FULL_TOKENS = LATENT_FRAMES * ROWS * COLUMNS
FFN_RATIO = 2.7
"""13824 / 5120, as released."""
CHECK_TOKENS = 2000
NAMES = {
    "ours": "ours",
    "ours_silent": "ours, no audio branch and map",
    "published": "published",
    "published_kernel": "published, our attention kernel",
    "published_silent": "published, no audio branch and map",
    "ours_branch": "ours, audio branch and map of a block",
    "published_branch": "published, audio branch and map of a block",
    "prepare": "ours, prompt, picture and voices (once a clip)",
}
"""What is measured, and how it is called in the table."""
AGREEMENT = {torch.float32: 1e-4, torch.bfloat16: 6e-2}
"""Largest difference allowed over the largest output."""


@dataclass(frozen=True)
class Sizes:
    """What is measured."""

    tokens: int = FULL_TOKENS
    """Video tokens, roughly: frames stay, rows and columns shrink alike."""
    heads: int = 2
    """Of 128 channels each."""
    layers: int = 1
    people: int = 2
    dtype: str = "bfloat16"

    @property
    def grid(self) -> tuple[int, int, int]:
        """Latent frames, rows and columns of tokens."""
        share = (self.tokens / FULL_TOKENS) ** 0.5
        return LATENT_FRAMES, max(2, round(ROWS * share)), max(2, round(COLUMNS * share))


class SilentBlock(nn.Module):
    """A block of ours without its audio branch and reference map."""

    def __init__(self, block: MultiTalkTransformerBlock) -> None:
        super().__init__()
        self.block = block

    def forward(
        self,
        hidden_states: Tensor,
        context: ContextKeyValues,
        temb: Tensor,
        rotary_emb: Rotary,
        *unused: Any,
        **unused_too: Any,
    ) -> Tensor:
        """As `MultiTalkTransformerBlock.forward`, for one or no person."""
        block, dtype = self.block, hidden_states.dtype
        modulation = (block.scale_shift_table.float() + temb.float()).chunk(6, dim=1)
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = modulation
        normed = (layer_norm(hidden_states, block.norm1) * (1 + scale) + shift).to(dtype)
        attended, _ = block.attn1(normed, rotary_emb=rotary_emb)
        hidden_states = (hidden_states.float() + attended * gate).to(dtype)
        hidden_states = hidden_states + block.attn2(rounded_layer_norm(hidden_states, block.norm2), context)
        normed = (layer_norm(hidden_states, block.norm3) * (1 + ffn_scale) + ffn_shift).to(dtype)
        return (hidden_states.float() + block.ffn(normed) * ffn_gate).to(dtype)


def without_sound(model: MultiTalkTransformer3DModel) -> MultiTalkTransformer3DModel:
    """The same weights, without audio branch and reference map in its blocks."""
    silent = copy.copy(model)
    silent._modules = {**model._modules, "blocks": BlockStack(SilentBlock(block) for block in model.blocks)}
    return silent


def build(sizes: Sizes, device: str = "cpu") -> MultiTalkTransformer3DModel:
    """Random weights, the same every time, in the number formats of a loaded model."""
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        dim = sizes.heads * 128
        model = MultiTalkTransformer3DModel(
            num_attention_heads=sizes.heads, num_layers=sizes.layers, ffn_dim=round(dim * FFN_RATIO / 32) * 32
        )
    exact: Any = model._keep_in_fp32_modules
    for name, parameter in model.named_parameters():
        if not any(part in name.split(".") for part in exact):
            parameter.data = parameter.data.to(getattr(torch, sizes.dtype))
    return model.eval().requires_grad_(False)


class Case:
    """Inputs of one call, and the ways to compute it.

    Args:
        sizes: what is measured.
        device: "meta" to count operations.
    """

    def __init__(self, sizes: Sizes, device: str = "cpu") -> None:
        self.sizes, self.model = sizes, build(sizes, device)
        generator = torch.Generator().manual_seed(1)
        frames, rows, columns = self.grid = sizes.grid
        self.dtype = getattr(torch, sizes.dtype)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(self.dtype).to(device)

        self.latent = random(1, 36, frames, 2 * rows, 2 * columns)
        self.timestep = torch.full((1,), 700.0, device=device)
        self.text, self.image = random(1, 512, 4096), random(1, 257, 1280)
        self.audio = random(1, sizes.people, 4 * frames - 3, 5, 12, 768)
        self.masks = torch.zeros(1, sizes.people, 2 * rows, 2 * columns, dtype=torch.bool, device=device)
        for person, places in enumerate(torch.arange(2 * columns).chunk(sizes.people)):
            self.masks[:, person, :, places[1] : places[-1]] = True
        self.classes = class_masks(self.masks, (1, 2, 2))
        with torch.no_grad():
            self.conditioning = self.model.prepare_conditioning(self.text, self.image, self.audio)
        # what the audio branch of a block works on
        shape = (1, frames * rows * columns, sizes.heads, 128)
        self.states = random(1, shape[1], sizes.heads * 128)
        self.query, self.key = random(*shape), random(*shape)
        self.sound = self.model.audio_adapter(self.audio)

    def inputs(self) -> tuple[Tensor, ...]:
        """Of the published network."""
        return self.latent, self.timestep, self.text, self.image, self.audio, self.classes[0]

    def ours(self, model: MultiTalkTransformer3DModel | None = None) -> Tensor:
        """One prediction of ours, as in every step of a clip."""
        result = (self.model if model is None else model)(
            self.latent, self.timestep, conditioning=self.conditioning, speaker_masks=self.masks
        )
        return result.sample

    def ours_silent(self) -> Tensor:
        """The same network without audio branch and map."""
        one = self.conditioning.__class__(self.conditioning.blocks, 1)
        return without_sound(self.model)(self.latent, self.timestep, conditioning=one).sample

    def prepare(self) -> None:
        """What ours does once per clip."""
        self.model.prepare_conditioning(self.text, self.image, self.audio)

    def published(self) -> Tensor:
        """One prediction of the published network."""
        return PublishedNetwork(self.model)(*self.inputs())

    def published_kernel(self) -> Tensor:
        """The published network with our attention kernel: what remains is the algorithm."""
        return PublishedNetwork(self.model, kernel=attend)(*self.inputs())

    def published_silent(self) -> Tensor:
        """The published network without audio branch and map."""
        return PublishedNetwork(self.model, with_sound=False)(*self.inputs())

    def ours_branch(self) -> Tensor:
        """Reference map, labels, norm and audio attention of one block of ours."""
        block, context = self.model.blocks[0], self.conditioning.blocks[0]
        count = self.classes.shape[-1]
        found = reference_attention_map(
            self.query, self.key[:, :count], self.classes, block.attn1.processor._attend_reference
        )
        rotary = label_rotary(video_labels(found, self.classes), 128)
        normed = rounded_layer_norm(self.states, block.norm_audio)
        return block.audio_attn(normed, context.audio_key, context.audio_value, rotary)

    def published_branch(self) -> Tensor:
        """The same of the published network."""
        block, count = self.model.blocks[0], self.classes.shape[-1]
        found = materialised_map(self.query, self.key[:, :count], self.classes[0])
        return audio_attention(block.audio_attn, norm(self.states, block.norm_audio), self.sound, found)

    def ways(self) -> dict[str, Callable[[], Any]]:
        """Everything that is measured, by name."""
        return {name: torch.no_grad()(getattr(self, name)) for name in NAMES}


def difference(found: Tensor, wanted: Tensor) -> float:
    """Largest difference over the largest value."""
    return float((found.float() - wanted.float()).abs().max() / wanted.float().abs().max())


@torch.no_grad()
def check_agreement(sizes: Sizes) -> dict[str, float]:
    """Differences between the two on a short sequence, in float32 and in the format measured.

    Raises:
        SystemExit: the outputs do not agree, so that times would compare different things.
    """
    small = Sizes(CHECK_TOKENS, sizes.heads, sizes.layers, sizes.people, "float32")
    exact = Case(small)
    wanted = exact.published()
    found = {"float32: ours against published": difference(exact.ours(), wanted)}
    found["float32: branch against published"] = difference(exact.ours_branch(), exact.published_branch())
    silent = exact.published_silent()
    found["float32: without sound against published"] = difference(exact.ours_silent(), silent)
    found["float32: sound changes the output by"] = difference(silent, wanted)
    limits = dict.fromkeys([name for name in found if "against" in name], AGREEMENT[torch.float32])
    if sizes.dtype != "float32":
        rounded = Case(Sizes(**{**asdict(small), "dtype": sizes.dtype}))
        for name in ("ours", "published"):
            key = f"{sizes.dtype}: {name} against float32"
            found[key], limits[key] = difference(getattr(rounded, name)(), wanted), AGREEMENT[torch.bfloat16]
    for key, limit in limits.items():
        if not found[key] <= limit:
            raise SystemExit(f"{key}: {found[key]:.2g} apart, more than {limit:.0e}; nothing was measured.")
    return found


def count(sizes: Sizes) -> dict[str, float]:
    """Floating-point operations of every case, as a GPU would do them."""
    case = Case(sizes, "meta")
    return {name: float(operations(way)) for name, way in case.ways().items()}


def memory_of(sizes: Sizes, name: str) -> int:
    """Peak bytes beyond weights and inputs; for a process of its own."""
    small = Case(Sizes(**{**asdict(sizes), "tokens": CHECK_TOKENS})).ways()[name]
    small()  # libraries allocate their own things at the first call
    return peak_memory(Case(sizes).ways()[name])


def measure(sizes: Sizes, rounds: int) -> dict[str, Any]:
    """All of it."""
    agreement = check_agreement(sizes)
    case = Case(sizes)
    ways = case.ways()
    with torch.no_grad():
        full_difference = difference(ways["ours"](), ways["published"]())
    seconds = time_rounds(ways, rounds)
    settings = ["--child", json.dumps(asdict(sizes))]
    memory = {name: run_alone(__file__, [*settings, name])["bytes"] for name in ways if name != "prepare"}
    return {
        "machine": machine(),
        "sizes": {**asdict(sizes), "tokens": case.query.shape[1], "grid": case.grid},
        "agreement": {**agreement, f"{sizes.dtype}, all tokens: ours against published": full_difference},
        "seconds": {name: asdict(value) for name, value in seconds.items()},
        "bytes": memory,
        "operations": count(sizes),
        "figures": figures(seconds, memory, sizes.layers),
    }


def figures(seconds: dict[str, Seconds], memory: dict[str, int], layers: int) -> dict[str, float]:
    """The ratios that matter. The share of audio branch and map is had twice: by difference, which is exact but drowns
    in the noise of a busy machine, and from the time that they take alone."""

    def ratios(kind: str) -> dict[str, float]:
        t = {name: getattr(value, kind) for name, value in seconds.items()}
        return {
            f"audio branch and map, times faster ({kind})": t["published_branch"] / t["ours_branch"],
            f"whole call, times faster ({kind})": t["published"] / t["ours"],
            f"whole call with the same attention kernel, times faster ({kind})": t["published_kernel"] / t["ours"],
            f"our audio branch and map over the network without, by difference ({kind})": t["ours"] / t["ours_silent"]
            - 1,
            f"our audio branch and map over the network without, alone ({kind})": layers
            * t["ours_branch"]
            / t["ours_silent"],
            f"published audio branch and map, by difference ({kind})": t["published"] / t["published_silent"] - 1,
        }

    return {
        **ratios("wall"),
        **ratios("processor"),
        "audio branch and map, share of the published peak memory": memory["ours_branch"] / memory["published_branch"],
        "whole call, share of the published peak memory": memory["ours"] / memory["published"],
    }


def report(results: dict[str, Any]) -> None:
    """Print tables."""
    about, sizes = results["machine"], results["sizes"]
    print(f"{about['processor']}, {about['threads']} threads, PyTorch {about['torch']}")
    print(
        f"{sizes['tokens']:,} tokens {tuple(sizes['grid'])}, {sizes['people']} people, {sizes['heads']} heads of 128, "
        f"{sizes['layers']} blocks, {sizes['dtype']}\n"
    )
    rows = []
    for name, seconds in results["seconds"].items():
        peak = results["bytes"].get(name)
        numbers = [f"{seconds[kind]:.2f}" for kind in ("wall", "median", "processor")]
        memory = "" if peak is None else f"{peak / 2**20:,.0f}"
        rows.append([NAMES[name], *numbers, memory, f"{results['operations'][name] / 1e12:.3f}"])
    print_table(["", "s, shortest", "s, median", "processor s", "peak MiB", "TFLOP"], rows)
    print()
    for part in ("figures", "agreement"):
        print_table([part, ""], [[name, f"{value:.3g}"] for name, value in results[part].items()])
        print()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=FULL_TOKENS, help=f"video tokens, default {FULL_TOKENS}")
    parser.add_argument("--heads", type=int, default=Sizes.heads, help="of 128 channels")
    parser.add_argument("--layers", type=int, default=Sizes.layers, help="blocks")
    parser.add_argument("--people", type=int, default=Sizes.people)
    parser.add_argument("--dtype", default=Sizes.dtype, choices=["bfloat16", "float32"])
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the results there, too")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps({"bytes": memory_of(Sizes(**json.loads(arguments.child[0])), arguments.child[1])}))
        return
    if arguments.people < 2:
        sys.exit("With one person there is neither map nor labels: give --people 2 or more.")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    sizes = Sizes(arguments.tokens, arguments.heads, arguments.layers, arguments.people, arguments.dtype)
    results = measure(sizes, arguments.rounds)
    report(results)
    write_results(arguments.json, results)


if __name__ == "__main__":
    main()
