"""Names in files that optimum-quanto wrote: `X.weight._data` (int8) and `X.weight._scale` in place of `X.weight`.

A map in JSON says how each layer was quantised. Beside the weights lie scales of activations, which are 1 where none
were quantised.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from polytalk.errors import PolytalkError

DATA, SCALE = ".weight._data", ".weight._scale"
"""Endings of the integers (out, in) and of their scales (out, 1)."""
ACTIVATION_SCALES = (".input_scale", ".output_scale")
"""Endings of what is not needed when weights alone are quantised."""


def is_quanto(names: Iterable[str]) -> bool:
    """Whether tensors of these names were written by optimum-quanto."""
    return any(name.endswith(DATA) for name in names)


def quantized_layers(names: Iterable[str], source: str) -> list[str]:
    """Layers with quantised weights.

    Raises:
        PolytalkError: integers without scales.
    """
    present = set(names)
    layers = sorted(name.removesuffix(DATA) for name in present if name.endswith(DATA))
    for layer in layers:
        if layer + SCALE not in present:
            problem = f"tensor {layer}{DATA} has no {layer}{SCALE}"
            raise PolytalkError(source, problem, "The file is not whole; download it again.")
    return layers


def read_map(path: Path) -> dict[str, dict[str, str]]:
    """The map of a quantised file: layer -> {"weights": "qint8", "activations": "none"}.

    Raises:
        PolytalkError: not such a map, or one of a format that is not read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
            raise ValueError("not an object of objects")
    except (OSError, ValueError) as error:
        raise PolytalkError(
            str(path), f"no quantisation map ({error})", "Give the map that came with the file."
        ) from None
    for layer, entry in content.items():
        if entry.get("weights") != "qint8" or entry.get("activations", "none") != "none":
            problem = f"layer {layer} has weights {entry.get('weights')!r}, activations {entry.get('activations')!r}"
            remedy = 'Only weights "qint8" with activations "none" are read; use that file.'
            raise PolytalkError(str(path), problem, remedy)
    return content


def check_map(layers: Iterable[str], mapped: Mapping[str, object], source: str) -> None:
    """Compare the file's quantised layers with the map's.

    Raises:
        PolytalkError: they differ.
    """
    for problem, names in (
        ("the map names layers that are not in the file", sorted(set(mapped) - set(layers))),
        ("the file has layers that are not in the map", sorted(set(layers) - set(mapped))),
    ):
        if names:
            raise PolytalkError(source, f"{problem}: {', '.join(names[:3])}", "Give the map that came with the file.")
