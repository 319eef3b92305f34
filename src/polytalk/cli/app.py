"""The command line. Nothing heavy is imported before a command runs, so that help is instant."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from polytalk.cli import options as opt
from polytalk.cli.cast import register
from polytalk.cli.errors import reports_errors
from polytalk.cli.evaluate import register_long
from polytalk.cli.weights import weights_app

app = typer.Typer(
    name="polytalk",
    help="One picture, one voice per person and a prompt in; a talking video out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
evaluate_app = typer.Typer(help="Measure what a model can do.", no_args_is_help=True)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(weights_app, name="weights")


@app.command()
@reports_errors
def generate(
    output: opt.Output,
    image: opt.Image = None,
    video: opt.Video = None,
    speaker: opt.Speakers = None,
    box: opt.Boxes = None,
    prompt: opt.Prompt = None,
    negative_prompt: opt.NegativePrompt = None,
    scene: opt.SceneFile = None,
    script: opt.Script = None,
    recording: opt.Recording = None,
    num_voices: opt.NumVoices = None,
    separate_music: opt.SeparateMusic = False,
    voice: opt.Voices = None,
    point: opt.Points = None,
    mask: opt.Masks = None,
    assign: opt.Assign = None,
    swap: opt.Swap = False,
    no_find: opt.NoFind = False,
    arrangement: opt.Arrangement = None,
    size: opt.FrameSize = None,
    size_class: opt.SizeClass = None,
    max_seconds: opt.MaxSeconds = None,
    close_ups: opt.CloseUps = None,
    height: opt.Height = None,
    preview: opt.Preview = None,
    dry_run: opt.DryRun = False,
    save_masks: opt.SaveMasks = None,
    explain: opt.Explain = None,
    live: opt.Live = False,
    work: opt.Work = None,
    resume: opt.Resume = False,
    redo: opt.Redo = False,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
    seed: opt.Seed = 0,
    preset: opt.PresetName = None,
    steps: opt.Steps = None,
    guidance: opt.GuidanceScale = None,
    audio_guidance: opt.AudioGuidanceScale = None,
    apg: opt.Adaptive = False,
    shift: opt.Shift = None,
    clip_frames: opt.ClipFrames = None,
    motion_frames: opt.MotionFrames = None,
    strength: opt.Strength = None,
    colour: opt.Colour = None,
    hold_still: opt.HoldStill = None,
    idle_motion: opt.IdleMotion = None,
    carry_over: opt.CarryOver = None,
    fixed_masks: opt.FixedMasks = False,
    ungated: opt.Ungated = False,
    model: opt.Model = "mini",
    audio_weights: opt.AudioWeights = None,
    speech_weights: opt.SpeechWeights = None,
    lora: opt.Loras = None,
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    fit: opt.Fit = False,
    vram: opt.Vram = None,
    quantization: opt.Quantization = None,
    offload: opt.Offload = None,
    branch_chunking: opt.BranchChunking = None,
    layerwise_casting: opt.LayerwiseCasting = None,
    vae_tiling: opt.VaeTiling = None,
    vae_dtype: opt.VaeDtype = None,
    compile: opt.Compile = None,
    attention: opt.AttentionBackend = None,
    step_cache: opt.StepCache = None,
    parallel: opt.Parallel = None,
) -> None:
    """Make people in a picture speak, each with their own voice."""
    given = locals()
    from polytalk.cli.generate import Job, Told, build_scene, one_of, run
    from polytalk.cli.show import CastWishes
    from polytalk.generation.request import CloseUpWishes, wishes_of

    shown = one_of(image, video)
    casting = CastWishes(not no_find, assign or (), point or (), mask or (), swap, preview, dry_run)
    told = Told(script, recording, voice or (), num_voices, not no_find, separate_music)
    wanted = build_scene(shown, speaker or [], box or [], prompt, negative_prompt, scene, arrangement, told)
    wishes = wishes_of(given)
    run(
        Job(
            wanted,
            output,
            wishes,
            seed,
            fit=fit,
            vram=vram,
            save_masks=save_masks,
            explain=explain,
            live=live,
            work=work,
            resume=resume,
            redo=redo,
            force=force,
            quiet=quiet,
            casting=casting,
            close_ups=CloseUpWishes(close_ups, height),
        )
    )


@app.command()
@reports_errors
def plan(
    image: opt.Image = None,
    speaker: opt.Speakers = None,
    box: opt.Boxes = None,
    scene: opt.SceneFile = None,
    script: opt.Script = None,
    recording: opt.Recording = None,
    num_voices: opt.NumVoices = None,
    voice: opt.Voices = None,
    arrangement: opt.Arrangement = None,
    size: opt.FrameSize = None,
    size_class: opt.SizeClass = None,
    max_seconds: opt.MaxSeconds = None,
    preset: opt.PresetName = None,
    steps: opt.Steps = None,
    guidance: opt.GuidanceScale = None,
    audio_guidance: opt.AudioGuidanceScale = None,
    clip_frames: opt.ClipFrames = None,
    motion_frames: opt.MotionFrames = None,
    model: opt.PlannedModel = "mini",
    audio_weights: opt.AudioWeights = None,
    speech_weights: opt.SpeechWeights = None,
    lora: opt.Loras = None,
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    gpu: opt.Gpu = None,
    vram: opt.PlannedVram = None,
    ram: opt.Ram = None,
    quantization: opt.Quantization = None,
    offload: opt.Offload = None,
    branch_chunking: opt.BranchChunking = None,
    layerwise_casting: opt.LayerwiseCasting = None,
    vae_tiling: opt.VaeTiling = None,
    vae_dtype: opt.VaeDtype = None,
    compile: opt.Compile = None,
    step_cache: opt.StepCache = None,
    as_json: opt.AsJson = False,
) -> None:
    """Say what a video takes before anything is loaded: frames, memory, time, and the settings that fit."""
    given = locals()
    from polytalk.cli.generate import Told, build_scene
    from polytalk.cli.plan import print_plan
    from polytalk.generation.request import wishes_of

    told = Told(script, recording, voice or (), num_voices)
    wanted = build_scene(image, speaker or [], box or [], None, None, scene, arrangement, told)
    print_plan(wanted, wishes_of(given), gpu=gpu, vram=vram, ram=ram, as_json=as_json)


@app.command()
@reports_errors
def demo(
    output: opt.Output = Path("demo.mp4"),
    seed: opt.Seed = 0,
    steps: opt.Steps = None,
    model: opt.Model = "mini",
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    max_seconds: opt.MaxSeconds = None,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
) -> None:
    """Make two people of Polytalk's own talk to each other."""
    given = locals()
    from polytalk.cli.generate import Job, demo_scene, run
    from polytalk.generation.request import wishes_of

    run(Job(demo_scene(), output, wishes_of(given), seed, force=force, quiet=quiet))


@app.command()
@reports_errors
def train(config: Annotated[Path, typer.Option(help="Stage to train, a TOML file of configs/.")]) -> None:
    """Train one stage of a model; continues where it was interrupted."""
    from polytalk.cli.errors import needs_extra

    with needs_extra("train"):
        from polytalk.training.config import run_config

        typer.echo(f"weights: {run_config(config)}")


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
    from polytalk.cli.errors import needs_extra

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
    from polytalk.cli.errors import needs_extra

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
    from polytalk.cli.errors import needs_extra

    with needs_extra("train"):
        from polytalk.evaluation.reports.report import MEASURES, run_report

        names = MEASURES if only is None else tuple(name.strip() for name in only.split(","))
        run_report(scenes=scenes, quick=quick, only=names, seed=seed, model=model, steps=steps, json=json, sheet=sheet)


@app.command()
@reports_errors
def voices(
    sample: Annotated[str | None, typer.Option(metavar="VOICE", help="Let this voice say something into -o.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Sound to write, .wav.")] = None,
    text: Annotated[str | None, typer.Option(help="What the sample says.", show_default="a sentence")] = None,
    language: Annotated[str | None, typer.Option(help="Only voices that read it, such as en or ja.")] = None,
    force: opt.Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List the voices that can speak a text, or hear one."""
    from polytalk.cli.voices import print_voices, write_sample

    if sample is None and output is None and text is None:
        print_voices(language, as_json)
    else:
        write_sample(sample, output, text, language, force)


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
    from polytalk.cli.errors import needs_extra

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


register(app, evaluate_app)
register_long(evaluate_app)


@app.command()
@reports_errors
def info() -> None:
    """Show the machine, what Polytalk would use of it, the models, and what is missing."""
    from polytalk.cli.info import print_info

    print_info()


def main() -> None:
    """Entry point of `polytalk`."""
    # what libraries say of themselves while they are imported is not the user's business
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    for library in ("torchao", "torch.utils._pytree"):
        logging.getLogger(library).addFilter(lambda record: record.levelno >= logging.ERROR)
    app()


if __name__ == "__main__":
    main()
