"""`polytalk generate` and `polytalk demo`: a request in, what happens shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polytalk.assets import asset
from polytalk.cli.errors import make_quiet, reports_errors
from polytalk.generation.request import GenerateRequest


@reports_errors
def generate(values: dict[str, Any], *, quiet: bool) -> None:
    """Make people in a picture speak, each with their own voice."""
    _run(GenerateRequest(**values), quiet=quiet)


@reports_errors
def demo(values: dict[str, Any], *, quiet: bool) -> None:
    """Make two people of Polytalk's own talk to each other."""
    request = GenerateRequest(scene=Path(asset("demo.json")), find=False, close_ups=False, **values)
    _run(request, quiet=quiet, who=False)


def _run(request: GenerateRequest, *, quiet: bool, who: bool = True) -> None:
    make_quiet()
    from rich.console import Console

    from polytalk.acceleration.parallel.launch import is_main_process
    from polytalk.cli.show import RunView
    from polytalk.generation.generate import generate as run

    with RunView(Console(stderr=True, quiet=quiet or not is_main_process()), who=who) as view:
        view.end(run(request, view))
