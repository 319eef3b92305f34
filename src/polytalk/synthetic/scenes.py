"""Clips drawn from a seed, with the exact truth about who speaks when, how each mouth moves and where everybody is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import skia

from polytalk.errors import PolytalkError
from polytalk.motion.gestures import Tracks
from polytalk.motion.idle import pose_signal
from polytalk.synthetic.backgrounds import MARGIN, draw_background
from polytalk.synthetic.characters.vector.kit import picture, raster, transformed
from polytalk.synthetic.motion import random_mouth
from polytalk.synthetic.picture_io import bundled_pictures, folder_pictures
from polytalk.synthetic.prompts import Event, write_prompt
from polytalk.synthetic.scene_config import SceneConfig, choose
from polytalk.synthetic.speech.conversation import SyntheticConversation
from polytalk.synthetic.staging import Staging, arrange, caught_mouths
from polytalk.units import SAMPLES_PER_FRAME, SPATIAL_STRIDE

CELL = SPATIAL_STRIDE
"""Masks have one cell for so many pixels."""


@dataclass(frozen=True)
class SyntheticClip:
    """One clip and the truth about it. T frames, P people; person i speaks with voice i."""

    frames: np.ndarray
    """uint8 (T, height, width, 3)."""
    reference: np.ndarray
    """uint8 (height, width, 3): the picture that a user would give: the first frame or an earlier one of the scene."""
    masks: np.ndarray
    """bool (T, P, height // 8, width // 8): cells at least half covered by what is seen of a person."""
    reference_masks: np.ndarray
    """bool (P, height // 8, width // 8): the same for the reference."""
    mouth: np.ndarray
    """float32 (T, P, 3): opening, width, rounding, 0..1; opening 0 is shut."""
    mouth_boxes: np.ndarray
    """float32 (T, P, 4): left, top, right, bottom in pixels, room for the widest opening; may leave the frame."""
    face_boxes: np.ndarray
    """float32 (T, P, 4): the same around the head."""
    reference_boxes: np.ndarray
    """float32 (P, 4): the same in the reference."""
    motion: tuple[Tracks, ...]
    """Each person's motion since the reference, see `polytalk.postprocess.puppet`: T frames, and one of the reference
    before them."""
    pose: np.ndarray
    """float32 (T, P, channels): what everybody does besides speaking, see `polytalk.motion.idle`."""
    speaking: np.ndarray
    """bool (T, P)."""
    audio: np.ndarray
    """float32 (P, samples), 16 kHz; zeros if no conversation was given."""
    prompt: str
    events: tuple[Event, ...]
    """(name, person or -1 for the camera, first frame, end frame) of what happens and the prompt tells."""
    seed: int
    styles: tuple[str, ...]
    """Each person's art style."""


def draw_clip(
    seed: int, config: SceneConfig, conversation: SyntheticConversation | None = None, happening: int = 0
) -> SyntheticClip:
    """Draw the clip of a seed; equal arguments give equal clips.

    Args:
        seed: which clip.
        config: what kind of clips.
        conversation: voices with mouth tracks; without one, mouths move at random and the sound is silence.
        happening: which of the events that might happen to the same people in the same place.

    Raises:
        PolytalkError: the conversation has another number of frames than the config, or more than four people.
    """
    rng = np.random.default_rng(seed)
    mouth, speaking, audio = _voices(rng, config, conversation)
    lead = 0
    if rng.random() < config.reference_lead_probability:
        lead = int(rng.integers(1, config.reference_lead + 1)) if config.reference_lead else 0
    before = None
    if config.caught_probability is not None:
        before = caught_mouths(np.random.default_rng([seed, 41]), mouth.shape[1], config.caught_probability)
    stage, events = arrange(rng, config, mouth, speaking, lead, (seed, happening) if happening else (), before)
    pictures = folder_pictures(config.photo_folder) if config.photo_folder else bundled_pictures()
    kind = choose(rng, config.backgrounds)
    background, words = draw_background(rng, kind, config.width, config.height, pictures)
    light = _lighting(rng, config)
    first = 1 if lead else 0
    indices = [0] * first + list(range(lead, lead + config.num_frames))
    frames, alphas, mouth_boxes, face_boxes = _draw(config, stage, background, light, indices)
    masks = _masks(alphas)
    motion = tuple(stage.since_reference(person, lead) for person in range(len(stage.people)))
    described = [who.describe() for who in stage.people]
    prompt = write_prompt(rng, described, stage.order, events, words, config.empty_prompt, bool(speaking.any()))
    return SyntheticClip(
        frames=frames[first:],
        reference=frames[0],
        masks=masks[first:],
        reference_masks=masks[0],
        mouth=stage.mouth[lead:],
        mouth_boxes=mouth_boxes[first:],
        face_boxes=face_boxes[first:],
        reference_boxes=face_boxes[0],
        motion=motion,
        pose=np.stack([pose_signal(tracks)[1:] for tracks in motion], axis=1),
        speaking=speaking,
        audio=audio,
        prompt=prompt,
        events=events,
        seed=seed,
        styles=tuple(who.style for who in stage.people),
    )


def draw_clips(seeds: Iterable[int], people: Sequence[int], config: SceneConfig | None = None) -> list[SyntheticClip]:
    """Clips without sound, whose mouths move at random; clip i has people[i] people."""
    config = config or SceneConfig()
    return [draw_clip(seed, replace(config, people=(count, count))) for seed, count in zip(seeds, people, strict=True)]


def _voices(
    rng: np.random.Generator, config: SceneConfig, conversation: SyntheticConversation | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mouth (T, P, 3), speaking (T, P) and audio (P, samples)."""
    frames = config.num_frames
    if conversation is None:
        count = int(rng.integers(config.people[0], config.people[1] + 1))
        silent = rng.random() < config.silent_probability
        talks = (rng.random(count) < 0.75) & (not silent)
        mouth = np.stack([random_mouth(rng, frames, bool(talk)) for talk in talks], axis=1)
        speaking = np.repeat(talks[None], frames, axis=0)
        audio = np.zeros((count, frames * SAMPLES_PER_FRAME), np.float32)
    else:
        mouth = np.asarray(conversation.mouth, np.float32).transpose(1, 0, 2).copy()
        speaking = np.asarray(conversation.speaking, bool).T.copy()
        audio = conversation.audio
        if mouth.shape[0] != frames:
            raise PolytalkError("conversation", f"{mouth.shape[0]} frames", f"The scene has {frames} frames.")
        if mouth.shape[1] > 4:
            raise PolytalkError("conversation", f"{mouth.shape[1]} people", "Give at most four.")
    mouth[..., 0] = np.clip(mouth[..., 0] * config.mouth_gain, 0.0, 1.0)
    return mouth, speaking, audio


def _camera(stage: Staging, config: SceneConfig, index: int) -> skia.Matrix:
    """From the scene to the frame: zoom onto the people, then pan."""
    zoom = float(stage.zoom[index])
    focus_x, focus_y = (float(middle) for middle in stage.place[0].mean(axis=0))
    matrix = skia.Matrix()
    matrix.setTranslate(-focus_x, -focus_y)
    matrix.postScale(zoom, zoom)
    pan_x, pan_y = (float(share) for share in stage.pan[index])
    matrix.postTranslate(focus_x + config.width * pan_x, focus_y + config.height * pan_y)
    return matrix


def _draw(
    config: SceneConfig, stage: Staging, background: skia.Image, light: skia.Image | None, indices: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw frames (n, H, W, 3) with who is seen at every second pixel (n, P, H/2, W/2) and boxes (n, P, 4) twice."""
    height, width, count = config.height, config.width, len(stage.people)
    page, layer = np.zeros((height, width, 4), np.uint8), np.zeros((height, width, 4), np.uint8)
    page_surface, layer_surface = raster(page, opaque=True), raster(layer)
    canvas, brush = page_surface.getCanvas(), layer_surface.getCanvas()
    frames = np.empty((len(indices), height, width, 3), np.uint8)
    seen = np.zeros((len(indices), count, height // 2, width // 2), bool)
    boxes = np.zeros((2, len(indices), count, 4), np.float32)
    sampling, multiply = skia.SamplingOptions(skia.FilterMode.kLinear), skia.Paint(BlendMode=skia.BlendMode.kModulate)
    left, top = round(MARGIN * width), round(MARGIN * height)
    # Larger people stand nearer; back to front.
    depth = [int(person) for person in np.argsort(stage.size + 0.3 * stage.place[0, :, 1], kind="stable")]
    for row, index in enumerate(indices):
        camera = _camera(stage, config, index)
        still = camera.isTranslate() or camera.isIdentity()
        with transformed(canvas, camera):
            canvas.drawImage(background, -left, -top, skia.SamplingOptions() if still else sampling)
        for person in depth:
            who, pose = stage.people[person], stage.pose(person, index)
            brush.clear(0)
            with transformed(brush, camera):
                who.draw(brush, pose)
            covered = layer[1::2, 1::2, 3] > 127
            seen[row] &= ~covered
            seen[row, person] = covered
            canvas.drawImage(layer_surface.makeImageSnapshot(), 0, 0)
            geometry = who.geometry(pose)
            for which, box in enumerate((geometry.mouth, geometry.face)):
                rect = camera.mapRect(skia.Rect(*box))
                boxes[which, row, person] = rect.left(), rect.top(), rect.right(), rect.bottom()
        if light is not None:
            canvas.drawImage(light, 0, 0, skia.SamplingOptions(), multiply)
        for channel in range(3):
            frames[row, ..., channel] = page[..., 2 - channel]
    return frames, seen, boxes[0], boxes[1]


def _masks(seen: np.ndarray) -> np.ndarray:
    """Cells (n, P, H/8, W/8) of which at least half of the samples show the person."""
    part = CELL // 2
    samples = seen.view(np.uint8)
    rows = samples[:, :, 0::part].copy()
    for offset in range(1, part):
        rows += samples[:, :, offset::part]
    cells = rows[..., 0::part].copy()
    for offset in range(1, part):
        cells += rows[..., offset::part]
    return cells >= part * part // 2


def _lighting(rng: np.random.Generator, config: SceneConfig) -> skia.Image | None:
    """Tint, vignette, light from one side and grain as one picture that multiplies every frame."""
    strength = config.lighting
    if strength == 0.0 or rng.random() < 0.15:
        return None
    height, width = config.height, config.width
    tint = rng.uniform(0.0, 0.13, 3)
    tint = 1.0 - strength * (tint - tint.min())
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    shade = 1.0 - strength * rng.uniform(0.0, 0.18) * (x**2 + y**2) / 2
    slope_x, slope_y = rng.normal(0, 0.05, 2) * strength
    shade = shade * (1.0 - np.abs(slope_x) - np.abs(slope_y) + slope_x * x + slope_y * y)
    if rng.random() < 0.6:
        shade = shade * (1.0 - np.float32(strength * rng.uniform(0.0, 0.05)) * rng.random((height, width), np.float32))
    exposure = 1.0 - strength * 0.3 * rng.random() ** 4
    return picture(np.clip(255 * exposure * shade[..., None] * tint, 0, 255).astype(np.uint8))
