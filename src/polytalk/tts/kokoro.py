"""The official package kokoro (Apache-2.0): Kokoro-82M in PyTorch, nine languages, weights from the hub."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.tts.durations import snap_pauses, token_times
from polytalk.tts.phonemes import Phoneme
from polytalk.tts.reading import MisakiReader

SAMPLE_RATE = 24_000
"""Hz of what it says."""
REPOSITORY = "hexgrad/Kokoro-82M"
"""On the hub."""
_INSTALL = "pip install 'polytalk[kokoro]'"
_SPEAKERS = {
    "af": "heart alloy aoede bella jessica kore nicole nova river sarah sky",
    "am": "adam echo eric fenrir liam michael onyx puck santa",
    "bf": "alice emma isabella lily", "bm": "daniel fable george lewis",
    "ef": "dora", "em": "alex santa", "ff": "siwis", "hf": "alpha beta", "hm": "omega psi", "if": "sara",
    "im": "nicola", "jf": "alpha gongitsune nezumi tebukuro", "jm": "kumo", "pf": "dora", "pm": "alex santa",
    "zf": "xiaobei xiaoni xiaoxiao xiaoyi", "zm": "yunjian yunxi yunxia yunyang",
}  # fmt: skip
VOICES = tuple(f"{kind}_{name}" for kind, names in _SPEAKERS.items() for name in names.split())
"""Voices of version 1.0. First letter: language; second: f or m."""
_LANGUAGES = {
    "a": ("en", "American"), "b": ("en", "British"), "e": ("es", "Spanish"), "f": ("fr", "French"),
    "h": ("hi", "Hindi"), "i": ("it", "Italian"), "j": ("ja", "Japanese"), "p": ("pt", "Brazilian Portuguese"),
    "z": ("zh", "Mandarin"),
}  # fmt: skip


def language_of(name: str) -> str | None:
    """Code of the language of a voice named as Kokoro names them; None if it is not."""
    return _LANGUAGES[name[0]][0] if name[1:3] in ("f_", "m_") and name[0] in _LANGUAGES else None


def describe(name: str) -> str:
    """How a voice sounds, as far as its name says it."""
    return f"{'woman' if name[1] == 'f' else 'man'}, {_LANGUAGES[name[0]][1]}"


def installed() -> bool:
    """Is the package there?"""
    return importlib.util.find_spec("kokoro") is not None


def missing(name: str) -> str | None:
    """None if a voice can speak without a connection, otherwise what to do."""
    if not installed():
        return _INSTALL
    from huggingface_hub import try_to_load_from_cache

    files = ("config.json", "kokoro-v1_0.pth", f"voices/{name}.pt")
    cached = all(isinstance(try_to_load_from_cache(REPOSITORY, file), str) for file in files)
    return None if cached else "a connection once (330 MB from the hub)"


class KokoroPipeline:
    """The network of the package kokoro on the CPU.

    Raises:
        PolytalkError: not installed, or the weights are neither here nor to be had.
    """

    def __init__(self) -> None:
        try:
            import kokoro
        except ImportError as error:
            problem = f"Kokoro needs {error.name}, which is not installed"
            raise PolytalkError("voice", problem, f"Run: {_INSTALL}.") from error
        self._kokoro: Any = kokoro
        self._model = _fetched(lambda: kokoro.KModel(repo_id=REPOSITORY).eval(), "its weights")
        self._packs: dict[str, Any] = {}

    def reader(self, name: str) -> MisakiReader:
        """How the language of a voice is read.

        Raises:
            PolytalkError: the language's front end is not installed.
        """
        code = name[0]
        try:
            pipeline = self._kokoro.KPipeline(lang_code=code, repo_id=REPOSITORY, model=False)
        except (ImportError, OSError, RuntimeError) as error:
            extra = {"j": "misaki[ja]", "z": "misaki[zh]"}.get(code, "misaki[en]")
            problem = f"{_LANGUAGES[code][1]} cannot be read ({error})"
            raise PolytalkError("voice", problem, f"Run: pip install '{extra}'.") from error
        return MisakiReader(_LANGUAGES[code][0], lambda sentence: pipeline.g2p(sentence)[0] or "")

    def say(self, tokens: str, name: str, speed: float = 1.0) -> tuple[np.ndarray, tuple[Phoneme, ...]]:
        """Misaki phonemes in one voice: float32 (n,) at 24 kHz, and the phonemes' times in seconds.

        Args:
            tokens: at most 510; those that the network does not know are left out.
            name: one of `VOICES`.
            speed: 1 is the voice's own.

        Raises:
            PolytalkError: the voice is neither here nor to be had.
        """
        import torch

        if name not in self._packs:
            self._packs[name] = _fetched(lambda: _load_pack(name), f"the voice {name}")
        pack = self._packs[name]
        tokens = "".join(c for c in tokens if c in self._model.vocab)
        with torch.random.fork_rng(devices=[]):  # its excitation is noise from the global generator
            torch.manual_seed(0)
            output = self._model(tokens, pack[min(len(tokens), len(pack)) - 1], speed, return_output=True)
        sound = output.audio.numpy().astype(np.float32)
        return sound, snap_pauses(sound, SAMPLE_RATE, token_times(tokens, output.pred_dur.numpy()))


def _load_pack(name: str) -> Any:
    import torch
    from huggingface_hub import hf_hub_download

    return torch.load(hf_hub_download(REPOSITORY, f"voices/{name}.pt"), weights_only=True)


def _fetched(fetch: Any, what: str) -> Any:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return fetch()
    except (OSError, HfHubHTTPError) as error:
        problem = f"{what} are not here and cannot be fetched" if what.endswith("s") else f"{what} cannot be fetched"
        remedy = f"Connect once, or copy {REPOSITORY} into the hub's cache; heart and tenor need no connection."
        raise PolytalkError("voice", problem, remedy) from error
