"""How good is a talking video, whoever made it? `polytalk evaluate video` needs the file and the voices, no truth.

Mouths are read from the pixels, by MediaPipe's face mesh where it takes somebody for a face and by our own reader in
drawings. What each voice asks of a mouth is heard from its sound. The first frame stands for the picture.
"""

from __future__ import annotations

import json as json_text
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from polytalk.casting.found import FoundPerson
from polytalk.casting.people.faces import Face, find_faces, follow_mesh
from polytalk.casting.people.find import people_of
from polytalk.casting.people.geometry import Rect
from polytalk.casting.people.outlines import LIPS, face_of
from polytalk.conditioning.activity import voice_activity
from polytalk.conditioning.speech import speech_tracks
from polytalk.errors import PolytalkError
from polytalk.evaluation.measures.metrics import (
    BackgroundPSNR,
    FaceAppearanceDistance,
    FaceSharpness,
    SilentMotion,
    sync_matrix,
)
from polytalk.evaluation.readers.mouth_reader import MouthReader
from polytalk.evaluation.readers.voice_reader import VoiceReader
from polytalk.evaluation.reports.contact_sheet import contact_sheet
from polytalk.evaluation.reports.output import cell, plain
from polytalk.media.audio import load_audio
from polytalk.media.video import read_video
from polytalk.scene import Box, Scene, Speaker
from polytalk.units import FPS, SAMPLE_RATE

CHANCE_SHIFTS = (0.31, 0.47, 0.63)
"""Parts of the length by which voices are moved to learn what chance gives."""
WIDEST = 0.6
"""Lips' gap over the mouth's width, of a mesh, that counts as wide open."""
MOUTH_HEIGHT, MOUTH_WIDTH = 0.78, 0.42
"""Where mouths are in drawn faces from brows to chin, and how wide, as shares of the face."""


@dataclass(frozen=True)
class VideoReport:
    """What `evaluate_video` found of P people and V voices; NaN where nothing could be measured."""

    video: str
    seconds: float
    people: list[str]
    sync: list[list[float]]
    """P rows of V correlations of a mouth with what a voice asks for, while that voice speaks."""
    chance: float
    """The same with voices moved in time: what a mouth gets that moves without hearing."""
    silence: list[float]
    """Motion of each mouth while its voice is silent, over that while it speaks."""
    identity: list[float]
    """Distance of each face to the first frame's, 0 the same."""
    sharpness: list[float]
    """Gradients in each face over the first frame's."""
    background: float
    """dB, of what is not near anybody, against the first frame."""

    def to_json(self) -> str:
        """One object; NaN becomes null."""
        return json_text.dumps(plain(asdict(self)), ensure_ascii=False)

    def print(self, console: Console | None = None) -> None:
        """A row for each person."""
        console = console or Console()
        if not console.is_terminal:
            console.width = 130  # a file has room for whole lines
        table = Table(title=f"{self.video}: {self.seconds:.1f} s")
        table.add_column("who")
        for voice in range(len(self.sync[0])):
            table.add_column(f"follows voice {voice + 1}", justify="right")
        for name in ("moves in silence", "face drifts", "sharpness"):
            table.add_column(name, justify="right")
        for number, name in enumerate(self.people):
            rest = (self.silence[number], self.identity[number], self.sharpness[number])
            table.add_row(name, *(cell(value, ".2f") for value in (*self.sync[number], *rest)))
        console.print(table)
        background = f"{self.background:.1f} dB" if math.isfinite(self.background) else "nothing to see of it"
        console.print(f"Background: {background}. By chance a mouth follows a voice by {self.chance:.2f}.")


def evaluate_video(
    frames: np.ndarray, fps: float, voices: np.ndarray, people: Sequence[FoundPerson], video: str = "video"
) -> VideoReport:
    """Measure a video.

    Args:
        frames: uint8 (T, H, W, 3).
        fps: frames a second.
        voices: float32 (V, samples), 16 kHz, in the order of the people.
        people: found in the first frame.
        video: its name.
    """
    opening, centre = read_mouths(frames, people)
    asked, speaking = heard(voices, len(frames), fps)
    first = np.array([_edges(person.face) for person in people], np.float64)
    moved = centre - centre[:1]
    boxes = first + np.concatenate([moved, moved], axis=-1)
    own = range(min(len(people), len(voices)))
    return VideoReport(
        video,
        len(frames) / fps,
        [person.name for person in people],
        sync_matrix(opening, asked, speaking).tolist(),
        _chance(opening, asked, speaking),
        [_silence(opening[:, n], speaking[:, n]) if n in own else math.nan for n in range(len(people))],
        [_of_face(FaceAppearanceDistance(), frames, boxes[:, n : n + 1]) for n in range(len(people))],
        [_of_face(FaceSharpness(), frames, boxes[:, n : n + 1]) for n in range(len(people))],
        _background(frames, people),
    )


def read_mouths(frames: np.ndarray, people: Sequence[FoundPerson]) -> tuple[np.ndarray, np.ndarray]:
    """Openings (T, P), 0..1, and centres (T, P, 2) in pixels of everybody's mouth."""
    track = MouthReader.from_pretrained().follow([frames], [np.array([_mouth_box(person) for person in people])])[0]
    opening, centre = track.opening.copy(), track.centre.astype(np.float64)
    faces = find_faces(frames[0]) if any(person.landmarks is not None for person in people) else []
    for number, person in enumerate(people):
        face = _same_face(faces, person)
        if face is None:
            continue
        lips = follow_mesh(frames, face)[:, LIPS]
        gap = np.linalg.norm(lips[:, 0] - lips[:, 1], axis=1) / np.linalg.norm(lips[:, 2] - lips[:, 3], axis=1)
        opening[:, number] = (gap / WIDEST).clip(0, 1)
        centre[:, number] = lips.mean(axis=1)
    return opening, centre


def heard(voices: np.ndarray, count: int, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Openings that voices (V, samples) ask for, and whether they speak: both (count, V), in frames of the video."""
    frames = max(1, math.ceil(count * FPS / fps))
    missing = max(0, frames * SAMPLE_RATE // FPS - voices.shape[1])
    tracks = np.pad(voices, ((0, 0), (0, missing)))[:, : frames * SAMPLE_RATE // FPS]
    asked, speaking = VoiceReader.from_pretrained()(tracks)[..., 0], voice_activity(tracks, frames)
    times = np.arange(count) * FPS / fps
    nearest = times.round().astype(int).clip(0, frames - 1)
    return np.stack([np.interp(times, np.arange(frames), row) for row in asked], axis=1), speaking[:, nearest].T


def _edges(box: Box) -> Rect:
    return float(box.left), float(box.top), float(box.right), float(box.bottom)


def _mouth_box(person: FoundPerson) -> Rect:
    if person.landmarks is not None:
        lips = person.landmarks[list(LIPS)]
        (x, y), half = lips.mean(axis=0), float(np.ptp(lips[:, 0])) / 2
        return float(x) - half, float(y) - half, float(x) + half, float(y) + half
    left, top, right, bottom = face_of(_edges(person.head))
    x, y, half = (left + right) / 2, top + MOUTH_HEIGHT * (bottom - top), MOUTH_WIDTH * (right - left) / 2
    return x - half, y - half, x + half, y + half


def _same_face(faces: Sequence[Face], person: FoundPerson) -> Face | None:
    """The face of somebody whom the mesh knows."""
    if person.landmarks is None:
        return None
    middle = person.landmarks.mean(axis=0)
    away = {
        n: float(np.hypot(*(face.landmarks.mean(axis=0) - middle)))
        for n, face in enumerate(faces)
        if face.landmarks is not None
    }
    return faces[min(away, key=away.__getitem__)] if away else None


def _chance(opening: np.ndarray, asked: np.ndarray, speaking: np.ndarray) -> float:
    found = []
    for share in CHANCE_SHIFTS:
        shift = round(share * len(asked))
        matrix = sync_matrix(opening, np.roll(asked, shift, axis=0), np.roll(speaking, shift, axis=0))
        found += matrix[np.isfinite(matrix)].tolist()
    return float(np.mean(found)) if found else math.nan


def _silence(opening: np.ndarray, speaking: np.ndarray) -> float:
    measure = SilentMotion()
    measure.update(opening[:, None], speaking[:, None])
    return float(measure.compute())


def _of_face(measure: FaceAppearanceDistance | FaceSharpness, frames: np.ndarray, boxes: np.ndarray) -> float:
    measure.update(frames, frames[0], boxes)
    return float(measure.compute())


def _background(frames: np.ndarray, people: Sequence[FoundPerson]) -> float:
    near = np.zeros(frames.shape[1:3], bool)
    for person in people:
        left, top, right, bottom = _edges(person.body)
        room = 0.15 * (right - left)
        rows, columns = (slice(max(0, int(a - room)), max(0, int(b + room))) for a, b in ((top, bottom), (left, right)))
        near[rows, columns] = True
    measure = BackgroundPSNR()
    measure.update(frames, frames[0], near)
    return math.nan if near.all() else float(measure.compute())


def run_video(
    video: Path,
    speakers: Sequence[Path],
    boxes: Sequence[str] = (),
    arrangement: str = "together",
    json: bool = False,
    sheet: Path | None = None,
) -> VideoReport:
    """`polytalk evaluate video`.

    Args:
        video: file to measure.
        speakers: everybody's voice, from left to right or in the order of the boxes.
        boxes: x0,y0,x1,y1 of everybody in pixels of the video; found when there are none.
        arrangement: as the voices were given to the generator, see `Scene`.
        json: print one JSON object.
        sheet: PNG with eight frames.

    Raises:
        PolytalkError: a file cannot be read, boxes do not fit, or fewer people are found than speak.
    """
    if not speakers:
        raise PolytalkError("--speaker", "there is none", "Name everybody's voice, from left to right.")
    if boxes and len(boxes) != len(speakers):
        raise PolytalkError("--box", f"{len(boxes)} boxes for {len(speakers)} voices", "Give each speaker a box.")
    frames, fps = read_video(video)
    places: list[Box | None] = [*map(Box.parse, boxes)] if boxes else [None] * len(speakers)
    cast = tuple(Speaker(path, box=place) for path, place in zip(speakers, places, strict=True))
    people = people_of(Scene(frames[0], speakers=cast, arrangement=arrangement))
    voiced = zip(people, speakers, strict=True)
    named = [replace(person, name=f"{n}: {path.stem}") for n, (person, path) in enumerate(voiced, 1)]
    voices = speech_tracks([load_audio(path, "speaker") for path in speakers], arrangement)
    report = evaluate_video(frames, fps, voices, named, video.name)
    if json:
        print(report.to_json())
    else:
        report.print()
    if sheet is not None:
        contact_sheet([frames], sheet, columns=8)
    return report
