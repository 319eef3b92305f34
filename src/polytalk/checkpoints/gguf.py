"""Weights in the GGUF formats (Q8_0, Q4_K, ...): blocks of numbers with their scales, as ComfyUI's Wan files have them.

The bytes of a file stay as they are; a layer unpacks its weight at every use, with diffusers' routines.
"""

from __future__ import annotations

import re
from typing import Any, Self

import torch
from torch import Tensor, nn

from polytalk.errors import PolytalkError
from polytalk.models.quantized import QuantizedLinear

_PREFIX = re.compile(r"^(model\.)?diffusion_model\.")


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
