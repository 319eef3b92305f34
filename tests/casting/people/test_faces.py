"""MediaPipe's detectors and mesh, run for real."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polytalk.casting.people.faces import find_faces
from polytalk.casting.people.geometry import overlap, overlap_of_smaller, to_box
from polytalk.casting.people.outlines import face_of, head_of
from polytalk.scene import Box

HEAD = (154, 14, 300, 180)
"""Of the astronaut in scikit-image's picture, crown to chin with all hair."""


@pytest.fixture(scope="module")
def astronaut():
    folder = Path(find_spec("skimage").submodule_search_locations[0])
    return Image.open(folder / "data" / "astronaut.png").convert("RGB")


def test_a_photographed_face_with_mesh_and_head(astronaut):
    (face,) = find_faces(np.asarray(astronaut))
    assert face.score > 0.8
    assert face.landmarks.shape == (468, 2)
    nose, chin = face.landmarks[1], face.landmarks[152]
    assert np.hypot(*(nose - (224, 125))) < 12
    assert np.hypot(*(chin - (228, 177))) < 15
    assert overlap(head_of(face), HEAD) > 0.7
    assert overlap(face_of(HEAD), face.box) > 0.5


def test_small_faces_in_large_pictures_are_found_in_tiles(astronaut):
    canvas = Image.new("RGB", (1600, 900), (90, 120, 100))
    places = [(60, 700), (800, 420), (1440, 30)]
    for x, y in places:
        canvas.paste(astronaut.resize((150, 150)), (x, y))
    faces = sorted(find_faces(np.asarray(canvas)), key=lambda face: face.box[0])
    assert len(faces) == 3
    for face, (x, y) in zip(faces, places, strict=True):
        true = tuple(edge * 150 / 512 + shift for edge, shift in zip(HEAD, (x, y, x, y), strict=True))
        assert overlap(head_of(face), true) > 0.5


def test_tilted_and_shrunk_or_enlarged_it_is_the_same_face(astronaut):
    for size, angle in ((160, 0), (1400, 0), (512, 25), (512, -25)):
        turned = astronaut.resize((size, size)).rotate(angle, Image.Resampling.BILINEAR, center=(size / 2, size / 2))
        (face,) = find_faces(np.asarray(turned))
        back = np.deg2rad(angle)
        nose = (np.array([224, 125]) / 512 - 0.5) * size
        turn = np.array([[np.cos(back), np.sin(back)], [-np.sin(back), np.cos(back)]])
        assert np.hypot(*(turn @ nose + size / 2 - face.landmarks[1])) < 0.035 * size


def test_nobody_where_nobody_is():
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    assert find_faces(noise) == []
    assert find_faces(np.full((17, 900, 3), 200, np.uint8)) == []


def test_overlaps_and_whole_pixels():
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (20, 20, 30, 30)) == 0
    assert overlap_of_smaller((0, 0, 10, 10), (2, 2, 4, 4)) == pytest.approx(1)
    assert to_box((-5.2, 3.4, 700, 9.6), 640, 480) == Box(0, 3, 640, 10)
    assert to_box((900, 900, 950, 950), 640, 480) == Box(639, 479, 640, 480)
