"""Everything about a scene that is decided before it is drawn: who is where, who moves how, and what happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from polytalk.motion.gestures import ACTIONS, CAMERA, WALK, Tracks, hand_sides, ramp, stride
from polytalk.motion.idle import PLAYED, smooth_noise
from polytalk.synthetic.characters.character import Character, Pose
from polytalk.synthetic.characters.registry import SOURCES
from polytalk.synthetic.motion import idle
from polytalk.synthetic.prompts import Event
from polytalk.synthetic.scene_config import SceneConfig, choose

SHORTEST_WALK = 25
"""Nobody crosses in a clip of fewer frames: it would be a dash."""
SMILE_WHILE_SPEAKING = 0.35
"""Speakers keep so much of a smile, so that the mouth's shape stays that of the sound."""
SHUT = (0.0, 0.5, 0.0)
"""Opening, width and rounding of a mouth at rest."""
SHUT_IN_PICTURES = 0.3
"""Share of the mouths that a camera catches shut."""


@dataclass
class Staging:
    """A scene before it is drawn. N frames in all, the lead included."""

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

    def copy(self) -> Staging:
        """With tracks and places of its own."""
        tracks = [{name: track.copy() for name, track in each.items()} for each in self.tracks]
        return replace(self, tracks=tracks, place=self.place.copy())

    def since_reference(self, person: int, lead: int) -> Tracks:
        """One person's motion in the clip, and in the reference before it."""
        tracks = {**self.tracks[person], "place": self.place[:, person, 0] / self.size[person], "zoom": self.zoom}
        return {name: np.concatenate([track[:1], track[lead:]]) for name, track in tracks.items()}

    def pose(self, person: int, index: int) -> Pose:
        """Pose of one person in one frame, before the camera."""
        track, size = self.tracks[person], float(self.size[person])
        value = {name: float(track[name][index]) for name in track}
        grown = size * value.pop("scale")
        x = float(self.place[index, person, 0]) + size * value.pop("dx")
        # Whoever leans in grows from the shoulders up.
        y = float(self.place[index, person, 1]) + size * value.pop("dy") + 0.25 * (grown - size)
        opening, wide, rounding = (float(each) for each in self.mouth[index, person])
        for name in ("yaw", "pitch", "smile", "brow", "blink", "hand"):
            value[name] = min(1.0, max(0.0 if name in ("blink", "hand") else -1.0, value[name]))
        return Pose(x=x, y=y, size=grown, opening=opening, width=wide, rounding=rounding, **value)


def caught_mouths(rng: np.random.Generator, people: int, share: float) -> np.ndarray:
    """Mouths (P, 3) as a camera catches them, or all shut: in so many of the pictures the former."""
    mouths = np.tile(np.array(SHUT, np.float32), (people, 1))
    if rng.random() >= share:
        return mouths
    for mouth in mouths:
        if rng.random() >= SHUT_IN_PICTURES:
            mouth[:] = 0.05 + 0.95 * rng.beta(1.2, 1.8), rng.uniform(0.15, 1.0), rng.uniform(0.0, 0.6) ** 2
    return mouths


def arrange(
    rng: np.random.Generator,
    config: SceneConfig,
    mouth: np.ndarray,
    speaking: np.ndarray,
    lead: int,
    happening: Sequence[int],
    caught: np.ndarray | None,
) -> tuple[Staging, tuple[Event, ...]]:
    """Choose people, places, motion and events; ``caught`` are the mouths (P, 3) of the reference."""
    count, total = mouth.shape[1], config.num_frames + lead
    shared = choose(rng, config.sources) if rng.random() < config.same_style else ""
    people = [SOURCES[shared or choose(rng, config.sources)](rng) for _ in range(count)]
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
    speech = zip(full_speaking.T, towards, strict=True)
    tracks = [idle(rng, total, config.motion, talks, side, config.blinks) for talks, side in speech]
    for track, side in zip(tracks, hand_sides(place[:, 0], config.width), strict=True):
        track["hand_side"] = np.full(total, side)
    places = np.repeat(place[None], total, axis=0)
    # Half of the cameras stand still.
    pan_size = 0.035 * config.camera_motion * float(rng.random() < 0.5)
    pan = pan_size * np.stack([smooth_noise(rng, total, 5.0), 0.4 * smooth_noise(rng, total, 5.0)], axis=1)
    stage = Staging(people, order, size, places, tracks, full_mouth, np.full(total, 1.0 + 2 * pan_size), pan)
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
    rng: np.random.Generator, config: SceneConfig, stage: Staging, towards: list[float], lead: int
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


def _walk(rng: np.random.Generator, stage: Staging, lead: int, frames: int) -> int:
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
