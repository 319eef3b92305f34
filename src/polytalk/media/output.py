"""Files that are whole or not there at all: written beside, and moved to their name when done."""

from __future__ import annotations

import errno
import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polytalk.errors import PolytalkError


def check_target(path: Path, *, force: bool) -> None:
    """Raise PolytalkError unless `path` can be written: its folder exists and takes files, and nothing is in the way.

    Worth calling before the work whose result goes there.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise PolytalkError(str(path), f"there is no folder {folder}", "Make the folder, or choose another.")
    if path.is_dir():
        raise PolytalkError(str(path), "this is a folder", "Name a file.")
    if path.exists() and not force:
        raise PolytalkError(str(path), "the file exists", "Choose another name, or overwrite it with `force`.")
    probe = _temporary(path)
    try:
        probe.touch(exist_ok=False)
    except OSError as error:
        raise write_error(path, error) from None
    finally:
        probe.unlink(missing_ok=True)


@contextmanager
def replace_when_done(path: Path, *, force: bool) -> Iterator[Path]:
    """A temporary name beside `path`, moved there at the end; removed if the body raises, Ctrl-C included.

    Raises:
        PolytalkError: as `check_target`, or the system refuses to write (disk full, no permission).
    """
    check_target(path, force=force)
    temporary = _temporary(path)
    try:
        yield temporary
        if path.exists() and not force:
            raise PolytalkError(
                str(path), "the file appeared meanwhile", "Choose another name, or overwrite it with `force`."
            )
        os.replace(temporary, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what runs that were killed while they wrote `path` have left beside it."""
    pattern = f".{glob.escape(path.stem[:100])}.????????.part{glob.escape(path.suffix)}"
    for leftover in path.absolute().parent.glob(pattern):
        leftover.unlink(missing_ok=True)


def write_error(path: Path, error: OSError) -> PolytalkError:
    """The user's view of a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return PolytalkError(str(path), "the disk is full", "Free some space, or write elsewhere.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PolytalkError(str(path), "no permission to write here", "Choose a folder that is yours.")
    return PolytalkError(str(path), f"writing failed ({error.strerror or error})", "Choose another place.")


def _temporary(path: Path) -> Path:
    # The ending stays, since libraries choose the format by it; the stem is cut so that the name stays legal.
    return path.absolute().with_name(f".{path.stem[:100]}.{secrets.token_hex(4)}.part{path.suffix}")
