"""Guidance parallelism: the predictions that guidance needs, a batch of the network, divided over ranks."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import torch
import torch.distributed._functional_collectives as collectives
import torch.nn.functional as F
from diffusers.hooks import HookRegistry, ModelHook
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh

from polytalk.models.attention import ContextBranches, ContextKeyValues
from polytalk.models.transformer import Conditioning, MultiTalkTransformer3DModel, MultiTalkTransformerOutput


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

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        given = inspect.signature(type(module).forward).bind(module, *args, **kwargs).arguments
        if given["hidden_states"] is None:  # the context's keys and values alone
            return args, kwargs
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
        return (), given

    def post_forward(self, module: Any, output: Any) -> Any:
        if isinstance(output, Conditioning):
            return output
        if isinstance(output, tuple):
            return (self._join(output[0]),)
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
            self._whole, self._part = whole, _part(whole, own)
        if keep_people or whole.people == 1 or bool(_binds(self._part).any()):
            return self._part
        return _one_person(self._part)

    def _join(self, own: Tensor) -> Tensor:
        """(own rows, ...) of every rank to (batch, ...)."""
        padding = [0, 0] * (own.ndim - 1) + [0, self._rows() - own.shape[0]]
        padded = F.pad(own, padding).contiguous()
        everyone = collectives.wait_tensor(collectives.all_gather_tensor(padded, 0, self.group))
        return everyone[: self.batch]


def _part(whole: Conditioning, own: slice) -> Conditioning:
    """Views of some samples."""

    def cut(entry: ContextKeyValues | ContextBranches) -> ContextKeyValues | ContextBranches:
        if isinstance(entry, ContextBranches):
            return ContextBranches(entry.samples[own])
        return ContextKeyValues._make(None if x is None else x[own] for x in entry)

    blocks = tuple(map(cut, whole.blocks))
    return dataclasses.replace(whole, blocks=blocks, binds=None if whole.binds is None else whole.binds[own])


def _binds(part: Conditioning) -> Tensor:
    return torch.ones(1, dtype=torch.bool) if part.binds is None else part.binds


def _one_person(part: Conditioning) -> Conditioning:
    """Samples that hear one person, whose voice had been repeated to stand beside others with several people."""

    def first(entry: ContextKeyValues | ContextBranches) -> ContextKeyValues | ContextBranches:
        if isinstance(entry, ContextBranches):  # samples side by side are not repeated
            return entry
        count = entry.audio_key.shape[2] // part.people
        return entry._replace(audio_key=entry.audio_key[:, :, :count], audio_value=entry.audio_value[:, :, :count])

    blocks = tuple(map(first, part.blocks))
    return dataclasses.replace(part, blocks=blocks, people=1, binds=None)
