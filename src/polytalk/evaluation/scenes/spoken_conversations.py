"""Conversations as one microphone hears them, with the truth of who speaks when.

Made of a bank of voices (polytalk.synthetic.speech.bank): turns with pauses, now and then one that begins before the
other ends, half of the conversations in a room and through a microphone. In half of them all voices come from one
synthesiser, so that telling synthesisers apart is not enough.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polytalk.casting.found import VoiceTurn
from polytalk.errors import PolytalkError
from polytalk.synthetic.speech.augment import Augmentation, colour, draw_noise
from polytalk.synthetic.speech.bank import SOURCE_WEIGHTS, SpeechBank, build
from polytalk.tts.phonemes import SILENCE
from polytalk.units import SAMPLE_RATE

JOINED = 0.5
"""Seconds: shorter silence of one voice lies within its turn. Twice the usual collar, so it is never scored."""
_PER_SOURCE = 4.0
"""Minutes of speech per synthesiser made on the spot."""
_MADE_NOW = ("espeak", "flite", "hibari", "formant")
"""Synthesisers for that, as far as they are installed: Kokoro is too slow to wait for, and carries two voices."""
_ENOUGH = 8.0
"""Seconds that a voice must have in the bank."""
_APART = 1.1
"""Resampling factors of one voice that differ by less are the same speaker."""
_ROOM = Augmentation(tone=0, room=1)
_MICROPHONE = Augmentation(tone=1, room=0)


@dataclass(frozen=True)
class SpokenConversation:
    """One recording and its truth."""

    samples: np.ndarray
    """float32 (n,), 16 kHz."""
    tracks: np.ndarray
    """float32 (voices, n): what each contributes, without noise."""
    turns: tuple[VoiceTurn, ...]
    """By start; voice 0 speaks first."""
    names: tuple[str, ...]
    """Of the voices, in the order of first speech."""
    augmented: bool
    """In a room, through a microphone, with noise."""

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / SAMPLE_RATE

    @property
    def overlap(self) -> float:
        """Share of the time with speech in which two or more speak."""
        active = activity(self.turns, len(self.names), self.seconds).sum(axis=0)
        return float((active > 1).sum() / max((active > 0).sum(), 1))


def activity(turns: Sequence[VoiceTurn], voices: int, seconds: float, rate: int = 100) -> np.ndarray:
    """Turns as bool (voices, frames), `rate` frames a second."""
    active = np.zeros((voices, math.ceil(seconds * rate)), bool)
    for turn in turns:
        active[turn.voice, round(turn.start * rate) : round(turn.end * rate)] = True
    return active


class VoicePool:
    """The different voices of a bank; every second one, so that the others are left to tune with.

    Args:
        bank: utterances.
        tuning: take the other half.
    """

    def __init__(self, bank: SpeechBank, tuning: bool = False) -> None:
        self.bank = bank
        found: dict[str, list[int]] = {}
        for number in range(len(bank)):
            identity = _identity(bank.voice(number))
            if identity:
                found.setdefault(identity, []).append(number)
        enough = [
            name
            for name, numbers in sorted(found.items())
            if len(numbers) >= 3 and sum(map(bank.duration, numbers)) >= _ENOUGH
        ]
        self.by_source: dict[str, list[str]] = {}
        for name in enough:
            self.by_source.setdefault(name.split(":")[0], []).append(name)
        self.by_source = {source: names[int(tuning) :: 2] for source, names in self.by_source.items()}
        self.utterances = {name: found[name] for names in self.by_source.values() for name in names}

    @property
    def description(self) -> str:
        """How many of which synthesiser."""
        return ", ".join(f"{len(names)} {source}" for source, names in self.by_source.items())

    def draw(self, rng: np.random.Generator, voices: int) -> list[str]:
        """Names of so many different voices; half of the time all of one synthesiser.

        Raises:
            PolytalkError: there are not so many.
        """
        sources = [source for source, names in self.by_source.items() if names]
        weights = np.array([SOURCE_WEIGHTS.get(source, 1.0) for source in sources])
        for _ in range(100):
            one = str(rng.choice(sources, p=weights / weights.sum())) if rng.random() < 0.5 else None
            chosen: list[str] = []
            for _ in range(8 * voices):
                source = one or str(rng.choice(sources, p=weights / weights.sum()))
                name = str(rng.choice(self.by_source[source]))
                if all(_differ(name, other) for other in chosen):
                    chosen.append(name)
                if len(chosen) == voices:
                    return chosen
        raise PolytalkError("voices", f"the bank has fewer than {voices} different ones", "Give a larger bank.")


def _identity(voice: str) -> str | None:
    """Whose voice it is: espeak's English accents of one variant at one pitch are one speaker; its others are left out,
    because hardly any says more than one sentence."""
    source, _, name = voice.partition(":")
    if source != "espeak":
        return voice
    accent, _, variant = name.partition("+")
    return f"espeak:{variant}" if accent.startswith("en") and variant else None


def _differ(name: str, other: str) -> bool:
    """Whether two names are two speakers."""
    if name.startswith("espeak:"):
        return name.split("@")[0] != other.split("@")[0]
    (base, _, factor), (other_base, _, other_factor) = name.partition("*"), other.partition("*")
    if base != other_base or not factor:
        return name != other
    return abs(math.log(float(factor) / float(other_factor))) > math.log(_APART)


def conversation_bank(folder: Path | None) -> tuple[SpeechBank, str]:
    """The bank to draw from, and where it comes from: the folder; or made now of the installed synthesisers.

    Raises:
        PolytalkError: there is no bank in the folder.
    """
    if folder is not None:
        return SpeechBank(folder), str(folder)
    with tempfile.TemporaryDirectory(prefix="polytalk-") as made:
        build(made, _PER_SOURCE, sources=_MADE_NOW)
        bank = SpeechBank(made, in_memory=True)
    return bank, f"made now, {_PER_SOURCE:g} minutes per synthesiser"


@dataclass
class _Placed:
    """One utterance on the time line."""

    voice: int
    number: int
    start: float
    end: float


def draw_spoken(
    pool: VoicePool, seed: Sequence[int], voices: int, *, augmented: bool, seconds: float = 40.0, overlap: float = 0.05
) -> SpokenConversation:
    """One conversation.

    Args:
        pool: who may speak.
        seed: numbers; the same give the same conversation.
        voices: how many speak, each at least twice.
        augmented: in a room, through a microphone, with noise 15 to 35 dB below the voices.
        seconds: about how long.
        overlap: about which share of the speech is double.
    """
    rng = np.random.default_rng(list(seed))
    names = pool.draw(rng, voices)
    plan = _plan(pool, rng, names, seconds, overlap)
    order = list(dict.fromkeys(placed.voice for placed in plan))
    for placed in plan:
        placed.voice = order.index(placed.voice)
    names = [names[voice] for voice in order]
    samples, tracks = _record(pool.bank, rng, plan, voices, augmented)
    turns = _turns(pool.bank, plan, voices)
    return SpokenConversation(samples, tracks, turns, tuple(names), augmented)


def _plan(pool: VoicePool, rng: np.random.Generator, names: list[str], seconds: float, overlap: float) -> list[_Placed]:
    """Who says what when. A speaker says one or two utterances at a time."""
    queues = [list(rng.permutation(pool.utterances[name])) for name in names]
    plan: list[_Placed] = []
    end, doubled, before = float(rng.uniform(0.2, 0.8)), 0.0, -1
    said = [0] * len(names)
    while end < seconds or min(said) < 2:
        waiting = [voice for voice in range(len(names)) if voice != before and said[voice] == min(said)]
        others = [voice for voice in range(len(names)) if voice != before or len(names) == 1]
        voice = int(rng.choice(waiting if waiting and (end > seconds or rng.random() < 0.5) else others))
        start = end + (float(rng.uniform(0.1, 0.8)) if rng.random() < 0.85 else float(rng.uniform(0.8, 2.5)))
        # the first words over the other's last ones, as often as it takes to come to the share asked for
        if plan and voice != before and doubled < overlap * end and rng.random() < 0.7:
            length = min(float(rng.uniform(0.4, 1.5)), 0.6 * (plan[-1].end - plan[-1].start))
            start, doubled = end - length, doubled + length
        for _ in range(1 + int(rng.random() < 0.4)):
            if not queues[voice]:
                queues[voice] = list(rng.permutation(pool.utterances[names[voice]]))
            number = int(queues[voice].pop())
            plan.append(_Placed(voice, number, start, start + pool.bank.duration(number)))
            start = plan[-1].end + float(rng.uniform(0.05, 0.4))
        end, before = plan[-1].end, voice
        said[voice] += 1
    return plan


def _record(
    bank: SpeechBank, rng: np.random.Generator, plan: list[_Placed], voices: int, augmented: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mix (n,) and tracks (voices, n)."""
    count = round((max(placed.end for placed in plan) + float(rng.uniform(0.2, 0.8))) * SAMPLE_RATE)
    tracks = np.zeros((voices, count), np.float32)
    for placed in plan:
        samples, first = bank[placed.number].samples, round(placed.start * SAMPLE_RATE)
        tracks[placed.voice, first : first + len(samples)] += samples[: count - first]
    tracks *= (10 ** (rng.uniform(-4, 4, (voices, 1)) / 20)).astype(np.float32)
    noise = np.zeros(count, np.float32)
    if augmented:
        tracks = np.stack([colour(track, rng, _ROOM) for track in tracks])
        microphone = rng.bit_generator.state
        for voice, track in enumerate(tracks):
            rng.bit_generator.state = microphone  # one microphone for all
            tracks[voice] = colour(track, rng, _MICROPHONE)
        level = float(np.sqrt(np.mean(tracks.sum(axis=0) ** 2)))
        noise = draw_noise(count, rng) * np.float32(level * 10 ** (-rng.uniform(15, 35) / 20))
    mix = tracks.sum(axis=0) + noise
    gain = np.float32(0.9 / max(float(np.abs(mix).max()), 0.9))
    return mix * gain, tracks * gain


def _turns(bank: SpeechBank, plan: list[_Placed], voices: int) -> tuple[VoiceTurn, ...]:
    turns = []
    for voice in range(voices):
        spoken = sorted(
            (placed.start + start, placed.start + end)
            for placed in plan
            if placed.voice == voice
            for symbol, start, end in bank.phonemes(placed.number)
            if symbol != SILENCE
        )
        joined = [list(spoken[0])]
        for start, end in spoken[1:]:
            if start - joined[-1][1] < JOINED:
                joined[-1][1] = max(joined[-1][1], end)
            else:
                joined.append([start, end])
        turns += [VoiceTurn(voice, start, end) for start, end in joined]
    return tuple(sorted(turns, key=lambda turn: turn.start))
