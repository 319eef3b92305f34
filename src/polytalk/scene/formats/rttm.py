"""Rich Transcription Time Marked files: who speaks when in a recording.

`SPEAKER talk 1 3.20 1.75 <NA> <NA> Anna <NA> <NA>`: from 3.20 s on, for 1.75 s. Each turn is cut from the recording
given beside the file. Turns of one person that overlap become one.

NIST, The 2009 Rich Transcription Meeting Recognition Evaluation Plan, appendix A.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from polytalk.errors import PolytalkError
from polytalk.scene import Scene
from polytalk.scene.formats.draft import Beside, Draft
from polytalk.scene.formats.position import TextFile, shortened

_OTHER = (
    *("SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER", "EDIT", "IP", "SU", "CB"),
    *("A/P", "SPKR-INFO"),
)
"""Types of lines that say nothing about turns."""
_NUMBER = re.compile(r"-?(\d{1,9}(\.\d*)?|\.\d+)")
_NAME_FIELD = 7


@dataclass
class _Turn:
    """One line."""

    offset: int
    name: str
    start: float
    end: float


def parse_rttm(source: TextFile, beside: Beside) -> Scene:
    """The scene in RTTM turns and the recording beside.

    Raises:
        PolytalkError: what cannot be understood, with line and column; no recording.
    """
    if beside.recording is None and beside.times:
        remedy = "Give the recording whose turns these are."
        raise PolytalkError("recording", f"{source.path.name} says only who speaks when", remedy)
    stem = None if isinstance(beside.recording, Mapping | None) else Path(beside.recording).stem
    turns: dict[str, list[_Turn]] = {}
    for offset, line in source.lines:
        fields = line.split()
        if not fields or fields[0].startswith(";") or fields[0] in _OTHER:
            continue
        turn = _turn(source, offset, fields)
        turns.setdefault(fields[1], []).append(turn)
    if len(turns) > 1:
        chosen = turns.get(stem or "")
        if chosen is None:
            second = list(turns.values())[1][0]
            problem = f"it is about several recordings: {shortened(', '.join(turns))}"
            raise source.error(second.offset, "recording", problem, "Keep one, or name the recording like one of them.")
        turns = {stem or "": chosen}
    draft = Draft(source, beside)
    for turn in _joined([turn for found in turns.values() for turn in found]):
        draft.say(turn.offset, turn.name, start=turn.start, end=turn.end)
    return draft.scene()


def format_rttm(scene: Scene, path: Path) -> str:
    """A scene as RTTM; the recording's name is that of the file that all utterances are cut from.

    Raises:
        PolytalkError: an utterance without start and end, a name with spaces.
    """
    lines = []
    files = [utterance.audio for utterance in scene.utterances if isinstance(utterance.audio, Path)]
    stem = re.sub(r"\s", "_", files[0].stem if files else path.stem) or "recording"
    for place, utterance in enumerate(scene.utterances):
        if utterance.start is None or utterance.end is None:
            problem = "RTTM needs start and end"
            raise PolytalkError(
                f"utterances[{place}]", problem, "Time the scene first (polytalk.scene.formats.registry.timed)."
            )
        name = utterance.speaker
        if not isinstance(name, str) or name.split() != [name]:
            raise PolytalkError("speakers", f"{name!r} is no name for RTTM", "Use names without spaces.")
        start, duration = f"{utterance.start:.6f}", f"{utterance.end - utterance.start:.6f}"
        lines.append(f"SPEAKER {stem} 1 {start} {duration} <NA> <NA> {name} <NA> <NA>\n")
    return "".join(lines)


def _turn(source: TextFile, offset: int, fields: list[str]) -> _Turn:
    if fields[0] != "SPEAKER" or not _NAME_FIELD < len(fields) <= _NAME_FIELD + 3:
        remedy = "A line is SPEAKER file 1 start duration <NA> <NA> name <NA> <NA>."
        raise source.error(offset, "line", f"{shortened(' '.join(fields))!r} is not understood", remedy)
    numbers = []
    for name, text in zip(("start", "duration"), fields[3:5], strict=True):
        column = source.text.index(text, offset)
        if not _NUMBER.fullmatch(text):
            raise source.error(column, name, f"{shortened(text)!r} is no number", "Give seconds.")
        numbers.append(float(text))
        if text.startswith("-"):
            raise source.error(column, name, f"{shortened(text)} is negative", "Give seconds from 0 on.")
    start, duration = numbers
    if duration <= 0:
        raise source.error(offset, "duration", "it is 0", "A turn lasts longer than that.")
    return _Turn(offset, fields[_NAME_FIELD], round(start, 6), round(start + duration, 6))


def _joined(turns: list[_Turn]) -> list[_Turn]:
    """Turns in the order of the file; one that overlaps an earlier one of the same person lengthens that."""
    gone: set[int] = set()
    last: dict[str, int] = {}
    for place in sorted(range(len(turns)), key=lambda place: turns[place].start):
        turn = turns[place]
        before = last.get(turn.name)
        if before is not None and turn.start < turns[before].end:
            turns[before].end = max(turns[before].end, turn.end)
            gone.add(place)
        else:
            last[turn.name] = place
    return [turn for place, turn in enumerate(turns) if place not in gone]
