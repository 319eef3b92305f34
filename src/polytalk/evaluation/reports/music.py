"""Is music under a voice noticed? `polytalk evaluate music` puts played chords under conversations."""

from __future__ import annotations

import json as json_text
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from polytalk.casting.voices.music import WARN, has_music
from polytalk.evaluation.reports.diarization import BANK
from polytalk.evaluation.scenes.spoken_conversations import VoicePool, conversation_bank, draw_spoken
from polytalk.media.audio import Sound
from polytalk.synthetic.speech.augment import Augmentation, colour
from polytalk.units import SAMPLE_RATE

LEVELS = (-5.0, -10.0, -15.0, -20.0, -25.0)
"""dB of the music, relative to the voices."""
_SECONDS = 15.0
_ROOM = Augmentation(tone=1, room=1)
_SCALE = (0, 2, 4, 5, 7, 9, 11)


def draw_music(count: int, rng: np.random.Generator) -> np.ndarray:
    """Chords of plucked or bowed strings with a bass, RMS 1: float32 (count,), 16 kHz."""
    sound = np.zeros(count + 8 * SAMPLE_RATE, np.float32)
    beat, root = float(rng.uniform(0.35, 0.9)), float(rng.uniform(45, 57))
    decay = float(rng.choice([0.25, 0.6, 1.2, 4.0]))
    place = 0.0
    while place * SAMPLE_RATE < count:
        length = beat * float(rng.choice([1, 2, 2, 4]))
        degree = int(rng.integers(7))
        chord = [_SCALE[(degree + step) % 7] + 12 * ((degree + step) // 7) for step in (0, 2, 4)]
        notes = [root + note + 12 for note in chord] + [root + chord[0] - 12]
        first = round(place * SAMPLE_RATE)
        for note in notes:
            start = first + round(float(rng.uniform(0, 0.03)) * SAMPLE_RATE)
            tone = _tone(440 * 2 ** ((note - 69) / 12), length, decay, rng)
            sound[start : start + len(tone)] += tone
        place += length
    sound = sound[:count]
    return sound / np.float32(np.sqrt(np.mean(sound**2)) + 1e-9)


def _tone(frequency: float, length: float, decay: float, rng: np.random.Generator) -> np.ndarray:
    """One note with harmonics that grow weaker, and with time."""
    time = np.arange(round(length * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
    tone = np.zeros_like(time)
    for harmonic in range(1, 9):
        if harmonic * frequency < 0.45 * SAMPLE_RATE:
            weight = harmonic ** -float(rng.uniform(1.0, 1.8))
            phase = 2 * np.pi * harmonic * frequency * time + float(rng.uniform(0, 6.28))
            tone += weight * np.sin(phase) * np.exp(-time * (1 + 0.3 * harmonic) / (1.3 * decay))
    edge = np.minimum(1, np.minimum(time / 0.01, (time[-1] - time) / 0.02)) if len(time) else time
    faded: np.ndarray = (tone * np.maximum(edge, 0)).astype(np.float32)
    return faded


@dataclass(frozen=True)
class MusicReport:
    """What `evaluate_music` found: shares of recordings in which music is said to be."""

    noticed: dict[str, float]
    """By dB of the music below the voices."""
    false_alarms: dict[str, float]
    """By kind of recording without music."""
    recordings: int
    """Of each kind."""
    voices: str
    """From where."""
    seed: int

    def to_json(self) -> str:
        """One object."""
        return json_text.dumps(asdict(self))

    def print(self, console: Console | None = None) -> None:
        """A table."""
        table = Table(title=f"music noticed in {self.recordings} recordings each, seed {self.seed}")
        table.add_column("recording")
        table.add_column("music said to be in", justify="right")
        for name, share in (*self.false_alarms.items(), *self.noticed.items()):
            table.add_row(name, f"{share:.0%}")
        console = console or Console()
        console.print(table)
        console.print(f"voices: {self.voices}")


def evaluate_music(voices: Sequence[tuple[np.ndarray, np.ndarray]], *, seed: int = 0, origin: str = "") -> MusicReport:
    """Listen for music in recordings with and without it.

    Args:
        voices: pairs of recordings (n,) at 16 kHz: clean, and in a room with noise.
        seed: of the music.
        origin: of the voices, noted.
    """
    noticed = {f"music {-level:g} dB below": 0.0 for level in LEVELS}
    false = dict.fromkeys(("clean voices", "voices in a room, with noise", "voices with mains hum"), 0.0)

    def alarm(samples: np.ndarray) -> float:
        return float(has_music(Sound(samples.astype(np.float32), SAMPLE_RATE)) >= WARN) / len(voices)

    for number, (clean, roomy) in enumerate(voices):
        rng = np.random.default_rng([seed, number, 77])
        false["clean voices"] += alarm(clean)
        false["voices in a room, with noise"] += alarm(roomy)
        level = float(np.sqrt(np.mean(clean**2)))
        false["voices with mains hum"] += alarm(clean + level * 10 ** (-20 / 20) * _hum(len(clean), rng))
        music = draw_music(len(clean), rng)
        for name, decibels in zip(noticed, LEVELS, strict=True):
            noticed[name] += alarm(clean + np.float32(level * 10 ** (decibels / 20)) * music)
    return MusicReport(noticed, false, len(voices), origin, seed)


def _in_a_room(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With reverberation, through a microphone, with hiss 15 to 30 dB below."""
    hiss = rng.standard_normal(len(clean), dtype=np.float32) * np.float32(np.sqrt(np.mean(clean**2)))
    return colour(clean, rng, _ROOM) + hiss * np.float32(10 ** (-rng.uniform(15, 30) / 20))


def _hum(count: int, rng: np.random.Generator) -> np.ndarray:
    """Mains hum with overtones, RMS 1."""
    base, time = float(rng.choice([50.0, 60.0])), np.arange(count) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * base * k * time + rng.uniform(0, 6.28)) / k for k in range(1, 9))
    return np.asarray(hum / np.sqrt(np.mean(np.square(hum))), np.float32)


def run_music(
    *,
    recordings: int = 100,
    seed: int = 0,
    bank: Path | None = None,
    tuning: bool = False,
    json: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> MusicReport:
    """`polytalk evaluate music`: recordings of one to three voices, table or JSON.

    Args:
        recordings: of each kind.
        seed: of everything.
        bank: folder of a bank of voices; `BANK` if it is there, otherwise one is made of the installed synthesisers.
        tuning: draw from the other half of the voices, with which thresholds were set.
        json: print JSON.
        progress: called with (recordings drawn, in all).
    """
    speech, origin = conversation_bank(BANK if bank is None and BANK.is_dir() else bank)
    pool = VoicePool(speech, tuning)
    voices = []
    for number in range(recordings):
        seeds, people = (int(tuning), seed, number), 1 + number % 3
        clean = draw_spoken(pool, seeds, people, augmented=False, seconds=_SECONDS).samples
        voices.append((clean, _in_a_room(clean, np.random.default_rng([*seeds, 1]))))
        if progress:
            progress(number + 1, recordings)
    report = evaluate_music(voices, seed=seed, origin=f"{pool.description} ({origin})")
    if json:
        print(report.to_json())
    else:
        report.print()
    return report
