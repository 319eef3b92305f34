"""The command line's options are frozen: a new one, or one that goes, is a decision, taken by writing it down here.

python tests/cli/test_options.py    # writes tests/cli/options.json anew
"""

import json
from pathlib import Path

import typer

from polytalk.cli.app import app

FROZEN = Path(__file__).with_name("options.json")


def options(group=None, name=""):
    """Every command's options by all their names."""
    group = group or typer.main.get_command(app)
    found = {}
    for key, command in sorted(getattr(group, "commands", {}).items()):
        full = f"{name} {key}".strip()
        if getattr(command, "commands", None):
            found |= options(command, full)
        else:
            names = (" ".join([*one.opts, *one.secondary_opts]) for one in command.params)
            found[full] = sorted(names)
    return found


def test_options_are_those_that_were_decided():
    assert options() == json.loads(FROZEN.read_text(encoding="utf-8"))


if __name__ == "__main__":
    FROZEN.write_text(json.dumps(options(), indent=1) + "\n", encoding="utf-8")
