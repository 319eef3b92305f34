"""What people can do when a prompt asks for it, as changes of their tracks: drawn in training data, played in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Tracks = dict[str, np.ndarray]
"""Name of a motion, e.g. yaw -> float array (frames,); places are in head heights, angles in radians."""


def ramp(count: int, start: int, end: int) -> np.ndarray:
    """0 until `start`, then smoothly to 1 at `end` (cosine)."""
    position = np.clip((np.arange(count) - start) / max(1, end - start), 0.0, 1.0)
    return 0.5 - 0.5 * np.cos(np.pi * position)


def pulse(count: int, start: int, end: int) -> np.ndarray:
    """0, smoothly to 1 in the first quarter of [start, end), held, and back in the last quarter."""
    edge = max(2, (end - start) // 4)
    held: np.ndarray = ramp(count, start, start + edge) - ramp(count, end - edge, end)
    return held


def _nods(rng: np.random.Generator, tracks: Tracks, start: int, end: int, side: float) -> None:
    count = len(tracks["pitch"])
    envelope = pulse(count, start, end)
    tracks["pitch"] += envelope * 1.5 * np.sin(2 * np.pi * (np.arange(count) - start) / 12.5)
    tracks["dy"] += envelope * 0.035 * np.sin(2 * np.pi * (np.arange(count) - start) / 12.5)


def _shakes(rng: np.random.Generator, tracks: Tracks, start: int, end: int, side: float) -> None:
    count = len(tracks["yaw"])
    envelope = pulse(count, start, end)
    tracks["yaw"] = (1 - 0.7 * envelope) * tracks["yaw"] + envelope * 0.85 * np.sin(
        2 * np.pi * (np.arange(count) - start) / 12.0
    )


def _waves(rng: np.random.Generator, tracks: Tracks, start: int, end: int, side: float) -> None:
    count = len(tracks["hand"])
    tracks["hand"] += pulse(count, start, end)
    tracks["hand_angle"] += 0.38 * np.sin(2 * np.pi * (np.arange(count) - start) / 9.0) * pulse(count, start, end)


def _raises(rng: np.random.Generator, tracks: Tracks, start: int, end: int, side: float) -> None:
    tracks["hand"] += 0.9 * pulse(len(tracks["hand"]), start, end)


def _smiles(rng: np.random.Generator, tracks: Tracks, start: int, end: int, side: float) -> None:
    envelope = ramp(len(tracks["smile"]), start, start + 8)
    tracks["smile"] = (1 - envelope) * tracks["smile"] + envelope * 1.0
    tracks["brow"] += 0.3 * envelope


def _looks(rng: np.random.Generator, tracks: Tracks, start: int, end: int, side: float) -> None:
    envelope = ramp(len(tracks["yaw"]), start, start + 9)
    tracks["yaw"] = (1 - envelope) * tracks["yaw"] + envelope * 0.95 * side
    tracks["gaze_x"] = (1 - envelope) * tracks["gaze_x"] + envelope * 0.9 * side


def _leans(rng: np.random.Generator, tracks: Tracks, start: int, end: int, side: float) -> None:
    envelope = ramp(len(tracks["scale"]), start, max(end, start + 12))
    tracks["scale"] = tracks["scale"] * (1 + 0.22 * envelope)
    tracks["dy"] += 0.05 * envelope


def _closes(rng: np.random.Generator, tracks: Tracks, start: int, end: int, side: float) -> None:
    tracks["blink"] = np.maximum(tracks["blink"], pulse(len(tracks["blink"]), start, end))


def _tilts(rng: np.random.Generator, tracks: Tracks, start: int, end: int, side: float) -> None:
    tracks["roll"] = tracks["roll"] + rng.choice([-1.0, 1.0]) * 0.28 * ramp(len(tracks["roll"]), start, start + 10)


def _brows(rng: np.random.Generator, tracks: Tracks, start: int, end: int, side: float) -> None:
    tracks["brow"] = tracks["brow"] + 1.3 * pulse(len(tracks["brow"]), start, end)


Action = Callable[[np.random.Generator, Tracks, int, int, float], None]
ACTIONS: dict[str, Action] = {
    "nods": _nods, "shakes the head": _shakes, "waves": _waves, "raises a hand": _raises, "smiles": _smiles,
    "looks to the other": _looks, "leans in": _leans, "closes the eyes": _closes, "tilts the head": _tilts,
    "raises the brows": _brows,
}  # fmt: skip
"""What one person can do: changes their tracks between two frames; the last argument is the side the others are on.
The camera's move and the walk to the other side concern more than one."""
CAMERA, WALK = "camera moves in", "walks to the other side"


def walk(
    tracks: Sequence[Tracks], places: np.ndarray, sizes: np.ndarray, walker: int, other: int, share: np.ndarray
) -> None:
    """Two people change places; the walker steps, the other makes room.

    Args:
        tracks: of everybody.
        places: (P,) where the heads are, pixels from the left.
        sizes: (P,) heights of the heads, pixels.
        walker: who walks.
        other: whose place they take.
        share: (frames,) of the way, 0 to 1.
    """
    for person, target in ((walker, other), (other, walker)):
        way = float(places[target] - places[person])
        tracks[person]["place"] = tracks[person]["place"] + way / float(sizes[person]) * share
        stride(tracks[person], share, float(np.sign(way)))


def stride(track: Tracks, share: np.ndarray, direction: float) -> None:
    """How somebody looks on their way: steps, and turned to where they go, -1 left or 1 right; share as in `walk`."""
    steps = np.abs(np.sin(np.arange(len(share)) * 2 * np.pi / 14)) * (share > 0) * (share < 1)
    moving = np.sin(np.pi * share)
    track["dy"] = track["dy"] - 0.03 * steps
    track["yaw"] = track["yaw"] * (1 - moving) + 0.6 * direction * moving


def hand_sides(places: np.ndarray, width: float) -> np.ndarray:
    """Where there is more room for a hand, (P,), -1 left or 1 right, of heads at places (P,) in a picture's width."""
    order = np.argsort(places, kind="stable")
    edges = [-0.2 * width, *places[order], 1.2 * width]
    sides = np.empty(len(places))
    for rank, person in enumerate(order, start=1):
        sides[person] = 1.0 if edges[rank + 1] - edges[rank] > edges[rank] - edges[rank - 1] else -1.0
    return sides


def zoom_in(tracks: Sequence[Tracks], start: int, end: int, factor: float = 1.2) -> None:
    """The camera moves in on everybody between two frames."""
    for track in tracks:
        track["zoom"] = track["zoom"] * (1 + (factor - 1) * ramp(len(track["zoom"]), start, end))
