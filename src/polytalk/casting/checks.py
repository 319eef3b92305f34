"""What may go wrong with a scene, seen before it is made: each check gives sentences to warn with, or none.

People are those of a `CastProposal`; only the ones with a voice are looked at, by their names.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from polytalk.casting.found import FoundPerson
from polytalk.casting.match import Match
from polytalk.casting.people.places import NOT_FOUND, shared_area
from polytalk.conditioning.picture import PictureFit
from polytalk.media.audio import Sound
from polytalk.scene import Box
from polytalk.scene.schedule import runs
from polytalk.units import PIXEL_STEP

LEAST_FACE = 2.5 * PIXEL_STEP
"""Pixels of a face's width in the video's frame, so that the mouth, two fifths of it, is as wide as a token."""
_OUTSIDE = 0.05
"""Of a face's area: what may lie outside its box unmentioned."""
_OVERLAP = 0.1
"""Of the smaller box: likewise what two boxes may share."""
_FULL_SCALE = 0.99
"""From here on a sample counts as the loudest there is."""
_FLAT = 3
"""Samples in a row at full scale that are a clipped peak."""
_PEAKS = 5
"""Clipped peaks from which on a sound is warned of."""
_MUSIC = 0.5
"""Share of music in a sound from which on it is warned of."""
_MUCH_LARGER, _SMALLER = 3.0, 1.5
"""Factors between a picture's size and the video's that are warned of: detail is lost, or none is there."""


def faces_outside_boxes(people: Mapping[str, FoundPerson], boxes: Mapping[str, Box]) -> list[str]:
    """Of faces that their boxes cut."""
    found = []
    for name, person in people.items():
        face, box = person.face, boxes[name]
        share = 1 - shared_area(face, box) / (face.width * face.height)
        if person.score != NOT_FOUND and share > _OUTSIDE:
            whole = Box(*map(min, _low(face), _low(box)), *map(max, _high(face), _high(box)))
            found.append(f"{share:.0%} of {name}'s face lies outside the box {box}: {whole} would hold it")
    return found


def overlapping_boxes(boxes: Mapping[str, Box]) -> list[str]:
    """Of boxes that share so much that the network may mix two people up."""
    found = []
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        share = shared_area(a, b) / min(a.width * a.height, b.width * b.height)
        if share > _OVERLAP:
            found.append(f"the boxes of {one} and {other} share {share:.0%} of the smaller one: draw them apart")
    return found


def small_faces(people: Mapping[str, FoundPerson], fit: PictureFit) -> list[str]:
    """Of faces whose mouths are smaller than what the network can tell apart, with what would do."""
    found = []
    scale = fit.scaled[1] / fit.source[1]
    height, width = fit.target
    for name, person in people.items():
        seen = person.face.width * scale
        if person.score == NOT_FOUND or seen >= LEAST_FACE:
            continue
        more = LEAST_FACE / seen
        frame = [math.ceil(side * more / PIXEL_STEP) * PIXEL_STEP for side in (width, height)]
        crop = [math.floor(side / (scale * more) + 1e-6) for side in (width, height)]
        found.append(
            f"{name}'s face is {seen:.0f} pixels wide in the video, and the network sees {PIXEL_STEP} at a time: crop "
            f"the picture to at most {crop[0]} × {crop[1]} pixels around the people, or make a video of "
            f"{frame[0]} × {frame[1]} or more"
        )
    return found


def voices_without_person(match: Match, names: Sequence[str]) -> list[str]:
    """Of voices that nobody in the picture has."""
    return [f"nobody in the picture speaks with {names[voice]}" for voice in match.unplaced]


def people_without_voice(names: Sequence[str], speaking: Sequence[bool]) -> list[str]:
    """Of people of the scene who never say anything."""
    silent = [name for name, speaks in zip(names, speaking, strict=True) if not speaks]
    return [f"{name} has no voice and only listens" for name in silent]


def clipped_sounds(sounds: Mapping[str, Sound]) -> list[str]:
    """Of sounds whose peaks are cut off, which is heard, and shakes the lips."""
    found = []
    for name, sound in sounds.items():
        peaks = clipped_peaks(sound)
        if len(peaks) >= _PEAKS:
            found.append(
                f"{name} is clipped at {len(peaks)} peaks, the first at {peaks[0]:.2f} s: record it softer, or mend it"
            )
    return found


def clipped_peaks(sound: Sound) -> list[float]:
    """When, in seconds, a sound stays at full scale for some samples."""
    full = runs(np.abs(sound.samples) >= _FULL_SCALE)
    return [first / sound.sample_rate for first, last in full if last - first >= _FLAT]


def music_under_voices(sounds: Mapping[str, Sound], share: Callable[[Sound], float]) -> list[str]:
    """Of sounds that hold music, which moves mouths as words do.

    Args:
        sounds: by what to call them.
        share: how much of a sound is music, 0..1.
    """
    heard = {name: share(sound) for name, sound in sounds.items()}
    return [
        f"{name} holds music ({part:.0%} of it), which moves mouths as well: give the voices alone"
        for name, part in heard.items()
        if part >= _MUSIC
    ]


def unfit_picture(fit: PictureFit) -> list[str]:
    """Of a picture much larger or smaller than the video."""
    scale = fit.scaled[1] / fit.source[1]
    (height, width), (tall, wide) = fit.source, fit.target
    sizes = f"the picture has {width} × {height} pixels and the video {wide} × {tall}"
    if scale > _SMALLER:
        return [f"{sizes}: it is enlarged {scale:.1f} times and will look soft"]
    if scale < 1 / _MUCH_LARGER:
        return [f"{sizes}: {1 / scale:.0f} pixels become one, and what is fine is lost"]
    return []


def _low(box: Box) -> tuple[int, int]:
    return box.left, box.top


def _high(box: Box) -> tuple[int, int]:
    return box.right, box.bottom
