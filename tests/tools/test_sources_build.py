"""Mesh tools that make the compact heads; the whole build runs where anny is installed (a minute: marked slow)."""

from __future__ import annotations

import importlib.util

import heads3d_build as build
import numpy as np
import pytest

from polytalk.errors import PolytalkError


def sphere(rings: int = 16, around: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of a unit sphere without its two polar caps."""
    latitude, longitude = np.meshgrid(
        np.linspace(-1.3, 1.3, rings), np.arange(around) * 2 * np.pi / around, indexing="ij"
    )
    vertices = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.sin(latitude), np.cos(latitude) * np.sin(longitude)], -1
    )
    index = np.arange(rings * around).reshape(rings, around)
    a, b = index[:-1], np.roll(index[:-1], -1, 1)
    c, d = np.roll(index[1:], -1, 1), index[1:]
    return vertices.reshape(-1, 3), np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    )


def test_decimation_keeps_shape_and_holes():
    vertices, faces = sphere()
    thin = build.decimate(vertices, faces, np.ones(len(vertices)), 150)
    assert len(np.unique(thin)) <= 150
    assert sorted(len(loop) > 3 for loop in build.border_loops(thin)) == [True, True]
    middle = vertices[thin].mean(axis=1)
    assert np.linalg.norm(middle, axis=1).min() > 0.85
    outward = np.einsum(
        "fd,fd->f",
        np.cross(vertices[thin[:, 1]] - vertices[thin[:, 0]], vertices[thin[:, 2]] - vertices[thin[:, 0]]),
        middle,
    )
    assert (outward > 0).all() or (outward < 0).all(), "no triangle is folded over"


def test_important_vertices_stay():
    vertices, faces = sphere()
    importance = np.where(vertices[:, 2] > 0.5, 50.0, 1.0)
    kept = np.unique(build.decimate(vertices, faces, importance.copy(), 200))
    assert (vertices[kept][:, 2] > 0.5).sum() > 0.85 * (vertices[:, 2] > 0.5).sum()


def test_components_and_border():
    vertices, faces = sphere()
    both = np.concatenate([faces, faces + len(vertices)])
    label = build.components(both)
    assert len(np.unique(label)) == 2
    assert (label[: len(faces)] == label[0]).all()
    assert [len(loop) for loop in build.border_loops(faces)] == [24, 24]


def test_sphere_sees_the_whole_sky_and_a_pit_does_not():
    vertices, faces = sphere(40, 60)
    normals = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    assert np.quantile(build.openness(vertices, faces, normals), 0.1) > 0.8
    # seen from inside, through the two holes only
    assert np.median(build.openness(vertices, faces, -normals)) < 0.5


def test_phenotypes_vary_and_repeat():
    people = build.phenotypes(12)
    assert people == build.phenotypes(12)
    assert {person.gender > 0.5 for person in people} == {True, False}
    assert all(abs(person.african + person.asian + person.caucasian - 1) < 1e-6 for person in people)


def test_missing_anny_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "anny", None)
    with pytest.raises(PolytalkError, match=r"polytalk\[heads\]"):
        build.load_anny()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="needs the extra `heads`")
def test_build_is_resumable(tmp_path):
    (path,) = build.ensure_heads(tmp_path, 2, [3])
    stamp = path.stat().st_mtime_ns
    assert build.ensure_heads(tmp_path, 2, [3]) == [path]
    assert path.stat().st_mtime_ns == stamp
    with np.load(path) as arrays:
        assert arrays["neutral"].shape[0] == 2
