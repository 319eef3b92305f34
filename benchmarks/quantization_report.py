"""What quantisation costs in exactness and saves in memory, measured on a model at hand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polytalk.acceleration.quantization import SCHEMES, convert_linears
from polytalk.checkpoints.gguf import GGUFLinear
from polytalk.errors import PolytalkError

GGUF_PREFIX = "gguf-"
"""Names a GGUF type as a scheme of the report, e.g. "gguf-Q8_0"; only types that the package gguf can write."""


@dataclass(frozen=True)
class SchemeError:
    """One scheme's figures."""

    scheme: str
    """Its name."""
    relative_error: float
    """Norm of the difference to the unquantised output over the norm of that output."""
    largest_error: float
    """Largest difference over the largest output."""
    num_bytes: int
    """All parameters and buffers of the model, scales included."""


@torch.no_grad()
def error_report(
    model: nn.Module, run: Callable[[nn.Module], Tensor], schemes: Iterable[str] = tuple(SCHEMES)
) -> list[SchemeError]:
    """Run a model and its quantised copies on the same input.

    The reference is the model in bfloat16; every scheme converts those weights.

    Args:
        model: unquantised, with `blocks`; not changed.
        run: one call of a model with a fixed input; gives its output.
        schemes: names of `SCHEMES`, or "gguf-" and a type.

    Returns:
        "bfloat16", for its size, and one entry per scheme. A model in float32 comes first, as "float32": bfloat16's own
        error, seen from the other side.

    Raises:
        PolytalkError: an unknown scheme, or its package is missing.
    """
    converters = {scheme: _converter(scheme) for scheme in schemes}
    narrow = to_bfloat16(copy.deepcopy(model))
    reference = run(narrow).float()
    rows = [compare("bfloat16", reference, reference, narrow)]
    if any(parameter.dtype == torch.float32 for name, parameter in model.named_parameters() if _is_matrix(name)):
        rows.insert(0, compare("float32", run(model).float(), reference, model))
    for scheme, convert in converters.items():
        variant = copy.deepcopy(narrow)
        for block in variant.blocks:  # type: ignore[union-attr]
            convert_linears(block, convert)
        rows.append(compare(scheme, run(variant).float(), reference, variant))
        del variant
    return rows


def compare(scheme: str, output: Tensor, reference: Tensor, model: nn.Module) -> SchemeError:
    """Figures of an output against the reference."""
    difference = output - reference
    return SchemeError(
        scheme,
        (difference.norm() / reference.norm()).item(),
        (difference.abs().max() / reference.abs().max()).item(),
        model_bytes(model),
    )


def to_bfloat16(model: nn.Module) -> nn.Module:
    """Cast in place what the model does not want in float32; returns the model."""
    wide = getattr(model, "_keep_in_fp32_modules", None) or ()
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not any(part in wide for part in name.split(".")):
            parameter.data = parameter.data.bfloat16()
    return model


def model_bytes(model: nn.Module) -> int:
    """Size of all parameters and buffers as they are stored, wrapped ones included."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(_stored_bytes(tensor) for tensor in tensors)


def _is_matrix(name: str) -> bool:
    return name.startswith("blocks.") and name.endswith("to_q.weight")


def _stored_bytes(tensor: Tensor) -> int:
    flatten = getattr(tensor, "__tensor_flatten__", None)  # torchao's tensors hold several
    if flatten is None:
        return tensor.numel() * tensor.element_size()
    return sum(_stored_bytes(getattr(tensor, name)) for name in flatten()[0])


def _converter(scheme: str) -> Callable[[nn.Linear], nn.Module | None]:
    if scheme.startswith(GGUF_PREFIX):
        return lambda linear: GGUFLinear.from_linear_as(linear, scheme.removeprefix(GGUF_PREFIX))
    if scheme not in SCHEMES:
        raise PolytalkError("quantization", f"{scheme!r} is unknown", f"Use one of {', '.join(SCHEMES)}.")
    return SCHEMES[scheme].convert
