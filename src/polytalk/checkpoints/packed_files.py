"""Files whose tensors are packed or computed, behind the same face as plain weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polytalk.checkpoints.files import WeightFile, file_damage
from polytalk.checkpoints.gguf import gguf_package, released_name, unpack
from polytalk.errors import PolytalkError

_IN_BLOCK = re.compile(r"(^|\.)blocks\.\d+\..*\.weight$")
_ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
"""Note beside a tensor of more dimensions than GGUF has."""


def stays_packed(name: str) -> bool:
    """Whether a quantised tensor of this name is kept so: the layers of the blocks. Few weights lie outside of them,
    in layers that set the format of what flows through."""
    return _IN_BLOCK.search(name) is not None


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


class ComputedFile(WeightFile):
    """Tensors made from others when they are read."""

    def __init__(
        self,
        path: Path,
        tensors: Mapping[str, tuple[tuple[int, ...], torch.dtype]],
        compute: Callable[[str], Tensor],
        release: Callable[[], None],
    ) -> None:
        super().__init__(path)
        self.tensors = dict(tensors)
        self._compute, self._release = compute, release

    def read(self, key: str) -> Tensor:
        """The tensor, computed."""
        return self._compute(key)

    def release(self) -> None:
        """Unmap what it is computed from."""
        self._release()


def _plain_types() -> dict[int, torch.dtype]:
    kinds = gguf_package().GGMLQuantizationType
    return {
        int(kinds.F32): torch.float32,
        int(kinds.F16): torch.float16,
        int(kinds.BF16): torch.bfloat16,
        int(kinds.F64): torch.float64,
    }
