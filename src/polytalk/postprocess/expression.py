"""Eyes that blink and look about, brows and corners of mouths that rise, in finished frames of people who stand still.

As `polytalk.postprocess.puppet` moves heads, features move with the video's own pixels: the skin above an eye is drawn
down over it, the iris is shifted between the lids, brows and corners of the mouth are pulled up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polytalk.motion.gestures import Tracks
from polytalk.postprocess.face import Eye, FacePoints

FEATURES = ("blink", "gaze_x", "gaze_y", "brow", "smile")
"""Tracks that are played here."""
GAZE = (1.0, 0.45)
"""How far the iris moves for a gaze of 1, in half-widths and half-heights of the eye; at most `FARTHEST`."""
IRIS, CORNERS, FARTHEST = 0.4, 1.15, 0.62
"""So much of the eye moves as the iris does; what is between it and the corners of the eye gives way."""
BROW, BROW_BAND, FOREHEAD = 0.21, 0.14, 0.35
"""How far brows rise for 1, how high they are at most, and how far above them the forehead gives way; in distances of
the eyes, as the next two."""
CORNER = 0.27
"""How far the corners of a smiling mouth rise."""
CHEEK = 0.08
"""How far they move apart."""
LASHES = 0.16, 0.02
"""Half of the line that shut lids leave, in half-heights of the eye, and at most in distances of the eyes."""
NO_BROWS, NO_SKIN = 0.97, 1.12
"""Brows nearer to the eyes, in their half-heights, are none, as of some animals; brows as near as the second leave no
skin between them and the lid, and the lower lid shuts the eye."""
LID_EDGE = 1.12
"""Where the edge of the upper lid is, lashes included, in half-heights above the eye's middle."""
SPEAKING = (0.80, 1.15, 1.20)
"""How far up, down and aside of the mouth speech moves a face, in distances of the eyes."""
SKIN = (0.6, 1.6)
"""Where lids are known: the part of the way to the brow that a blink stretches, and at most, in half-heights."""
PHOTOGRAPHED = 0.55
"""How much of a drawn person's brows and smiles, where lids are known: such faces are no drawings."""
UNDER_EYE = (0.35, 1.0)
"""Skin as light as a shut lid is so far below the lower lid, in half-heights; and how near the lid comes to it."""
STILL = 0.02
"""Changes below are not shown."""


def play_features(
    video: np.ndarray, picture: np.ndarray, faces: Sequence[FacePoints | None], tracks: Sequence[Tracks],
    frames: Sequence[int],
) -> np.ndarray:  # fmt: skip
    """A video whose people stand still and look as its picture shows them, with eyes, brows and smiles that move.

    Args:
        video: uint8 (T, H, W, 3).
        picture: uint8 (H, W, 3).
        faces: of everybody; None stays as it is.
        tracks: of everybody, see `polytalk.motion.idle.pose_signal`; in their frame 0 everybody looks as
            the picture shows them, but with open eyes.
        frames: of the tracks, T.

    Returns:
        uint8 (T, H, W, 3).
    """
    moved = video.copy()
    for face, track in zip(faces, tracks, strict=True):
        if face is None:
            continue
        told = changes(track, frames)
        rows = np.flatnonzero(np.max([np.abs(values) for values in told.values()], axis=0) > STILL)
        if not len(rows):
            continue
        part = _around(face, video.shape[1:3])
        shown = moved[:, part[0], part[1]][rows]
        now = {name: torch.from_numpy(values[rows]).float().view(-1, 1, 1) for name, values in told.items()}
        lashes = _lash_colour(picture, face)
        moved[rows[:, None, None], np.r_[part[0]][:, None], np.r_[part[1]]] = _changed(shown, face, now, part, lashes)
    return moved


def distance_from_mouth(face: FacePoints, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far places, in pixels, are from a mouth, 1 at the rim of what speech moves: cheeks, jaw, chin and the neck
    below."""
    one, other = face.eyes
    turn, unit = np.arctan2(other.y - one.y, other.x - one.x), _unit(face)
    u = (x - face.mouth_x) * np.cos(turn) + (y - face.mouth_y) * np.sin(turn)
    v = (y - face.mouth_y) * np.cos(turn) - (x - face.mouth_x) * np.sin(turn)
    up, low, aside = SPEAKING
    return np.hypot(u / (aside * unit), v / (np.where(v < 0, up, low) * unit))


def changes(track: Tracks, frames: Sequence[int]) -> dict[str, np.ndarray]:
    """What features do in frames, each (T,): eyelids as they are, all else since frame 0."""
    rows, found = list(frames), {}
    for name in FEATURES:
        values = track[name][rows] if name in track else np.zeros(len(rows))
        found[name] = values if name == "blink" or name not in track else values - track[name][0]
    return found


def _around(face: FacePoints, size: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns that hold all that moves in a face."""
    unit = _unit(face)
    xs = [eye.x for eye in face.eyes] + [face.mouth_x]
    ys = [eye.y for eye in face.eyes] + [eye.brow_y for eye in face.eyes] + [face.mouth_y]
    left, right = min(xs) - 1.1 * unit, max(xs) + 1.1 * unit
    top, bottom = min(ys) - 0.9 * unit, max(ys) + 0.8 * unit
    height, width = size
    rows = slice(min(max(0, int(top)), height - 1), max(1, min(height, int(bottom) + 1)))
    return rows, slice(min(max(0, int(left)), width - 1), max(1, min(width, int(right) + 1)))


def _unit(face: FacePoints) -> float:
    """Distance of the eyes; of faces that are turned away, as much as the mouth allows."""
    one, other = face.eyes
    return max(float(np.hypot(other.x - one.x, other.y - one.y)), 1.2 * face.mouth_half_width, 1.0)


def _changed(
    shown: np.ndarray, face: FacePoints, now: Mapping[str, Tensor], part: tuple[slice, slice], lashes: Tensor
) -> np.ndarray:
    """A face's part of frames, uint8 (T, h, w, 3), with changed features; ``now`` holds (T, 1, 1) of each."""
    height, width = shown.shape[1:3]
    y, x = torch.meshgrid(
        torch.arange(height) + 0.5 + part[0].start, torch.arange(width) + 0.5 + part[1].start, indexing="ij"
    )
    one, other = face.eyes
    turn, unit = np.arctan2(other.y - one.y, other.x - one.x), _unit(face)
    right, down = (float(np.cos(turn)), float(np.sin(turn))), (-float(np.sin(turn)), float(np.cos(turn)))

    def along(px: float, py: float) -> tuple[Tensor, Tensor]:
        """Places from a point, to the right and down as the face is turned, pixels."""
        return (x - px) * right[0] + (y - py) * right[1], (x - px) * down[0] + (y - py) * down[1]

    aside, below = torch.zeros(len(shown), height, width), torch.zeros(len(shown), height, width)
    lines, lifted = torch.zeros(len(shown), height, width), torch.zeros(len(shown), height, width)
    light = torch.zeros(len(shown), 3, height, width)
    gain = 1.0 if face.eyes[0].lids is None else PHOTOGRAPHED
    gap = float(np.mean([(eye.y - eye.brow_y) / eye.half_height for eye in face.eyes]))
    for eye in face.eyes:
        u, v = along(eye.x, eye.y)
        thick = min(LASHES[0], LASHES[1] * unit / eye.half_height)
        shift_u, shift_v, line, lid = _eye(u / eye.half_width, v / eye.half_height, eye, thick, gap, now)
        aside += shift_u * eye.half_width
        below += shift_v * eye.half_height
        lines = torch.maximum(lines, line)
        if eye.lids is not None:
            light += lid[:, None] * _lighter(shown, eye, (u / eye.half_width, v / eye.half_height))
        if gap > NO_BROWS:  # half where eyes shut: both would pull at the same skin
            lift = _brow(
                *along(eye.brow_x, eye.brow_y), eye, unit, gain * now["brow"] * (1 - 0.8 * now["blink"].clamp(0, 1))
            )
            lifted = torch.where(lift.abs() > lifted.abs(), lift, lifted)
    below += lifted
    u, v = along(face.mouth_x, face.mouth_y)
    corner = _bump((u.abs() - 0.8 * face.mouth_half_width) / (0.5 * unit)) * _bump(v / (0.45 * unit))
    corner = corner * (u / face.mouth_half_width).abs().clamp(max=1) ** 1.5
    below += CORNER * unit * gain * now["smile"] * corner
    aside -= CHEEK * unit * gain * now["smile"] * corner * u.sign()
    from_x = x - part[1].start + aside * right[0] + below * down[0]
    from_y = y - part[0].start + aside * right[1] + below * down[1]
    pixels = torch.from_numpy(np.ascontiguousarray(shown)).permute(0, 3, 1, 2).float()
    grid = torch.stack([2 * from_x / width - 1, 2 * from_y / height - 1], dim=-1)
    found = F.grid_sample(pixels, grid, mode="bicubic", padding_mode="border", align_corners=False)
    found += light
    if bool((lines > 0).any()):
        found = torch.lerp(found, lashes.view(1, 3, 1, 1), lines[:, None])
    return found.permute(0, 2, 3, 1).round().clamp(0, 255).to(torch.uint8).numpy()


def _eye(
    u: Tensor, v: Tensor, eye: Eye, lashes: float, gap: float, now: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where pixels around one eye come from, (T, h, w): to the right and down, in the eye's half-axes; how much of
    each is the line of shut lids, of a half-width of ``lashes``; and how far down the lid it is. u and v (h, w) are
    places, ``gap`` is the distance to the brow, in the same unit."""
    gaze_x, gaze_y = (
        (gain * now[name]).clamp(-FARTHEST, FARTHEST) for gain, name in zip(GAZE, ("gaze_x", "gaze_y"), strict=True)
    )
    gaze_x = gaze_x * ((1.3 - v.abs()) / 0.5).clamp(0, 1)
    share = torch.where(
        u > gaze_x, (CORNERS - u) / (CORNERS - IRIS - gaze_x), (CORNERS + u) / (CORNERS - IRIS + gaze_x)
    ).clamp(0, 1)  # of the iris's way, between it and the corners of the eye
    inside = ((CORNERS - (u.square() + v.square()).sqrt()) / (CORNERS - IRIS)).clamp(0, 1)
    arc = (1 - (u / CORNERS).square()).clamp(min=0).sqrt()
    way, edge, lower, free = _lids(u, arc, eye, gap)
    v = way * v
    if eye.lids is not None:  # lids stay where they are
        between = ((v - edge) / 0.15).clamp(0, 1) * ((lower - v) / 0.15).clamp(0, 1)
        share, inside = share * between, inside * between
    shift_u, shift_v = -gaze_x * share, -gaze_y * inside
    shut = now["blink"].clamp(0, 1)
    now_at = edge + shut * (lower - edge)
    # skin is stretched from the brow on; where there is none, from a little above the lid
    start = edge - free
    stretched = start + (v - start) * (edge - start) / (now_at - start).clamp(min=1e-3)
    above = (v > start) & (v < now_at) & (u.abs() < CORNERS)
    shift_v = torch.where(above, way * (stretched - v), shift_v)
    shift_u = torch.where(v < now_at, torch.zeros_like(shift_u), shift_u)
    near = (1 - ((v - now_at).abs() / lashes - 0.5).clamp(0, 1)) * (u.abs() < 1.02)
    lid = torch.where(above, ((v - start) / (now_at - start).clamp(min=1e-3)).clamp(0, 1), torch.zeros_like(now_at))
    return shift_u, shift_v, 0.85 * near * ((shut - 0.35) / 0.5).clamp(0, 1), lid * shut * arc


def _lids(u: Tensor, arc: Tensor, eye: Eye, gap: float) -> tuple[float, Tensor, Tensor, Tensor]:
    """Which way is down for the lid that shuts, 1 or -1; then in half-heights, for places (h, w) across an eye: its
    edge, that of the other lid, and how much skin is stretched."""
    if eye.lids is None:  # arcs, flatter than an ellipse's at their ends
        free = max(0.25, min(0.7, 0.85 * (gap - LID_EDGE))) if gap > NO_SKIN else 0.5
        return -1.0 if NO_BROWS < gap < NO_SKIN else 1.0, -LID_EDGE * arc, 0.80 * arc, free * arc.clamp(min=0.3)
    last = len(eye.lids[0]) - 1
    at = ((u + 1) * last / 2).clamp(0, last)
    before = at.floor().clamp(max=last - 1)
    edges = []
    for lid in eye.lids:
        heights = torch.tensor(lid)
        edges.append(torch.lerp(heights[before.long()], heights[before.long() + 1], at - before))
    skin = max(0.3, min(SKIN[1], SKIN[0] * (gap - 1)))
    return 1.0, edges[0] - (LID_EDGE - 1) * arc, edges[1], skin * arc


def _lighter(shown: np.ndarray, eye: Eye, place: tuple[Tensor, Tensor]) -> Tensor:
    """(3, 1, 1): how much lighter skin below an eye is than that above it, in frames uint8 (T, h, w, 3)."""
    u, v = place
    arc = (1 - (u / CORNERS).square()).clamp(min=0).sqrt()
    _, edge, lower, _ = _lids(u, arc, eye, LID_EDGE)
    pixels = torch.from_numpy(np.ascontiguousarray(shown[0])).float()
    middle = u.abs() < 0.7
    under = pixels[middle & (v > lower + UNDER_EYE[0]) & (v < lower + 2 * UNDER_EYE[0])]
    above = pixels[middle & (v < edge) & (v > edge - UNDER_EYE[0])]
    if not len(under) or not len(above):
        return torch.zeros(3, 1, 1)
    return (UNDER_EYE[1] * (under.mean(0) - above.mean(0))).clamp(0, 80).view(3, 1, 1)


def _brow(u: Tensor, v: Tensor, eye: Eye, unit: float, raised: Tensor) -> Tensor:
    """How far below them pixels around one brow come from, (T, h, w), for brows raised by (T, 1, 1); u and v (h, w) are
    places from the brow's lower edge, pixels. The skin between brow and lid is stretched, the forehead gives way."""
    gap = max(eye.y - LID_EDGE * eye.half_height - eye.brow_y, 0.03 * unit)
    most = BROW * unit * raised.clamp(-1, 1.2) * _bump((u.abs() / unit - 0.3).clamp(min=0) / 0.35)
    most = most.clamp(min=-0.5 * gap)
    stretched = most * ((gap - v) / (gap + most)).clamp(0, 1)
    above = -v - most - BROW_BAND * unit
    return torch.where(
        above > 0, most * (1 - above / (FOREHEAD * unit)).clamp(min=0), torch.where(v > -most, stretched, most)
    )


def _lash_colour(picture: np.ndarray, face: FacePoints) -> Tensor:
    """(3,): that of the darkest pixels in the eyes of a picture, uint8 (H, W, 3)."""
    found = []
    for eye in face.eyes:
        rows, columns = (
            slice(max(0, int(middle - half)), max(0, int(middle + half) + 1))
            for middle, half in ((eye.y, eye.half_height), (eye.x, eye.half_width))
        )
        found.append(picture[rows, columns].reshape(-1, 3))
    colours = np.concatenate(found).astype(np.float32)
    if not len(colours):
        return torch.zeros(3)
    light = colours.mean(axis=1)
    return torch.from_numpy(colours[light <= np.quantile(light, 0.15)].mean(axis=0))


def _bump(share: Tensor) -> Tensor:
    """1 at 0, smoothly to 0 at 1 and beyond, either way."""
    return 0.5 + 0.5 * torch.cos(np.pi * share.abs().clamp(max=1))
