"""Every source of characters, by name, in one table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from polytalk.synthetic.characters.avatars import AvatarPerson
from polytalk.synthetic.characters.character import Character
from polytalk.synthetic.characters.heads.head import Head3D
from polytalk.synthetic.characters.photos.person import PhotoPerson, builtin_portraits, load_portraits
from polytalk.synthetic.characters.vector.animal import Animal
from polytalk.synthetic.characters.vector.kit import STYLES
from polytalk.synthetic.characters.vector.person import Person

CharacterSource = Callable[[np.random.Generator], Character]
"""Builds somebody; equal generators build equal people."""


def portrait(rng: np.random.Generator) -> Character:
    """The built-in portrait (scikit-image's picture of Eileen Collins, NASA, public domain)."""
    return PhotoPerson(rng, builtin_portraits())


SOURCES: dict[str, CharacterSource] = {
    **{f"{style} person": partial(Person, style=style) for style in STYLES},
    **{f"{style} animal": partial(Animal, style=style) for style in STYLES},
    "3-D person": Head3D,
    "avatar": AvatarPerson,
    "portrait": portrait,
}
"""Name of a source (as in `SceneConfig.sources`) -> what builds its characters. Avatars need the extra `sources`."""


def portraits_of(folder: Path | str) -> CharacterSource:
    """A source of one's own for the table: the pictures of a folder, see `photos.person.load_portraits`.

    Raises:
        PolytalkError: the folder holds no picture with a sidecar, or a sidecar is wrong.
    """
    portraits = load_portraits(Path(folder))
    return lambda rng: PhotoPerson(rng, portraits)
