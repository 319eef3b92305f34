"""`polytalk cast`: who is in a picture, who is heard, and who is who."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from polytalk.cli.errors import make_quiet, reports_errors
from polytalk.errors import PolytalkError
from polytalk.generation.request import GenerateRequest


@reports_errors
def cast(values: dict[str, Any], *, picture: Path | None, save: Path | None, quiet: bool) -> None:
    """Say who is in a picture, who is heard in a recording, and who is who; print JSON, draw a preview."""
    make_quiet()
    asked = values.pop("preview", None)
    preview = asked or _preview_path(save, picture, values.get("scene"))
    may = bool(values.get("force")) or asked is None
    request = GenerateRequest(image=picture, preview=preview, **values)
    if not any(values.get(name) for name in ("speakers", "recording", "script", "scene")):
        _cast_picture(picture, preview, force=may)
    else:
        _cast_scene(request, save, quiet=quiet, force_preview=may)


def _preview_path(save: Path | None, picture: Path | None, scene: Path | None) -> Path:
    """Beside what is saved, or in the working folder."""
    beside = save or Path((picture or scene or Path("cast")).name)
    return beside.with_name(f"{beside.stem}.preview.png")


def _cast_picture(picture: Path | None, preview: Path, *, force: bool) -> None:
    """Only who is in the picture."""
    import numpy as np

    from polytalk.casting.cast import person_as_dict
    from polytalk.casting.people.find import find_people
    from polytalk.casting.preview import draw_people
    from polytalk.media.image import load_image, save_image
    from polytalk.media.output import check_target
    from polytalk.scene.formats.registry import pretty_json

    if picture is None:
        raise PolytalkError("picture", "it is missing", "Name a picture of the people, or a `scene`.")
    check_target(preview, force=force)
    image = load_image(picture)
    people = find_people(np.asarray(image))
    save_image(preview, draw_people(image, people), force=force)
    found: dict[str, Any] = {"image": str(picture), "width": image.width, "height": image.height}
    found["people"] = [{"number": number, **person_as_dict(one)} for number, one in enumerate(people, start=1)]
    typer.echo(pretty_json({**found, "preview": str(preview)}))


def _cast_scene(request: GenerateRequest, save: Path | None, *, quiet: bool, force_preview: bool) -> None:
    from rich.console import Console

    from polytalk.casting.cast import save_proposal
    from polytalk.cli.show import RunView, show
    from polytalk.conditioning.opened import OpenedFiles
    from polytalk.generation.generate import look_ahead
    from polytalk.media.image import save_image
    from polytalk.media.output import check_target
    from polytalk.scene.formats.registry import pretty_json

    assert request.preview is not None
    for path, may in ((save, request.force), (request.preview, force_preview)):
        if path is not None:
            check_target(path, force=may)
    console = Console(stderr=True, quiet=quiet)
    with RunView(console) as view:
        shown = look_ahead(request, OpenedFiles(), view)
    show(shown, console)
    save_image(request.preview, shown.picture(), force=force_preview)
    if save is not None:
        save_proposal(shown.proposal, save, force=request.force)
    said = {**shown.proposal.as_dict(), "warnings": list(shown.warnings), "preview": str(request.preview)}
    if save is not None:
        said["scene"] = str(save)
    typer.echo(pretty_json(said))
