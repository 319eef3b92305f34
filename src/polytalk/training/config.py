"""Training configs: one TOML file per stage, checked field by field."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from polytalk.errors import PolytalkError

STAGES = ("autoencoder", "speech", "network", "distillation")


def stage_config(stage: str) -> type:
    """The config class of a stage."""
    if stage == "autoencoder":
        from polytalk.training.stages.autoencoder import AutoencoderConfig

        return AutoencoderConfig
    if stage == "speech":
        from polytalk.training.stages.speech import SpeechConfig

        return SpeechConfig
    if stage == "network":
        from polytalk.training.stages.network import NetworkConfig

        return NetworkConfig
    if stage == "distillation":
        from polytalk.training.stages.distillation import DistillationConfig

        return DistillationConfig
    raise PolytalkError("stage", f"{stage!r} is no training stage", f"one of {', '.join(STAGES)}")


def read_config(path: Path) -> tuple[str, Any]:
    """Stage name and its config (a frozen dataclass) from a TOML file with a key ``stage``."""
    try:
        data = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise PolytalkError("--config", f"{path} does not exist", "see configs/ for examples") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise PolytalkError(str(path), f"is no TOML file ({error})", "see configs/ for examples") from None
    stage = str(data.pop("stage", ""))
    cls = stage_config(stage)
    refuse_unknown(data, cls, path.name)
    try:
        return stage, TypeAdapter(cls).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise PolytalkError(f"{path.name}: {field}", first["msg"], "see the field's line in its class") from None


def refuse_unknown(data: dict[str, Any], cls: type, where: str) -> None:
    """Raise for keys that are no field of the dataclass, at any depth."""
    hints = typing.get_type_hints(cls)
    for key, value in data.items():
        if key not in hints:
            raise PolytalkError(f"{where}: {key}", "unknown field", f"one of {', '.join(sorted(hints))}")
        inner = [t for t in (hints[key], *typing.get_args(hints[key])) if dataclasses.is_dataclass(t)]
        if inner:
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    refuse_unknown(item, typing.cast(type, inner[0]), f"{where}: {key}")


def run_config(path: Path) -> Path:
    """Run the stage that a config file describes; returns the file of the finished weights."""
    stage, config = read_config(path)
    if stage == "autoencoder":
        from polytalk.training.stages.autoencoder import train
    elif stage == "speech":
        from polytalk.training.stages.speech import train  # type: ignore[assignment]
    elif stage == "distillation":
        from polytalk.training.stages.distillation import train  # type: ignore[assignment]
    else:
        from polytalk.training.stages.network import train  # type: ignore[assignment]
    return train(config)
