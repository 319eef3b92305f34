"""What each process of the parallel tests does. One call of `work` runs all cases of a world; see test_parallel.py."""

import datetime
import os
import traceback

import torch
import torch.distributed as dist
from tiny_model import tiny_components, tiny_pipeline

from polytalk import PolytalkError
from polytalk.models.transformer import Conditioning, MultiTalkTransformer3DModel
from polytalk.pipelines.parallel import ParallelChoice
from polytalk.pipelines.parallel.apply import parallelize

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
            close(together(**arguments).sample, wanted.sample)
