"""`polytalk cast` and the measures of casting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polytalk.cli import options as opt
from polytalk.cli.errors import needs_extra, reports_errors

if TYPE_CHECKING:
    from polytalk.casting.cast import CastProposal
    from polytalk.cli.show import CastWishes
    from polytalk.scene import Scene

Picture = Annotated[Path | None, typer.Argument(help="Picture or video of the people; with --scene none.")]
Save = Annotated[
    Path | None,
    typer.Option(
        help="Scene file to write, .json: correct it by hand, and generate --scene it.", rich_help_panel="Scene"
    ),
]
Scenes = Annotated[int, typer.Option(min=1, help="How many scenes.")]
Seed = Annotated[int, typer.Option(help="Of the scenes and the noise.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Bank = Annotated[Path | None, typer.Option(help="Bank of voices.", show_default="runs/voices, or one made now")]
Tuning = Annotated[bool, typer.Option("--tuning", help="The other half of the voices.")]


def register(app: typer.Typer, evaluate_app: typer.Typer) -> None:
    """Add the commands of casting to the two apps."""
    app.command()(cast)
    evaluate_app.command("casting")(evaluate_casting)
    evaluate_app.command("active-speaker")(evaluate_active_speaker)
    evaluate_app.command("diarization")(evaluate_diarization)
    evaluate_app.command("music")(evaluate_music)
    evaluate_app.command("faces")(evaluate_faces)


@reports_errors
def cast(
    picture: Picture = None,
    recording: opt.Recording = None,
    num_voices: opt.NumVoices = None,
    separate_music: opt.SeparateMusic = False,
    speaker: opt.Speakers = None,
    box: opt.Boxes = None,
    point: opt.Points = None,
    mask: opt.Masks = None,
    script: opt.Script = None,
    voice: opt.Voices = None,
    scene: opt.SceneFile = None,
    prompt: opt.Prompt = None,
    arrangement: opt.Arrangement = None,
    assign: opt.Assign = None,
    swap: opt.Swap = False,
    no_find: opt.NoFind = False,
    save: Save = None,
    preview: opt.Preview = None,
    model: opt.Model = "mini",
    size: opt.FrameSize = None,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
) -> None:
    """Say who is in a picture, who is heard in a recording, and who is who; print JSON, draw a preview."""
    from polytalk.cli.generate import Told, build_scene
    from polytalk.cli.show import CastWishes
    from polytalk.generation.request import Wishes

    shown = _preview_path(preview, save, picture, scene)
    wishes = CastWishes(not no_find, assign or (), point or (), mask or (), swap, shown)
    if not (speaker or recording or script or scene):
        _cast_picture(picture, wishes, force or preview is None)
        return
    told = Told(script, recording, voice or (), num_voices, not no_find, separate_music)
    wanted = build_scene(picture, speaker or [], box or [], prompt, None, scene, arrangement, told)
    _cast_scene(wanted, wishes, Wishes(model=model, size=size), save, quiet, force, force or preview is None)


def _preview_path(given: Path | None, save: Path | None, picture: Path | None, scene: Path | None) -> Path:
    """The file asked for; else one beside what is saved, or in the working folder."""
    if given is not None:
        return given
    beside = save or Path((picture or scene or Path("cast")).name)
    return beside.with_name(f"{beside.stem}.preview.png")


def _cast_picture(picture: Path | None, wishes: CastWishes, force: bool) -> None:
    """Only who is in the picture."""
    import numpy as np

    from polytalk.casting.cast import person_as_dict
    from polytalk.casting.people.find import find_people
    from polytalk.casting.preview import draw_people
    from polytalk.errors import PolytalkError
    from polytalk.media.image import load_image, save_image
    from polytalk.media.output import check_target
    from polytalk.scene.formats.files import pretty_json

    if picture is None:
        raise PolytalkError("picture", "it is missing", "Name a picture of the people, or a --scene.")
    assert wishes.preview is not None
    check_target(wishes.preview, force=force)
    image = load_image(picture)
    people = find_people(np.asarray(image))
    save_image(wishes.preview, draw_people(image, people), force=force)
    found: dict[str, Any] = {"image": str(picture), "width": image.width, "height": image.height}
    found["people"] = [{"number": number, **person_as_dict(one)} for number, one in enumerate(people, start=1)]
    typer.echo(pretty_json({**found, "preview": str(wishes.preview)}))


def _cast_scene(
    scene: Scene, wishes: CastWishes, model: Any, save: Path | None, quiet: bool, force: bool, force_preview: bool
) -> None:
    from rich.console import Console

    from polytalk.casting.cast import save_proposal
    from polytalk.cli.show import look_ahead, propose, show, write_preview
    from polytalk.media.output import check_target
    from polytalk.scene.formats.files import pretty_json

    assert wishes.preview is not None
    for path, may in ((save, force), (wishes.preview, force_preview)):
        if path is not None:
            check_target(path, force=may)
    console = Console(stderr=True, quiet=quiet)
    with console.status("looking who is who", spinner="dots"):
        proposal: CastProposal = propose(scene, wishes)
        shown = look_ahead(proposal, model)
    show(shown, console)
    write_preview(shown, wishes.preview, force=force_preview)
    if save is not None:
        save_proposal(proposal, save, force=force)
    said = {**proposal.as_dict(), "warnings": list(shown.warnings), "preview": str(wishes.preview)}
    if save is not None:
        said["scene"] = str(save)
    typer.echo(pretty_json(said))


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


@reports_errors
def evaluate_active_speaker(scenes: Scenes = 50, seed: Seed = 0, as_json: Json = False) -> None:
    """In drawn videos of two people: does each voice go to the mouth that speaks it?"""
    with needs_extra("train"):
        from polytalk.evaluation.reports.casting import run_active_speaker

        run_active_speaker(scenes=scenes, seed=seed, json=as_json)


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
    from polytalk.scene.formats.files import pretty_json

    with needs_extra("train"):
        from polytalk.evaluation.reports.faces import counted_pictures, run

        report = run(scenes, counted_pictures(picture or ()), seed, carried, sheet)
    if as_json:
        typer.echo(pretty_json(report.as_dict()))
    else:
        report.print()


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
