"""Scenes rendered once for all measures: what was generated, the truth, and what the autoencoder makes of the truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import torch

from polytalk.evaluation.readers.face_reader import FaceReader, FaceTrack
from polytalk.evaluation.readers.mouth_reader import MouthReader, Track
from polytalk.evaluation.scenes.generating import Generate, Request
from polytalk.evaluation.scenes.held_out import held_out_scenes
from polytalk.models.components import Components
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import SyntheticClip
from polytalk.synthetic.speech.conversation import SyntheticConversation
from polytalk.units import to_network, to_pixels

ALL_SOURCES = (*SceneConfig().sources, ("3-D person", 1.8), ("portrait", 0.5))
"""Every kind of drawn person that needs no extra; `scene_config` adds avatars where they can be drawn."""
ACTION_SCENES = SceneConfig(
    event_probability=1.0, max_events=1, camera_motion=0.0, head_size=(0.45, 0.7), sources=ALL_SOURCES
)
"""Scenes with one event each; heads leave room for a hand."""
VIEWS = ("generated", "truth", "reconstruction")
"""What every measure is taken of."""


def scene_config(base: SceneConfig | None = None) -> SceneConfig:
    """A kind of scenes with people of every source; avatars only where their extra is installed."""
    sources = ALL_SOURCES
    if find_spec("python_avatars") and find_spec("resvg_py"):
        sources = (*sources, ("avatar", 0.8))
    return replace(base or SceneConfig(), sources=sources)


@dataclass(frozen=True)
class SceneView:
    """One scene in one view, as the readers see it."""

    clip: SyntheticClip
    """The scene."""
    talk: SyntheticConversation
    """What is said in it."""
    frames: np.ndarray
    """uint8 (T, H, W, 3) of this view."""
    mouths: Track
    faces: FaceTrack

    @property
    def face_boxes(self) -> np.ndarray:
        """(T, P, 4): the first frame's true boxes, carried and grown as the faces are followed."""
        first = self.clip.face_boxes[0]
        middle = (first[:, :2] + first[:, 2:]) / 2
        half = (first[:, 2:] - first[:, :2]) / 2
        grown = self.faces.size / (2 * half.max(axis=1))
        moved = self.faces.centre - self.faces.centre[:1] + middle
        return np.concatenate([moved - half * grown[..., None], moved + half * grown[..., None]], axis=-1)


class Remembering:
    """Readers that read every clip once, however many measures ask. Clips are told apart by identity."""

    def __init__(self, mouths: MouthReader, faces: FaceReader) -> None:
        self._mouths, self._faces = mouths, faces
        self._read: dict[int, Track] = {}
        self._kept: list[np.ndarray] = []

    def follow(self, clips: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list[Track]:
        """As `MouthReader.follow`."""
        new = [number for number, clip in enumerate(clips) if id(clip) not in self._read]
        if new:
            tracks = self._mouths.follow([clips[n] for n in new], [boxes[n] for n in new])
            for number, track in zip(new, tracks, strict=True):
                self._read[id(clips[number])] = track
                self._kept.append(clips[number])  # an array that is gone would lend its identity to another
        return [self._read[id(clip)] for clip in clips]

    def faces(self, clips: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list[FaceTrack]:
        """As `FaceReader.follow`."""
        return self._faces.follow(clips, boxes)

    def forget(self) -> None:
        """Let go of all clips."""
        self._read.clear()
        self._kept.clear()


@dataclass
class Stopwatch:
    """A generator that is timed."""

    generate: Generate
    seconds: float = 0.0
    frames: int = 0

    def __call__(self, requests: Sequence[Request]) -> Sequence[np.ndarray]:
        """Renders requests."""
        began = time.monotonic()
        out = self.generate(requests)
        self.seconds += time.monotonic() - began
        self.frames += sum(map(len, out))
        return out


@dataclass(frozen=True)
class SceneSet:
    """Scenes with equally many people in all views."""

    scenes: list[tuple[SyntheticClip, SyntheticConversation]]
    frames: dict[str, list[np.ndarray]]
    """View -> frames of every scene."""

    @property
    def clips(self) -> list[SyntheticClip]:
        """The drawn scenes."""
        return [clip for clip, _ in self.scenes]

    def views(self, view: str, readers: Remembering) -> list[SceneView]:
        """Every scene as the readers see it in this view."""
        frames, clips = self.frames[view], self.clips
        mouths = readers.follow(frames, [clip.mouth_boxes[0] for clip in clips])
        faces = readers.faces(frames, [clip.face_boxes[0] for clip in clips])
        return [
            SceneView(clip, talk, video, mouth, face)
            for (clip, talk), video, mouth, face in zip(self.scenes, frames, mouths, faces, strict=True)
        ]

    def replay(self, view: str) -> Generate:
        """A generator that answers with this view's frames, whatever the voices."""
        known = {clip.seed: video for clip, video in zip(self.clips, self.frames[view], strict=True)}
        return lambda requests: [known[clip.seed] for clip, _ in requests]


def render_scenes(
    generate: Generate,
    components: Components,
    scenes: int,
    people: int,
    *,
    seed: int = 0,
    num_frames: int = 33,
    config: SceneConfig | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> SceneSet:
    """Draw held-out scenes, generate them, and pass the truth through the autoencoder.

    Args:
        generate: renders.
        components: their autoencoder.
        scenes: how many.
        people: in each.
        seed: which set.
        num_frames: of each.
        config: kind of scenes; all sources if None.
        progress: called with the number of scenes that are rendered.
    """
    drawn = held_out_scenes(scenes, people=people, seed=seed, num_frames=num_frames, config=config or scene_config())
    frames: dict[str, list[np.ndarray]] = {view: [] for view in VIEWS}
    for number, (clip, _) in enumerate(drawn):
        frames["generated"] += generate([(clip, clip.audio)])
        frames["truth"].append(clip.frames)
        frames["reconstruction"].append(rebuild(components, clip.frames))
        progress(number + 1)
    return SceneSet(drawn, frames)


@torch.no_grad()
def rebuild(components: Components, frames: np.ndarray) -> np.ndarray:
    """Frames uint8 (T, H, W, 3), T = 4n + 1, through the autoencoder and back."""
    latents = components.encode_video(to_network(frames).to(components.device, components.dtype))
    return to_pixels(components.decode_video(latents).float()[0])
