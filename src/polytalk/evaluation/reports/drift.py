"""What a long video loses from clip to clip: `polytalk evaluate drift` renders held-out conversations of many clips.

Every clip starts from the last frames of the one before, so that its errors are the next one's truth. Five curves over
the clip number show where that leads, each against the scene's one picture: how far the faces are from it, how far
colours have moved, how sharp the faces are, how much of the background is left, and whether mouths still follow their
voices. A flat curve is a video that could go on for ever.
"""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.evaluation.measures.metrics import (
    BackgroundPSNR,
    FaceAppearanceDistance,
    FaceSharpness,
    SyncMatrix,
    _Mean,
    face_region,
)
from polytalk.evaluation.measures.picture_measures import around_people
from polytalk.evaluation.readers.mouth_reader import MouthReader
from polytalk.evaluation.reports.contact_sheet import contact_sheet
from polytalk.evaluation.reports.output import new_plot, plain, save_plot
from polytalk.evaluation.scenes.generating import scene_noise, scene_of
from polytalk.evaluation.scenes.held_out import held_out_clips
from polytalk.pipeline.clips import ClipPlanner
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.pipeline.settings import RunSettings
from polytalk.postprocess.colour import rgb_to_lab
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import SyntheticClip
from polytalk.units import FPS

MEASURES = {
    "identity": "distance of the faces to the picture's (0 the same)",
    "colour": "shift of mean colours, Lab units",
    "sharpness": "gradients in the faces over the picture's",
    "background": "PSNR of what is nobody's, dB",
    "sync": "correlation of mouths with their own voices",
}
"""Name -> what its curve shows."""


class ColourShift(_Mean):
    """How far mean colours have moved, in Lab units (CIE76): of the background, and of every face."""

    def update(self, frames: np.ndarray, reference: np.ndarray, boxes: np.ndarray, people: np.ndarray) -> None:
        """frames (T, H, W, 3), reference (H, W, 3), boxes (T, P, 4) of the faces, people (H, W) bool: whose is what."""
        for frame, faces in zip(frames, boxes, strict=True):
            pairs = [
                (face_region(frame, box), face_region(reference, first))
                for box, first in zip(faces, boxes[0], strict=True)
            ]
            if not people.all():
                pairs.append((frame[~people], reference[~people]))
            self._add(np.array([float(np.linalg.norm(_mean_lab(a) - _mean_lab(b))) for a, b in pairs]))


def _mean_lab(pixels: np.ndarray) -> np.ndarray:
    rgb = torch.from_numpy(np.ascontiguousarray(pixels)).reshape(-1, 3).T[None].float() / 255
    return rgb_to_lab(rgb)[0].mean(dim=1).numpy()


@dataclass
class DriftMeter:
    """Adds up the measures of long videos clip by clip."""

    num_clips: int
    """Clips in each video."""
    people: int
    """In each."""
    _parts: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self._parts = [
            {
                "identity": FaceAppearanceDistance(),
                "colour": ColourShift(),
                "sharpness": FaceSharpness(),
                "background": BackgroundPSNR(),
                "sync": SyncMatrix(self.people),
            }
            for _ in range(self.num_clips)
        ]

    def update(self, videos: Sequence[np.ndarray], clip: SyntheticClip, reader: MouthReader) -> None:
        """Adds one conversation.

        Args:
            videos: its clips in order, uint8 (T_i, H, W, 3) each.
            clip: the scene: its picture, and the truth about who is where and when a voice opens the mouth.
            reader: follows the faces by their mouths.
        """
        if len(videos) != self.num_clips:
            raise PolytalkError("clips", f"there are {len(videos)}", f"Give {self.num_clips} of each video.")
        frames = np.concatenate(videos)
        (track,) = reader.follow([frames], [clip.mouth_boxes[0]])
        moved = track.centre - (clip.mouth_boxes[0, :, :2] + clip.mouth_boxes[0, :, 2:]) / 2
        faces = clip.face_boxes[0] + np.concatenate([moved, moved], axis=-1)
        people, at = around_people(clip), 0
        for parts, video in zip(self._parts, videos, strict=True):
            span = slice(at, min(at + len(video), len(clip.mouth)))
            boxes = np.concatenate([clip.face_boxes[:1], faces[span]])  # the picture's own boxes come first
            shown = np.concatenate([clip.reference[None], frames[span]])
            parts["identity"].update(shown, clip.reference, boxes)
            parts["sharpness"].update(shown, clip.reference, boxes)
            parts["colour"].update(shown, clip.reference, boxes, people)
            parts["background"].update(frames[span], clip.reference, people)
            parts["sync"].update(track.opening[span], clip.mouth[span][..., 0], clip.speaking[span])
            at += len(video)

    def compute(self) -> dict[str, list[float]]:
        """Name of a measure -> its value in clip 1, 2, ...; NaN where nothing could be measured."""
        return {name: [_value(parts[name].compute()) for parts in self._parts] for name in MEASURES}


def _value(result: Any) -> float:
    return float(result["own"] if isinstance(result, dict) else result)


@dataclass(frozen=True)
class DriftReport:
    """Curves over the clip number, of one or several ways to run a model."""

    curves: dict[str, dict[str, list[float]]]
    """Way -> measure -> value per clip."""
    choices: dict[str, dict[str, Any]]
    """Way -> what was chosen for it."""
    scenes: int
    """Conversations rendered in each way."""
    seed: int
    """Of scenes and noise."""
    model: str = "mini"
    """What was rendered with."""

    def to_json(self) -> str:
        """One object; NaN becomes null."""
        whole = {"model": self.model, "scenes": self.scenes, "seed": self.seed, "choices": self.choices}
        return json_text.dumps({**whole, "curves": plain(self.curves)}, indent=1)

    def table(self, at: Sequence[int] = (1, 5, 10)) -> str:
        """Figures of some clips, counted from 1, as lines of text: way, then each measure at those clips."""
        count = max(len(next(iter(found.values()))) for found in self.curves.values())
        shown = sorted({min(number, count) for number in at})
        head = f"{'clip ' + '/'.join(map(str, shown)):28}" + "".join(f"{name:>24}" for name in MEASURES)
        lines = [head]
        for way, found in self.curves.items():
            cells = ["/".join(f"{found[name][number - 1]:.3g}" for number in shown) for name in MEASURES]
            lines.append(f"{way:28}" + "".join(f"{cell:>24}" for cell in cells))
        return "\n".join(lines)

    def plot(self, path: str | Path) -> None:
        """A PNG with a panel per measure and a line per way.

        Raises:
            PolytalkError: matplotlib is missing, or the file cannot be written.
        """
        figure = new_plot(4.2 * len(MEASURES))
        for place, (name, text) in enumerate(MEASURES.items(), start=1):
            axes = figure.add_subplot(1, len(MEASURES), place)
            for way, found in self.curves.items():
                axes.plot(range(1, len(found[name]) + 1), found[name], label=way)
            axes.set_title(name)
            axes.set_ylabel(text, fontsize="small")
            axes.set_xlabel("clip")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=min(6, len(self.curves)))
        save_plot(figure, path)


WAYS: dict[str, dict[str, Any]] = {
    "nothing": {"colour_strength": 0.0, "carry_over": "pixels", "hold_still": 0.0},
    "held still": {"colour_strength": 0.0, "carry_over": "pixels", "hold_still": 1.0},
    "colour": {"colour_strength": 1.0, "colour_region": "all", "carry_over": "pixels", "hold_still": 0.0},
    "colour, still": {"colour_strength": 1.0, "colour_region": "still", "carry_over": "pixels", "hold_still": 0.0},
    "latent": {"colour_strength": 0.0, "carry_over": "latent", "hold_still": 0.0},
    "latent, colour still": {
        "colour_strength": 1.0,
        "colour_region": "still",
        "carry_over": "latent",
        "hold_still": 0.0,
    },
}
"""Each measure against drift, off and on."""


def render(
    pipeline: MultiTalkPipeline, clip: SyntheticClip, num_clips: int, *, seed: int = 0, **choices: Any
) -> list[np.ndarray]:
    """A conversation of so many clips of even length: the frames of each, uint8 (T_i, H, W, 3).

    Args:
        pipeline: renders.
        clip: a drawn scene, as long as its video is to be.
        num_clips: how many clips are expected.
        seed: of the noise.
        choices: as to the pipeline.
    """
    prepared = pipeline.prepare(scene_of(clip, clip.audio), clip.reference.shape[:2])
    prepared = replace(prepared.first_seconds(len(clip.frames) / FPS), loudness=None)  # even clips, not cut in pauses
    videos = [output.frames for output in pipeline.stream(prepared, generator=scene_noise(clip, seed), **choices)]
    if len(videos) != num_clips:
        raise PolytalkError("clips", f"{len(videos)} instead of {num_clips}", "Let clip and video lengths agree.")
    return videos


def evaluate_drift(
    pipeline: MultiTalkPipeline,
    ways: Mapping[str, Mapping[str, Any]],
    *,
    num_clips: int = 10,
    scenes: int = 2,
    people: int = 2,
    seed: int = 0,
    reader: MouthReader | None = None,
    on_video: Callable[[str, int, list[np.ndarray]], None] = lambda way, scene, clips: None,
) -> dict[str, dict[str, list[float]]]:
    """Renders the same conversations in several ways and measures each clip.

    Args:
        pipeline: renders.
        ways: name -> choices of a run.
        num_clips: length of the conversations.
        scenes: how many.
        people: in each.
        seed: of scenes and noise.
        reader: the shipped one by default.
        on_video: called with way, scene and its clips as soon as they are rendered.

    Returns:
        Way -> measure -> value per clip.

    Raises:
        PolytalkError: a number is out of range, or a choice is wrong.
    """
    if not 1 <= num_clips <= 1000:
        raise PolytalkError("clips", f"it is {num_clips}", "Give 1 to 1000.")
    reader = reader or MouthReader.from_pretrained()
    drawn: dict[int, list[SyntheticClip]] = {}
    curves = {}
    for way, choices in ways.items():
        length = video_length(pipeline.config, num_clips, **choices)
        if length not in drawn:
            drawn[length] = drift_scenes(scenes, people=people, seed=seed, num_frames=length)
        meter = DriftMeter(num_clips, people)
        for number, clip in enumerate(drawn[length]):
            videos = render(pipeline, clip, num_clips, seed=seed, **choices)
            meter.update(videos, clip, reader)
            on_video(way, number, videos)
        curves[way] = meter.compute()
    return curves


def drift_scenes(scenes: int, *, people: int = 2, seed: int = 0, num_frames: int) -> list[SyntheticClip]:
    """Held-out conversations before a camera that stands still; nobody does anything but talk."""
    quiet = SceneConfig(camera_motion=0.0, event_probability=0.0)
    return held_out_clips(scenes, people=people, seed=seed, overlap_share=0.0, num_frames=num_frames, config=quiet)


def video_length(config: PipelineConfig, num_clips: int, **choices: Any) -> int:
    """Frames of a video that fills so many clips to the last frame: 4n + 1."""
    lengths = {name: choices.get(name) or getattr(config, name) for name in ("clip_frames", "motion_frames")}
    planner = ClipPlanner(**lengths)
    return planner.clip_frames + (num_clips - 1) * (planner.clip_frames - planner.motion_frames)


def run_drift(
    *,
    clips: int = 10,
    scenes: int = 2,
    people: int = 2,
    seed: int = 0,
    model: str = "mini",
    choices: Mapping[str, Any] | None = None,
    compare: bool = False,
    plot: Path | None = None,
    sheet: Path | None = None,
    json: bool = False,
) -> DriftReport:
    """`polytalk evaluate drift`: loads a model, renders, prints figures, writes JSON, plot and a sheet of last frames.

    Args:
        clips: length of the conversations.
        scenes: how many.
        people: in each.
        seed: of scenes and noise.
        model: what `MultiTalkPipeline.from_pretrained` takes.
        choices: of the run; anything left out is the model's default.
        compare: render in each of `WAYS`, with `choices` where a way says nothing.
        plot: PNG to draw the curves in; the figures go beside it, ending in .json.
        sheet: PNG with the last frames of clips from first to last, a row per way and scene.
        json: print one object; progress goes to standard error either way.
    """
    given = dict(choices or {})
    ways = {way: {**given, **own} for way, own in WAYS.items()} if compare else {model: given}
    pipeline = MultiTalkPipeline.from_pretrained(model)
    RunSettings.choose(pipeline.config, **given)  # refuse wrong choices before scenes are drawn
    rows: dict[str, np.ndarray] = {}

    def keep(way: str, scene: int, videos: list[np.ndarray]) -> None:
        rows[f"{way}, scene {scene + 1}"] = np.stack([video[-1] for video in videos])
        print(f"{len(rows)}/{len(ways) * scenes} videos: {way}", file=sys.stderr)

    curves = evaluate_drift(pipeline, ways, num_clips=clips, scenes=scenes, people=people, seed=seed, on_video=keep)
    report = DriftReport(curves, ways, scenes, seed, model)
    print(report.to_json() if json else report.table())
    if plot is not None:
        report.plot(plot)
        plot.with_suffix(".json").write_text(report.to_json() + "\n", encoding="utf-8")
    if sheet is not None:
        contact_sheet(list(rows.values()), sheet, columns=min(5, clips), labels=list(rows))
    return report
