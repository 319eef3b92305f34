"""Where eyes, brows and mouths are in photographs and paintings, by MediaPipe's face mesh: the lids' own curves, too.

The network of `polytalk.postprocess.face_points` knows drawn people best, and an eye as an ellipse. Large photographs
show the difference, so that their faces are looked at again here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from polytalk.casting.people.faces import SURE, Face, find_faces
from polytalk.postprocess.face import Eye, FacePoints, Head

UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (362, 398, 384, 385, 386, 387, 388, 466, 263))
"""Points of the mesh along the lids' edges, from left to right in the picture, left eye first, as all that follows."""
LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (362, 382, 381, 380, 374, 373, 390, 249, 263))
BROWS = ((53, 52, 65), (295, 282, 283))
"""Lower edges."""
LIPS = 61, 291, 0, 17
"""Corners of the mouth, and the middle of both lips' outer edges."""
WIDEST = 1.25
"""Half-width of the widest mouth over that of the one that is seen."""
LARGEST = 512
"""Pixels of a side of the square around a head that is searched."""
ROOM = 1.5
"""That side in heights of the head's box."""
LEAST_HEIGHT = 100
"""Pixels of a head's box below which lids have no curves to speak of."""
NARROWEST = 0.55
"""Half-width of one eye over the other's below which a face is a profile, whose far eye the mesh makes up."""
AGREE = 0.35
"""Distances of the eyes within which both ways to find them must agree, where the detector is not sure."""
FLAT, LOOKED_AT = 0.55, 96
"""Share of pixels that are as their neighbours to one level from which on a face, so many pixels wide, is a flat
drawing: the mesh finds eyes in it, too, but its lids are those of people."""


def mesh_points(
    picture: np.ndarray, heads: Sequence[Head], found: Sequence[FacePoints | None]
) -> list[FacePoints | None]:
    """Features of the faces in a picture: by the mesh, where it knows them, else as they were found; None for profiles.

    Args:
        picture: uint8 (H, W, 3).
        heads: of everybody.
        found: their features as `find_points` sees them.

    Raises:
        PolytalkError: the models are not installed.
    """
    return [_looked_at(picture, head, face) for head, face in zip(heads, found, strict=True)]


def _looked_at(picture: np.ndarray, head: Head, known: FacePoints | None) -> FacePoints | None:
    if head.height < LEAST_HEIGHT:
        return known
    if _is_flat(picture, head):
        return known
    side = ROOM * head.height
    left, top = (max(0, int(middle - side / 2)) for middle in (head.x, head.y))
    part = picture[top : int(head.y + side / 2), left : int(head.x + side / 2)]
    shrink = max(1.0, max(part.shape[:2]) / LARGEST)
    size = (round(part.shape[1] / shrink), round(part.shape[0] / shrink))
    faces = [face for face in find_faces(np.asarray(Image.fromarray(part).resize(size))) if face.landmarks is not None]
    if not faces:
        return known
    face = min(faces, key=lambda each: _far(each, size))
    assert face.landmarks is not None
    points = _points(face.landmarks * shrink + np.array([left, top], np.float32))
    if face.score < SURE and known is not None and not _agree(points, known):
        return known
    narrow, wide = sorted(eye.half_width for eye in points.eyes)
    return points if narrow > NARROWEST * wide else None


def _is_flat(picture: np.ndarray, head: Head) -> bool:
    half = 0.3 * head.height
    box = (int(head.x - half), int(head.y - half), int(head.x + half), int(head.y + half))
    face = Image.fromarray(picture).crop(box).resize((LOOKED_AT, LOOKED_AT), Image.Resampling.BOX)
    pixels = np.asarray(face).astype(int)
    same = [(np.abs(np.diff(pixels, axis=axis)).max(axis=-1) <= 1).mean() for axis in (0, 1)]
    return float(np.mean(same)) > FLAT


def _far(face: Face, size: tuple[int, int]) -> float:
    left, top, right, bottom = face.box
    return float(np.hypot((left + right - size[0]) / 2, (top + bottom - size[1]) / 2))


def _points(mesh: np.ndarray) -> FacePoints:
    """From (468, 2) in pixels."""
    middles = [mesh[list(upper + lower)].mean(axis=0) for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True)]
    across = middles[1] - middles[0]
    right = across / max(float(np.hypot(*across)), 1e-6)
    axes = np.stack([right, [-right[1], right[0]]])
    eyes = [_eye(mesh, number, axes) for number in (0, 1)]
    one, other, upper, lower = mesh[list(LIPS)]
    middle = (one + other + upper + lower) / 4
    return FacePoints(
        (eyes[0], eyes[1]), float(middle[0]), float(middle[1]), WIDEST / 2 * float(np.hypot(*(other - one)))
    )


def _eye(mesh: np.ndarray, number: int, axes: np.ndarray) -> Eye:
    """One eye; ``axes`` are the face's right and down."""
    upper, lower = mesh[list(UPPER_LIDS[number])], mesh[list(LOWER_LIDS[number])]
    middle = (upper[0] + upper[-1]) / 2
    upper, lower, brow = ((points - middle) @ axes.T for points in (upper, lower, mesh[list(BROWS[number])]))
    half_width = float(max(upper[-1, 0] - upper[0, 0], 2) / 2)
    along = np.linspace(-half_width, half_width, len(upper))
    edges = [np.interp(along, points[:, 0], points[:, 1]) for points in (upper, lower)]
    half_height = float(max((edges[1] - edges[0]).max() / 2, 0.15 * half_width))
    brow_x, brow_y = brow.mean(axis=0) @ axes + middle
    lids = (tuple(map(float, edges[0] / half_height)), tuple(map(float, edges[1] / half_height)))
    return Eye(float(middle[0]), float(middle[1]), half_width, half_height, float(brow_x), float(brow_y), lids)


def _agree(points: FacePoints, known: FacePoints) -> bool:
    """Whether both show the same face: cartoons can deceive the mesh."""
    unit = float(np.hypot(known.eyes[1].x - known.eyes[0].x, known.eyes[1].y - known.eyes[0].y))
    pairs = zip(points.eyes, known.eyes, strict=True)
    return all(np.hypot(eye.x - other.x, eye.y - other.y) < AGREE * unit for eye, other in pairs)
