"""The geometry of a compact 3-D head: expression weights, rotation, shading and painter's order, by numpy alone.

Lengths are head heights (chin to crown = 1), x to the viewer's right, y down, z towards the viewer.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from polytalk.assets import asset
from polytalk.errors import PolytalkError
from polytalk.synthetic.characters.character import Pose

SHAPES: dict[str, dict[str, float]] = {
    name: dict.fromkeys(parts.split(), 1.0)
    for name, parts in {
        "jaw": "jawOpen", "funnel": "mouthFunnel", "pucker": "mouthPucker",
        "stretch": "mouthStretchLeft mouthStretchRight", "smile": "mouthSmileLeft mouthSmileRight",
        "frown": "mouthFrownLeft mouthFrownRight", "close": "mouthClose",
        "upper_up": "mouthUpperUpLeft mouthUpperUpRight", "lower_down": "mouthLowerDownLeft mouthLowerDownRight",
        "blink": "eyeBlinkLeft eyeBlinkRight", "brow_up": "browInnerUp browOuterUpLeft browOuterUpRight",
        "brow_down": "browDownLeft browDownRight",
    }.items()
}  # fmt: skip
"""Our expression shapes as sums of ARKit blendshapes."""

SHAPE_NAMES = tuple(SHAPES)
GAP = 0.42
"""Height of the gap between the lips at opening 1, in widths of the relaxed mouth."""
YAW, PITCH = 0.62, 0.42
"""Radians at yaw 1 and pitch 1."""
MOUTH_SCALE = 1.15
"""Mouths are drawn larger than life by this, so that they are read at small sizes."""
_EYE_DISTANCE = 4.5
"""Distance of the viewer in head heights (mild perspective)."""


@dataclass(frozen=True)
class HeadBank:
    """Identities that share topology and expression shapes."""

    neutral: np.ndarray
    """(I, V, 3)."""
    shapes: np.ndarray
    """(I, K, V, 3), in the order of `SHAPE_NAMES`; scaled as the identity is."""
    faces: np.ndarray
    """(F, 3) int."""
    lips: np.ndarray
    """(V,) 0..1."""
    lids: np.ndarray
    """(V,) 0..1."""
    ears: np.ndarray
    """(V,) 0..1."""
    openness: np.ndarray
    """(V,) share of the sky seen, 0..1."""
    mouth_ring: np.ndarray
    """Vertices around the mouth's hole, from the viewer's left corner over the upper lip."""
    eye_rings: tuple[np.ndarray, np.ndarray]
    """Vertices around the eyes' holes, from the viewer's left corner over the upper lid."""
    eyes: np.ndarray
    """(I, 2, 4) centre and radius of the eyeballs, the one on the viewer's left first."""
    people: tuple[dict[str, Any], ...]
    """Gender, age, weight and origin of each identity."""

    def __len__(self) -> int:
        return len(self.neutral)


def _rotated(ring: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """The ring from its leftmost vertex over its upper half."""
    ring = np.roll(ring, -int(np.argmin(vertices[ring, 0])))
    half = len(ring) // 2
    if vertices[ring[1:half], 1].mean() > vertices[ring[half + 1 :], 1].mean():
        ring = np.concatenate([ring[:1], ring[:0:-1]])
    return ring


@functools.lru_cache(maxsize=8)
def load_heads(path: Path | None = None) -> HeadBank:
    """Heads from a file of `heads3d_build.save`, or the ones Polytalk carries.

    Raises:
        PolytalkError: the file is missing or is no file of heads.
    """
    source = path if path is not None else asset("heads.npz")
    try:
        with source.open("rb") as stream, np.load(stream) as arrays:
            data = {name: arrays[name] for name in arrays.files}
        neutral = data["neutral"].astype(np.float64)
        shapes = data["shapes"].astype(np.float64)
        people = tuple(json.loads(data["people"].tobytes()))
        eyes = data["eyes"].astype(np.float64)
        rings = [data[name].astype(np.int64) for name in ("mouth_ring", "left_ring", "right_ring")]
        masks = [data[name].astype(np.float32) / 255 for name in ("lips", "lids", "ears", "openness")]
        faces = data["faces"].astype(np.int64)
    except (OSError, KeyError, ValueError) as error:
        remedy = "make it with tools/heads3d_build.py"
        raise PolytalkError(str(source), f"cannot be read as 3-D heads ({error})", remedy) from error
    scaled, scales, grown = [], [], []
    for index, vertices in enumerate(neutral):
        origin, height = _frame(vertices, eyes[index])
        scaled.append((vertices - origin) / height)
        scales.append(1 / height)
        eyes[index, :, :3] = (eyes[index, :, :3] - origin) / height
        eyes[index, :, 3] /= height
    for vertices, scale in zip(scaled, scales, strict=True):
        ring = vertices[rings[0]].mean(axis=0)
        reach = np.exp(-((np.linalg.norm((vertices - ring) * (1.0, 1.5, 0.6), axis=1) / 0.16) ** 4))[:, None]
        vertices[:, :2] += ((MOUTH_SCALE - 1) * reach * (vertices - ring))[:, :2]
        grown.append(shapes * (scale * (1 + (MOUTH_SCALE - 1) * reach)))
    masks[3] = _evened(masks[3], faces, masks[0])
    ordered = [_rotated(ring, neutral[0]) for ring in rings]
    return HeadBank(
        neutral=np.stack(scaled).astype(np.float32),
        shapes=np.stack(grown).astype(np.float32),
        faces=faces,
        lips=masks[0],
        lids=masks[1],
        ears=masks[2],
        openness=masks[3],
        mouth_ring=ordered[0],
        eye_rings=(ordered[1], ordered[2]),
        eyes=eyes,
        people=people,
    )


def _evened(openness: np.ndarray, faces: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Openness without the grain of its sampling; the lips keep the dark line between them."""
    count = len(openness)
    degree = np.maximum(np.bincount(faces.ravel(), minlength=count), 1)
    even = openness
    for _ in range(2):
        near = even[faces].mean(axis=1)
        even = np.bincount(faces.ravel(), weights=np.repeat(near, 3), minlength=count) / degree
    mixed = np.where(lips > 0.5, 0.5 * (openness + even), even)
    return np.clip(mixed, 0.3, 1.0).astype(np.float32)


def _frame(vertices: np.ndarray, eyes: np.ndarray) -> tuple[np.ndarray, float]:
    """Origin (middle of chin and crown, above the neck) and height of a head in metres."""
    middle = vertices[(np.abs(vertices[:, 0]) < 0.012) & (vertices[:, 1] > eyes[:, 1].mean() + 0.055)]
    chin = middle[np.argmax(middle[:, 1] + 0.9 * middle[:, 2])]
    crown = vertices[:, 1].min()
    depth = eyes[:, 2].mean() - 0.055
    return np.array([0.0, (chin[1] + crown) / 2, depth]), float(chin[1] - crown)


class HeadMesh:
    """One identity in motion: positions, normals and visible triangles for a pose."""

    def __init__(self, bank: HeadBank, index: int) -> None:
        self.bank = bank
        self.neutral = bank.neutral[index]
        self.flat_shapes = bank.shapes[index].reshape(len(SHAPE_NAMES), -1)
        self.eyes = bank.eyes[index]
        corners = bank.faces.ravel()
        count = len(bank.faces)
        shape = (len(self.neutral), count)
        places = corners, np.repeat(np.arange(count), 3)
        self._gather = sparse.csr_matrix((np.ones(3 * count, np.float32), places), shape)
        self.normals = self._normals(self.neutral)
        # the neck's lower end stays with the body
        chin = 0.5
        self.follow = np.clip((chin + 0.36 - self.neutral[:, 1]) / 0.36, 0, 1)[:, None] ** 1.5
        ring = bank.mouth_ring
        self.mouth_centre = self.neutral[ring].mean(axis=0)
        self.mouth_width = float(np.ptp(self.neutral[bank.lips > 0.5, 0]))
        self._measure_gap()

    def _measure_gap(self) -> None:
        """How much each shape parts the lips: the visible edges of the two lips near the middle line."""
        lips = np.flatnonzero((self.bank.lips > 0.5) & (np.abs(self.neutral[:, 0]) < 0.13 * self.mouth_width))
        jaw = self.flat_shapes[SHAPE_NAMES.index("jaw")].reshape(-1, 3)[lips, 1]
        lower = lips[jaw > 0.5 * jaw.max()]
        upper = np.setdiff1d(lips, lower)
        self.upper_edge = upper[np.argsort(self.neutral[upper, 1])[-3:]]
        self.lower_edge = lower[np.argsort(self.neutral[lower, 1])[:3]]
        move = self.flat_shapes.reshape(len(SHAPE_NAMES), -1, 3)[:, :, 1]
        self.parting = move[:, self.lower_edge].mean(axis=1) - move[:, self.upper_edge].mean(axis=1)
        self.rest_gap = float(self.neutral[self.lower_edge, 1].mean() - self.neutral[self.upper_edge, 1].mean())

    def weights(self, pose: Pose) -> np.ndarray:
        """(K,) weights of `SHAPE_NAMES`. The jaw makes up what the other shapes leave of the wanted gap, so that the
        gap between the lips is `GAP` mouth widths times the opening whatever the rest of the face does."""
        given = {
            "funnel": 0.75 * pose.rounding * min(1.0, 0.25 + pose.opening),
            "pucker": 0.85 * pose.rounding,
            "stretch": max(0.0, pose.width - 0.5) * 0.9,
            "smile": 0.62 * max(0.0, pose.smile) + max(0.0, pose.width - 0.5) * 0.35,
            "frown": 0.8 * max(0.0, -pose.smile),
            "upper_up": 0.35 * pose.opening,
            "lower_down": 0.3 * pose.opening,
            "blink": pose.blink,
            "brow_up": max(0.0, pose.brow),
            "brow_down": max(0.0, -pose.brow),
        }
        if pose.width < 0.5:
            given["pucker"] += (0.5 - pose.width) * 0.7
        weight = np.array([given.get(name, 0.0) for name in SHAPE_NAMES], dtype=np.float32)
        jaw = SHAPE_NAMES.index("jaw")
        wanted = GAP * self.mouth_width * pose.opening - self.rest_gap - float(weight @ self.parting)
        weight[jaw] = wanted / self.parting[jaw]
        return weight

    def positions(self, pose: Pose) -> np.ndarray:
        """(V, 3) vertices in this expression, the head upright."""
        return self.neutral + (self.weights(pose) @ self.flat_shapes).reshape(-1, 3)

    def _normals(self, vertices: np.ndarray) -> np.ndarray:
        a, b, c = (vertices[self.bank.faces[:, corner]] for corner in range(3))
        first, second = b - a, c - a
        # written out: numpy's cross is several times slower on small arrays
        turns = ((1, 2), (2, 0), (0, 1))
        face = np.stack([second[:, i] * first[:, j] - second[:, j] * first[:, i] for i, j in turns], axis=1)
        normals = self._gather @ face
        return normals / (np.sqrt((normals * normals).sum(axis=1, keepdims=True)) + 1e-9)


def rotation(pose: Pose) -> np.ndarray:
    """(3, 3) matrix that turns, nods and tilts: `vertices @ rotation(pose).T`."""
    yaw, pitch, roll = YAW * pose.yaw, PITCH * pose.pitch, pose.roll
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    cos, sin = np.cos(pitch), np.sin(pitch)
    nod = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
    cos, sin = np.cos(roll), np.sin(roll)
    tilt = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    return (tilt @ nod @ turn).astype(np.float32)


def project(vertices: np.ndarray) -> np.ndarray:
    """(V, 2) in head heights around the head's centre, in mild perspective."""
    return vertices[:, :2] * (_EYE_DISTANCE / (_EYE_DISTANCE - vertices[:, 2:3]))


def visible_faces(flat: np.ndarray, depth: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Triangles that face the viewer, farthest first; (G, 3)."""
    a, b, c = flat[faces[:, 0]], flat[faces[:, 1]], flat[faces[:, 2]]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    shown = faces[area < 0]
    return shown[np.argsort(depth[shown].sum(axis=1), kind="stable")]


@dataclass(frozen=True)
class Light:
    """One lamp, a sky and a rim."""

    key: np.ndarray
    """(3,) unit vector towards the lamp."""
    warm: np.ndarray
    """(3,) its colour."""
    sky: np.ndarray
    """(3,) light from above and around."""
    rim: float
    """Strength of the light from behind."""

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Light:
        """Varied light: from a side and above, warm or cool, soft or hard."""
        side = rng.uniform(0.25, 1.0) * rng.choice([-1, 1])
        key = np.array([side, -rng.uniform(0.2, 0.75), rng.uniform(0.55, 1.1)])
        warmth, hard = rng.uniform(-0.06, 0.1), rng.uniform(0.5, 0.78)
        warm = hard * np.array([1.0 + warmth, 1.0, 1.0 - warmth])
        sky = (1.02 - hard) * np.array([1.0 - 0.5 * warmth, 1.0, 1.0 + 0.5 * warmth])
        return cls(key / np.linalg.norm(key), warm, sky, float(rng.uniform(0.0, 0.3)))

    def shade(self, albedo: np.ndarray, normals: np.ndarray, openness: np.ndarray, shine: float) -> np.ndarray:
        """(V, 3) colours 0..1 of surfaces with this albedo (V, 3), unit normals (V, 3) and openness (V,)."""
        lambert = normals @ self.key.astype(np.float32)
        lit = np.clip(0.22 + 0.78 * lambert, 0, None) * (0.35 + 0.65 * openness)
        above = (0.62 - 0.38 * normals[:, 1]) * openness
        colour = albedo * (lit[:, None] * self.warm * 1.2 + above[:, None] * self.sky * 1.4)
        half = self.key + np.array([0, 0, 1])
        gloss = np.clip(normals @ (half / np.linalg.norm(half)).astype(np.float32), 0, 1) ** 24
        edge = (1 - np.clip(normals[:, 2], 0, 1)) ** 3 * np.clip(-normals @ (self.key * (1, -0.3, 0)), 0, 1)
        extra = shine * gloss * openness + self.rim * edge
        return np.clip(colour + extra[:, None] * (0.6 + 0.4 * albedo), 0, 1)
