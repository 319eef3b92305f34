"""Everything that says how good a model is, in one table: `polytalk evaluate report`.

Scenes that no training run has seen are rendered once and read by every measure; beside each figure stand what the
drawn truth scores, what the truth scores after it went through the autoencoder, and what chance gives. docs/measures.md
tells what each figure means.
"""

from __future__ import annotations

import json as json_text
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from polytalk.errors import PolytalkError
from polytalk.evaluation.measures.actions import in_other_words, without_action
from polytalk.evaluation.measures.identity import NOT_ONE
from polytalk.evaluation.readers.face_reader import FaceReader
from polytalk.evaluation.readers.identity_reader import IdentityReader
from polytalk.evaluation.readers.mouth_reader import MouthReader
from polytalk.evaluation.reports.binding import evaluate_binding
from polytalk.evaluation.reports.contact_sheet import contact_sheet
from polytalk.evaluation.reports.output import cell, plain
from polytalk.evaluation.reports.parts import (
    Actions,
    Crossing,
    Figure,
    Identity,
    Life,
    Picture,
    ReportPart,
    Shapes,
    binding_figures,
)
from polytalk.evaluation.scenes.generating import Generate, Request, pipeline_generator
from polytalk.evaluation.scenes.held_out import held_out_clips
from polytalk.evaluation.scenes.renderings import (
    ACTION_SCENES,
    VIEWS,
    Remembering,
    SceneSet,
    Stopwatch,
    render_scenes,
    scene_config,
)
from polytalk.models.components import Components
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import SyntheticClip

MEASURES = ("binding", "crossing", "shapes", "picture", "identity", "life", "actions", "speed")
"""What `only` chooses among."""
_ON_TALK = ("shapes", "picture", "identity", "life")
QUICK_SCENES = 4
CROSSING_SCENES = SceneConfig(
    crossing_probability=1.0, event_probability=1.0, max_events=1, camera_motion=0.0, head_size=(0.45, 0.7)
)
SHEET_SOURCES = (
    ("flat person", "outlined person"), ("painted person", "sketch person"), ("flat animal", "painted animal"),
    ("3-D person", "3-D person"), ("portrait", "painted person"), ("outlined animal", "sketch animal"),
)  # fmt: skip
"""People of each scene of the sheet."""


@dataclass(frozen=True)
class Report:
    """What `evaluate_report` found."""

    figures: list[Figure]
    machine: str
    scenes: int
    """Of each kind."""
    seed: int
    model: str = "mini"
    sharpness: tuple[float, ...] = ()
    """Of generated faces over the picture's, frame by frame."""

    def to_json(self) -> str:
        """One object; NaN becomes null."""
        lines = [
            {**asdict(figure), "goal": str(figure.goal) if figure.goal else None, "met": figure.met}
            for figure in self.figures
        ]
        whole = {name: getattr(self, name) for name in ("model", "machine", "scenes", "seed")}
        whole |= {"figures": plain(lines), "sharpness": plain(self.sharpness)}
        return json_text.dumps(whole, ensure_ascii=False, indent=1)

    def print(self, console: Console | None = None) -> None:
        """A table with a line for each figure."""
        console = console or Console()
        if not console.is_terminal:
            console.width = 130  # a file has room for whole lines
        table = Table(title=f"{self.model}: {self.scenes} scenes of each kind, seed {self.seed}")
        for name in ("measure", "", "generated", "truth", "rebuilt truth", "floor", "goal", "met"):
            table.add_column(name, justify="left" if name in ("measure", "") else "right", no_wrap=True)
        before = ""
        for line in self.figures:
            values = (line.generated, line.truth, line.reconstruction, line.floor)
            cells = [cell(value, ".3g") for value in values]
            met = {True: "yes", False: "no", None: ""}[line.met]
            table.add_row(line.measure * (line.measure != before), line.name, *cells, str(line.goal or ""), met)
            before = line.measure
        console.print(table)
        console.print(self.machine)


@dataclass(frozen=True)
class ReportSettings:
    """What is measured."""

    scenes: int = 64
    """Of each kind: with one, two, three and four people, crossing, and with actions."""
    people: tuple[int, ...] = (1, 2, 3, 4)
    only: tuple[str, ...] = MEASURES
    seed: int = 0
    num_frames: int = 33

    def __post_init__(self) -> None:
        if self.scenes < 1:
            raise PolytalkError("scenes", f"it is {self.scenes}", "Give at least one.")
        unknown = sorted(set(self.only) - set(MEASURES))
        if unknown or not self.only:
            raise PolytalkError("only", f"unknown: {', '.join(unknown)}", f"Choose among {', '.join(MEASURES)}.")


def evaluate_report(
    generate: Generate,
    components: Components,
    settings: ReportSettings,
    *,
    model: str = "mini",
    progress: Callable[[str], None] = lambda text: None,
) -> Report:
    """Render held-out scenes and measure everything that was asked for.

    Args:
        generate: renders; `pipeline_generator` makes one.
        components: the model's parts, whose autoencoder rebuilds the truth.
        settings: what is measured, on how many scenes.
        model: noted in the report.
        progress: called with a line of progress now and then.
    """
    watch = Stopwatch(generate)
    readers = Remembering(MouthReader.from_pretrained(), FaceReader.from_pretrained())
    makers: dict[str, Callable[[], ReportPart]] = {
        "shapes": Shapes,
        "picture": lambda: Picture(settings.num_frames),
        "identity": lambda: Identity(IdentityReader.from_pretrained()),
        "life": Life,
    }
    parts = {name: makers[name]() for name in _ON_TALK if name in settings.only}
    figures: list[Figure] = []
    if parts or {"binding", "speed"} & set(settings.only):
        # without binding, two people say enough
        counts = settings.people if "binding" in settings.only else settings.people[:2]
        for people in counts:
            figures += _talk(watch, components, readers, parts, settings, people, progress)
    if "crossing" in settings.only:
        figures += _crossing(watch, components, readers, settings, progress)
    for part in parts.values():
        figures += part.figures()
    if "actions" in settings.only:
        figures += _actions(watch, components, readers, settings, progress)
    if watch.seconds and "speed" in settings.only:
        figures.append(Figure("speed", "frames a second", watch.frames / watch.seconds))
    picture = parts.get("picture")
    curve = picture.curve() if isinstance(picture, Picture) else []
    return Report(figures, machine_name(components), settings.scenes, settings.seed, model, tuple(curve))


def _talk(
    watch: Stopwatch,
    components: Components,
    readers: Remembering,
    parts: dict[str, ReportPart],
    settings: ReportSettings,
    people: int,
    progress: Callable[[str], None],
) -> list[Figure]:
    """Scenes of so many people: their part of every measure, and the figures of binding."""

    def rendered(done: int) -> None:
        progress(f"{people} people: {done}/{settings.scenes} scenes")

    scenes = render_scenes(
        watch,
        components,
        settings.scenes,
        people,
        seed=settings.seed,
        num_frames=settings.num_frames,
        progress=rendered,
    )
    if parts:
        for view in VIEWS:
            views = scenes.views(view, readers)
            for part in parts.values():
                part.update(view, views)
    found = []
    if "binding" in settings.only:
        exchange = _own_voices_known(scenes, watch)
        progress(f"{people} people: exchanged voices")
        clips = scenes.clips
        report = evaluate_binding(exchange, clips, seed=settings.seed, reader=readers)
        rebuilt = evaluate_binding(scenes.replay("reconstruction"), clips, reader=readers, swap=False)
        found = binding_figures(report, rebuilt)
    readers.forget()
    return found


def _own_voices_known(scenes: SceneSet, generate: Generate) -> Generate:
    """Renders what was not rendered yet: scenes with other voices than their own."""
    known = scenes.replay("generated")

    def render(requests: Sequence[Request]) -> list[np.ndarray]:
        return [
            (known if np.array_equal(audio, clip.audio) else generate)([(clip, audio)])[0] for clip, audio in requests
        ]

    return render


def _crossing(
    watch: Stopwatch,
    components: Components,
    readers: Remembering,
    settings: ReportSettings,
    progress: Callable[[str], None],
) -> list[Figure]:
    def rendered(done: int) -> None:
        progress(f"crossing: {done}/{settings.scenes} scenes")

    part = Crossing(MouthReader.from_pretrained(), IdentityReader.from_pretrained())
    # the one built-in portrait cannot be progress from itself
    config = scene_config(CROSSING_SCENES)
    config = replace(config, sources=tuple(s for s in config.sources if s[0] not in NOT_ONE))
    chosen: Any = {"seed": settings.seed, "num_frames": settings.num_frames, "config": config, "progress": rendered}
    scenes = render_scenes(watch, components, settings.scenes, 2, **chosen)
    for view in VIEWS:
        part.update(view, scenes.views(view, readers))
    readers.forget()
    return part.figures()


def _actions(
    watch: Stopwatch,
    components: Components,
    readers: Remembering,
    settings: ReportSettings,
    progress: Callable[[str], None],
) -> list[Figure]:
    part, rng = Actions(), np.random.default_rng(settings.seed)
    for people, count in ((2, (settings.scenes + 1) // 2), (1, settings.scenes // 2)):
        if not count:
            continue

        def rendered(done: int, people: int = people, count: int = count) -> None:
            progress(f"actions, {people} people: {done}/{count} scenes")

        chosen: Any = {"seed": settings.seed, "num_frames": settings.num_frames, "progress": rendered}
        scenes = render_scenes(watch, components, count, people, config=ACTION_SCENES, **chosen)
        for view in VIEWS:
            views = scenes.views(view, readers)
            part.update("named", view, views)
            if view != "generated":
                part.update("unnamed", view, views)
        for way, say in (("other words", lambda clip: in_other_words(clip, rng)), ("unnamed", _plain)):
            progress(f"actions, {people} people: {way}")
            videos = [watch([(replace(clip, prompt=say(clip)), clip.audio)])[0] for clip in scenes.clips]
            changed = SceneSet(scenes.scenes, {**scenes.frames, "generated": videos})
            part.update(way, "generated", changed.views("generated", readers))
        readers.forget()
    return part.figures()


def _plain(clip: SyntheticClip) -> str:
    return without_action(clip.prompt)


def machine_name(components: Components) -> str:
    """What the figures were made on."""
    return (
        f"{platform.node()}: {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"{components.device}, {str(components.dtype).removeprefix('torch.')}, PyTorch {torch.__version__}"
    )


def sheet_clips(seed: int = 0, num_frames: int = 33) -> list[SyntheticClip]:
    """One scene of two people for each entry of `SHEET_SOURCES`; the same in every run."""
    clips = []
    for number, sources in enumerate(SHEET_SOURCES):
        config = replace(scene_config(), sources=tuple((name, 1.0) for name in sources), same_style=0.0)
        clips += held_out_clips(
            1, people=2, seed=5000 + 10 * seed + number, num_frames=num_frames, config=config, overlap_share=0.0
        )
    return clips


def draw_sheet(generate: Generate, path: Path, seed: int = 0, num_frames: int = 33) -> None:
    """Write a PNG of six scenes, eight frames each: the drawn truth, and what was generated below it."""
    rows, labels = [], []
    for clip in sheet_clips(seed, num_frames):
        rows += [clip.frames, generate([(clip, clip.audio)])[0]]
        labels += [f"drawn: {' | '.join(clip.styles)}", f"generated: {clip.prompt[:110]}"]
    try:
        contact_sheet(rows, path, columns=8, labels=labels)
    except (OSError, ValueError) as error:
        raise PolytalkError(str(path), f"cannot be written ({error})", "Name a .png in a folder of yours.") from None


def run_report(
    *,
    scenes: int = 64,
    quick: bool = False,
    only: Sequence[str] = MEASURES,
    seed: int = 0,
    model: str = "mini",
    steps: int | None = None,
    json: Path | None = None,
    sheet: Path | None = None,
) -> Report:
    """`polytalk evaluate report`: loads a model, measures it, prints a table, writes JSON and a sheet.

    Args:
        scenes: of each kind.
        quick: at most four scenes of each kind, one and two people only.
        only: names among `MEASURES`.
        seed: of the scenes and the noise.
        model: what `MultiTalkPipeline.from_pretrained` takes.
        steps: sampling steps, the model's default when None.
        json: file for the figures.
        sheet: PNG with six scenes to look at.
    """
    settings = ReportSettings(scenes, only=tuple(only), seed=seed)
    if quick:
        settings = replace(settings, scenes=min(scenes, QUICK_SCENES), people=(1, 2))
    pipeline = MultiTalkPipeline.from_pretrained(model)
    choices: dict[str, Any] = {} if steps is None else {"num_inference_steps": steps}
    generate = pipeline_generator(pipeline, seed=seed, **choices)
    began = time.monotonic()

    def progress(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr)

    if sheet is not None:
        draw_sheet(generate, sheet, seed)
        progress(f"wrote {sheet}")
    report = evaluate_report(generate, pipeline.components, settings, model=model, progress=progress)
    report.print()
    if json is not None:
        json.write_text(report.to_json() + "\n", encoding="utf-8")
    return report
