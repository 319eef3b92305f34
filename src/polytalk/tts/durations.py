"""From the lengths that a network predicts for its tokens to phonemes with exact times.

Kokoro and hibari (its distilled kin) predict, per input token, its length in units of 25 ms (600 samples at 24 kHz)
before they make sound; that tensor is turned into an output of the ONNX graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.scene.schedule import runs
from polytalk.tts.phonemes import SILENCE, Phoneme, unify

UNIT = 0.025
"""Seconds per unit of predicted length."""
_LEAD = 2.2  # units by which the models' sound comes before their predicted lengths say (closures of b and p measured)
_MARKS_OF_NO_SOUND = " ,.!?—…()“”;:\"'"
_STOPS = {"p", "b", "t", "d", "k", "ɡ", "tʃ", "dʒ"}


def expose(model: bytes, tensor: str) -> bytes:
    """An ONNX model with one more output.

    Two serialised protobuf messages, one after the other, read as their merger; so appending a model that has nothing
    but `graph { output { name: tensor } }` adds the output, without the onnx package.
    """
    name = tensor.encode()
    value = b"\x0a" + bytes([len(name)]) + name  # ValueInfoProto.name
    graph = b"\x62" + bytes([len(value)]) + value  # GraphProto.output
    return model + b"\x3a" + bytes([len(graph)]) + graph  # ModelProto.graph


def open_session(model: bytes, threads: int = 1) -> Any:
    """An ONNX Runtime session on the CPU; with one thread its results are the same every time."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def token_times(tokens: str, units: np.ndarray, seconds_per_unit: float = UNIT) -> tuple[Phoneme, ...]:
    """Misaki phoneme string + lengths of [pad, tokens..., pad] -> phonemes with times in seconds."""
    if len(units) != len(tokens) + 2:
        raise PolytalkError(
            "units", f"{len(units)} lengths for {len(tokens)} tokens", "Give one per token and two pads."
        )
    edges = np.maximum(np.concatenate([[0.0], np.cumsum(units)]) - _LEAD, 0.0) * seconds_per_unit
    marks = ["", *("" if token in _MARKS_OF_NO_SOUND else token for token in tokens), ""]
    return unify(
        ((mark, float(a), float(b)) for mark, a, b in zip(marks, edges[:-1], edges[1:], strict=True)),
        shortest_pause=0.08,
    )


def snap_pauses(
    samples: np.ndarray, rate: int, phonemes: tuple[Phoneme, ...], shortest: float = 0.1, floor_db: float = -34.0
) -> tuple[Phoneme, ...]:
    """Phonemes whose pauses lie where the sound is silent.

    The models' lengths are exact inside a phrase, but they give a pause after it partly to the last sound. A stretch of
    at least `shortest` seconds that is `floor_db` below the loud parts becomes a pause unless a stop explains it.

    Args:
        samples: float32 (n,).
        rate: Hz.
        phonemes: gap-free, in seconds.
    """
    sounds: list[list[Any]] = [list(phoneme) for phoneme in phonemes if phoneme[0] != SILENCE]
    if not sounds:
        return phonemes
    length = len(samples) / rate
    for begin, end in _silences(samples, rate, shortest, floor_db):
        middle = (begin + end) / 2
        split = sum((a + b) / 2 < middle for _, a, b in sounds)  # how many sounds come before this silence
        inner = 0 < split < len(sounds)
        if (
            inner
            and end - begin < 0.18
            and {sounds[split - 1][0], sounds[split][0]} & _STOPS
            and not (sounds[split][1] - sounds[split - 1][2] > 0.03)
        ):
            continue  # the closure of a stop, not a pause
        for back, sound in enumerate(reversed(sounds[:split])):
            latest = begin - 0.02 * back + (0.05 if back == 0 and sound[0] in _STOPS else 0.0)
            sound[2] = min(sound[2], latest)
            sound[1] = min(sound[1], sound[2] - 0.02)
        for ahead, sound in enumerate(sounds[split:]):
            earliest = end + 0.02 * ahead - (0.05 if ahead == 0 and sound[0] in _STOPS else 0.0)
            sound[1] = max(sound[1], earliest)
            sound[2] = max(sound[2], sound[1] + 0.02)
    return _with_pauses(sounds, length)


def _silences(samples: np.ndarray, rate: int, shortest: float, floor_db: float) -> list[tuple[float, float]]:
    """(begin, end) in seconds of the stretches without sound, measured in hops of 5 ms; the ends included."""
    hop = rate // 200
    count = len(samples) // hop
    power = np.square(samples[: count * hop]).reshape(count, hop).mean(1)
    power = np.convolve(power, np.ones(3) / 3, "same")
    quiet = power < np.percentile(power, 95) * 10 ** (floor_db / 10)
    spans = [(first * 0.005, last * 0.005) for first, last in runs(quiet)]
    return [(a, b) for a, b in spans if b - a >= shortest]


def _with_pauses(sounds: list[list[Any]], length: float) -> tuple[Phoneme, ...]:
    """Gap-free phonemes: gaps of 60 ms and more are silence, shorter ones go to the sound before."""
    result: list[Phoneme] = []
    now = 0.0
    for symbol, start, end in sounds:
        if start - now >= 0.06 or not result:
            if start > now:
                result.append((SILENCE, now, start))
        elif start > now:
            result[-1] = (*result[-1][:2], start)
        begin = max(start, now)
        if end > begin:
            result.append((symbol, begin, end))
            now = end
    if length - now > 0:
        result.append((SILENCE, now, length))
    return tuple(result)
