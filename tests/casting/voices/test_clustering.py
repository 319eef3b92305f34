"""Embeddings to voices."""

from __future__ import annotations

import numpy as np
import pytest

from polytalk.casting.voices.clustering import ClusterConfig, find_clusters


def voices(counts: list[int], spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """So many points around as many random directions; points and their true places."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((len(counts), 64))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    labels = np.repeat(np.arange(len(counts)), counts)
    points = centres[labels] + spread / 8 * rng.standard_normal((len(labels), 64))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("num", [3, None])
def test_voices_are_found(num: int | None) -> None:
    points, labels = voices([60, 40, 25], 0.6)
    means = find_clusters(points, 0.2, num)
    assert means.shape == (3, 64)
    np.testing.assert_allclose(np.linalg.norm(means, axis=1), 1, atol=1e-5)
    nearest = (points @ means.T).argmax(axis=1)
    assert all(len(set(nearest[labels == label])) == 1 for label in range(3))


def test_one_voice_is_one() -> None:
    points, _ = voices([80], 0.7)
    assert len(find_clusters(points, 0.2)) == 1


def test_a_moment_is_no_voice_unless_the_number_says_so() -> None:
    points, _ = voices([80, 4], 0.5)
    assert len(find_clusters(points, 0.2)) == 1
    assert len(find_clusters(points, 0.2, 2)) == 2


def test_who_is_heard_briefly_must_differ_more() -> None:
    config = ClusterConfig()
    likeness = np.array([[1, 0.6], [0.6, 1]])
    assert config.are_different(likeness, np.array([30.0, 20.0]))
    assert not config.are_different(likeness, np.array([30.0, 1.5]))
    assert not config.are_different(np.array([[1, 0.8], [0.8, 1]]), np.array([30.0, 20.0]))


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_points_than_voices(count: int) -> None:
    points, _ = voices([1] * count, 0.1)
    assert len(find_clusters(points, 0.2, 4)) == count


def test_a_long_recording_needs_no_memory_for_every_pair() -> None:
    points, _ = voices([9000, 5000], 0.6)
    means = find_clusters(points, 0.2)
    assert len(means) == 2
    nearest = (points @ means.T).argmax(axis=1)
    assert (nearest == nearest[0]).sum() in (9000, 5000)
