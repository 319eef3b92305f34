"""Training recipes: a TOML file for each stage, in which pools of clips are named once and phases follow each other.

```toml
stage = "network"
out = "runs/mine/network"

[kinds.still.scene]                      # what the clips of several pools have in common
motion = 0.1

[pools]                                  # lie in runs/mine/pools; their seeds are in polytalk.synthetic.seeds
two_17 = { kind = "still", clips = 3600, people = 2, scene = { num_frames = 17 } }

[[phases]]                               # goes on from the weights and the settings of the phase before
name = "first"
tasks = [{ pool = "two_17", batch = 12 }]
loop = { steps = 1000 }
```

`like = "network.toml"` begins with the settings of another file's last phase.
"""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from polytalk.errors import PolytalkError
from polytalk.synthetic.seeds import POOLS, SEEDS, seeds_of
from polytalk.training.stages import autoencoder, distillation, network, speech
from polytalk.training.validation import validation_figures

Values = dict[str, Any]


@dataclass(frozen=True)
class TrainingStage:
    """A kind of training."""

    config: type
    """Its settings."""
    train: Callable[[Any], Path]
    """Runs it; returns the file of the finished weights."""
    onward: str = "model.safetensors"
    """The weights, in the folder of a run, with which the next phase begins."""


def _train_network(config: network.NetworkStageConfig) -> Path:
    return network.train(config, validation_figures)


STAGES = {
    "autoencoder": TrainingStage(autoencoder.AutoencoderConfig, autoencoder.train),
    "speech": TrainingStage(speech.SpeechConfig, speech.train),
    "network": TrainingStage(network.NetworkStageConfig, _train_network, "raw.safetensors"),
    "distillation": TrainingStage(distillation.DistillationConfig, distillation.train, "raw.safetensors"),
}


def read_config(path: Path) -> tuple[str, list[Any]]:
    """Name of a stage, and the settings (frozen dataclasses) of its phases; the last one's weights are the stage's."""
    name, phases = _phases(path)
    return name, [_checked(values, STAGES[name].config, path.name) for values in phases]


def run_config(path: Path) -> Path:
    """Run the stage that a file describes, phase by phase; returns the file of the finished weights.

    What was finished or interrupted before is taken up again.
    """
    name, configs = read_config(path)
    weights = [STAGES[name].train(config) for config in configs]
    return weights[-1]


def _phases(path: Path) -> tuple[str, list[Values]]:
    """Name of the stage and the settings of every phase, pools in the place of their names."""
    try:
        data = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise PolytalkError("--config", f"{path} does not exist", "see configs/mini for examples") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise PolytalkError(str(path), f"is no TOML file ({error})", "see configs/mini for examples") from None
    stage = str(data.pop("stage", ""))
    if stage not in STAGES:
        raise PolytalkError("stage", f"{stage!r} is no training stage", f"one of {', '.join(STAGES)}")
    pools, kinds, named = (data.pop(key, {}) for key in ("pools", "kinds", "phases"))
    values: Values = {}
    if "like" in data:
        values = _phases(path.parent / str(data.pop("like")))[1][-1]
        values.pop("init", None)
    values = _merged(values, data)
    out, phases = Path(str(values.get("out", f"runs/{stage}"))), list[Values]()
    for number, phase in enumerate(named or [{}]):
        own = {key: value for key, value in phase.items() if key != "name"}
        folder = out / str(phase.get("name", number + 1)) if number + 1 < len(named) else out
        values = _merged(values, own, {"out": str(folder)})
        if phases:
            values["init"] = str(Path(phases[-1]["out"]) / STAGES[stage].onward)
        phases.append(_with_pools(values, pools, kinds, out.parent / "pools", path.name))
    return stage, phases


def _merged(*parts: Mapping[str, Any]) -> Values:
    """Later settings over earlier ones; tables are merged entry by entry."""
    values: Values = {}
    for part in parts:
        for key, value in part.items():
            known = values.get(key)
            values[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return values


def _with_pools(values: Values, pools: Values, kinds: Values, folder: Path, where: str) -> Values:
    """Settings in which every pool that is named stands itself."""

    def pool(name: Any) -> Any:
        if not isinstance(name, str):
            return _with_known_seeds(name, where)
        if name not in pools:
            raise PolytalkError(f"{where}: pool", f"there is no {name!r}", f"one of {', '.join(pools) or 'none'}")
        found = _of_kind(pools[name], kinds, where)
        found["folder"] = str(folder / name)
        if name in POOLS:
            found["seed"] = seeds_of(name, int(found.get("clips", 0))).start
        return _with_known_seeds(found, f"{where}: {name}")

    values = dict(values)
    if "pool" in values:
        values["pool"] = pool(values["pool"])
    if isinstance(values.get("tasks"), list):
        values["tasks"] = [{**task, "pool": pool(task["pool"])} if "pool" in task else task for task in values["tasks"]]
    return values


def _of_kind(pool: Values, kinds: Values, where: str) -> Values:
    """A pool, or a kind, with what it has of its kind."""
    pool = dict(pool)
    name = pool.pop("kind", pool.pop("like", None))
    if name is None:
        return pool
    if name not in kinds:
        raise PolytalkError(f"{where}: kind", f"there is no {name!r}", f"one of {', '.join(kinds) or 'none'}")
    return _merged(_of_kind(kinds[name], kinds, where), pool)


def _with_known_seeds(pool: Any, where: str) -> Any:
    """The pool, whose seeds are its own: those of the table, or some that the table leaves to everybody."""
    if not isinstance(pool, dict) or not isinstance(pool.get("clips", 0), int):
        return pool  # the check of the fields says what is wrong
    free = SEEDS["other pools"]
    first, clips = pool.get("seed"), max(1, pool.get("clips", 1))
    own = SEEDS.get(Path(str(pool.get("folder", ""))).name, free)
    if not isinstance(first, int) or first not in own or first + clips - 1 not in own:
        remedy = f"give seed, from {free.start:,} to {free.stop - clips:,}"
        raise PolytalkError(f"{where}: seed", f"{first} is not free for {clips:,} clips", remedy)
    return pool


def _checked(values: Values, cls: type, where: str) -> Any:
    refuse_unknown(values, cls, where)
    try:
        return TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise PolytalkError(f"{where}: {field}", first["msg"], "see the field's line in its class") from None


def refuse_unknown(data: Values, cls: type, where: str) -> None:
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
