"""The two kinds of weight files: safetensors, and pickles of `torch.save` read with `weights_only`."""

from __future__ import annotations

import json
import math
import pickle
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polytalk.errors import PolytalkError

_AGAIN = "Download it again: `polytalk weights download`."
_FORMATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "F4": torch.float4_e2m1fn_x2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}


class WeightFile(ABC):
    """Names, shapes and types of a file's tensors, and the tensors when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: dict[str, str] = {}
        """Notes beside the tensors."""
        self.tensors: dict[str, tuple[tuple[int, ...], torch.dtype]] = {}
        """Name -> shape and type."""

    @abstractmethod
    def read(self, key: str) -> Tensor:
        """A tensor backed by the file's pages."""

    @abstractmethod
    def release(self) -> None:
        """Unmap the file; the next `read` maps it again."""


class SafetensorsFile(WeightFile):
    """A safetensors file: a header in JSON, then the data."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._handle: Any = None
        for name, (shape, dtype, _) in read_safetensors_header(path, self.metadata).items():
            self.tensors[name] = (shape, dtype)

    def read(self, key: str) -> Tensor:
        """A tensor backed by the file's pages."""
        from safetensors import SafetensorError, safe_open

        try:
            if self._handle is None:
                self._handle = safe_open(str(self.path), framework="pt", device="cpu")
            return self._handle.get_tensor(key)
        except (SafetensorError, OSError) as error:
            raise PolytalkError(str(self.path), f"tensor {key} cannot be read ({error})", _AGAIN) from error

    def release(self) -> None:
        """Unmap the file; the next `read` maps it again."""
        self._handle = None


class PickleFile(WeightFile):
    """A state dict that `torch.save` wrote; only one that `weights_only` reads, since other pickles can run code."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._state: dict[str, Tensor] | None = None
        for name, tensor in self._load().items():
            self.tensors[name] = (tuple(tensor.shape), tensor.dtype)

    def read(self, key: str) -> Tensor:
        """A tensor backed by the file's pages."""
        return self._load()[key]

    def release(self) -> None:
        """Unmap the file; the next `read` maps it again."""
        self._state = None

    def _load(self) -> dict[str, Tensor]:
        if self._state is None:
            state = _load_pickle(self.path)
            for nested in ("state_dict", "model"):  # as trainers wrap it
                if isinstance(state, dict) and isinstance(state.get(nested), dict):
                    state = state[nested]
            tensors = {n: t for n, t in state.items() if isinstance(t, Tensor)} if isinstance(state, dict) else {}
            if not tensors:
                raise PolytalkError(str(self.path), "no tensors in this pickle", "A state dict is needed.")
            self._state = tensors
        return self._state


def read_safetensors_header(
    path: Path, metadata: dict[str, str] | None = None
) -> dict[str, tuple[tuple[int, ...], torch.dtype, tuple[int, int]]]:
    """Name -> shape, type, and the byte range of the data in the file; `metadata` is filled when given.

    Raises:
        PolytalkError: not a safetensors file, or one that was cut off: names the first tensor beyond the end.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = file.read(start - 8) if 8 < start <= size else b""
    try:
        described = json.loads(header)
        notes = described.pop("__metadata__", None) or {}
        tensors = {}
        for name, about in described.items():
            first, last = about["data_offsets"]
            tensors[name] = (tuple(about["shape"]), _FORMATS[about["dtype"]], (start + first, start + last))
    except (ValueError, KeyError, TypeError, AttributeError):
        damage = file_damage(path) or "cut off within its header, or not a safetensors file"
        raise PolytalkError(str(path), damage, _AGAIN) from None
    for name, (shape, dtype, (first, last)) in sorted(tensors.items(), key=lambda item: item[1][2]):
        if last > size:
            whole = max(end for _, _, (_, end) in tensors.values())
            problem = f"cut off: {size:,} of {whole:,} bytes, tensor {name} is not whole"
            raise PolytalkError(str(path), problem, _AGAIN)
        bits = math.prod(shape) * dtype.itemsize
        if last - first != bits and dtype is not torch.float4_e2m1fn_x2:
            problem = f"tensor {name} of shape {shape} has {last - first} bytes, not {bits}"
            raise PolytalkError(str(path), problem, _AGAIN)
    if metadata is not None:
        metadata.update(notes)
    return tensors


def file_damage(path: Path) -> str | None:
    """What a file is instead of weights, in the cases that downloads produce; None when it is none of these."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "the file is empty"
    if start.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer of a hundred bytes, not the weights"
    if start.lstrip()[:1] == b"<":
        return "a web page, not the weights"
    return None


def _load_pickle(path: Path) -> Any:
    damage = file_damage(path)
    if damage:
        raise PolytalkError(str(path), damage, _AGAIN)
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"  # older files cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        unsafe = _unsafe_globals(path, str(error))
        if unsafe:
            problem = f"this pickle holds code ({', '.join(unsafe[:3])}), not weights alone; it was not loaded"
        else:
            problem = "this pickle is damaged or holds more than weights; it was not loaded"
        remedy = "Use the file as published, or one in safetensors format."
        raise PolytalkError(str(path), problem, remedy) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError) as error:
        raise PolytalkError(str(path), f"cut off or not a torch file ({_first_line(error)})", _AGAIN) from error


def _unsafe_globals(path: Path, message: str) -> list[str]:
    """Names that the pickle would import, found without running it; `message` is PyTorch's refusal."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # not a zip file, or broken; only this detail is lost
        found = re.findall(r"GLOBAL ([\w.]+)", message)
    return sorted(set(found))


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:160]
