"""`Synthesizer`: a text and the name of a voice to speech."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.media.audio import MAX_SECONDS, Sound
from polytalk.tts.hibari import SAMPLE_RATE, HibariModel
from polytalk.tts.kokoro import KokoroPipeline
from polytalk.tts.kokoro_int8 import KokoroModel, japanese_reader, styles
from polytalk.tts.phonemes import Phoneme
from polytalk.tts.reading import EnglishReader, Reader
from polytalk.tts.speech import Speech, joined, levelled, trimmed
from polytalk.tts.voices import HIBARI, KOKORO_INT8, Voice, find_voice

_MARGIN = 0.06  # seconds of silence around a phrase: what fades below −34 dB is kept
Phrased = tuple[np.ndarray, tuple[Phoneme, ...], float]
"""Samples (n,) at 24 kHz, phonemes, and seconds of silence after them."""


class Synthesizer:
    """Speaks texts; keeps the networks and dictionaries that it has loaded.

    An instance is also the callable that `polytalk.conditioning.conversation` asks for: text, voice → `Sound`.

    Args:
        seed: of the breath noise; the same seed, text and voice give the same samples.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._hibari: dict[str, HibariModel] = {}
        self._readers: dict[str, Reader] = {}

    def __call__(self, text: str, voice: str | None = None) -> Sound:
        """The sound of `synthesize`."""
        return self.synthesize(text, voice).sound

    def synthesize(self, text: str, voice: str | None = None, language: str | None = None) -> Speech:
        """Text spoken, sentence by sentence.

        Args:
            text: of any length; blank lines make longer pauses.
            voice: as `list_voices` names it; None is the first that reads `language`.
            language: of the text, such as "en"; None is the voice's own.

        Returns:
            24 kHz, 60 ms of silence around it, the spoken part at an RMS of 0.1.

        Raises:
            PolytalkError: nothing to say, letters that the voice cannot read, more than two hours, no such voice, or
                it is not installed.
        """
        speaker = find_voice(voice, language)
        if not text.strip():
            raise PolytalkError("text", "it is empty", "Give a text with words.")
        need = speaker.missing()
        if need and need.startswith("pip"):
            raise PolytalkError("voice", f"{speaker.name} is not installed", f"Run: {need}.")
        parts, pauses, seconds = [], [], 0.0
        for samples, phonemes, pause in self._phrases(text, speaker):
            parts.append(trimmed(samples, SAMPLE_RATE, phonemes, _MARGIN))
            pauses.append(pause)
            seconds += len(parts[-1][0]) / SAMPLE_RATE + pause
            if seconds > MAX_SECONDS:
                raise PolytalkError("text", f"it takes more than {MAX_SECONDS // 3600} hours to say", "Give less.")
        sound, said = joined(parts, pauses, SAMPLE_RATE)
        level = levelled(sound, SAMPLE_RATE, said, speaker.name)
        return Speech(level, SAMPLE_RATE, said, speaker.name, text, speaker.language)

    def _phrases(self, text: str, voice: Voice) -> Iterator[Phrased]:
        """Each phrase's samples, phonemes and the pause after it."""
        if voice.engine == HIBARI:
            rng = np.random.default_rng(self._seed)
            model = self._hibari_model(voice.speaker)
            for phrase in self._reader(voice).phrases(text):
                yield *model.say(phrase.phonemes, voice.timbre, rng), phrase.pause
            return
        reader = self._reader(voice)
        if voice.engine == KOKORO_INT8:
            style = styles()[voice.speaker]
            for phrase in reader.phrases(text):
                yield *self._kokoro_int8.say(phrase.phonemes, style), phrase.pause
            return
        for phrase in reader.phrases(text):
            yield *self._kokoro.say(phrase.phonemes, voice.speaker), phrase.pause

    def _reader(self, voice: Voice) -> Reader:
        key = f"{voice.engine}-{voice.language}-{voice.british}"
        if key not in self._readers:
            self._readers[key] = self._new_reader(voice)
        return self._readers[key]

    def _new_reader(self, voice: Voice) -> Reader:
        if voice.language == "en":
            return EnglishReader(voice.british)
        return japanese_reader() if voice.engine == KOKORO_INT8 else self._kokoro.reader(voice.speaker)

    def _hibari_model(self, speaker: str) -> HibariModel:
        if speaker not in self._hibari:
            try:
                self._hibari[speaker] = HibariModel(speaker)
            except RuntimeError as error:  # hibari's word for a failed download
                remedy = "Connect once; heart and tenor need no connection."
                raise PolytalkError("voice", f"{speaker} must be fetched ({error})", remedy) from error
        return self._hibari[speaker]

    @cached_property
    def _kokoro_int8(self) -> KokoroModel:
        return KokoroModel()

    @cached_property
    def _kokoro(self) -> KokoroPipeline:
        return KokoroPipeline()


def synthesize(text: str, voice: str | None = None, language: str | None = None) -> Speech:
    """`Synthesizer.synthesize` once; for several texts keep a `Synthesizer`, whose networks stay loaded."""
    return Synthesizer().synthesize(text, voice, language)
