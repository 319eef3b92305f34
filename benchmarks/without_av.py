"""Lets Polytalk be imported where PyAV (35 MB) was not carried to: no video or sound file is read or written then.

Import this before `polytalk`. It does nothing where PyAV is installed.
"""

import importlib.util
import sys
from types import ModuleType


class _Absent(ModuleType):
    """Any name in it is an exception that nobody raises: good enough for annotations and `except`."""

    def __getattr__(self, name: str) -> type[Exception]:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})


def stand_in() -> bool:
    """Put empty modules in PyAV's place if it is missing; returns whether it was."""
    if "av" in sys.modules or importlib.util.find_spec("av") is not None:
        return False
    for name in ("av", "av.video", "av.video.reformatter"):
        sys.modules[name] = _Absent(name)
    return True


stand_in()
