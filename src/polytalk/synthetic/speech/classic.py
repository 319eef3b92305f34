"""Rule-based voices with exact phoneme times: flite (four voices) and espeak-ng (many languages and speakers).

Both are optional programs (Debian: `apt-get install flite espeak-ng`), found when installed. Their sound is robotic,
but they add voices, languages and tempi that the neural ones lack, at hundreds of times real time.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import shutil
import subprocess
import tempfile
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from polytalk.errors import PolytalkError
from polytalk.synthetic.speech.sentences import draw_text
from polytalk.synthetic.speech.source import make_speech
from polytalk.tts.phonemes import Phoneme, from_arpabet, unify
from polytalk.tts.speech import Speech
from polytalk.units import SAMPLE_RATE


class FliteSource:
    """flite's slt, rms, awb (statistical) and kal16 (diphones); resampling makes further speakers of each."""

    name = "flite"
    licence = "BSD-like (CMU), voices CMU_ARCTIC"
    voices = ("slt", "rms", "awb", "kal16")
    shifts = (0.85, 0.92, 1.0, 1.0, 1.08, 1.17)

    @staticmethod
    def missing() -> str | None:
        """None if installed, otherwise what to do."""
        return None if shutil.which("flite") else "apt-get install flite"

    def speak(self, rng: np.random.Generator) -> Speech:
        """One random English utterance."""
        voice, shift = str(rng.choice(self.voices)), float(rng.choice(self.shifts))
        stretch = float(rng.uniform(0.8, 1.2)) * shift
        text = draw_text(rng)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "speech.wav"
            command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:.3f}", "-psdur"]
            command += ["-t", text, str(path)]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            with wave.open(str(path)) as file:
                rate, raw = file.getframerate(), file.readframes(file.getnframes())
        samples = np.frombuffer(raw, dtype="<i2").astype(np.float32) / 32768
        ends = [item.rsplit(":", 1) for item in printed.split()]
        times = [0.0, *(float(end) / shift for _, end in ends)]
        symbols = [(from_arpabet(name), times[i], times[i + 1]) for i, (name, _) in enumerate(ends)]
        sound = soxr.resample(samples, rate * shift, SAMPLE_RATE)
        return make_speech(sound, unify(symbols), f"flite:{voice}*{shift:g}", text, "en")


def _with_closures(phonemes: tuple[Phoneme, ...], closure: float = 0.045) -> tuple[Phoneme, ...]:
    """espeak-ng announces a voiceless stop at its burst; its 45 ms of closure are taken back from the sound before."""
    result: list[list[Any]] = [list(phoneme) for phoneme in phonemes]
    for before, stop in pairwise(result):
        if stop[0] in ("p", "t", "k", "tʃ"):
            stop[1] = before[2] = max(stop[1] - closure, (before[1] + before[2]) / 2)
    return tuple((symbol, start, end) for symbol, start, end in result)


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):  # espeak_EVENT of speak_lib.h
    _fields_ = (
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _EventId),
    )  # fmt: skip


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_SYNCHRONOUS, _PHONEME_EVENTS_IPA, _PHONEME_EVENT, _END = 2, 1 | 2, 7, 0  # names as in speak_lib.h
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_UTF8 = 1


class EspeakSource:
    """espeak-ng through its library; languages of `sentences.LANGUAGES`, each with many speaker variants."""

    name = "espeak"
    licence = "GPL-3.0-or-later (the program; the sound it makes is not covered)"
    english = ("en-us", "en-us", "en", "en-gb-scotland", "en-029", "en-gb-x-rp")
    foreign = ("de", "fr", "es", "it", "pt", "nl", "pl", "ja", "tr", "fi", "sv", "id")
    variants = (
        "", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "klatt", "klatt2", "klatt3",
        "Andy", "Annie", "Alicia", "belinda", "Denis", "Diogo", "Gene", "Hugo", "Jacky", "Lee", "linda", "Mario",
        "Michael", "Mike", "norbert", "pablo", "paul", "quincy", "rob", "robert", "steph", "victor", "zac", "grandma",
    )  # fmt: skip

    def __init__(self) -> None:
        library = ctypes.util.find_library("espeak-ng")
        if library is None:
            raise PolytalkError("espeak-ng", "is not installed", self.missing() or "")
        self._library = ctypes.CDLL(library)
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 500, None, _PHONEME_EVENTS_IPA)
        self._sound = bytearray()
        self._events: list[tuple[float, str]] = []
        self._callback = _CALLBACK(self._receive)  # kept: the library holds only a pointer
        self._library.espeak_SetSynthCallback(self._callback)

    @staticmethod
    def missing() -> str | None:
        """None if installed, otherwise what to do."""
        return None if ctypes.util.find_library("espeak-ng") else "apt-get install espeak-ng"

    def _receive(self, samples, count: int, events) -> int:
        if samples and count:
            self._sound.extend(ctypes.string_at(samples, 2 * count))
        number = 0
        while events[number].type != _END:
            event = events[number]
            if event.type == _PHONEME_EVENT:
                self._events.append((event.sample / self._rate, event.id.string.decode("utf-8", "ignore")))
            number += 1
        return 0

    def speak(self, rng: np.random.Generator) -> Speech:
        """One random utterance, two in three English."""
        english = rng.random() < 0.67
        language = str(rng.choice(self.english if english else self.foreign))
        variant = str(rng.choice(self.variants))
        text = draw_text(rng, "en" if english else language)
        return self.say(text, language, variant, int(rng.integers(120, 215)), int(rng.integers(25, 85)))

    def say(self, text: str, language: str, variant: str = "", words_per_minute: int = 170, pitch: int = 50) -> Speech:
        """`text` in a language and speaker variant; pitch 0..100."""
        voice = f"{language}+{variant}" if variant else language
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise PolytalkError("voice", f"espeak-ng does not know {voice!r}", "See `espeak-ng --voices`.")
        for parameter, value in ((_RATE, words_per_minute), (_PITCH, pitch), (_RANGE, 50)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._sound.clear()
        self._events.clear()
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        samples = np.frombuffer(bytes(self._sound), dtype="<i2").astype(np.float32) / 32768
        times = [start for start, _ in self._events] + [len(samples) / self._rate]
        names = ("" if name.startswith("(") else name for _, name in self._events)
        symbols = list(zip(names, times[:-1], times[1:], strict=True))
        if times[0] > 0:
            symbols.insert(0, ("", 0.0, times[0]))
        sound = soxr.resample(samples, self._rate, SAMPLE_RATE)
        phonemes = _with_closures(unify(symbols, shortest_pause=0.04))
        return make_speech(sound, phonemes, f"espeak:{voice}@{pitch // 20}", text, language)
