"""Clips drawn from a seed, with the exact truth about who speaks when, how each mouth moves and where everybody is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import skia

from polytalk.errors import PolytalkError
from polytalk.motion.gestures import ACTIONS, CAMERA, WALK, Tracks, hand_sides, ramp, stride
from polytalk.motion.idle import BLINKS_PER_SECOND, PLAYED, pose_signal, smooth_noise
from polytalk.synthetic.backgrounds import MARGIN, draw_background
from polytalk.synthetic.characters.character import Character, Pose
from polytalk.synthetic.characters.registry import SOURCES
from polytalk.synthetic.characters.vector.kit import picture, raster
from polytalk.synthetic.motion import idle, random_mouth
from polytalk.synthetic.picture_io import bundled_pictures, folder_pictures
from polytalk.synthetic.prompts import Event, write_prompt
from polytalk.units import SAMPLE_RATE

if TYPE_CHECKING:
    from polytalk.synthetic.speech.conversation import Conversation

CELL = 8
"""Masks have one cell for so many pixels."""
SHARES = ("reference_lead_probability", "crowding", "motion", "camera_motion", "event_probability",
          "crossing_probability", "silent_probability", "same_style", "lighting", "empty_prompt",
          "caught_probability")  # fmt: skip
"""Fields of `SceneConfig` that lie in 0..1."""
SHORTEST_WALK = 25
"""Nobody crosses in a clip of fewer frames: it would be a dash."""
SMILE_WHILE_SPEAKING = 0.35
"""Speakers keep so much of a smile, so that the mouth's shape stays that of the sound."""
SHUT = (0.0, 0.5, 0.0)
"""Opening, width and rounding of a mouth at rest."""
SHUT_IN_PICTURES = 0.3
"""Share of the mouths that a camera catches shut."""


@dataclass(frozen=True)
class SceneConfig:
    """What kind of clips are drawn."""

    height: int = 144
    """Frame height in pixels, a multiple of 16."""
    width: int = 256
    """Frame width in pixels, a multiple of 16."""
    num_frames: int = 33
    """Frames of a clip, 4n+1."""
    reference_lead: int = 50
    """The reference picture of a later clip was taken at most so many frames before it."""
    reference_lead_probability: float = 0.0
    """Share of clips whose reference picture is such an earlier frame instead of the first one."""
    people: tuple[int, int] = (1, 2)
    """Fewest and most people, unless a conversation says how many there are; 1 to 4."""
    head_size: tuple[float, float] = (0.5, 0.8)
    """Height of the heads as a share of the frame height; made smaller where people would not fit side by side."""
    crowding: float = 0.25
    """0: never overlap; 1: neighbours may overlap by half a head."""
    motion: float = 0.5
    """Amount of sway, turning and nodding, 0 to 1."""
    blinks: float = BLINKS_PER_SECOND
    """A second, of everybody."""
    camera_motion: float = 0.3
    """Amount of slow panning, 0 to 1."""
    event_probability: float = 0.3
    """Share of clips in which something happens that the prompt tells."""
    max_events: int = 2
    """Most events in a clip."""
    actions: tuple[str, ...] = (*ACTIONS, CAMERA)
    """Names of `polytalk.motion.gestures` of which events are drawn, besides walks."""
    steady: bool = False
    """Heads, bodies and the camera stand still, whatever happens: only faces and hands move."""
    caught_probability: float | None = None
    """Share of clips whose reference picture has caught mouths as they were, open or smiling, instead of shut ones; a
    clip that begins with its reference begins so. None: mouths are shut in earlier references, else as first spoken."""
    crossing_probability: float = 0.0
    """Share of the clips with events, of 25 frames or more, in which one person walks to the other side."""
    silent_probability: float = 0.0
    """Without a conversation: share of clips in which nobody speaks."""
    mouth_gain: float = 1.0
    """Factor on the mouths' opening; the truth is what is drawn."""
    sources: tuple[tuple[str, float], ...] = (
        ("flat person", 1.0), ("outlined person", 1.0), ("painted person", 1.8), ("sketch person", 0.8),
        ("flat animal", 0.35), ("outlined animal", 0.35), ("painted animal", 0.5), ("sketch animal", 0.2),
    )  # fmt: skip
    """Names in `characters.SOURCES` and their weights."""
    same_style: float = 0.6
    """Share of clips whose people all come from one source."""
    backgrounds: tuple[tuple[str, float], ...] = (
        ("plain", 1.0), ("gradient", 1.0), ("stripes", 0.6), ("noise", 0.6), ("room", 1.5), ("outdoor", 1.2),
        ("city", 0.7), ("photo", 2.0),
    )  # fmt: skip
    """Kinds of background and their weights."""
    photo_folder: str = ""
    """Folder of photographs for backgrounds; empty: the ones that scikit-image carries."""
    lighting: float = 1.0
    """Strength of tint, vignette and grain, 0 to 1."""
    empty_prompt: float = 0.1
    """Share of prompts that say nothing (only without events)."""

    def __post_init__(self) -> None:
        for field in ("height", "width"):
            if getattr(self, field) < 16 or getattr(self, field) % 16:
                raise PolytalkError(field, f"{getattr(self, field)} pixels", "Give a multiple of 16.")
        if self.num_frames < 1 or self.num_frames % 4 != 1:
            raise PolytalkError("num_frames", str(self.num_frames), "Give 4n+1 frames.")
        if not 1 <= self.people[0] <= self.people[1] <= 4:
            raise PolytalkError("people", str(self.people), "Give (fewest, most) from 1 to 4.")
        if not 0.05 <= self.head_size[0] <= self.head_size[1] <= 1.5:
            raise PolytalkError("head_size", str(self.head_size), "Give (least, most) from 0.05 to 1.5 frame heights.")
        unknown = [name for name, _ in self.sources if name not in SOURCES]
        if unknown or not self.sources or sum(weight for _, weight in self.sources) <= 0:
            raise PolytalkError("sources", f"unknown or empty: {unknown}", f"Choose among {', '.join(SOURCES)}.")
        strange = [name for name in self.actions if name not in (*ACTIONS, CAMERA)]
        if strange or not self.actions:
            names = ", ".join((*ACTIONS, CAMERA))
            raise PolytalkError("actions", f"unknown or empty: {strange}", f"Choose among {names}.")
        for field in SHARES:
            if not 0.0 <= (getattr(self, field) or 0.0) <= 1.0:
                raise PolytalkError(field, str(getattr(self, field)), "Give a number from 0 to 1.")


@dataclass(frozen=True)
class DrawnClip:
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
    """float32 (T, P, channels): what everybody does besides speaking, see `conditioning.idle_motion`."""
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


@dataclass
class _Stage:
    """Everything about a scene that is decided before it is drawn. N frames in all, the lead included."""

    people: list[Character]
    order: list[int]
    """Persons from left to right."""
    size: np.ndarray
    """(P,) head heights in pixels."""
    place: np.ndarray
    """(N, P, 2) where the heads would be without sway, pixels."""
    tracks: list[Tracks]
    mouth: np.ndarray
    """(N, P, 3)."""
    zoom: np.ndarray
    """(N,)."""
    pan: np.ndarray
    """(N, 2) as shares of the frame."""

    def copy(self) -> _Stage:
        """With tracks and places of its own."""
        tracks = [{name: track.copy() for name, track in each.items()} for each in self.tracks]
        return replace(self, tracks=tracks, place=self.place.copy())


def draw_clip(
    seed: int, config: SceneConfig, conversation: Conversation | None = None, happening: int = 0
) -> DrawnClip:
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
        before = _caught(np.random.default_rng([seed, 41]), mouth.shape[1], config.caught_probability)
    stage, events = _arrange(rng, config, mouth, speaking, lead, (seed, happening) if happening else (), before)
    names = [name for name, _ in config.backgrounds]
    weights = np.array([weight for _, weight in config.backgrounds])
    pictures = folder_pictures(config.photo_folder) if config.photo_folder else bundled_pictures()
    kind = names[rng.choice(len(names), p=weights / weights.sum())]
    background, words = draw_background(rng, kind, config.width, config.height, pictures)
    light = _lighting(rng, config)
    shown = list(range(lead, lead + config.num_frames))
    frames, alphas, mouth_boxes, face_boxes = _draw(config, stage, background, light, [0, *shown] if lead else shown)
    masks = _masks(alphas)
    first = 1 if lead else 0
    motion = tuple(_since_reference(stage, person, lead) for person in range(len(stage.people)))
    described = [who.describe() for who in stage.people]
    prompt = write_prompt(rng, described, stage.order, events, words, config.empty_prompt, bool(speaking.any()))
    return DrawnClip(
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


def _voices(
    rng: np.random.Generator, config: SceneConfig, conversation: Conversation | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mouth (T, P, 3), speaking (T, P) and audio (P, samples)."""
    frames = config.num_frames
    if conversation is None:
        count = int(rng.integers(config.people[0], config.people[1] + 1))
        silent = rng.random() < config.silent_probability
        talks = (rng.random(count) < 0.75) & (not silent)
        mouth = np.stack([random_mouth(rng, frames, bool(talk)) for talk in talks], axis=1)
        speaking = np.repeat(talks[None], frames, axis=0)
        audio = np.zeros((count, frames * SAMPLE_RATE // 25), np.float32)
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


def _caught(rng: np.random.Generator, people: int, share: float) -> np.ndarray:
    """Mouths (P, 3) as a camera catches them, or all shut: in so many of the pictures the former."""
    mouths = np.tile(np.array(SHUT, np.float32), (people, 1))
    if rng.random() >= share:
        return mouths
    for mouth in mouths:
        if rng.random() >= SHUT_IN_PICTURES:
            mouth[:] = 0.05 + 0.95 * rng.beta(1.2, 1.8), rng.uniform(0.15, 1.0), rng.uniform(0.0, 0.6) ** 2
    return mouths


def _arrange(
    rng: np.random.Generator,
    config: SceneConfig,
    mouth: np.ndarray,
    speaking: np.ndarray,
    lead: int,
    happening: Sequence[int],
    caught: np.ndarray | None,
) -> tuple[_Stage, tuple[Event, ...]]:
    """Choose people, places, motion and events; ``caught`` are the mouths (P, 3) of the reference."""
    count, total = mouth.shape[1], config.num_frames + lead
    names = [name for name, _ in config.sources]
    weights = np.array([weight for _, weight in config.sources])
    weights = weights / weights.sum()
    shared = names[rng.choice(len(names), p=weights)] if rng.random() < config.same_style else ""
    people = [SOURCES[shared or names[rng.choice(len(names), p=weights)]](rng) for _ in range(count)]
    order = [int(person) for person in rng.permutation(count)]
    size, place = _places(rng, config, order)
    # Before the clip nobody speaks; mouths fade in from shut.
    full_mouth = np.concatenate([np.repeat([[SHUT]], lead, 0).repeat(count, 1), mouth]).astype(np.float32)
    if caught is not None:
        full_mouth[: max(1, lead)] = caught
        if not lead and len(full_mouth) > 1:
            full_mouth[1] = 0.4 * caught + 0.6 * full_mouth[1]
    full_speaking = np.concatenate([np.zeros((lead, count), bool), speaking])
    rank = {person: index for index, person in enumerate(order)}
    towards = [0.0 if count == 1 else 1.0 - 2.0 * rank[person] / (count - 1) for person in range(count)]
    tracks = [
        idle(rng, total, config.motion, full_speaking[:, person], towards[person], config.blinks)
        for person in range(count)
    ]
    for track, side in zip(tracks, hand_sides(place[:, 0], config.width), strict=True):
        track["hand_side"] = np.full(total, side)
    places = np.repeat(place[None], total, axis=0)
    # Half of the cameras stand still.
    pan_size = 0.035 * config.camera_motion * float(rng.random() < 0.5)
    pan = pan_size * np.stack([smooth_noise(rng, total, 5.0), 0.4 * smooth_noise(rng, total, 5.0)], axis=1)
    stage = _Stage(people, order, size, places, tracks, full_mouth, np.full(total, 1.0 + 2 * pan_size), pan)
    before = stage.copy()
    events = _happen(rng, config, stage, towards, lead)
    if happening:  # the draws that follow are the same
        stage = before.copy()
        events = _happen(np.random.default_rng(happening), config, stage, towards, lead)
    if config.steady:
        for track, still in zip(stage.tracks, before.tracks, strict=True):
            track |= {name: still[name] for name in PLAYED if name in still}
        stage.place, stage.zoom = before.place, before.zoom
    for person, track in enumerate(stage.tracks):
        opening = full_mouth[:, person, 0]
        track["smile"] = track["smile"] * (1 - (1 - SMILE_WHILE_SPEAKING) * np.clip(3 * opening, 0, 1))
    return stage, events


def _since_reference(stage: _Stage, person: int, lead: int) -> Tracks:
    tracks = {**stage.tracks[person], "place": stage.place[:, person, 0] / stage.size[person], "zoom": stage.zoom}
    return {name: np.concatenate([track[:1], track[lead:]]) for name, track in tracks.items()}


def _places(rng: np.random.Generator, config: SceneConfig, order: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Head heights (P,) and centres (P, 2) in pixels."""
    count, height, width = len(order), config.height, config.width
    room = width / count
    # Heads with hair are 0.8 to 1.1 of their height wide; among many, nobody should hide a mouth.
    fits = room / ((0.80 if count < 3 else 0.92) * (1.0 - 0.35 * config.crowding))
    common = rng.uniform(*config.head_size)
    size, place = np.zeros(count), np.zeros((count, 2))
    spare = config.crowding * 0.18
    for index, person in enumerate(order):
        wish = np.clip(common * rng.uniform(0.88, 1.12), *config.head_size)
        size[person] = min(wish * height, fits)
        head = size[person]
        free = max(0.0, 0.5 * (room - 0.8 * head)) + spare * head
        x = (index + 0.5) * room + rng.uniform(-1, 1) * rng.uniform(0.3, 1) * free
        place[person, 0] = np.clip(x, 0.42 * head, width - 0.42 * head)
        top, bottom = 0.60 * head, height - 0.60 * head
        place[person, 1] = np.clip(rng.uniform(0.40, 0.55) * height, min(top, 0.5 * height), max(bottom, 0.5 * height))
    return size, place


def _happen(
    rng: np.random.Generator, config: SceneConfig, stage: _Stage, towards: list[float], lead: int
) -> tuple[Event, ...]:
    """Make events happen within the clip; returns them with frame numbers of the clip."""
    count, frames = len(stage.people), config.num_frames
    if rng.random() >= config.event_probability or frames < 9:
        return ()
    events: list[Event] = []
    busy: set[int] = set()
    if count > 1 and frames >= SHORTEST_WALK and rng.random() < config.crossing_probability:
        walker = _walk(rng, stage, lead, frames)
        busy.add(walker)
        events.append((WALK, walker, 0, frames))
    for name in rng.permutation(config.actions)[: int(rng.integers(1, config.max_events + 1)) - len(events)]:
        if name == CAMERA:
            start = int(rng.integers(0, frames // 4 + 1))
            stage.zoom = stage.zoom * (1 + rng.uniform(0.14, 0.25) * ramp(len(stage.zoom), lead + start, lead + frames))
            events.append((CAMERA, -1, start, frames))
            continue
        free = [person for person in range(count) if person not in busy]
        if not free:
            break
        person = free[rng.integers(len(free))]
        busy.add(person)
        length = min(frames, int(rng.integers(20, 34)))
        start = int(rng.integers(0, frames - length + 1))
        side = towards[person] if towards[person] != 0 else float(rng.choice([-1.0, 1.0]))
        ACTIONS[name](rng, stage.tracks[person], lead + start, lead + start + length, float(np.sign(side)))
        events.append((str(name), person, start, start + length))
    return tuple(events)


def _walk(rng: np.random.Generator, stage: _Stage, lead: int, frames: int) -> int:
    """One person walks past the next, who makes room; returns the walker."""
    index = int(rng.integers(len(stage.order) - 1))
    first, second = stage.order[index], stage.order[index + 1]
    walker, other = (first, second) if rng.random() < 0.5 else (second, first)
    share = ramp(len(stage.zoom), lead, lead + frames - 1)
    start, end = stage.place[0, walker, 0], stage.place[0, other, 0]
    stage.place[:, walker, 0] = start + (end - start) * share
    stage.place[:, other, 0] = end + (start - end) * share
    stride(stage.tracks[walker], share, float(np.sign(end - start)))
    stride(stage.tracks[other], share, float(np.sign(start - end)))
    return walker


def _pose(stage: _Stage, person: int, index: int) -> Pose:
    """Pose of one person in one frame, before the camera."""
    track, size = stage.tracks[person], float(stage.size[person])
    value = {name: float(track[name][index]) for name in track}
    grown = size * value.pop("scale")
    x = float(stage.place[index, person, 0]) + size * value.pop("dx")
    # Whoever leans in grows from the shoulders up.
    y = float(stage.place[index, person, 1]) + size * value.pop("dy") + 0.25 * (grown - size)
    opening, wide, rounding = (float(each) for each in stage.mouth[index, person])
    for name, low in (("yaw", -1.0), ("pitch", -1.0), ("smile", -1.0), ("brow", -1.0), ("blink", 0.0), ("hand", 0.0)):
        value[name] = min(1.0, max(low, value[name]))
    return Pose(x=x, y=y, size=grown, opening=opening, width=wide, rounding=rounding, **value)


def _camera(stage: _Stage, config: SceneConfig, index: int) -> skia.Matrix:
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
    config: SceneConfig, stage: _Stage, background: skia.Image, light: skia.Image | None, indices: list[int]
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
        canvas.save()
        canvas.concat(camera)
        still = camera.isTranslate() or camera.isIdentity()
        canvas.drawImage(background, -left, -top, skia.SamplingOptions() if still else sampling)
        canvas.restore()
        for person in depth:
            who, pose = stage.people[person], _pose(stage, person, index)
            brush.clear(0)
            brush.save()
            brush.concat(camera)
            who.draw(brush, pose)
            brush.restore()
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
