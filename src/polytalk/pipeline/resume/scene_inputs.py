"""Fingerprints of what a run is made from: the scene frame by frame, the model and how it is run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from polytalk.conditioning.conversation import Conversation
from polytalk.config.options import LoadOptions
from polytalk.pipeline.resume.inputs import VOICE, constant_row, digest, network_digest, small_digest, spans_row
from polytalk.pipeline.settings import RunSettings
from polytalk.scene import Scene
from polytalk.units import FPS

_LEVERS = (
    "quantization",
    "loras",
    "layerwise_casting",
    "vae_tiling",
    "vae_dtype",
    "attention_backend",
    "step_cache",
    "step_cache_threshold",
    "step_cache_numbers",
)
"""Levers that change the picture by more than rounding. With the others a run may be taken up elsewhere."""
_NOT_SETTINGS = {"clip_frames", "motion_frames", "negative_prompt", "size_class", "batch_guidance"}
"""Settings that are the plan's own, the scene's, or change nothing."""


def run_inputs(components: Any, settings: RunSettings, options: LoadOptions) -> dict[str, str]:
    """What holds for a whole video, by names that a user understands; seed and lengths of clips are left out."""
    chosen = {key: value for key, value in dataclasses.asdict(settings.config).items() if key not in _NOT_SETTINGS}
    chosen["guidance"] = dataclasses.asdict(settings.guidance)
    levers = {name: getattr(options, name) for name in _LEVERS}
    return {
        "version of Polytalk": version("polytalk"),
        "model": network_digest(components),
        "number format": str(components.dtype),
        "settings": _text_digest(chosen),
        "levers": _text_digest(levers),
    }


def scene_rows(
    scene: Scene, conversation: Conversation, pixels: np.ndarray, masks: Tensor, negative_prompt: str, num_frames: int
) -> dict[str, np.ndarray]:
    """What a scene says of each frame.

    Sound is taken as it was given: its level is measured over the whole video, so that a longer scream at the end makes
    everything before it softer, and still is no change there.

    Args:
        scene: what is wanted.
        conversation: its sounds.
        pixels: uint8 (height, width, 3), the picture at the network's size.
        masks: bool (P, h, w).
        negative_prompt: the one that is used.
        num_frames: F.

    Returns:
        By names that a user understands, uint64 (F,).
    """
    schedule = conversation.schedule
    first = str(pixels.shape).encode() + pixels.tobytes()
    shown = [
        (_frame(place.start), first if place.image is scene.image else _image(place)) for place in schedule.settings
    ]
    rows = {
        "picture": spans_row(shown, num_frames),
        "places of the people": constant_row(
            str(tuple(masks.shape)).encode() + masks.cpu().numpy().tobytes(), num_frames
        ),
        "prompt": spans_row([(_frame(span.start), span.prompt.encode()) for span in schedule.prompts], num_frames),
        "negative prompt": constant_row(negative_prompt.encode(), num_frames),
    }
    for person, name in enumerate(scene.names):
        rows[VOICE + name] = voice_row(conversation, person, num_frames)
    return rows


def source_rows(
    video: Any, boxes: Mapping[int, Any], speaking: Sequence[bool], num_frames: int
) -> dict[str, np.ndarray]:
    """What a source video adds; see `scene_rows`.

    Args:
        video: file or array.
        boxes: everybody's, by the frame from which they hold.
        speaking: whose face is made anew.
        num_frames: F.
    """
    content = video_digest(video) + repr((sorted(boxes.items()), list(speaking))).encode()
    return {"source video": constant_row(content, num_frames)}


def video_digest(image: str | Path | np.ndarray) -> bytes:
    """A fingerprint of a source video: of a file's bytes, or of an array."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(image, np.ndarray):
        digest.update(str(image.shape).encode() + np.ascontiguousarray(image).tobytes())
        return digest.digest()
    with Path(image).open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.digest()


def voice_row(conversation: Conversation, person: int, num_frames: int) -> np.ndarray:
    """One person's sound: a fingerprint of each frame's samples, 0 where there is none; uint64 (F,)."""
    row = np.zeros(num_frames, np.uint64)
    for turn, sound in conversation.turns_of(person):
        rate, samples = sound.sample_rate, sound.samples
        begin = round(turn.start * rate)
        for frame in range(max(0, int(turn.start * FPS)), min(num_frames, math.ceil(turn.stop * FPS) + 1)):
            first, last = (max(0, edge * rate // FPS - begin) for edge in (frame, frame + 1))
            piece = samples[first:last]
            if piece.size and piece.any():
                # where in the frame it lies counts, too
                place = f"{rate} {max(0, begin - frame * rate // FPS)}".encode()
                row[frame] ^= np.uint64(small_digest(place + np.ascontiguousarray(piece).tobytes()))
    return row


def _frame(seconds: float) -> int:
    return math.floor(seconds * FPS + 1e-6)


def _image(setting: Any) -> bytes:
    """What a later picture is, with its boxes."""
    image = setting.image
    content = image.read_bytes() if isinstance(image, Path) else np.asarray(image).tobytes()
    return repr(setting.boxes).encode() + content


def _text_digest(values: dict[str, Any]) -> str:
    return digest(json.dumps(values, sort_keys=True, default=str).encode())
