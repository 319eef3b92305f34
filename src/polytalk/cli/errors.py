"""How commands end: 0 when all is well, 2 with one line on bad input, 130 when interrupted."""

from __future__ import annotations

import functools
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from polytalk.errors import PolytalkError

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
                _say(f"Error: {_one_line(error)}")
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
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
