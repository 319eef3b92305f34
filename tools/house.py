"""Measures the floor plan of the package: rooms, long files, circles, reach and the way of one `polytalk generate`.

    python tools/house.py [--root CHECKOUT] [--trace] [--json FILE] [--compare FILE]

What is counted, of the modules below src/polytalk:

- *room*: a folder of the package with all below it; modules that lie in src/polytalk itself are the room "(top)".
- *import*: every `import` and `from … import`, inside functions, under TYPE_CHECKING and by `import_module`, too. In a
  module that calls `import_module`, every string that names a module below its package counts, and so does a name that
  is imported from such a package: as an import of the module that its table gives for it.
- *circle*: modules (or rooms) each of which imports the next, and the last the first; packages' own `__init__` count as
  modules, but that importing a.b runs a/__init__ as well does not count as an import.
- *reach*: files that a module needs, imports followed to their end, itself counted.
- *entered* (`--trace`): files of which at least one function or class body runs during `polytalk generate` of a picture
  with two sounds; what only defines constants and functions that nobody calls is not counted.
- *returns* (`--trace`): in the order in which these files are first entered, how often the order goes back to a room
  that it had left: how often a reader who follows the calls is led back.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

PACKAGE = "polytalk"
LONG_FILE = 400


class House:
    """The modules of a checkout, and who imports whom."""

    def __init__(self, source: Path) -> None:
        self.source = source
        paths = sorted((source / PACKAGE).rglob("*.py"))
        self.paths = {_name(path.relative_to(source)): path for path in paths if "__pycache__" not in path.parts}
        self.lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in self.paths.items()}
        self.trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in self.paths.items()}
        self.lazy = {name: self._tables(name) for name in self.paths}
        self.imports = {name: self._imports(name) - {name} for name in self.paths}

    def room(self, module: str) -> str:
        """The room of a module."""
        parts = module.split(".")
        inside = len(parts) > 2 or (len(parts) == 2 and self.paths[module].name == "__init__.py")
        return parts[1] if inside else "(top)"

    def rooms(self) -> dict[str, tuple[int, int]]:
        """Lines and files of every room, largest first."""
        lines: Counter[str] = Counter()
        files: Counter[str] = Counter()
        for module, count in self.lines.items():
            lines[self.room(module)] += count
            files[self.room(module)] += 1
        return {room: (count, files[room]) for room, count in lines.most_common()}

    def circles(self) -> list[list[str]]:
        """Modules that import each other in a circle."""
        return _circles(self.imports)

    def room_circles(self) -> list[list[str]]:
        """Rooms that do; the package's own doors, (top), left out."""
        edges: dict[str, set[str]] = defaultdict(set)
        for module, others in self.imports.items():
            for other in others:
                edges[self.room(module)].add(self.room(other))
        return _circles({room: targets - {room, "(top)"} for room, targets in edges.items() if room != "(top)"})

    def reach(self, start: str) -> set[str]:
        """Modules that `start` needs, and itself."""
        seen, todo = {start}, [start]
        while todo:
            for other in self.imports[todo.pop()] - seen:
                seen.add(other)
                todo.append(other)
        return seen

    def _tables(self, module: str) -> dict[str, str]:
        """Names that a package gives out lazily -> the module that has them."""
        tree, table = self.trees[module], {}
        if not _calls_import_module(tree):
            return {}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Dict):
                continue
            for key, value in zip(node.keys, node.values, strict=True):
                if not isinstance(key, ast.Constant):
                    continue
                strings = [part.value for part in ast.walk(value) if isinstance(part, ast.Constant)]
                if target := self._below(module, key.value):
                    table.update(dict.fromkeys(strings, target))
                elif len(strings) == 1 and (target := self._below(module, strings[0])):
                    table[key.value] = target
        return table

    def _below(self, module: str, text: object) -> str | None:
        if not isinstance(text, str):
            return None
        package = module if self.paths[module].name == "__init__.py" else module.rpartition(".")[0]
        names = (f"{package}.{text.lstrip('.')}", text)
        return next((name for name in names if name in self.paths and name != module), None)

    def _imports(self, module: str) -> set[str]:
        found, tree = set(), self.trees[module]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names if alias.name in self.paths}
            elif isinstance(node, ast.ImportFrom) and node.module in self.paths:
                for alias in node.names:
                    submodule = f"{node.module}.{alias.name}"
                    found.add(submodule if submodule in self.paths else self._resolve(node.module, alias.name))
        if _calls_import_module(tree):
            strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
            found |= {target for text in strings if (target := self._below(module, text))}
        return found

    def _resolve(self, package: str, name: str) -> str:
        return self.lazy[package].get(name, package)


def _name(relative: Path) -> str:
    parts = relative.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _calls_import_module(tree: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "import_module"
        for node in ast.walk(tree)
    )


def _circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one node (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            component = stack[at:]
            del stack[at:]
            if len(component) > 1:
                found.append(sorted(component))

    sys.setrecursionlimit(10_000)
    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


TRACER = """
import json, sys, threading
source, out = sys.argv[1] + "/polytalk/", sys.argv[2]
sys.argv = ["polytalk", *sys.argv[3:]]
places, files = {}, {}
def where(code):
    name = code.co_filename
    if name not in places:
        places[name] = name[len(source):] if name.startswith(source) else None
    return places[name]
def profile(frame, event, arg):
    if event == "call" and not frame.f_code.co_name.startswith("<"):
        place = where(frame.f_code)
        if place is not None and place not in files:
            files[place] = len(files)
try:
    from polytalk.cli.app import main
except ImportError:
    from polytalk.cli import main
threading.setprofile(profile)
sys.setprofile(profile)
try:
    main()
except SystemExit:
    pass
finally:
    sys.setprofile(None)
    json.dump(sorted(files, key=files.get), open(out, "w"))
"""


def returns(files: list[str]) -> list[str]:
    """Files, in the order in which they are entered, that lie in a room which was left before."""
    rooms = [file.split("/")[0] if "/" in file else "(top)" for file in files]
    pairs = zip(files, rooms, ["", *rooms], range(len(rooms)), strict=False)
    return [file for file, room, before, place in pairs if room != before and room in rooms[:place]]


def trace(root: Path) -> list[str]:
    """Files that one `polytalk generate` enters, in the order in which it does."""
    assets = root / "src" / PACKAGE / "assets"
    with tempfile.TemporaryDirectory() as folder:
        out, script = Path(folder) / "trace.json", Path(folder) / "tracer.py"
        script.write_text(TRACER, encoding="utf-8")
        speakers = [part for side in ("left", "right") for part in ("--speaker", f"{assets}/demo_{side}.flac")]
        command = ["generate", "--image", f"{assets}/demo.png", *speakers, "--max-seconds", "1", "--dtype", "float32"]
        environment = os.environ | {"PYTHONPATH": str(root / "src")}
        subprocess.run(
            [sys.executable, str(script), str(root / "src"), str(out), *command, "-o", f"{folder}/talk.mp4"],
            env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return json.loads(out.read_text(encoding="utf-8"))


def measure(root: Path, *, traced: bool = False) -> dict:
    """All figures of a checkout."""
    house = House(root / "src")
    start = next(
        name for name in (f"{PACKAGE}.pipeline.multitalk", f"{PACKAGE}.pipelines.multitalk") if name in house.paths
    )
    total = sum(house.lines.values())
    rooms = house.rooms()
    largest = next(iter(rooms))
    figures = {
        "lines": total,
        "files": len(house.lines),
        "rooms": rooms,
        "largest room": largest,
        "largest room, share of lines": rooms[largest][0] / total,
        "files above 400 lines": {name: count for name, count in house.lines.items() if count > LONG_FILE},
        "circles": house.circles(),
        "circles of rooms": house.room_circles(),
        "reach of multitalk.py": len(house.reach(start)),
    }
    if traced:
        found = trace(root)
        figures["files entered"] = len(found)
        figures["returns"] = len(returns(found))
        figures["entered"] = found
    return figures


def rows(figures: dict) -> dict[str, str]:
    """The figures as lines of a table."""
    said = {
        "lines; files": f"{figures['lines']:,}; {figures['files']}",
        "largest room": f"{figures['largest room']} ({figures['largest room, share of lines']:.1%})",
        "files above 400 lines": str(len(figures["files above 400 lines"])),
        "circles of modules": str(len(figures["circles"])),
        "circles of rooms": str(len(figures["circles of rooms"])),
        "reach of multitalk.py, files": str(figures["reach of multitalk.py"]),
    }
    for name in ("files entered", "returns"):
        if name in figures:
            said[f"{name} (traced generate)"] = f"{figures[name]:,}"
    return said


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="checkout to measure")
    parser.add_argument("--trace", action="store_true", help="run polytalk generate under a profiler, too")
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    parser.add_argument("--compare", type=Path, help="figures of another checkout, written by --json")
    options = parser.parse_args()
    figures = measure(options.root.resolve(), traced=options.trace)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    before = rows(json.loads(options.compare.read_text(encoding="utf-8"))) if options.compare else None
    for name, value in rows(figures).items():
        print(f"{name:44}{'' if before is None else before.get(name, '–'):>28}{value:>28}")
    for title in ("circles", "circles of rooms"):
        for circle in figures[title]:
            print(f"{title[:-1] if title == 'circles' else 'circle of rooms'}: {', '.join(circle)}")
    for name, count in figures["files above 400 lines"].items():
        print(f"{count} lines: {name}")


if __name__ == "__main__":
    main()
