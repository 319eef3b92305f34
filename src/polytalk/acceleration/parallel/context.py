"""Context parallelism: the video's tokens divided over ranks, through diffusers' own Ulysses and ring attention."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from diffusers.hooks import HookRegistry, ModelHook
from diffusers.hooks.context_parallel import apply_context_parallel
from diffusers.models._modeling_parallel import (
    ContextParallelConfig,
    ContextParallelInput,
    ParallelConfig,
)
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
from torch.distributed.device_mesh import DeviceMesh

from polytalk.acceleration.block_hooks import COMPILED
from polytalk.acceleration.parallel.tokens import RankShard
from polytalk.config.options import ParallelChoice
from polytalk.errors import PolytalkError
from polytalk.models.attention import MATMUL
from polytalk.models.transformer import MultiTalkTransformer3DModel

_TABLE = ContextParallelInput(split_dim=1, expected_dims=4, split_output=True)
PLAN: dict[str, Any] = {
    "video_tokens": {0: ContextParallelInput(split_dim=1, expected_dims=3, split_output=True)},
    "rope": {0: _TABLE, 1: _TABLE},
}
"""Where diffusers divides tokens. Text, picture and sound stay whole on every rank."""
WITHOUT_LOG_SUM_EXP = ("native", "_native_npu")
"""Attention backends that can share heads, but do not return what ring attention needs."""
RING_BACKEND = "_native_cudnn"
"""PyTorch's own kernel that returns the log-sum-exp (CUDA, 16-bit)."""


def enable_context_parallel(transformer: MultiTalkTransformer3DModel, choice: ParallelChoice, mesh: DeviceMesh) -> None:
    """Divide the tokens of every call of the network over the mesh's dimensions "ring" and "ulysses".

    The same as diffusers' `model.enable_parallelism`, which asks for an accelerator and so cannot run on CPUs, and sets
    the configuration on cross-attentions, too, whose keys are not divided.

    Args:
        transformer: a finished network.
        choice: degrees.
        mesh: has dimensions "ring" and "ulysses" of these sizes.

    Raises:
        PolytalkError: heads that cannot be shared, an attention backend that cannot work so.
    """
    heads = transformer.config.num_attention_heads
    if heads % choice.ulysses:
        fitting = ", ".join(str(n) for n in range(2, heads + 1) if heads % n == 0)
        raise PolytalkError("ulysses", f"{choice.ulysses} ranks cannot share {heads} heads", f"Use one of {fitting}.")
    if choice.ring > 1:
        _prepare_ring(transformer)
    asked = _self_attentions(transformer)[0]._attention_backend
    backend = _AttentionBackendRegistry.get_active_backend()[0] if asked in (None, MATMUL) else asked
    name, usable = AttentionBackendName(backend).value, set(_AttentionBackendRegistry._supports_context_parallel)
    if choice.ring > 1:
        usable -= set(WITHOUT_LOG_SUM_EXP)
    if name not in usable:
        problem = f"the attention backend {name!r} cannot work on divided tokens"
        raise PolytalkError("ring" if choice.ring > 1 else "ulysses", problem, f"Use one of {sorted(usable)}.")
    divide_tokens(transformer, choice, mesh)


def divide_tokens(transformer: MultiTalkTransformer3DModel, choice: ParallelChoice, mesh: DeviceMesh) -> None:
    """`enable_context_parallel` without its checks."""
    context = ContextParallelConfig(ring_degree=choice.ring, ulysses_degree=choice.ulysses, mesh=mesh)
    config = ParallelConfig(context_parallel_config=context)
    config.setup(dist.get_rank(), dist.get_world_size(), transformer.device, mesh=mesh)
    for processor in _self_attentions(transformer):
        processor._parallel_config = config
    apply_context_parallel(transformer, context, PLAN)
    shards = _TokenShards(context)
    HookRegistry.check_if_exists_or_initialize(transformer).register_hook(shards, "polytalk_tokens")
    HookRegistry.check_if_exists_or_initialize(transformer.proj_out).register_hook(_Join(shards), "polytalk_join")


def _self_attentions(transformer: MultiTalkTransformer3DModel) -> list[Any]:
    blocks: Any = transformer.blocks
    return [block.attn1.processor for block in blocks]


def _prepare_ring(transformer: MultiTalkTransformer3DModel) -> None:
    """Refuse where no kernel returns the log-sum-exp; choose one where none is chosen."""
    weight = transformer.patch_embedding.weight
    if weight.device.type != "cuda":
        problem = f"no attention kernel on {weight.device.type} returns the log-sum-exp that ring attention needs"
        raise PolytalkError("ring", problem, "Use ulysses, or CUDA GPUs.")
    if weight.dtype not in (torch.bfloat16, torch.float16):
        raise PolytalkError("ring", f"its kernels do not work in {weight.dtype}", "Use bfloat16 or float16.")
    for processor in _self_attentions(transformer):
        if processor._attention_backend is None:
            processor._attention_backend = RING_BACKEND


class _TokenShards(ModelHook):
    """Tells every attention layer, at each call of the network, which tokens it is going to see."""

    def __init__(self, context: ContextParallelConfig) -> None:
        super().__init__()
        self.context = context
        self.shard: RankShard | None = None

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if kwargs.get("speaker_labels") is not None:
            raise PolytalkError("speaker_labels", "are given for divided tokens", "Train without context parallelism.")
        hidden_states = args[0] if args else kwargs["hidden_states"]
        if hidden_states is None:  # the context's keys and values alone
            return args, kwargs
        frames, rows, columns = module._grid(hidden_states)
        total = frames * rows * columns
        if self.shard is None or self.shard.total != total:
            self.shard = self._divide(total, module)
            for block in module.blocks:
                for layer in (block.attn1, block.audio_attn):
                    layer.processor._token_shard = self.shard
        return args, kwargs

    def _divide(self, total: int, transformer: Any) -> RankShard:
        context, mesh = self.context, self.context._flattened_mesh
        ranks = mesh.size()
        if total < ranks:
            raise PolytalkError("ulysses", f"{ranks} ranks for {total} tokens", "Start fewer processes.")
        uneven = total % ranks > 0
        if uneven and context.ring_degree > 1 and context.ulysses_degree > 1:
            problem = f"ring and ulysses together need a number of tokens divisible by {ranks}, not {total}"
            raise PolytalkError("ring", problem, "Use one of them alone, or another size.")
        if uneven and HookRegistry.check_if_exists_or_initialize(transformer.blocks[0]).get_hook(COMPILED) is not None:
            problem = f"compiled blocks need a number of tokens divisible by {ranks}, not {total}"
            raise PolytalkError("compile", problem, "Leave it out, or choose another size or number of processes.")
        # diffusers' ways for uneven shards ask all ranks for their lengths at every attention, so only when needed
        context.ulysses_anything = uneven and context.ulysses_degree > 1
        context.ring_anything = uneven and context.ring_degree > 1
        return RankShard(total, mesh.get_local_rank(), ranks, mesh.get_group())


class _Join(ModelHook):
    """Every rank gets all outputs. diffusers' own hook sends shards of different lengths, which gloo refuses."""

    def __init__(self, shards: _TokenShards) -> None:
        super().__init__()
        self.shards = shards

    def post_forward(self, module: Any, output: Any) -> Any:
        assert self.shards.shard is not None
        return self.shards.shard.gather(output, 1)
