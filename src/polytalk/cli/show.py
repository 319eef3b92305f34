"""What the command line shows of a run: tables before it, a bar on the way, and a line at the end."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.status import Status
from rich.table import Table

from polytalk.cli.errors import in_flags
from polytalk.generation import events
from polytalk.motion.prompted import acts_in
from polytalk.pipeline.progress import Progress

if TYPE_CHECKING:
    from polytalk.generation.generate import GenerateResult
    from polytalk.generation.preflight import Preflight

_MOST_TURNS = 12
"""Rows of the timeline that are shown."""


class RunView:
    """Shows the events of `generate` as they come; a context, so that bars and spinners end with it.

    Args:
        console: where to.
        who: whether people and timeline are shown.
    """

    def __init__(self, console: Console, *, who: bool = True) -> None:
        self.console, self.who = console, who
        self._started = time.monotonic()
        self._status: Status | None = None
        self._bar: ProgressBar | None = None

    def __enter__(self) -> RunView:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        if isinstance(event, Progress):
            self._step(event)
            return
        self._stop()
        match event:
            case events.Begins(work):
                self._status = self.console.status(work, spinner="dots")
                self._status.start()
            case events.WhoIsWho(preflight, preview):
                if self.who and not self.console.quiet:
                    show(preflight, self.console)
                if preview is not None:
                    self.console.print(f"[bold]{preview}[/] shows who is where")
            case events.Fitted(options, clip_frames):
                self.console.print(f"fits with: {in_flags(options)}, clips of {clip_frames} frames")
            case events.Loaded(model, device, dtype):
                self.console.print(f"model {model} on {device}, {dtype}")
            case events.CloseUpsPlanned():
                self.console.print(_close_ups(event))
            case events.Explained(report):
                report.print(self.console)

    def end(self, result: GenerateResult) -> None:
        """One line about what was made."""
        self._stop()
        if result.output is None:
            return
        height, width = result.size
        spent = time.monotonic() - self._started
        made = f"{result.seconds:.1f} s of {width} × {height}"
        pace = f"made in {spent:.0f} s ({spent / result.seconds:.1f} s per second)"
        self.console.print(f"[bold]{result.output}[/]: {made}, {pace}")

    def _step(self, event: Progress) -> None:
        if self._bar is None:
            self._stop()
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("steps"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            self._bar = ProgressBar(*columns, console=self.console)
            self._bar.add_task("starting", total=None)
            self._bar.start()
        name = event.stage.value if event.num_clips == 0 else f"clip {event.clip + 1}/{event.num_clips}"
        activity = "" if event.num_clips == 0 else f" {event.stage.value}"
        done, total = event.clip * event.num_steps + event.step, event.num_clips * event.num_steps
        self._bar.update(self._bar.task_ids[0], description=name + activity, completed=done, total=total or None)

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
        if self._bar is not None:
            self._bar.stop()
        self._status = self._bar = None


def _close_ups(event: events.CloseUpsPlanned) -> str:
    (height, width), (rows, columns) = event.picture, event.frame
    heads = "a head" if event.heads == 1 else f"{event.heads} heads side by side"
    return f"close-ups: {heads} in {columns} × {rows}, laid into {width} × {height}; --no-close-ups leaves them out"


def show(shown: Preflight, console: Console) -> None:
    """People, timeline, notes and warnings as tables and lines."""
    people = Table(title="who is who", title_justify="left")
    for column in ("speaker", "where", "box", "voice", "speaks", "why"):
        people.add_column(column, overflow="fold", no_wrap=column in ("box", "speaks"))
    for row in shown.people:
        speaks = f"{row.seconds:.1f} s"
        people.add_row(*map(escape, (row.name, row.person, str(row.box), row.voice, speaks, row.why)))
    console.print(people)
    console.print(_timeline(shown))
    if asked := _asked_for(shown):
        console.print(f"Asked for in the prompt: {escape(asked)}.", highlight=False, soft_wrap=True)
    for note in shown.proposal.notes:
        console.print(f"Note: {escape(note)}.", highlight=False, soft_wrap=True)
    for warning in shown.warnings:
        console.print(f"[yellow]Warning:[/] {escape(warning)}.", highlight=False, soft_wrap=True)


def _asked_for(shown: Preflight) -> str:
    """What models that are told how people move will do: "Anna waves; camera moves in"."""
    row = sorted(shown.people, key=lambda person: person.box.left + person.box.right)
    acts = acts_in(shown.scene.prompt, len(row))
    return "; ".join(act.name if act.person < 0 else f"{row[act.person].name} {act.name}" for act in acts)


def _timeline(shown: Preflight) -> Table:
    table = Table(title=f"timeline, {shown.seconds:.1f} s", title_justify="left")
    for column in ("from", "to", "speaker", "says"):
        table.add_column(column, justify="right" if column in ("from", "to") else "left")
    for turn in shown.turns[:_MOST_TURNS]:
        words = turn.words if len(turn.words) <= 60 else turn.words[:59] + "…"
        table.add_row(f"{turn.start:.2f}", f"{turn.end:.2f}", escape(turn.name), escape(words))
    if len(shown.turns) > _MOST_TURNS:
        table.add_row("", "", "", f"and {len(shown.turns) - _MOST_TURNS} more")
    return table
