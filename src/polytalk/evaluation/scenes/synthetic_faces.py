"""Drawn people in chosen poses, with the truth about eyes, head and hand: what face readers learn from.

`draw_clip` keeps poses to itself; here a character, its poses and what is behind it are given, so that blinks can be
left out, heads turned at will, and the same person seen twice before different backgrounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import skia

from polytalk.synthetic.backgrounds import MARGIN, draw_background
from polytalk.synthetic.characters.character import Character, Pose
from polytalk.synthetic.characters.vector.kit import raster
from polytalk.synthetic.picture_io import bundled_pictures
from polytalk.synthetic.scene_config import SceneConfig

SIZE = (144, 256)
"""Height and width of the frames, as mini's."""
BACKGROUNDS = tuple(name for name, _ in SceneConfig().backgrounds)
READ = ("blink", "gaze_x", "gaze_y", "yaw", "pitch", "roll", "smile", "brow", "hand", "hand_angle")
"""Fields of `Pose` that a face reader reads, in its order."""


@dataclass(frozen=True)
class SyntheticFaces:
    """One person in N poses."""

    frames: np.ndarray
    """uint8 (N, height, width, 3)."""
    face_boxes: np.ndarray
    """float32 (N, 4): left, top, right, bottom of the head in pixels."""
    mouth_boxes: np.ndarray
    """float32 (N, 4)."""
    pose: np.ndarray
    """float32 (N, len(READ)): the fields named in `READ`."""


def draw_faces(
    character: Character,
    poses: Sequence[Pose],
    rng: np.random.Generator,
    neighbour: Character | None = None,
    size: tuple[int, int] = SIZE,
) -> SyntheticFaces:
    """Draw somebody in poses before one background and in one light, both drawn from `rng`.

    Args:
        character: who.
        poses: one for each frame.
        rng: of background and light.
        neighbour: somebody else at the side who is partly behind.
        size: height and width of the frames.
    """
    height, width = size
    kind = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    background, _ = draw_background(rng, kind, width, height, bundled_pictures())
    page = np.zeros((height, width, 4), np.uint8)
    canvas = raster(page, opaque=True).getCanvas()
    frames = np.empty((len(poses), height, width, 3), np.uint8)
    tint = rng.uniform(0.88, 1.0, 3) * rng.uniform(0.8, 1.0)
    left, top = round(MARGIN * width), round(MARGIN * height)
    side = rng.choice([-1.0, 1.0]) * rng.uniform(0.95, 1.4)
    for row, pose in enumerate(poses):
        canvas.drawImage(background, -left, -top, skia.SamplingOptions())
        if neighbour is not None:
            neighbour.draw(canvas, Pose(pose.x + side * pose.size, pose.y, pose.size * 0.95, yaw=-0.3 * side))
        character.draw(canvas, pose)
        frames[row] = (page[..., 2::-1] * tint).round()
    found = [character.geometry(pose) for pose in poses]
    return SyntheticFaces(
        frames,
        np.array([each.face for each in found], np.float32),
        np.array([each.mouth for each in found], np.float32),
        np.array([[getattr(pose, name) for name in READ] for pose in poses], np.float32),
    )


def random_poses(rng: np.random.Generator, count: int, size: tuple[int, int] = SIZE) -> list[Pose]:
    """Poses of one person in one place: every reading spread wide, many eyes closed, half of the mouths open."""
    height, width = size
    head = float(rng.uniform(0.3, 0.85)) * height
    x, y = float(rng.uniform(0.3, 0.7)) * width, float(rng.uniform(0.42, 0.58)) * height
    side, poses = float(rng.choice([-1.0, 1.0])), []
    for _ in range(count):
        raised = rng.random() < 0.3
        poses.append(
            Pose(
                x=x + float(rng.normal(0, 0.05)) * head,
                y=y + float(rng.normal(0, 0.03)) * head,
                size=head * float(rng.uniform(0.92, 1.1)),
                roll=float(rng.normal(0, 0.14)),
                yaw=float(rng.uniform(-1, 1)) if rng.random() < 0.7 else float(rng.normal(0, 0.2)),
                pitch=float(np.clip(rng.normal(0, 0.45), -1, 1)),
                lean=float(rng.normal(0, 0.03)),
                opening=float(rng.uniform(0, 1)) if rng.random() < 0.5 else 0.0,
                width=float(rng.uniform(0.1, 1.0)),
                rounding=float(rng.uniform(0, 1)) if rng.random() < 0.3 else 0.0,
                smile=float(rng.uniform(-0.3, 1.0)),
                blink=float(rng.choice([0.0, rng.uniform(0, 1), 1.0], p=[0.5, 0.25, 0.25])),
                gaze_x=float(np.clip(rng.normal(0, 0.5), -1, 1)),
                gaze_y=float(np.clip(rng.normal(0, 0.35), -1, 1)),
                brow=float(rng.uniform(-1, 1)) if rng.random() < 0.7 else 1.0,
                hand=float(rng.uniform(0.0, 1.0)) if raised and rng.random() < 0.4 else float(raised),
                hand_angle=float(rng.uniform(-0.4, 0.4)) if raised else 0.0,
                hand_side=side,
            )
        )
    return poses
