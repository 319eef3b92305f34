"""One small IPA-like phoneme set for all speech synthesisers, and the translation of their symbols into it.

Every source names its sounds in its own way: flite in ARPAbet, espeak-ng in IPA of a hundred languages, Kokoro and
hibari in misaki's one-letter diphthongs. Here they become sequences of `PHONEMES`, with diphthongs and vowel + r split,
so that mouth shapes and phoneme labels are defined once.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from polytalk.errors import PolytalkError

Phoneme = tuple[str, float, float]
"""(symbol of `PHONEMES`, start in seconds, end in seconds)."""

SILENCE = "sil"
VOWELS = ("a", "ɑ", "æ", "ʌ", "ə", "ɜ", "ɛ", "e", "i", "ɪ", "ɨ", "o", "ɔ", "u", "ʊ", "ɯ", "y", "ø", "œ")
CONSONANTS = (
    "p", "b", "m", "f", "v", "θ", "ð", "t", "d", "n", "s", "z", "ʃ", "ʒ", "tʃ", "dʒ", "l", "ɹ", "r", "j", "w", "k", "ɡ",
    "ŋ", "x", "h", "ʔ",
)  # fmt: skip
PHONEMES = (SILENCE, *VOWELS, *CONSONANTS)
"""The whole set; the index of a symbol is its class number wherever phonemes are predicted (0 = silence)."""

INDEX = {symbol: number for number, symbol in enumerate(PHONEMES)}

_ARPABET = {
    "aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "aʊ", "ax": "ə", "axr": "əɹ", "ay": "aɪ", "eh": "ɛ", "er": "ɜɹ",
    "ey": "eɪ", "ih": "ɪ", "ix": "ɪ", "iy": "i", "ow": "oʊ", "oy": "ɔɪ", "uh": "ʊ", "uw": "u", "b": "b", "ch": "tʃ",
    "d": "d", "dh": "ð", "dx": "d", "el": "əl", "em": "əm", "en": "ən", "f": "f", "g": "ɡ", "hh": "h", "hv": "h",
    "jh": "dʒ", "k": "k", "l": "l", "m": "m", "n": "n", "ng": "ŋ", "nx": "n", "p": "p", "r": "ɹ", "s": "s", "sh": "ʃ",
    "t": "t", "th": "θ", "v": "v", "w": "w", "y": "j", "z": "z", "zh": "ʒ", "pau": "", "h#": "", "brth": "",
}  # fmt: skip

# IPA letters outside the set -> the nearest member(s). Capitals are misaki's diphthongs (Kokoro, hibari).
_LETTERS = {
    "A": "eɪ", "I": "aɪ", "O": "oʊ", "W": "aʊ", "Y": "ɔɪ", "Q": "əʊ", "ᵊ": "ə", "ᵻ": "ɪ", "T": "d", "S": "ʃ",
    "ä": "a", "ɐ": "ʌ", "ɒ": "ɔ", "ɚ": "əɹ", "ɝ": "ɜɹ", "ɘ": "ə", "ɤ": "ʌ", "ɞ": "œ", "ɵ": "ø", "ʉ": "u", "ʏ": "y",
    "ɶ": "œ", "g": "ɡ", "c": "k", "ɟ": "ɡ", "q": "k", "ɢ": "ɡ", "ɣ": "ɡ", "ɰ": "ɡ", "χ": "x", "ç": "x", "ʝ": "j",
    "ʁ": "r", "ʀ": "r", "ɾ": "d", "ɽ": "r", "ɻ": "ɹ", "ʋ": "v", "ɸ": "f", "β": "v", "ɱ": "m", "ɲ": "n", "ɳ": "n",
    "ɴ": "ŋ", "ɫ": "l", "ɭ": "l", "ɬ": "l", "ɮ": "l", "ʎ": "l", "ʟ": "l", "ʈ": "t", "ɖ": "d", "ʂ": "ʃ", "ʐ": "ʒ",
    "ɕ": "ʃ", "ʑ": "ʒ", "ɧ": "ʃ", "ʍ": "w", "ɥ": "y", "ħ": "h", "ɦ": "h", "ʕ": "ʔ", "ʜ": "h", "ʧ": "tʃ", "ʤ": "dʒ",
    "ʦ": "ts", "ʣ": "dz", "ʨ": "tʃ", "ʥ": "dʒ", "ꭧ": "tʃ", "ɺ": "l", "R": "r", "ɿ": "ɨ", "ã": "a", "õ": "o",
    "ẽ": "e", "ĩ": "i", "ũ": "u",
}  # fmt: skip

# Marks that colour a sound without changing what the lips do.
_MARKS = frozenset("ˈˌːˑ̃ʲʰˠˤʷ̩̯̪̥̬̞̝̟̠̈̊̚͡‿.-'`ᵝ˞˥˦˧˨˩0123456789̺̻̹̜̤̰̼̘̙̽̂́̀̄|;:*^_~!\"↓→↗↘")


@lru_cache(maxsize=4096)
def split_symbol(symbol: str) -> tuple[tuple[str, float], ...]:
    """One symbol of IPA or misaki -> ((phoneme, share of the symbol's duration), ...); empty for a pure mark.

    A diphthong's first part takes 60% of the time, a vowel before r 65%.

    Raises:
        PolytalkError: a letter is in no table.
    """
    text = "".join(_LETTERS.get(letter, letter) for letter in symbol if letter not in _MARKS)
    parts: list[str] = []
    for letter in text:
        if parts and parts[-1] + letter in ("tʃ", "dʒ"):
            parts[-1] += letter
        elif letter in INDEX:
            if not parts or parts[-1] != letter:
                parts.append(letter)
        else:
            raise PolytalkError("symbol", f"the sound {letter!r} (in {symbol!r}) is unknown", "Add it to phonemes.py.")
    if len(parts) == 2 and parts[0] in VOWELS:
        first = 0.6 if parts[1] in VOWELS else 0.65
        return (parts[0], first), (parts[1], 1 - first)
    return tuple((part, 1 / len(parts)) for part in parts)


def from_arpabet(symbol: str) -> str:
    """An ARPAbet symbol (flite's lower case, stress digits allowed) -> IPA; "" for a pause."""
    try:
        return _ARPABET[symbol.lower().rstrip("012")]
    except KeyError:
        raise PolytalkError("symbol", f"{symbol!r} is not ARPAbet", "Use flite's segment names.") from None


def unify(symbols: Iterable[tuple[str, float, float]], shortest_pause: float = 0.06) -> tuple[Phoneme, ...]:
    """(IPA or misaki symbol, start, end) in time order -> phonemes of `PHONEMES`, gap-free, times in seconds.

    "" and blanks are pauses. A pause shorter than `shortest_pause` seconds is no pause but a word boundary and goes,
    half each, to its neighbours; stress marks lend their time to the sound after them, length marks to the one before.
    """
    flat: list[list] = []
    owed: float | None = None  # start of a stress mark whose time belongs to the next sound
    for symbol, start, end in symbols:
        if end <= start:
            continue
        blank = not symbol.strip(" ,.!?—…()“”;:\"'$")
        parts = ((SILENCE, 1.0),) if blank else split_symbol(symbol)
        if not parts:
            if symbol[0] in "ˈˌ":
                owed = start if owed is None else owed
            elif flat:
                flat[-1][2] = end
            continue
        begin = start if owed is None else owed
        owed = None
        for part, share in parts:
            finish = begin + share * (end - begin) if part != parts[-1][0] else end
            flat.append([part, begin, finish])
            begin = finish
    return _absorb_short_pauses(flat, shortest_pause)


def _absorb_short_pauses(flat: list[list], shortest_pause: float) -> tuple[Phoneme, ...]:
    merged: list[list] = []
    for item in flat:
        if merged and merged[-1][0] == SILENCE == item[0]:
            merged[-1][2] = item[2]
        else:
            merged.append(list(item))
    kept: list[list] = []
    for number, (symbol, start, end) in enumerate(merged):
        inside = 0 < number < len(merged) - 1
        if symbol == SILENCE and inside and end - start < shortest_pause:
            middle = (start + end) / 2
            kept[-1][2] = middle
            merged[number + 1][1] = middle
        else:
            kept.append([symbol, start if number == 0 or not kept else merged[number][1], end])
    return tuple((symbol, float(start), float(end)) for symbol, start, end in kept)
