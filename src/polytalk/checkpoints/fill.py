"""Filling a network with weights in little host memory.

The network is built without memory, then filled unit by unit (a block, an embedder), each tensor going from the mapped
file straight to its device and type. Pages of the files are given back at once, so that the host holds one unit at a
time, whatever the size of model and shards. A unit that is whole may be changed before the next is read, e.g.
quantised: the device then never holds the unquantised model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from accelerate.big_modeling import init_empty_weights
from torch import Tensor, nn

from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.errors import PolytalkError
from polytalk.models.library_internals import tied_weights
from polytalk.models.quantized import QuantizedLinear

Model = TypeVar("Model", bound=nn.Module)

_NESTED_BLOCKS = ("block", "blocks", "layers")
"""Lists that count as blocks one level down, as in the libraries' encoders."""
_MAPPED = 2**28
"""Bytes of the files that may be mapped at a time, large single tensors aside."""
_NAMED = 3
"""Tensors named in a message; the others are counted."""


def load_into(
    build: Callable[[], Model],
    tensors: Mapping[str, Tensor],
    *,
    source: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    keep_in_fp32: Sequence[str] = (),
    on_module: Callable[[str, nn.Module], None] | None = None,
    leave_out: Collection[str] = (),
) -> Model:
    """Build a model and fill it.

    Args:
        build: makes the model; its parameters are given no memory.
        tensors: name -> tensor, a `Checkpoint` to read lazily; names are those of the model's `state_dict`. Of tied
            parameters one suffices.
        source: the weights' name in messages; None takes the checkpoint's.
        device: where the model is to live.
        dtype: format of floating-point tensors; None leaves each as it is stored.
        keep_in_fp32: parameters with one of these as a part of their dotted name become float32.
        on_module: called with (name, module) as soon as a unit is filled: each entry of a list of blocks, else each
            child of the model. It may change the module in place.
        leave_out: tensors to leave without memory, on the meta device; they are checked like the others.

    Returns:
        The model in evaluation mode.

    Raises:
        PolytalkError: a tensor is missing, left over, or of another shape.
    """
    with init_empty_weights(include_buffers=False):
        model = build()
    label = source or (tensors.source if isinstance(tensors, Checkpoint) else "checkpoint")
    tied = {name for name, kept in tied_weights(model).items() if kept in tensors}
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items() if name not in tied}
    check_names(wanted, {name: shape for name, shape in shapes_of(tensors).items() if name not in tied}, label)
    # scales of packed weights keep their format
    scales = {f"{n}.weight_scale" for n, module in model.named_modules() if isinstance(module, QuantizedLinear)}

    def placed(name: str, value: Tensor) -> Tensor:
        if not value.is_floating_point() or name in scales:
            return _moved(value, device, None)
        wide = any(part in keep_in_fp32 for part in name.split("."))
        return _moved(value, device, torch.float32 if wide else dtype)

    units = list(unit_names(model))
    remaining = _by_unit([name for name in wanted if name not in leave_out], units)
    for unit in ("", *units):
        _fill(model, remaining.get(unit, ()), tensors, placed)
        if unit and on_module is not None:
            on_module(unit, model.get_submodule(unit))
    if tied:
        tie: Any = model
        tie.tie_weights()
    _move_buffers(model, device)
    return model.eval()


def _fill(
    model: nn.Module, names: Iterable[str], tensors: Mapping[str, Tensor], placed: Callable[[str, Tensor], Tensor]
) -> None:
    """Give a unit its tensors, as `placed` makes them; mapped pages go back now and then, and at the end."""
    release = tensors.release if isinstance(tensors, Checkpoint) else lambda: None
    mapped = 0
    for name in names:
        value = tensors[name]
        _assign(model, name, placed(name, value))
        mapped += value.numel() * value.element_size()
        if mapped > _MAPPED:
            release()
            mapped = 0
    release()


def unit_names(model: nn.Module, prefix: str = "") -> Iterator[str]:
    """Dotted names of the modules that are filled at a time; together they hold all but a few parameters."""
    for name, child in model.named_children():
        full = prefix + name
        if isinstance(child, nn.ModuleList):
            yield from (f"{full}.{index}" for index in range(len(child)))
        elif any(isinstance(getattr(child, blocks, None), nn.ModuleList) for blocks in _NESTED_BLOCKS):
            yield from unit_names(child, full + ".")
        else:
            yield full


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape; a `Checkpoint` is not read for it."""
    if isinstance(tensors, Checkpoint):
        return tensors.shapes
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_names(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], source: str) -> None:
    """Compare a model's tensors with a checkpoint's.

    Raises:
        PolytalkError: naming the first tensors that are missing, unknown or of another shape.
    """
    other = [name for name in wanted if name in found and tuple(wanted[name]) != tuple(found[name])]
    for problem, names in (
        ("lacks tensor", sorted(wanted.keys() - found.keys())),
        ("has the unknown tensor", sorted(found.keys() - wanted.keys())),
        ("has another shape of tensor", sorted(other)),
    ):
        if not names:
            continue
        listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        if names[0] in other:
            listed += f" ({names[0]} is {tuple(found[names[0]])}, should be {tuple(wanted[names[0]])})"
        remedy = "Check that weights and configuration are of one model: `polytalk weights verify FOLDER`."
        raise PolytalkError(source, f"{problem} {listed}", remedy)


def _moved(value: Tensor, device: torch.device | str, dtype: torch.dtype | None) -> Tensor:
    """A copy that no longer needs the file; changes its type on the device, which spares the host a copy."""
    target = torch.device(device)
    if target.type == "cpu":
        return value.to(dtype or value.dtype, copy=True).contiguous()
    return value.to(target).to(dtype or value.dtype).contiguous()


def _assign(model: nn.Module, name: str, value: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    owner = model.get_submodule(path)
    before = getattr(owner, leaf)
    if isinstance(before, nn.Parameter):
        value = nn.Parameter(value, requires_grad=before.requires_grad and value.is_floating_point())
    setattr(owner, leaf, value)


def _by_unit(names: Sequence[str], units: Sequence[str]) -> dict[str, list[str]]:
    """Unit -> its tensors; "" holds those that belong to none."""
    result: dict[str, list[str]] = {}
    known = set(units)
    for name in names:
        parts = name.split(".")
        prefixes = (".".join(parts[:count]) for count in range(1, len(parts)))
        result.setdefault(next((prefix for prefix in prefixes if prefix in known), ""), []).append(name)
    return result


def _move_buffers(model: nn.Module, device: torch.device | str) -> None:
    """Buffers that checkpoints do not hold were built on the CPU."""
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.device.type != "meta" and buffer.device != torch.device(device):
                setattr(module, name, buffer.to(device))
