"""Whose seeds are whose: one table, so that nothing is measured on scenes that something was trained on."""

from __future__ import annotations

from polytalk.errors import PolytalkError

_MILLION = 1_000_000


def _millions(spans: dict[str, tuple[int, int]]) -> dict[str, range]:
    return {name: range(first * _MILLION, last * _MILLION) for name, (first, last) in spans.items()}


POOLS = _millions({
    "one_128": (0, 10), "two_17": (10, 20), "two_33": (20, 30), "one_192": (30, 40), "two_17b": (40, 50),
    "two_33b": (50, 60), "three_17": (60, 70), "four_17": (70, 80), "two_192": (80, 90), "one_192b": (90, 100),
    "two_17c": (110, 120), "two_33c": (120, 130), "three_17c": (130, 140), "four_17c": (140, 150),
    "posed_two_17": (210, 220), "posed_two_33": (220, 230), "posed_one_17": (230, 240), "posed_one_33": (240, 250),
    "posed_three_17": (250, 260), "posed_four_17": (260, 265), "posed_four_wide": (265, 270),
    "posed_two_192": (270, 280), "posed_one_192": (280, 290), "posed_two_17b": (290, 295), "posed_two_33b": (295, 300),
    "steady_two_17": (410, 420), "steady_two_33": (420, 430), "steady_one_17": (430, 440), "steady_four_17": (440, 450),
    "steady_three_17": (450, 460), "steady_two_192": (460, 470), "steady_one_192": (470, 480),
    "steady_one_33": (480, 490), "steady_four_wide": (490, 495), "steady_walk_33": (495, 500),
    "pixels": (500, 510), "pixels_mouths": (510, 520),
    "acts_two_33": (520, 530), "acts_one_17": (530, 540), "acts_four_17": (540, 550), "acts_one_192": (550, 560),
    "acts_two_17": (560, 570),
    "fresh_two_17": (610, 620), "fresh_two_33": (620, 630), "fresh_one_17": (630, 640), "fresh_four_17": (640, 650),
    "fresh_three_17": (650, 660),
})  # fmt: skip
"""The clips that mini is trained on, by the pool's name in configs/mini."""

SEEDS = POOLS | _millions({
    "mouth reader": (570, 580), "face readers": (600, 610), "face points": (680, 690), "finder": (700, 720),
    "calibration": (720, 730), "other pools": (800, 900), "validation": (900, 1_000), "test": (1_000, 10_000),
})  # fmt: skip
"""Everybody's seeds: mini's pools; what the readers, the face points and the finder of people in drawings are trained
on; what thresholds are set with; pools of recipes other than mini's; what a run in progress is looked at with; and what
is measured on."""

HELD_OUT_SEED = SEEDS["test"].start
"""Seeds of scenes from here on are for measuring only. Measures begin at different places, and may share scenes."""
READERS_TEST_SEED, FACES_TEST_SEED, CASTING_TEST_SEED = (_MILLION * first for first in (1_400, 1_600, 8_000))


def seeds_of(owner: str, count: int, skip: int = 0) -> range:
    """So many of an owner's seeds, after the first `skip`.

    Raises:
        PolytalkError: there is no such owner, or it has not so many.
    """
    if owner not in SEEDS:
        raise PolytalkError("seeds", f"nobody is called {owner!r}", "Add it to polytalk.synthetic.seeds.")
    if skip < 0 or count < 0 or skip + count > len(SEEDS[owner]):
        raise PolytalkError("seeds", f"{owner} has {len(SEEDS[owner]):,}, not {skip + count:,}", "Take fewer.")
    return SEEDS[owner][skip : skip + count]
