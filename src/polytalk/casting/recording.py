"""One recording of several people: a scene in which everybody says what was theirs, and the recording is heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polytalk.casting.cast import CastProposal, cast_scene, look_for_people
from polytalk.casting.found import Diarization, VoiceTurn
from polytalk.casting.voices.clustering import ClusterConfig
from polytalk.casting.voices.find import listen
from polytalk.errors import PolytalkError
from polytalk.media.audio import Sound, sound_of
from polytalk.media.image import load_image
from polytalk.scene import Scene, Speaker, Utterance

PICTURED = ClusterConfig(short=0.4, short_likeness=0.65, likeness=0.76)
"""When two clusters count as two voices, if the picture shows at least so many people."""
_EDGE = 1e-3
"""Seconds: shorter overlaps are rounding."""


def cast_recording(
    image: Any,
    recording: str | Path | np.ndarray,
    *,
    sample_rate: int | None = None,
    num_voices: int | None = None,
    find: bool = True,
    correct: Mapping[str, Any] | None = None,
    **values: Any,
) -> CastProposal:
    """People and voices found and matched, in a picture and one recording of everybody.

    Args:
        image, recording, sample_rate, values: as in `scene_of_recording`.
        num_voices: how many speak; None estimates it, and takes no more voices than people are found.
        find: look for people; off: the picture is divided evenly.
        correct: the user's word: assign, points, swap of `cast_scene`.

    Raises:
        PolytalkError: nobody speaks, or as `cast_scene`.
    """
    people = look_for_people(np.asarray(load_image(image)), num_voices) if find else ()
    sound = sound_of(recording, sample_rate, "recording")
    found = voices_of(sound, num_voices, len(people))
    scene = scene_of_recording(image, recording, found, sample_rate=sample_rate, **values)
    return cast_scene(scene, people=people if find else None, find=find, **(correct or {}))


def voices_of(sound: Sound, num_voices: int | None, num_people: int = 0) -> Diarization:
    """Who speaks when in a recording.

    Args:
        sound: the recording.
        num_voices: how many speak; None estimates it.
        num_people: who could speak: an estimate beyond is taken for one voice heard as two, and up to it voices count
            that are heard for less, or are more alike, than would do otherwise. 0: not known.
    """
    heard = listen(sound)
    found = heard.find(num_voices)
    if num_voices is not None or num_people == 0:
        return found
    if num_people < found.num_voices:
        return heard.find(num_people)
    if num_people > found.num_voices:
        return heard.find(None, replace(PICTURED, most=num_people))
    return found


def scene_of_recording(
    image: Any,
    recording: str | Path | np.ndarray,
    found: Diarization,
    *,
    sample_rate: int | None = None,
    **values: Any,
) -> Scene:
    """A scene of a picture and a recording, cut into the turns of its voices.

    Turns are cut out of the recording itself; where voices that overlap were separated, a turn has its own voice. What
    is heard is the recording.

    Args:
        image: as in `Scene`.
        recording: a file, or samples.
        found: who speaks when in it; see `polytalk.casting.voices.find.find_voices`.
        sample_rate: Hz, for samples.
        values: further fields of the scene: prompt, negative_prompt.

    Raises:
        PolytalkError: nobody speaks in it.
    """
    if not found.turns:
        remedy = "Use a recording of speech, or give a `script` with times."
        raise PolytalkError("recording", "nobody is heard to speak", remedy)
    sound = None if isinstance(recording, str | Path) else sound_of(recording, sample_rate, "recording")
    speakers = [Speaker(name=f"voice {number + 1}") for number in range(found.num_voices)]
    utterances = [_utterance(turn, recording, sound, found) for turn in found.turns]
    soundtrack = recording if sound is None else (sound.samples, sound.sample_rate)
    return Scene(image, speakers=speakers, utterances=utterances, soundtrack=soundtrack, **values)


def _utterance(turn: VoiceTurn, recording: Any, sound: Sound | None, found: Diarization) -> Utterance:
    start, end = round(turn.start, 3), round(min(turn.end, found.duration or turn.end), 3)
    times: dict[str, Any] = {"start": start, "end": end}
    if _is_separated(turn, found):
        first, last = (round(edge * found.sample_rate) for edge in (start, end))
        own = found.tracks[turn.voice, first:last]
        return Utterance(turn.voice, audio=own, sample_rate=found.sample_rate, **times)
    if sound is None:
        return Utterance(turn.voice, audio=recording, cut=(start, end), **times)
    first, last = (round(edge * sound.sample_rate) for edge in (start, end))
    return Utterance(turn.voice, audio=sound.samples[first:last], sample_rate=sound.sample_rate, **times)


def _is_separated(turn: VoiceTurn, found: Diarization) -> bool:
    """Whether somebody else speaks meanwhile, and the two were taken apart."""
    for other in found.turns:
        start, end = max(turn.start, other.start), min(turn.end, other.end)
        if other.voice != turn.voice and end - start > _EDGE:
            covered = sum(max(0.0, min(end, b) - max(start, a)) for a, b in found.mixed)
            if covered < end - start - _EDGE:
                return True
    return False
