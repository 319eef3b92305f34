"""Measures of `polytalk evaluate` about long videos and about any video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polytalk.cli import options as opt
from polytalk.cli.errors import needs_extra, reports_errors


def register_long(evaluate_app: typer.Typer) -> None:
    """Add the commands to the app."""
    evaluate_app.command()(conversation)
    evaluate_app.command()(video)


@reports_errors
def conversation(
    seconds: Annotated[float, typer.Option(min=1, help="Length of every conversation.")] = 60.0,
    scenes: Annotated[int, typer.Option(min=1, help="How many conversations.")] = 4,
    people: Annotated[int, typer.Option(min=1, max=4, help="People in every one, who take turns.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the scenes and the noise.")] = 0,
    steps: opt.Steps = None,
    model: opt.Model = "mini",
    lengths: Annotated[
        bool, typer.Option("--lengths/--no-lengths", help="Measure time and memory against the length, too.")
    ] = True,
    plot: Annotated[Path | None, typer.Option(help="Curves to draw, .png: background, time and memory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Is the end of a long conversation as good as its beginning? Sync, right voices, background, memory, time."""
    with needs_extra("train"):
        from polytalk.evaluation.reports.conversation import run_conversation

        run_conversation(
            seconds=seconds,
            scenes=scenes,
            people=people,
            seed=seed,
            model=model,
            steps=steps,
            lengths=lengths,
            plot=plot,
            json=as_json,
        )


@reports_errors
def video(
    file: Annotated[Path, typer.Argument(help="The video, whoever made it.")],
    speaker: opt.Speakers = None,
    box: opt.Boxes = None,
    arrangement: opt.Arrangement = None,
    sheet: Annotated[Path | None, typer.Option(help="Picture of eight frames to write, .png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """How good is a video? Every mouth against every voice, motion in silence, drift and sharpness of faces."""
    with needs_extra("train"):
        from polytalk.evaluation.reports.any_video import run_video

        run_video(file, speaker or [], box or [], arrangement or "together", json=as_json, sheet=sheet)
