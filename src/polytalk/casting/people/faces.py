"""Faces in photographs and paintings: MediaPipe's detectors and its face mesh, run by ai-edge-litert.

Two detectors look at the whole picture: one for near faces, one for far ones too; the second also looks at overlapping
tiles of large pictures, so that small faces are found. The mesh then says of each find whether it is a face, and gives
468 points of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from polytalk.casting.people.geometry import Rect, overlap, overlap_of_smaller
from polytalk.casting.people.model_files import model_file

SHORT_RANGE, FULL_RANGE, MESH = "face_detection_back.tflite", "face_detection_full_range.tflite", "face_landmark.tflite"
SIDES = {SHORT_RANGE: 256, FULL_RANGE: 192, MESH: 192}
"""Pixels of a side of the square that a model sees."""
LAYERS = {SHORT_RANGE: ((16, 2), (32, 6)), FULL_RANGE: ((4, 1),)}
"""Pixels per cell, anchors per cell."""
LEAST_SCORE = {SHORT_RANGE: 0.5, FULL_RANGE: 0.55}
"""Finds below are dropped."""
LEAST_PRESENCE = 0.4
"""What the mesh must say of a find: 0..1 that it is a face."""
SURE = 0.8
"""A find of this score counts without the mesh, which does not know profiles."""
SAME = 0.3
"""Finds that overlap by more (intersection over union) are the same face."""
TILINGS = (2, 4)
"""The longer side is divided by so many, for the tiles of large pictures."""
ROOM = 1.5
"""The mesh sees a square so much larger than the face."""
POINTS = 468


@dataclass(frozen=True, eq=False)
class Face:
    """One face; everything in pixels of the picture."""

    box: Rect
    """left, top, right, bottom: brows to chin; may leave the picture."""
    score: float
    """0..1."""
    keypoints: np.ndarray
    """float32 (6, 2): right eye, left eye, nose, mouth, right ear, left ear, of the person."""
    landmarks: np.ndarray | None = None
    """float32 (468, 2), or None where the mesh does not take it for a face."""

    def scaled(self, factor: float) -> Face:
        """The same in a picture so many times larger."""
        left, top, right, bottom = (edge * factor for edge in self.box)
        return replace(self, box=(left, top, right, bottom), keypoints=self.keypoints * np.float32(factor))


def find_faces(picture: np.ndarray) -> list[Face]:
    """The faces in a picture, surest first.

    Args:
        picture: uint8 (height, width, 3).

    Raises:
        PolytalkError: the models are not installed.
    """
    image = Image.fromarray(picture)
    models = (SHORT_RANGE, FULL_RANGE)
    found = [face for model in models for face in _detect(_shrunk(image, SIDES[model]), 1, model)]
    for parts in TILINGS:
        if max(image.size) >= parts * SIDES[FULL_RANGE]:
            found += _detect(_shrunk(image, parts * SIDES[FULL_RANGE]), parts, FULL_RANGE)
    found = [face.scaled(max(image.size)) for face in found]
    faces = []
    for face in _merged(found):
        landmarks, presence = _mesh(image, face)
        if presence >= LEAST_PRESENCE:
            faces.append(replace(face, landmarks=landmarks))
        elif face.score >= SURE:
            faces.append(face)
    return faces


def follow_mesh(frames: np.ndarray, face: Face) -> np.ndarray:
    """The mesh of one face through a video: float32 (T, 468, 2) in pixels.

    Each frame is looked at where the face was in the one before; where the mesh loses it, it stays as it was.

    Args:
        frames: uint8 (T, height, width, 3).
        face: in the first frame.
    """
    meshes: list[np.ndarray] = []
    for frame in frames:
        points, presence = _mesh(Image.fromarray(frame), face)
        if presence < LEAST_PRESENCE and meshes:
            points = meshes[-1]
        elif meshes:
            moved = points.mean(axis=0) - meshes[-1].mean(axis=0)
            (x, y), (left, top, right, bottom) = map(float, moved), face.box
            face = replace(face, box=(left + x, top + y, right + x, bottom + y), keypoints=face.keypoints + moved)
        meshes.append(points)
    return np.stack(meshes)


def _shrunk(image: Image.Image, longest: int) -> np.ndarray:
    """The picture with `longest` pixels on its longer side, float32 (height, width, 3) in −1..1."""
    scale = longest / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0), np.float32) / 127.5 - 1


def _detect(pixels: np.ndarray, parts: int, model: str) -> list[Face]:
    """Run a detector on overlapping squares of a picture; lengths as shares of the picture's longer side."""
    side, faces = SIDES[model], []
    height, width = pixels.shape[:2]
    for top in _starts(height, side):
        for left in _starts(width, side):
            square = np.full((side, side, 3), -1.0, np.float32)
            part = pixels[top : top + side, left : left + side]
            square[: part.shape[0], : part.shape[1]] = part
            for face in _decode(square, model):
                box = (face.box[0] + left, face.box[1] + top, face.box[2] + left, face.box[3] + top)
                if not _cut_by((left, top, left + side, top + side), box, (0, 0, width, height)):
                    moved = replace(face, box=box, keypoints=face.keypoints + np.array([left, top], np.float32))
                    faces.append(moved.scaled(1 / (parts * side)))
    return faces


def _starts(length: int, side: int) -> list[int]:
    """Where squares start that overlap by half or more and cover a length."""
    count = 1 if length <= side else int(np.ceil(2 * (length - side) / side)) + 1
    return [0] if count == 1 else [int(x) for x in np.linspace(0, length - side, count)]


def _decode(square: np.ndarray, model: str) -> list[Face]:
    """Run a detector on a square; lengths in its pixels."""
    side = SIDES[model]
    regressors, scores = _run(model, square)
    probability = 1 / (1 + np.exp(-np.clip(scores[:, 0], -80, 80)))
    chosen = probability >= LEAST_SCORE[model]
    values, anchors = regressors[chosen], _anchors(model)[chosen] * side
    faces = []
    for value, anchor, score in zip(values, anchors, probability[chosen], strict=True):
        low, high = value[:2] + anchor - value[2:4] / 2, value[:2] + anchor + value[2:4] / 2
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        faces.append(Face(box, float(score), (value[4:].reshape(6, 2) + anchor).astype(np.float32)))
    return faces


def _cut_by(tile: Rect, box: Rect, whole: Rect) -> bool:
    """Whether a tile's edge, other than the picture's, goes through a face: another tile shows it whole."""
    margin = 0.02 * (tile[2] - tile[0])
    before = any(box[i] < tile[i] + margin and tile[i] > whole[i] for i in (0, 1))
    return before or any(box[i] > tile[i] - margin and tile[i] < whole[i] for i in (2, 3))


@cache
def _anchors(model: str) -> np.ndarray:
    """Centres (n, 2) in 0..1, in the order of the model's output."""
    centres = []
    for stride, per_cell in LAYERS[model]:
        cells = SIDES[model] // stride
        rows, columns = np.mgrid[:cells, :cells]
        spots = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2) + 0.5
        centres.append(np.repeat(spots / cells, per_cell, axis=1).reshape(-1, 2))
    return np.concatenate(centres).astype(np.float32)


def _merged(faces: list[Face]) -> list[Face]:
    """Finds of the same face become their mean, weighted by score; a box inside another is part of the same face."""
    left, merged = sorted(faces, key=lambda face: -face.score), []
    while left:
        best = left[0]
        same = [f for f in left if overlap(best.box, f.box) > SAME or overlap_of_smaller(best.box, f.box) > 0.7]
        left = [face for face in left if not any(face is each for each in same)]
        close = [face for face in same if overlap(best.box, face.box) > 0.5] or [best]
        weights = np.array([face.score for face in close])
        box = np.average([face.box for face in close], axis=0, weights=weights)
        points = np.average([face.keypoints for face in close], axis=0, weights=weights).astype(np.float32)
        edges = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
        merged.append(Face(edges, best.score, points))
    return merged


def _mesh(image: Image.Image, face: Face) -> tuple[np.ndarray, float]:
    """Landmarks (468, 2) in pixels, and 0..1 that it is a face."""
    left, top, right, bottom = face.box
    eyes = face.keypoints[1] - face.keypoints[0]
    angle = float(np.arctan2(eyes[1], eyes[0])) if np.hypot(*eyes) > 0.15 * (right - left) else 0.0
    half = ROOM * max(right - left, bottom - top) / 2
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    side = SIDES[MESH]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    step = turn * (2 * half / side)  # pixels of the picture per pixel of the square
    # Pillow looks up every second or third pixel when it shrinks by a transform: halve the picture first.
    reduce = max(1, int(step[0, 0] ** 2 + step[1, 0] ** 2) ** 0.5)
    corner = centre - step @ np.array([side / 2, side / 2])
    area = _around(centre, half * 1.5, image.size)
    part = image.crop(area).reduce(int(reduce))
    inner, start = step / int(reduce), (corner - area[:2]) / int(reduce)
    numbers = (inner[0, 0], inner[0, 1], start[0], inner[1, 0], inner[1, 1], start[1])
    square = part.transform((side, side), Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR)
    outputs = _run(MESH, np.asarray(square, np.float32) / 255)
    points, flag = outputs[0].reshape(POINTS, 3)[:, :2], float(outputs[1].reshape(-1)[0])
    return (points @ step.T + corner).astype(np.float32), float(1 / (1 + np.exp(-np.clip(flag, -80, 80))))


def _around(centre: np.ndarray, half: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top = (int(max(0, np.floor(c - half))) for c in centre)
    right, bottom = (int(min(limit, np.ceil(c + half))) for c, limit in zip(centre, size, strict=True))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _run(model: str, square: np.ndarray) -> list[np.ndarray]:
    """A model's outputs for one square (side, side, 3), without the batch axis, larger ones first."""
    interpreter, given, outputs = _interpreter(model)
    interpreter.set_tensor(given, square[None])
    interpreter.invoke()
    return [interpreter.get_tensor(index)[0].copy() for index in outputs]


@cache
def _interpreter(model: str) -> tuple[Any, int, tuple[int, ...]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model_file(model)), num_threads=1)
    interpreter.allocate_tensors()
    outputs = sorted(interpreter.get_output_details(), key=lambda detail: -int(np.prod(detail["shape"])))
    return interpreter, interpreter.get_input_details()[0]["index"], tuple(detail["index"] for detail in outputs)
