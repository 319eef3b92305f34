"""What the model sees, beside the video: `polytalk generate --explain FOLDER`.

`explain.mp4` shows every frame with the network's reference attention map on it: whom each place attends to, whom it is
bound to, and below it when each voice sounds and each mouth moves. `explain.json` holds the figures, clip by clip. A
wrong binding has two places to come from, and they look different: the map binds a face to somebody else (own_mask is
low), or the map is right and the mouth follows another voice all the same (the binding score of another voice is the
highest).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polytalk.casting.active_speaker import MouthMeter, speaker_scores
from polytalk.casting.people.outlines import face_of
from polytalk.errors import PolytalkError
from polytalk.generation.explain_drawing import OverlayPainter, Sight
from polytalk.media.output import check_target, replace_when_done, write_error
from polytalk.media.video import VideoWriter
from polytalk.pipeline.observing import MapCollector, SeenClip
from polytalk.pipeline.output import ClipOutput
from polytalk.pipeline.prepare import PreparedScene
from polytalk.scene import Box
from polytalk.units import FPS, TEMPORAL_STRIDE

VIDEO, FIGURES = "explain.mp4", "explain.json"
"""Names of the files in the folder."""
SCORED = 3 * FPS
"""Frames, ending with a clip, that its binding scores look at: a short clip alone says little."""
_ENOUGH = FPS
"""Frames below which there is no score, and
"""
_ENOUGH_TO_WARN = 2 * FPS
"""below which nobody is warned."""
_SPOKEN = FPS // 2
"""Frames that two voices must sound for before a mouth is said to follow the wrong one."""
_FOLLOWS, _MARGIN = 0.25, 0.15
"""A mouth follows another's voice if it correlates so much with it, and by so much more than with its own."""
_STILL = 0.01
"""A mouth whose motion varies by less follows nobody."""
_BOUND = 0.5
"""Share of somebody's places below which their face is said to be bound wrongly."""


@dataclass(frozen=True)
class PersonBinding:
    """One person in one clip. None where the network made no map: one person alone, or somebody without a voice."""

    own_mask: float | None
    """Share of the places given as this person that are bound to this person."""
    mask_bound_to: list[float] | None
    """The same to each person in turn, and last to the background."""
    confidence: float | None
    """Share of the blocks that agree, where a place is bound to this person; None where none is."""
    attention: float | None
    """Share of the attention that places given as this person pay to this person's place in the first frame."""
    binding: list[float | None]
    """Correlation of the mouth's motion with each voice in turn, over the last seconds."""


@dataclass(frozen=True)
class ExplainedClip:
    """One clip."""

    clip: int
    """Place in the video, from 0."""
    start: float
    """Seconds of its first new frame."""
    end: float
    """Seconds."""
    scored_from: float
    """Second from which the binding scores look."""
    people: list[PersonBinding]
    """In the scene's order."""
    warnings: list[str]
    """What is wrong, in words."""
    own_mask_by_step: list[list[float]] = field(default_factory=list)
    """Share of the own mask's places, per step that was looked at and person with a voice."""


@dataclass
class ExplainReport:
    """All clips, and the whole video."""

    names: list[str]
    """Of the people, in the scene's order."""
    clips: list[ExplainedClip] = field(default_factory=list)
    """In order."""
    binding: list[list[float | None]] = field(default_factory=list)
    """Person x voice over the whole video; None where there is too little to say."""
    warnings: list[str] = field(default_factory=list)
    """Of the whole video."""

    def to_json(self) -> str:
        """One object."""
        return json.dumps({"format": "polytalk.explain", "version": 1, "fps": FPS, **asdict(self)}, indent=1)

    def print(self, console: Console | None = None) -> None:
        """A table with a row for each clip and person, and the warnings."""
        console = console or Console()
        table = Table(title="what the model sees")
        for name in ("clip", "seconds", "person", "own places", "blocks agree"):
            table.add_column(name, justify="left" if name == "person" else "right")
        names = [escape(name) for name in self.names]
        for name in names:
            table.add_column(f"follows {name}", justify="right")
        for clip in self.clips:
            for number, person in enumerate(clip.people):
                place = (f"{clip.clip + 1}", f"{clip.start:.1f}-{clip.end:.1f}") if number == 0 else ("", "")
                shares = (_percent(person.own_mask), _percent(person.confidence))
                table.add_row(*place, names[number], *shares, *(_score(value) for value in person.binding))
        for number, row in enumerate(self.binding):
            table.add_row("all" if number == 0 else "", "", names[number], "", "", *(_score(v) for v in row))
        console.print(table)
        for warning in dict.fromkeys([w for clip in self.clips for w in clip.warnings] + self.warnings):
            console.print(f"[yellow]warning:[/] {escape(warning)}")


class Explainer:
    """Writes what the model sees while a video is being made, clip by clip, in constant memory.

    Example:
        explainer = Explainer(prepared, "why")
        clips = pipe.stream(prepared, observer=explainer.observer)
        for clip in explainer.follow(clips):
            ...

    Args:
        prepared: the scene that is made.
        folder: where to; made if it is not there.
        names: of the people; numbers by default.
        every_step: look at every step of the sampler, not at the last one only.
        faces: everybody's face, brows to chin, in pixels of the video's first frame; None: found in the picture, else
            taken from the middle of everybody's place.
        force: overwrite what is there.

    Raises:
        PolytalkError: the folder cannot be made, or holds an explanation.
    """

    def __init__(
        self,
        prepared: PreparedScene,
        folder: str | Path,
        *,
        names: Sequence[str] | None = None,
        every_step: bool = False,
        faces: Sequence[Box] | None = None,
        force: bool = False,
    ) -> None:
        self.folder, self.force = explain_folder(folder, force=force), force
        self.prepared, self.observer = prepared, MapCollector(every_step)
        people = len(prepared.masks)
        self.report = ExplainReport(list(names or (f"speaker {number + 1}" for number in range(people))))
        """Grows clip by clip."""
        self._voices = _voices(prepared)
        self._motion = np.zeros((people, 0), np.float32)
        self._faces = faces
        self._meter: MouthMeter | None = None
        self._shown: float | None = None

    def follow(self, clips: Iterable[ClipOutput]) -> Iterator[ClipOutput]:
        """Hand on each clip after its part of the overlay is written; the files are whole after the last one.

        Raises:
            PolytalkError: a file cannot be written.
        """
        height, width = self.prepared.pixels.shape[:2]
        painter = OverlayPainter((height, width), self.report.names, self._voices)
        sound = self.prepared.sound
        with VideoWriter(self.folder / VIDEO, FPS, sound.samples, sound.sample_rate, force=self.force) as writer:
            for clip in clips:
                self._explain(clip)
                for frame in self._painted(painter, clip):
                    writer.write(frame)
                yield clip
            scores = self._scores(0, self._motion.shape[1])
            self.report.binding = _rows(scores)
            self.report.warnings = self._wrong_voices(scores, 0, self._motion.shape[1], "over the whole video")
        with replace_when_done(self.folder / FIGURES, force=self.force) as path:
            path.write_text(self.report.to_json() + "\n", encoding="utf-8")

    def _explain(self, clip: ClipOutput) -> None:
        """Measure a clip's mouths, and add its figures to the report."""
        meter = self._meter_for(clip)
        motion = np.stack([meter.add(frame) for frame in clip.frames], axis=1)
        self._motion = np.concatenate([self._motion, motion], axis=1)
        stop = clip.start + len(clip.frames)
        first = max(0, min(clip.start, stop - SCORED))
        scores, steps = self._scores(first, stop), self.observer.of_clip(clip.index)
        people = _bindings(steps[-1] if steps else None, scores)
        span = f"from {first / FPS:.1f} to {stop / FPS:.1f} s"
        warnings = self._wrong_places(people, f"in clip {clip.index + 1}")
        warnings += self._wrong_voices(scores, first, stop, span)
        by_step = [[_own_share(seen, number) for number in range(len(seen.people))] for seen in steps]
        self.report.clips.append(
            ExplainedClip(clip.index, clip.start / FPS, stop / FPS, first / FPS, people, warnings, by_step)
        )

    def _meter_for(self, clip: ClipOutput) -> MouthMeter:
        """Follows the mouths from the picture that the clip shows; anew where that is another one than before."""
        middle = clip.start + len(clip.frames) / 2
        shown = next((p for p in reversed(self.prepared.pictures) if p.start <= middle / FPS), None)
        start = 0.0 if shown is None else shown.start
        if self._meter is None or start != self._shown:
            pixels, masks = (
                (self.prepared.pixels, self.prepared.masks) if shown is None else (shown.pixels, shown.masks)
            )
            faces = (
                self._faces if shown is None and self._faces is not None else face_boxes(pixels, masks.cpu().numpy())
            )
            self._meter, self._shown = MouthMeter(faces), start
            self._meter.add(pixels)  # the first frame is compared with the picture
        return self._meter

    def _painted(self, painter: OverlayPainter, clip: ClipOutput) -> Iterator[np.ndarray]:
        steps, told = self.observer.of_clip(clip.index), self.report.clips[-1]
        seen, scores = (steps[-1] if steps else None), _array(told.people)
        sights: dict[int, Sight] = {}
        for place, frame in enumerate(clip.frames):
            number, sight = clip.start + place, None
            if seen is not None:
                latent = -(-(number - seen.clip.start) // TEMPORAL_STRIDE)
                sight = sights.get(latent) or sights.setdefault(latent, _sight(seen, latent, len(self.report.names)))
            note = f"clip {clip.index + 1}, {number / FPS:.2f} s" + ("" if seen or len(scores) == 1 else ", no map")
            yield painter.paint(frame, number, sight, self._motion[:, : number + 1], scores, note)

    def _scores(self, first: int, stop: int) -> np.ndarray:
        """Person x voice over some frames, NaN where there is too little to say."""
        motion, voices = self._motion[:, first:stop], self._voices[:, first:stop]
        # the measure takes the root of an amplitude; loudness here is even to the ear already
        scores = speaker_scores(motion, np.square(voices), _ENOUGH)
        still = motion.std(axis=1) < _STILL
        return np.where(still[:, None] & np.isfinite(scores), 0.0, scores)

    def _wrong_places(self, people: Sequence[PersonBinding], when: str) -> list[str]:
        names, warnings = [*self.report.names, "the background"], []
        for number, person in enumerate(people):
            if person.own_mask is None or person.mask_bound_to is None or person.own_mask >= _BOUND:
                continue
            other = max((n for n in range(len(names)) if n != number), key=person.mask_bound_to.__getitem__)
            warnings.append(
                f"{when} only {person.own_mask:.0%} of {names[number]}'s places are bound to {names[number]}; "
                f"{person.mask_bound_to[other]:.0%} are bound to {names[other]}"
            )
        return warnings

    def _wrong_voices(self, scores: np.ndarray, first: int, stop: int, when: str) -> list[str]:
        if stop - first < _ENOUGH_TO_WARN:
            return []
        names, warnings = self.report.names, []
        spoken = (self._voices[:, first:stop] > 0).sum(axis=1) >= _SPOKEN
        for person, row in enumerate(scores):
            others = [v for v in range(len(row)) if v != person and spoken[v] and np.isfinite(row[v])]
            if not others or not spoken[person] or not np.isfinite(row[person]):
                continue
            best = max(others, key=row.__getitem__)
            if row[best] >= _FOLLOWS and row[best] > row[person] + _MARGIN:
                warnings.append(
                    f"{when} {names[person]}'s mouth follows {names[best]}'s voice ({row[best]:.2f}) more than the own "
                    f"({row[person]:.2f})"
                )
        return warnings


def explain_folder(folder: str | Path, *, force: bool = False) -> Path:
    """The folder of an explanation, made if need be.

    Raises:
        PolytalkError: it cannot be made, or the files are there and `force` is off.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise PolytalkError(str(folder), "this is a file", "Name a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error
    for name in (VIDEO, FIGURES):
        check_target(folder / name, force=force)
    return folder


def face_boxes(pixels: np.ndarray, masks: np.ndarray) -> list[Box]:
    """Everybody's face, brows to chin: the largest one found in the place, else where it is if the place is a head.

    Args:
        pixels: uint8 (height, width, 3).
        masks: bool (P, height / stride, width / stride).
    """
    from polytalk.casting.people.find import find_people

    height, width = pixels.shape[:2]
    stride = height / masks.shape[1]
    try:
        found = [person.face for person in find_people(pixels, expected=len(masks))]
    except PolytalkError:  # the detectors' weights are no part of every installation
        found = []
    faces = []
    for mask in masks:
        inside = [face for face in found if _covers(mask, face, stride)]
        ys, xs = np.nonzero(mask)
        place = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else (0, 0, width / stride, height / stride)
        left, top, right, bottom = (round(edge) for edge in face_of(tuple(float(edge * stride) for edge in place)))  # type: ignore[arg-type]
        guess = Box(max(0, left), max(0, top), min(width, max(left + 1, right)), min(height, max(top + 1, bottom)))
        faces.append(max(inside, key=lambda face: (face.right - face.left) * (face.bottom - face.top), default=guess))
    return faces


def _covers(mask: np.ndarray, face: Box, stride: float) -> bool:
    """Whether a face's middle lies in a mask."""
    row, column = (int((low + high) / 2 / stride) for low, high in ((face.top, face.bottom), (face.left, face.right)))
    return bool(mask[min(row, mask.shape[0] - 1), min(column, mask.shape[1] - 1)])


def _voices(prepared: PreparedScene) -> np.ndarray:
    """How loud everybody is while they speak, 0..1: float32 (P, T)."""
    shape = (len(prepared.masks), prepared.num_frames)
    loud = np.ones(shape, np.float32) if prepared.loudness is None else np.asarray(prepared.loudness, np.float32)
    return loud if prepared.activity is None else loud * prepared.activity


def _bindings(seen: SeenClip | None, scores: np.ndarray) -> list[PersonBinding]:
    rows = _rows(scores)
    if seen is None:
        return [PersonBinding(None, None, None, None, row) for row in rows]
    people, labels = [], seen.labels
    for person, row in enumerate(rows):
        if person not in seen.people:
            people.append(PersonBinding(None, None, None, None, row))
            continue
        number = seen.people.index(person)
        bound = labels == number
        to = [0.0] * (len(rows) + 1)
        for place, other in enumerate([*seen.people, len(rows)]):
            to[other] = _mean(labels[:, seen.masks[number]] == place)
        agreed = _mean(seen.votes[number][bound]) if bool(bound.any()) else None
        attention = _mean(seen.shares[number][:, seen.masks[number]])
        people.append(PersonBinding(to[person], to, agreed, attention, row))
    return people


def _own_share(seen: SeenClip, number: int) -> float:
    return _mean(seen.labels[:, seen.masks[number]] == number)


def _sight(seen: SeenClip, latent: int, people: int) -> Sight:
    """One latent frame of a clip, with the scene's people in place of the clip's classes."""
    grid = seen.masks.shape[1:]
    heat, given = np.zeros((people, *grid), np.float32), np.zeros((people, *grid), bool)
    person_of = np.array([*seen.people, people])
    for number, person in enumerate(seen.people):
        heat[person] = seen.shares[number, latent].float().numpy()
        given[person] = seen.masks[number].numpy()
    return Sight(heat, person_of[seen.labels[latent].numpy()], given)


def _mean(values: Any) -> float:
    return round(float(values.float().mean()), 4) if values.numel() else 0.0


def _rows(scores: np.ndarray) -> list[list[float | None]]:
    return [[round(float(v), 4) if math.isfinite(v) else None for v in row] for row in scores]


def _array(people: Sequence[PersonBinding]) -> np.ndarray:
    return np.array([[math.nan if v is None else v for v in person.binding] for person in people])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
