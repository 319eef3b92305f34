"""A model folder's index: its components, and how it is run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from polytalk.assets import INDEX_NAME
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError


@dataclass(frozen=True)
class ModelIndex:
    """What a model folder says of itself."""

    components: dict[str, str]
    """Name of a component (and of its folder) -> name of its class."""
    config: PipelineConfig
    """How it is run."""

    @classmethod
    def read(cls, folder: Path) -> ModelIndex:
        """Read the folder's index.

        Raises:
            PolytalkError: missing or not a model index.
        """
        path = folder / INDEX_NAME
        remedy = f'It is a JSON object with "components" and "defaults"; {INDEX_NAME} of mini is an example.'
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PolytalkError("model", f"{path} cannot be read ({error})", remedy) from None
        if not isinstance(content, dict) or not isinstance(content.get("components"), dict):
            raise PolytalkError("model", f"{path} lists no components", remedy)
        return cls(content["components"], PipelineConfig.from_dict(content.get("defaults", {})))

    def write(self, folder: Path) -> None:
        """Write the folder's index."""
        content = {"components": self.components, "defaults": dataclasses.asdict(self.config)}
        (folder / INDEX_NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def released_config(name: str, flow_shift: float | None = None) -> PipelineConfig:
    """How the released model is run: 480p, or 720p where the folder's name or its scheduler's shift says so.

    Args:
        name: of the folder or on the hub.
        flow_shift: of the Diffusers layout's scheduler, 3 for 480p and 5 for 720p (for video without sound).
    """
    large = "720" in Path(name).name or (flow_shift is not None and flow_shift >= 5)
    # a batch of guidance's predictions gains nothing at this size and takes three times the memory
    return PipelineConfig(
        shift=11.0 if large else 7.0,
        size_class="720p" if large else "480p",
        trained_voices=2,
        batch_guidance=False,
    )
