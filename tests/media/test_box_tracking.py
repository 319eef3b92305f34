"""Boxes stay on what they were put around."""

import numpy as np
import pytest

from polytalk.media.tracking import BoxTracker


def scene_with(places, size=40, height=96, width=160, seed=0):
    """A wall and a textured square at each (x, y); the square's lower third changes from frame to frame."""
    rng = np.random.default_rng(seed)
    wall = np.kron(rng.integers(0, 255, (height // 8, width // 8, 3)), np.ones((8, 8, 1)))
    face = np.kron(rng.integers(0, 255, (size // 8, size // 8, 3)), np.ones((8, 8, 1)))
    frames = []
    for number, (x, y) in enumerate(places):
        frame = wall.copy()
        frame[y : y + size, x : x + size] = face
        frame[y + 28 : y + 34, x + 12 : x + 28] = 60 * (number % 4)  # a mouth
        frames.append(frame.astype(np.uint8))
    return np.stack(frames)


def follow(frames, boxes):
    tracker = BoxTracker(frames[0], boxes)
    return np.stack([np.asarray(boxes, float), *(tracker.follow(frame) for frame in frames[1:])])


def test_a_box_follows_what_moves_and_keeps_its_size():
    t = np.arange(40)
    places = np.stack([60 + 30 * np.sin(t / 9), 25 + 10 * np.cos(t / 7)], axis=1).round().astype(int)
    tracks = follow(scene_with(places), np.array([[*places[0], *(places[0] + 40)]], float))
    assert np.abs(tracks[:, 0, :2] - places).max() < 2.5
    np.testing.assert_allclose(tracks[..., 2:] - tracks[..., :2], 40, atol=1e-9)


def test_a_box_on_what_is_still_stays_and_people_do_not_exchange():
    places = [(100 - 2 * i, 30) for i in range(20)]
    frames = scene_with(places)
    tracks = follow(frames, np.array([[0.0, 0, 40, 40], [100, 30, 140, 70]]))
    assert np.abs(tracks[:, 0] - tracks[0, 0]).max() < 1.5
    assert tracks[-1, 1, 0] == pytest.approx(62, abs=2.5)


def test_what_is_hidden_waits():
    frames = scene_with([(60, 30)] * 6)
    frames[2:4] = np.random.default_rng(5).integers(0, 255, frames[2:4].shape)
    tracks = follow(frames, np.array([[60.0, 30, 100, 70]]))
    assert np.abs(tracks - tracks[0]).max() < 1.5


@pytest.mark.parametrize("box", [[-20.0, -10, 30, 40], [150, 90, 170, 100], [3, 3, 3.5, 3.5]])
def test_boxes_beyond_the_edge_and_tiny_ones(box):
    tracks = follow(scene_with([(60, 30)] * 3), np.array([box]))
    assert np.isfinite(tracks).all()
