"""Running a network that fits neither the GPU nor host memory: blocks are read from disk one by one, each while the one
before it computes.

The blocks' large tensors never belong to the model; a block's weights lie in one of two buffers while it works. Only
what a call needs is read: once the keys and values of text, picture and sound are at hand, the weights that make them
(a quarter of the 14B model) stay on disk. Everything else of the model (embedders, norms, biases, scales) is resident.
"""

from __future__ import annotations

import enum
import os
import weakref
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights
from diffusers.hooks.hooks import HookRegistry, ModelHook
from torch import Tensor, nn

from polytalk.checkpoints.checkpoint import Checkpoint, Entry
from polytalk.checkpoints.files import SafetensorsFile, read_safetensors_header
from polytalk.checkpoints.fill import load_into
from polytalk.checkpoints.gguf import GGUFFile
from polytalk.checkpoints.packed import with_quantized_layers
from polytalk.errors import PolytalkError
from polytalk.models.attention import ContextTokens
from polytalk.models.library_internals import find_hook

Model = TypeVar("Model", bound=nn.Module)

HOOK_NAME = "polytalk_block_stream"
_ALIGNMENT = 64
"""Bytes; tensors of a buffer start at multiples of it, as vector instructions like it."""
_CONTEXT_LAYERS = (
    "attn2.to_k",
    "attn2.to_v",
    "attn2.add_k_proj",
    "attn2.add_v_proj",
    "audio_attn.to_k",
    "audio_attn.to_v",
)
"""Layers of a block that work on text, picture and sound alone."""


class Need(enum.Flag):
    """Parts of a block that a call uses."""

    CONTEXT = enum.auto()
    """Layers that make keys and values of text, picture and sound."""
    TOKENS = enum.auto()
    """Layers that work on the video's tokens."""
    ALL = CONTEXT | TOKENS


@dataclass(frozen=True)
class Piece:
    """One tensor on disk and its place in the model."""

    module: nn.Module
    """The layer it belongs to."""
    leaf: str
    """Its name there."""
    need: Need
    """Which calls use it."""
    path: Path
    """File that holds it."""
    start: int
    """First byte."""
    shape: tuple[int, ...]
    """As the layer has it."""
    dtype: torch.dtype
    """On disk."""

    @property
    def num_bytes(self) -> int:
        """Size on disk."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize

    def place(self, value: Tensor) -> None:
        """Give the layer this tensor."""
        is_parameter = isinstance(getattr(self.module, self.leaf), nn.Parameter)
        setattr(self.module, self.leaf, nn.Parameter(value, requires_grad=False) if is_parameter else value)

    def remove(self) -> None:
        """Leave the layer with a tensor that has a shape, but no memory."""
        self.place(torch.empty(self.shape, dtype=self.dtype, device="meta"))


@dataclass
class _Slot:
    """A buffer for one block's pieces."""

    host: Tensor
    """uint8; page-locked where a GPU copies from it."""
    device: Tensor
    """uint8 where the block works: `host` itself on the CPU."""
    used: Any = None
    """CUDA event after the last work on what it held."""


@dataclass
class _Loaded:
    """A block in a slot."""

    index: int
    need: Need
    slot: _Slot
    tensors: list[tuple[Piece, Tensor]] = field(default_factory=list)

    def serves(self, index: int, need: Need) -> bool:
        return self.index == index and (self.need & need) == need


class BlockStream:
    """Brings the weights of one block at a time, and reads those of the next meanwhile.

    Args:
        blocks: per block, its tensors on disk.
        device: where the blocks work.
        dtype: format of floating-point weights there.

    Attributes:
        bytes_read: from disk (or the system's cache of it) so far.
    """

    def __init__(self, blocks: Sequence[Sequence[Piece]], device: torch.device, dtype: torch.dtype) -> None:
        self.blocks, self.device, self.dtype = [list(pieces) for pieces in blocks], device, dtype
        self.bytes_read = 0
        size = max(sum(_aligned(piece.num_bytes) for piece in pieces) for pieces in self.blocks)
        self._free = [self._new_slot(size) for _ in range(min(2, len(self.blocks)))]
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        paths = {piece.path for pieces in self.blocks for piece in pieces}
        self._files = {path: os.open(path, os.O_RDONLY) for path in paths}
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="block-stream")
        self._current: _Loaded | None = None
        self._next: Future[_Loaded] | None = None
        self._close = weakref.finalize(self, _close_all, self._reader, list(self._files.values()))

    def bring(self, index: int, need: Need) -> None:
        """Put the weights of a block in place, take those of the one before away, and begin to read the next's."""
        if self._current is not None and self._current.serves(index, need):
            return
        self.clear()
        loaded = self._awaited()
        if loaded is not None and not loaded.serves(index, need):
            self._free.append(loaded.slot)
            loaded = None
        if loaded is None:
            loaded = self._read(index, need, self._free.pop())
        for piece, value in loaded.tensors:
            piece.place(value.to(self.dtype) if value.is_floating_point() and piece.leaf == "weight" else value)
        self._current = loaded
        if self._free and len(self.blocks) > 1:
            following = (index + 1) % len(self.blocks)
            self._next = self._reader.submit(self._read, following, need, self._free.pop())

    def clear(self) -> None:
        """Take the current block's weights away."""
        if self._current is None:
            return
        for piece, _ in self._current.tensors:
            piece.remove()
        if self._copies is not None:
            self._current.slot.used = torch.cuda.current_stream(self.device).record_event()
        self._free.append(self._current.slot)
        self._current = None

    def close(self) -> None:
        """End the reading thread and close the files; blocks no longer work."""
        self.clear()
        self._close()

    def _awaited(self) -> _Loaded | None:
        upcoming, self._next = self._next, None
        return None if upcoming is None else upcoming.result()

    def _new_slot(self, size: int) -> _Slot:
        on_gpu = self.device.type == "cuda"
        host = torch.empty(size, dtype=torch.uint8, pin_memory=on_gpu)
        return _Slot(host, torch.empty_like(host, device=self.device) if self.device.type != "cpu" else host)

    def _read(self, index: int, need: Need, slot: _Slot) -> _Loaded:
        """`_fill`; the slot is free again when it fails."""
        try:
            return self._fill(index, need, slot)
        except BaseException:
            self._free.append(slot)
            raise

    def _fill(self, index: int, need: Need, slot: _Slot) -> _Loaded:
        """Read a block's pieces; runs in the reading thread, or at once where nothing was read ahead."""
        if slot.used is not None:
            slot.used.synchronize()
        loaded, end = _Loaded(index, need, slot), 0
        target = slot.host.numpy().data
        for piece in sorted(self.blocks[index], key=lambda piece: (str(piece.path), piece.start)):
            if not piece.need & need:
                continue
            start, size = end, piece.num_bytes
            _read_exactly(self._files[piece.path], target[start : start + size], piece)
            loaded.tensors.append((piece, slot.device[start : start + size].view(piece.dtype).view(piece.shape)))
            end = start + _aligned(size)
            self.bytes_read += size
        if self._copies is not None:
            with torch.cuda.stream(self._copies):
                slot.device[:end].copy_(slot.host[:end], non_blocking=True)
            self._copies.synchronize()
        elif slot.device is not slot.host:
            slot.device[:end].copy_(slot.host[:end])
        return loaded


class BlockStreamHook(ModelHook):
    """Asks for a block's weights before the block works."""

    def __init__(self, stream: BlockStream, index: int) -> None:
        super().__init__()
        self.stream, self.index = stream, index

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Called by diffusers with the arguments of `forward` or `project_context`."""
        given = (*args, *kwargs.values())
        context = Need.CONTEXT if any(isinstance(value, ContextTokens) for value in given) else Need(0)
        tokens = Need.TOKENS if any(isinstance(value, Tensor) for value in given) else Need(0)
        self.stream.bring(self.index, context | tokens)
        return args, kwargs


def load_streamed(
    build: Callable[[], Model],
    checkpoint: Checkpoint,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    keep_in_fp32: Collection[str] = (),
) -> Model:
    """A model whose blocks stay on disk; a quantised checkpoint is recognised.

    Args:
        build: makes the model, which has a list `blocks` whose entries take (hidden_states, context, ...).
        checkpoint: weights in the model's names, in safetensors or GGUF files. int8 and int4 halve or quarter the
            reading; see `polytalk weights convert`.
        device: where the work is done.
        dtype: format of the computation.
        keep_in_fp32: as in `load_into`.

    Returns:
        The model in evaluation mode. `stream_of(model)` is its stream.

    Raises:
        PolytalkError: a tensor is missing, left over or of another shape, or weights in a file that cannot be read
            from the middle (a pickle).
    """
    build = with_quantized_layers(build, checkpoint)
    with init_empty_weights(include_buffers=False):
        large = _large_tensors(build())
    places = {name: _place(name, checkpoint.entries[name]) for name in large if name in checkpoint}
    model = load_into(
        build, checkpoint, device=device, dtype=dtype, keep_in_fp32=tuple(keep_in_fp32), leave_out=frozenset(places)
    )
    blocks: Any = model.blocks
    pieces: list[list[Piece]] = [[] for _ in blocks]
    for name, (path, start) in places.items():
        layer, _, leaf = name.rpartition(".")
        need = Need.CONTEXT if layer.endswith(_CONTEXT_LAYERS) else Need.TOKENS
        entry = checkpoint.entries[name]
        piece = Piece(model.get_submodule(layer), leaf, need, path, start, entry.shape, entry.dtype)
        piece.remove()
        pieces[int(name.split(".")[1])].append(piece)
    stream = BlockStream(pieces, torch.device(device), dtype)
    for index, block in enumerate(blocks):
        HookRegistry.check_if_exists_or_initialize(block).register_hook(BlockStreamHook(stream, index), HOOK_NAME)
    return model


def stream_of(model: nn.Module) -> BlockStream | None:
    """The stream of a model from `load_streamed`; None for others."""
    for block in getattr(model, "blocks", ()):
        hook = find_hook(block, HOOK_NAME)
        return hook.stream if isinstance(hook, BlockStreamHook) else None
    return None


def _large_tensors(model: nn.Module) -> list[str]:
    """Names of what stays on disk: matrices of the blocks' linear layers, and scales that are as many."""
    names = []
    for name, module in model.named_modules():
        if name.startswith("blocks.") and isinstance(module, nn.Linear):
            names.append(f"{name}.weight")
            scale = getattr(module, "weight_scale", None)
            if scale is not None and scale.ndim > 1:
                names.append(f"{name}.weight_scale")
    return names


def _place(name: str, entry: Entry) -> tuple[Path, int]:
    """File and first byte of a tensor."""
    file = entry.file
    if isinstance(file, GGUFFile):
        first, last = file.ranges[entry.key]
    elif isinstance(file, SafetensorsFile):
        first, last = _ranges(file)[entry.key]
    else:
        problem = f"tensor {name} lies in a file that cannot be read block by block"
        raise PolytalkError(str(file.path), problem, "Convert it: `polytalk weights convert`.")
    if entry.part is not None:
        index, count = entry.part
        first += (last - first) // count * index
    return file.path, first


def _ranges(file: SafetensorsFile) -> dict[str, tuple[int, int]]:
    return {name: span for name, (_, _, span) in read_safetensors_header(file.path).items()}


def _read_exactly(descriptor: int, target: memoryview, piece: Piece) -> None:
    done = 0
    while done < len(target):
        count = os.preadv(descriptor, [target[done:]], piece.start + done)
        if count <= 0:
            problem = f"cut off while in use: a tensor of shape {piece.shape} is not whole"
            raise PolytalkError(str(piece.path), problem, "Leave the files alone while the model runs.")
        done += count


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _close_all(reader: ThreadPoolExecutor, descriptors: list[int]) -> None:
    reader.shutdown(wait=True, cancel_futures=True)
    for descriptor in descriptors:
        os.close(descriptor)
