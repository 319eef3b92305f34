"""`polytalk voices`: who can speak a text, and how they sound."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from polytalk.errors import PolytalkError
from polytalk.media.audio import save_sound
from polytalk.media.output import check_target
from polytalk.tts.synthesizer import Synthesizer
from polytalk.tts.voices import find_voice, list_voices

SAMPLES = {
    "en": "Good morning! What a beautiful view from up here.",
    "es": "¡Buenos días! Qué hermosa es la vista desde aquí.",
    "fr": "Bonjour ! Quelle belle vue d'ici, là-haut.",
    "hi": "नमस्ते! यहाँ से कितना सुंदर दृश्य है।",
    "it": "Buongiorno! Che bella vista da quassù.",
    "ja": "おはようございます。ここからの眺めは素晴らしいですね。",
    "pt": "Bom dia! Que vista bonita daqui de cima.",
    "zh": "早上好！从这里看，风景真美。",
}
"""What a sample says in each language."""


def print_voices(language: str | None = None, as_json: bool = False) -> None:
    """Print every voice that reads `language` (None: any), those first that speak without a connection."""
    if language is not None:
        find_voice(None, language)
    code = None if language is None else language.strip().lower().replace("_", "-").split("-")[0]
    voices = [voice for voice in list_voices() if code in (None, voice.language)]
    if as_json:
        keys = ("name", "language", "description", "engine", "licence")
        typer.echo(json.dumps([{key: getattr(v, key) for key in keys} | {"needs": v.missing()} for v in voices]))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("voice", "language", "sounds like", "made by", "needs"):
        table.add_column(heading, overflow="fold")
    for voice in sorted(voices, key=lambda voice: voice.missing() is not None):
        table.add_row(voice.name, voice.language, voice.description, voice.engine, voice.missing() or "nothing")
    Console(soft_wrap=True).print(table, markup=False)


def write_sample(
    name: str | None, output: Path | None, text: str | None = None, language: str | None = None, force: bool = False
) -> None:
    """Let a voice say `text`, or a sentence of its language, into a WAV file.

    Raises:
        PolytalkError: no file named, no such voice, or as `Synthesizer.synthesize`.
    """
    if name is None:
        raise PolytalkError("--sample", "no voice is named", "Add --sample heart; `polytalk voices` lists them.")
    if output is None:
        raise PolytalkError("-o", "no file is named", "Add -o sample.wav.")
    if output.suffix.lower() != ".wav":
        raise PolytalkError(str(output), "a sample is a WAV file", "Name one that ends in .wav.")
    check_target(output, force=force)
    voice = find_voice(name, language, "--sample")
    speech = Synthesizer().synthesize(SAMPLES[voice.language] if text is None else text, voice.name, language)
    save_sound(output, speech.sound, force=force)
    typer.echo(f"{output}: {voice.name}, {speech.seconds:.1f} s")
