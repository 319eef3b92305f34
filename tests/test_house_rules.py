"""The rules of the house that a machine can check, read off the source of the whole package."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "polytalk"
LONGEST_MODULE = 400
LONGEST_LINE = 120


@cache
def sources() -> dict[str, str]:
    """Path of a module below the package -> its text."""
    return {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


def first_line(source: str) -> str:
    return (ast.get_docstring(ast.parse(source), clean=False) or "").partition("\n")[0]


def test_no_two_public_classes_share_a_name():
    places = defaultdict(list)
    for path, source in sources().items():
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_every_room_says_which_question_it_answers():
    said = {path: first_line(source) for path, source in sources().items() if path.endswith("__init__.py")}
    empty = ("", "Polytalk.", "TODO room.")
    assert {path: line for path, line in said.items() if line.strip() in empty} == {}


def test_every_module_says_in_one_line_what_it_is():
    said = {path: first_line(source) for path, source in sources().items()}
    # with the quotation marks
    assert [path for path, line in said.items() if not line.strip() or len(line) + 3 > LONGEST_LINE] == []


def test_no_module_is_too_long_to_read():
    lengths = {path: len(source.splitlines()) for path, source in sources().items()}
    assert {path: length for path, length in lengths.items() if length > LONGEST_MODULE} == {}
