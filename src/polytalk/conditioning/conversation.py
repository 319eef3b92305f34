"""All sounds of a scene, each at its time: files read, recordings cut, texts spoken by a synthesiser."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.media.audio import MIN_SECONDS, Sound, limit_peak, resample, sound_of
from polytalk.scene import Scene, Utterance
from polytalk.scene.schedule import TOLERANCE, Schedule, Turn, check_length, lay_out, track_starts
from polytalk.tts.synthesizer import Synthesizer
from polytalk.tts.voices import cast_voices

Synthesiser = Callable[[str, str | None], Sound]
"""A text and the name of a voice (None: any) to its sound."""
SoundReader = Callable[[Any, int | None, str], Sound]
"""A file or samples, their rate in Hz, and what to call them in errors, to a sound; `sound_of` is one."""
_FADE = 0.005
"""Seconds over which a cut out of a recording comes and goes, so that it does not click."""


@dataclass(frozen=True, eq=False)
class Conversation:
    """What is heard when."""

    schedule: Schedule
    """When."""
    sounds: tuple[Sound, ...]
    """Of each of the schedule's turns, at its own rate and loudness."""
    soundtrack: Sound | None = None
    """What the audience hears instead of all of them together."""

    def turns_of(self, speaker: int) -> Iterator[tuple[Turn, Sound]]:
        """One person's turns and their sounds."""
        pairs = zip(self.schedule.turns, self.sounds, strict=True)
        return ((turn, sound) for turn, sound in pairs if turn.speaker == speaker)

    def mix(self, min_seconds: float = MIN_SECONDS) -> Sound:
        """What the audience hears: all at the highest rate among them, turned down as a whole if it would pass ±1.

        A soundtrack is heard as it is, followed by silence if voices go on after it.
        """
        if self.soundtrack is not None:
            sound, seconds = self.soundtrack, max(self.schedule.seconds, min_seconds)
            missing = round(seconds * sound.sample_rate) - len(sound.samples)
            return Sound(np.pad(sound.samples, (0, max(0, missing))), sound.sample_rate)
        rate = max(sound.sample_rate for sound in self.sounds)
        pairs = zip(self.schedule.turns, self.sounds, strict=True)
        placed = [(turn.start, resample(sound.samples, sound.sample_rate, rate)) for turn, sound in pairs]
        return Sound(limit_peak(lay_down(placed, rate, min_seconds)), rate)


def load_conversation(
    scene: Scene, synthesise: Synthesiser | None = None, *, read: SoundReader = sound_of
) -> Conversation:
    """Read every sound that a scene names, and give each its time.

    Args:
        scene: with tracks, utterances, or tracks of some and utterances of others.
        synthesise: speaks the utterances that have only a text.
        read: opens a sound; one that remembers opens each file once.

    Raises:
        PolytalkError: as `load_audio` and `lay_out`; a text without a synthesiser; a cut beyond its recording's end.
    """
    tracks = load_voices(scene, read)
    said = []
    for place, utterance in enumerate(scene.utterances):
        field = f"utterances[{place}]"
        if utterance.audio is None:
            said.append(_speak(scene, utterance, field, synthesise))
        else:
            said.append(_load(utterance, field, read))
    lengths = [None if track is None else track.seconds for track in tracks]
    schedule = lay_out(scene, [sound.seconds for sound in said], lengths)
    soundtrack = _soundtrack(scene, read)
    return Conversation(schedule, (*(track for track in tracks if track is not None), *said), soundtrack)


def _soundtrack(scene: Scene, read: SoundReader) -> Sound | None:
    given = scene.soundtrack
    if given is None:
        return None
    if isinstance(given, tuple):
        samples, rate = given
        return read(samples, rate, "soundtrack")
    return read(given, None, "soundtrack")


def lay_down(placed: list[tuple[float, np.ndarray]], sample_rate: int, min_seconds: float = 0.0) -> np.ndarray:
    """Sum of sounds (seconds, samples) at their times, silence between: float32 (n,)."""
    firsts = [round(start * sample_rate) for start, _ in placed]
    ends = [first + len(samples) for first, (_, samples) in zip(firsts, placed, strict=True)]
    total = np.zeros(max([round(min_seconds * sample_rate), *ends]), np.float32)
    for first, (_, samples) in zip(firsts, placed, strict=True):
        total[first : first + len(samples)] += samples
    return total


def _load(utterance: Utterance, field: str, read: SoundReader) -> Sound:
    sound = read(utterance.audio, utterance.sample_rate, f"{field}.audio")
    return sound if utterance.cut is None else _cut(sound, utterance.cut, field)


def _cut(sound: Sound, cut: tuple[float, float], field: str) -> Sound:
    if cut[1] > sound.seconds + TOLERANCE:
        problem = f"it goes on to {cut[1]:.2f} s, and the sound ends at {sound.seconds:.2f} s"
        raise PolytalkError(f"{field}.cut", problem, "Is it the right recording?")
    first, last = (round(edge * sound.sample_rate) for edge in cut)
    samples = sound.samples[first:last].copy()
    if samples.size == 0:
        raise PolytalkError(f"{field}.cut", "it is shorter than one sample", "Give a longer one.")
    ramp = np.linspace(0, 1, min(round(_FADE * sound.sample_rate), len(samples) // 2) + 1, dtype=np.float32)[1:]
    if first > 0:
        samples[: len(ramp)] *= ramp
    if last < len(sound.samples):
        samples[len(samples) - len(ramp) :] *= ramp[::-1]
    return Sound(samples, sound.sample_rate)


def _speak(scene: Scene, utterance: Utterance, field: str, synthesise: Synthesiser | None) -> Sound:
    if synthesise is None:
        problem = f"{scene.name_of(utterance)} has a text and no sound"
        raise PolytalkError(field, problem, "Give it audio, or a synthesiser that speaks it.")
    assert utterance.text is not None
    sound = synthesise(utterance.text, scene.speakers[scene.index_of(utterance)].voice)
    return sound_of(sound.samples, sound.sample_rate, field)


def hear(
    scene: Scene,
    synthesise: Synthesiser | None = None,
    *,
    read: SoundReader = sound_of,
    spoken: dict[tuple[str, str | None], Sound] | None = None,
) -> Conversation:
    """Every sound of a scene at its time.

    Args:
        scene: what is asked for.
        synthesise: speaks utterances that have only a text; None: Polytalk's own, which gives everybody without a
            voice one of their own.
        read: opens a sound; one that remembers opens each file once.
        spoken: texts with their voices that have been spoken already; those that are spoken now are added.

    Raises:
        PolytalkError: as `load_conversation`; no such voice, or a text that it cannot read.
    """
    silent = [utterance for utterance in scene.utterances if utterance.audio is None]
    if synthesise is None and silent:
        scene, synthesise = _with_voices(scene, silent), Synthesizer()
    if synthesise is not None and spoken is not None:
        synthesise = _remembering(synthesise, spoken)
    return load_conversation(scene, synthesise, read=read)


def _with_voices(scene: Scene, silent: Sequence[Utterance]) -> Scene:
    """The scene in which everybody who speaks a text has a voice."""
    people = sorted({scene.index_of(utterance) for utterance in silent})
    cast = dict(zip(people, cast_voices([scene.speakers[person].voice for person in people]), strict=True))
    speakers = [
        dataclasses.replace(speaker, voice=cast.get(person, speaker.voice))
        for person, speaker in enumerate(scene.speakers)
    ]
    return dataclasses.replace(scene, speakers=speakers)


def _remembering(synthesise: Synthesiser, spoken: dict[tuple[str, str | None], Sound]) -> Synthesiser:
    def speak(text: str, voice: str | None) -> Sound:
        if (text, voice) not in spoken:
            spoken[text, voice] = synthesise(text, voice)
        return spoken[text, voice]

    return speak


def load_voices(scene: Scene, read: SoundReader = sound_of) -> tuple[Sound | None, ...]:
    """Everybody's sound at its own rate, in the order of `scene.speakers`; None for those who only listen.

    Raises:
        PolytalkError: as `load_audio`, naming the speaker by number.
    """
    return tuple(
        None if speaker.audio is None else read(speaker.audio, speaker.sample_rate, f"speaker {number}")
        for number, speaker in enumerate(scene.speakers, start=1)
    )


def arrange(
    sounds: Sequence[Sound | None],
    sample_rate: int,
    arrangement: str = "together",
    offsets: Sequence[float] | None = None,
    min_seconds: float = MIN_SECONDS,
) -> np.ndarray:
    """Lay everybody's sound on a common time line, filled with silence.

    Args:
        sounds: one per person, of any rate and length; None is silence.
        sample_rate: Hz of the result.
        arrangement: "together": everybody starts at 0. "turns": one after the other (the release's "add").
        offsets: seconds of silence before each; from 0 when together, after the one before in turns.
        min_seconds: the result is at least this long.

    Returns:
        float32 (people, samples).

    Raises:
        PolytalkError: nobody has a voice, unknown arrangement, or longer than two hours altogether.
    """
    if all(sound is None for sound in sounds):
        raise PolytalkError("speakers", "nobody has a voice", "Give at least one of them audio.")
    lengths = [None if sound is None else sound.seconds for sound in sounds]
    starts = track_starts(lengths, arrangement, [0.0] * len(sounds) if offsets is None else offsets)
    check_length(max(start + length for start, length in zip(starts, lengths, strict=True) if length is not None))
    placed = [
        (round(start * sample_rate), resample(sound.samples, sound.sample_rate, sample_rate))
        for sound, start in zip(sounds, starts, strict=True)
        if sound is not None
    ]
    length = max([round(min_seconds * sample_rate)] + [first + len(samples) for first, samples in placed])
    tracks = np.zeros((len(sounds), length), np.float32)
    people = [person for person, sound in enumerate(sounds) if sound is not None]
    for person, (first, samples) in zip(people, placed, strict=True):
        tracks[person, first : first + len(samples)] = samples
    return tracks
