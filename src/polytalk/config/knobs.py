"""How a knob is declared: once, as a field of a settings object; command line, JSON schema, errors and docs follow.

    num_inference_steps: int = knob(40, "Steps of the sampler.", panel=SAMPLING, flags=("--steps",), least=1)

A field's name is the knob's name everywhere; `flags` are further names that it has on a command line.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from polytalk.errors import PolytalkError

SCENE, VIDEO, SAMPLING, MODEL, MEMORY = "Scene", "Video", "Sampling", "Model", "Memory and speed"
"""Groups that knobs are shown in, in this order."""

_KEY = "knob"
Settings = TypeVar("Settings", bound=type)


@dataclass(frozen=True)
class Knob:
    """What is said of a knob beside its name, type and default."""

    help: str
    """One or two plain sentences."""
    panel: str = SCENE
    """Group it is shown in."""
    flags: tuple[str, ...] = ()
    """Further names on a command line; of one that is on by default also what switches it off: "--fixed-masks"."""
    off: tuple[str, ...] = ()
    """What switches it off on a command line; () is --no-name."""
    shown_default: str | None = None
    """What help says where the default is None."""
    metavar: str | None = None
    """What stands for the value in help."""
    least: float | None = None
    """Smallest value."""
    above: float | None = None
    """What the value must be larger than."""
    most: float | None = None
    """Largest value."""
    typed: Any = None
    """Its type on a command line and in JSON, where the field's own is not plain."""
    command_line: bool = True
    """Whether the command line has it."""
    plans: bool = True
    """Whether a plan depends on it."""


@dataclass(frozen=True)
class KnobField:
    """A knob with its name, type and default."""

    name: str
    """Everywhere the same."""
    type: Any
    """As annotated, resolved."""
    default: Any
    """None where nothing is asked for."""
    knob: Knob
    """What else is said of it."""

    @property
    def plain(self) -> Any:
        """Its type without None: str, int, float, bool, Path, or a list of one of them."""
        return self.knob.typed or _without_none(self.type)

    @property
    def choices(self) -> tuple[Any, ...]:
        """Values that it may have; () where that is open."""
        return get_args(self.plain) if get_origin(self.plain) is Literal else ()

    @property
    def flag(self) -> str:
        """Its name on a command line: the first long one."""
        return next(flag for flag in (*self.knob.flags, self.long_flag) if flag.startswith("--"))

    @property
    def long_flag(self) -> str:
        """The name that it has everywhere, as an option."""
        return "--" + self.name.replace("_", "-")

    @property
    def off_flag(self) -> str:
        """What switches it off."""
        return self.knob.off[0] if self.knob.off else "--no-" + self.long_flag[2:]

    def check(self, value: Any) -> None:
        """Refuse what is out of bounds.

        Raises:
            PolytalkError: naming the knob.
        """
        knob = self.knob
        if self.choices and value not in self.choices:
            known = " or ".join(f'"{choice}"' for choice in self.choices)
            raise PolytalkError(self.name, f"{value!r} is unknown", f"Use {known}.")
        if knob.least is knob.above is knob.most is None:
            return
        low = value < knob.least if knob.least is not None else knob.above is not None and value <= knob.above
        if not math.isfinite(value) or low or (knob.most is not None and value > knob.most):
            raise PolytalkError(self.name, f"it is {value}", f"Give {self._range()}.")

    def _range(self) -> str:
        knob, number = self.knob, "a whole number" if self.plain is int else "a number"
        if knob.above is not None:
            return f"{number} above {knob.above:g}" + ("" if knob.most is None else f", up to {knob.most:g}")
        if knob.least is None:
            return f"{number} up to {knob.most:g}"
        return (
            f"{number} from {knob.least:g} to {knob.most:g}"
            if knob.most is not None
            else f"{number} of at least {knob.least:g}"
        )


def knob(default: Any, help: str, **about: Any) -> Any:
    """A field of a settings object that users may turn; `about` as in `Knob`."""
    metadata = {_KEY: Knob(help, **about)}
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def takes_knobs_of(*sources: type) -> Callable[[Settings], Settings]:
    """A settings object that has the knobs of others besides its own; None stands for theirs. Below `@dataclass`."""

    def add(cls: Settings) -> Settings:
        own = inspect.get_annotations(cls)
        for source in sources:
            for entry in knobs_of(source):
                if entry.name not in own:
                    cls.__annotations__[entry.name] = entry.type | None
                    setattr(cls, entry.name, field(default=None, metadata={_KEY: entry.knob}))
        return cls

    return add


def knobs_of(settings: type) -> tuple[KnobField, ...]:
    """The knobs of a settings object, in the order of its fields."""
    if settings not in _FOUND:
        _FOUND[settings] = tuple(_find(settings))
    return _FOUND[settings]


_FOUND: dict[type, tuple[KnobField, ...]] = {}


def _find(settings: type) -> Iterator[KnobField]:
    hints = get_type_hints(settings)
    for entry in fields(settings):
        if _KEY in entry.metadata:
            default = None if entry.default is dataclasses.MISSING else entry.default
            yield KnobField(entry.name, hints[entry.name], default, entry.metadata[_KEY])


def check_knobs(settings: Any) -> None:
    """Refuse values out of bounds; None is not asked for.

    Raises:
        PolytalkError: naming the first knob that makes no sense.
    """
    for entry in knobs_of(type(settings)):
        value = getattr(settings, entry.name)
        if value is not None:
            entry.check(value)


def json_schema(settings: type) -> dict[str, Any]:
    """The knobs as a JSON schema (draft 2020-12) of one object."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": settings.__name__,
        "type": "object",
        "properties": {entry.name: _schema(entry) for entry in knobs_of(settings)},
        "additionalProperties": False,
    }


def reference(settings: type) -> str:
    """The knobs as tables in Markdown, a table for each group."""
    lines = []
    for panel in (SCENE, VIDEO, SAMPLING, MODEL, MEMORY):
        entries = [entry for entry in knobs_of(settings) if entry.knob.panel == panel]
        if not entries:
            continue
        lines += [f"### {panel}", "", "| name | option | default | what it does |", "| --- | --- | --- | --- |"]
        for entry in entries:
            options = [*entry.knob.flags, entry.long_flag] if entry.knob.command_line else []
            default = entry.knob.shown_default or ("" if entry.default in (None, (), "") else f"`{entry.default}`")
            said = " ".join(entry.knob.help.split()).replace("|", "\\|")
            lines.append(f"| `{entry.name}` | {', '.join(f'`{name}`' for name in options)} | {default} | {said} |")
        lines.append("")
    return "\n".join(lines)


_JSON_TYPES: Mapping[Any, str] = {str: "string", Path: "string", int: "integer", float: "number", bool: "boolean"}


def _schema(entry: KnobField) -> dict[str, Any]:
    found: dict[str, Any] = {"description": " ".join(entry.knob.help.split())}
    if entry.choices:
        found["enum"] = list(entry.choices)
    elif get_origin(entry.plain) is list:
        found |= {"type": "array", "items": {"type": _JSON_TYPES[get_args(entry.plain)[0]]}}
    else:
        found["type"] = _JSON_TYPES[entry.plain]
    bounds = {"minimum": entry.knob.least, "exclusiveMinimum": entry.knob.above, "maximum": entry.knob.most}
    found |= {name: value for name, value in bounds.items() if value is not None}
    if isinstance(entry.default, str | int | float | bool):
        found["default"] = entry.default
    return found


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [part for part in get_args(annotation) if part is not type(None)]
        return rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007 (made at run time)
    return annotation
