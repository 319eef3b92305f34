"""Measures on arrays whose answers are known."""

import numpy as np
import pytest

from polytalk.errors import PolytalkError
from polytalk.evaluation.measures.metrics import (
    BackgroundPSNR,
    FaceAppearanceDistance,
    FaceSharpness,
    Flicker,
    SilentMotion,
    SyncMatrix,
    pearson,
    sync_matrix,
)


def tracks(people: int = 2, length: int = 40) -> np.ndarray:
    return np.random.default_rng(0).random((length, people)).astype(np.float32)


def test_pearson_of_known_tracks():
    track = tracks()[:, 0]
    assert pearson(0.3 * track + 0.1, track) == pytest.approx(1.0)
    assert pearson(-track, track) == pytest.approx(-1.0)
    assert pearson(np.full_like(track, 0.4), track) == 0.0
    assert np.isnan(pearson(track, np.full_like(track, 0.4)))
    assert np.isnan(pearson(track[:7], track[:7]))


def test_sync_matrix_uses_only_frames_in_which_the_voice_speaks():
    true = tracks()
    speaking = np.zeros(true.shape, bool)
    speaking[:20, 0], speaking[20:, 1] = True, True
    read = true.copy()
    read[~speaking] = 1 - read[~speaking]  # wrong wherever the own voice is silent
    matrix = sync_matrix(read, true, speaking)
    assert matrix[0, 0] == pytest.approx(1.0)
    assert matrix[1, 1] == pytest.approx(1.0)
    assert matrix[0, 1] == pytest.approx(np.corrcoef(read[20:, 0], true[20:, 1])[0, 1], abs=1e-6)


def test_sync_matrix_has_people_as_rows_and_voices_as_columns():
    true = tracks()
    read = np.stack([true[:, 1], true[:, 1]], axis=1)  # both mouths follow voice 1
    matrix = sync_matrix(read, true, np.ones(true.shape, bool))
    assert matrix[:, 1] == pytest.approx([1, 1])
    assert np.abs(matrix[:, 0]).max() < 0.6


def test_sync_matrix_refuses_tracks_of_different_lengths():
    with pytest.raises(PolytalkError, match="tracks"):
        sync_matrix(tracks()[:30], tracks(), np.ones((40, 2), bool))


def test_metric_counts_rows_and_wins():
    true, speaking = tracks(3), np.ones((40, 3), bool)
    metric = SyncMatrix(3)
    metric.update(true, true, speaking)
    metric.update(np.roll(true, 1, axis=1), true, speaking)
    found = metric.compute()
    assert (found["rows"], found["left_out"], found["diagonal"]) == (6, 0, 0.5)
    own = metric.matrix().diagonal()
    assert found["own"] == pytest.approx(own.mean())
    assert found["own"] > 0.4


def test_metric_leaves_out_and_counts_silent_voices():
    true, speaking = tracks(), np.ones((40, 2), bool)
    speaking[5:, 1] = False
    metric = SyncMatrix(2)
    metric.update(true, true, speaking)
    found = metric.compute()
    assert (found["rows"], found["left_out"], found["diagonal"]) == (1, 1, 1.0)
    assert found["own"] == pytest.approx(1.0)


def test_still_mouth_wins_no_row():
    metric = SyncMatrix(2)
    metric.update(np.full((40, 2), 0.5), tracks(), np.ones((40, 2), bool))
    assert metric.compute()["diagonal"] == 0.0
    assert metric.compute()["own"] == 0.0


def test_silent_motion_is_the_ratio_of_steps():
    speaking = np.zeros((80, 1), bool)
    speaking[:40] = True
    read = np.zeros((80, 1))
    read[1:40:2] = 0.8  # 0.8 up and down while speaking
    read[41::2] = 0.2
    metric = SilentMotion()
    metric.update(read, speaking)
    assert metric.compute() == pytest.approx(0.25)


def test_silent_motion_needs_motion_while_speaking():
    metric = SilentMotion()
    metric.update(np.zeros((40, 2)), np.ones((40, 2), bool))
    assert np.isnan(metric.compute())


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype(np.uint8)


BOXES = np.array([[[8.0, 8.0, 40.0, 40.0]]])


def test_sharpness_is_one_for_the_picture_and_falls_with_blur(picture):
    metric = FaceSharpness()
    metric.update(picture[None], picture, BOXES)
    assert metric.compute() == pytest.approx(1.0)
    soft = picture.astype(float)
    soft = (soft + np.roll(soft, 1, 0) + np.roll(soft, 1, 1) + np.roll(soft, (1, 1), (0, 1))) / 4
    metric.reset()
    metric.update(soft.astype(np.uint8)[None], picture, BOXES)
    assert 0.2 < metric.compute() < 0.7


def test_background_psnr_ignores_people(picture):
    people = np.zeros(picture.shape[:2], bool)
    people[8:40, 8:40] = True
    changed = picture.astype(int)
    changed[people] = 0
    changed[~people] += np.where(changed[~people] < 128, 10, -10)
    metric = BackgroundPSNR()
    metric.update(changed.astype(np.uint8)[None], picture, people)
    assert metric.compute() == pytest.approx(20 * np.log10(255 / 10))


def test_appearance_distance_is_zero_for_the_same_face_and_grows_with_tint(picture):
    metric = FaceAppearanceDistance()
    metric.update(picture[None], picture, BOXES)
    assert metric.compute() == pytest.approx(0.0)
    distances = []
    for shift in (20, 60):
        metric.reset()
        metric.update((picture // 2 + shift).astype(np.uint8)[None], picture // 2, BOXES)
        distances.append(metric.compute())
    assert 0 < distances[0] < distances[1] <= 1


def test_flicker_is_the_bend_of_each_pixel(picture):
    ramp = np.stack([np.full((4, 4, 3), 10 * t, np.uint8) for t in range(6)])
    metric = Flicker()
    metric.update(ramp)
    assert metric.compute() == pytest.approx(0.0)
    metric.reset()
    metric.update(np.stack([np.full((4, 4, 3), 10 * (t % 2), np.uint8) for t in range(6)]))
    assert metric.compute() == pytest.approx(20.0)
