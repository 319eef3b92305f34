"""What a model is made of: its networks, not built, and what their weights take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import nn

from polytalk.config.pipeline import PipelineConfig
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.planning.cost import NetworkConfig


@dataclass(frozen=True)
class ModelSizes:
    """A model's networks, not built, and how it wants to be run."""

    name: str
    """What the user called it."""
    network: NetworkConfig
    """Sizes of the transformer."""
    transformer_config: dict[str, Any]
    """All that the transformer is built from."""
    builders: dict[str, Callable[[], nn.Module]]
    """Component -> what builds it, the transformer apart."""
    config: PipelineConfig
    """The model's defaults."""
    largest_shard: float = 0.0
    """Bytes of the largest weight file; 0 when not known."""
    quantization: str | None = None
    """Number format of the blocks' weights in the files, "int8" or "int4"; None is the run's."""

    @property
    def family(self) -> Literal["mini", "wan"]:
        """Whose parts they are: the embedded model's, which know no tiling and stay on their device, or Wan's."""
        return "mini" if "autoencoder" in self.builders else "wan"

    @property
    def encodes_whole_clips(self) -> bool:
        """Whether the condition is a whole clip, grey where nothing is known, and not just the frames known."""
        return self.config.fill_condition == "zero"

    def build_transformer(self, num_layers: int | None = None) -> MultiTalkTransformer3DModel:
        """The transformer, or one with fewer blocks."""
        changes = {} if num_layers is None else {"num_layers": num_layers}
        return MultiTalkTransformer3DModel(**{**self.transformer_config, **changes})

    def part_bytes(self, name: str, dtype: torch.dtype) -> float:
        """Bytes of a component's weights in a number format."""
        return float(self._counts[name][0] * dtype.itemsize)

    def largest_layer_bytes(self, name: str, dtype: torch.dtype) -> float:
        """Bytes of a component's largest tensor."""
        return float(self._counts[name][1] * dtype.itemsize)

    @cached_property
    def _counts(self) -> dict[str, tuple[int, int]]:
        """Component -> numbers in all its tensors, and in the largest."""
        counts = {}
        for name, build in self.builders.items():
            with torch.device("meta"):
                part = build()
            sizes = [tensor.numel() for tensor in (*part.parameters(), *part.buffers())]
            counts[name] = (sum(sizes), max(sizes))
        return counts
