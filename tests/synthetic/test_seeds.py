"""Nobody's seeds are somebody else's, so that nothing is measured on what was trained on."""

from itertools import combinations

import pytest

from polytalk.errors import PolytalkError
from polytalk.evaluation.scenes.held_out import held_out_clips
from polytalk.synthetic.seeds import (
    CASTING_TEST_SEED,
    FACES_TEST_SEED,
    HELD_OUT_SEED,
    POOLS,
    READERS_TEST_SEED,
    SEEDS,
    seeds_of,
)


def test_no_two_owners_share_a_seed():
    for (name, one), (other, two) in combinations(SEEDS.items(), 2):
        assert one.stop <= two.start or two.stop <= one.start, f"{name} and {other}"
        assert len(one) > 0, name


def test_everybody_who_draws_is_in_the_table():
    purposes = {"mouth reader", "face readers", "face points", "finder", "calibration", "validation", "test"}
    assert set(SEEDS) == set(POOLS) | purposes | {"other pools"}


def test_measures_keep_the_seeds_of_the_published_figures():
    assert HELD_OUT_SEED == 1_000_000_000
    assert (READERS_TEST_SEED, FACES_TEST_SEED, CASTING_TEST_SEED) == (1_400_000_000, 1_600_000_000, 8_000_000_000)
    # the largest seeds that `polytalk evaluate` takes
    for first in (HELD_OUT_SEED, FACES_TEST_SEED, CASTING_TEST_SEED):
        assert first + 100_000 * 9_999 + 99_999 in SEEDS["test"]


def test_scenes_of_a_run_in_progress_are_not_those_that_are_measured():
    first = SEEDS["validation"].start
    (clip,) = held_out_clips(1, people=1, num_frames=5, first_seed=first)
    assert clip.seed == first


def test_what_nobody_has_is_refused():
    assert seeds_of("finder", 3, 100_000) == range(700_100_000, 700_100_003)
    with pytest.raises(PolytalkError, match="nobody is called 'painter'"):
        seeds_of("painter", 1)
    with pytest.raises(PolytalkError, match="calibration has 10,000,000, not 10,000,001"):
        seeds_of("calibration", 1, 10_000_000)
