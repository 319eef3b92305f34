"""Training configs: the shipped ones are valid, and what is wrong is named."""

from pathlib import Path

import pytest

from polytalk.errors import PolytalkError
from polytalk.training.config import STAGES, read_config

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_shipped_configs_are_valid(path):
    stage, config = read_config(path)
    assert stage in STAGES
    assert config.loop.steps > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stage = 'painting'", "stage: 'painting' is no training stage"),
        ("stage = 'speech'\nbach = 3", "bach: unknown field"),
        ("stage = 'speech'\n[loop]\nstep = 3", "step: unknown field"),
        ("stage = 'speech'\nbatch = 'many'", "batch"),
        ("stage = ", "is no TOML file"),
        ("stage = 'network'", "tasks"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(PolytalkError, match=message):
        read_config(path)


def test_missing_config_is_named(tmp_path):
    with pytest.raises(PolytalkError, match="--config"):
        read_config(tmp_path / "none.toml")
