"""Writes what docs/architecture.md says of the code: the picture of the rooms, a line for each, and one for each file.

    python tools/architecture.py [--check] [--root CHECKOUT]

Rooms and their order come from the layers contract in pyproject.toml, arrows from the imports, words from the first
sentence of every module's docstring. Each goes between its own pair of marks in docs/architecture.md,

    <!-- picture: tools/architecture.py writes this -->
    …
    <!-- end of picture -->

and likewise `rooms` and `files`; the text around them is people's. `--check` writes nothing and exits with 1 if a part
is stale.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from house import PACKAGE, House

PAGE = Path("docs") / "architecture.md"
ROUTE = {
    "cli": ("generation",),
    "serving": ("generation",),
    "generation": ("casting", "pipeline"),
    "casting": ("conditioning",),
    "pipeline": ("conditioning", "models", "diffusion", "postprocess"),
    "conditioning": ("scene", "media"),
}
"""The main way, from a request to its video: arrows that are drawn thick."""
LEFT_OUT = ("errors", "units", "assets", "__main__")
"""Not in the picture: what nearly everybody imports, and the door's mat."""
DOORS = ("cli", "serving")
"""Rooms that users come in by."""
UNTOLD = "(says nothing of itself)"


class Stale(Exception):
    """The page or the contract does not fit the code."""


def rooms_in_order(root: Path) -> list[str]:
    """Rooms of the layers contract, the ones that import nothing first."""
    config = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in config["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            layers = [re.split(r"[|:]", layer) for layer in contract["layers"]]
            return [name.strip().strip("()") for layer in reversed(layers) for name in layer]
    raise Stale("pyproject.toml has no layers contract")


def room_of(module: str) -> str | None:
    """The room of a module, a module of the package itself being its own; None for the package."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def arrows(house: House, rooms: Iterable[str]) -> dict[str, set[str]]:
    """Which rooms each room imports from.

    Raises:
        Stale: a room of the package is missing in the contract.
    """
    drawn = [room for room in rooms if room not in LEFT_OUT]
    found: dict[str, set[str]] = {room: set() for room in drawn}
    for module, imported in house.imports.items():
        room = room_of(module)
        if room is not None and room not in rooms:
            raise Stale(f"{room} is in no layer of pyproject.toml")
        if room in found:
            found[room] |= {other for name in imported if (other := room_of(name)) in found and other != room}
    return found


def reduced(edges: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """The arrows that are left when those go that a longer way says, too."""

    def beyond(room: str, seen: set[str]) -> set[str]:
        for other in edges[room] - seen:
            seen.add(other)
            beyond(other, seen)
        return seen

    reach = {room: beyond(room, set()) for room in edges}

    def is_said(room: str, other: str, between: str) -> bool:
        circle = room in reach[between] or between in reach[other]  # the arrows of a circle would leave each other out
        return other in reach[between] and not circle

    return {
        (room, other)
        for room, others in edges.items()
        for other in others
        if not any(is_said(room, other, between) for between in others - {other})
    }


def picture(house: House, rooms: list[str]) -> str:
    """The rooms as a Mermaid flowchart: who imports from whom, the main way thick."""
    edges = arrows(house, rooms)
    thin = reduced(edges)
    thick = {(room, other) for room, others in ROUTE.items() for other in others if other in edges.get(room, ())}
    lines = ["```mermaid", "flowchart TD"]
    for room in reversed(rooms):
        if room in edges and _exists(house, room):
            left, right = ("([", "])") if room in DOORS else ("[", "]")
            lines.append(f'    {room}{left}"{room}"{right}')
    for room in reversed(rooms):
        for other in reversed(rooms):
            if (room, other) in thick:
                lines.append(f"    {room} ==> {other}")
            elif (room, other) in thin:
                lines.append(f"    {room} --> {other}")
    return "\n".join([*lines, "```"])


def room_table(house: House, rooms: list[str]) -> str:
    """A line for each room: which question it answers, from its `__init__`."""
    lines = ["| room | what it is for |", "| --- | --- |"]
    for room in rooms:
        if _exists(house, room):
            name = f"{room}/" if _is_folder(house, room) else f"{room}.py"
            said = sentence(house.trees[f"{PACKAGE}.{room}"]).replace("|", "\\|")
            lines.append(f"| `{name}` | {said} |")
    return "\n".join(lines)


def file_list(house: House, rooms: list[str]) -> str:
    """A line for each file, room by room; folders inside a room after its own files."""
    parts = []
    for room in rooms:
        if not _exists(house, room) or not _is_folder(house, room):
            continue
        top = house.source / PACKAGE / room
        lines = [f"### {room}/", ""]
        paths = [path for module, path in house.paths.items() if room_of(module) == room]
        for path in sorted(paths, key=lambda path: (path.parent.parts, path.name != "__init__.py", path.name)):
            module = ".".join(path.relative_to(house.source).with_suffix("").parts).removesuffix(".__init__")
            if path.name != "__init__.py":
                lines.append(f"- `{path.relative_to(top).as_posix()}`: {sentence(house.trees[module])}")
            elif path.parent != top:
                lines.append(f"- **`{path.parent.relative_to(top).as_posix()}/`** {sentence(house.trees[module])}")
        if len(lines) > 2:
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


def sentence(tree: ast.Module) -> str:
    """The first line of a module's docstring if that is whole, else the first sentence of its first paragraph."""
    paragraph = (ast.get_docstring(tree) or UNTOLD).split("\n\n")[0]
    first = paragraph.split("\n")[0]
    if first[-1] not in ".?!":
        whole = " ".join(paragraph.split())
        first = re.split(r"(?<=[.?!])\s+(?=\S)", whole)[0]
    return first.rstrip(":")


def written(page: str, parts: Mapping[str, str]) -> str:
    """The page with its marked parts replaced.

    Raises:
        Stale: a pair of marks is missing.
    """
    for name, text in parts.items():
        begin, end = f"<!-- {name}: tools/architecture.py writes this -->", f"<!-- end of {name} -->"
        if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
            raise Stale(f"{PAGE} needs the lines {begin} and {end}, once each")
        head, _, rest = page.partition(begin)
        page = f"{head}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"
    return page


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or compare it; 1 if it is stale."""
    parser = argparse.ArgumentParser(description="Writes the marked parts of docs/architecture.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is stale")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="the checkout")
    options = parser.parse_args(arguments)
    path = options.root / PAGE
    page = path.read_text(encoding="utf-8")
    makers: dict[str, Callable[[House, list[str]], str]] = {
        "picture": picture,
        "rooms": room_table,
        "files": file_list,
    }
    try:
        house, rooms = House(options.root / "src"), rooms_in_order(options.root)
        fresh = written(page, {name: make(house, rooms) for name, make in makers.items()})
    except Stale as problem:
        print(problem, file=sys.stderr)
        return 1
    if fresh == page:
        return 0
    if options.check:
        print(f"{PAGE} is stale: python tools/architecture.py", file=sys.stderr)
        return 1
    path.write_text(fresh, encoding="utf-8")
    return 0


def _exists(house: House, room: str) -> bool:
    return f"{PACKAGE}.{room}" in house.paths


def _is_folder(house: House, room: str) -> bool:
    return house.paths[f"{PACKAGE}.{room}"].name == "__init__.py"


if __name__ == "__main__":
    sys.exit(main())
