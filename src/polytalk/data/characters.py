"""Every source of characters, by name: vector people and animals here, others add themselves with `register`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from polytalk.data.character import Character
from polytalk.data.vector_animal import Animal
from polytalk.data.vector_kit import STYLES
from polytalk.data.vector_person import Person

CharacterSource = Callable[[np.random.Generator], Character]
"""Builds somebody; equal generators build equal people."""

SOURCES: dict[str, CharacterSource] = {
    **{f"{style} person": partial(Person, style=style) for style in STYLES},
    **{f"{style} animal": partial(Animal, style=style) for style in STYLES},
}
"""Name of a source (as in `SceneConfig.sources`) -> what builds its characters."""


def register(name: str, source: CharacterSource) -> None:
    """Add a source under a new name, so that `SceneConfig.sources` may weigh it.

    Raises:
        ValueError: the name is taken by another source.
    """
    if SOURCES.get(name, source) is not source:
        raise ValueError(f"the character source {name!r} exists already")
    SOURCES[name] = source
