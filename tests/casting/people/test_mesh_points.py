"""Lids of photographed faces by the face mesh."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from polytalk.casting.people.mesh_points import mesh_points
from polytalk.postprocess.expression import FEATURES, play_features
from polytalk.postprocess.face import Head
from polytalk.postprocess.face_points import find_points
from polytalk.postprocess.puppet import Puppets
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import draw_clip

HEAD = Head(226, 97, 175)
EYES = ((203.2, 101.3), (247.0, 103.0))


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return data.astronaut()


def test_lids_of_a_photographed_face_are_curves(photograph):
    (face,) = mesh_points(photograph, [HEAD], find_points(photograph, [HEAD]))
    assert face is not None
    for eye, (x, y) in zip(face.eyes, EYES, strict=True):
        assert eye.lids is not None
        assert np.hypot(eye.x - x, eye.y - y) < 5
        upper, lower = (np.array(lid) for lid in eye.lids)
        assert (lower[1:-1] > upper[1:-1]).all()
        np.testing.assert_allclose(lower[[0, -1]], upper[[0, -1]], atol=0.3)
        assert eye.brow_y < eye.y - 2 * eye.half_height
    assert 203 < face.mouth_x < 244
    assert 139 < face.mouth_y < 154


def test_shut_lids_hide_iris_and_white(photograph):
    puppets = Puppets(photograph, [HEAD], mesh_points)
    tracks = {name: np.array([0.0, 1.0 if name == "blink" else 0.0]) for name in FEATURES}
    _, shut = puppets.move(photograph[None].repeat(2, axis=0), [tracks], 0, [0, 1])
    for x, y in EYES:
        around = slice(int(y) - 4, int(y)), slice(int(x) - 6, int(x) + 6)
        skin = photograph[int(y) + 12 : int(y) + 16, int(x) - 6 : int(x) + 6].mean()
        assert abs(shut[around].mean() - skin) < 0.5 * abs(photograph[around].mean() - skin)
    assert (shut[150:] == photograph[150:]).all()


def test_brows_and_smiles_of_photographs_are_smaller(photograph):
    (face,) = mesh_points(photograph, [HEAD], [None])
    (drawn,) = find_points(photograph, [HEAD])
    assert face is not None
    assert drawn is not None
    tracks = {name: np.array([0.0, 1.0 if name == "smile" else 0.0]) for name in FEATURES}
    video = photograph[None].repeat(2, axis=0)
    changed = [
        np.abs(play_features(video, photograph, [each], [tracks], [0, 1])[1].astype(int) - photograph).mean()
        for each in (face, drawn)
    ]
    assert 0 < changed[0] < changed[1]


def test_flat_drawings_keep_what_was_found():
    clip = draw_clip(
        3, SceneConfig(num_frames=1, height=352, width=640, people=(1, 1), sources=(("flat person", 1.0),))
    )
    left, top, right, bottom = clip.face_boxes[0, 0]
    heads = [Head((left + right) / 2, (top + bottom) / 2, bottom - top)]
    found = find_points(clip.reference, heads)
    assert mesh_points(clip.reference, heads, found) == found


def test_where_there_is_no_face_and_where_heads_are_small(photograph):
    known = find_points(photograph, [HEAD])
    assert mesh_points(photograph, [Head(80, 400, 120)], [None]) == [None]
    small = Head(HEAD.x, HEAD.y, 60)
    assert mesh_points(photograph, [small], known) == known
