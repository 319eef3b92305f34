"""Plots training logs: ``python tools/plot.py runs/mini/network/log.jsonl -o loss.png``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from polytalk.errors import PolytalkError


def read_log(path: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Curves of a log: name -> (steps, values); validation figures are named "validation ..."."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, json.JSONDecodeError) as error:
        raise PolytalkError(str(path), f"is no training log ({error})", "name a log.jsonl of a run") from None
    for row in rows:
        step = row.pop("step")
        values = {f"validation {k}": v for k, v in row.pop("validation", {}).items()} | row
        for name, value in values.items():
            steps, heights = curves.setdefault(name, ([], []))
            steps.append(step)
            heights.append(value)
    return curves


def plot(path: Path, out: Path) -> None:
    """Draw every curve of a log into one picture, a panel each."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise PolytalkError("matplotlib", "is not installed", 'Run pip install "polytalk[train]".') from None
    curves = read_log(path)
    columns = 3
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4.5 * columns, 2.8 * rows), layout="constrained")
    for index, (name, (steps, values)) in enumerate(curves.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.plot(steps, values)
        axes.set_title(name)
        axes.set_xlabel("step")
    figure.savefig(out, dpi=90)


def main() -> None:
    """Command line of the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("log.png"))
    arguments = parser.parse_args()
    plot(arguments.log, arguments.out)


if __name__ == "__main__":
    main()
