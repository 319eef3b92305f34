"""Heads of a finished video moved as people move (`Puppets`): the last thing that is done to a clip.

The network draws everybody where the picture shows them, so that each mouth stays in its place in the latents, and
nothing that moves is blurred by the autoencoder or wears off from clip to clip. Sway, turns, nods, steps and the camera
are played afterwards, with the video's own pixels, as a plane that is bent around each head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from polytalk.motion.gestures import Tracks
from polytalk.postprocess.cut_out import cut_out
from polytalk.postprocess.expression import distance_from_mouth, play_features
from polytalk.postprocess.face import FacePoints, Head
from polytalk.postprocess.face_points import find_points
from polytalk.postprocess.raised_hand import play_hand

PIVOT = 0.49
"""Heads roll around a point so far below their middle; in box heights, as all that follows."""
SIZE = 0.88
"""Height of a head, the unit of its motion, in heights of the box around it."""
GROWTH = 0.15
"""Heads that grow rise from the shoulders: how far their middle sinks per relative growth."""
YAW, PITCH = 0.15, 0.06
"""How far features move across a face for each radian of a turn or nod."""
REACH = 0.75
"""Half-axis of what moves with a head, vertical; it fades from 0.6 of that on."""
FACE = (0.34, 0.42)
"""Half-axes of a face's features."""
RIM = 0.08
"""How far beyond the outlines of those who walk the picture is painted over."""
HEAD, FADE = (0.50, 0.60), 0.35
"""Half-axes of a head that speaks whose face is not found; and in which part of them it fades into what only is."""
AT_ONCE = 16_000_000
"""Pixels of frames that are worked on at once."""
STEP = 4
"""Pixels between the places for which motion is worked out."""


Look = Callable[[np.ndarray, Sequence[Head], Sequence[FacePoints | None]], list[FacePoints | None]]


class Puppets:
    """The people of a picture, whose heads move in videos in which they stand as the picture shows them.

    Args:
        picture: uint8 (H, W, 3).
        heads: of all people in it.
        look: at their faces again, as `polytalk.casting.people.mesh_points.mesh_points` does.
    """

    def __init__(self, picture: np.ndarray, heads: Sequence[Head], look: Look | None = None) -> None:
        self.picture, self.heads, self._look = picture, heads, look

    @cached_property
    def _faces(self) -> list[FacePoints | None]:
        found = find_points(self.picture, self.heads)
        return found if self._look is None else self._look(self.picture, self.heads, found)

    @cached_property
    def _covers(self) -> np.ndarray:
        """How much of each pixel shows each person, (P, H, W); for those who walk."""
        return cut_out(self.picture, self.heads)

    @cached_property
    def speaking(self) -> np.ndarray:
        """How much of each pixel speech changes, float32 (H, W), 0..1: the lower halves of faces, or heads whose faces
        are not found."""
        height, width = self.picture.shape[:2]
        x, y = (pixels.numpy() for pixels in _pixels((height, width)))
        share = np.zeros((height, width), np.float32)
        for head, face in zip(self.heads, self._faces, strict=True):
            if face is None:
                far = np.hypot((x - head.x) / (HEAD[0] * head.height), (y - head.y) / (HEAD[1] * head.height))
            else:
                far = distance_from_mouth(face, x, y)
            share = np.maximum(share, np.clip((1 - far) / FADE, 0, 1))
        return share

    def move(self, video: np.ndarray, tracks: Sequence[Tracks], origin: int, frames: Sequence[int]) -> np.ndarray:
        """A video whose people only speak, with all else that they do.

        Args:
            video: uint8 (T, H, W, 3).
            tracks: of everybody, see `polytalk.motion.idle.pose_signal`; in their frame 0 faces are at
                rest.
            origin: frame of the tracks in which everybody is where the picture shows them.
            frames: of the tracks, T.

        Returns:
            uint8 (T, H, W, 3).
        """
        frames, count = list(frames), max(1, AT_ONCE // (video.shape[1] * video.shape[2]))
        parts = [
            self._moved(video[start : start + count], tracks, origin, frames[start : start + count])
            for start in range(0, len(video), count)
        ]
        return np.concatenate(parts) if parts else video.copy()

    def _moved(self, video: np.ndarray, tracks: Sequence[Tracks], origin: int, frames: Sequence[int]) -> np.ndarray:
        heads, changes = self.heads, [_changes(track, origin, frames) for track in tracks]
        video = play_features(video, self.picture, self._faces, tracks, frames)
        ways = np.array([change["place"] * SIZE * head.height for head, change in zip(heads, changes, strict=True)])
        walks = bool((np.abs(ways) > 1).any())
        moved = self._walked(video, changes, ways) if walks else _swayed(video, heads, self._faces, changes)
        for head, face, track, way in zip(heads, self._faces, tracks, ways, strict=True):
            if face is not None and "hand" in track:
                play_hand(moved, self.picture, head, face, track, frames, way, SIZE)
        zoom = changes[0]["zoom"]
        for row in np.flatnonzero(np.abs(zoom - 1) > 1e-3):
            moved[row] = _zoomed(moved[row], heads, float(zoom[row]))
        return moved

    def _walked(self, video: np.ndarray, changes: Sequence[Mapping[str, np.ndarray]], ways: np.ndarray) -> np.ndarray:
        """Heads that sway, and whoever walks cut out and put where they have come to, larger people in front.

        Args:
            video: uint8 (T, H, W, 3), with everybody in their places.
            changes: of each head.
            ways: (P, T) pixels to the right.
        """
        walkers = [int(person) for person in np.flatnonzero((np.abs(ways) > 1).any(axis=1))]
        gone = self._left_empty(walkers)
        behind = _painted_over(self.picture, gone)
        layers = (255 * self._covers[walkers]).round().astype(np.uint8).transpose(1, 2, 0)[None]
        swayed = _swayed(
            np.concatenate([video, layers.repeat(len(video), axis=0)], axis=-1), self.heads, self._faces, changes
        )
        moved = swayed[..., :3].copy()
        x, y = (pixels[None] for pixels in _pixels(video.shape[1:3]))
        for row in np.flatnonzero((np.abs(ways) > 1).any(axis=0)):
            canvas = np.where(gone[..., None], behind, moved[row]).astype(np.float32)
            for layer, walker in sorted(enumerate(walkers), key=lambda pair: self.heads[pair[1]].height):
                from_x = x - float(ways[walker, row])
                shown = _taken(swayed[row][None], from_x, y)[0].astype(np.float32)
                inside = ((from_x > 0) & (from_x < video.shape[2]))[0, ..., None].numpy()
                cover = shown[..., 3 + layer, None] / 255 * inside
                canvas = canvas * (1 - cover) + shown[..., :3] * cover
            moved[row] = canvas.round().astype(np.uint8)
        return moved

    def _left_empty(self, walkers: Sequence[int]) -> np.ndarray:
        """(H, W) bool: where the picture shows somebody who walks away, and nobody who stays."""
        others = [person for person in range(len(self.heads)) if person not in walkers]
        gone = self._covers[walkers].max(axis=0) > 0.05
        rim = max(1, round(RIM * max(self.heads[walker].height for walker in walkers)))
        gone = ndimage.binary_dilation(gone, iterations=rim)
        return gone & (self._covers[others].max(axis=0) < 0.5) if others else gone


def _changes(track: Tracks, origin: int, frames: Sequence[int]) -> dict[str, np.ndarray]:
    """Motion since the picture, each (T,)."""
    rows, found = list(frames), {}
    for name in ("dx", "dy", "roll", "yaw", "pitch", "place"):
        found[name] = track[name][rows] - track[name][origin] if name in track else np.zeros(len(rows))
    for name in ("scale", "zoom"):
        found[name] = track[name][rows] / track[name][origin] if name in track else np.ones(len(rows))
    return found


def _swayed(
    video: np.ndarray, heads: Sequence[Head], faces: Sequence[FacePoints | None],
    changes: Sequence[Mapping[str, np.ndarray]],
) -> np.ndarray:  # fmt: skip
    """Heads moved, turned and grown, (T, H, W, C); what is between them and what stands still is stretched."""
    _, height, width, _ = video.shape
    x, y = (pixels[::STEP, ::STEP] + (STEP - 1) / 2 for pixels in _pixels((height, width)))
    shift, total = torch.zeros(len(video), 2, *x.shape), torch.full((len(video), 1, *x.shape), 1e-6)
    for head, face, change in zip(heads, faces, changes, strict=True):
        near, from_x, from_y = _came_from(x, y, head, face, change)
        shift += (near * near)[:, None] * torch.stack([from_x - x, from_y - y], dim=1)
        total += near[:, None]
    shift = F.interpolate(shift / total, size=(height, width), mode="bilinear", align_corners=False)
    rows, columns = (_span(shift.abs().amax(dim=(0, 1, axis))) for axis in (3, 2))
    moved = video.copy()
    if len(rows) and len(columns):
        part = (..., slice(rows.start, rows.stop), slice(columns.start, columns.stop))
        x, y = (pixels[part] for pixels in _pixels((height, width)))
        moved[:, rows.start : rows.stop, columns.start : columns.stop] = _taken(video, *(
            place + by for place, by in zip((x, y), shift[part].unbind(dim=1), strict=True)
        ))  # fmt: skip
    return moved


def _span(moves: Tensor) -> range:
    """Along one side, (pixels,): from the first to the last that are moved."""
    found = (moves > 0.01).nonzero().flatten().tolist()
    return range(found[0], found[-1] + 1) if found else range(0)


def _features(head: Head, face: FacePoints | None) -> tuple[float, ...]:
    """What turns with a face: its middle, from the head's, and half-axes aside, up and down, in pixels; and the part of
    them that moves fully."""
    if face is None:
        return 0.0, 0.0, FACE[0] * head.height, FACE[1] * head.height, FACE[1] * head.height, 0.5
    one, other = face.eyes
    unit = float(np.hypot(other.x - one.x, other.y - one.y))
    x, y = ((one.x + other.x) / 2 + face.mouth_x) / 2, ((one.y + other.y) / 2 + face.mouth_y) / 2
    return x - head.x, y - head.y, 1.15 * unit, 1.7 * unit, 1.2 * unit, 0.55


def _came_from(
    x: Tensor, y: Tensor, head: Head, face: FacePoints | None, change: Mapping[str, np.ndarray]
) -> tuple[Tensor, Tensor, Tensor]:
    """How much places (H, W) belong to a head, and where in the picture they were: (T, H, W) each."""
    unit = head.height
    told = {name: torch.from_numpy(np.asarray(track)).float().view(-1, 1, 1) for name, track in change.items()}
    dx = told["dx"] * SIZE * unit
    dy = (told["dy"] * SIZE + GROWTH * (told["scale"] - 1)) * unit
    off_x, off_y = x - head.x - dx, y - head.y - dy
    near = _fade((torch.hypot(off_x / (0.8 * REACH * unit), off_y / (REACH * unit)) - 0.6) / 0.4)
    # turned back around the neck, shrunk around the middle
    sine, cosine, neck = torch.sin(-told["roll"]), torch.cos(told["roll"]), PIVOT * unit
    turned_x = cosine * off_x - sine * (off_y - neck)
    turned_y = neck + sine * off_x + cosine * (off_y - neck)
    from_x, from_y = turned_x / told["scale"], turned_y / told["scale"]
    middle_x, middle_y, aside, up, low, kept = _features(head, face)
    far_y = from_y - middle_y
    far = torch.hypot((from_x - middle_x) / aside, far_y / torch.where(far_y < 0, up, low))
    inside = ((1 - far) / (1 - kept)).clamp(0, 1)
    most = 0.9 * (1 - kept) * aside  # farther, something would be seen twice
    from_x = from_x - (YAW * unit * told["yaw"]).clamp(-most, most) * inside
    from_y = from_y - PITCH * unit * told["pitch"] * inside
    return near, head.x + from_x, head.y + from_y


def _pixels(size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Middles of the pixels of a picture (H, W, ...), (H, W) each: from the left, from the top."""
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    return x, y


def _taken(video: np.ndarray, x: Tensor, y: Tensor) -> np.ndarray:
    """Pixels of frames (T, H, W, C) from places (T, h, w) in each, their edges beyond them; bicubic, to stay sharp."""
    height, width = video.shape[1:3]
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=-1)
    pixels = torch.from_numpy(np.ascontiguousarray(video)).permute(0, 3, 1, 2).float()
    found = F.grid_sample(pixels, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return found.permute(0, 2, 3, 1).round().clamp(0, 255).to(torch.uint8).numpy()


def _fade(share: Tensor) -> Tensor:
    """1 up to 0, then smoothly to 0 at 1."""
    return 0.5 + 0.5 * torch.cos(np.pi * share.clamp(0, 1))


def _painted_over(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The picture, uint8 (H, W, 3), with some places (H, W) as what is around them, the farther the softer.

    Means of what is known at halved and halved sizes fill what is not (push and pull, Gortler et al. 1996).
    """
    if where.all():
        return picture
    weight = torch.from_numpy(~where)[None, None].float()
    levels = [(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() * weight, weight)]
    while not (levels[-1][1] > 0).all():
        colours, weight = (F.avg_pool2d(part, 2, ceil_mode=True) for part in levels[-1])
        levels.append((colours, weight))
    filled = levels[-1][0] / levels[-1][1]
    for colours, weight in reversed(levels[:-1]):
        coarse = F.interpolate(filled, size=colours.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.where(weight > 0, colours / weight.clamp(min=1e-6), coarse)
    return filled[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()


def _zoomed(shown: np.ndarray, heads: Sequence[Head], zoom: float) -> np.ndarray:
    """Nearer, around the middle of the heads."""
    middle_x, middle_y = (float(np.mean([getattr(head, axis) for head in heads])) for axis in "xy")
    x, y = (pixels[None] for pixels in _pixels(shown.shape))
    return _taken(shown[None], middle_x + (x - middle_x) / zoom, middle_y + (y - middle_y) / zoom)[0]
