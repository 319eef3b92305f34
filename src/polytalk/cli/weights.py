"""`polytalk weights`: get the published files, check them, convert them, or make random ones of their size."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from polytalk.cli.errors import reports_errors
from polytalk.errors import PolytalkError

weights_app = typer.Typer(
    help="Get, check, convert or synthesise the weights of the released model.", no_args_is_help=True
)

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before starting.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Audio = Annotated[Path | None, typer.Option(help="Folder or file of the audio branch.", show_default="beside it")]
Speech = Annotated[Path | None, typer.Option(help="Folder of the speech encoder.", show_default="beside it")]
Blocks = Annotated[int | None, typer.Option(min=1, help="Blocks of the network.", show_default="the size's own")]


@weights_app.command("list")
@reports_errors
def list_command() -> None:
    """Show the published files that Polytalk knows, their sizes and where they are."""
    from rich.console import Console
    from rich.table import Table

    from polytalk.weights.catalogue import CATALOGUE, SETS

    table = Table(box=None, pad_edge=False)
    for column in ("name", "GB", "repository", "what"):
        table.add_column(column, justify="right" if column == "GB" else "left", overflow="fold")
    for entry in CATALOGUE:
        table.add_row(entry.name, f"{entry.size / 1e9:.3g}" if entry.size else "?", entry.repository, entry.note)
    console = Console(soft_wrap=True)
    console.print(table)
    console.print()
    for name, parts in SETS.items():
        console.print(f"{name}: {', '.join(parts)}")
    console.print("\nGet a model with: polytalk weights download 480p")


@weights_app.command()
@reports_errors
def download(
    names: Annotated[list[str], typer.Argument(help="Names or sets of `polytalk weights list`, e.g. 480p.")],
    to: Annotated[Path, typer.Option(help="Folder of the repositories' folders.")] = Path("weights"),
    yes: Yes = False,
    quiet: Quiet = False,
) -> None:
    """Get published files: says what and how much, asks, resumes what was cut off, checks sizes and hashes."""
    from polytalk.weights.catalogue import choose
    from polytalk.weights.download import RemoteFile, plan_download
    from polytalk.weights.synthesize import free_bytes

    say = _say(quiet)
    entries = choose(names)
    plan = plan_download(entries, to)
    for folder in dict.fromkeys(file.folder for file in plan.files):
        whole = [file for file in plan.files if file.folder == folder]
        missing = [file for file in plan.missing if file.folder == folder]
        say(f"{whole[0].repository} -> {folder}")
        say(f"  {len(whole)} files, {_gigabytes(whole)}; to download: {len(missing)}, {_gigabytes(missing)}")
        for file in missing:
            say(f"    {file.size / 1e9:8.3f} GB  {file.path}")
    say(f"in all {plan.missing_bytes / 1e9:.1f} GB; free in {to}: {free_bytes(to) / 1e9:.1f} GB")
    plan.check_disk()
    if plan.missing:
        _ask(yes, "download")
    if quiet:
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()

    def report(file: RemoteFile, what: str) -> None:
        if what != "checking" or file.size > 10**8:
            say(f"{what}: {file.target}")

    plan.run(report)
    say(f"all {len(plan.files)} files are there and whole: {to}")
    for entry in entries:
        place = to / entry.folder
        if entry.role == "base":
            say(f"use it: polytalk generate --model {place}")
        elif entry.role == "lora":
            say(f"use it: polytalk generate --lora {place / entry.files[0].path}")


@weights_app.command()
@reports_errors
def synthesize(
    folder: Annotated[Path, typer.Argument(help="New folder to write.")],
    size: Annotated[str, typer.Option(help="14b: as published. tiny: for trying things.")] = "14b",
    blocks: Blocks = None,
    small_encoders: Annotated[
        bool, typer.Option("--small-encoders", help="Encoders as small as the network allows.")
    ] = False,
    network_only: Annotated[bool, typer.Option("--network-only", help="Leave out the encoders.")] = False,
    dtype: Annotated[str, typer.Option(help="Of network and text encoder.")] = "bfloat16",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same weights.")] = 0,
    yes: Yes = False,
    quiet: Quiet = False,
) -> None:
    """Write a random model in the released layout, to test loading and speed without the published weights."""
    import torch

    from polytalk.acceleration.precision import choose_dtype
    from polytalk.weights.sizes import choose_size
    from polytalk.weights.synthesize import Recipe, check_target, free_bytes
    from polytalk.weights.synthesize import synthesize as write

    chosen = choose_dtype(dtype, torch.device("cpu"))
    recipe = Recipe(choose_size(size, blocks, small_encoders), chosen, seed, network_only)
    check_target(folder, recipe.num_bytes)
    say = _say(quiet)
    say(f"{recipe.num_bytes / 1e9:.2f} GB -> {folder} ({free_bytes(folder) / 1e9:.1f} GB free)")
    if recipe.num_bytes > 10**10:
        _ask(yes, "write")
    with _progress(recipe.num_bytes, quiet) as advance:
        write(folder, recipe, advance)
    say(f"written: {folder}")


@weights_app.command()
@reports_errors
def verify(
    path: Annotated[Path, typer.Argument(help="Folder of weights, or one file.")],
    audio: Audio = None,
    speech: Speech = None,
    hashes: Annotated[
        bool, typer.Option("--hashes", help="Also compare published sha256 sums; reads the files.")
    ] = False,
) -> None:
    """Show what is there, what is missing, damaged or of another shape. No pickle with code in it is run."""
    from rich.console import Console
    from rich.table import Table

    from polytalk.weights.verify import Finding
    from polytalk.weights.verify import verify as look

    table = Table(box=None, pad_edge=False)
    for column in ("part", "", "found", "where"):
        table.add_column(column, overflow="fold")
    wrong: list[Finding] = []
    total = 0
    for finding in look(path, audio, speech, hashes):
        total += 1
        found = finding.detail if finding.problem is None else f"{finding.problem.field}: {finding.problem.problem}"
        table.add_row(finding.part, "ok" if finding.ok else "WRONG", found, str(finding.path))
        if finding.problem is not None:
            wrong.append(finding)
    Console(soft_wrap=True).print(table)
    if wrong:
        first = wrong[0].problem
        assert first is not None
        raise PolytalkError(
            str(path), f"{len(wrong)} of {total} parts are not right, {first.field} first", first.remedy
        )
    typer.echo(f"all {total} parts are right")


@weights_app.command()
@reports_errors
def convert(
    model: Annotated[str, typer.Argument(help="Folder in any layout, or a hub id.")],
    folder: Annotated[Path, typer.Argument(help="New folder to write.")],
    quantization: Annotated[str | None, typer.Option(help="int8 or int4 for the network's blocks.")] = None,
    dtype: Annotated[str, typer.Option(help="Of network and text encoder.")] = "bfloat16",
    audio: Audio = None,
    speech: Speech = None,
    quiet: Quiet = False,
) -> None:
    """Write a model in Polytalk's own layout: one folder with everything in it, optionally quantised."""
    import torch

    from polytalk.acceleration.precision import choose_dtype
    from polytalk.checkpoints.layouts import locate
    from polytalk.weights.convert import convert as write

    chosen = choose_dtype(dtype, torch.device("cpu"))
    say = _say(quiet)
    write(
        locate(model, audio, speech),
        folder,
        dtype=chosen,
        quantization=quantization,
        report=lambda component, unit: say(f"{component}: {unit}"),
    )
    say(f"written: {folder}, {sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e9:.2f} GB")


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[str, int], None]]:
    """A bar on stderr, told (file, bytes)."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=quiet, transient=True)
    with bar:
        task = bar.add_task("", total=total)
        yield lambda file, count: bar.update(task, advance=count, description=Path(file).name[:40])


def _ask(yes: bool, verb: str) -> None:
    """Ask unless told not to.

    Raises:
        PolytalkError: nobody is there to answer.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise PolytalkError("--yes", f"nobody can be asked whether to {verb} this", "Give --yes.")
    if not typer.confirm(f"{verb.capitalize()}?"):
        raise typer.Exit(0)


def _say(quiet: bool) -> Callable[[str], None]:
    return (lambda line: None) if quiet else (lambda line: typer.echo(line))


def _gigabytes(files: list[Any]) -> str:
    return f"{sum(file.size for file in files) / 1e9:.1f} GB"
