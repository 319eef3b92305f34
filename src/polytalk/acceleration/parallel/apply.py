"""From a finished model to one that works together with the other ranks'."""

from __future__ import annotations

import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from polytalk.acceleration.lazy_part import LazyPart
from polytalk.acceleration.parallel.agreement import SharedComponents, share_latents
from polytalk.acceleration.parallel.context import enable_context_parallel
from polytalk.acceleration.parallel.guidance import enable_guidance_parallel
from polytalk.acceleration.parallel.weights import all_ranks, shard_encoder, shard_transformer
from polytalk.config.options import ParallelChoice
from polytalk.errors import PolytalkError
from polytalk.models.components import Components

DIMENSIONS = ("guidance", "ring", "ulysses")
"""Of the device mesh, the one whose ranks talk most last: neighbours on the fastest links."""


def parallelize(components: Components, choice: ParallelChoice) -> Components:
    """Share out one model's work over the processes that `join` has brought together.

    Call it on every rank with the same finished model: LoRAs loaded, weights quantised, before offload and `compile`.

    Args:
        components: a model's parts on this rank's device; its network is changed.
        choice: degrees.

    Returns:
        Components whose encoders and decoders run on rank 0 (the text encoder everywhere when FSDP shares it out).

    Raises:
        PolytalkError: the choice does not fit the processes or the network.
    """
    if not dist.is_initialized():
        raise PolytalkError(
            "parallel", "the processes have not met", "Call polytalk.acceleration.parallel.launch.join() first."
        )
    choice.check_processes(dist.get_world_size())
    transformer, device = components.transformer, components.device
    if choice.fsdp:
        everyone = all_ranks(device)
        shard_transformer(transformer, everyone)
        if (encoder := getattr(components, "text_encoder", None)) is not None:
            _shard_when_read(encoder, everyone)
    if choice.degree > 1:
        mesh: DeviceMesh = init_device_mesh(
            device.type, (choice.guidance, choice.ring, choice.ulysses), mesh_dim_names=DIMENSIONS
        )
        if choice.context > 1:
            enable_context_parallel(transformer, choice, mesh)
        if choice.guidance > 1:
            enable_guidance_parallel(transformer, mesh["guidance"])
    share_latents(transformer)  # last, so that it comes first: before anything is divided
    return SharedComponents(components, text_on_all_ranks=choice.fsdp)


def _shard_when_read(encoder: LazyPart | nn.Module, mesh: DeviceMesh) -> None:
    """Share out an encoder now, or whenever it is read."""

    if not isinstance(encoder, LazyPart):
        shard_encoder(encoder, mesh)
        return
    encoder.preparations.append(lambda network: shard_encoder(network, mesh))
    if encoder.loaded:
        encoder.drop()
