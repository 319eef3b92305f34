"""A random model in the released layout: every file that Wan-AI, MeiGen-AI and TencentGameMate publish, of any size.

It stands in for the published weights where they cannot be had, e.g. to test that a machine loads and runs the full
size. Everything is streamed to disk.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from polytalk.checkpoints.layouts import (
    AUDIO_FILE,
    AUDIO_REPOSITORY,
    IMAGE_FILE,
    SPEECH_REPOSITORY,
    TEXT_FILE,
    TOKENIZER_FOLDER,
    TRANSFORMER_FILE,
    TRANSFORMER_INDEX,
    VAE_FILE,
    WAN_REPOSITORIES,
)
from polytalk.errors import PolytalkError
from polytalk.weights import released
from polytalk.weights.random_tensors import RandomTensors
from polytalk.weights.sizes import ModelSize
from polytalk.weights.tokenizer import write_tokenizer
from polytalk.weights.writing import write_index, write_pickle, write_safetensors, write_shards

BASE_FOLDER, AUDIO_FOLDER, SPEECH_FOLDER = (
    repository.split("/")[1] for repository in (WAN_REPOSITORIES[0], AUDIO_REPOSITORY, SPEECH_REPOSITORY)
)
STEM = TRANSFORMER_FILE.removesuffix(".safetensors")
NUM_SHARDS = 7


@dataclass(frozen=True)
class Recipe:
    """What to synthesise."""

    size: ModelSize
    """How large."""
    dtype: torch.dtype = torch.bfloat16
    """Of network and text encoder; the autoencoder and the speech encoder are float32, CLIP float16, as published."""
    seed: int = 0
    """Same seed, same weights, whatever the size's other parts."""
    network_only: bool = False
    """Leave out the encoders."""

    def files(self) -> dict[str, tuple[released.Shapes, torch.dtype]]:
        """File (or, for shards, their stem) below the target folder -> its tensors and their type."""
        size = self.size
        result = {
            f"{BASE_FOLDER}/{STEM}": (released.base_shapes(size), self.dtype),
            f"{AUDIO_FOLDER}/{AUDIO_FILE}": (released.audio_shapes(size), self.dtype),
        }
        if self.network_only:
            return result
        return result | {
            f"{BASE_FOLDER}/{TEXT_FILE}": (released.text_encoder_shapes(size), self.dtype),
            f"{BASE_FOLDER}/{IMAGE_FILE}": (released.image_encoder_shapes(size), torch.float16),
            f"{BASE_FOLDER}/{VAE_FILE}": (released.vae_shapes(size), torch.float32),
            f"{SPEECH_FOLDER}/model.safetensors": (released.speech_encoder_shapes(size), torch.float32),
        }

    @property
    def num_bytes(self) -> int:
        """Size on disk, small files aside."""
        return sum(released.num_elements(shapes) * dtype.itemsize for shapes, dtype in self.files().values())


def synthesize(folder: Path, recipe: Recipe, written: Callable[[str, int], None] | None = None) -> None:
    """Write the folders Wan2.1-I2V-14B-480P, MeiGen-MultiTalk and chinese-wav2vec2-base below `folder`.

    Args:
        folder: where to; must be new or empty.
        recipe: what.
        written: called with the file and the number of bytes written to it since the last call.

    Raises:
        PolytalkError: the folder holds something, or the disk is too small.
    """
    report = written or (lambda file, count: None)
    with new_folder(folder, recipe.num_bytes):
        _write(folder, recipe, report)


def _write(folder: Path, recipe: Recipe, report: Callable[[str, int], None]) -> None:
    tensors = RandomTensors(recipe.seed)
    for file, (shapes, dtype) in recipe.files().items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)

        def wrote(count: int, file: str = file) -> None:
            report(file, count)

        if path.name == STEM:
            base_map = write_shards(path.parent, STEM, shapes, tensors, dtype, NUM_SHARDS, wrote)
        elif path.suffix == ".pth":
            write_pickle(path, shapes, tensors, dtype, wrote)
        else:
            write_safetensors(path, shapes, tensors, dtype, wrote)
    audio_names = released.audio_shapes(recipe.size)
    total = sum(path.stat().st_size for path in folder.glob(f"*/{STEM}*.safetensors"))
    total += (folder / AUDIO_FOLDER / AUDIO_FILE).stat().st_size
    # as published: the audio branch's index lists Wan's shards as well, which lie in the other folder
    joint = base_map | dict.fromkeys(audio_names, AUDIO_FILE)
    write_index(folder / AUDIO_FOLDER / TRANSFORMER_INDEX, joint, total)
    _write_small_files(folder, recipe)


def check_target(folder: Path, num_bytes: int) -> None:
    """Refuse a folder that holds something already, and a disk that is too small.

    Raises:
        PolytalkError: either.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PolytalkError(str(folder), "there is something already", "Name a new folder.")
    free = free_bytes(folder)
    if num_bytes > free:
        problem = f"{num_bytes / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free"
        raise PolytalkError(str(folder), problem, "Make room, or choose a folder on another disk.")


@contextmanager
def new_folder(folder: Path, num_bytes: int) -> Iterator[None]:
    """A scope that fills a folder; what breaks off leaves none of it.

    Raises:
        PolytalkError: as `check_target`.
    """
    check_target(folder, num_bytes)
    try:
        yield
    except BaseException:  # Ctrl-C as well
        shutil.rmtree(folder, ignore_errors=True)
        raise


def free_bytes(folder: Path) -> int:
    """Space left where a folder is, or would be."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def _write_small_files(folder: Path, recipe: Recipe) -> None:
    _write_json(folder / BASE_FOLDER / "config.json", recipe.size.config())
    if recipe.network_only:
        return
    write_tokenizer(folder / BASE_FOLDER / TOKENIZER_FOLDER, recipe.size.text.vocab)
    _write_json(folder / SPEECH_FOLDER / "config.json", recipe.size.speech_config())
    features = {
        "do_normalize": True,
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0,
        "return_attention_mask": False,
        "sampling_rate": 16000,
    }
    _write_json(folder / SPEECH_FOLDER / "preprocessor_config.json", features)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
