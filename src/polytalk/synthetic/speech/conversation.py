"""Conversations from a bank of voices: turns, silence, overlapping speech; exact mouths for every frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.synthetic.speech.augment import Augmentation, colour, draw_noise
from polytalk.synthetic.speech.bank import SpeechBank
from polytalk.synthetic.speech.mouth import mouth_track, speaking_track
from polytalk.tts.phonemes import SILENCE, Phoneme
from polytalk.units import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME

_MARGIN = 0.3  # seconds around the window whose phonemes still shape the mouth


@dataclass(frozen=True)
class SyntheticConversation:
    """What P people say during T frames.

    Args:
        audio: float32 (P, n), 16 kHz, n = round(T / 25 * 16000); all zeros for a person whose track is empty.
        mouth: float32 (P, T, 3): opening, width, rounding in 0..1 at the frames' centres.
        speaking: bool (P, T).
        lead: float32 (P, m): the sound just before, m = `context` seconds, as a speech encoder would hear it.
        trail: float32 (P, m): the sound just after.
        phonemes: per person, (symbol, start, end) in seconds from the first frame's beginning; reaches beyond the clip.
        voices: per person, the voice's name, "" for a person who says nothing in and around the clip.
    """

    audio: np.ndarray
    mouth: np.ndarray
    speaking: np.ndarray
    lead: np.ndarray
    trail: np.ndarray
    phonemes: tuple[tuple[Phoneme, ...], ...]
    voices: tuple[str, ...]

    @property
    def with_context(self) -> np.ndarray:
        """float32 (P, m + n + m): lead, audio, trail."""
        return np.concatenate([self.lead, self.audio, self.trail], axis=1)

    def part(self, first: int, last: int) -> SyntheticConversation:
        """The frames from first to last, as far as drawing needs them."""
        samples = slice(first * SAMPLES_PER_FRAME, last * SAMPLES_PER_FRAME)
        return replace(
            self,
            audio=self.audio[:, samples],
            mouth=self.mouth[:, first:last],
            speaking=self.speaking[:, first:last],
        )


@dataclass(frozen=True)
class _Placed:
    """Utterance `index` of the bank, from `start` seconds (clip time) on, `speed` times as fast."""

    index: int
    start: float
    end: float
    speed: float


_Plan = list[list[_Placed]]
"""What each person says."""


class _Speaker:
    """One person's voice in one conversation; two people never say the same.

    Args:
        draw: the conversation.
        taken: voices of the others.
        used: what anybody has said.
    """

    def __init__(self, draw: _Draw, taken: set[str], used: set[int]) -> None:
        self.bank, self.rng, self.used = draw.bank, draw.rng, used
        self.speed = draw.config.draw_speed(draw.rng)
        for _ in range(20):
            self.voice = self.bank.voice(self.bank.draw_index(self.rng))
            if self.voice not in taken:
                break
        taken.add(self.voice)
        self._choices = self.bank.voices[self.voice]
        self._own: set[int] = set()

    def draw(self, short: bool) -> tuple[int, float]:
        """(utterance, seconds it takes); `short` prefers short ones."""
        picks = [self._choices[int(self.rng.integers(len(self._choices)))] for _ in range(4)]
        fresh = [pick for pick in picks if pick not in self.used]
        fresh = fresh or [pick for pick in picks if pick in self._own]  # a voice with few utterances repeats itself
        while not fresh:  # a bank with fewer voices than people
            pick = self.bank.draw_index(self.rng)
            fresh = [pick] if pick not in self.used or len(self.used) >= len(self.bank) else []
        index = min(fresh[:2], key=self.bank.duration) if short else fresh[0]
        self.used.add(index)
        self._own.add(index)
        return index, self.bank.duration(index) / self.speed

    def begin(self, start: float, short: bool) -> _Placed:
        """The next utterance, beginning at `start`."""
        index, seconds = self.draw(short)
        return _Placed(index, start, start + seconds, self.speed)


def draw_conversation(
    bank: SpeechBank,
    rng: np.random.Generator,
    people: int,
    num_frames: int,
    overlap: bool,
    context: float = 0.0,
    augmentation: Augmentation | None = None,
) -> SyntheticConversation:
    """A random stretch of a random conversation; sentences begin and end anywhere, also outside the stretch.

    Args:
        bank: where the utterances come from.
        rng: all randomness; the same state gives the same conversation.
        people: number of voices, at least 1.
        num_frames: T, at 25 frames a second.
        overlap: False: people take turns; now and then somebody, or everybody, says nothing. True: in at least half
            of the frames two or more voices speak at once (with one person it means nothing); of three or more people
            one may keep silent.
        context: seconds of sound returned before and after the clip.
        augmentation: how voices are changed; None for the default.

    Raises:
        PolytalkError: no people or no frames.
    """
    if people < 1:
        raise PolytalkError("people", f"{people}", "Give at least one.")
    if num_frames < 1:
        raise PolytalkError("num_frames", f"{num_frames}", "Give at least one.")
    seconds = num_frames / FPS
    draw = _Draw(bank, rng, augmentation or Augmentation(), (-context, seconds + context))
    plan, names = draw.overlapping(people, num_frames) if overlap and people > 1 else draw.turns(people)
    phonemes = tuple(draw.phonemes(track) for track in plan)
    mouth = np.stack([mouth_track(track, num_frames) for track in phonemes])
    speaking = np.stack([speaking_track(track, num_frames) for track in phonemes])
    sound = draw.sound(plan)
    first, count = round(context * SAMPLE_RATE), round(seconds * SAMPLE_RATE)
    lead, audio, trail = sound[:, :first], sound[:, first : first + count], sound[:, first + count :]
    return SyntheticConversation(audio, mouth, speaking, lead, trail, phonemes, names)


@dataclass(frozen=True)
class _Draw:
    """How one conversation is drawn."""

    bank: SpeechBank
    rng: np.random.Generator
    config: Augmentation
    span: tuple[float, float]
    """Seconds of the clip with its context, in clip time."""

    def turns(self, people: int) -> tuple[_Plan, tuple[str, ...]]:
        """One after the other. In two of three clips one turn ends and another begins within the clip."""
        rng, span, plan = self.rng, self.span, _Plan([] for _ in range(people))
        active = [person for person in range(people) if people == 1 or rng.random() < 0.9]
        if rng.random() < 0.04 or not active:
            return plan, ("",) * people
        taken, used = set[str](), set[int]()
        speakers = {person: _Speaker(self, taken, used) for person in active}

        def next_after(person: int) -> int:
            others = [other for other in active if other != person]
            return int(rng.choice(others)) if others and rng.random() < 0.85 else person

        def gap() -> float:
            return float(rng.uniform(0.0, 0.4)) if rng.random() < 0.85 else float(rng.uniform(0.4, 1.5))

        person = int(rng.choice(active))
        index, seconds = speakers[person].draw(True)
        inside = span[1] - span[0] - 2 * max(-span[0], 0.0)
        if rng.random() < 0.66:
            end = float(rng.uniform(0.1, 0.9)) * inside
        else:
            end = float(rng.uniform(0.0, max(seconds, inside))) + 0.3 * inside
        plan[person].append(_Placed(index, end - seconds, end, speakers[person].speed))
        begin, before = end - seconds, person
        while begin > span[0]:  # fill the time before it
            before = next_after(before)
            index, seconds = speakers[before].draw(True)
            stop = begin - gap()
            begin = stop - seconds
            plan[before].insert(0, _Placed(index, begin, stop, speakers[before].speed))
        while end < span[1]:
            person = next_after(person)
            plan[person].append(speakers[person].begin(end + gap(), True))
            end = plan[person][-1].end
        plan = [self.within(track) for track in plan]
        return plan, tuple(speakers[p].voice if p in speakers and plan[p] else "" for p in range(people))

    def overlapping(self, people: int, num_frames: int) -> tuple[_Plan, tuple[str, ...]]:
        """Everybody talks without waiting; drawn again until half of the frames have two voices or more."""
        rng, span = self.rng, self.span
        for attempt in range(20):
            silent = int(rng.integers(people)) if people > 2 and rng.random() < 0.3 else -1
            taken, used = set[str](), set[int]()
            plan, names = _Plan([] for _ in range(people)), [""] * people
            for person in range(people):
                if person == silent:
                    continue
                speaker = _Speaker(self, taken, used)
                names[person] = speaker.voice
                first = speaker.begin(0.0, False)
                if attempt:
                    shift = span[0] - float(rng.uniform(0.0, 0.85)) * first.end
                else:
                    shift = float(rng.uniform(-0.8 * first.end, 0.3 * num_frames / FPS))
                track = [_Placed(first.index, first.start + shift, first.end + shift, first.speed)]
                while track[0].start > span[0]:
                    index, seconds = speaker.draw(False)
                    stop = track[0].start - float(rng.uniform(0.05, 0.3))
                    track.insert(0, _Placed(index, stop - seconds, stop, speaker.speed))
                while track[-1].end < span[1]:
                    start = track[-1].end + float(rng.uniform(0.0, 0.25))
                    track.append(speaker.begin(start, False))
                plan[person] = self.within(track)
            speaking = [speaking_track(self.phonemes(track), num_frames) for track in plan]
            if (np.sum(speaking, axis=0) >= 2).mean() >= 0.5:
                return plan, tuple(names)
        raise PolytalkError("bank", "its utterances are mostly pauses", "Build it with more speech.")

    def within(self, track: list[_Placed]) -> list[_Placed]:
        """What is heard in the span."""
        return [placed for placed in track if placed.end > self.span[0] and placed.start < self.span[1]]

    def phonemes(self, track: list[_Placed]) -> tuple[Phoneme, ...]:
        """The phonemes within the span and a little beyond, in clip time."""
        low, high = self.span[0] - _MARGIN, self.span[1] + _MARGIN
        times = (
            (symbol, placed.start + start / placed.speed, placed.start + end / placed.speed)
            for placed in track
            for symbol, start, end in self.bank.phonemes(placed.index)
            if symbol != SILENCE
        )
        return tuple((symbol, start, end) for symbol, start, end in times if end > low and start < high)

    def sound(self, plan: _Plan) -> np.ndarray:
        """float32 (P, samples of the span)."""
        rng, config = self.rng, self.config
        count = round((self.span[1] - self.span[0]) * SAMPLE_RATE)
        dry = np.zeros((len(plan), count), dtype=np.float32)
        for person, track in enumerate(plan):
            for placed in track:
                _render(self.bank, placed, self.span[0], dry[person])
        result = np.empty_like(dry)
        for person, voice in enumerate(dry):
            level = float(np.sqrt(np.mean(np.square(voice))))
            sound = colour(voice, rng, config) if level > 0 else voice
            if level > 1e-4 and len(plan) > 1 and rng.random() < config.bleed:
                others = (dry.sum(0) - voice) * np.float32(10 ** (rng.uniform(*config.bleed_db) / 20))
                sound = sound + others
            if rng.random() < config.noise * (1.0 if level > 0 else 0.5):
                snr = rng.uniform(*config.noise_snr_db)
                sound = sound + draw_noise(count, rng) * np.float32((level or 0.03) * 10 ** (-snr / 20))
            sound = sound * np.float32(10 ** (rng.uniform(*config.gain_db) / 20))
            peak = float(np.abs(sound).max())
            result[person] = sound / np.float32(peak) if peak > 1 else sound
        return result


def _render(bank: SpeechBank, placed: _Placed, origin: float, track: np.ndarray) -> None:
    """Adds one utterance to a person's track that begins at `origin` seconds."""
    at = (placed.start - origin) * SAMPLE_RATE  # in samples of the track, a fraction
    first = max(int(np.ceil(at)), 0)
    last = min(int((placed.end - origin) * SAMPLE_RATE), len(track))
    if last <= first:
        return
    if placed.speed == 1.0:
        skip = first - int(np.ceil(at))
        piece = bank.samples(placed.index, skip, skip + last - first)
        track[first : first + len(piece)] += piece
        return
    position = (np.arange(first, last) - at) * placed.speed
    offset = int(position[0])
    source = bank.samples(placed.index, offset, int(position[-1]) + 2)
    track[first:last] += np.interp(position - offset, np.arange(len(source)), source).astype(np.float32)
