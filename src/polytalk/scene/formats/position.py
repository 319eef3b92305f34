"""Text files whose errors name line and column."""

from __future__ import annotations

import bisect
import itertools
import os
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from polytalk.errors import PolytalkError

MAX_BYTES = 4 * 2**20
"""Largest text file read; a script of two hours has about 0.1 MB."""


class TextError(PolytalkError):
    """What is wrong in a text file, and where.

    Args:
        field, problem, remedy: as in PolytalkError.
        line, column: from 1.
        name: of the file.
    """

    def __init__(self, field: str, problem: str, remedy: str, *, name: str, line: int, column: int) -> None:
        self.line, self.column = line, column
        super().__init__(field, f"{problem} ({name}, line {line}, column {column})", remedy)


class TextFile:
    """A text, where it came from, and the positions in it.

    Args:
        text: with "\\n" between lines.
        path: of the file; files that it names are looked for beside it.
    """

    def __init__(self, text: str, path: Path) -> None:
        self.text, self.path = text, path

    @classmethod
    def read(cls, path: Path, kind: str) -> TextFile:
        """Read UTF-8 (or UTF-16 with its mark); any line ends become "\\n".

        Args:
            path: of the file.
            kind: what it should be, for the error.

        Raises:
            PolytalkError: it cannot be read, is too large or is not text.
        """
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or "it cannot be read"
            raise PolytalkError(str(path), problem, "Name a file that can be read.") from None
        if len(content) > MAX_BYTES:
            raise PolytalkError(str(path), "it is too large", f"Give a file of at most {MAX_BYTES // 2**20} MB.")
        return cls.decode(content, path, kind)

    @classmethod
    def decode(cls, content: bytes, path: Path, kind: str) -> TextFile:
        """Bytes of a file as text; see `read`."""
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            before = cls(_unified(error.object[: error.start].decode(encoding, "replace")), path)
            problem = f"this is not {kind}: a byte is not {encoding[:6].rstrip('-').upper()}"
            raise before.error(len(before.text), str(path), problem, "Save it as UTF-8.") from None
        return cls(_unified(text), path)

    def error(self, offset: int, field: str, problem: str, remedy: str) -> TextError:
        """The error of what stands at `offset` in the text."""
        line, column = self.position(offset)
        return TextError(field, problem, remedy, name=self.path.name, line=line, column=column)

    def at(self, offset: int, error: PolytalkError) -> TextError:
        """An error that does not know where, with a place."""
        if isinstance(error, TextError):
            return error
        return self.error(offset, error.field, error.problem, error.remedy)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, from 1, of an offset."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    @cached_property
    def _starts(self) -> list[int]:
        return [0] + [match.end() for match in re.finditer("\n", self.text)]

    @cached_property
    def lines(self) -> list[tuple[int, str]]:
        """Each line's offset and text, without its end."""
        starts = [*self._starts, len(self.text) + 1]
        return [(start, self.text[start : stop - 1]) for start, stop in itertools.pairwise(starts)]

    def find(self, name: str, offset: int | Callable[[], int], field: str) -> Path:
        """The file called `name` in the text: beside it, from the working directory, or its bare name beside it.

        Args:
            name: as it stands in the text.
            offset: where, or what finds that out.
            field: what it is for.

        Raises:
            PolytalkError: there is none.
        """
        folder = self.path.absolute().parent
        # Scene files written on Windows name their neighbours with backslashes.
        bare = re.split(r"[/\\]", name)[-1]
        for candidate in (folder / name, Path.cwd() / name, folder / bare):
            if bare and _is_file(candidate):
                return candidate
        remedy = f"Paths count from {folder}, then from {Path.cwd()}."
        place = offset if isinstance(offset, int) else offset()
        raise self.error(place, field, f"there is no file {shortened(name)!r}", remedy)


def relative_name(value: Any, field: str, path: Path) -> str:
    """How a file at `path` names another: relative if it lies beside or below.

    Raises:
        PolytalkError: `value` is no file.
    """
    if not isinstance(value, Path):
        raise PolytalkError(field, "it is in memory only", "Save it to a file and name that file in the scene.")
    absolute, folder = value.absolute(), path.absolute().parent
    if absolute.is_relative_to(folder):
        return absolute.relative_to(folder).as_posix()
    return os.fspath(absolute)


def write_text(path: Path, text: str, *, force: bool) -> None:
    """Write UTF-8 with "\\n" line ends.

    Raises:
        PolytalkError: the file exists and `force` is off, it cannot be written, or the text cannot be encoded.
    """
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError as error:
        problem = f"the character U+{ord(text[error.start]):04X} is half of one"
        raise PolytalkError(str(path), problem, "Correct the text that holds it.") from None
    try:
        with path.open("wb" if force else "xb") as file:
            file.write(content)
    except FileExistsError:
        raise PolytalkError(
            str(path), "the file exists", "Choose another name, or overwrite it with `force`."
        ) from None
    except OSError as error:
        remedy = "Choose a folder that can be written to."
        raise PolytalkError(str(path), error.strerror or "it cannot be written", remedy) from None


def shortened(text: str, length: int = 60) -> str:
    """At most `length` characters of a text, for messages."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # names too long or with a zero byte
        return False
