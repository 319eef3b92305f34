"""Commands whose options are the knobs of a settings object: names, help, groups and defaults come from its fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import typer

from polytalk.config.knobs import KnobField, knobs_of
from polytalk.generation.request import GenerateRequest

Run = Callable[..., None]
"""Called with the values that were given, by knob, and with the command's own parameters by name."""


def command(
    run: Run,
    settings: type,
    names: Collection[str],
    *,
    required: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
    own: Sequence[inspect.Parameter] = (),
) -> Callable[..., None]:
    """A function that typer makes a command of.

    Args:
        run: what the command does, `run(values, **own)`; its docstring is the command's help.
        settings: a class with knobs.
        names: of the knobs that the command has.
        required: names that must be given.
        defaults: other defaults than the knobs' own.
        own: further parameters, of the command alone.
    """
    entries = [entry for entry in knobs_of(settings) if entry.name in names and entry.knob.command_line]
    parameters = [_parameter(entry, entry.name in required, (defaults or {}).get(entry.name)) for entry in entries]
    own_names = {parameter.name for parameter in own}

    def made(**given: Any) -> None:
        values = {name: value for name, value in given.items() if name not in own_names and value is not None}
        run(values, **{name: given[name] for name in own_names})

    made.__name__, made.__doc__ = run.__name__, run.__doc__
    every = [*parameters, *own]
    made.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    made.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
    return made


def own(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """A parameter of a command alone, as `command` takes it."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def option_of(name: str, settings: type = GenerateRequest) -> Any:
    """The option of one knob, for a command that is written out."""
    entry = next(entry for entry in knobs_of(settings) if entry.name == name)
    return _option(entry, entry.default)


def _option(entry: KnobField, value: Any) -> Any:
    knob = entry.knob
    return typer.Option(
        *_declarations(entry),
        help=knob.help,
        rich_help_panel=knob.panel,
        metavar=knob.metavar,
        show_default=knob.shown_default or (entry.plain is not bool and value not in (None, ())),
    )


def _parameter(entry: KnobField, is_required: bool, default: Any) -> inspect.Parameter:
    value = entry.default if default is None else default
    plain = str if get_origin(entry.plain) is Literal else entry.plain
    annotation, option = plain if is_required else plain | None, _option(entry, value)
    if value == ():
        value = None
    if isinstance(value, str) and plain is Path:
        value = Path(value)
    return own(entry.name, Annotated[annotation, option], ... if is_required else value)


def _declarations(entry: KnobField) -> list[str]:
    names = [*entry.knob.flags, entry.long_flag]
    if entry.plain is not bool or entry.default is False:
        return names
    offs = [*entry.knob.off, *("--no-" + name[2:] for name in names)]
    return [
        *(f"{name}/{off}" for name, off in zip(names, offs, strict=False)),
        *(f" /{off}" for off in offs[len(names) :]),
    ]
