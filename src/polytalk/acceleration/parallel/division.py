"""A call of the network divided over ranks: its tokens, and the predictions that guidance needs.

Context parallelism divides the video's tokens, through diffusers' own Ulysses and ring attention; `RankShard` is the
little that ranks have to send each other about their share. Guidance parallelism divides the batch.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from diffusers.hooks.context_parallel import apply_context_parallel
from diffusers.hooks.hooks import HookRegistry, ModelHook
from diffusers.models import ContextParallelConfig, ParallelConfig
from diffusers.models.attention_dispatch import AttentionBackendName
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh

from polytalk.acceleration.block_hooks import COMPILED
from polytalk.config.options import ParallelChoice
from polytalk.errors import PolytalkError
from polytalk.models.attention import MATMUL
from polytalk.models.conditioning import Conditioning
from polytalk.models.library_internals import (
    backends_for_divided_tokens,
    default_backend,
    divided_input,
    gathered,
    largest,
    ranks_of,
    sent,
)
from polytalk.models.transformer import MultiTalkTransformer3DModel, MultiTalkTransformerOutput

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
    asked = _self_attentions(transformer)[0].backend
    backend = default_backend() if asked in (None, MATMUL) else AttentionBackendName(asked)
    name, usable = backend.value, backends_for_divided_tokens()
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
        processor.parallel_config = config
    table = divided_input(1, 4)  # text, picture and sound stay whole on every rank
    apply_context_parallel(
        transformer, context, {"video_tokens": {0: divided_input(1, 3)}, "rope": {0: table, 1: table}}
    )
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
        if processor.backend is None:
            processor.backend = RING_BACKEND


class _TokenShards(ModelHook):
    """Lets every attention layer know, at each call of the network, which tokens it is going to get."""

    def __init__(self, context: ContextParallelConfig) -> None:
        super().__init__()
        self.context = context
        self.shard: RankShard | None = None

    def new_forward(
        self, module: Any, hidden_states: Tensor, *args: Any, speaker_labels: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """The network's forward; the tokens are counted before it."""
        if speaker_labels is not None:
            raise PolytalkError("speaker_labels", "are given for divided tokens", "Train without context parallelism.")
        frames, rows, columns = module.grid(hidden_states)
        total = frames * rows * columns
        if self.shard is None or self.shard.total != total:
            self.shard = self._divide(total, module)
            for block in module.blocks:
                for layer in (block.attn1, block.audio_attn):
                    layer.processor.token_shard = self.shard
        return self.fn_ref.original_forward(hidden_states, *args, **kwargs)

    def _divide(self, total: int, transformer: Any) -> RankShard:
        context, mesh = self.context, ranks_of(self.context)
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


@dataclass(frozen=True)
class RankShard:
    """`polytalk.models.attention.TokenShard` over a process group.

    Tokens are cut as `torch.tensor_split` cuts them, which is how diffusers' context parallelism does it: the first
    L mod N ranks hold one more than the others. Collectives are functional, so that `torch.compile` can trace them.
    """

    total: int
    """L, the tokens of all ranks."""
    rank: int
    """This rank's place in the group."""
    ranks: int
    """Size of the group."""
    group: ProcessGroup
    """Ranks that share one video."""

    def bounds(self, rank: int) -> tuple[int, int]:
        """First token of a rank, and the one after its last."""
        size, longer = self.total // self.ranks, self.total % self.ranks  # the compiler knows no divmod
        start = rank * size + min(rank, longer)
        return start, start + size + (rank < longer)

    @property
    def start(self) -> int:
        """First token held here."""
        return self.bounds(self.rank)[0]

    @property
    def stop(self) -> int:
        """Token after the last one held here."""
        return self.bounds(self.rank)[1]

    def first_tokens(self, local: Tensor, count: int) -> Tensor:
        """The video's first `count` tokens (B, count, ...) from the ranks' own (B, stop - start, ...).

        They travel from the ranks that hold them, and nothing else does: of 480p's 32,760 keys, 1,560.
        """
        pieces = []
        for owner in range(self.ranks):
            begin, end = self.bounds(owner)
            if begin >= count:
                break
            length = min(end, count) - begin
            if owner == self.rank:
                piece = local[:, :length].contiguous()
            else:
                piece = local.new_empty(local.shape[0], length, *local.shape[2:])
            pieces.append(sent(piece, owner, self.group))
        return torch.cat(pieces, dim=1)

    def extremes(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Smallest and largest over all ranks, element by element, in one message."""
        both = largest(torch.stack([-low, high]), self.group)
        return -both[0], both[1]

    def gather(self, local: Tensor, dim: int) -> Tensor:
        """All ranks' tokens, joined along `dim`, on every rank."""
        local = local.movedim(dim, 0)
        longest = -(-self.total // self.ranks)
        padding = [0, 0] * (local.ndim - 1) + [0, longest - local.shape[0]]
        parts = gathered(F.pad(local, padding).contiguous(), self.group).split(longest)
        lengths = [end - begin for begin, end in map(self.bounds, range(self.ranks))]
        joined = torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])
        return joined.movedim(0, dim)


def enable_guidance_parallel(transformer: MultiTalkTransformer3DModel, mesh: DeviceMesh) -> None:
    """Divide the batch of every call of the network over a one-dimensional mesh; every rank gets the whole output.

    Call the network with all predictions as one batch (`PipelineConfig.batch_guidance`). Where there are fewer than
    ranks, the last ranks repeat one.
    """
    hook = _BatchShards(mesh.get_group(), mesh.get_local_rank(), mesh.size())
    HookRegistry.check_if_exists_or_initialize(transformer).register_hook(hook, "polytalk_guidance")


class _BatchShards(ModelHook):
    def __init__(self, group: ProcessGroup, rank: int, ranks: int) -> None:
        super().__init__()
        self.group, self.rank, self.ranks = group, rank, ranks
        self.batch = 0
        self._whole: Conditioning | None = None
        self._part: Conditioning | None = None

    def new_forward(self, module: Any, *args: Any, **kwargs: Any) -> MultiTalkTransformerOutput:
        """The network's forward of this rank's predictions, and everybody's output."""
        given = inspect.signature(type(module).forward).bind(module, *args, **kwargs).arguments
        given.pop("self")
        self.batch = given["hidden_states"].shape[0]
        own = self._own()
        conditioning = given.get("conditioning")
        for name, value in given.items():
            if isinstance(value, Tensor):
                given[name] = value[own]
        if conditioning is not None:
            keep_people = bool(given.get("return_labels")) or given.get("return_reference_maps", False) is not False
            part = self._conditioning(conditioning, own, keep_people)
            given["conditioning"] = part
            if part.people < conditioning.people:
                given["speaker_masks"] = None
        output = self.fn_ref.original_forward(**given)
        maps = None if output.reference_maps is None else [self._join(x) for x in output.reference_maps]
        labels = None if output.labels is None else [self._join(x) for x in output.labels]
        return MultiTalkTransformerOutput(self._join(output.sample), maps, labels)

    def _rows(self) -> int:
        return -(-self.batch // self.ranks)

    def _own(self) -> slice:
        start = min(self.rank * self._rows(), self.batch - 1)
        return slice(start, min(start + self._rows(), self.batch))

    def _conditioning(self, whole: Conditioning, own: slice, keep_people: bool) -> Conditioning:
        if self._whole is not whole or self._part is None:
            self._whole, self._part = whole, whole.samples(own)
        if keep_people or whole.people == 1 or bool(_binds(self._part).any()):
            return self._part
        return self._part.for_one_person()

    def _join(self, own: Tensor) -> Tensor:
        """(own rows, ...) of every rank to (batch, ...)."""
        padding = [0, 0] * (own.ndim - 1) + [0, self._rows() - own.shape[0]]
        padded = F.pad(own, padding).contiguous()
        return gathered(padded, self.group)[: self.batch]


def _binds(part: Conditioning) -> Tensor:
    return torch.ones(1, dtype=torch.bool) if part.binds is None else part.binds
