"""What people do unasked: rates, reproducibility, and the signal that tells a network of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk.motion.idle import (
    BLINKS_PER_SECOND,
    CHANNELS,
    FPS,
    GAZE_SHIFTS_PER_SECOND,
    idle_motion,
    idle_motions,
    pose_signal,
)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(1, 120), st.integers(1, 120), st.floats(0, 1))
def test_longer_videos_begin_like_shorter_ones(seed, short, more, amount):
    brief, long = (idle_motion(seed, 0, count, amount) for count in (short, short + more))
    for name, values in brief.items():
        assert np.array_equal(values, long[name][:short]), name


def test_rates_are_those_of_people():
    seconds = 4000
    tracks = idle_motion(3, 1, int(seconds * FPS), 0.5, towards=1.0)
    blinks = (np.diff((tracks["blink"] > 0.9).astype(int)) > 0).sum() / seconds
    assert blinks == pytest.approx(BLINKS_PER_SECOND, rel=0.1)
    shifts = (np.diff(tracks["gaze_x"]) != 0).sum() / seconds
    assert shifts == pytest.approx(GAZE_SHIFTS_PER_SECOND, rel=0.1)
    assert tracks["gaze_x"].mean() == pytest.approx(0.175, abs=0.05)


def test_people_differ_and_amount_scales_their_motion():
    first, second = (idle_motion(0, person, 200, 0.5)["dx"] for person in (0, 1))
    assert np.abs(first - second).max() > 0.01
    assert np.allclose(idle_motion(0, 0, 200, 1.0)["dx"], 2 * first)
    assert not idle_motion(0, 0, 200, 0.0)["yaw"].any()


def test_the_signal_tells_changes_since_the_picture_but_blinks_as_they_are():
    tracks = idle_motion(5, 0, 100, 0.6)
    signal = pose_signal(tracks, origin=30)
    moved = [CHANNELS.index(name) for name in ("dx", "yaw", "gaze_x", "scale")]
    assert not signal[30, moved].any()
    assert signal[:, moved].any(axis=0).all()
    assert np.array_equal(signal[:, CHANNELS.index("blink")], tracks["blink"].astype(np.float32))
    assert (signal[:, 0] == 1).all()


def test_a_clip_is_told_its_part_of_the_video():
    places = np.array([10.0, 2.0])
    tracks = idle_motions(7, places, 90, 0.4)
    whole, part = (np.stack([pose_signal(each, 12, span) for each in tracks]) for span in (None, range(40, 73)))
    assert part.shape == (2, 33, len(CHANNELS))
    assert np.array_equal(whole[:, 40:73], part)
    assert tracks[0]["gaze_x"].mean() < tracks[1]["gaze_x"].mean()  # the one on the right looks left
    assert len(idle_motions(7, np.array([1.0]), 9, 0.4)) == 1
