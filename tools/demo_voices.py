"""The voices of the demo: `python tools/demo_voices.py` speaks them anew into the package's assets.

Two Kokoro voices (Apache-2.0) in a short dialogue. Both files have the dialogue's whole length, silence included, so
that the arrangement "together" plays them as they were meant: the second begins a little before the first ends.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from polytalk.assets import asset
from polytalk.errors import PolytalkError
from polytalk.synthetic.speech.neural import KokoroSource
from polytalk.tts.phonemes import SILENCE

SAMPLE_RATE = 24_000
"""Hz of the two files."""

LEFT = ("am_michael", "Good morning! What a beautiful view from up here.")
RIGHT = ("af_heart", "Oh, I love it! Maybe we should come more often.")
SPEED = 1.12
"""Pace relative to the voices' own."""
OVERLAP = 0.25
"""Seconds during which both speak."""


def speak_dialogue(
    left: tuple[str, str] = LEFT, right: tuple[str, str] = RIGHT, overlap: float = OVERLAP, pause: float = 0.15
) -> np.ndarray:
    """Two (voice, text) one after the other -> float32 (2, samples) at 24 kHz, `pause` seconds of silence at the ends.

    Raises:
        PolytalkError: Kokoro or its voices are not installed.
    """
    remedy = KokoroSource.missing()
    if remedy:
        raise PolytalkError("kokoro", "is not installed", remedy)
    source = KokoroSource()
    first, second = (_trimmed(source, *person) for person in (left, right))
    start = round(pause * SAMPLE_RATE)
    turn = start + len(first) - round(overlap * SAMPLE_RATE)
    tracks = np.zeros((2, turn + len(second) + start), dtype=np.float32)
    tracks[0, start : start + len(first)] = first
    tracks[1, turn : turn + len(second)] = second
    return tracks


def _trimmed(source: KokoroSource, voice: str, text: str) -> np.ndarray:
    """The utterance from its first to its last sound with 30 ms around it, faded, at RMS 0.1."""
    samples, phonemes = source.synthesise(text, voice, SPEED)
    spoken = [phoneme for phoneme in phonemes if phoneme[0] != SILENCE]
    margin, fade = 0.03, round(0.02 * SAMPLE_RATE)
    first = max(round((spoken[0][1] - margin) * SAMPLE_RATE), 0)
    cut = samples[first : round((spoken[-1][2] + margin) * SAMPLE_RATE)].copy()
    cut[:fade] *= np.linspace(0, 1, fade)
    cut[-fade:] *= np.linspace(1, 0, fade)
    cut *= 0.1 / np.sqrt(np.mean(np.square(cut)))
    return np.clip(cut, -0.99, 0.99)


def write_flac(path: Path, samples: np.ndarray) -> None:
    """float32 (n,) in -1..1 -> 16-bit mono FLAC at 24 kHz."""
    with av.open(path, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono", format="s16")
        stream.codec_context.options = {"compression_level": "12"}
        block = stream.codec_context.frame_size or 4608
        whole = (samples * 32767).round().astype("<i2")
        for at in range(0, len(whole), block):
            frame = av.AudioFrame.from_ndarray(whole[None, at : at + block], format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main(arguments: Sequence[str] | None = None) -> None:
    """`python tools/demo_voices.py`."""
    parser = argparse.ArgumentParser(description="Speak the demo's dialogue.")
    parser.add_argument("--out", type=Path, default=asset())
    options = parser.parse_args(arguments)
    for name, track in zip(("demo_left", "demo_right"), speak_dialogue(), strict=True):
        path = options.out / f"{name}.flac"
        write_flac(path, track)
        print(f"{path}: {len(track) / SAMPLE_RATE:.2f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
