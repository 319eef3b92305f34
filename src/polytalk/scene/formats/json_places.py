"""Where in a JSON text a value stands, for errors found after it was read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(r'[{}\[\],:"]')


def find_value(text: str, path: Sequence[str | int]) -> int:
    """Offset of the value at `path` in valid JSON; where the path leads nowhere, of the last value on it."""
    at = _skip(text, 0)
    for step in path:
        inside = _member(text, at, step)
        if inside is None:
            break
        at = inside
    return at


def find_duplicate(text: str) -> tuple[int, str] | None:
    """Offset and name of the first key that an object in valid JSON has already."""
    stack: list[set[str] | None] = []
    at, is_key = 0, False
    while match := _TOKEN.search(text, at):
        at, token = match.end(), match.group()
        if token in "{[":
            stack.append(set() if token == "{" else None)
            is_key = token == "{"
        elif token in "}]":
            stack.pop()
            is_key = False
        elif token == ",":
            is_key = stack[-1] is not None
        elif token == '"':
            value, at = _DECODER.raw_decode(text, match.start())
            keys = stack[-1] if stack else None
            if is_key and keys is not None:
                if value in keys:
                    return match.start(), value
                keys.add(value)
            is_key = False
    return None


def _member(text: str, at: int, step: str | int) -> int | None:
    """Offset of one member of the object or list at `at`, or None."""
    if text[at] not in "{[":
        return None
    is_object = text[at] == "{"
    count = 0
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        key: str | int = count
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        if key == step:
            return at
        at = _skip(text, _DECODER.raw_decode(text, at)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)
        count += 1
    return None


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
