"""What each process of the parallel tests does. One call of `work` runs all cases of a world; see test_parallel.py."""

import datetime
import math
import os
import tempfile
import traceback
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from diffusers.models import attention_dispatch
from safetensors.torch import save_file
from tiny_model import SIZE, scene, tiny_components, tiny_pipeline
from tiny_wan import WAN, write_released
from torch.distributed.device_mesh import init_device_mesh
from transformers import UMT5Config, UMT5EncoderModel

from polytalk import MultiTalkPipeline, PolytalkError
from polytalk.acceleration.block_hooks import compile_blocks, run_passes_in_turn
from polytalk.acceleration.lora import load_loras
from polytalk.acceleration.offload import offload_blocks
from polytalk.acceleration.parallel.apply import all_ranks, parallelize, shard_encoder
from polytalk.acceleration.parallel.division import divide_tokens
from polytalk.acceleration.parallel.launch import agree
from polytalk.acceleration.quantization import quantize
from polytalk.acceleration.step_cache import StepCache
from polytalk.config.options import LoadOptions, LoraChoice, ParallelChoice
from polytalk.generation.generate import generate
from polytalk.generation.request import GenerateRequest
from polytalk.models.conditioning import Conditioning
from polytalk.models.transformer import MultiTalkTransformer3DModel

TOLERANCE = 1e-5
HEADS = 4
CASES = {2: [], 4: []}
"""World size -> its cases."""
GRIDS = {
    "whole frames": (4, 2, 2),
    "frames cut in two": (3, 2, 4),
    "uneven": (3, 3, 5),
    "reference frame over all ranks": (1, 3, 3),
}
"""Latent frames, rows and columns of tokens."""


def case(*worlds):
    """Run the function in worlds of these sizes."""

    def register(function):
        for world in worlds:
            CASES[world].append(function)
        return function

    return register


def work(rank, world, folder):
    """One process: meet the others, run every case, write what went wrong."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank))
    meeting = f"file://{folder}/meeting"
    timeout = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=timeout)
    failures = {}
    for function in CASES[world]:
        try:
            with torch.no_grad():
                function()
        except Exception:
            failures[function.__name__] = traceback.format_exc()
    torch.save(failures, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def network(**changes):
    """Two blocks with random weights, the same on every rank."""
    sizes = {
        "num_attention_heads": HEADS,
        "attention_head_dim": 12,
        "text_dim": 8,
        "text_len": 6,
        "freq_dim": 16,
        "ffn_dim": 32,
        "num_layers": 2,
        "image_dim": 8,
        "audio_layers": 2,
        "audio_channels": 6,
        "audio_hidden_dim": 16,
        "audio_tokens": 2,
        "audio_dim": 16,
    }
    torch.manual_seed(0)
    model = MultiTalkTransformer3DModel(**{**sizes, **changes}).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, parameter.shape[-1] ** -0.5)
    return model


def inputs(people, grid, seed=1):
    """A call of the network."""
    frames, rows, columns = grid
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(shape, generator=generator)

    masks = torch.zeros(1, people, 2 * rows, 2 * columns, dtype=torch.bool)
    for person in range(people):
        masks[0, person, :, person :: people + 1] = True
    return {
        "hidden_states": noise(1, 36, frames, 2 * rows, 2 * columns),
        "timestep": torch.tensor([700.0]),
        "encoder_hidden_states": noise(1, 5, 8),
        "encoder_hidden_states_image": noise(1, 4, 8),
        "encoder_hidden_states_audio": noise(1, people, 4 * (frames - 1) + 1, 5, 2, 6),
        "speaker_masks": masks if people > 1 else None,
    }


def close(found, wanted, tolerance=TOLERANCE):
    assert found.shape == wanted.shape
    difference = (found - wanted).abs().max()
    assert difference <= tolerance * wanted.abs().max(), f"differs by {difference}"


def share(transformer, **degrees):
    """The same network at work on all ranks."""
    parts = tiny_components()
    parts.transformer = transformer
    return parallelize(parts, ParallelChoice(**degrees)).transformer


@case(2, 4)
def ulysses_equals_one_process():
    alone, together = network(), share(network(), ulysses=dist.get_world_size())
    for people in (1, 2, 3):
        for grid in GRIDS.values():
            arguments = inputs(people, grid)
            several = people > 1
            wanted = alone(**arguments, return_labels=several, return_reference_maps=several)
            found = together(**arguments, return_labels=several, return_reference_maps=several)
            close(found.sample, wanted.sample)
            for name in ("labels", "reference_maps") if several else ():
                for ours, theirs in zip(getattr(found, name), getattr(wanted, name), strict=True):
                    close(ours.float(), theirs.float())
            if people == 2:
                close(together(**arguments).sample, wanted.sample)


def passes(model, people, grid, join=Conditioning.concatenate):
    """Guidance's three passes as one batch."""
    arguments = inputs(people, grid)
    text, image, audio = (arguments.pop(f"encoder_hidden_states{part}") for part in ("", "_image", "_audio"))
    full = model.prepare_conditioning(text, image, audio, grid[0])
    drop_text = model.prepare_conditioning(text.flip(1), image, audio, grid[0])
    neither = model.prepare_conditioning(text.flip(1), image, None, grid[0])
    masks = arguments["speaker_masks"]
    return {
        "hidden_states": arguments["hidden_states"].expand(3, -1, -1, -1, -1),
        "timestep": arguments["timestep"].expand(3),
        "conditioning": join([full, drop_text, neither]),
        "speaker_masks": None if masks is None else masks.expand(3, -1, -1, -1),
    }


def first_of(arguments, count):
    """The first predictions only."""
    whole = arguments["conditioning"]
    blocks = tuple(type(kv)(*(part[:count] for part in kv)) for kv in whole.blocks)
    binds = None if whole.binds is None else whole.binds[:count]
    cut = {name: value[:count] for name, value in arguments.items() if isinstance(value, torch.Tensor)}
    return arguments | cut | {"conditioning": Conditioning(blocks, whole.people, binds)}


def compare_passes(alone, together):
    for people in (1, 2, 3):
        grid = GRIDS["frames cut in two"]
        wanted_arguments, found_arguments = passes(alone, people, grid), passes(together, people, grid)
        for count in (1, 2, 3):
            wanted = alone(**first_of(wanted_arguments, count), return_labels=people > 1)
            found = together(**first_of(found_arguments, count), return_labels=people > 1)
            close(found.sample, wanted.sample)
            if people == 2:  # without labels the ranks may hear one person
                close(together(**first_of(found_arguments, count)).sample, wanted.sample)
            for ours, theirs in zip(found.labels or [], wanted.labels or [], strict=True):
                assert torch.equal(ours, theirs)


@case(2)
def guidance_equals_one_process():
    compare_passes(network(), share(network(), guidance=2))


@case(4)
def guidance_and_ulysses_equal_one_process():
    compare_passes(network(), share(network(), guidance=2, ulysses=2))


@case(2)
def sharded_weights_equal_one_process():
    alone, together = network(), share(network(), fsdp=True)
    held = sum(p.to_local().numel() for p in together.parameters())
    assert held < 0.6 * sum(p.numel() for p in alone.parameters())
    compare_passes(alone, together)


@case(4)
def sharded_weights_and_ulysses_and_guidance_equal_one_process():
    compare_passes(network(), share(network(), fsdp=True, guidance=2, ulysses=2))


@case(2)
def sharded_text_encoder_equals_one_process():
    sizes = {"vocab_size": 64, "d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 4}
    torch.manual_seed(0)
    alone = UMT5EncoderModel(UMT5Config(**sizes)).eval()
    torch.manual_seed(0)
    together = UMT5EncoderModel(UMT5Config(**sizes)).eval()
    shard_encoder(together, all_ranks(torch.device("cpu")))
    tokens, mask = torch.arange(24).view(2, 12), torch.ones(2, 12, dtype=torch.long)
    mask[1, 7:] = 0
    with torch.no_grad():
        close(together(tokens, mask).last_hidden_state, alone(tokens, mask).last_hidden_state)


@case(4)
def ring_equals_one_process_where_a_kernel_gives_the_log_sum_exp():
    """PyTorch's CPU kernel has one, which diffusers does not ask for: it stands in for the GPU's."""

    def attention(ctx, query, key, value, *unused, **unused_too):
        parts = (x.transpose(1, 2) for x in (query, key, value))
        out, log_sum_exp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*parts)
        return out.transpose(1, 2), log_sum_exp.transpose(1, 2)

    original = attention_dispatch._native_attention_forward_op
    attention_dispatch._native_attention_forward_op = attention
    try:
        for degrees in ({"ring": 4}, {"ring": 2, "ulysses": 2}):
            choice = ParallelChoice(**degrees)
            mesh = init_device_mesh("cpu", (choice.ring, choice.ulysses), mesh_dim_names=("ring", "ulysses"))
            alone, together = network(), network()
            divide_tokens(together, choice, mesh)
            for grid in GRIDS.values():
                arguments = inputs(2, grid)
                if degrees == {"ring": 4} or math.prod(grid) % 4 == 0:
                    close(together(**arguments).sample, alone(**arguments).sample)
                else:
                    refused(partial(together, **arguments), "ring", "divisible by 4")
    finally:
        attention_dispatch._native_attention_forward_op = original


def refused(action, field, words):
    """The one error that users see."""
    with pytest.raises(PolytalkError, match=words) as caught:
        action()
    assert caught.value.field == field


@case(2)
def wrong_choices_are_refused():
    refused(lambda: share(network(num_attention_heads=3), ulysses=2), "ulysses", "cannot share 3 heads")
    refused(lambda: share(network(), ring=2), "ring", "log-sum-exp")
    refused(lambda: share(network(), ulysses=4), "parallel", "for 2 processes")
    refused(lambda: share(network()), "parallel", "for 2 processes")
    together = share(network(), ulysses=2)
    labels = torch.zeros(1, 4, 2, 2, dtype=torch.long)
    refused(lambda: together(**inputs(2, (4, 2, 2)), speaker_labels=labels), "speaker_labels", "divided")
    refused(lambda: together(**inputs(1, (1, 1, 1))), "ulysses", "1 tokens")
    backends = network()
    for block in backends.blocks:
        block.attn1.processor.backend = "_native_math"
    refused(lambda: share(backends, ulysses=2), "ulysses", "'_native_math'")


@case(2, 4)
def levers_work_on_divided_tokens():
    """LoRA, int8 and predictions in turn, together; with sharded and with offloaded weights."""
    folder = Path(tempfile.mkdtemp())
    generator = torch.Generator().manual_seed(5)
    tensors = {}
    for layer in ("self_attn.q", "cross_attn.k", "ffn.0"):
        inner, outer = (48, 32) if layer == "ffn.0" else (48, 48)
        tensors[f"diffusion_model.blocks.1.{layer}.lora_down.weight"] = torch.randn(2, inner, generator=generator)
        tensors[f"diffusion_model.blocks.1.{layer}.lora_up.weight"] = torch.randn(outer, 2, generator=generator)
    save_file(tensors, folder / "lora.safetensors")

    def loaded():
        model = quantize(network(), "int8")
        load_loras(model, [LoraChoice(folder / "lora.safetensors", 0.5)])
        run_passes_in_turn(model)
        return model

    world = dist.get_world_size()
    plain, alone, together = quantize(network(), "int8"), loaded(), share(loaded(), ulysses=world)
    everything = {"ulysses": world, "fsdp": True} if world == 2 else {"ulysses": 2, "guidance": 2, "fsdp": True}
    sharded, offloaded = share(loaded(), **everything), share(loaded(), ulysses=world)
    offload_blocks(offloaded, torch.device("cpu"))
    for people in (1, 2, 3):
        call = passes(alone, people, GRIDS["uneven"])
        wanted = alone(**call).sample
        assert (plain(**call).sample - wanted).abs().max() > 0.01  # the LoRA does something
        for model in (together, sharded, offloaded):
            for join in (Conditioning.concatenate, Conditioning.side_by_side):
                close(model(**passes(model, people, GRIDS["uneven"], join)).sample, wanted)


@case(2, 4)
def step_caches_leave_out_the_same_steps():
    alone, together = network(), share(network(), ulysses=dist.get_world_size(), fsdp=True)
    timesteps = torch.linspace(1000, 100, 10)
    with StepCache(alone, "teacache", timesteps, threshold=2.0, numbers=(1.0, 0.0)) as cache:
        assert not all(cache.plan)
        assert any(cache.plan[1:])
    for kind, numbers in (("teacache", (1.0, 0.0)), ("magcache", (0.95,) * len(timesteps))):
        outputs, ran = [], []
        for model in (alone, together):
            calls = []
            handle = model.blocks[1].ffn.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
            outputs.append(_sampled(model, timesteps, kind, numbers))
            handle.remove()
            ran.append(len(calls))
        assert ran[0] == ran[1] < len(timesteps)
        close(outputs[1], outputs[0], 1e-4)


def _sampled(model, timesteps, kind, numbers):
    """Ten steps, each of which feeds the next."""
    call = inputs(2, GRIDS["uneven"])
    with StepCache(model, kind, timesteps, threshold=2.0, numbers=numbers) as cache:
        for step, timestep in enumerate(timesteps):
            with cache.context("call_0", step):
                call["timestep"] = timestep[None]
                call["hidden_states"] = torch.cat([model(**call).sample, call["hidden_states"][:, 16:]], dim=1)
    return call["hidden_states"]


@case(2)
def compiled_blocks_work_on_divided_tokens():
    alone, together = network(), network()
    compile_blocks(together, "eager")
    together = share(together, ulysses=2, fsdp=True)
    for people in (1, 2):
        arguments = inputs(people, GRIDS["frames cut in two"])
        close(together(**arguments).sample, alone(**arguments).sample)
    refused(partial(together, **inputs(1, GRIDS["uneven"])), "compile", "divisible by 2, not 45")


@case(2)
def released_weights_are_shared_out_while_read():
    folder = Path(agree(tempfile.mkdtemp()))
    model = write_released(folder) if dist.get_rank() == 0 else folder / WAN
    dist.barrier()
    for quantization in (None, "int8"):
        pipes = [
            MultiTalkPipeline.from_pretrained(
                model, "float32", "cpu", options=LoadOptions(quantization=quantization, parallel=parallel)
            )
            for parallel in (None, ParallelChoice(guidance=2, fsdp=True))
        ]
        whole, held = (
            sum(getattr(p, "to_local", lambda p=p: p)().numel() for p in pipe.components.transformer.parameters())
            for pipe in pipes
        )
        assert held < 0.6 * whole
        choices = {"num_inference_steps": 1, "clip_frames": 5, "motion_frames": 1, "size": SIZE}
        wanted, found = (
            pipe(scene(seconds=0.1), generator=torch.Generator().manual_seed(0), **choices).frames for pipe in pipes
        )
        difference = np.abs(found.astype(int) - wanted)
        assert difference.max() <= 1, difference.max()


@case(2)
def the_command_writes_once():
    folder = Path(agree(tempfile.mkdtemp()))
    main = dist.get_rank() == 0
    if main:
        tiny_pipeline().save_pretrained(folder / "tiny")
    dist.barrier()
    output = folder / f"{dist.get_rank()}.mp4"
    wanted = {"scene": scene(), "output": output, "model": str(folder / "tiny"), "size": "48x32", "find": False}
    wanted |= {"device": "cpu", "dtype": "float32"}
    made = generate(GenerateRequest(**wanted))
    assert made.settings["levers"].parallel == ParallelChoice(ulysses=2)
    assert output.exists() == main
    parallel = ParallelChoice(ulysses=2)
    again = GenerateRequest(**wanted, fit=True, force=True, parallel=parallel)
    refused(partial(generate, again), "fit", "one process")


@case(2, 4)
def a_whole_video_is_the_same():
    """Rank 0's noise counts; encoders run on rank 0; the masks follow the network's labels."""
    world, rank = dist.get_world_size(), dist.get_rank()
    degrees = {"ulysses": 2, "fsdp": True} if world == 2 else {"ulysses": 2, "guidance": 2}
    settings = {"carry_masks": True, "motion_frames": 5}
    choices = {"guidance_scale": 3.0, "audio_guidance_scale": 2.0, "size": SIZE}
    wanted = tiny_pipeline(**settings)(scene(seconds=0.6), generator=torch.Generator().manual_seed(0), **choices)
    pipe = tiny_pipeline(**settings)
    pipe.components = parallelize(pipe.components, ParallelChoice(**degrees))
    found = pipe(scene(seconds=0.6), generator=torch.Generator().manual_seed(rank), **choices)
    difference = np.abs(found.frames.astype(int) - wanted.frames)
    assert difference.max() <= 1, difference.max()
