"""Scores over time to turns, and turns to tracks."""

from __future__ import annotations

import numpy as np
import pytest

from polytalk.casting.found import VoiceTurn
from polytalk.casting.voices.turns import best_path, cut_tracks, overlaps, turns_of, voices_in_frames


def test_a_short_doubt_changes_nothing() -> None:
    scores = np.full((40, 2), 0.2)
    scores[:20, 0] = scores[20:, 1] = 0.8
    scores[10, 1] = 0.9
    path = best_path(scores)
    np.testing.assert_array_equal(path, [0] * 20 + [1] * 20)


def frames(path: list[int], quiet: slice = slice(0, 0), double: slice = slice(0, 0)) -> np.ndarray:
    speech = np.ones(len(path) * 5, bool)
    speech[quiet] = False
    both = np.zeros_like(speech)
    both[double] = True
    return voices_in_frames(np.array(path), speech, speech.astype(np.float32), both)


def test_a_change_moves_into_the_pause() -> None:
    active = frames([0] * 10 + [1] * 10, quiet=slice(57, 60))
    assert active[0, :57].all()
    assert not active[:, 57:60].any()
    assert active[1, 60:].all()
    assert not (active[0] & active[1]).any()


def test_an_overlap_belongs_to_both_neighbours() -> None:
    active = frames([0] * 10 + [1] * 10 + [2] * 10, double=slice(45, 55))
    np.testing.assert_array_equal(np.flatnonzero(active[0] & active[1]), np.arange(45, 55))
    assert not active[2, :100].any()


def test_an_overlap_inside_a_turn_takes_the_nearest_other() -> None:
    active = frames([0] * 4 + [1] * 20 + [2] * 40, double=slice(30, 40))
    assert active[0, 30:40].all()
    assert active[1, 30:40].all()


def test_an_overlap_of_one_voice_is_that_voice() -> None:
    active = frames([0] * 10, double=slice(20, 30))
    assert active.shape == (1, 50)
    assert active.all()


def test_turns_join_over_short_silence_and_count_from_the_first() -> None:
    active = np.zeros((3, 300), bool)
    active[2, 10:50] = active[2, 60:90] = True
    active[0, 100:150] = active[0, 200:250] = True
    turns = turns_of(active, 5.5)
    assert turns == (VoiceTurn(0, 0.2, 1.8), VoiceTurn(1, 2.0, 3.0), VoiceTurn(1, 4.0, 5.0))


def test_overlaps_of_three() -> None:
    turns = (VoiceTurn(0, 0, 2), VoiceTurn(1, 1, 4), VoiceTurn(2, 1.5, 3), VoiceTurn(0, 4, 5))
    assert overlaps(turns) == ((1, 3),)


def test_tracks_fade_around_turns() -> None:
    samples = np.ones(1000, np.float32)
    tracks = cut_tracks(samples, 1000, [VoiceTurn(0, 0.0, 0.3), VoiceTurn(1, 0.5, 1.2)], 2)
    np.testing.assert_array_equal(tracks[0, :300], 1)
    assert (np.diff(tracks[0, 300:320]) < 0).all()
    assert not tracks[0, 320:].any()
    assert not tracks[1, :480].any()
    assert tracks[1, 480:500].max() < 1
    assert tracks[1, 500:].min() == pytest.approx(1)
