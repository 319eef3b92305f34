"""Weights in the GGUF formats (Q8_0, Q4_K, ...): blocks of numbers with their scales, as ComfyUI's Wan files have them.

The bytes of a file stay as they are; a layer unpacks its weight at every use, with diffusers' routines.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from polytalk.checkpoints.files import WeightFile, file_damage
from polytalk.errors import PolytalkError
from polytalk.models.quantized import QuantizedLinear

_PREFIX = re.compile(r"^(model\.)?diffusion_model\.")
_IN_BLOCK = re.compile(r"(^|\.)blocks\.\d+\..*\.weight$")
_ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
"""Note beside a tensor of more dimensions than GGUF has."""


def stays_packed(name: str) -> bool:
    """Whether a quantised tensor of this name is kept so: the layers of the blocks. Few weights lie outside of them,
    in layers that set the format of what flows through."""
    return _IN_BLOCK.search(name) is not None


def gguf_package() -> Any:
    """The package `gguf`.

    Raises:
        PolytalkError: not installed.
    """
    try:
        import gguf
    except ImportError:
        remedy = "Install it: pip install 'polytalk[quantization]'."
        raise PolytalkError("gguf", "reading GGUF files needs the package gguf", remedy) from None
    return gguf


def released_name(name: str) -> str:
    """Name of a tensor in a GGUF file -> the released one, without ComfyUI's prefix."""
    return _PREFIX.sub("", name)


def unpack(packed: Tensor, quant_type: int, dtype: torch.dtype) -> Tensor:
    """Rows of bytes (..., bytes) of a GGUF type -> numbers (..., columns).

    Raises:
        PolytalkError: a type that diffusers cannot unpack.
    """
    gguf = gguf_package()
    from diffusers.quantizers.gguf.utils import dequantize_functions

    kind = gguf.GGMLQuantizationType(quant_type)
    if kind not in dequantize_functions:
        known = ", ".join(sorted(known.name for known in dequantize_functions))
        raise PolytalkError("gguf", f"type {kind.name} cannot be read", f"Use a file of one of {known}.")
    block_size, type_size = gguf.GGML_QUANT_SIZES[kind]
    blocks = packed.reshape(-1, type_size)
    numbers = dequantize_functions[kind](blocks, block_size, type_size, dtype)
    return numbers.reshape(*packed.shape[:-1], packed.shape[-1] // type_size * block_size).to(dtype)


class GGUFLinear(QuantizedLinear):
    """Weights uint8 (out, bytes of a row) in a GGUF type; the scales are among the bytes.

    Attributes:
        quant_type: the type's number in the GGUF specification.
    """

    def __init__(self, linear: nn.Linear, weight: Tensor, quant_type: int) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, weight, None)
        self.bias = linear.bias
        self.quant_type = int(quant_type)

    @classmethod
    def empty_of(cls, linear: nn.Linear, row_bytes: int, quant_type: int) -> Self:
        """Of the sizes, bias and device of `linear`, with packed weights yet to be filled."""
        shape = (linear.out_features, row_bytes)
        return cls(linear, torch.empty(shape, dtype=torch.uint8, device=linear.weight.device), quant_type)

    @classmethod
    def from_linear_as(cls, linear: nn.Linear, quant_type: str) -> Self:
        """The quantised form of `linear` in a type the package gguf can write, e.g. "Q8_0"; on the CPU."""
        gguf = gguf_package()
        kind = gguf.GGMLQuantizationType[quant_type]
        packed = gguf.quantize(linear.weight.detach().float().cpu().numpy(), kind)
        return cls(linear, torch.from_numpy(packed), kind)

    def dequantize(self, dtype: torch.dtype) -> Tensor:
        """The weight (out_features, in_features) in `dtype`."""
        return unpack(self.weight, self.quant_type, dtype)

    def extra_repr(self) -> str:
        """As nn.Linear's, with the type."""
        return f"{super().extra_repr()}, quant_type={self.quant_type}"


class GGUFFile(WeightFile):
    """A GGUF file. Quantised weights of the blocks are bytes (out, bytes of a row), uint8; all others are unpacked.

    Attributes:
        quant_types: number of the GGUF type of every tensor.
        ranges: where the bytes of a tensor lie in the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._arrays: dict[str, Any] | None = None
        self.quant_types: dict[str, int] = {}
        self.ranges: dict[str, tuple[int, int]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for name, tensor in self._load().items():
            self.quant_types[name] = int(tensor.tensor_type)
            self.ranges[name] = (int(tensor.data_offset), int(tensor.data_offset + tensor.n_bytes))
            shape = self._shapes.get(name, tuple(int(size) for size in reversed(tensor.shape)))
            if self._is_packed(name):
                self.tensors[name] = (tuple(tensor.data.shape), torch.uint8)
            else:
                self.tensors[name] = (shape, _plain_types().get(self.quant_types[name], torch.float32))

    def _is_packed(self, name: str) -> bool:
        return self.quant_types[name] not in _plain_types() and stays_packed(name)

    def read(self, key: str) -> Tensor:
        """A tensor backed by the file's pages where no unpacking is needed."""
        tensor = self._load()[key]
        packed = torch.from_numpy(tensor.data)
        kind = self.quant_types[key]
        if self._is_packed(key):
            return packed
        plain = _plain_types().get(kind)
        numbers = unpack(packed, kind, torch.float32) if plain is None else packed.view(plain)
        return numbers.reshape(self.tensors[key][0])

    def release(self) -> None:
        """Unmap the file; the next `read` maps it again."""
        self._arrays = None

    def _load(self) -> dict[str, Any]:
        if self._arrays is None:
            gguf = gguf_package()
            try:
                reader = gguf.GGUFReader(str(self.path), "c")  # copy on write: PyTorch wants writable memory
            except (ValueError, OSError, IndexError, KeyError) as error:
                damage = file_damage(self.path) or f"cut off or not a GGUF file ({error})"
                raise PolytalkError(str(self.path), damage, "Download it again.") from error
            for key, field in reader.fields.items():
                if key.startswith(_ORIGINAL_SHAPE):
                    sizes = tuple(int(size) for size in field.contents())
                    self._shapes[released_name(key.removeprefix(_ORIGINAL_SHAPE))] = sizes
            self._arrays = {released_name(tensor.name): tensor for tensor in reader.tensors}
        return self._arrays


def _plain_types() -> dict[int, torch.dtype]:
    kinds = gguf_package().GGMLQuantizationType
    return {
        int(kinds.F32): torch.float32,
        int(kinds.F16): torch.float16,
        int(kinds.BF16): torch.bfloat16,
        int(kinds.F64): torch.float64,
    }
