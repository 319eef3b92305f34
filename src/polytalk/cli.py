"""The command line. Nothing heavy is imported before a command runs, so that help is instant."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from polytalk.cli_errors import reports_errors
from polytalk.cli_weights import weights_app

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

Output = Annotated[Path, typer.Option("-o", "--output", help="Video to write, .mp4.")]
Seed = Annotated[int, typer.Option(help="Same seed, same video.")]
Steps = Annotated[
    int | None, typer.Option(help="Sampling steps; more is slower and finer.", show_default="the model's")
]
GuidanceScale = Annotated[
    float | None, typer.Option("--guidance", help="How closely the prompt is followed; 1 is off and fastest.")
]
AudioGuidanceScale = Annotated[
    float | None, typer.Option("--audio-guidance", help="How closely the voices are followed; 1 is off and fastest.")
]
Adaptive = Annotated[
    bool, typer.Option("--apg", help="Adaptive projected guidance: strong scales without burnt colours.")
]
Model = Annotated[str, typer.Option(help="An embedded model, or a folder with model_index.json.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 or mps.", show_default="the best there is")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.", show_default="the fastest")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
MaxSeconds = Annotated[
    float | None, typer.Option(help="Stop the video after so many seconds.", show_default="the sound's")
]
SaveMasks = Annotated[Path | None, typer.Option(help="Picture to write that shows who is where, e.g. masks.png.")]


@app.command()
@reports_errors
def generate(
    output: Output,
    image: Annotated[Path | None, typer.Option(help="Picture of the people.")] = None,
    speaker: Annotated[
        list[Path] | None, typer.Option(help="A person's voice, any sound or video file; once per person.")
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(help="x0,y0,x1,y1: where the speaker named before is, in pixels of the picture as shown."),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What happens, in words.")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What must not happen.")] = None,
    scene: Annotated[Path | None, typer.Option(help="Scene file instead of --image, --speaker and --box.")] = None,
    arrangement: Annotated[
        str | None, typer.Option(help="together: all voices start at once. turns: one after the other.")
    ] = None,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: GuidanceScale = None,
    audio_guidance: AudioGuidanceScale = None,
    apg: Adaptive = False,
    model: Model = "mini",
    device: Device = None,
    dtype: Dtype = None,
    max_seconds: MaxSeconds = None,
    save_masks: SaveMasks = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make people in a picture speak, each with their own voice."""
    from polytalk.cli_generate import Job, build_scene, run

    wanted = build_scene(image, speaker or [], box or [], prompt, negative_prompt, scene, arrangement)
    run(
        Job(
            wanted,
            output,
            model=model,
            device=device,
            dtype=dtype,
            seed=seed,
            steps=steps,
            guidance=guidance,
            audio_guidance=audio_guidance,
            adaptive=apg,
            max_seconds=max_seconds,
            save_masks=save_masks,
            force=force,
            quiet=quiet,
        )
    )


@app.command()
@reports_errors
def demo(
    output: Output = Path("demo.mp4"),
    seed: Seed = 0,
    steps: Steps = None,
    model: Model = "mini",
    device: Device = None,
    dtype: Dtype = None,
    max_seconds: MaxSeconds = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make two people of Polytalk's own talk to each other."""
    from polytalk.cli_generate import Job, demo_scene, run

    run(
        Job(
            demo_scene(),
            output,
            model=model,
            device=device,
            dtype=dtype,
            seed=seed,
            steps=steps,
            max_seconds=max_seconds,
            force=force,
            quiet=quiet,
        )
    )


@app.command()
@reports_errors
def train(config: Annotated[Path, typer.Option(help="Stage to train, a TOML file of configs/.")]) -> None:
    """Train one stage of a model; continues where it was interrupted."""
    from polytalk.cli_errors import needs_extra

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
    steps: Steps = None,
    model: Model = "mini",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Does each mouth follow its own voice? On held-out scenes, read from the pixels."""
    from polytalk.cli_errors import needs_extra

    with needs_extra("train"):
        from polytalk.evaluation.binding import run_binding

        run_binding(people=people, scenes=scenes, seed=seed, json=as_json, model=model, frames=frames, steps=steps)


@app.command()
@reports_errors
def info() -> None:
    """Show the machine, what Polytalk would use of it, the models, and what is missing."""
    from polytalk.cli_info import print_info

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
