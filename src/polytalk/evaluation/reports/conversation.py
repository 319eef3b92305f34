"""Is the end of a long conversation as good as its beginning? `polytalk evaluate conversation`.

Held-out people take turns for a minute, in clips that begin where the one before ended. Mouths are read from the video
as it is streamed, and compared with the voices: in the first and the last ten seconds, and in the first and the last
clip. The background is compared with the picture, clip by clip. Time and memory are measured against the length, each
length in a process of its own (`polytalk.evaluation.reports.length`).
"""

from __future__ import annotations

import json as json_text
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from polytalk.errors import PolytalkError
from polytalk.evaluation.measures.metrics import BackgroundPSNR, SyncMatrix
from polytalk.evaluation.measures.picture_measures import around_people
from polytalk.evaluation.readers.mouth_reader import MouthReader
from polytalk.evaluation.reports.length import LengthReport, measure_lengths
from polytalk.evaluation.reports.output import cell, new_plot, plain, save_plot
from polytalk.evaluation.scenes.conversation_scenes import (
    ConversationScene,
    conversation_scene,
    end_frames,
    prepare,
    stream,
)
from polytalk.evaluation.scenes.generating import GIVEN_FRAMES
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.pipeline.settings import RunSettings
from polytalk.units import FPS

LENGTHS = (1 / 6, 1 / 3, 1 / 2, 1.0)
"""Shares of the conversation's length at which time and memory are measured."""
SYNC_LOSS, RIGHT_LOSS, BACKGROUND_RANGE, MEMORY_GROWTH, TIME_DEVIATION = 0.10, 0.05, 2.0, 1.05, 0.10
"""What may be lost: share of the sync, share of people with the right voice, dB between the best and the worst clip,
peak memory of the longest over the shortest, distance of a time from a straight line."""
BEST_SEEN = 40.0
"""dB of the background that nobody tells from the picture: more counts as this much where clips are compared, since a
clip in which hardly anything moves may be the picture itself."""


@dataclass(frozen=True)
class EndReport:
    """One stretch of the conversations."""

    own: list[float]
    """Per person, mean correlation of the mouth with the own voice."""
    other: list[float]
    """Per person, with the others' voices."""
    right: float
    """Share of people whose mouth follows the own voice most."""
    rows: int
    """People that could be measured, over all scenes."""

    @classmethod
    def of(cls, sync: SyncMatrix) -> EndReport:
        """From what was added up."""
        matrix, found = sync.matrix(), sync.compute()
        others = [np.delete(row, person) for person, row in enumerate(matrix)]
        means = [float(np.nanmean(row)) if np.isfinite(row).any() else math.nan for row in others]
        return cls([float(value) for value in matrix.diagonal()], means, found["diagonal"], int(found["rows"]))

    @property
    def mean_own(self) -> float:
        """Over the people that could be measured."""
        known = [value for value in self.own if math.isfinite(value)]
        return float(np.mean(known)) if known else math.nan


class ConversationMeter:
    """Measures conversations while they are streamed; keeps no frames.

    Args:
        people: in each.
        reader: follows the mouths.
    """

    def __init__(self, people: int, reader: MouthReader) -> None:
        self.reader = reader
        self.syncs = {name: SyncMatrix(people) for name in ("first seconds", "last seconds", "first clip", "last clip")}
        """By stretch."""
        self.backgrounds: list[list[float]] = []
        """Per scene and clip, dB."""

    def update(self, scene: ConversationScene, clips: Iterable[np.ndarray]) -> None:
        """Add a conversation: its clips in order, uint8 (T_i, H, W, 3)."""
        openings, curve, boxes = [], [], scene.clip.mouth_boxes[0]
        people = around_people(scene.clip)
        for number, frames in enumerate(clips):
            (track,) = self.reader.follow([frames], [boxes])
            half = track.size[-1][:, None] / 2
            boxes = np.concatenate([track.centre[-1] - half, track.centre[-1] + half], axis=1)
            openings.append(track.opening)
            made = frames[GIVEN_FRAMES:] if number == 0 and len(frames) > GIVEN_FRAMES else frames
            background = BackgroundPSNR()
            background.update(made, scene.clip.reference, people)
            curve.append(float(background.compute()))
        self.backgrounds.append(curve)
        self._add_syncs(scene, [len(part) for part in openings], np.concatenate(openings))

    def _add_syncs(self, scene: ConversationScene, lengths: Sequence[int], opening: np.ndarray) -> None:
        whole = min(len(opening), scene.num_frames)
        mouth, speaking = scene.talk.mouth.transpose(1, 0, 2)[..., 0], scene.talk.speaking.T
        end = end_frames(whole)
        stretches = {
            "first seconds": slice(GIVEN_FRAMES, end),
            "last seconds": slice(max(GIVEN_FRAMES, whole - end), whole),
            "first clip": slice(GIVEN_FRAMES, lengths[0]),
            "last clip": slice(max(GIVEN_FRAMES, whole - lengths[-1]), whole),
        }
        for name, part in stretches.items():
            self.syncs[name].update(opening[part], mouth[part], speaking[part])

    def curve(self) -> list[float]:
        """Background of clip 1, 2, ..., mean over the scenes that have so many."""
        longest = max((len(curve) for curve in self.backgrounds), default=0)
        return [float(np.mean([c[n] for c in self.backgrounds if len(c) > n])) for n in range(longest)]


@dataclass(frozen=True)
class ConversationReport:
    """What `evaluate_conversation` found; NaN where nothing could be measured."""

    ends: dict[str, EndReport]
    """By stretch: "first seconds", "last seconds", "first clip", "last clip"."""
    background: list[float]
    """dB of clip 1, 2, ..., mean over the scenes."""
    seconds: float
    """Of each conversation."""
    people: int
    """In each."""
    scenes: int
    """Conversations."""
    seed: int
    """Of scenes and noise."""
    model: str = "mini"
    """What was run."""
    lengths: LengthReport | None = None
    """Time and memory."""

    def goals(self) -> list[tuple[str, float, str, bool | None]]:
        """What is asked of a long conversation: name, value, goal, and whether it is met (None: not measured)."""
        first, last = self.ends["first seconds"], self.ends["last seconds"]
        sync = 1 - last.mean_own / first.mean_own if first.mean_own else math.nan
        right = first.right - last.right
        clip = self.ends["first clip"].right - self.ends["last clip"].right
        seen = np.minimum(self.background, BEST_SEEN)
        spread = float(seen.max() - seen.min()) if len(seen) else math.nan
        found = [
            ("sync lost from first to last seconds", sync, SYNC_LOSS),
            ("right voices lost from first to last seconds", right, RIGHT_LOSS),
            ("right voices lost from first to last clip", clip, RIGHT_LOSS),
            (f"background, best minus worst clip, dB up to {BEST_SEEN:g}", spread, BACKGROUND_RANGE),
        ]
        if self.lengths is not None:
            found.append(("peak memory, longest over shortest", self.lengths.memory_growth, MEMORY_GROWTH))
            found.append(("time, distance from a straight line", self.lengths.deviation, TIME_DEVIATION))
        return [(n, v, f"at most {most:g}", v <= most if math.isfinite(v) else None) for n, v, most in found]

    def to_json(self) -> str:
        """One object; NaN becomes null."""
        goals = [dict(zip(("name", "value", "goal", "met"), goal, strict=True)) for goal in self.goals()]
        return json_text.dumps(plain({**asdict(self), "goals": goals}), indent=1)

    def print(self, console: Console | None = None) -> None:
        """Tables of stretches, lengths and goals."""
        console = console or Console()
        ends = Table(title=f"{self.scenes} conversations of {self.seconds:g} s, {self.people} people, {self.model}")
        for name in ("stretch", "person", "own voice", "others'", "right voice", "people measured"):
            ends.add_column(name, justify="left" if name == "stretch" else "right")
        for name, end in self.ends.items():
            for person, pair in enumerate(zip(end.own, end.other, strict=True)):
                rest = ("", "") if person else (cell(end.right), str(end.rows))
                ends.add_row("" if person else name, str(person + 1), *map(cell, pair), *rest)
        console.print(ends)
        if self.lengths is not None:
            console.print(_length_table(self.lengths))
        goals = Table("measure", "value", "goal", "met")
        for name, value, goal, met in self.goals():
            goals.add_row(name, cell(value), goal, {True: "yes", False: "no", None: "-"}[met])
        console.print(goals)

    def plot(self, path: str | Path) -> None:
        """A PNG with the background by clip, and time and memory by length.

        Raises:
            PolytalkError: matplotlib is missing, or the file cannot be written.
        """
        figure = new_plot(4.4 * (3 if self.lengths else 1))
        axes = figure.subplots(1, 3 if self.lengths else 1, squeeze=False)[0]
        axes[0].plot(range(1, len(self.background) + 1), self.background, marker=".")
        axes[0].set(title="background", xlabel="clip", ylabel="PSNR to the picture, dB")
        if self.lengths:
            costs = self.lengths.costs
            lengths = [cost.seconds for cost in costs]
            axes[1].plot(lengths, [cost.processor for cost in costs], marker="o", label="processor")
            axes[1].plot(lengths, [cost.wall for cost in costs], marker="x", linestyle=":", label="wall clock")
            axes[1].set(title="time", xlabel="seconds of video", ylabel="seconds", ylim=(0, None), xlim=(0, None))
            axes[1].legend()
            axes[2].plot(lengths, [cost.peak / 2**30 for cost in costs], marker="o")
            axes[2].set_ylim(0, 1.3 * max(cost.peak for cost in costs) / 2**30)
            axes[2].set(title="peak memory", xlabel="seconds of video", ylabel="GiB", xlim=(0, None))
        save_plot(figure, path)


def _length_table(lengths: LengthReport) -> Table:
    table = Table("length", "clips", "wall clock", "processor", "peak memory")
    for cost in lengths.costs:
        times = (f"{cost.wall:.1f} s", f"{cost.processor:.1f} s")
        table.add_row(f"{cost.seconds:g} s", str(cost.clips), *times, f"{cost.peak / 2**30:.2f} GiB")
    table.caption = f"{lengths.seconds_per_second:.2f} s of processor time for each further second of video"
    return table


def evaluate_conversation(
    pipeline: MultiTalkPipeline,
    scenes: Iterable[ConversationScene],
    *,
    seed: int = 0,
    model: str = "mini",
    reader: MouthReader | None = None,
    on_clip: Callable[[int, int, np.ndarray], None] = lambda scene, clip, frames: None,
    **choices: Any,
) -> ConversationReport:
    """Stream conversations and compare their ends.

    Args:
        pipeline: renders.
        scenes: of one length and number of people; each is drawn when its turn comes.
        seed: of the noise.
        model: noted in the report.
        reader: the shipped one by default.
        on_clip: called with scene, clip and its frames as soon as they are finished.
        choices: as to the pipeline.

    Raises:
        PolytalkError: no scene, or a choice is wrong.
    """
    RunSettings.choose(pipeline.config, **choices)  # refuse wrong choices before anything is drawn
    meter: ConversationMeter | None = None
    count, last = 0, None
    for count, scene in enumerate(scenes, start=1):
        last = scene
        meter = meter or ConversationMeter(scene.talk.mouth.shape[0], reader or MouthReader.from_pretrained())
        clips = stream(pipeline, scene, prepare(pipeline, scene), seed=seed, **choices)
        meter.update(scene, _watched(clips, count - 1, on_clip))
    if meter is None or last is None:
        raise PolytalkError("scenes", "there is none", "Give at least one.")
    ends = {name: EndReport.of(sync) for name, sync in meter.syncs.items()}
    people = last.talk.mouth.shape[0]
    return ConversationReport(ends, meter.curve(), last.num_frames / FPS, people, count, seed, model)


def _watched(
    clips: Iterator[np.ndarray], scene: int, on_clip: Callable[[int, int, np.ndarray], None]
) -> Iterator[np.ndarray]:
    for number, frames in enumerate(clips):
        on_clip(scene, number, frames)
        yield frames


def run_conversation(
    *,
    seconds: float = 60.0,
    scenes: int = 4,
    people: int = 2,
    seed: int = 0,
    model: str = "mini",
    steps: int | None = None,
    lengths: bool = True,
    plot: Path | None = None,
    json: bool = False,
) -> ConversationReport:
    """`polytalk evaluate conversation`: load a model, evaluate it, print tables or one JSON object.

    Args:
        seconds: of each conversation.
        scenes: how many.
        people: in each, 1 to 4.
        seed: of scenes and noise.
        model: what `MultiTalkPipeline.from_pretrained` takes.
        steps: of the sampler; None is the model's default.
        lengths: measure time and memory, too, at shares of the length.
        plot: PNG to draw curves in.
        json: print one object; progress goes to standard error either way.
    """
    if scenes < 1:
        raise PolytalkError("scenes", f"it is {scenes}", "Give at least one.")
    pipeline = MultiTalkPipeline.from_pretrained(model)
    drawn = (conversation_scene(number, seconds, people=people, seed=seed) for number in range(scenes))
    began = time.monotonic()

    def tell(scene: int, clip: int, frames: np.ndarray) -> None:
        print(f"scene {scene + 1}/{scenes}, clip {clip + 1}, {time.monotonic() - began:.0f} s", file=sys.stderr)

    choices: Any = {} if steps is None else {"num_inference_steps": steps}
    report = evaluate_conversation(pipeline, drawn, seed=seed, model=model, on_clip=tell, **choices)
    if lengths:
        del pipeline  # the processes need the memory
        wanted = sorted({max(1.0, round(share * seconds, 1)) for share in LENGTHS})
        costs = measure_lengths(wanted, people=people, seed=seed, model=model, steps=steps, progress=_tell_cost)
        report = replace(report, lengths=costs)
    print(report.to_json()) if json else report.print()
    if plot is not None:
        report.plot(plot)
    return report


def _tell_cost(cost: Any) -> None:
    print(f"{cost.seconds:g} s: {cost.wall:.1f} s, {cost.peak / 2**30:.2f} GiB", file=sys.stderr)
