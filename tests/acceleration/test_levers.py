"""Every lever alone and in pairs on a tiny random model of the released family, the whole pipeline at work."""

from pathlib import Path

import pytest
from lever_cases import EXACT, LEVERS, PAIRS, LeverBench, document, relative

QUICK = {"LoRA", "int8", "layer-wise casting", "group offload", "passes in turn", "TeaCache", "FirstBlockCache"}
"""Levers of which every pair is among the quick tests; `make test-slow` runs all pairs."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return LeverBench(tmp_path_factory.mktemp("levers"))


def check(bench, levers, people=2):
    """Against the same levers less the exact ones; lossy ones against none of them, within what they may lose."""
    base = tuple(lever for lever in levers if lever.changes_scene)
    lossy = tuple(lever for lever in levers if not lever.changes_scene and lever.tolerance > EXACT)
    exact = len(lossy) + len(base) < len(levers)
    # the compiler needs one graph where all predictions hear everybody, two with guidance of the sound
    options = bench.options(levers)
    in_turn = options.chunks_branches
    scale = 1.0 if options.compile and not in_turn else 2.0
    found = bench.result(levers, people, scale)
    # predictions that run as one call are left out together, where FirstBlockCache would else decide for each
    if exact and not (in_turn and options.step_cache == "firstblock"):
        wanted = bench.result(base + lossy, people, scale)
        for name in ("latents", "video"):
            assert relative(found[name], wanted[name]) <= EXACT, name
    if lossy:
        wanted = bench.result(base, people, scale)
        assert 0 < relative(found["latents"], wanted["latents"]) <= sum(lever.tolerance for lever in lossy)


@pytest.mark.parametrize("lever", LEVERS, ids=lambda lever: lever.name)
def test_alone(bench, lever):
    check(bench, (lever,))


def case(pair):
    names = {lever.name for lever in pair}
    marks = [] if names <= QUICK or names == {"LoRA", "compile"} else [pytest.mark.slow]
    return pytest.param(pair, id="+".join(lever.name for lever in pair), marks=marks)


@pytest.mark.parametrize("pair", [case(pair) for pair in PAIRS])
def test_in_pairs(bench, pair):
    check(bench, pair)


@pytest.mark.parametrize("people", [1, 3])
def test_many_at_once_for_any_number_of_people(bench, people):
    names = {"LoRA", "int8", "TeaCache", "group offload", "attention backend"} | ({"compile"} if people > 1 else set())
    check(bench, tuple(lever for lever in LEVERS if lever.name in names), people)


def test_the_table_in_the_docs_is_current():
    written = Path(__file__).parents[2] / "docs" / "levers.md"
    assert written.read_text(encoding="utf-8") == document(), "run: python tests/lever_cases.py > docs/levers.md"
