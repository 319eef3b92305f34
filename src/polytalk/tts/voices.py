"""Who can speak: every voice by name, what it needs, and what it can read."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from polytalk.errors import PolytalkError
from polytalk.tts import kokoro, kokoro_int8
from polytalk.tts.conversion import Timbre

HIBARI, KOKORO_INT8, KOKORO = "hibari", "kokoro-int8", "kokoro"
"""Engines."""
_OWN = Timbre()
_INT8_LANGUAGES = ("en", "ja")  # those with a front end that needs no connection
_LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Voice:
    """One speaker that a text can be given to."""

    name: str
    """What users call it."""
    engine: str
    """hibari, kokoro-int8 or kokoro."""
    description: str
    """How it sounds."""
    language: str
    """Code of the language it reads."""
    speaker: str
    """What the engine calls it."""
    timbre: Timbre = _OWN
    """How the engine's speaker is changed."""
    british: bool = False
    """British instead of American pronunciation."""
    licence: str = _LICENCE
    """Of the voice and its network."""

    def missing(self) -> str | None:
        """None if it can speak without a connection, otherwise what it needs."""
        if self.engine == KOKORO_INT8:
            return kokoro_int8.missing(self.language)
        if self.engine == KOKORO:
            return kokoro.missing(self.speaker)
        if importlib.util.find_spec("hibari") is None or importlib.util.find_spec("onnxruntime") is None:
            return "pip install hibari-tts==0.2.1"
        from hibari.voices import voice_path

        try:
            voice_path(self.speaker, download_missing=False)
        except FileNotFoundError:
            return "a connection once (8 MB from the hub)"
        return None


OWN_VOICES = (
    Voice("heart", HIBARI, "woman, warm, medium pitch", "en", "heart"),
    Voice("tenor", HIBARI, "man, soft, medium pitch", "en", "heart", Timbre(0.58, 0.87, tilt=-2)),
    Voice("alto", HIBARI, "woman, low, calm", "en", "heart", Timbre(0.84, 0.94, tilt=-2, pace=0.95)),
    Voice("bass", HIBARI, "man, deep, slow", "en", "heart", Timbre(0.48, 0.8, pace=0.93)),
    Voice("child", HIBARI, "child, high, lively", "en", "heart", Timbre(1.33, 1.18, pace=1.04)),
)
"""Those that speak right after install; the first ones differ most, so that people without a voice of their own get
them in this order."""
_FETCHED = (
    Voice("fenrir", HIBARI, "man, American", "en", "fenrir"),
    Voice("kore", HIBARI, "woman, American", "en", "kore"),
    Voice("emma", HIBARI, "woman, British", "en", "emma", british=True),
    Voice("fable", HIBARI, "man, British", "en", "fable", british=True),
)


def list_voices() -> tuple[Voice, ...]:
    """Every voice known, those first that speak right after install."""
    small, full = {}, {}
    for name in kokoro_int8.styles():
        language = kokoro.language_of(name)
        if language in _INT8_LANGUAGES:
            voice = Voice(name, KOKORO_INT8, kokoro.describe(name), language, name, british=name[0] == "b")
            if voice.missing() is None or not kokoro.installed():
                small[name] = voice
    for name in kokoro.VOICES:
        if name not in small:
            language = kokoro.language_of(name) or "en"
            full[name] = Voice(name, KOKORO, kokoro.describe(name), language, name, british=name[0] == "b")
    return (*OWN_VOICES, *_FETCHED, *small.values(), *full.values())


def find_voice(name: str | None, language: str | None = None, field: str = "voice") -> Voice:
    """The voice called `name` (None: the first that reads `language`).

    Args:
        name: as `list_voices` has it; case does not matter.
        language: code such as "en" or "pt-br"; None is the voice's own.
        field: what to call it in errors.

    Raises:
        PolytalkError: no such voice, or it does not read `language`.
    """
    voices = list_voices()
    code = None if language is None else language.strip().lower().replace("_", "-").split("-")[0]
    able = [voice for voice in voices if code in (None, voice.language)]
    if not able:
        known = ", ".join(dict.fromkeys(voice.language for voice in voices))
        raise PolytalkError("language", f"no voice reads {language!r}", f"Choose among {known}.")
    if name is None:
        return able[0]
    wanted = name.strip().lower()
    for voice in voices:
        if voice.name == wanted:
            if voice not in able:
                names = ", ".join(other.name for other in able[:6])
                problem = f"{voice.name} reads {voice.language}, not {language}"
                raise PolytalkError(field, problem, f"For {language} choose {names}.")
            return voice
    names = ", ".join(voice.name for voice in OWN_VOICES)
    raise PolytalkError(field, f"there is no voice {name!r}", f"Choose {names}; `polytalk voices` lists them all.")


def cast_voices(wanted: Sequence[str | None]) -> tuple[str, ...]:
    """A voice for everybody: those named stay, the others get voices of their own, as different as there are.

    Raises:
        PolytalkError: no such voice.
    """
    taken = {find_voice(name).name for name in wanted if name is not None}
    free = [voice.name for voice in OWN_VOICES if voice.name not in taken] or [voice.name for voice in OWN_VOICES]
    cast: list[str] = []
    for name in wanted:
        if name is None:
            cast.append(free[0])
            free = free[1:] + free[:1]  # more people than voices: they share
        else:
            cast.append(find_voice(name).name)
    return tuple(cast)
