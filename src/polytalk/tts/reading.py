"""Text to phrases of misaki phonemes: numbers, dates, units and abbreviations spelt out, sentence by sentence."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from polytalk.errors import PolytalkError

MAX_PHONEMES = 400
"""Longest phrase spoken at once; Kokoro's and hibari's context is 510."""
_SENTENCE_PAUSE, _CLAUSE_PAUSE, _PARAGRAPH_PAUSE = 0.3, 0.1, 0.6  # seconds
_SCRIPTS = {
    "en": ("LATIN",), "es": ("LATIN",), "fr": ("LATIN",), "it": ("LATIN",), "pt": ("LATIN",),
    "hi": ("DEVANAGARI", "LATIN"), "ja": ("HIRAGANA", "KATAKANA", "CJK", "IDEOGRAPHIC", "LATIN"),
    "zh": ("CJK", "LATIN"),
}  # fmt: skip
"""First words of the Unicode names of the letters that a language is written in."""
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])\s*|\n")
_CLAUSE = re.compile(r"(?<=[,;:—])\s+")
_PRONUNCIATION = re.compile(r"\]\(/[^)]*/\)")  # misaki's way to spell a word's sounds: [word](/wˈɜɹd/)
_WEB = re.compile(r"(?<=\w)\.(?=(?:com|org|net|edu|gov|io|ai|uk|de|eu|dev|app)\b)|(?<=\bwww)\.", re.IGNORECASE)


@dataclass(frozen=True)
class Phrase:
    """What is said in one breath."""

    phonemes: str
    """Misaki."""
    pause: float
    """Seconds of silence after it."""


class Reader(Protocol):
    """Knows how a language is pronounced."""

    def phrases(self, text: str) -> list[Phrase]:
        """Sentences of `text`, long ones in parts, each with at least one sound.

        Raises:
            PolytalkError: letters of a script that the language is not written in, or nothing that could be said.
        """
        ...


class EnglishReader:
    """English by hibari's rules, a port of misaki's that needs neither spaCy nor espeak-ng.

    Args:
        british: British instead of American pronunciation.
    """

    def __init__(self, british: bool = False) -> None:
        from hibari.g2p import G2P

        self._g2p = G2P(british=british)

    def phrases(self, text: str) -> list[Phrase]:
        """As `Reader.phrases`."""
        from hibari import Hibari

        check_script(text, "en")
        return _phrases(text, lambda part: Hibari.split_sentences(_spelt_out(part)), self._phonemes)

    def _phonemes(self, sentence: str) -> str:
        try:
            return self._g2p(sentence)
        except (ValueError, TypeError, LookupError) as error:  # its rules fail on some odd mixtures of signs
            problem = f"{_shortened(sentence)!r} cannot be read"
            raise PolytalkError("text", problem, "Write it in words.") from error


class MisakiReader:
    """Another language by misaki, the front end of Kokoro.

    Args:
        language: such as "es".
        g2p: misaki's; a sentence to its phonemes.
    """

    def __init__(self, language: str, g2p: Callable[[str], str]) -> None:
        self._language, self._g2p = language, g2p

    def phrases(self, text: str) -> list[Phrase]:
        """As `Reader.phrases`."""
        check_script(text, self._language)
        return _phrases(text, _SENTENCE.split, self._g2p)


def _phrases(text: str, sentences_of: Callable[[str], list[str]], g2p: Callable[[str], str]) -> list[Phrase]:
    found: list[Phrase] = []
    text = unicodedata.normalize("NFC", text)
    for paragraph in re.split(r"\n\s*\n", text):
        sentences = [split_phonemes(g2p(sentence)) for sentence in sentences_of(paragraph) if sentence.strip()]
        sentences = [parts for parts in sentences if parts]
        for number, parts in enumerate(sentences, start=1):
            last = _SENTENCE_PAUSE if number < len(sentences) else _PARAGRAPH_PAUSE
            found += [Phrase(part, _CLAUSE_PAUSE) for part in parts[:-1]] + [Phrase(parts[-1], last)]
    if not found:
        raise PolytalkError("text", f"{_shortened(text)!r} has nothing that can be said", "Give a text with words.")
    return found


def check_script(text: str, language: str) -> None:
    """Refuse letters that a voice of `language` would leave out or read wrong.

    Raises:
        PolytalkError: naming the first such word.
    """
    for word in _PRONUNCIATION.sub("]", text).split():
        for letter in unicodedata.normalize("NFKC", word.replace("ʼ", "'")):
            if letter.isalpha() and not unicodedata.name(letter, "").startswith(_SCRIPTS[language]):
                script = unicodedata.name(letter, "unknown").split(" ")[0].capitalize()
                problem = f"{_shortened(word)!r} has {script} letters, which a voice of {language!r} cannot read"
                raise PolytalkError("text", problem, "Write it in the voice's script, or choose another voice.")


def split_phonemes(phonemes: str) -> list[str]:
    """Parts of at most `MAX_PHONEMES`, cut at commas if possible, else between words, else anywhere."""
    parts: list[str] = []
    for clause in _CLAUSE.split(phonemes):
        pieces = [clause] if len(clause) <= MAX_PHONEMES else clause.split(" ")
        for word in pieces:
            for at in range(0, max(len(word), 1), MAX_PHONEMES):
                piece = word[at : at + MAX_PHONEMES]
                if parts and at == 0 and len(parts[-1]) + len(piece) < MAX_PHONEMES:
                    parts[-1] = f"{parts[-1]} {piece}"
                else:
                    parts.append(piece)
    return [part for part in parts if any(letter.isalpha() for letter in part)]


def _spelt_out(text: str) -> str:
    """What hibari's own rules leave out: fractions, circled and raised digits, web addresses, Turkish İ."""
    fraction = re.compile("[¼-¾⅐-⅞]")
    text = fraction.sub(lambda found: " " + unicodedata.normalize("NFKC", found[0]).replace("⁄", "/"), text)
    text = re.sub(r"(?<=\w)@(?=\w)", " at ", _WEB.sub(" dot ", text))
    text = "".join(
        f" {unicodedata.digit(c)}" if c.isdigit() and not c.isdecimal() and c not in "²³" else c for c in text
    )
    text = text.replace("ʼ", "'").replace("İ", "I")  # two characters in lower case, which hibari does not expect
    return re.sub(r"\bwww\b", "W W W", text, flags=re.IGNORECASE)


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}…"
