"""What can be laid around a transformer's blocks without touching them: compilation, casting, guidance passes in turn.

Each is a hook of diffusers' `HookRegistry`. The hook registered last is the outermost; from the inside out the order is
compilation, passes in turn, casting, then whatever brings the weights (offload, streaming) and what leaves blocks out
(step caches). So the compiled part of a block never holds a hook, and remains one graph whatever else is on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.hooks.hooks import HookRegistry, ModelHook
from torch import Tensor, nn

from polytalk.models.attention import ContextKeyValues, ContextTokens, Rotary
from polytalk.models.block import KeptMap
from polytalk.models.conditioning import ContextPasses, first_voice
from polytalk.models.transformer import MultiTalkTransformer3DModel

RECOMPILE_LIMIT = 64
"""Graphs of one block: with and without several people, and for each new size until sizes are taken as variable."""

COMPILED = "polytalk_compiled_block"
"""Name of the hook of compiled blocks."""


class CompiledBlock(ModelHook):
    """Runs the block as one compiled graph (`torch.compile`, fullgraph), shared by all blocks of the same shape.

    Maps are asked for in one step of a clip, which stays uncompiled.
    """

    def __init__(self, backend: str | Callable[..., Any] = "inductor") -> None:
        super().__init__()
        self.backend = backend
        self._compiled: Callable[..., Any] | None = None

    def new_forward(self, module: nn.Module, *args: Any, kept: KeptMap | None = None, **kwargs: Any) -> Tensor:
        """The block's forward, compiled at its first use."""
        forward = self.fn_ref.original_forward
        if kept is not None:
            return forward(*args, kept=kept, **kwargs)
        if self._compiled is None:
            known = inspect.signature(torch.compile).parameters  # older releases have no limit of one function's own
            limit: Any = {"recompile_limit": RECOMPILE_LIMIT} if "recompile_limit" in known else {}
            self._compiled = torch.compile(forward, backend=self.backend, fullgraph=True, **limit)
        return self._compiled(*args, **kwargs)


class PassesInTurn(ModelHook):
    """Runs the samples of a batch, guidance's predictions, one after the other inside the block.

    The block's weights are then brought once a step for all of them, and its activations take the memory of one. A
    prediction that hears one person skips the reference map, whose labels it does not use.
    """

    def __init__(self, binding: _Binding) -> None:
        super().__init__()
        self._binding = binding

    def new_forward(
        self,
        module: nn.Module,
        hidden_states: Tensor,
        context: ContextTokens | ContextKeyValues | ContextPasses,
        temb: Tensor,
        rotary_emb: Rotary | None = None,
        reference_masks: Tensor | None = None,
        given_labels: Tensor | None = None,
        binds: Tensor | None = None,
        *,
        kept: KeptMap | None = None,
    ) -> Tensor:
        """As the block's forward."""
        forward = self.fn_ref.original_forward
        stacked = not isinstance(context, ContextPasses)
        if stacked and len(hidden_states) == 1:
            return forward(hidden_states, context, temb, rotary_emb, reference_masks, given_labels, binds, kept=kept)
        bound = self._binding.of(binds, len(hidden_states))
        output, maps = torch.empty_like(hidden_states), [KeptMap() for _ in hidden_states]
        for index, own_map in enumerate(maps):
            one = slice(index, index + 1)
            own = _context_of(context, index, hidden_states.device)
            masks, labels, flags = (_sample(x, one) for x in (reference_masks, given_labels, binds))
            if not bound[index] and masks is not None and kept is None:
                if stacked and isinstance(own, ContextKeyValues):
                    own = first_voice(own, masks.shape[1] - 1)
                masks = labels = flags = None
            arguments = (hidden_states[one], own, _sample(temb, one), rotary_emb, masks, labels, flags)
            output[one] = forward(*arguments, kept=None if kept is None else own_map)
        if kept is not None:
            kept.reference_map = torch.cat([each.reference_map for each in maps])
        return output


class _Binding:
    """Which samples bind voices to people, read from the device once for all blocks and steps of a clip."""

    def __init__(self) -> None:
        self._binds: Tensor | None = None
        self._flags: Sequence[bool] = ()

    def of(self, binds: Tensor | None, size: int) -> Sequence[bool]:
        if binds is None:
            return [True] * size
        if binds is not self._binds:
            self._binds, self._flags = binds, binds.tolist()
        return self._flags


def _sample(value: Any, index: slice) -> Any:
    """One sample of a tensor or of a context; tables shared by all samples stay whole."""
    if isinstance(value, Tensor):
        return value[index]
    if isinstance(value, ContextTokens | ContextKeyValues):
        make: Any = type(value)
        return make(*(part[index] if isinstance(part, Tensor) else part for part in value))
    return value


def _context_of(context: Any, index: int, device: torch.device) -> Any:
    """What one sample attends to, brought to where the block works."""
    if not isinstance(context, ContextPasses):
        return _sample(context, slice(index, index + 1))
    parts = context.samples[index]
    return ContextKeyValues._make(None if x is None else x.to(device, non_blocking=True) for x in parts)


class BlockCasting(ModelHook):
    """Holds weights of a block in a narrow format and casts them while the block works.

    diffusers' own hook casts layer by layer from inside the block, which breaks its graph; this one needs the room of
    one block in the wide format. The narrow weights are kept, not cast back.

    Args:
        layers: layers of the block whose `weight` is meant.
        storage: narrow format.
        compute: wide format.
    """

    def __init__(self, layers: Sequence[nn.Linear], storage: torch.dtype, compute: torch.dtype) -> None:
        super().__init__()
        self.layers, self.storage, self.compute = layers, storage, compute
        self._narrow: list[Tensor] = []

    def initialize_hook(self, module: nn.Module) -> nn.Module:
        """Cast to the narrow format, for good."""
        for layer in self.layers:
            layer.weight.data = layer.weight.data.to(self.storage)
        return module

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Cast to the wide format."""
        self._narrow = [layer.weight.data for layer in self.layers]
        for layer, narrow in zip(self.layers, self._narrow, strict=True):
            layer.weight.data = narrow.to(self.compute)
        return args, kwargs

    def post_forward(self, module: nn.Module, output: Any) -> Any:
        """Back to the narrow weights."""
        for layer, narrow in zip(self.layers, self._narrow, strict=True):
            layer.weight.data = narrow
        self._narrow = []
        return output


def compile_blocks(transformer: MultiTalkTransformer3DModel, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile every block at its first use."""
    for block in transformer.blocks:
        _register(block, CompiledBlock(backend), COMPILED)


def run_passes_in_turn(transformer: MultiTalkTransformer3DModel) -> None:
    """Let every block run guidance's predictions one after the other."""
    binding = _Binding()
    for block in transformer.blocks:
        _register(block, PassesInTurn(binding), "polytalk_passes_in_turn")


def cast_blocks(transformer: MultiTalkTransformer3DModel, storage: torch.dtype, compute: torch.dtype) -> None:
    """Hold the weights of the blocks' linear layers in `storage`.

    Quantised layers, which are small already, and the low-rank matrices of LoRAs keep their format, and so do biases,
    norms and modulation.
    """
    for block in transformer.blocks:
        plain = [
            layer
            for name, layer in block.named_modules()
            if type(layer) is nn.Linear and type(layer.weight.data) is Tensor and "lora_" not in name
        ]
        _register(block, BlockCasting(plain, storage, compute), "polytalk_block_casting")


def _register(block: nn.Module, hook: ModelHook, name: str) -> None:
    HookRegistry.check_if_exists_or_initialize(block).register_hook(hook, name)
