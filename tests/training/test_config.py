"""Training recipes: mini's are valid and stand by themselves, and what is wrong is named."""

import itertools
from pathlib import Path

import pytest

from polytalk.errors import PolytalkError
from polytalk.synthetic.seeds import POOLS, SEEDS
from polytalk.training.config import STAGES, read_config

MINI = Path(__file__).parents[2] / "configs" / "mini"


def recipes() -> dict[str, list]:
    return {path.stem: read_config(path)[1] for path in sorted(MINI.glob("*.toml"))}


def pools_of(configs: list) -> list:
    return [task.pool for config in configs for task in getattr(config, "tasks", ())] + [
        config.pool for config in configs if hasattr(config, "pool")
    ]


def test_there_is_one_recipe_for_each_stage():
    assert {path.stem: read_config(path)[0] for path in MINI.glob("*.toml")} == {name: name for name in STAGES}


def test_each_phase_begins_where_the_one_before_ended():
    for name, configs in recipes().items():
        assert configs[0].init is None
        for before, after in itertools.pairwise(configs):
            assert after.init == f"{before.out}/{STAGES[name].onward}"
        assert len({config.out for config in configs}) == len(configs)
        assert configs[-1].out == f"runs/mini/{name}"


def test_what_a_stage_needs_an_earlier_one_makes():
    made = {f"{configs[-1].out}/model.safetensors" for configs in recipes().values()}
    (student,) = recipes()["distillation"]
    for config in (*recipes()["network"], student):
        assert {config.autoencoder, config.speech} <= made
    assert student.teacher in made


def test_a_phase_keeps_what_it_does_not_change():
    first, *_, last = recipes()["network"]
    assert (first.mouth_weight, last.mouth_weight) == (15.0, 20.0)
    assert last.motion_blur == 0.6
    assert first.loop.weight_decay == last.loop.weight_decay == 0.01
    (student,) = recipes()["distillation"]
    assert student.tasks == last.tasks
    assert student.decoded_weight == last.decoded_weight
    assert student.loop.weight_decay == 0.0
    assert student.init is None


def test_every_pool_has_the_seeds_of_the_table_and_no_more():
    used = set()
    for configs in recipes().values():
        for pool in pools_of(configs):
            name = Path(pool.folder).name
            used.add(name)
            assert pool.seed == POOLS[name].start
            assert pool.clips <= len(POOLS[name])
    assert used == set(POOLS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stage = 'painting'", "stage: 'painting' is no training stage"),
        ("stage = 'speech'\nbach = 3", "bach: unknown field"),
        ("stage = 'speech'\n[loop]\nstep = 3", "step: unknown field"),
        ("stage = 'speech'\nbatch = 'many'", "batch"),
        ("stage = ", "is no TOML file"),
        ("stage = 'network'", "tasks"),
        ("stage = 'network'\n[[phases]]\ntasks = [{ pool = 'two' }]", "pool: there is no 'two'"),
        ("stage = 'autoencoder'\npool = 'two'\n[pools.two]\nkind = 'odd'", "kind: there is no 'odd'"),
        ("stage = 'autoencoder'\npool = 'mine'\n[pools.mine]\nclips = 3", "mine: seed: None is not free"),
        ("stage = 'autoencoder'\n[pool]\nfolder = 'a'\nclips = 3\nseed = 1000000000", "seed: 1000000000 is not free"),
        ("stage = 'autoencoder'\npool = 'pixels'\n[pools.pixels]\nclips = 20000000", "pixels has 10,000,000"),
        ("stage = 'speech'\nlike = 'none.toml'", "none.toml does not exist"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(PolytalkError, match=message):
        read_config(path)


def test_pools_of_ones_own_take_seeds_that_nobody_else_has(tmp_path):
    first = SEEDS["other pools"].start
    path = tmp_path / "c.toml"
    path.write_text(f"stage = 'autoencoder'\nout = 'a/b'\npool = 'mine'\n[pools.mine]\nclips = 3\nseed = {first}")
    _, (config,) = read_config(path)
    assert (config.pool.seed, config.pool.folder) == (first, str(Path("a/pools/mine")))


def test_missing_config_is_named(tmp_path):
    with pytest.raises(PolytalkError, match="--config"):
        read_config(tmp_path / "none.toml")
