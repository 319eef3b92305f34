"""Who gets a voice of their own in a clip, for weights that know fewer voices than there are people.

The released weights have been trained on two voices: the bands of labels of a third person (paper, section 3.4) exist,
but nothing has been learnt there. In each clip the people who speak most take the trained bands; everybody else belongs
to the background and keeps silent until the next clip.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polytalk.scene.schedule import runs
from polytalk.units import FPS

_WORTH_TELLING = 5
"""Frames (0.2 s) of speech that somebody may lose without a warning."""


@dataclass(frozen=True)
class Cast:
    """Who is heard in one clip."""

    people: tuple[int, ...]
    """Person of each band, in the order of the bands."""
    silenced: tuple[int, ...] = ()
    """People who speak in the clip and have no band."""


def cast_clip(activity: np.ndarray, trained_voices: int | None, before: Sequence[int] = ()) -> Cast:
    """Give the trained bands to the people who speak most in a clip.

    All bands are always taken, by listeners if need be: with a single voice the network would move every mouth.

    Args:
        activity: bool (P, T), who speaks in which of the clip's frames.
        trained_voices: bands that the weights know; None: as many as anybody likes.
        before: person of each band in the clip before. Whoever stays keeps the band, and of people who speak equally
            much those stay.
    """
    spoken = np.asarray(activity).sum(axis=1)
    everybody = range(len(spoken))
    if trained_voices is None or len(spoken) <= trained_voices:
        return Cast(tuple(everybody))
    ranked = sorted(everybody, key=lambda person: (-spoken[person], person not in before, person))
    chosen, rest = ranked[:trained_voices], ranked[trained_voices:]
    bands: list[int | None] = [person if person in chosen else None for person in before] or [None] * trained_voices
    new = iter(sorted(person for person in chosen if person not in bands))
    people = tuple(next(new) if person is None else person for person in bands)
    return Cast(people, tuple(person for person in sorted(rest) if spoken[person]))


def entrances(activity: np.ndarray, trained_voices: int | None) -> set[int]:
    """Frames at which somebody begins to speak who is not among the latest speakers that the weights have bands for.

    Args:
        activity: bool (P, T), who speaks when.
        trained_voices: as in `cast_clip`.
    """
    if trained_voices is None or len(activity) <= trained_voices:
        return set()
    starts = sorted((start, person) for person, spoken in enumerate(activity) for start, _ in runs(spoken))
    latest: list[int] = []
    found = set()
    for start, person in starts:
        if len(latest) >= trained_voices and person not in latest[-trained_voices:]:
            found.add(start)
        latest = [other for other in latest if other != person] + [person]
    return found


def warn_of_silenced(activity: np.ndarray, cast: Cast, start: int) -> None:
    """Warn where somebody speaks and is not heard, and say whether too many speak at once or too many in one clip.

    Args:
        activity: bool (P, T) of a clip's frames.
        cast: of the clip.
        start: the first of these frames in the video.
    """
    lost = {person: int(activity[person].sum()) for person in cast.silenced}
    told = [person for person, frames in lost.items() if frames >= _WORTH_TELLING]
    if not told:
        return
    unheard = np.flatnonzero(activity[told].any(axis=0))
    first, last = int(unheard[0]), int(unheard[-1]) + 1
    voices = len(cast.people)
    at_once = int(activity.sum(axis=0).max())
    why = f"{at_once} people speak at once" if at_once > voices else f"more than {voices} people speak in one clip"
    names = " and ".join(f"speaker {person + 1}" for person in told)
    message = (
        f"{why} between {(start + first) / FPS:.1f} and {(start + last) / FPS:.1f} s, and this model was trained on "
        f"{voices} voices: {names} will keep silent there. Let them speak one after the other, with pauses."
    )
    warnings.warn(message, UserWarning, stacklevel=2)
