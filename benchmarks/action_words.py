"""How many wordings of actions `polytalk.conditioning.prompted` understands: python benchmarks/action_words.py

Two sets by the same author, who knew neither the training's words nor the patterns: one that the patterns were then
widened by, and `PARAPHRASES`, which they were not. And prompts that ask for nothing, full of words that could mislead;
what the first version misread among them was mended.
"""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from polytalk.conditioning.prompted import acts_in
from polytalk.evaluation.actions import PARAPHRASES

WORDS = Path(__file__).with_suffix(".json")


def understood(name: str, words: str) -> bool:
    """Whether exactly that action is found in a sentence about the second of two people."""
    sentence = f"{words}." if words[0].isupper() else f"The one on the right {words}."
    found = acts_in(f"A man and a woman are talking. {sentence}", 2)
    return [act.name for act in found] == [name] and found[0].person in (1, -1)


def main() -> None:
    """Print shares of each action."""
    known = json.loads(WORDS.read_text(encoding="utf-8"))
    table = Table("action", "known wordings", "unseen wordings")
    totals = [0, 0, 0, 0]
    for name, unseen in PARAPHRASES.items():
        counts = [sum(understood(name, words) for words in each) for each in (known["actions"][name], unseen)]
        sizes = [len(known["actions"][name]), len(unseen)]
        table.add_row(name, *(f"{count} of {size}" for count, size in zip(counts, sizes, strict=True)))
        totals = [total + part for total, part in zip(totals, (*counts, *sizes), strict=True)]
    table.add_row("all", f"{totals[0] / totals[2]:.0%}", f"{totals[1] / totals[3]:.0%}")
    Console().print(table)
    wrong = [prompt for prompt in known["nothing"] if acts_in(prompt, 2)]
    print(f"{len(wrong)} of {len(known['nothing'])} prompts that ask for nothing are misread")


if __name__ == "__main__":
    main()
