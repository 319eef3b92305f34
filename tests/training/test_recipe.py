"""Mini's recipe runs from one end to the other: every stage on a few clips, for two steps a phase."""

import dataclasses
from pathlib import Path

import pytest

from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.synthetic.speech.bank import build
from polytalk.training.config import STAGES, read_config
from polytalk.training.export import assemble

MINI = Path(__file__).parents[2] / "configs" / "mini"


def small(config, folder: Path):
    """The same settings on four clips a pool, two pools a phase, for two steps; below the folder."""

    def within(path):
        return None if path is None else str(folder / path)

    def pool(one):
        scene = {**one.scene, "num_frames": min(9, one.scene["num_frames"])}
        voices = {"voices": within(one.voices)} if hasattr(one, "voices") else {}
        return dataclasses.replace(one, clips=4, workers=2, folder=within(one.folder), scene=scene, **voices)

    named = [name for name in ("out", "init", "autoencoder", "speech", "teacher", "voices") if hasattr(config, name)]
    paths = {name: within(getattr(config, name)) for name in named}
    loop = dataclasses.replace(config.loop, steps=2, validate_every=2)
    changes = {**paths, "loop": loop}
    if hasattr(config, "pool"):
        changes |= {"pool": pool(config.pool), "batch": 2, "size": 64}
    if hasattr(config, "frames"):
        changes["frames"] = min(17, config.frames)
    if hasattr(config, "tasks"):
        tasks = [dataclasses.replace(task, pool=pool(task.pool), batch=2) for task in config.tasks[-2:]]
        changes |= {"tasks": tuple(tasks), "compile": False, "validation_scenes": 1}
    return dataclasses.replace(config, **changes)


@pytest.mark.slow
def test_the_recipe_makes_a_model(tmp_path):
    build(tmp_path / "runs" / "voices", 0.5, sources=["formant"])
    for name, stage in STAGES.items():
        _, phases = read_config(MINI / f"{name}.toml")
        for config in phases:
            weights = stage.train(small(config, tmp_path))
            assert (Path(weights).parent / stage.onward).is_file()
        assert weights == tmp_path / "runs" / "mini" / name / "model.safetensors"
    made = [
        tmp_path / "runs" / "mini" / name / "model.safetensors" for name in ("autoencoder", "speech", "distillation")
    ]
    assert isinstance(assemble(*made), MultiTalkPipeline)
