"""Files that Polytalk carries, and the one way to them: `asset(name)`."""

from __future__ import annotations

from pathlib import Path

from polytalk.errors import PolytalkError

EMBEDDED = Path(__file__).parent
"""Models that come with Polytalk, one folder each."""
INDEX_NAME = "model_index.json"
"""The file that makes a folder a model: its components, and how it is run."""


def asset(*parts: str) -> Path:
    """The path of a carried file, such as `asset("voices", "am_michael.f16")`."""
    return EMBEDDED.joinpath(*parts)


def embedded_models() -> list[str]:
    """Names of the models that come with Polytalk."""
    return sorted(path.parent.name for path in EMBEDDED.glob(f"*/{INDEX_NAME}"))


def model_folder(model: str) -> Path:
    """The folder of a model that comes with Polytalk.

    Raises:
        PolytalkError: there is no such model.
    """
    folder = EMBEDDED / model
    if model and (folder / INDEX_NAME).is_file():
        return folder
    names = ", ".join(embedded_models()) or "none"
    raise PolytalkError("model", f"{model!r} does not come with Polytalk", f"Embedded here: {names}.")
