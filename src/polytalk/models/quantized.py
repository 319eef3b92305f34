"""Linear layers whose weights are stored in few bits and turned back into the run's format at every use.

A denoising call multiplies tens of thousands of tokens by every weight, so the arithmetic dominates and unpacking the
weights costs little (kernels that multiply packed weights are made for one token at a time). The stored tensors are
plain ones: they move, shard, offload, stream from disk and carry a LoRA like any others, on every device.

On disk a quantised weight `NAME` lies beside its scales `NAME_scale` (see the classes for shapes and formats).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polytalk.models.library_internals import ConvertsItself

SCALE_SUFFIX = "_scale"
"""What follows a weight's name in the name of its scales."""
INT4_GROUP = 64
"""Input channels that share a scale in int4; fewer where 64 does not divide the layer's."""


Layer = TypeVar("Layer", bound="QuantizedLinear")


class QuantizedLinear(ConvertsItself, nn.Linear, ABC):
    """A linear layer with packed weights; subclasses say how they are packed.

    Attributes beside those of `nn.Linear` (whose `weight` holds the packed integers, without gradient):
        weight_scale: scales, a buffer that keeps its format when the module is cast.
    """

    weight_scale: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool,
        weight: Tensor,
        weight_scale: Tensor | None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device="meta", dtype=dtype)
        if bias and weight.device.type != "meta":
            self.bias = nn.Parameter(torch.zeros(out_features, dtype=dtype, device=weight.device))
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("weight_scale", weight_scale)

    @abstractmethod
    def dequantize(self, dtype: torch.dtype) -> Tensor:
        """The weight (out_features, in_features) in `dtype`."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return F.linear(input, self.dequantize(input.dtype), self._bias(input.dtype))

    def _bias(self, dtype: torch.dtype) -> Tensor | None:
        return None if self.bias is None else self.bias.to(dtype)

    def convert(self, change: Callable[[Tensor], Tensor], as_usual: Callable[..., Any]) -> None:
        """Change all but the format of the scales, which casting the model to bfloat16 must not round."""
        scale = self.weight_scale
        as_usual(change)
        if scale is not None and self.weight_scale.dtype != scale.dtype:
            self.weight_scale = scale.to(self.weight_scale.device)


class Int8Linear(QuantizedLinear):
    """Weights int8 (out, in), symmetric; scales float32 (out,), one per output channel."""

    @classmethod
    def empty(cls, linear: nn.Linear) -> Self:
        """Of the sizes, bias and device of `linear`, with packed weights yet to be filled."""
        device = linear.weight.device
        weight = torch.empty(linear.out_features, linear.in_features, dtype=torch.int8, device=device)
        scale = torch.empty(linear.out_features, dtype=torch.float32, device=device)
        return _around(cls, linear, weight, scale)

    @classmethod
    def from_linear(cls, linear: nn.Linear) -> Self:
        """The quantised form of `linear`, on its device; the bias is shared."""
        return _around(cls, linear, *quantize_int8(linear.weight.detach()))

    def dequantize(self, dtype: torch.dtype) -> Tensor:
        """The weight (out_features, in_features) in `dtype`."""
        return self.weight.to(dtype) * self.weight_scale[:, None].to(dtype)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        if input.dtype == torch.float16:  # sums of products with whole numbers leave its range
            return super().forward(input)
        # -127..127 is exact in bfloat16: scaling the result instead of the weight saves a pass over it, and rounding
        output = F.linear(input, self.weight.to(input.dtype)) * self.weight_scale.to(input.dtype)
        return output if self.bias is None else output + self.bias.to(input.dtype)


class Int4Linear(QuantizedLinear):
    """Weights uint8 (out, in / 2): two numbers -8..7 (plus 8) a byte; scales bfloat16 (out, in / group).

    A group's first half lies in the low bits, its second half in the high bits. The group's largest weight (by
    magnitude) becomes -8, so that all sixteen numbers are used.
    """

    @staticmethod
    def group_size(in_features: int) -> int:
        """Input channels per scale; odd where the layer cannot be packed."""
        return math.gcd(in_features, INT4_GROUP)

    @classmethod
    def empty(cls, linear: nn.Linear) -> Self:
        """Of the sizes, bias and device of `linear`, with packed weights yet to be filled."""
        device, inputs, outputs = linear.weight.device, linear.in_features, linear.out_features
        weight = torch.empty(outputs, inputs // 2, dtype=torch.uint8, device=device)
        scale = torch.empty(outputs, inputs // cls.group_size(inputs), dtype=torch.bfloat16, device=device)
        return _around(cls, linear, weight, scale)

    @classmethod
    def from_linear(cls, linear: nn.Linear) -> Self:
        """The quantised form of `linear`, on its device; the bias is shared."""
        packed, scale = quantize_int4(linear.weight.detach(), cls.group_size(linear.in_features))
        return _around(cls, linear, packed, scale)

    def dequantize(self, dtype: torch.dtype) -> Tensor:
        """The weight (out_features, in_features) in `dtype`."""
        packed = self.weight.unflatten(1, (self.weight_scale.shape[1], -1))
        numbers = torch.cat((packed & 15, packed >> 4), dim=-1).to(dtype) - 8
        return (numbers * self.weight_scale[..., None].to(dtype)).flatten(1)


def quantize_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (out, in) to int8 of the same shape and float32 scales (out,)."""
    scale = weight.abs().amax(dim=1).float().clamp(min=1e-12) / 127
    return (weight / scale[:, None]).round_().clamp_(-127, 127).to(torch.int8), scale


def quantize_int4(weight: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """Weight (out, in) to packed uint8 (out, in / 2) and bfloat16 scales (out, in / group); `group` is even."""
    groups = weight.float().unflatten(1, (-1, group))
    largest = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
    scale = (largest / -8).bfloat16()
    divisor = torch.where(scale == 0, 1, scale).float()
    numbers = ((groups / divisor).round_().clamp_(-8, 7) + 8).to(torch.uint8)
    low, high = numbers.chunk(2, dim=-1)
    return (low | (high << 4)).flatten(1), scale.squeeze(-1)


def _around(cls: type[Layer], linear: nn.Linear, weight: Tensor, scale: Tensor) -> Layer:
    layer = cls(linear.in_features, linear.out_features, linear.bias is not None, weight, scale)
    layer.bias = linear.bias
    return layer.train(linear.training)
