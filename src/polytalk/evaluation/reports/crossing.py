"""Do voices stay with people who change sides? `polytalk evaluate crossing` shows a crossing and listens afterwards.

Five clips of a held-out scene with two people. In the second one they change sides: its frames are drawn ones, shown to
the model as frames that are already there, because a small model does not cross people well by itself, and what is
measured here is what comes after. The rest is generated. Mouths are read in the three clips after the crossing, and
compared with the voices: with the masks of the first picture for every clip, as the release has them; with the masks
that the network's map gives, unchecked; and with masks that follow the people.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from polytalk.errors import PolytalkError
from polytalk.evaluation.measures.metrics import SyncMatrix
from polytalk.evaluation.readers.mouth_reader import MouthReader
from polytalk.evaluation.reports.output import cell, plain
from polytalk.evaluation.scenes.generating import scene_of
from polytalk.evaluation.scenes.held_out import evaluation_voices
from polytalk.pipeline.clip_loop import ClipLoop
from polytalk.pipeline.clips import Clip
from polytalk.pipeline.following import masks_to_tokens, tokens_to_masks
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.pipeline.prepare import PreparedScene
from polytalk.pipeline.settings import RunSettings
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import SyntheticClip, draw_clip
from polytalk.synthetic.seeds import HELD_OUT_SEED
from polytalk.synthetic.speech.conversation import SyntheticConversation, draw_conversation

CLIPS = 5
CROSSING = 1
"""Place of the clip in which people change sides."""
PEOPLE = 2
Masks = Literal["fixed", "map", "followed"]
MODES: tuple[Masks, ...] = ("fixed", "map", "followed")
_MEANING = {
    "fixed": "the first picture's masks for every clip, as released",
    "map": "what the network's map says, unchecked",
    "followed": "the map, checked against what people look like",
}


@dataclass(frozen=True)
class CrossingScene:
    """A drawn crossing, and what its people say before, during and after."""

    clip: SyntheticClip
    """The clip in which they change sides."""
    talk: SyntheticConversation
    """Voices of all clips."""


@dataclass(frozen=True)
class ModeReport:
    """One way to treat the masks; a list has an entry for each clip after the crossing."""

    own: list[float]
    """Mean correlation of a mouth with its own voice."""
    other: list[float]
    """With the other's."""
    right: list[float]
    """Share of mouths that follow their own voice more than the other's."""
    masks: float
    """Share of people whom their own mask covers best when the last clip begins."""


@dataclass(frozen=True)
class CrossingReport:
    """What `evaluate_crossing` found; NaN where nothing could be measured."""

    modes: dict[str, ModeReport]
    """By how the masks were treated."""
    scenes: int
    """Scenes rendered in each mode."""
    seed: int
    """Of scenes and noise."""

    def to_json(self) -> str:
        """One object; NaN becomes null."""
        return json.dumps(plain(asdict(self)))

    def print(self, console: Console | None = None) -> None:
        """A table with a row for each mode and clip."""
        table = Table(title=f"{self.scenes} scenes, two people change sides in clip {CROSSING + 1} of {CLIPS}")
        for name in ("masks", "clip", "own voice", "other's", "right voice", "right mask"):
            table.add_column(name, justify="left" if name == "masks" else "right")
        for mode, report in self.modes.items():
            for place, row in enumerate(zip(report.own, report.other, report.right, strict=True)):
                figures = [*row, report.masks] if place == len(report.own) - 1 else list(row)
                table.add_row("" if place else _MEANING[mode], str(CROSSING + 2 + place), *map(cell, figures))
        (console or Console()).print(table)


def crossing_scenes(scenes: int, seed: int, clip_frames: int, motion_frames: int) -> list[CrossingScene]:
    """Held-out scenes; the drawn clip is the second of `CLIPS` of equal length that share `motion_frames`."""
    gain = clip_frames - motion_frames
    config = SceneConfig(num_frames=clip_frames, crossing_probability=1.0, event_probability=1.0, max_events=1,
                         camera_motion=0.0, reference_lead=1, reference_lead_probability=1.0)  # fmt: skip
    found = []
    for number in range(scenes):
        scene_seed = HELD_OUT_SEED + 100_000 * seed + number
        rng = np.random.default_rng([scene_seed, 2])
        talk = draw_conversation(evaluation_voices(), rng, PEOPLE, clip_frames + (CLIPS - 1) * gain, overlap=True)
        first = CROSSING * gain
        clip = draw_clip(scene_seed, config, talk.part(first, first + clip_frames))
        found.append(CrossingScene(clip, talk))
    return found


def evaluate_crossing(
    pipeline: MultiTalkPipeline,
    scenes: Sequence[CrossingScene],
    *,
    seed: int = 0,
    modes: Sequence[Masks] = MODES,
    reader: MouthReader | None = None,
    progress: Callable[[int, int], None] | None = None,
    **choices: Any,
) -> CrossingReport:
    """Render every scene in every mode, and compare mouths and voices after the crossing.

    Args:
        pipeline: with the model's own lengths of clips.
        scenes: from `crossing_scenes`, made with those lengths.
        seed: of the noise; the same in every mode.
        modes: how masks are treated.
        reader: the shipped one by default.
        progress: called with (videos done, videos in all).
        choices: passed on, e.g. num_inference_steps.
    """
    reader = reader or MouthReader.from_pretrained()
    reports: dict[str, ModeReport] = {}
    for number, mode in enumerate(modes):
        syncs = [SyncMatrix(PEOPLE) for _ in range(CLIPS - CROSSING - 1)]
        masks = []
        for place, scene in enumerate(scenes):
            # where people are is the network's affair here: motion that is played keeps everybody where the picture is
            config = replace(pipeline.config, idle_motion=None)
            settings = RunSettings.choose(config, carry_masks=mode != "fixed", **choices)
            clips, found = render_crossing(pipeline, settings, scene, mode, seed)
            _score(syncs, scene, clips, reader)
            masks.append(right_masks(found, scene.clip.masks[-1]))
            if progress:
                progress(number * len(scenes) + place + 1, len(modes) * len(scenes))
        figures = [sync.compute() for sync in syncs]
        own, other, right = ([each[name] for each in figures] for name in ("own", "other", "diagonal"))
        reports[mode] = ModeReport(own, other, right, float(np.mean(masks)))
    return CrossingReport(reports, len(scenes), seed)


def render_crossing(
    pipeline: MultiTalkPipeline, settings: RunSettings, scene: CrossingScene, mode: Masks, seed: int
) -> tuple[list[np.ndarray], torch.Tensor]:
    """New frames of every clip, and the masks (P, h, w) that the last one had."""
    # the drawn clip's prompt tells of the crossing, which is over when the model is to go on
    wanted = replace(scene_of(scene.clip, scene.talk.audio), prompt="")
    prepared = pipeline.prepare(wanted, scene.clip.reference.shape[:2])
    # without loudness the clips are of equal length
    prepared = replace(prepared, loudness=None)
    loop = _CrossingLoop(pipeline, settings, prepared, scene, mode, seed)
    return [clip.frames for clip in loop], loop.state.masks.cpu()


def right_masks(masks: torch.Tensor, true: np.ndarray) -> float:
    """Share of people whose own mask covers more of them, in proportion to its size, than any other's."""
    seen = torch.from_numpy(true).flatten(1).double()
    mine = masks.flatten(1).double()
    covers = seen @ mine.T / mine.sum(1).clamp(min=1)
    best = covers.max(1)
    return float(((best.indices == torch.arange(len(masks))) & (best.values > 0)).double().mean())


def run_crossing(
    *, scenes: int = 8, seed: int = 0, model: str = "mini", steps: int | None = None, json: bool = False
) -> CrossingReport:
    """`polytalk evaluate crossing`: load a pipeline, evaluate it, print a table or one JSON object."""
    if scenes < 1:
        raise PolytalkError("scenes", f"it is {scenes}", "Give at least one.")
    pipeline = MultiTalkPipeline.from_pretrained(model)
    config = pipeline.config
    drawn = crossing_scenes(scenes, seed, config.clip_frames, config.motion_frames)
    choices: Any = {} if steps is None else {"num_inference_steps": steps}
    report = evaluate_crossing(pipeline, drawn, seed=seed, **choices)
    if json:
        print(report.to_json())
    else:
        report.print()
    return report


class _CrossingLoop(ClipLoop):
    """A clip loop whose second clip is there already and only looked at."""

    def __init__(
        self,
        pipeline: MultiTalkPipeline,
        settings: RunSettings,
        prepared: PreparedScene,
        scene: CrossingScene,
        mode: Masks,
        seed: int,
    ) -> None:
        noise = seed * 10_000_019 + scene.clip.seed
        super().__init__(pipeline.components, settings, prepared, None, lambda _: None, pipeline.options, seed=noise)
        self._drawn, self._mode = scene.clip, mode

    def advance(self, clip: Clip) -> np.ndarray:
        if clip.index == CROSSING:
            self.state.know(self._drawn.frames)
        frames = super().advance(clip)
        if clip.index == CROSSING:
            # in every mode alike: a condition that still showed the picture would draw people back to their old places
            self.state.reference = self._drawn.frames[-1], torch.from_numpy(self._drawn.masks[-1])
        return frames

    def find_people(self, labels: torch.Tensor) -> None:
        if self._mode != "map":
            super().find_people(labels)
            return
        masks = self.state.masks
        shown = torch.stack([labels == person for person in range(len(masks))])
        now = tokens_to_masks(shown)
        self.state.masks = torch.where(masks_to_tokens(now).flatten(1).any(1)[:, None, None], now, masks)


def _score(syncs: list[SyncMatrix], scene: CrossingScene, clips: list[np.ndarray], reader: MouthReader) -> None:
    """Add the mouths of the clips after the crossing."""
    begin = sum(len(frames) for frames in clips[: CROSSING + 1])
    after = np.concatenate(clips[CROSSING + 1 :])
    (track,) = reader.follow([after], [scene.clip.mouth_boxes[-1]])
    mouth, speaking = scene.talk.mouth.transpose(1, 0, 2)[begin:, :, 0], scene.talk.speaking.T[begin:]
    first = 0
    for sync, frames in zip(syncs, clips[CROSSING + 1 :], strict=True):
        part = slice(first, first + len(frames))
        sync.update(track.opening[part], mouth[part], speaking[part])
        first += len(frames)
