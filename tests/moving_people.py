"""Synthetic people in motion, for the measures of what faces do."""

import numpy as np

from polytalk.motion.gestures import Tracks
from polytalk.synthetic.characters.character import Pose


def track_poses(tracks: Tracks, mouth: np.ndarray, place: tuple[float, float], head: float) -> list[Pose]:
    """The poses of a person in motion.

    Args:
        tracks: as `polytalk.synthetic.motion.idle` makes them.
        mouth: (T, 3) opening, width, rounding.
        place: x, y of the head's centre at rest, pixels.
        head: its height in pixels.
    """
    poses = []
    for index, (opening, width, rounding) in enumerate(mouth.tolist()):
        value = {name: float(np.clip(track[index], -1, 1)) for name, track in tracks.items() if name != "scale"}
        grown = head * float(tracks["scale"][index])
        x, y = place[0] + head * value.pop("dx"), place[1] + head * value.pop("dy") + 0.25 * (grown - head)
        poses.append(Pose(x=x, y=y, size=grown, opening=opening, width=width, rounding=rounding, **value))
    return poses
