"""`polytalk evaluate`: what a model can do, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polytalk.cli import options as opt
from polytalk.cli.errors import needs_extra, reports_errors

Scenes = Annotated[int, typer.Option(min=1, help="How many scenes.")]
Seed = Annotated[int, typer.Option(help="Of the scenes and the noise.")]
Json = opt.AsJson
Bank = Annotated[Path | None, typer.Option(help="Bank of voices.", show_default="runs/voices, or one made now")]
Tuning = Annotated[bool, typer.Option("--tuning", help="The other half of the voices.")]

evaluate_app = typer.Typer(help="Measure what a model can do.", no_args_is_help=True)


@evaluate_app.callback()
def evaluate() -> None:
    """Measure what a model can do."""


@evaluate_app.command()
@reports_errors
def binding(
    people: Annotated[int, typer.Option(min=1, max=4, help="People in every scene.")] = 2,
    scenes: Annotated[int, typer.Option(min=1, help="How many scenes.")] = 32,
    seed: Annotated[int, typer.Option(help="Of the scenes and the noise.")] = 0,
    frames: Annotated[int, typer.Option(min=5, help="Length of every scene, 4n + 1.")] = 33,
    caught: Annotated[bool, typer.Option("--caught", help="The pictures have caught mouths open, too.")] = False,
    steps: opt.Steps = None,
    model: opt.Model = "mini",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Does each mouth follow its own voice? On held-out scenes, read from the pixels."""
    with needs_extra("train"):
        from polytalk.evaluation.reports.binding import run_binding

        run_binding(
            people=people,
            scenes=scenes,
            seed=seed,
            json=as_json,
            model=model,
            frames=frames,
            steps=steps,
            caught=caught,
        )


@evaluate_app.command()
@reports_errors
def crossing(
    scenes: Annotated[int, typer.Option(min=1, help="How many scenes, each rendered three times.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the scenes and the noise.")] = 0,
    steps: opt.Steps = None,
    model: opt.Model = "mini",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Do voices stay with people who change sides? With fixed masks, and with masks that follow."""
    with needs_extra("train"):
        from polytalk.evaluation.reports.crossing import run_crossing

        run_crossing(scenes=scenes, seed=seed, json=as_json, model=model, steps=steps)


@evaluate_app.command()
@reports_errors
def report(
    scenes: Annotated[int, typer.Option(min=1, help="Scenes of each kind.")] = 64,
    quick: Annotated[
        bool, typer.Option("--quick", help="At most four scenes of each kind, one and two people.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="Of binding, crossing, shapes, picture, identity, life, actions, speed."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the scenes and the noise.")] = 0,
    steps: opt.Steps = None,
    model: opt.Model = "mini",
    json: Annotated[Path | None, typer.Option(help="File to write the figures to.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Picture to write: six scenes, drawn and generated.")] = None,
) -> None:
    """Everything that says how good a model is: each figure beside the truth's, the autoencoder's and chance's."""
    with needs_extra("train"):
        from polytalk.evaluation.reports.report import MEASURES, run_report

        names = MEASURES if only is None else tuple(name.strip() for name in only.split(","))
        run_report(scenes=scenes, quick=quick, only=names, seed=seed, model=model, steps=steps, json=json, sheet=sheet)


@evaluate_app.command()
@reports_errors
def drift(
    clips: Annotated[int, typer.Option(min=1, help="Length of every conversation.")] = 10,
    scenes: Annotated[int, typer.Option(min=1, help="How many conversations.")] = 2,
    people: Annotated[int, typer.Option(min=1, max=4, help="People in every one.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the scenes and the noise.")] = 0,
    model: opt.Model = "mini",
    motion_frames: opt.MotionFrames = None,
    colour: opt.Colour = None,
    carry_over: opt.CarryOver = None,
    compare: Annotated[bool, typer.Option("--compare", help="Each measure against drift, off and on.")] = False,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Curves to draw, .png; the figures lie beside it as .json.")
    ] = Path("drift.png"),
    sheet: Annotated[Path | None, typer.Option(help="Picture of every clip's last frame to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What does a long video lose from clip to clip? Faces, colours, sharpness, background and sync by clip number."""
    with needs_extra("train"):
        from polytalk.evaluation.reports.drift import run_drift

        chosen = {"motion_frames": motion_frames, "colour_strength": colour, "carry_over": carry_over}
        run_drift(
            clips=clips,
            scenes=scenes,
            people=people,
            seed=seed,
            model=model,
            choices={name: value for name, value in chosen.items() if value is not None},
            compare=compare,
            plot=output,
            sheet=sheet,
            json=as_json,
        )


@evaluate_app.command("casting")
@reports_errors
def evaluate_casting(
    scenes: Scenes = 50,
    people: Annotated[int, typer.Option(min=1, max=4, help="People in every scene.")] = 2,
    seed: Seed = 0,
    frames: Annotated[int, typer.Option(min=5, help="Length of every scene, 4n + 1.")] = 101,
    known: Annotated[bool, typer.Option("--known", help="Tell how many voices there are.")] = False,
    steps: opt.Steps = None,
    model: opt.Model = "mini",
    as_json: Json = False,
) -> None:
    """Picture and one mixed recording, no boxes: do people get the right voice? Against true boxes and tracks."""
    with needs_extra("train"):
        from polytalk.evaluation.reports.casting import run_casting

        run_casting(
            scenes=scenes,
            people=people,
            seed=seed,
            frames=frames,
            known=known,
            steps=steps,
            model=model,
            json=as_json,
        )


@evaluate_app.command("active-speaker")
@reports_errors
def evaluate_active_speaker(scenes: Scenes = 50, seed: Seed = 0, as_json: Json = False) -> None:
    """In drawn videos of two people: does each voice go to the mouth that speaks it?"""
    with needs_extra("train"):
        from polytalk.evaluation.reports.casting import run_active_speaker

        run_active_speaker(scenes=scenes, seed=seed, json=as_json)


@evaluate_app.command("faces")
@reports_errors
def evaluate_faces(
    scenes: Annotated[int, typer.Option(min=0, help="How many drawn scenes.")] = 200,
    seed: Seed = 0,
    picture: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE=PEOPLE", help="A picture, or a folder of pictures, and how many people each shows."),
    ] = None,
    carried: Annotated[bool, typer.Option(help="Also photographs that scikit-image carries.")] = True,
    sheet: Annotated[Path | None, typer.Option(help="Picture file to write: 24 scenes with what was found.")] = None,
    as_json: Json = False,
) -> None:
    """How many people are found, and how exactly: in held-out drawn scenes, and in pictures whose people one counts."""
    from polytalk.scene.formats.registry import pretty_json

    with needs_extra("train"):
        from polytalk.evaluation.reports.faces import counted_pictures, run

        report = run(scenes, counted_pictures(picture or ()), seed, carried, sheet)
    if as_json:
        typer.echo(pretty_json(report.as_dict()))
    else:
        report.print()


@evaluate_app.command("diarization")
@reports_errors
def evaluate_diarization(
    conversations: Annotated[int, typer.Option(min=1, help="How many.")] = 100,
    voices: Annotated[
        int | None, typer.Option(min=1, max=8, help="Voices in every one.", show_default="2, 3, 4 in turn")
    ] = None,
    seed: Seed = 0,
    bank: Bank = None,
    tuning: Tuning = False,
    as_json: Json = False,
) -> None:
    """Are the voices of a recording told apart? Errors on conversations made of many voices."""
    from rich.console import Console
    from rich.progress import Progress

    from polytalk.evaluation.reports.diarization import run_diarization

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("listening", total=conversations)
        run_diarization(
            conversations=conversations,
            voices=voices,
            seed=seed,
            bank=bank,
            tuning=tuning,
            json=as_json,
            progress=lambda done, total: bar.update(task, completed=done),
        )


@evaluate_app.command("music")
@reports_errors
def evaluate_music(
    recordings: Annotated[int, typer.Option(min=1, help="How many of each kind.")] = 100,
    seed: Seed = 0,
    bank: Bank = None,
    tuning: Tuning = False,
    as_json: Json = False,
) -> None:
    """Is music under voices noticed, and none where there is none?"""
    from polytalk.evaluation.reports.music import run_music

    run_music(recordings=recordings, seed=seed, bank=bank, tuning=tuning, json=as_json)


@evaluate_app.command()
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


@evaluate_app.command()
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
