"""Weights on disk as a mapping that reads a tensor when it is asked for: one or several safetensors files, or a pickle.

Opening reads names, types and shapes only, and finds damage early: a missing shard, a file that was cut off, a pickle
with code in it. Data is memory-mapped, so that a tensor costs host memory only while it is in use; `release` gives the
mapped pages back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from polytalk.checkpoints.files import PickleFile, SafetensorsFile, WeightFile, file_damage
from polytalk.checkpoints.gguf import GGUFFile
from polytalk.errors import PolytalkError

SAFETENSORS = ".safetensors"
PICKLES = (".pth", ".pt", ".bin", ".ckpt")
"""Suffixes of files that `torch.save` wrote."""
GGUF = ".gguf"
"""Suffix of files of quantised weights in the GGUF formats."""
INDEX = ".index.json"
"""Ending of the file that says which shard holds which tensor."""


@dataclass(frozen=True)
class Entry:
    """One tensor that has not been read yet."""

    file: WeightFile
    """Where it lies."""
    key: str
    """Its name there."""
    shape: tuple[int, ...]
    """What a reader gets."""
    dtype: torch.dtype
    """Format on disk."""
    part: tuple[int, int] | None = None
    """(index, count): only this of `count` equal parts along the first axis."""

    def read(self) -> Tensor:
        """The tensor, on the CPU, backed by the file's pages."""
        tensor = self.file.read(self.key)
        if self.part is not None:
            index, count = self.part
            rows = tensor.shape[0] // count
            tensor = tensor[index * rows : (index + 1) * rows]
        return tensor.reshape(self.shape)

    @property
    def num_bytes(self) -> int:
        """Size on disk."""
        return math.prod(self.shape) * self.dtype.itemsize


class Checkpoint(Mapping[str, Tensor]):
    """Name -> tensor, read on access. `source` names the whole in messages."""

    def __init__(self, entries: Mapping[str, Entry], source: str) -> None:
        self.entries, self.source = dict(entries), source

    @classmethod
    def open(cls, path: str | Path, search: Sequence[str | Path] = ()) -> Checkpoint:
        """A weights file, an index of shards, or a folder that holds one of them.

        Args:
            path: `*.safetensors`, a pickle (`*.pth`, `*.pt`, `*.bin`), `*.index.json`, or a folder.
            search: further folders where the shards of an index may lie, after the index's own.

        Raises:
            PolytalkError: nothing there, a missing shard, a damaged file, a pickle that holds more than weights.
        """
        path = Path(path)
        if path.is_dir():
            path = _weights_in(path)
        if not path.is_file():
            raise PolytalkError(str(path), "no such file", "Check the path; `polytalk weights verify FOLDER` may help.")
        if path.name.endswith(INDEX):
            return cls._open_index(path, [path.parent, *map(Path, search)])
        file = _open_file(path)
        entries = {name: Entry(file, name, shape, dtype) for name, (shape, dtype) in file.tensors.items()}
        return cls(entries, str(path))

    @classmethod
    def _open_index(cls, path: Path, folders: list[Path]) -> Checkpoint:
        files: dict[str, WeightFile] = {}
        entries = {}
        for name, shard in read_index(path).items():
            if shard not in files:
                found = next((folder / shard for folder in folders if (folder / shard).is_file()), None)
                if found is None:
                    places = ", ".join(str(folder) for folder in folders)
                    problem = f"shard {shard} is missing, e.g. tensor {name}; looked in {places}"
                    raise PolytalkError(str(path), problem, "Download it again: `polytalk weights download`.")
                files[shard] = _open_file(found)
            file = files[shard]
            if name not in file.tensors:
                problem = f"tensor {name} is not in {file.path}, where the index has it"
                raise PolytalkError(str(path), problem, "Index and shards are of different versions; download both.")
            entries[name] = Entry(file, name, *file.tensors[name])
        return cls(entries, str(path))

    def __getitem__(self, name: str) -> Tensor:
        return self.entries[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries  # Mapping's own would read the tensor

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape; reads no data."""
        return {name: entry.shape for name, entry in self.entries.items()}

    @property
    def dtypes(self) -> dict[str, torch.dtype]:
        """Name -> type on disk; reads no data."""
        return {name: entry.dtype for name, entry in self.entries.items()}

    @property
    def num_bytes(self) -> int:
        """Size of all tensors on disk."""
        return sum(entry.num_bytes for entry in self.entries.values())

    @property
    def files(self) -> list[Path]:
        """Weight files behind the tensors, each once."""
        return list(dict.fromkeys(entry.file.path for entry in self.entries.values()))

    @property
    def metadata(self) -> dict[str, str]:
        """What the safetensors headers say beside tensors, all files together."""
        files = {id(entry.file): entry.file for entry in self.entries.values()}
        return {key: value for file in files.values() for key, value in file.metadata.items()}

    def file_of(self, name: str) -> Path:
        """The file that holds a tensor."""
        return self.entries[name].file.path

    def release(self) -> None:
        """Give mapped pages back to the system; tensors still held keep theirs. Later reads map again."""
        for file in {id(entry.file): entry.file for entry in self.entries.values()}.values():
            file.release()

    def renamed(self, new_name: Callable[[str], str | None]) -> Checkpoint:
        """Every tensor under another name; None leaves it out. Two tensors of one name are an error."""
        entries: dict[str, Entry] = {}
        for old, entry in self.entries.items():
            new = new_name(old)
            if new is None:
                continue
            if new in entries:
                problem = f"tensors {entries[new].key} and {old} both become {new}"
                raise PolytalkError(self.source, problem, "The file mixes two layouts; use one as published.")
            entries[new] = entry
        return Checkpoint(entries, self.source)

    def selected(self, names: Iterable[str]) -> Checkpoint:
        """Only these tensors."""
        return Checkpoint({name: self.entries[name] for name in names}, self.source)

    def merged(self, other: Checkpoint) -> Checkpoint:
        """Both together; a tensor that both have comes from `other`."""
        return Checkpoint(self.entries | other.entries, f"{self.source} + {other.source}")

    def split(self, name: str, parts: Sequence[str]) -> Checkpoint:
        """One tensor as several of equal size along its first axis, e.g. a joint projection as keys and values."""
        entry = self.entries[name]
        if entry.part is not None or not entry.shape or entry.shape[0] % len(parts):
            problem = f"tensor {name} of shape {entry.shape} does not fall into {len(parts)} parts"
            raise PolytalkError(str(entry.file.path), problem, "Use the file as published.")
        shape = (entry.shape[0] // len(parts), *entry.shape[1:])
        halves = {new: replace(entry, shape=shape, part=(i, len(parts))) for i, new in enumerate(parts)}
        return Checkpoint({n: e for n, e in self.entries.items() if n != name} | halves, self.source)


def read_index(path: Path) -> dict[str, str]:
    """Tensor -> shard file name, from a `*.index.json`; errors name the file."""
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        if not isinstance(weight_map, dict) or not weight_map:
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        damage = file_damage(path) or "not an index of weights (JSON with a weight_map)"
        raise PolytalkError(str(path), damage, "Download it again: `polytalk weights download`.") from None
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or Path(shard).name != shard:
            # a shard outside the folder would let an index from elsewhere read any file
            raise PolytalkError(str(path), f"tensor {name} lies in {shard!r}", "Shards are file names without folders.")
    return weight_map


def _open_file(path: Path) -> WeightFile:
    if path.suffix == SAFETENSORS:
        return SafetensorsFile(path)
    if path.suffix in PICKLES:
        return PickleFile(path)
    if path.suffix == GGUF:
        return GGUFFile(path)
    known = f"{SAFETENSORS}, {GGUF} or {', '.join(PICKLES)}"
    raise PolytalkError(str(path), f"unknown kind of weights {path.suffix}", f"Give {known}.")


def _weights_in(folder: Path) -> Path:
    """The one index, else safetensors file, else pickle of a folder."""
    for pattern in (f"*{SAFETENSORS}{INDEX}", f"*{SAFETENSORS}", f"*{INDEX}", *(f"*{end}" for end in PICKLES)):
        found = sorted(folder.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(file.name for file in found[:4])
            raise PolytalkError(str(folder), f"several candidates: {listed}", "Name the file itself.")
    problem = "no weights in this folder"
    raise PolytalkError(str(folder), problem, f"It should hold {SAFETENSORS} or {PICKLES[0]} files.")
