"""From a face to the head, from the head to the body, and everybody's mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from polytalk.casting.people.drawn_faces import Figures
from polytalk.casting.people.faces import Face
from polytalk.casting.people.geometry import Rect

CROWN, CHIN, RIGHT_EDGE, LEFT_EDGE = 10, 152, 234, 454
"""Points of the mesh: hairline, chin, and the face's edges before the ears."""
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149,
        150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
"""Points of the mesh around the face."""
NOSE, LIPS = 1, (13, 14, 61, 291)
"""Points of the mesh: its tip; above and below the mouth's opening, and its corners."""
CREDIBLE = 0.6
"""Mean of what the network says inside a head, from which on its figure is believed."""


def head_of(face: Face) -> Rect:
    """The head with hair, ears and chin around a face."""
    if face.landmarks is None:
        left, top, right, bottom = face.box
        width, height = right - left, bottom - top
        # A detector's box is square, from the brows to the chin.
        return left - 0.16 * width, top - 0.55 * height, right + 0.16 * width, bottom + 0.14 * height
    points = face.landmarks
    up = points[CROWN] - points[CHIN]
    length = float(np.hypot(*up))
    crown = points[CROWN] + 0.31 * up
    across = points[LEFT_EDGE] - points[RIGHT_EDGE]
    # In profile the back of the head lies on the side from which the nose points away.
    middle = (points[LEFT_EDGE] + points[RIGHT_EDGE]) / 2
    turned = float(np.clip((points[NOSE] - middle) @ across / max(1e-6, float(across @ across)), -1, 1))
    extra = 0.16 * length
    unit = across / max(1e-6, float(np.hypot(*across)))
    right_edge = points[RIGHT_EDGE] - unit * (extra + max(0.0, turned) * 0.65 * length)
    left_edge = points[LEFT_EDGE] + unit * (extra + max(0.0, -turned) * 0.65 * length)
    # The mesh draws the nose and lips of a profile in a little.
    margin = 0.04 * length
    low = np.minimum(points.min(axis=0) - margin, np.minimum(crown, np.minimum(right_edge, left_edge)))
    high = np.maximum(points.max(axis=0) + margin, np.maximum(crown, np.maximum(right_edge, left_edge)))
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def face_of(head: Rect) -> Rect:
    """Brows to chin of a head of which nothing else is known."""
    left, top, right, bottom = head
    width, height = right - left, bottom - top
    return left + 0.14 * width, top + 0.34 * height, right - 0.14 * width, bottom - 0.02 * height


def body_of(head: Rect, mask: np.ndarray) -> Rect:
    """Head, neck and shoulders: the mask's extent, not far below the chin nor far beside the head."""
    left, top, right, bottom = head
    width, height = right - left, bottom - top
    window = np.zeros_like(mask)
    rows, columns = mask.shape
    low_x, high_x = max(0, round(left - 1.2 * width)), min(columns, round(right + 1.2 * width))
    low_y, high_y = max(0, round(top - 0.3 * height)), min(rows, round(bottom + 1.3 * height))
    window[low_y:high_y, low_x:high_x] = mask[low_y:high_y, low_x:high_x]
    ys, xs = np.nonzero(window)
    if not len(xs):
        return head
    # Stray cells of a coarse mask should not widen the box.
    inner_x, inner_y = np.percentile(xs, (0.5, 99.5)), np.percentile(ys, (0.2, 99.8))
    return (
        min(left, float(inner_x[0])),
        min(top, float(inner_y[0])),
        max(right, float(inner_x[1]) + 1),
        max(bottom, float(inner_y[1]) + 1),
    )


@dataclass(frozen=True)
class Outline:
    """What is known of somebody's shape."""

    head: Rect
    landmarks: np.ndarray | None
    """The mesh, or None."""
    drawn: bool
    """The network for drawings sees a head here, too: its figures are to be trusted."""


def masks_of(size: tuple[int, int], people: Sequence[Outline], figures: Figures) -> list[np.ndarray]:
    """Everybody's mask, head and body: what the network says is a figure, each part with the head it votes for. Around
    a photographed head, where the network may miss parts, a bust is drawn as well.

    Args:
        size: (height, width) of the picture.
        people: everybody.
        figures: what the network for drawings says of the whole picture.

    Returns:
        bool (height, width) each; they do not overlap.
    """
    if not people:
        return []
    grid = figures.probability.shape
    scale = np.array([grid[1] / size[1], grid[0] / size[0]])
    heads = [person.head for person in people]
    strength = np.stack([_strength(i, person, heads, figures, scale) for i, person in enumerate(people)])
    owner = strength.argmax(axis=0)
    masks = []
    for number, values in enumerate(strength):
        mine = np.where(owner == number, values, np.minimum(values, 0.45)).astype(np.float32)
        large = np.asarray(Image.fromarray(mine).resize(size[::-1], Image.Resampling.BILINEAR))
        masks.append(large > 0.5)
    return masks


def _strength(number: int, person: Outline, heads: Sequence[Rect], figures: Figures, scale: np.ndarray) -> np.ndarray:
    """How surely each cell is this person, 0..1, float32 (rows, columns)."""
    grid, head = figures.probability.shape, person.head
    core = _filled(grid, [_ellipse(head, 0.82)], scale)
    if person.landmarks is not None:
        core = np.maximum(core, _filled(grid, _face_parts(person.landmarks), scale))
    near = _filled(grid, _bust(head, 1.7), scale)
    figure = figures.probability * _belongs(number, heads, figures) * (near > 0)
    inside = core > 0
    credible = inside.any() and figures.probability[inside].mean() > CREDIBLE
    bust = 0.8 * _filled(grid, _bust(head), scale)
    whole = figure if credible and person.drawn else np.maximum(figure, bust) if credible else bust
    return np.maximum(whole, 0.97 * core).astype(np.float32)


def _face_parts(points: np.ndarray) -> list[np.ndarray]:
    """Outlines of the face, and of discs around nose and mouth, which a profile's mesh draws in a little."""
    radius = 0.13 * float(np.hypot(*(points[CROWN] - points[CHIN])))
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    disc = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return [points[list(OVAL)], *(points[place] + disc for place in (NOSE, *LIPS))]


def _belongs(number: int, heads: Sequence[Rect], figures: Figures) -> np.ndarray:
    """0..1 for each cell: it votes for this head, rather than for another one."""
    distances = np.stack([_distance(head, figures.centre) for head in heads])
    nearest = distances.min(axis=0)
    return np.where(distances[number] <= nearest, np.where(nearest < 1.6, 1.0, 0.0), 0.0)


def _distance(head: Rect, spots: np.ndarray) -> np.ndarray:
    """From places (rows, columns, 2) to a head's centre, in heads."""
    middle = np.array([(head[0] + head[2]) / 2, (head[1] + head[3]) / 2])
    size = np.array([max(1.0, head[2] - head[0]), max(1.0, head[3] - head[1])])
    return np.hypot(*np.moveaxis((spots - middle) / size, -1, 0))


def _ellipse(head: Rect, share: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    middle = np.array([(head[0] + head[2]) / 2, (head[1] + head[3]) / 2])
    half = share * np.array([(head[2] - head[0]) / 2, (head[3] - head[1]) / 2])
    return middle + half * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _bust(head: Rect, widen: float = 1.0) -> list[np.ndarray]:
    """Outlines of a head, its neck and its shoulders, down to two heads below the chin, or as much further."""
    left, top, right, bottom = head
    middle, width, height = (left + right) / 2, right - left, bottom - top
    offsets = [(0.28, -0.15), (0.3, 0.12), (0.75, 0.3), (1.0, 0.55), (1.08, 1.1), (1.08, 2.0)]
    side = [(middle + widen * x * width, bottom + (y if y < 0.5 else widen * y) * height) for x, y in offsets]
    other = [(2 * middle - x, y) for x, y in reversed(side)]
    return [_ellipse(head, widen), np.array(side + other)]


def _filled(shape: tuple[int, ...], outlines: Sequence[np.ndarray], scale: np.ndarray) -> np.ndarray:
    """Outlines in pixels of the picture, filled on the grid, float32 (rows, columns) 0..1."""
    fine = 4
    canvas = Image.new("L", (shape[1] * fine, shape[0] * fine))
    draw = ImageDraw.Draw(canvas)
    for outline in outlines:
        draw.polygon([tuple(spot) for spot in (outline * scale * fine).tolist()], fill=255)
    return np.asarray(canvas.reduce(fine), np.float32) / 255
