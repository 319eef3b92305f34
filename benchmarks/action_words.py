"""How many wordings of actions `polytalk.motion.prompted` understands: python benchmarks/action_words.py

Three sets, by authors who knew neither the training's words nor the patterns: one that the patterns were widened by,
what an author of it wrote besides, and `PARAPHRASES` by another one; whoever wrote the patterns has not read the last
two. And prompts that ask for nothing, full of words that could mislead.
"""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from polytalk.evaluation.measures.actions import PARAPHRASES
from polytalk.motion.prompted import acts_in

WORDS = Path(__file__).with_suffix(".json")


def understood(name: str, words: str) -> bool:
    """Whether exactly that action is found in a sentence about the second of two people."""
    sentence = f"{words}." if words[0].isupper() else f"The one on the right {words}."
    found = acts_in(f"A man and a woman are talking. {sentence}", 2)
    return [act.name for act in found] == [name] and found[0].person in (1, -1)


def main() -> None:
    """Print shares of each action."""
    known = json.loads(WORDS.read_text(encoding="utf-8"))
    unseen = known["unseen"]
    sets = (known["actions"], unseen["actions"], PARAPHRASES)
    table = Table("action", "known wordings", "unseen, same author", "unseen, another author")
    for name in known["actions"]:
        right = [[understood(name, words) for words in each.get(name, ())] for each in sets]
        table.add_row(name, *(f"{sum(each)} of {len(each)}" if each else "-" for each in right))
    totals = [[understood(name, words) for name, all_words in each.items() for words in all_words] for each in sets]
    table.add_row("all", *(f"{sum(each) / len(each):.1%} of {len(each)}" for each in totals))
    Console().print(table)
    for label, prompts in (("known", known["nothing"]), ("unseen", unseen["nothing"])):
        wrong = sum(bool(acts_in(prompt, 2)) for prompt in prompts)
        print(f"{wrong} of {len(prompts)} {label} prompts that ask for nothing are misread")


if __name__ == "__main__":
    main()
