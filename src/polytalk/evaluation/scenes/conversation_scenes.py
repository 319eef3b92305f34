"""Held-out people who take turns for as long as one likes, and the pipeline's video of them, clip by clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.evaluation.measures.metrics import MIN_FRAMES
from polytalk.evaluation.scenes.generating import scene_of
from polytalk.evaluation.scenes.held_out import evaluation_voices
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.pipeline.prepare import PreparedScene
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import SyntheticClip, draw_clip
from polytalk.synthetic.seeds import HELD_OUT_SEED
from polytalk.synthetic.speech.conversation import SyntheticConversation, draw_conversation
from polytalk.units import FPS

END_SECONDS = 10.0
"""Length of the beginning and the end that are compared, at most half of the conversation each."""
_DRAWN_FRAMES = 49
"""Frames of the drawn scene, which only show where people are."""
_DRAWS = 30
"""Conversations drawn, of which the one is taken in which most people speak at both ends."""


@dataclass(frozen=True)
class ConversationScene:
    """People, and all they say."""

    clip: SyntheticClip
    """Their picture, and where they are."""
    talk: SyntheticConversation
    """Voices and true mouths of the whole video."""
    seed: int
    """Of the scene."""

    @property
    def num_frames(self) -> int:
        """Length of the video."""
        return self.talk.mouth.shape[1]


def conversation_scene(number: int, seconds: float, *, people: int = 2, seed: int = 0) -> ConversationScene:
    """A held-out scene before a camera that stands still, whose people take turns for so many seconds.

    Args:
        number: which of the scenes of the seed.
        seconds: of the conversation, at least 1.
        people: 1 to 4.
        seed: which set of scenes.

    Raises:
        PolytalkError: a number is out of range.
    """
    if not 1 <= seconds <= 3600:
        raise PolytalkError("seconds", f"it is {seconds}", "Give 1 to 3,600.")
    if not 1 <= people <= 4:
        raise PolytalkError("people", f"it is {people}", "Give 1 to 4.")
    if not (0 <= seed < 10_000 and 0 <= number < 100_000):
        raise PolytalkError("seed", f"it is {seed}", "Give 0 to 9,999.")
    scene_seed = HELD_OUT_SEED + 100_000 * seed + number
    frames = round(seconds * FPS)
    length, end = max(frames, _DRAWN_FRAMES), end_frames(frames)
    bank, best, most = evaluation_voices(), None, -1
    for draw in range(_DRAWS):
        talk = draw_conversation(bank, np.random.default_rng([scene_seed, 3, draw]), people, length, overlap=False)
        spoken = [part.sum(axis=1) >= MIN_FRAMES for part in (talk.speaking[:, :end], talk.speaking[:, frames - end :])]
        count = int(np.sum(spoken))
        if count > most:
            best, most = talk, count
        if count == 2 * people:
            break
    assert best is not None
    config = SceneConfig(num_frames=_DRAWN_FRAMES, people=(people, people), camera_motion=0.0, event_probability=0.0,
                         reference_lead=1, reference_lead_probability=1.0)  # fmt: skip
    clip = draw_clip(scene_seed, config, best.part(0, _DRAWN_FRAMES))
    return ConversationScene(clip, best.part(0, frames), scene_seed)


def end_frames(frames: int) -> int:
    """Frames of the beginning and the end of a conversation of so many."""
    return min(round(END_SECONDS * FPS), max(1, frames // 2))


def prepare(pipeline: MultiTalkPipeline, scene: ConversationScene) -> PreparedScene:
    """What the pipeline makes the conversation of."""
    wanted = scene_of(scene.clip, scene.talk.audio)
    return pipeline.prepare(wanted, scene.clip.reference.shape[:2]).first_seconds(scene.num_frames / FPS)


def stream(
    pipeline: MultiTalkPipeline, scene: ConversationScene, prepared: PreparedScene, *, seed: int = 0, **choices: Any
) -> Iterator[np.ndarray]:
    """The conversation's clips as they are finished, uint8 (T_i, H, W, 3)."""
    noise = seed * 10_000_019 + scene.seed
    return (clip.frames for clip in pipeline.stream(prepared, seed=noise, **choices))
