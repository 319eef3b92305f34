"""Options that several commands share: those of knobs with the knobs' own words, and the command line's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polytalk.cli.knobs import option_of

Model = Annotated[str, option_of("model")]
Steps = Annotated[int | None, option_of("num_inference_steps")]
MotionFrames = Annotated[int | None, option_of("motion_frames")]
Colour = Annotated[float | None, option_of("colour_strength")]
CarryOver = Annotated[str | None, option_of("carry_over")]
Speakers = Annotated[list[Path] | None, option_of("speakers")]
Boxes = Annotated[list[str] | None, option_of("boxes")]
Arrangement = Annotated[str | None, option_of("arrangement")]
Force = Annotated[bool, option_of("force")]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Gpu = Annotated[
    str | None, typer.Option(help="Card to plan for, e.g. 4090, A100 or L4.", show_default="this machine's")
]
Ram = Annotated[str | None, typer.Option(help="Host memory to plan for, e.g. 64GiB.", show_default="this machine's")]
Picture = Annotated[Path | None, typer.Argument(help="Picture or video of the people; with --scene none.")]
Save = Annotated[
    Path | None, typer.Option(help="Scene file to write, .json: correct it by hand, and generate --scene it.")
]
