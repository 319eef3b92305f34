"""People as casting finds them, and a scene of two."""

from tiny_model import picture, voice

from polytalk import Box, Scene, Speaker
from polytalk.casting.found import FoundPerson

RATE = 16_000


def person(left, size=12, name="person 1", top=16):
    """A head of `size` pixels with shoulders below."""
    head = Box(left, top, left + size, top + size)
    face = Box(left + 2, top + 4, left + size - 2, top + size)
    body = Box(max(0, left - size // 2), top - 4, left + size + size // 2, min(64, top + 3 * size))
    return FoundPerson(name, face, head, body, 0.9, "drawing")


LEFT, RIGHT, FAR = person(16), person(56, name="person 2"), person(80, 5, "person 3", 4)


def two(**changes):
    speakers = [Speaker(voice(0.3, 0), RATE), Speaker(voice(0.3, 1), RATE)]
    return Scene(**{"image": picture(), "speakers": speakers, **changes})
