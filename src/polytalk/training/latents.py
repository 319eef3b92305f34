"""Drawn clips kept on disk as the network sees them: latents, speech features, true classes. Encoded once, ahead."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from polytalk.errors import PolytalkError
from polytalk.models.mini.autoencoder import MiniAutoencoder
from polytalk.models.mini.encoders import MiniSpeechEncoder, MiniTextEncoder
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import draw_clip
from polytalk.synthetic.speech.bank import SpeechBank
from polytalk.synthetic.speech.conversation import draw_conversation
from polytalk.units import FPS, SAMPLES_PER_FRAME, SPATIAL_STRIDE

FACE, MOUTH, EYES = 1, 2, 3
MARGIN = 2
"""Frames of speech features kept before and after the clip, for the windows at its edges."""

CONTEXT = 20
"""Frames of sound drawn before and after the clip, so that the speech encoder hears what it will hear in use."""

AHEAD = 4
"""Rows that a worker process may be ahead."""


@dataclass(frozen=True)
class LatentPoolConfig:
    """A set of clips of one size, length and number of people."""

    folder: str
    """Where the clips lie; encoded anew only when this config has changed."""
    clips: int
    """Number of clips."""
    seed: int = 0
    """First seed; clip i has seed + i, of twins both have seed + i // 2."""
    people: int = 1
    """People in every clip."""
    scene: dict[str, Any] = field(default_factory=dict)
    """Fields of `polytalk.synthetic.scene_config.SceneConfig` besides people."""
    overlap: float = 0.5
    """Share of clips with overlapping speech."""
    silent: float = 0.05
    """Share of clips without any sound (the image-to-video task)."""
    twins: bool = False
    """Clips 2n and 2n + 1 are one scene, in which other things are said and happen: see `ClipLoss`. An even number."""
    voices: str = "runs/voices"
    """Folder of the speech bank."""
    workers: int = 2
    """Processes that draw."""


@dataclass(frozen=True)
class ClipJob:
    """One clip to draw."""

    seed: int
    people: int
    scene: dict[str, Any]
    overlap: float
    silent: float
    voices: str
    talk: int = 0
    """Which of the things that may be said and happen in the scene."""


Row = dict[str, np.ndarray]
Encoders = tuple[MiniAutoencoder, MiniSpeechEncoder, MiniTextEncoder]


def draw_example(job: ClipJob, bank: SpeechBank) -> dict[str, np.ndarray | str]:
    """Draw one scene with its conversation."""
    rng = np.random.default_rng([job.seed, 1 + job.talk])
    scene = SceneConfig(people=(job.people, job.people), **job.scene)
    overlap = bool(rng.random() < job.overlap)
    conversation = draw_conversation(bank, rng, job.people, scene.num_frames, overlap, CONTEXT / FPS)
    if rng.random() < job.silent:
        arrays = {name: 0 * getattr(conversation, name) for name in ("audio", "mouth", "speaking", "lead", "trail")}
        conversation = dataclasses.replace(conversation, **arrays)
    clip = draw_clip(job.seed, scene, conversation, job.talk)
    gain = 10 ** (rng.uniform(-6, 6, (job.people, 1)) / 20)
    return {
        "frames": clip.frames,
        "reference": clip.reference,
        "masks": clip.masks,
        "boxes": np.stack([clip.face_boxes, clip.mouth_boxes], axis=2),
        "mouth": clip.mouth,
        "pose": clip.pose,
        "audio": (standardised(conversation.with_context) * gain).astype(np.float32),
        "prompt": clip.prompt,
    }


def standardised(tracks: np.ndarray) -> np.ndarray:
    """Zero mean and unit deviation per track (P, n); silent tracks stay zero."""
    centred = tracks - tracks.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    return np.where(deviation > 1e-5, centred / np.maximum(deviation, 1e-5), 0.0)


def _work(jobs: Sequence[ClipJob], encoders: Encoders, rows: Queue[Row | tuple[str, str, str]]) -> None:
    """A worker process: a row for each job, or the three parts of a `PolytalkError`."""
    torch.set_num_threads(1)
    autoencoder, speech, text = encoders
    autoencoder = autoencoder.to(memory_format=torch.channels_last)
    banks: dict[str, SpeechBank] = {}
    try:
        for job in jobs:
            if job.voices not in banks:
                banks[job.voices] = SpeechBank(job.voices, held_out=False)
            rows.put(encode_example(draw_example(job, banks[job.voices]), autoencoder, speech, text))
    except PolytalkError as error:
        rows.put((error.field, error.problem, error.remedy))


def draw_rows(jobs: Sequence[ClipJob], workers: int, encoders: Encoders) -> Iterator[Row]:
    """Rows of all jobs, in order, drawn and encoded by several processes of one thread each.

    Raises:
        PolytalkError: as it was raised in a process, or because one ended before its time.
    """
    context = multiprocessing.get_context("spawn")
    count = min(workers, os.cpu_count() or 1)
    queues = [context.Queue(AHEAD) for _ in range(count)]
    processes = [
        context.Process(target=_work, args=(jobs[number::count], encoders, queue), daemon=True)
        for number, queue in enumerate(queues)
    ]
    with _one_thread_each():
        for process in processes:
            process.start()
    try:
        for number in range(len(jobs)):
            yield _next_row(queues[number % count], processes[number % count])
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _next_row(rows: Queue[Row | tuple[str, str, str]], process: BaseProcess) -> Row:
    alive = True
    while True:
        try:
            row = rows.get(timeout=5)
        except Empty:
            if not alive:
                raise PolytalkError(
                    "workers", "a process that draws has ended", "See its last words above, or give fewer"
                ) from None
            alive = process.is_alive()  # what it put last is taken before it is missed
            continue
        if isinstance(row, tuple):
            raise PolytalkError(*row)
        return row


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that are started within do their arithmetic in one thread."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def token_classes(masks: np.ndarray, frames: int) -> np.ndarray:
    """True class per token (F, h/2, w/2) of masks (T, P, h, w): the person covering most of it, or P (background)."""
    middle = np.array([0] + [4 * f - 2 for f in range(1, frames)])
    chosen = masks[middle].astype(np.float32)
    share = chosen.reshape(*chosen.shape[:2], chosen.shape[2] // 2, 2, chosen.shape[3] // 2, 2).mean(axis=(3, 5))
    background = np.full_like(share[:, :1], 0.49)
    return np.concatenate([share, background], axis=1).argmax(axis=1).astype(np.uint8)


def region_flags(boxes: np.ndarray, frames: int, height: int, width: int) -> np.ndarray:
    """Flags (F, h, w) on the latent grid of boxes (T, P, 2, 4) in pixels, faces and mouths: 1 in faces, 2 in mouths,
    3 where eyes are, else 0."""
    flags = np.zeros((frames, height, width), np.uint8)
    for places, value in ((boxes[:, :, 0], FACE), (eye_boxes(boxes), EYES), (boxes[:, :, 1], MOUTH)):
        for t, people in enumerate(places):
            frame = (t + 3) // 4
            for x0, y0, x1, y1 in people:
                rows = slice(max(0, int(y0 // SPATIAL_STRIDE)), max(0, int(-(-y1 // SPATIAL_STRIDE))))
                columns = slice(max(0, int(x0 // SPATIAL_STRIDE)), max(0, int(-(-x1 // SPATIAL_STRIDE))))
                flags[frame, rows, columns] = value
    return flags


def eye_boxes(boxes: np.ndarray) -> np.ndarray:
    """Where both eyes are with their brows, (T, P, 4) in pixels: a band between mouth and crown."""
    face, mouth = boxes[:, :, 0], boxes[:, :, 1]
    middle, low = (mouth[..., 0] + mouth[..., 2]) / 2, (mouth[..., 1] + mouth[..., 3]) / 2
    up, across = low - face[..., 1], 0.33 * (face[..., 2] - face[..., 0])
    return np.stack([middle - across, low - 0.56 * up, middle + across, low - 0.22 * up], axis=-1)


class LatentPool:
    """Memory-mapped clips. Shapes, N clips, P people, T frames, F latent frames, h and w on the latent grid:

    latents (N, 16, F, h, w), still (N, 16, S, h, w), features (N, P, T+4, layers, channels), all bfloat16;
    picture (N, H, W, 3), flags (N, F, h, w), classes (N, F, h/2, w/2) uint8; masks (N, P, h, w) bool;
    ids (N, text_len, grams) int16; mouth (N, P, T, 3), pose (N, P, T, channels) float16.
    """

    def __init__(
        self,
        config: LatentPoolConfig,
        autoencoder: MiniAutoencoder,
        speech_encoder: MiniSpeechEncoder,
        text_encoder: MiniTextEncoder,
    ) -> None:
        self.config = config
        self.folder = Path(config.folder)
        wanted = json.dumps(asdict(config), sort_keys=True)
        mark = self.folder / "pool.json"
        made: dict[str, Any] = json.loads(mark.read_text()) if mark.exists() else {"config": None, "clips": 0}
        if made["config"] != wanted:
            made = {"config": wanted, "clips": 0}
        if made["clips"] < config.clips:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._fill(made, mark, autoencoder, speech_encoder, text_encoder)
        self.arrays = {f.stem: np.load(f, mmap_mode="r") for f in sorted(self.folder.glob("*.npy"))}

    def __len__(self) -> int:
        return self.config.clips

    def _fill(
        self, made: dict[str, Any], mark: Path, autoencoder: MiniAutoencoder, speech: MiniSpeechEncoder,
        text: MiniTextEncoder,
    ) -> None:  # fmt: skip
        """Draw and encode what is missing; goes on where an interrupted run stopped."""
        c, first = self.config, made["clips"]
        each = 2 if c.twins else 1
        jobs = [
            ClipJob(c.seed + i // each, c.people, c.scene, c.overlap, c.silent, c.voices, i % each)
            for i in range(first, c.clips)
        ]
        arrays: dict[str, np.memmap] = {}
        if first:
            arrays = {f.stem: np.load(f, mmap_mode="r+") for f in self.folder.glob("*.npy")}
        rows = draw_rows(jobs, c.workers, (autoencoder, speech, text))
        for i, row in enumerate(track(rows, f"{self.folder.name}: drawing", total=len(jobs)), start=first):
            for name, value in row.items():
                if name not in arrays:
                    path = self.folder / f"{name}.npy"
                    arrays[name] = np.lib.format.open_memmap(path, "w+", value.dtype, (c.clips, *value.shape))
                arrays[name][i] = value
            if (i + 1) % 256 == 0 or i + 1 == c.clips:
                for array in arrays.values():
                    array.flush()
                mark.write_text(json.dumps({**made, "clips": i + 1}))

    def draw(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Random clips; of a pool of twins, pairs, one after the other, and the mark "twins"."""
        if not self.config.twins:
            return self.batch(torch.randint(len(self), (count,), generator=generator).numpy())
        pairs = torch.randperm(len(self) // 2, generator=generator)[: count // 2, None]
        return {**self.batch((2 * pairs + torch.arange(2)).flatten().numpy()), "twins": torch.tensor(True)}

    def batch(self, indices: np.ndarray) -> dict[str, Tensor]:
        """The clips of the given indices, stacked; bfloat16 tensors where they were stored so."""
        out = {}
        for name, array in self.arrays.items():
            value = torch.from_numpy(np.ascontiguousarray(array[np.sort(indices)]))
            out[name] = value.view(torch.bfloat16) if value.dtype == torch.int16 and name != "ids" else value
        return out


@torch.no_grad()
def encode_example(
    example: dict[str, Any], autoencoder: MiniAutoencoder, speech: MiniSpeechEncoder, text: MiniTextEncoder
) -> dict[str, np.ndarray]:
    """One row of the pool."""
    device = next(autoencoder.parameters()).device
    dtype = next(autoencoder.parameters()).dtype

    def pixels(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device, torch.float32).div_(127.5).sub_(1).to(dtype)

    frames = len(example["frames"])
    latent_frames = (frames + 3) // 4
    latents = autoencoder.encode(pixels(example["frames"]).permute(3, 0, 1, 2)[None])[0]
    still = autoencoder.still(
        pixels(example["reference"]).permute(2, 0, 1)[None], min(latent_frames, autoencoder.time_reach + 1)
    )[0]
    audio = torch.from_numpy(example["audio"]).to(device)
    features = speech(audio, audio.shape[1] // SAMPLES_PER_FRAME)
    index = torch.arange(CONTEXT - MARGIN, CONTEXT + frames + MARGIN).clamp(0, features.shape[1] - 1)
    height, width = latents.shape[-2:]
    return {
        "latents": _bits(latents),
        "still": _bits(still),
        "features": _bits(features[:, index]),
        "picture": example["reference"],
        "flags": region_flags(example["boxes"], latent_frames, height, width),
        "classes": token_classes(example["masks"], latent_frames),
        "masks": example["masks"][0],
        "ids": text.tokenize([example["prompt"]])[0].numpy().astype(np.int16),
        "mouth": example["mouth"].transpose(1, 0, 2).astype(np.float16),
        "pose": example["pose"].transpose(1, 0, 2).astype(np.float16),
    }


def _bits(value: Tensor) -> np.ndarray:
    return value.to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy()
