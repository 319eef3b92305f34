"""Characters: the mouth drawn is the mouth told, boxes hold what they should, styles stay apart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from polytalk.synthetic.characters.character import Pose
from polytalk.synthetic.characters.registry import SOURCES
from polytalk.synthetic.characters.vector.kit import STYLES, raster

VECTOR = [f"{style} {kind}" for style in STYLES for kind in ("person", "animal")]
HEAD = Pose(x=100.0, y=95.0, size=130.0)


def drawn(who, pose: Pose) -> np.ndarray:
    """Colours (200, 200, 3) as int and alpha of somebody on nothing."""
    pixels = np.zeros((200, 200, 4), np.uint8)
    surface = raster(pixels)
    who.draw(surface.getCanvas(), pose)
    surface.flushAndSubmit()
    return pixels.astype(int)


def posed(**changes) -> Pose:
    return Pose(**{**HEAD.__dict__, **changes})


def mouth_pixels(who, pose: Pose) -> np.ndarray:
    left, top, right, bottom = (round(side) for side in who.geometry(pose).mouth)
    return drawn(who, pose)[top:bottom, left:right]


@pytest.mark.parametrize("name", VECTOR)
def test_what_is_open_grows_with_the_opening(name: str) -> None:
    """The interior is whatever the closed mouth does not show in the box; it must grow steadily and plainly."""
    for seed in range(4):
        who = SOURCES[name](np.random.default_rng(seed))
        shut = mouth_pixels(who, posed())
        sizes = []
        for opening in (0.1, 0.25, 0.4, 0.6, 0.8, 1.0):
            frame = mouth_pixels(who, posed(opening=opening))
            sizes.append(int((np.abs(frame - shut).sum(-1) > 45).sum()))
        assert all(later > earlier for earlier, later in pairwise(sizes)), (name, seed, sizes)
        assert sizes[-1] > 120


@pytest.mark.parametrize("name", VECTOR)
def test_darkness_grows_with_the_opening(name: str) -> None:
    for seed in range(4):
        who = SOURCES[name](np.random.default_rng(seed))
        # The dark interior, and the line around mouths without lips, are darker than any skin.
        limit = _luma(np.array([part / 255 for part in _inside(who)])) + 0.13
        counts = []
        for opening in (0.15, 0.3, 0.45, 0.6, 0.8, 1.0):
            frame = mouth_pixels(who, posed(opening=opening))[..., 2::-1]
            counts.append(int((_luma(frame / 255) < limit).sum()))
        assert all(later > earlier for earlier, later in pairwise(counts)), (name, seed, counts)


def _luma(colours: np.ndarray) -> np.ndarray:
    return colours @ np.array([0.299, 0.587, 0.114])


def _inside(who) -> tuple[int, int, int]:
    colour = who.mouth.inside.getColor()
    return (colour >> 16) & 255, (colour >> 8) & 255, colour & 255


@pytest.mark.parametrize("name", VECTOR)
def test_boxes_follow_the_pose(name: str) -> None:
    who = SOURCES[name](np.random.default_rng(2))
    for pose in (
        HEAD,
        posed(yaw=0.8, opening=1.0),
        posed(x=60.0, y=120.0, size=70.0, roll=0.3, pitch=0.7, opening=0.6),
    ):
        geometry = who.geometry(pose)
        left, top, right, bottom = geometry.mouth
        assert geometry.face[0] < left < right < geometry.face[2]
        assert geometry.face[1] < top
        quiet = drawn(who, pose)
        moved = drawn(who, Pose(**{**pose.__dict__, "width": 0.0 if pose.opening else 1.0, "rounding": 0.9}))
        rows, columns = np.nonzero(np.abs(quiet - moved).sum(-1) > 30)
        assert len(rows) > 5
        inside = (rows >= top - 2) & (rows <= bottom + 2) & (columns >= left - 2) & (columns <= right + 2)
        assert inside.mean() > 0.97


def test_wide_mouths_are_wider_than_round_ones() -> None:
    who = SOURCES["flat person"](np.random.default_rng(0))
    spread = who.mouth.half_width(posed(width=1.0))
    assert spread > 1.3 * who.mouth.half_width(posed(width=0.5, rounding=0.9))
    assert spread <= who.mouth.reach()[0]


@pytest.mark.parametrize("name", VECTOR)
def test_descriptions_are_noun_phrases_of_their_own(name: str) -> None:
    phrases = {SOURCES[name](np.random.default_rng(seed)).describe() for seed in range(12)}
    assert len(phrases) > 8
    assert all(phrase.startswith(("a ", "an ")) and "  " not in phrase and " a a" not in phrase for phrase in phrases)


def test_a_raised_hand_shows() -> None:
    who = SOURCES["painted person"](np.random.default_rng(1))
    for side in (-1.0, 1.0):
        change = np.abs(drawn(who, HEAD) - drawn(who, posed(hand=1.0, hand_side=side))).sum(-1) > 20
        _, columns = np.nonzero(change)
        assert change.sum() > 200
        assert np.sign(columns.mean() - 100) == side
