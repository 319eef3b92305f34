"""Where the files of a model lie: the three folder layouts that `from_pretrained` reads, and ids on the hub.

Nothing is copied or linked: base network, audio branch and speech encoder stay in the folders they were published in.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from polytalk.assets import INDEX_NAME
from polytalk.errors import PolytalkError

WAN_REPOSITORIES = ("Wan-AI/Wan2.1-I2V-14B-480P", "Wan-AI/Wan2.1-I2V-14B-720P")
"""The base network with its encoders, as published."""
AUDIO_REPOSITORY = "MeiGen-AI/MeiGen-MultiTalk"
"""The audio branch."""
SPEECH_REPOSITORY = "TencentGameMate/chinese-wav2vec2-base"
"""The speech encoder."""
AUDIO_FILE = "multitalk.safetensors"
TEXT_FILE = "models_t5_umt5-xxl-enc-bf16.pth"
VAE_FILE = "Wan2.1_VAE.pth"
IMAGE_FILE = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
TOKENIZER_FOLDER = "google/umt5-xxl"
TRANSFORMER_INDEX = "diffusion_pytorch_model.safetensors.index.json"
TRANSFORMER_FILE = "diffusion_pytorch_model.safetensors"
DOWNLOAD = "Get it with `polytalk weights download`."
"""Remedy for what is missing."""

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
"""owner/name of a repository on the hub."""
_MODEL_FILES = ["*.json", "*.safetensors", "*.pth", "*.model", "*.txt", "*.bin"]
_NOT_MODEL_FILES = ["assets/*", "examples/*", "quant_models/*", "*fairseq*"]


class Layout(StrEnum):
    """How a folder is arranged."""

    OWN = "polytalk"
    """`save_pretrained`'s: one folder, everything in it."""
    RELEASED = "released"
    """Wan2.1's own, the audio branch and the speech encoder in folders of theirs."""
    DIFFUSERS = "diffusers"
    """Wan2.1 as the diffusers library arranges it, the two others as above."""


@dataclass(frozen=True)
class ModelLocation:
    """A model's files, found but not opened."""

    layout: Layout
    """How `root` is arranged."""
    root: Path
    """The base network's folder."""
    name: str
    """Path or hub id of the base network, which tells 480P from 720P."""
    audio: Path | None = None
    """The audio branch's file; None in our own layout."""
    speech: Path | None = None
    """The speech encoder's folder; None in our own layout."""


def locate(model: str | Path, audio: str | Path | None = None, speech: str | Path | None = None) -> ModelLocation:
    """Find a model's files.

    Args:
        model: a folder in one of the three layouts, a folder that holds one such folder, or a hub id "owner/name".
        audio: folder or file of the audio branch, or a hub id. None looks inside `model` and beside it; a model from
            the hub has it fetched.
        speech: folder or hub id of the speech encoder; None as for `audio`.

    Raises:
        PolytalkError: nothing there, an unknown layout, or a part that is not found.
    """
    root, from_hub = _folder(model, "model")
    if layout_of(root) is None and not from_hub:
        root = only_model_in(root)
    layout = layout_of(root)
    if layout is None:
        problem = f"{root} is neither Wan2.1's folder (released or Diffusers layout) nor one of save_pretrained"
        raise PolytalkError("model", problem, f"It should hold {INDEX_NAME}, or {VAE_FILE} and its companions.")
    if layout is Layout.OWN:
        for field, value in (("audio", audio), ("speech", speech)):
            if value is not None:
                problem = f"{root} holds everything already"
                raise PolytalkError(field, problem, "Leave it out, or give the base network's folder as model.")
        return ModelLocation(layout, root, str(root))
    audio_file = _audio_file(audio or (AUDIO_REPOSITORY if from_hub else None), root)
    speech_folder = _speech_folder(speech or (SPEECH_REPOSITORY if from_hub else None), root, audio_file)
    return ModelLocation(layout, root, str(model if from_hub else root), audio_file, speech_folder)


def layout_of(folder: Path) -> Layout | None:
    """How a folder is arranged; None when it is no model. A folder with parts missing is still recognised."""
    index = folder / INDEX_NAME
    if index.is_file():
        try:
            return Layout.DIFFUSERS if "_class_name" in read_json(index) else Layout.OWN
        except PolytalkError:
            return Layout.OWN  # whose reader says what is wrong with the index
    marks = (TEXT_FILE, VAE_FILE, IMAGE_FILE, "diffusion_pytorch_model*.safetensors")  # not the audio branch's index
    return Layout.RELEASED if any(any(folder.glob(mark)) for mark in marks) else None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        PolytalkError: missing, unreadable, or something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PolytalkError(str(path), "no such file", DOWNLOAD) from None
    except (OSError, ValueError) as error:
        raise PolytalkError(str(path), f"cannot be read ({error})", DOWNLOAD) from None
    if not isinstance(content, dict):
        raise PolytalkError(str(path), "is no JSON object", DOWNLOAD)
    return content


def existing(path: Path) -> Path:
    """The path.

    Raises:
        PolytalkError: there is no such file or folder.
    """
    if not path.exists():
        raise PolytalkError(str(path.parent), f"{path.name} is missing", DOWNLOAD)
    return path


def only_model_in(folder: Path) -> Path:
    """The one model among a folder's subfolders, or the folder itself when there is none."""
    found = [child for child in sorted(folder.iterdir()) if child.is_dir() and layout_of(child)]
    if len(found) > 1:
        names = ", ".join(child.name for child in found)
        raise PolytalkError("model", f"{folder} holds several models: {names}", "Name one of them.")
    return found[0] if found else folder


def _folder(name: str | Path, field: str) -> tuple[Path, bool]:
    """The folder, and whether it came from the hub."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path, False
    if isinstance(name, str) and HUB_ID.fullmatch(name) and not path.exists():
        return _from_hub(name, field), True
    problem = "is not a folder" if path.exists() else "there is no such folder"
    raise PolytalkError(
        field, f"{str(name)!r}: {problem}", 'Give a folder or a hub id like "Wan-AI/Wan2.1-I2V-14B-480P".'
    )


def _from_hub(repository: str, field: str) -> Path:
    """The snapshot in the hub's cache, fetched when it is not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        fetched = snapshot_download(repository, allow_patterns=_MODEL_FILES, ignore_patterns=_NOT_MODEL_FILES)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        problem = f"{repository} is no folder here and cannot be fetched from the hub ({reason})"
        raise PolytalkError(field, problem, "Check the name and the connection, or give a folder.") from error
    return Path(fetched)


def _audio_file(given: str | Path | None, root: Path) -> Path:
    if given is not None and Path(given).is_file():
        return Path(given)
    folders = [root, root / "MeiGen-MultiTalk", root.parent / "MeiGen-MultiTalk", root.parent]
    if given is not None:
        folders = [_folder(given, "audio")[0]]
    for folder in folders:
        if (folder / AUDIO_FILE).is_file():
            return folder / AUDIO_FILE
    remedy = f"Give the folder of MeiGen-MultiTalk as audio=. {DOWNLOAD}"
    raise PolytalkError("audio", f"there is no {AUDIO_FILE} in {_listed(folders)}", remedy)


def _speech_folder(given: str | Path | None, root: Path, audio: Path) -> Path:
    name = SPEECH_REPOSITORY.split("/")[1]
    folders = [root / name, root.parent / name, audio.parent / name, audio.parent.parent / name]
    if given is not None:
        folders = [_folder(given, "speech")[0]]
    for folder in folders:
        if (folder / "config.json").is_file():
            return folder
    remedy = f"Give the folder of {name} as speech=. {DOWNLOAD}"
    raise PolytalkError("speech", f"there is no config.json in {_listed(folders)}", remedy)


def _listed(folders: list[Path]) -> str:
    return ", ".join(str(folder) for folder in dict.fromkeys(folders))
