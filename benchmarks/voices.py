"""How high each of Polytalk's voices is, how fast it is made, and how much it sounds like the others (docs/voices.md).

    python benchmarks/voices.py [VOICE ...]

Pitch is the median of the autocorrelation's peaks over voiced stretches; likeness the cosine between the embeddings
that `polytalk cast` tells voices apart by.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from polytalk.casting.voices.voice_embedding import hear_voices
from polytalk.media.audio import Sound, resample
from polytalk.tts.synthesizer import Synthesizer
from polytalk.units import SAMPLE_RATE

TEXTS = (
    "Good morning, did you sleep well last night?",
    "The train to the coast leaves at a quarter past nine.",
    "I have never seen so many birds in one garden.",
)
DEFAULT = ("heart", "tenor", "alto", "bass", "child")
LOWEST, HIGHEST = 60, 400
"""Hz."""


def pitch(sound: Sound) -> float:
    """Median pitch in Hz of the voiced stretches of 40 ms."""
    rate, samples = sound.sample_rate, np.asarray(sound.samples, np.float64)
    window, hop = round(0.04 * rate), round(0.02 * rate)
    shortest, longest = rate // HIGHEST, rate // LOWEST
    found = []
    loud = 0.1 * np.sqrt(np.mean(samples**2)) + 1e-9
    for start in range(0, len(samples) - window - longest, hop):
        frame = samples[start : start + window]
        if np.sqrt(np.mean(frame**2)) < loud:
            continue
        lags = np.arange(shortest, longest)
        others = np.stack([samples[start + lag : start + lag + window] for lag in lags])
        strength = others @ frame / (np.linalg.norm(others, axis=1) * np.linalg.norm(frame) + 1e-9)
        # the first peak that is nearly the highest: later ones are octaves below
        good = np.flatnonzero(strength > 0.9 * strength.max())
        if strength.max() > 0.7:
            first = good[0]
            while first + 1 < len(lags) and strength[first + 1] > strength[first]:
                first += 1
            found.append(rate / lags[first])
    return float(np.median(found)) if found else float("nan")


def embedding(sound: Sound) -> np.ndarray:
    """Of all of a sound, of length 1."""
    samples = resample(sound.samples, sound.sample_rate, SAMPLE_RATE)
    features = hear_voices(samples, np.ones(-(-len(samples) // 320), bool))
    found: np.ndarray = features.embed(np.array([0]), np.array([len(features)]))[0]
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voices", nargs="*", default=DEFAULT)
    names = parser.parse_args().voices
    speak = Synthesizer()
    sounds, speeds = {}, {}
    for name in names:
        speak(TEXTS[0], name)  # loads the network
        begun = time.monotonic()
        parts = [speak(text, name) for text in TEXTS]
        seconds = sum(part.seconds for part in parts)
        speeds[name] = seconds / (time.monotonic() - begun)
        sounds[name] = Sound(np.concatenate([part.samples for part in parts]), parts[0].sample_rate)
    found = {name: embedding(sound) for name, sound in sounds.items()}
    print("| voice | pitch | times real time | " + " | ".join(f"like {name}" for name in names) + " |")
    print("| --- | --- | --- |" + " --- |" * len(names))
    for name in names:
        cells = " | ".join(f"{float(found[name] @ found[other]):.2f}" for other in names)
        print(f"| {name} | {pitch(sounds[name]):.0f} Hz | {speeds[name]:.0f} | {cells} |")


if __name__ == "__main__":
    main()
