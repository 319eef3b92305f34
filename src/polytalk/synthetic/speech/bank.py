"""A bank of synthetic speech with exact phoneme times: the voices that the drawn people speak with.

`python -m polytalk.synthetic.speech.bank --out runs/voices --minutes 20 --seed 0` asks every installed synthesiser for
that many minutes and stores them as one 16-bit sound file and one index per source. Building can be interrupted and
repeated: what is there stays, each utterance depends only on (seed, source, number).
"""

from __future__ import annotations

import argparse
import json
import os
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from polytalk.errors import PolytalkError
from polytalk.synthetic.speech.classic import EspeakSource, FliteSource
from polytalk.synthetic.speech.formant import FormantSource
from polytalk.synthetic.speech.neural import HibariSource, KokoroSource
from polytalk.synthetic.speech.source import SpeechSource
from polytalk.tts.phonemes import INDEX, PHONEMES, Phoneme
from polytalk.tts.speech import Speech
from polytalk.units import SAMPLE_RATE

_FORMAT = 1


SPEECH_SOURCES: dict[str, Any] = {
    kind.name: kind for kind in (EspeakSource, FliteSource, HibariSource, KokoroSource, FormantSource)
}
"""Every synthesiser that a bank can be filled by, by name."""
SOURCE_WEIGHTS = {"kokoro": 4.0, "hibari": 2.0, "flite": 2.0, "espeak": 2.0, "formant": 0.5}
"""How often `SpeechBank.draw_index` takes a source, relative to the others present: natural voices more often."""


class SpeechBank:
    """Utterances in a folder; sound is mapped, not read, so many workers can share it.

    Args:
        folder: made by `build`.
        weights: source -> weight in `draw_index`; sources left out are never drawn.
        held_out: True for the sixteenth of the utterances kept for validation, False for the others, None for all.
        in_memory: read the sound, so that the folder may go.

    Raises:
        PolytalkError: there is no bank in the folder.
    """

    def __init__(
        self, folder: str | Path, weights: dict[str, float] | None = None, held_out: bool | None = None,
        in_memory: bool = False,
    ) -> None:  # fmt: skip
        self.folder = Path(folder)
        weights = SOURCE_WEIGHTS if weights is None else weights
        self._entries: list[tuple[str, dict[str, Any]]] = []
        self._sound: dict[str, np.ndarray] = {}
        for path in sorted(self.folder.glob("*.json")):
            index = json.loads(path.read_text(encoding="utf-8"))
            name = index["source"]
            if weights.get(name, 0) <= 0 or not index["speech"]:
                continue
            mapped = np.memmap(self.folder / f"{name}.pcm", dtype="<i2", mode="r")
            self._sound[name] = np.array(mapped) if in_memory else mapped
            for number, entry in enumerate(index["speech"]):
                if held_out is None or (number % 16 == 0) == held_out:
                    self._entries.append((name, entry))
        if not self._entries:
            remedy = "Run `python -m polytalk.synthetic.speech.bank --out ...` first."
            raise PolytalkError(str(folder), "holds no voices", remedy)
        self._by_source = {name: [i for i, e in enumerate(self._entries) if e[0] == name] for name in self._sound}
        share = np.array([weights[name] for name in self._by_source])
        self._share = share / share.sum()

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Speech:
        name, entry = self._entries[index]
        start, count = entry["at"], entry["n"]
        samples = self._sound[name][start : start + count].astype(np.float32) / 32768
        return Speech(samples, SAMPLE_RATE, self.phonemes(index), entry["voice"], entry["text"], entry["language"])

    def phonemes(self, index: int) -> tuple[Phoneme, ...]:
        """The phonemes of utterance `index` without its sound."""
        entry = self._entries[index][1]
        edges = [edge / 1000 for edge in entry["edges_ms"]]
        return tuple(zip(entry["phonemes"].split(" "), edges[:-1], edges[1:], strict=True))

    def samples(self, index: int, first: int, last: int) -> np.ndarray:
        """Samples first..last of utterance `index`, float32; only these are read."""
        name, entry = self._entries[index]
        start, count = entry["at"], entry["n"]
        return self._sound[name][start + max(first, 0) : start + min(last, count)].astype(np.float32) / 32768

    def duration(self, index: int) -> float:
        """Seconds of utterance `index`."""
        return self._entries[index][1]["n"] / SAMPLE_RATE

    def voice(self, index: int) -> str:
        """Who speaks utterance `index`."""
        return self._entries[index][1]["voice"]

    @cached_property
    def voices(self) -> dict[str, list[int]]:
        """Voice -> the numbers of its utterances."""
        voices: dict[str, list[int]] = {}
        for number, (_, entry) in enumerate(self._entries):
            voices.setdefault(entry["voice"], []).append(number)
        return voices

    def draw_index(self, rng: np.random.Generator) -> int:
        """A random utterance's number: first the source by weight, then evenly."""
        names = list(self._by_source)
        members = self._by_source[names[int(rng.choice(len(names), p=self._share))]]
        return members[int(rng.integers(len(members)))]


def _write_index(path: Path, source: SpeechSource, seed: int, speech: list[dict[str, Any]]) -> None:
    index = {"format": _FORMAT, "source": source.name, "licence": source.licence, "seed": seed}
    index |= {"sample_rate": SAMPLE_RATE, "phoneme_set": list(PHONEMES), "speech": speech}
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")
    os.replace(temporary, path)


def _entry(speech: Speech, at: int) -> dict[str, Any]:
    edges = [round(start * 1000) for _, start, _ in speech.phonemes] + [round(speech.phonemes[-1][2] * 1000)]
    assert all(symbol in INDEX for symbol, _, _ in speech.phonemes)
    return {
        "at": at, "n": len(speech.samples), "voice": speech.voice, "language": speech.language, "text": speech.text,
        "phonemes": " ".join(symbol for symbol, _, _ in speech.phonemes), "edges_ms": edges,
    }  # fmt: skip


def add_to_bank(
    folder: str | Path, source: SpeechSource, minutes: float, seed: int = 0, save_every: int = 20, progress: Any = None
) -> float:
    """Speaks until the bank holds `minutes` of this source; returns the minutes it then holds.

    Args:
        progress: called with completed=minutes so far after each utterance.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path, sound = folder / f"{source.name}.json", folder / f"{source.name}.pcm"
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["speech"] if path.exists() else []
    at = entries[-1]["at"] + entries[-1]["n"] if entries else 0
    number = entries[-1].get("number", len(entries) - 1) + 1 if entries else 0
    with open(sound, "r+b" if sound.exists() else "w+b") as file:
        file.truncate(2 * at)  # what an interrupted run wrote beyond its last index
        file.seek(2 * at)
        while at / SAMPLE_RATE / 60 < minutes:
            rng = np.random.default_rng([seed, zlib.crc32(source.name.encode()), number])
            try:
                speech = source.speak(rng)
            except PolytalkError as error:
                print(f"{source.name} {number}: {error}")
                number += 1
                continue
            file.write((speech.samples * 32767).round().astype("<i2").tobytes())
            entries.append(_entry(speech, at) | {"number": number})
            at, number = at + len(speech.samples), number + 1
            if len(entries) % save_every == 0:
                file.flush()
                _write_index(path, source, seed, entries)
            if progress is not None:
                progress(completed=at / SAMPLE_RATE / 60)
    _write_index(path, source, seed, entries)
    return at / SAMPLE_RATE / 60


def build(folder: str | Path, minutes: float, seed: int = 0, sources: Iterable[str] | None = None) -> dict[str, float]:
    """Builds or completes a bank; source -> minutes. Sources that are not installed are named and left out."""
    console, done = Console(stderr=True), {}
    for name in sources or SPEECH_SOURCES:
        if name not in SPEECH_SOURCES:
            raise PolytalkError("--sources", f"{name!r} is no source", f"Choose among {', '.join(SPEECH_SOURCES)}.")
        kind = SPEECH_SOURCES[name]
        remedy = kind.missing()
        if remedy:
            console.print(f"{name}: not installed ({remedy})")
            continue
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.1f} min"))
        with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task(name, total=minutes)
            done[name] = add_to_bank(folder, kind(), minutes, seed, progress=partial(bar.update, task))
    return done


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m polytalk.synthetic.speech.bank`."""
    parser = argparse.ArgumentParser(description="Build a bank of voices.")
    parser.add_argument("--out", default="runs/voices", help="folder of the bank")
    parser.add_argument("--minutes", type=float, default=20.0, help="minutes of speech per source")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sources", nargs="*", help="espeak flite hibari kokoro formant (default: all installed)")
    options = parser.parse_args(arguments)
    for name, minutes in build(options.out, options.minutes, options.seed, options.sources).items():
        print(f"{name}: {minutes:.1f} min")


if __name__ == "__main__":
    main()
