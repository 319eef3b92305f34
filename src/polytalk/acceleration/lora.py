"""Low-rank adapters on the transformer: several at once, each with a scale, on the side or fused into the weights.

*On the side* (the state after loading) a layer's output has scale · alpha / r · up(down(x)) added to it. The weights
stay as they are, be they quantised, offloaded, streamed or sharded; a call of the 14B network (81 frames at 480p) takes
1% more operations for rank 64 on all layers. The adapters of a layer share one pair of matrices, so that several cost
as much as one of the summed rank. The matrices are buffers of the layer: they move with its weights, keep 16 bits or
more when the model is cast to 8, and are in no state dict.

*Fused*, the change is added to the weights in float32 and rounded to their format: calls cost nothing more. Layers
whose weights are packed stay on the side. `unfuse` puts the weights back bit by bit, which takes a copy of the fused
ones in host memory (32 GB for an adapter on every layer of the 14B network's backbone in bfloat16);
`fuse(reversible=False)` goes without copy, and for good.

Differences of norms, of the modulation and of convolutions are added to these weights either way (originals: some MB),
so a model is saved as it was only after `remove`. A whole difference of a linear layer takes as much memory beside it
as the layer in 16 bits; published files have one for the output layer alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.hooks.hooks import HookRegistry, ModelHook
from torch import Tensor, nn

from polytalk.acceleration.lora_branch import LoraBranch, LoraTerm
from polytalk.acceleration.streaming import stream_of
from polytalk.checkpoints.lora import LayerDelta, LoraWeights, read_lora_file
from polytalk.config.options import LoraChoice
from polytalk.errors import PolytalkError
from polytalk.models.library_internals import find_hook, group_offloading_off

_log = logging.getLogger(__name__)

HOOK = "polytalk_lora"
KEEPER = "polytalk_loras"
BRANCH = "lora_branch"
"""Name of the submodule that holds a layer's adapters."""


class _AddBranch(ModelHook):
    """Adds the layer's adapters to its output. Registered before offloading, it runs while the weights are there."""

    def new_forward(self, module: nn.Module, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """(..., in) -> (..., out)."""
        output = self.fn_ref.original_forward(hidden_states, *args, **kwargs)
        return output + getattr(module, BRANCH)(hidden_states)


class _Keeper(ModelHook):
    """Lets `loras_of` find the set by its transformer; changes nothing."""

    def __init__(self, loras: LoraSet) -> None:
        super().__init__()
        self.loras = loras


@dataclass
class _Adapter:
    weights: LoraWeights
    scale: float


class LoraSet:
    """The adapters of one transformer.

    Args:
        transformer: a `MultiTalkTransformer3DModel`. Load adapters before it is offloaded, sharded or compiled; scales
            may change at any time between calls (conditioning prepared earlier keeps the old ones).

    Raises:
        PolytalkError: it has a set already, or fused projections, which adapters do not know.
    """

    def __init__(self, transformer: nn.Module) -> None:
        for name, module in transformer.named_modules():
            if getattr(module, "fused_projections", False):
                problem = f"{name} has fused projections"
                raise PolytalkError("loras", problem, "Load LoRAs first, or call unfuse_qkv_projections().")
        if getattr(transformer, "peft_config", None):
            raise PolytalkError(
                "loras", "the transformer has adapters loaded by PEFT", "Call unload_lora() on it first."
            )
        if loras_of(transformer) is not None:
            raise PolytalkError("loras", "the transformer has a set of LoRAs", "Add to it: loras_of(transformer).load.")
        HookRegistry.check_if_exists_or_initialize(transformer).register_hook(_Keeper(self), KEEPER)
        self.transformer = transformer
        self.fused = False
        self._reversible = True
        self._adapters: dict[str, _Adapter] = {}
        self._originals: dict[str, Tensor] = {}
        self._inside: set[str] = set()  # layers whose weights hold their adapters

    @property
    def scales(self) -> dict[str, float]:
        """Name of each adapter -> its scale."""
        return {name: adapter.scale for name, adapter in self._adapters.items()}

    @property
    def ignored(self) -> dict[str, dict[str, str]]:
        """Name of each adapter -> tensor of its file without effect -> why."""
        return {name: adapter.weights.ignored for name, adapter in self._adapters.items()}

    @property
    def side_layers(self) -> list[str]:
        """Layers whose adapters run beside them."""
        return [name for name in self._touched_layers() if hasattr(self.transformer.get_submodule(name), BRANCH)]

    def load(self, path: str | Path, scale: float = 1.0, name: str | None = None) -> str:
        """Read an adapter file (or a folder with PEFT's `adapter_config.json`) and lay it over the others; where these
        are fused, it is, too.

        Returns:
            The adapter's name: `name`, or the file's stem, numbered if taken.

        Raises:
            PolytalkError: the file is damaged or does not belong to this network, the scale is not a number.
        """
        return self.load_all([LoraChoice(path, scale)], [name])[0]

    def load_all(self, choices: Sequence[LoraChoice], names: Sequence[str | None] | None = None) -> list[str]:
        """Several `load`s at once, which spares rebuilding layers in between; all or none take effect."""
        self._must_be_reversible("load")
        added: dict[str, _Adapter] = {}
        for choice, name in zip(choices, names or [None] * len(choices), strict=True):
            weights = read_lora_file(choice.path, self.transformer)
            for tensor, reason in weights.ignored.items():
                _log.warning("%s: tensor %s has no effect: %s", choice.path, tensor, reason)
            added[self._free_name(name or Path(choice.path).stem, added)] = _Adapter(weights, float(choice.scale))
        self._adapters |= added
        try:
            self._rebuild()
        except PolytalkError:
            layers = self._touched_layers()
            for each in added:
                del self._adapters[each]
            self._rebuild(layers)
            raise
        return list(added)

    @torch.no_grad()
    def set_scales(self, scales: Mapping[str, float]) -> None:
        """Change the strength of some adapters.

        Raises:
            PolytalkError: an unknown adapter, a scale that is not finite, or weights fused for good.
        """
        self._must_be_reversible("set_scales")
        for name, scale in scales.items():
            self._adapter(name)
            LoraChoice(name, scale)  # refuses what is no number
        for name in self._parameter_changes():
            self._writable(name)
        for name, scale in scales.items():
            self._adapters[name].scale = float(scale)
        for name in self._touched_layers():
            module = self.transformer.get_submodule(name)
            if hasattr(module, BRANCH):
                getattr(module, BRANCH).set_scales(self.scales)
        self._write_weights()

    def remove(self, name: str | None = None) -> None:
        """Take one adapter off, or all; weights are as before it."""
        self._must_be_reversible("remove")
        before, layers = dict(self._adapters), self._touched_layers()
        for each in [name] if name is not None else list(before):
            self._adapter(each)
            del self._adapters[each]
        try:
            self._rebuild(layers)
        except PolytalkError:
            self._adapters = before
            raise

    def fuse(self, reversible: bool = True) -> list[str]:
        """Add the adapters to the weights.

        Args:
            reversible: keep a copy of every weight that changes, in host memory.

        Returns:
            Layers whose weights are packed and whose adapters therefore stay beside them.
        """
        if not self.fused:
            self.fused = True
            self._rebuild(reversible=reversible)
            self._reversible = reversible
        return self.side_layers

    def unfuse(self) -> None:
        """Put the weights back, bit by bit, and run the adapters beside them."""
        self._must_be_reversible("unfuse")
        if self.fused:
            self.fused = False
            try:
                self._rebuild()
            except PolytalkError:
                self.fused = True
                raise

    def _adapter(self, name: str) -> _Adapter:
        if name not in self._adapters:
            loaded = ", ".join(self._adapters) or "none"
            raise PolytalkError("loras", f"{name!r} is not loaded", f"Loaded: {loaded}.")
        return self._adapters[name]

    def _free_name(self, stem: str, added: Mapping[str, _Adapter]) -> str:
        taken = self._adapters.keys() | added.keys()
        numbered = (f"{stem}_{number}" for number in range(2, len(taken) + 3))
        return next(name for name in (stem, *numbered) if name not in taken)

    def _must_be_reversible(self, action: str) -> None:
        if not self._reversible:
            problem = f"{action} is impossible after fuse(reversible=False)"
            raise PolytalkError("loras", problem, "Load the model again, or fuse reversibly.")

    def _touched_layers(self) -> list[str]:
        return list(dict.fromkeys(name for adapter in self._adapters.values() for name in adapter.weights.layers))

    @torch.no_grad()
    def _rebuild(self, formerly: Iterable[str] = (), reversible: bool = True) -> None:
        """Give every layer the branch it needs now, and every weight its value."""
        if (stream := stream_of(self.transformer)) is not None:
            stream.clear()  # the last block's weights lie in a buffer and do not count as loaded
        with group_offloading_off(self.transformer):
            for name in self._originals:
                self._writable(name)  # or nothing is changed
            for name in dict.fromkeys([*formerly, *self._touched_layers()]):
                self._set_branch(name)
            self._write_weights(reversible)

    def _set_branch(self, name: str) -> None:
        module = self.transformer.get_submodule(name)
        registry = HookRegistry.check_if_exists_or_initialize(module)
        if hasattr(module, BRANCH):
            registry.remove_hook(HOOK, recurse=False)
            delattr(module, BRANCH)
        terms = [
            LoraTerm(adapter_name, adapter.weights.layers[name])
            for adapter_name, adapter in self._adapters.items()
            if name in adapter.weights.layers
        ]
        self._inside.discard(name)
        if not terms:
            return
        if not isinstance(module, nn.Linear) or (self.fused and _is_plain(module.weight) and _is_plain(module.bias)):
            self._inside.add(name)
            return
        device, dtype = _place(module, self.transformer)
        module.add_module(BRANCH, LoraBranch(terms, self.scales, device, dtype))
        registry.register_hook(_AddBranch(), HOOK)

    def _write_weights(self, reversible: bool = True) -> None:
        """Give each parameter its original value plus all changes; those without change get the original back."""
        changes = self._parameter_changes()
        for name in list(self._originals):
            if name not in changes:
                self._writable(name).copy_(self._originals.pop(name))
        for name, deltas in changes.items():
            self._write_parameter(name, deltas, reversible)

    def _write_parameter(self, name: str, deltas: list[tuple[float, LayerDelta]], reversible: bool) -> None:
        parameter = self._writable(name)
        original = self._originals.get(name)
        total = (parameter if original is None else original).to(parameter.device, torch.float32, copy=True)
        if original is None and reversible:
            self._originals[name] = parameter.to("cpu", copy=True)
        for scale, delta in deltas:
            delta.add_to(total, scale)
        parameter.copy_(total)

    def _writable(self, name: str) -> Tensor:
        """A parameter's data, to be changed in place."""
        parameter = self.transformer.get_parameter(name)
        original = self._originals.get(name)
        if not _is_plain(parameter) or (original is not None and original.dtype != parameter.dtype):
            problem = f"{name} cannot be changed as it is (packed, sharded, cast or not loaded)"
            raise PolytalkError("loras", problem, "Load and fuse LoRAs right after the model, before all else.")
        return parameter.data

    def _parameter_changes(self) -> dict[str, list[tuple[float, LayerDelta]]]:
        """Parameter that is changed in place -> (scale, change in its shape) of each adapter."""
        changes: dict[str, list[tuple[float, LayerDelta]]] = {}
        for adapter in self._adapters.values():
            for name, difference in adapter.weights.parameters.items():
                changes.setdefault(name, []).append((adapter.scale, LayerDelta(weight=difference)))
            for name, delta in adapter.weights.layers.items():
                if name not in self._inside:
                    continue
                if delta.weight is not None or delta.down is not None:
                    changes.setdefault(f"{name}.weight", []).append((adapter.scale, delta))
                if delta.bias is not None:
                    changes.setdefault(f"{name}.bias", []).append((adapter.scale, LayerDelta(weight=delta.bias)))
        return changes


def load_loras(transformer: nn.Module, choices: Sequence[LoraChoice]) -> LoraSet:
    """Lay adapters over a transformer, each at its scale, beside its weights and any adapters it has already.

    Returns:
        The transformer's set, with which they are fused, scaled and removed; `loras_of` finds it again.

    Raises:
        PolytalkError: a file is damaged or for another architecture (naming the first tensor that does not fit). None
            of the files has then been loaded.
    """
    loras = loras_of(transformer) or LoraSet(transformer)
    loras.load_all(choices)
    return loras


def loras_of(transformer: nn.Module) -> LoraSet | None:
    """The adapters of a transformer; None if it never had any."""
    keeper = find_hook(transformer, KEEPER)
    return keeper.loras if isinstance(keeper, _Keeper) else None


def fuse(transformer: nn.Module, reversible: bool = True) -> list[str]:
    """`LoraSet.fuse` of the transformer's adapters."""
    return _required(transformer).fuse(reversible)


def unfuse(transformer: nn.Module) -> None:
    """`LoraSet.unfuse` of the transformer's adapters."""
    _required(transformer).unfuse()


def set_scales(transformer: nn.Module, scales: Mapping[str, float]) -> None:
    """`LoraSet.set_scales` of the transformer's adapters."""
    _required(transformer).set_scales(scales)


def _required(transformer: nn.Module) -> LoraSet:
    loras = loras_of(transformer)
    if loras is None:
        raise PolytalkError("loras", "the transformer has no LoRAs", "Load some first: load_loras.")
    return loras


def _is_plain(weight: Tensor) -> bool:
    """Whether numbers can be added to it: neither packed, sharded nor absent."""
    known = type(weight) in (nn.Parameter, Tensor) and not weight.is_meta
    return known and weight.is_floating_point() and weight.dtype.itemsize > 1


def _place(module: nn.Module, transformer: Any) -> tuple[torch.device, torch.dtype]:
    """Device and number format for what runs beside a layer."""
    weight: Any = module.weight
    if _is_plain(weight):
        return weight.device, weight.dtype
    always_there = transformer.patch_embedding.weight
    return always_there.device if weight.is_meta else weight.device, always_there.dtype
