"""Is a folder of weights whole? Names, shapes and damage of every part; no weight is read and no pickle is run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from polytalk.checkpoints.checkpoint import INDEX, PICKLES, SAFETENSORS, Checkpoint
from polytalk.checkpoints.layouts import TRANSFORMER_FILE, TRANSFORMER_INDEX, Layout, ModelLocation, layout_of, locate
from polytalk.checkpoints.wan import WAN_CLASSES, Part, part_openers, tokenizer_folder
from polytalk.config.index import ModelIndex
from polytalk.errors import PolytalkError
from polytalk.pipeline.components.wan import load_tokenizer
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.weights.catalogue import CATALOGUE

_BLOCK = 2**22


@dataclass(frozen=True)
class Finding:
    """What was found of one part of a model."""

    part: str
    """Its name."""
    path: Path
    """File or folder."""
    problem: PolytalkError | None = None
    """What is wrong; None when nothing is."""
    detail: str = ""
    """Size and types of what is right."""

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return self.problem is None


def verify(
    path: Path, audio: Path | None = None, speech: Path | None = None, hashes: bool = False
) -> Iterator[Finding]:
    """Look at a model, at every model of a folder, or at one file of weights.

    Args:
        path: a folder in any layout, the folder above, or a file.
        audio, speech: folders of audio branch and speech encoder, when they lie elsewhere.
        hashes: also compare the files whose sha256 is known with it, which reads them whole.

    Yields:
        A finding per part, in the order of loading.

    Raises:
        PolytalkError: nothing of a model is there.
    """
    if path.is_file() or path.name.endswith((INDEX, SAFETENSORS, *PICKLES)):
        yield _finding("file", path, lambda: _describe(Checkpoint.open(path)))
        return
    for root in _models_in(path):
        try:
            location = locate(root, audio, speech)
        except PolytalkError as error:
            layout = layout_of(root)
            if layout is None or error.field not in ("audio", "speech"):
                raise
            yield Finding(error.field, root, error)
            location = ModelLocation(layout, root, str(root))
        yield from _model(location, hashes)


def _models_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise PolytalkError(str(folder), "no such folder", "Name a folder of weights, or one file of them.")
    if layout_of(folder):
        return [folder]
    found = [child for child in sorted(folder.iterdir()) if child.is_dir() and layout_of(child)]
    if not found:
        remedy = "Get a model with `polytalk weights download 480p`."
        raise PolytalkError(str(folder), "holds no model in any of the layouts", remedy)
    return found


def _model(location: ModelLocation, hashes: bool) -> Iterator[Finding]:
    root = location.root
    if location.layout is Layout.OWN and ModelIndex.read(root).components != WAN_CLASSES:
        yield _finding("model", root, lambda: _small_model(root))
        return
    complete = location.layout is Layout.OWN or location.audio is not None
    for name, opener in part_openers(location).items():
        if not complete and name in ("transformer", "speech_encoder"):
            continue  # what it needs is missing, and has been reported
        yield _finding(name, _place(location, name), partial(_checked_part, opener))
    if not complete:
        yield _finding("transformer", root, lambda: _describe(_base(location)) + "; shapes not compared")
    yield _finding("tokenizer", tokenizer_folder(location), lambda: _tokenizer(tokenizer_folder(location)))
    if hashes:
        yield from _hashes(location)


def _finding(part: str, path: Path, look: Callable[[], str]) -> Finding:
    try:
        return Finding(part, path, detail=look())
    except PolytalkError as error:
        return Finding(part, path, error)


def _checked_part(opener: Callable[[], Part]) -> str:
    part = opener()
    part.check()
    unused = f"; not needed: {', '.join(part.unused[:2])}" if part.unused else ""
    more = f" and {len(part.unused) - 2} more" if len(part.unused) > 2 else ""
    return _describe(part.tensors) + unused + more


def _describe(checkpoint: Checkpoint) -> str:
    sizes: dict[torch.dtype, int] = {}
    for entry in checkpoint.entries.values():
        sizes[entry.dtype] = sizes.get(entry.dtype, 0) + entry.num_bytes
    kinds = ", ".join(str(dtype).removeprefix("torch.") for dtype in sorted(sizes, key=lambda kind: -sizes[kind]))
    return f"{len(checkpoint)} tensors, {sum(sizes.values()) / 1e9:.2f} GB, {kinds}"


def _base(location: ModelLocation) -> Checkpoint:
    if location.layout is Layout.DIFFUSERS:
        return Checkpoint.open(location.root / "transformer")
    index = location.root / TRANSFORMER_INDEX
    return Checkpoint.open(index if index.is_file() else location.root / TRANSFORMER_FILE)


def _place(location: ModelLocation, part: str) -> Path:
    if part == "speech_encoder" and location.speech is not None:
        return location.speech
    return location.root if location.layout is Layout.RELEASED else location.root / part


def _tokenizer(folder: Path) -> str:
    return f"{len(load_tokenizer(folder))} pieces"


def _small_model(root: Path) -> str:
    MultiTalkPipeline.from_pretrained(root, "float32", "cpu")
    return f"{', '.join(ModelIndex.read(root).components)} load"


def _hashes(location: ModelLocation) -> Iterator[Finding]:
    """The published sha256 of the files that lie where they are published; a folder's own weights have others."""
    folders = [location.root, *(path for path in (location.audio, location.speech) if path is not None)]
    known = {(entry.folder, file.path): file.sha256 for entry in CATALOGUE for file in entry.files if file.sha256}
    for folder in (path if path.is_dir() else path.parent for path in folders):
        for (name, path), sha256 in known.items():
            target = folder / path
            if folder.name == name and target.is_file():
                yield _finding("sha256", target, partial(_same_hash, target, sha256))


def _same_hash(path: Path, sha256: str) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != sha256:
        remedy = "It is no longer, or never was, the published file; `polytalk weights download` gets that."
        raise PolytalkError(str(path), "its sha256 is not the published one", remedy)
    return "as published"
