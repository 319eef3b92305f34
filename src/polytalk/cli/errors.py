"""How commands end: 0 when all is well, 2 with one line on bad input, 130 when interrupted."""

from __future__ import annotations

import functools
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from polytalk.config.knobs import knobs_of
from polytalk.errors import PolytalkError

_KNOB = re.compile(r"`(?P<name>\w+)(=(?P<value>[^`]+))?`")
_OWN = {"gpu": "--gpu", "ram": "--ram", "voice": "--voice", "config": "--config"}
"""Options of single commands that are no knobs, by the field that errors name."""
_QUOTES = "\"'"
BAD_INPUT = 2
INTERRUPTED = 130


def reports_errors(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose errors a user can act on are one line on stderr; programming errors keep their trace."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        with _terminate_like_ctrl_c(), _one_line_warnings():
            try:
                command(*args, **kwargs)
            except KeyboardInterrupt:
                _say("Interrupted; nothing was left half-written.")
                raise typer.Exit(INTERRUPTED) from None
            except PolytalkError as error:
                _say(f"Error: {_one_line(in_options(error))}")
                raise typer.Exit(BAD_INPUT) from None
            except (MemoryError, RuntimeError) as error:
                if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":  # PyTorch's
                    raise
                _say("Error: memory: there is not enough. Close other programs, or use a smaller model.")
                raise typer.Exit(BAD_INPUT) from None
            except BrokenPipeError:
                raise
            except OSError as error:
                _say(f"Error: {error.filename or 'system'}: {error.strerror or error}. Check the path and the disk.")
                raise typer.Exit(BAD_INPUT) from None

    return guarded


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turn a missing optional package into advice.

    Raises:
        PolytalkError: naming the package and how to get it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("polytalk"):
            raise
        remedy = f"Run: pip install 'polytalk[{extra}]'."
        raise PolytalkError("packages", f"{error.name} is not installed", remedy) from error


@contextmanager
def _terminate_like_ctrl_c() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C, so that temporary files go; only the main thread may ask for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Polytalk's own warnings as one line each on stderr; those of libraries are not the user's business."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        _say(f"Warning: {message}")

    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
            warnings.filterwarnings("always", category=UserWarning, module=r"polytalk")
        warnings.showwarning = show
        yield


def in_options(error: PolytalkError) -> str:
    """An error in the words of the command line: knobs by their options, `name` and `name=value` in remedies, too."""
    from polytalk.generation.request import GenerateRequest

    knobs = {entry.name: entry for entry in knobs_of(GenerateRequest) if entry.knob.command_line}
    field = knobs[error.field].flag if error.field in knobs else _OWN.get(error.field, error.field)

    def option(found: re.Match[str]) -> str:
        name, value = found["name"], found["value"]
        if name not in knobs:
            return _OWN.get(name, found[0].strip("`"))
        if value is None or value == "True":
            return knobs[name].flag
        return knobs[name].off_flag if value == "False" else f"{knobs[name].flag} {value.strip(_QUOTES)}"

    problem, remedy = (_KNOB.sub(option, text) for text in (error.problem, error.remedy))
    return f"{field}: {problem}. {remedy}"


def in_flags(options: Any) -> str:
    """Levers that are not plain, as one would give them: "--offload group --vae-tiling"."""
    words = []
    for entry in knobs_of(type(options)):
        value = getattr(options, entry.name)
        if value in (entry.default, ()) or not entry.knob.command_line:
            continue
        if isinstance(value, bool):
            words.append(entry.flag if value else entry.off_flag)
        else:
            words += [f"{entry.flag} {part}" for part in (value if isinstance(value, tuple) else (value,))]
    return " ".join(words) or "plain"


def make_quiet() -> None:
    """What libraries say of themselves while they are imported is not the user's business."""
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for library in ("torchao", "torch.utils._pytree"):
        logging.getLogger(library).addFilter(lambda record: record.levelno >= logging.ERROR)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
