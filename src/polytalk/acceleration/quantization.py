"""The number formats weights can be converted to while a model is loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import nn

from polytalk.errors import PolytalkError
from polytalk.models.quantized import Int4Linear, Int8Linear, QuantizedLinear

_FP8_CAPABILITY = (8, 9)
"""First GPUs (Ada, Hopper) whose tensor cores multiply 8-bit floating point."""
_FP8_MULTIPLE = 16
"""Sizes these products need."""


@dataclass(frozen=True)
class Scheme:
    """One number format.

    `convert` gives the quantised form of a linear layer, or None for one it cannot take, which then stays as it is.
    """

    description: str
    """One line for people."""
    bits: float
    """Stored per weight, scales not counted."""
    convert: Callable[[nn.Linear], nn.Module | None]
    """Linear layer to its quantised form."""


def _int8(linear: nn.Linear) -> nn.Module:
    return Int8Linear.from_linear(linear)


def _int4(linear: nn.Linear) -> nn.Module | None:
    return None if Int4Linear.group_size(linear.in_features) % 2 else Int4Linear.from_linear(linear)


def _fp8(linear: nn.Linear) -> nn.Module | None:
    torchao = _torchao()
    weight = linear.weight
    multiplies = (
        weight.is_cuda
        and torch.cuda.get_device_capability(weight.device) >= _FP8_CAPABILITY
        and weight.dtype == torch.bfloat16
        and not (linear.in_features % _FP8_MULTIPLE or linear.out_features % _FP8_MULTIPLE)
    )
    config: Any = torchao.Float8WeightOnlyConfig()
    if multiplies:
        config = torchao.Float8DynamicActivationFloat8WeightConfig(granularity=torchao.PerRow())
    return _by_torchao(linear, config)


def _int8_dynamic(linear: nn.Linear) -> nn.Module | None:
    return _by_torchao(linear, _torchao().Int8DynamicActivationInt8WeightConfig())


SCHEMES: dict[str, Scheme] = {
    "int8": Scheme("whole numbers, one scale per output channel; products in the run's format", 8, _int8),
    "int8-dynamic": Scheme("torchao: weights and activations as whole numbers, for GPUs without fp8", 8, _int8_dynamic),
    "fp8": Scheme("torchao: 8-bit floating point; products too where the GPU has them (Ada, Hopper)", 8, _fp8),
    "int4": Scheme("sixteen levels, one scale per 64 input channels; products in the run's format", 4, _int4),
}
"""Name -> format. Those without torchao are plain tensors, which can be saved and streamed."""


def quantizer(name: str, units: Sequence[str] | None = ("blocks",)) -> Callable[[str, nn.Module], None]:
    """What converts a model piece by piece, to be given to `load_into` as `on_module`.

    The linear layers of the blocks are converted; norms, modulation, embedders of time and text, the patch embedding,
    the audio adapter and the output layer stay as they are: they are few, and set the format of what flows through.

    Args:
        name: one of `SCHEMES`.
        units: first parts of the dotted names of the modules to convert; None is all that it is called with.

    Returns:
        A function of a module's dotted name and the module, which is changed in place. Layers that are quantised
        already, or that the scheme cannot take, are left.

    Raises:
        PolytalkError: unknown scheme, or its package is missing.
    """
    if name not in SCHEMES:
        raise PolytalkError("quantization", f"{name!r} is unknown", f"Use one of {', '.join(SCHEMES)}.")
    convert = SCHEMES[name].convert
    if convert in (_fp8, _int8_dynamic):
        _torchao()

    def on_module(prefix: str, module: nn.Module) -> None:
        if units is None or prefix.split(".")[0] in units:
            convert_linears(module, convert)

    return on_module


def quantize(model: nn.Module, name: str) -> nn.Module:
    """Convert the blocks of a loaded model in place; returns the model."""
    on_module = quantizer(name)
    blocks: Any = model.blocks
    for index, block in enumerate(blocks):
        on_module(f"blocks.{index}", block)
    return model


@torch.no_grad()
def convert_linears(module: nn.Module, convert: Callable[[nn.Linear], nn.Module | None]) -> None:
    """Replace every linear layer within `module` by what `convert` makes of it, one at a time."""
    for name, child in list(module.named_modules()):
        if not name or not is_plain_linear(child):
            continue
        new = convert(child)
        if new is not None:
            parent, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(parent), leaf, new)


def is_plain_linear(module: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether this is a linear layer with a floating-point weight of its own, not quantised by anyone."""
    if not isinstance(module, nn.Linear) or isinstance(module, QuantizedLinear):
        return False
    return type(module.weight) is nn.Parameter and type(module.weight.data) is torch.Tensor


def _by_torchao(linear: nn.Linear, config: Any) -> nn.Module:
    _torchao().quantize_(linear, config, filter_fn=lambda module, _: module is linear)
    return linear


def _torchao() -> Any:
    """torchao.quantization, whose import tells of kernels for other machines."""
    log = logging.getLogger("torchao")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        import torchao.quantization
    except ImportError:
        remedy = "Install it: pip install 'polytalk[quantization]'; or use int8 or int4."
        raise PolytalkError("quantization", "this scheme needs the package torchao", remedy) from None
    finally:
        log.setLevel(level)
    return torchao.quantization
