"""Measures the floor plan of the package: rooms, long files, circles, reach and the way of one `polytalk generate`.

    python tools/house.py [--root CHECKOUT] [--from MODULE] [--trace] [--json FILE] [--compare FILE]

What is counted, of the modules below src/polytalk (carried files are not, only .py):

- *room*: a folder of the package with all below it; modules that lie in src/polytalk itself are the room "(top)". A
  *folder* is what lies directly in it: a large room may be well divided, a large folder is not.
- *import*: every `import` and `from … import`, inside functions, under TYPE_CHECKING and by `import_module`, too. In a
  module that calls `import_module`, every string that names a module below its package counts. A name that is imported
  from a package counts as an import of the package's `__init__` and, where its table tells, of the module that has it.
- *circle*: modules (or rooms) each of which imports the next, and the last the first; packages' own `__init__` count as
  modules, but that importing a.b runs a/__init__ as well does not count as an import. Rooms once without (top), as
  errors and doors lie there side by side, and once with it.
- *reach*: files that a module needs, imports followed to their end, itself counted; and the same with every `__init__`
  that Python runs on the way to them.
- *entered* (`--trace`): files of which at least one function or class body runs during `polytalk generate` of a picture
  with two sounds; what only defines constants and functions that nobody calls is not counted. Class bodies run when a
  file is imported, so that many of these files do no work.
- *called* (`--trace`): those of them of which a function is called, calls made while a module is imported left out.
- *returns* (`--trace`): in the order in which these files are first entered, how often the order goes back to a room
  that it had left: how often a reader who follows the calls is led back.
- *returns by call* (`--trace`): calls, in the main thread, of a function in room A by one in another room while A waits
  further up the stack (A → … → B → A): how often a call goes back to a room that it had left. The caller is the
  nearest function of the package, libraries between them skipped; calls while a module is imported, lambdas and a
  generator's going on do not count. Their number grows with frames and steps; that of the distinct pairs (caller's
  file → called file) depends less on them.
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
LONGEST = 10


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

    def folders(self) -> dict[str, tuple[int, int]]:
        """Lines and files that lie directly in every folder, largest first."""
        lines: Counter[str] = Counter()
        files: Counter[str] = Counter()
        for module, path in self.paths.items():
            folder = path.parent.relative_to(self.source / PACKAGE).as_posix()
            lines["(top)" if folder == "." else folder] += self.lines[module]
            files["(top)" if folder == "." else folder] += 1
        return {folder: (count, files[folder]) for folder, count in lines.most_common()}

    def functions(self) -> dict[str, int]:
        """Lines of the longest functions and methods, decorators not counted."""
        found = Counter()

        def visit(node: ast.AST, name: str) -> None:
            for child in ast.iter_child_nodes(node):
                inside = name
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    inside = f"{name}.{child.name}"
                    if not isinstance(child, ast.ClassDef):
                        found[inside] = (child.end_lineno or child.lineno) - child.lineno + 1
                visit(child, inside)

        for module, tree in self.trees.items():
            visit(tree, module)
        return dict(found.most_common(LONGEST))

    def circles(self) -> list[list[str]]:
        """Modules that import each other in a circle."""
        return _circles(self.imports)

    def room_circles(self, *, top: bool = False) -> list[list[str]]:
        """Rooms that do; the package's own doors, (top), left out or counted."""
        edges: dict[str, set[str]] = defaultdict(set)
        for module, others in self.imports.items():
            for other in others:
                edges[self.room(module)].add(self.room(other))
        out = set() if top else {"(top)"}
        return _circles({room: targets - {room} - out for room, targets in edges.items() if room not in out})

    def reach(self, start: str, *, packages: bool = False) -> set[str]:
        """Modules that `start` needs, and itself; with `packages`, those that lie around them, too."""
        seen, todo = {start}, [start]
        while todo:
            module = todo.pop()
            others = set(self.imports[module])
            if packages and "." in module:
                others.add(module.rpartition(".")[0])
            for other in (others & self.paths.keys()) - seen:
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

    def _package(self, module: str) -> str:
        return module if self.paths[module].name == "__init__.py" else module.rpartition(".")[0]

    def _below(self, module: str, text: object) -> str | None:
        if not isinstance(text, str):
            return None
        names = (f"{self._package(module)}.{text.lstrip('.')}", text)
        return next((name for name in names if name in self.paths and name != module), None)

    def _imports(self, module: str) -> set[str]:
        found, tree = set(), self.trees[module]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names if alias.name in self.paths}
            elif isinstance(node, ast.ImportFrom) and (source := self._source(module, node)) in self.paths:
                for alias in node.names:
                    submodule = f"{source}.{alias.name}"
                    found |= {submodule} if submodule in self.paths else {source, self._resolve(source, alias.name)}
        if _calls_import_module(tree):
            strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
            found |= {target for text in strings if (target := self._below(module, text))}
        return found

    def _source(self, module: str, node: ast.ImportFrom) -> str:
        """Full name of what `from … import` imports from."""
        package = self._package(module).split(".")
        return ".".join(
            [*(package[: len(package) - node.level + 1] if node.level else ()), *filter(None, [node.module])]
        )

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
import dis, inspect, json, sys, threading
source, out = sys.argv[1] + "/polytalk/", sys.argv[2]
sys.argv = ["polytalk", *sys.argv[3:]]
places, entered, called, back, starts = {}, {}, {}, {}, {}
main_thread = threading.get_ident()
def where(code):
    name = code.co_filename
    if name not in places:
        places[name] = name[len(source):] if name.startswith(source) else None
    return places[name]
def room(place):
    return place.split("/")[0] if "/" in place else "(top)"
def goes_on(frame, code):  # a generator that was begun before
    if not code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        return False
    if code not in starts:
        starts[code] = next(step.offset for step in dis.get_instructions(code) if step.opname == "RESUME")
    return frame.f_lasti > starts[code]
def profile(frame, event, arg):
    code = frame.f_code
    if event != "call" or code.co_name.startswith("<"):
        return
    place = where(code)
    if place is None:
        return
    entered.setdefault(place, len(entered))
    if not code.co_flags & inspect.CO_OPTIMIZED or goes_on(frame, code):  # first: the body of a class
        return
    above, frame = [], frame.f_back
    while frame is not None:
        caller = where(frame.f_code)
        if caller is not None:
            if frame.f_code.co_name == "<module>":
                return
            above.append(caller)
        frame = frame.f_back
    called.setdefault(place, len(called))
    here = room(place)
    if above and room(above[0]) != here and threading.get_ident() == main_thread:
        if any(room(caller) == here for caller in above[1:]):
            pair = above[0] + " > " + place
            back[pair] = back.get(pair, 0) + 1
try:
    from polytalk.cli.app import main
except ImportError:
    from polytalk.cli import main
threading.setprofile(profile)
sys.setprofile(profile)
try:
    main()
finally:
    sys.setprofile(None)
    json.dump({"entered": list(entered), "called": list(called), "back": back}, open(out, "w"))
"""


def returns(files: list[str]) -> list[str]:
    """Files, in the order in which they are entered, that lie in a room which was left before."""
    rooms = [file.split("/")[0] if "/" in file else "(top)" for file in files]
    pairs = zip(files, rooms, ["", *rooms], range(len(rooms)), strict=False)
    return [file for file, room, before, place in pairs if room != before and room in rooms[:place]]


def trace(root: Path) -> dict:
    """Files that one `polytalk generate` enters and calls, in the order in which it does, and its returns by call.

    Raises:
        RuntimeError: the run failed, so that it entered only some of its files.
    """
    assets = root / "src" / PACKAGE / "assets"
    with tempfile.TemporaryDirectory() as folder:
        out, script = Path(folder) / "trace.json", Path(folder) / "tracer.py"
        script.write_text(TRACER, encoding="utf-8")
        speakers = [part for side in ("left", "right") for part in ("--speaker", f"{assets}/demo_{side}.flac")]
        command = ["generate", "--image", f"{assets}/demo.png", *speakers, "--model", "mini", "--max-seconds", "1"]
        done = subprocess.run(
            [sys.executable, script, root / "src", out, *command, "--dtype", "float32", "-o", f"{folder}/talk.mp4"],
            env=os.environ | {"PYTHONPATH": str(root / "src")}, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode or not (Path(folder) / "talk.mp4").exists():
            raise RuntimeError(f"polytalk generate failed ({done.returncode}): {(done.stderr or done.stdout)[-2000:]}")
        return json.loads(out.read_text(encoding="utf-8"))


def measure(root: Path, *, start: str | None = None, traced: bool = False) -> dict:
    """All figures of a checkout; reach is counted from the module `start`, None: the conductor."""
    house = House(root / "src")
    conductors = (f"{PACKAGE}.pipeline.multitalk", f"{PACKAGE}.pipelines.multitalk")
    start = start or next(name for name in conductors if name in house.paths)
    total = sum(house.lines.values())
    rooms, folders = house.rooms(), house.folders()
    largest, folder = next(iter(rooms)), next(iter(folders))
    reached = house.reach(start)
    figures = {
        "lines": total,
        "files": len(house.lines),
        "rooms": rooms,
        "largest room": largest,
        "largest room, share of lines": rooms[largest][0] / total,
        "folders": folders,
        "largest folder": folder,
        "largest folder, share of lines": folders[folder][0] / total,
        "files above 400 lines": {name: count for name, count in house.lines.items() if count > LONG_FILE},
        "longest functions": house.functions(),
        "circles": house.circles(),
        "circles of rooms": house.room_circles(),
        "circles of rooms, (top) counted": house.room_circles(top=True),
        "reach from": start,
        "reach of multitalk.py": len(reached),
        "reach with packages": len(house.reach(start, packages=True)),
        "reached": sorted(reached),
    }
    if traced:
        found = trace(root)
        figures["files entered"] = len(found["entered"])
        figures["files called"] = len(found["called"])
        figures["returns"] = len(returns(found["entered"]))
        figures["returns by call"] = sum(found["back"].values())
        figures["returns by call, pairs"] = len(found["back"])
        figures |= found
    return figures


def rows(figures: dict) -> dict[str, str]:
    """The figures as lines of a table; figures of an earlier version of this tool lack some."""
    said = {"lines; files": f"{figures['lines']:,}; {figures['files']}"}
    for name in ("largest room", "largest folder"):
        if name in figures:
            said[name] = f"{figures[name]} ({figures[f'{name}, share of lines']:.1%})"
    said["files above 400 lines"] = str(len(figures["files above 400 lines"]))
    if functions := figures.get("longest functions"):
        said["longest function, lines"] = str(max(functions.values()))
    for name in ("circles", "circles of rooms", "circles of rooms, (top) counted"):
        if name in figures:
            said["circles of modules" if name == "circles" else name] = str(len(figures[name]))
    start = figures.get("reach from", "multitalk").rpartition(".")[2]
    rule = "" if "reach from" in figures else " (packages not counted)"
    said[f"reach of {start}.py, files"] = f"{figures['reach of multitalk.py']}{rule}"
    if "reach with packages" in figures:
        said["the same with every __init__ on the way"] = str(figures["reach with packages"])
    for name in ("files entered", "files called", "returns", "returns by call", "returns by call, pairs"):
        if name in figures:
            said[f"{name} (traced)"] = f"{figures[name]:,}"
    for name, (lines, files) in figures["rooms"].items():
        said[f"room {name}: lines; files"] = f"{lines:,}; {files}"
    return said


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="checkout to measure")
    parser.add_argument("--from", dest="start", metavar="MODULE", help="module whose reach is counted")
    parser.add_argument("--trace", action="store_true", help="run polytalk generate under a profiler, too")
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    parser.add_argument("--compare", type=Path, help="figures of another checkout, written by --json")
    options = parser.parse_args()
    figures = measure(options.root.resolve(), start=options.start, traced=options.trace)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    here = rows(figures)
    before = rows(json.loads(options.compare.read_text(encoding="utf-8"))) if options.compare else None
    if before is not None:
        print(f"{'':44}{'before':>28}{'now':>28}")
    for name in dict.fromkeys([*here, *(before or ())]):
        print(f"{name:44}{'' if before is None else before.get(name, '–'):>28}{here.get(name, '–'):>28}")
    for title in ("circles", "circles of rooms"):
        for circle in figures[title]:
            print(f"{title[:-1] if title == 'circles' else 'circle of rooms'}: {', '.join(circle)}")
    for title in ("files above 400 lines", "longest functions"):
        for name, count in figures[title].items():
            print(f"{count} lines: {name}{'()' if title == 'longest functions' else ''}")


if __name__ == "__main__":
    main()
