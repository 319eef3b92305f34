"""Guidance parallelism: the predictions that guidance needs, a batch of the network, divided over ranks."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.hooks.hooks import HookRegistry, ModelHook
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh

from polytalk.models.conditioning import Conditioning
from polytalk.models.library_internals import gathered
from polytalk.models.transformer import MultiTalkTransformer3DModel, MultiTalkTransformerOutput


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
