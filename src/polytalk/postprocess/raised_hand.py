"""A raised hand beside a head, painted into finished frames in the colours of who raises it.

Nothing in the picture shows the hand that a prompt asks for, and a model as small as the carried one does not make one
up. So it is painted as the drawn scenes of the training draw it: a forearm in the colour of the clothes, a palm, four
fingers and a thumb towards the head in that of the cheeks, with darker outlines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from polytalk.postprocess.face import FacePoints, Head

ASIDE, LOW, RISE = 0.60, 2.0, 1.62
"""Where the wrist is: so far beside the head's middle, so far below it when out of sight, and how far it rises; in
heads, as all that follows."""
ROOM, WRIST_ABOVE = 0.22, 0.10
"""How far a raised hand's wrist stays from the picture's sides, and from its lower edge."""
FULL = 0.3
"""How far a hand is raised when it is fully seen, where it would be seen hanging."""
SLANT = 8.0
"""Degrees by which a forearm leans outwards."""
OUTLINE = 0.016
"""Width of outlines."""
DARKER, SHADED = 0.62, 0.90
"""Colour of outlines, and of the side away from the light, over that of what they surround."""
_FINGERS = ((0.165, -15.0), (0.20, -5.0), (0.20, 5.0), (0.165, 15.0))
"""Length and degrees of each, from left to right."""
Capsule = tuple[float, float, float, float, float]
"""x and y of both ends, and the radius around the line between them."""


def play_hand(
    video: np.ndarray, picture: np.ndarray, head: Head, face: FacePoints, track: Mapping[str, np.ndarray],
    frames: Sequence[int], ways: np.ndarray, size: float,
) -> None:  # fmt: skip
    """Paint somebody's raised hand into a video, uint8 (T, H, W, 3), in place.

    Args:
        video: what is painted into.
        picture: uint8 (H, W, 3), where the colours are taken from.
        head: whose hand, in the picture, as `face`.
        face: their features.
        track: hand (0 out of sight to 1 up), hand_angle and hand_side, see `polytalk.motion.idle`.
        frames: of the track, T.
        ways: (T,) pixels to the right that the person has walked.
        size: height of the head without the room around it, over that of its box.
    """
    unit = head.height * size
    skin, sleeve = _skin(picture, face), _clothes(picture, head)
    # where even a hand that hangs would be seen, it appears little by little
    hangs_in_view = head.y + (LOW - 0.4) * unit < picture.shape[0]
    for row, frame in enumerate(frames):
        raised = float(track["hand"][frame])
        if raised > 0.02:
            side = 1.0 if track["hand_side"][frame] > 0 else -1.0
            wrist = _wrist(head, float(ways[row]), side, min(raised, 1.0), unit, picture.shape)
            angle = np.radians(side * SLANT) + float(track["hand_angle"][frame])
            before = video[row].astype(np.float32) if hangs_in_view and raised < FULL else None
            _paint(video[row], wrist, angle, unit, side, skin, sleeve)
            if before is not None:
                video[row] = (before + raised / FULL * (video[row] - before)).round().astype(np.uint8)


def _wrist(
    head: Head, way: float, side: float, raised: float, unit: float, shape: Sequence[int]
) -> tuple[float, float]:
    """Where the wrist is: beside the head, as far as the picture has room, and high enough to be seen."""
    height, width = shape[:2]
    x = head.x + way + side * ASIDE * unit
    if 0 < head.x + way < width:
        room = ROOM * unit
        x = max(min(x, width - room), head.x + way) if side > 0 else min(max(x, room), head.x + way)
    up = min(head.y + (LOW - RISE) * unit, height - WRIST_ABOVE * unit)
    low = head.y + LOW * unit
    return x, low + (up - low) * raised


def _paint(
    frame: np.ndarray, wrist: tuple[float, float], angle: float, unit: float, side: float, skin: np.ndarray,
    sleeve: np.ndarray,
) -> None:  # fmt: skip
    height, width = frame.shape[:2]
    left, right = (int(np.clip(wrist[0] + way * 1.5 * unit, 0, width)) for way in (-1, 1))
    top = int(np.clip(wrist[1] - 0.5 * unit, 0, height))
    if right <= left or top >= height:
        return
    y, x = np.mgrid[top:height, left:right] + 0.5
    x, y = (x - wrist[0]) / unit, (y - wrist[1]) / unit
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = cos * x + sin * y, cos * y - sin * x
    part = frame[top:height, left:right].astype(np.float32)
    forearm = (0.0, 0.30, 0.0, 2.2, 0.12)
    palm = (0.0, -0.04, 0.0, 0.04, 0.115)
    thumb = _finger(0.028, 0.16, -48.0 * side, -0.1 * side, 0.04)
    below = [(0.0, 0.1, 0.0, 0.24, 0.085), palm]
    fingers = [
        _finger(0.033, length, degrees, -0.084 + 0.056 * place, -0.09)
        for place, (length, degrees) in enumerate(_FINGERS)
    ]
    part = _covered(part, [_distance(x, y, forearm)], x, unit, sleeve)
    part = _covered(part, [_distance(x, y, shape) for shape in (*below, *fingers, thumb)], x, unit, skin)
    for shape in fingers[:-1]:  # lines between fingers
        line = np.abs(_distance(x, y, shape)) * unit
        inside = _distance(x, y, palm) > 0.01
        near = (np.clip(0.5 * OUTLINE * unit + 0.5 - line, 0, 1) * inside * (_distance(x, y, shape) < 0.01))[..., None]
        hand = np.min([_distance(x, y, other) for other in (*below, *fingers, thumb)], axis=0)
        part = part + 0.5 * near * (hand < -OUTLINE)[..., None] * (DARKER * skin - part)
    frame[top:height, left:right] = part.round().clip(0, 255).astype(np.uint8)


def _finger(radius: float, length: float, degrees: float, x: float, y: float) -> Capsule:
    """A finger whose root is at x, y."""
    way = np.radians(degrees)
    tip = length - radius
    return x, y, x + float(np.sin(way)) * tip, y - float(np.cos(way)) * tip, radius


def _distance(x: np.ndarray, y: np.ndarray, shape: Capsule) -> np.ndarray:
    """From the rim of a capsule, negative inside."""
    from_x, from_y, to_x, to_y, radius = shape
    way_x, way_y = to_x - from_x, to_y - from_y
    share = np.clip(((x - from_x) * way_x + (y - from_y) * way_y) / max(way_x**2 + way_y**2, 1e-9), 0, 1)
    return np.hypot(x - from_x - share * way_x, y - from_y - share * way_y) - radius


def _covered(
    part: np.ndarray, distances: Sequence[np.ndarray], x: np.ndarray, unit: float, colour: np.ndarray
) -> np.ndarray:
    """A picture with one shape over it, shaded to one side, with an outline."""
    distance = np.min(distances, axis=0) * unit
    cover, rim = np.clip(0.5 - distance, 0, 1), np.clip(distance + OUTLINE * unit + 0.5, 0, 1)
    light = 1 - (1 - SHADED) * np.clip(0.5 + 4 * x, 0, 1)
    shade = light + (DARKER - light) * rim
    return part + cover[..., None] * (shade[..., None] * colour - part)


def _skin(picture: np.ndarray, face: FacePoints) -> np.ndarray:
    """(3,) colour of the cheeks."""
    found = []
    for eye in face.eyes:
        x, y = (eye.x * 0.8 + face.mouth_x * 0.2), (eye.y + face.mouth_y) / 2
        found.append(_patch(picture, x, y, max(1.0, 0.6 * eye.half_width)))
    return np.median(np.concatenate(found), axis=0)


def _clothes(picture: np.ndarray, head: Head) -> np.ndarray:
    """(3,) colour of what is worn below the neck; of the picture's last rows where that is outside."""
    y = min(head.y + 0.78 * head.height, picture.shape[0] - 3)
    return np.median(_patch(picture, head.x, y, 0.06 * head.height), axis=0)


def _patch(picture: np.ndarray, x: float, y: float, reach: float) -> np.ndarray:
    """Pixels (n, 3) around a place."""
    height, width = picture.shape[:2]
    top, left = int(np.clip(y - reach, 0, height - 2)), int(np.clip(x - reach, 0, width - 2))
    rows, columns = slice(top, max(top + 2, int(y + reach))), slice(left, max(left + 2, int(x + reach)))
    return picture[rows, columns].reshape(-1, 3).astype(np.float32)
