"""The commands. Nothing heavy is imported before one of them runs, so that help is instant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import polytalk
from polytalk.cli import options as opt
from polytalk.cli.cast import cast
from polytalk.cli.errors import reports_errors
from polytalk.cli.evaluate import evaluate_app
from polytalk.cli.generate import demo, generate
from polytalk.cli.knobs import command, own
from polytalk.cli.plan import plan
from polytalk.cli.weights import weights_app
from polytalk.config.knobs import knobs_of
from polytalk.generation.request import GenerateRequest

_EVERY = GenerateRequest.names()
_PLANNED = tuple(entry.name for entry in knobs_of(GenerateRequest) if entry.knob.plans)
_DEMO = ("output", "seed", "num_inference_steps", "model", "device", "dtype", "max_seconds", "force")
_CAST = (
    "recording", "num_voices", "separate_music", "speakers", "boxes", "points", "masks", "script", "voices", "scene",
    "prompt", "arrangement", "assign", "swap", "find", "preview", "model", "size", "force",
)  # fmt: skip

app = typer.Typer(
    name="polytalk",
    help="One picture, one voice per person and a prompt in; a talking video out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(weights_app, name="weights")

_quiet = own("quiet", opt.Quiet, False)
app.command()(command(generate, GenerateRequest, _EVERY, required=("output",), own=[_quiet]))
app.command()(
    command(
        plan,
        GenerateRequest,
        _PLANNED,
        own=[own("gpu", opt.Gpu, None), own("ram", opt.Ram, None), own("as_json", opt.AsJson, False)],
    )
)
app.command()(command(demo, GenerateRequest, _DEMO, defaults={"output": "demo.mp4"}, own=[_quiet]))
app.command()(
    command(
        cast,
        GenerateRequest,
        _CAST,
        own=[own("picture", opt.Picture, None), own("save", opt.Save, None), _quiet],
    )
)


@app.command()
@reports_errors
def train(config: Annotated[Path, typer.Option(help="Stage to train, a TOML file of configs/.")]) -> None:
    """Train one stage of a model; continues where it was interrupted."""
    from polytalk.cli.errors import needs_extra

    with needs_extra("train"):
        from polytalk.training.config import run_config

        typer.echo(f"weights: {run_config(config)}")


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


@app.command()
@reports_errors
def info() -> None:
    """Show the machine, what Polytalk would use of it, the models, and what is missing."""
    from polytalk.cli.info import print_info

    print_info()


@app.callback()
def version_or_help(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """One picture, one voice per person and a prompt in; a talking video out."""
    if version:
        typer.echo(polytalk.__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of `polytalk`."""
    app()
