"""One finished clip in one file: its frames, and what the next clip starts from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from polytalk.errors import PolytalkError
from polytalk.media.lossless import pack_frames, unpack_frames
from polytalk.media.output import replace_when_done, write_error
from polytalk.pipeline.resume.inputs import tensors_digest

FRAMES = "frames_ffv1"
_CLIP, _STATE = "clip", "state."
_DAMAGED = "Have it made again with `redo`; the other clips stay."


@dataclass(frozen=True)
class SavedClip:
    """A clip as it lies in the work folder."""

    frames: np.ndarray
    """uint8 (T, height, width, 3), motion frames left out."""
    state: dict[str, Tensor]
    """What the next clip needs."""


def write_clip(path: Path, key: str, frames: np.ndarray, state: Mapping[str, Tensor]) -> None:
    """Write one clip so that the file is whole or not there, whatever happens.

    Args:
        path: where to; an older file goes.
        key: fingerprint of all that the clip was made from.
        frames: uint8 (T, height, width, 3).
        state: what the next clip needs.

    Raises:
        PolytalkError: the disk is full, or must not be written to.
    """
    # copies: the library refuses tensors that share memory, as masks before and after somebody moved may
    tensors = {_STATE + name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    tensors[FRAMES] = torch.frombuffer(bytearray(pack_frames(frames)), dtype=torch.uint8)
    # one entry: the library writes several in any order, and equal clips are to be equal files
    metadata = {_CLIP: json.dumps({"key": key, "content": tensors_digest(tensors)})}
    write_whole(path, save(tensors, metadata))


def read_key(path: Path) -> str | None:
    """What a clip was made from; None if there is no such file.

    Raises:
        PolytalkError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            return json.loads((file.metadata() or {})[_CLIP])["key"]
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise PolytalkError(str(path), f"this clip is damaged ({error})", _DAMAGED) from None


def read_clip(path: Path) -> SavedClip:
    """Read one clip, checking every byte.

    Raises:
        PolytalkError: the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {})[_CLIP])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise PolytalkError(str(path), f"this clip is damaged ({error})", _DAMAGED) from None
    if FRAMES not in tensors or metadata.get("content") != tensors_digest(tensors):
        raise PolytalkError(str(path), "this clip is damaged (its checksum differs)", _DAMAGED)
    frames = unpack_frames(tensors.pop(FRAMES).numpy().tobytes(), str(path))
    state = {name.removeprefix(_STATE): tensor for name, tensor in tensors.items()}
    return SavedClip(frames, state)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name, make sure that it is on the disk, and give it its name.

    Raises:
        PolytalkError: as `write_clip`.
    """
    try:
        with replace_when_done(path, force=True) as temporary, temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power failure, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
