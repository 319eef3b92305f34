"""Writing checkpoints tensor by tensor, so that none need fit into memory."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
Chunks = Callable[[str, tuple[int, ...]], Iterable[Tensor]]
"""(tensor, shape) -> its elements in order, in flat pieces."""
Written = Callable[[int], None]
"""Called with the number of bytes written since the last call."""

_CODES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.int32: "I32",
    torch.int64: "I64",
}


_TOUCHED = 2**28
"""Bytes of a mapped file that may be written before its pages are given back."""


def write_safetensors(
    path: Path,
    shapes: Shapes,
    chunks: Chunks,
    dtype: torch.dtype,
    written: Written,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """One safetensors file; only a piece of a tensor is in memory at a time."""
    header: dict[str, Any] = {"__metadata__": dict(metadata or {"format": "pt"})}
    offset = 0
    for name, shape in shapes.items():
        end = offset + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _CODES[dtype], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # data starts aligned
    with partial_file(path) as unfinished, unfinished.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for name, shape in shapes.items():
            for piece in chunks(name, shape):
                data = piece.to(dtype).contiguous().flatten().view(torch.uint8).numpy().data
                file.write(data)
                written(data.nbytes)


def write_shards(
    folder: Path,
    stem: str,
    shapes: Shapes,
    chunks: Chunks,
    dtype: torch.dtype,
    count: int,
    written: Written,
    add_to_index: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """`count` safetensors files of about equal size and their index; returns tensor -> file.

    `add_to_index` are further tensors of which the index is to tell.
    """
    weight_map: dict[str, str] = {}
    for index, names in enumerate(even_shards(shapes, count), 1):
        shard = f"{stem}-{index:05d}-of-{count:05d}.safetensors"
        write_safetensors(folder / shard, {name: shapes[name] for name in names}, chunks, dtype, written)
        weight_map |= dict.fromkeys(names, shard)
    total = sum(math.prod(shape) for shape in shapes.values()) * dtype.itemsize
    write_index(folder / f"{stem}.safetensors.index.json", weight_map | dict(add_to_index or {}), total)
    return weight_map


def write_index(path: Path, weight_map: Mapping[str, str], total_bytes: int) -> None:
    """The file that says which shard holds which tensor."""
    content = {"metadata": {"total_size": total_bytes}, "weight_map": dict(sorted(weight_map.items()))}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def even_shards(shapes: Shapes, count: int) -> list[list[str]]:
    """Names in order, cut into `count` runs of about the same number of elements; none is empty if names suffice."""
    total = sum(math.prod(shape) for shape in shapes.values())
    shards: list[list[str]] = [[]]
    done = 0
    names = list(shapes)
    for position, name in enumerate(names):
        left = count - len(shards)
        full = done >= total * len(shards) / count
        if shards[-1] and left and (full or len(names) - position <= left):
            shards.append([])
        shards[-1].append(name)
        done += math.prod(shapes[name])
    return shards


def write_pickle(path: Path, shapes: Shapes, chunks: Chunks, dtype: torch.dtype, written: Written) -> None:
    """A state dict as `torch.save` writes it, filled through a memory map; the process holds file pages only."""
    from torch.serialization import skip_data

    state = {name: torch.empty(shape, dtype=dtype) for name, shape in shapes.items()}  # pages never touched
    with partial_file(path) as unfinished:
        with skip_data():
            torch.save(state, unfinished)
        del state
        mapped, touched = _writable(unfinished), 0
        for name, shape in shapes.items():
            if touched > _TOUCHED:
                mapped, touched = _writable(unfinished), 0  # gives the pages written so far back
            flat, position = mapped[name].reshape(-1), 0
            for piece in chunks(name, shape):
                flat[position : position + piece.numel()] = piece.reshape(-1).to(dtype)
                position += piece.numel()
                touched += piece.numel() * dtype.itemsize
                written(piece.numel() * dtype.itemsize)
        del mapped, flat


class partial_file:
    """Context whose file appears under its name only when it is whole; an interrupted one leaves nothing."""

    def __init__(self, path: Path) -> None:
        self.path, self.unfinished = path, path.with_name(f".{path.name}.partial")

    def __enter__(self) -> Path:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.unfinished

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None:
            self.unfinished.replace(self.path)
        else:
            self.unfinished.unlink(missing_ok=True)


def whole(tensors: Mapping[str, Tensor]) -> Chunks:
    """Tensors that are in memory, or are read one at a time, as pieces."""

    def pieces(name: str, shape: tuple[int, ...]) -> Iterator[Tensor]:
        yield tensors[name]

    return pieces


def _writable(path: Path) -> dict[str, Tensor]:
    """The file's tensors; what is written to them goes to the file."""
    from torch.serialization import set_default_mmap_options

    with set_default_mmap_options(mmap.MAP_SHARED):
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
