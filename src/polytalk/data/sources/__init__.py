"""Further people for the drawn scenes. Importing this package registers them in `polytalk.data.characters.SOURCES`:

- "3-D person": shaded 3-D heads (`heads3d`), shapes carried by Polytalk; needs nothing further.
- "avatar": cartoon avatars (`avatars`); needs the extra `sources` (python-avatars, resvg-py).
- "portrait": the built-in picture of a face warped at the mouth (`photos`); `register_portraits(folder)` adds a
  folder of one's own pictures.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from polytalk.data.character import Character
from polytalk.data.characters import CharacterSource, register


def head(rng: np.random.Generator) -> Character:
    """Somebody with a 3-D head."""
    from polytalk.data.sources.heads3d import Head3D

    return Head3D(rng)


def avatar(rng: np.random.Generator) -> Character:
    """A cartoon avatar.

    Raises:
        PolytalkError: python-avatars or resvg-py is not installed.
    """
    from polytalk.data.sources.avatars import AvatarPerson

    return AvatarPerson(rng)


def portrait(rng: np.random.Generator) -> Character:
    """The built-in portrait (scikit-image's picture of Eileen Collins, NASA, public domain)."""
    from polytalk.data.sources.photos import PhotoPerson, builtin_portraits

    return PhotoPerson(rng, builtin_portraits())


def register_portraits(folder: Path | str, name: str = "portraits") -> CharacterSource:
    """Register the pictures of a folder (see `photos.load_portraits`) as a source of characters.

    Raises:
        PolytalkError: the folder holds no picture with a sidecar, or a sidecar is wrong.
        ValueError: the name is taken.
    """
    from polytalk.data.sources.photos import PhotoPerson, load_portraits

    portraits = load_portraits(Path(folder))

    def source(rng: np.random.Generator) -> Character:
        return PhotoPerson(rng, portraits)

    register(name, source)
    return source


register("3-D person", head)
register("avatar", avatar)
register("portrait", portrait)
