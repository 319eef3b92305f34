"""How well are voices told apart? `polytalk evaluate diarization` makes conversations and counts the errors.

The diarisation error rate is the time that is missed, falsely said to be speech, or given to the wrong voice, over the
time of speech, where overlapping voices count each. Within 0.25 s of a true beginning or end nothing is counted; pauses
of one voice shorter than 0.5 s lie within its turn. Voices are matched to true ones so that most of the time agrees.
(NIST, The 2009 Rich Transcription Meeting Recognition Evaluation Plan.)
"""

from __future__ import annotations

import json as json_text
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from polytalk.casting.found import Diarization, VoiceTurn
from polytalk.casting.voices.find import listen
from polytalk.errors import PolytalkError
from polytalk.evaluation.scenes.spoken_conversations import (
    SpokenConversation,
    VoicePool,
    activity,
    conversation_bank,
    draw_spoken,
)
from polytalk.media.audio import Sound
from polytalk.units import SAMPLE_RATE

COLLAR = 0.25
"""Seconds around every true beginning and end in which nothing is counted."""
RATE = 100
"""Frames per second that are counted."""
BANK = Path("runs/voices")
"""Voices to draw from, if they are there."""


@dataclass
class ErrorRate:
    """Seconds, added up over recordings."""

    missed: float = 0.0
    false: float = 0.0
    confused: float = 0.0
    speech: float = 0.0

    @property
    def total(self) -> float:
        """The diarisation error rate."""
        return (self.missed + self.false + self.confused) / max(self.speech, 1e-9)

    def add(self, other: ErrorRate) -> None:
        """Add another recording's."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    def as_dict(self) -> dict[str, float]:
        """Shares of the speech."""
        shares = {name: getattr(self, name) / max(self.speech, 1e-9) for name in ("missed", "false", "confused")}
        return {"error": round(self.total, 4)} | {name: round(share, 4) for name, share in shares.items()}


def error_rate(
    truth: Sequence[VoiceTurn], found: Sequence[VoiceTurn], seconds: float, collar: float = COLLAR
) -> ErrorRate:
    """Of one recording.

    Args:
        truth: who really speaks when.
        found: who is said to.
        seconds: of the recording.
        collar: seconds on either side of true edges that are not counted.
    """
    from scipy.optimize import linear_sum_assignment

    true, said = (
        activity(turns, 1 + max((turn.voice for turn in turns), default=0), seconds, RATE) for turns in (truth, found)
    )
    counted = np.ones(true.shape[1], bool)
    for turn in truth:
        for edge in (turn.start, turn.end):
            counted[max(round((edge - collar) * RATE), 0) : max(round((edge + collar) * RATE), 0)] = False
    true, said = true[:, counted], said[:, counted]
    agreement = true.astype(np.float64) @ said.T.astype(np.float64)
    rows, columns = linear_sum_assignment(-agreement)
    right = agreement[rows, columns].sum()
    num_true, num_said = true.sum(axis=0), said.sum(axis=0)
    return ErrorRate(
        float(np.maximum(num_true - num_said, 0).sum()) / RATE,
        float(np.maximum(num_said - num_true, 0).sum()) / RATE,
        float(np.minimum(num_true, num_said).sum() - right) / RATE,
        float(num_true.sum()) / RATE,
    )


@dataclass(frozen=True)
class DiarizationReport:
    """What `evaluate_diarization` found."""

    groups: dict[str, dict[str, ErrorRate]]
    """"all", "2 voices", "in a room", ... -> "known" and "estimated" number -> errors."""
    right_number: float
    """Share of conversations whose number of voices was estimated right."""
    conversations: int
    overlap: float
    """Share of the speech in which two speak."""
    speed: float
    """Seconds of sound per second of work, on this machine and one thread, as busy as it was."""
    voices: str
    """How many of which synthesiser, and from where."""
    seed: int

    def to_json(self) -> str:
        """One object."""
        groups = {
            name: {number: errors.as_dict() for number, errors in each.items()} for name, each in self.groups.items()
        }
        rest = {name: value for name, value in asdict(self).items() if name != "groups"}
        return json_text.dumps({"groups": groups, "collar": COLLAR} | rest)

    def print(self, console: Console | None = None) -> None:
        """A table with a row for each group."""
        table = Table(
            title=f"{self.conversations} conversations, seed {self.seed}; diarisation error, collar {COLLAR} s"
        )
        for name in ("conversations", "number", "error", "missed", "false", "confused"):
            table.add_column(name, justify="left" if name in ("conversations", "number") else "right")
        for group, each in self.groups.items():
            for place, (number, errors) in enumerate(each.items()):
                shares = [f"{share:.1%}" for share in errors.as_dict().values()]
                table.add_row("" if place else group, number, *shares)
        console = console or Console()
        console.print(table)
        console.print(f"number of voices estimated right in {self.right_number:.0%}; overlap {self.overlap:.1%}")
        console.print(f"voices: {self.voices}")
        console.print(f"{self.speed:.0f} times real time (one thread, this machine as busy as it was)")


def evaluate_diarization(
    conversations: Sequence[SpokenConversation],
    *,
    voices: str = "",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> DiarizationReport:
    """Find the voices of every conversation, with their number told and not told, and count errors.

    Args:
        conversations: with the truth.
        voices: noted in the report.
        seed: noted in the report.
        progress: called with (conversations done, in all).
    """
    groups: dict[str, dict[str, ErrorRate]] = {}
    right, spent, heard = 0, 0.0, 0.0
    for done, conversation in enumerate(conversations, start=1):
        sound = Sound(conversation.samples, SAMPLE_RATE)
        began = time.perf_counter()
        voices_heard = listen(sound)
        found: dict[str, Diarization] = {"known": voices_heard.find(len(conversation.names))}
        spent, heard = spent + time.perf_counter() - began, heard + sound.seconds
        found["estimated"] = voices_heard.find()
        right += found["estimated"].num_voices == len(conversation.names)
        place = "in a room" if conversation.augmented else "clean"
        for group in ("all", f"{len(conversation.names)} voices", place, _kind(conversation)):
            for number, one in found.items():
                errors = groups.setdefault(group, {}).setdefault(number, ErrorRate())
                errors.add(error_rate(conversation.turns, one.turns, sound.seconds))
        if progress:
            progress(done, len(conversations))
    overlap = float(np.mean([conversation.overlap for conversation in conversations]))
    ordered = {name: groups[name] for name in sorted(groups)}
    share = right / max(len(conversations), 1)
    return DiarizationReport(ordered, share, len(conversations), overlap, heard / spent, voices, seed)


def _kind(conversation: SpokenConversation) -> str:
    sources = {name.split(":")[0] for name in conversation.names}
    return f"all {sources.pop()}" if len(sources) == 1 else "mixed synthesisers"


def run_diarization(
    *,
    conversations: int = 100,
    voices: int | None = None,
    seed: int = 0,
    bank: Path | None = None,
    tuning: bool = False,
    json: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> DiarizationReport:
    """`polytalk evaluate diarization`: make conversations, evaluate, print a table or one JSON object.

    Args:
        conversations: how many; every second three are in a room.
        voices: in each; 2, 3, 4 in turn by default.
        seed: of everything.
        bank: folder of a bank of voices; `BANK` if it is there, otherwise one is made of the installed synthesisers.
        tuning: draw from the other half of the voices, with which thresholds were set.
        json: print JSON.
        progress: called with (conversations done, in all).
    """
    import torch

    for name, value, most in (("conversations", conversations, 10_000), ("voices", 2 if voices is None else voices, 8)):
        if not 1 <= value <= most:
            raise PolytalkError(name, f"it is {value}", f"Give 1 to {most:,}.")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        speech, origin = conversation_bank(BANK if bank is None and BANK.is_dir() else bank)
        pool = VoicePool(speech, tuning)
        drawn = [
            draw_spoken(pool, (int(tuning), seed, i), voices or 2 + i % 3, augmented=bool(i // 3 % 2))
            for i in range(conversations)
        ]
        report = evaluate_diarization(drawn, voices=f"{pool.description} ({origin})", seed=seed, progress=progress)
    finally:
        torch.set_num_threads(threads)
    if json:
        print(report.to_json())
    else:
        report.print()
    return report
