"""How often the number of voices is right in short recordings, if the picture is and is not taken into account.

    python benchmarks/voice_count.py

Held-out conversations of two voices, and of one while the picture shows two people.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.table import Table

from polytalk.casting.recording import voices_of
from polytalk.evaluation.scenes.held_out import HELD_OUT_SEED, evaluation_voices
from polytalk.media.audio import Sound
from polytalk.synthetic.speech.conversation import draw_conversation

RATE = 16_000


def recordings(count: int, voices: int, frames: int) -> Iterator[Sound]:
    """Mixed conversations in which everybody is heard for half a second at least."""
    made, number = 0, HELD_OUT_SEED + 5_000_000
    while made < count:
        number += 1
        talk = draw_conversation(evaluation_voices(), np.random.default_rng([number, 1]), voices, frames, overlap=False)
        if talk.speaking.sum(axis=1).min() >= 12:
            made += 1
            yield Sound(talk.audio.sum(axis=0).astype(np.float32), RATE)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=40)
    options = parser.parse_args()
    table = Table(title="recordings with the right number of voices")
    for heading in ("seconds", "voices", "by sound alone", "two people pictured"):
        table.add_column(heading, justify="right")
    for frames in (101, 251):
        for voices in (2, 1):
            right = np.zeros(2)
            for sound in recordings(options.recordings, voices, frames):
                right += [voices_of(sound, None, people).num_voices == voices for people in (0, 2)]
            shares = right / options.recordings
            table.add_row(f"{frames / 25:.0f}", str(voices), *(f"{share:.0%}" for share in shares))
    Console().print(table)


if __name__ == "__main__":
    main()
