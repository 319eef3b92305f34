"""3-D heads, avatars and warped pictures: they follow the pose, and their truth is where they drew."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skia
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.synthetic.characters import avatars
from polytalk.synthetic.characters.character import Character, Pose
from polytalk.synthetic.characters.heads import head as heads
from polytalk.synthetic.characters.heads import mesh
from polytalk.synthetic.characters.photos import person as photos
from polytalk.synthetic.characters.registry import SOURCES, portrait, portraits_of
from polytalk.synthetic.scene_config import SceneConfig

SIZE, HEAD = 240, 150.0
FRONT = Pose(x=120.0, y=110.0, size=HEAD)
HAVE_AVATARS = all(importlib.util.find_spec(name) for name in ("python_avatars", "resvg_py"))
NEEDS_AVATARS = pytest.mark.skipif(not HAVE_AVATARS, reason="needs the extra `sources`")
MAKERS = [
    pytest.param(heads.Head3D, id="3-D person"),
    pytest.param(avatars.AvatarPerson, id="avatar", marks=NEEDS_AVATARS),
    pytest.param(portrait, id="portrait"),
]


def drawn(person: Character, pose: Pose) -> np.ndarray:
    """(SIZE, SIZE, 3) float picture of a person on grey."""
    pixels = np.zeros((SIZE, SIZE, 4), np.uint8)
    surface = skia.Surface(pixels)
    surface.getCanvas().clear(skia.Color(128, 128, 128))
    person.draw(surface.getCanvas(), pose)
    return pixels[..., :3].astype(float)


def changed(person: Character, first: Pose, second: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of pixels that differ clearly between two poses."""
    return np.nonzero(np.abs(drawn(person, first) - drawn(person, second)).max(axis=2) > 40)


def darkness(person: Character, pose: Pose) -> float:
    """Dark pixels inside the mouth's box."""
    left, top, right, bottom = (round(side) for side in person.geometry(pose).mouth)
    return float((drawn(person, pose)[top:bottom, left:right].mean(axis=2) < 60).sum())


@pytest.mark.parametrize("make", MAKERS)
def test_equal_seeds_draw_equal_people(make):
    pose = replace(FRONT, opening=0.5, yaw=0.4, gaze_x=0.5)
    first, again = (drawn(make(np.random.default_rng(5)), pose) for _ in range(2))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("seed", [1, 4, 6])
def test_opening_changes_the_mouth_where_the_truth_says(make, seed):
    person = make(np.random.default_rng(seed))
    left, top, right, bottom = person.geometry(FRONT).mouth
    rows, columns = changed(person, FRONT, replace(FRONT, opening=1.0))
    inside = (rows >= top - 2) & (rows <= bottom + 2) & (columns >= left - 2) & (columns <= right + 2)
    assert inside.sum() > 0.01 * HEAD**2
    # the jaw moves too, and in a picture the collar below it, but the mouth is what changes most
    assert inside.mean() > 0.4


@pytest.mark.parametrize("make", MAKERS)
def test_darkness_in_the_mouth_grows_with_the_opening(make):
    person = make(np.random.default_rng(1))
    seen = [darkness(person, replace(FRONT, opening=opening)) for opening in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert seen[-1] > seen[0] + 60
    assert np.corrcoef(seen, np.linspace(0, 1, 5))[0, 1] > 0.95


@pytest.mark.parametrize("make", MAKERS)
def test_boxes_follow_the_pose(make):
    person = make(np.random.default_rng(2))
    here, there = person.geometry(FRONT), person.geometry(replace(FRONT, x=140.0, y=100.0))
    assert np.allclose(np.subtract(there.mouth, here.mouth), (20, -10, 20, -10), atol=1e-3)
    left, top, right, bottom = here.face
    assert left < here.mouth[0] < here.mouth[2] < right
    assert top < here.mouth[1] < here.mouth[3] < bottom + 0.15 * HEAD
    assert 0.9 * HEAD < bottom - top < 1.5 * HEAD
    turned = person.geometry(replace(FRONT, yaw=1.0)).mouth
    assert turned[0] + turned[2] > here.mouth[0] + here.mouth[2] + 2, "yaw 1 turns to the viewer's right"


@pytest.mark.parametrize("make", MAKERS)
def test_blinks_change_the_eyes_alone(make):
    person = make(np.random.default_rng(3))
    rows, columns = changed(person, FRONT, replace(FRONT, blink=1.0))
    assert len(rows) > 20
    mouth, face = person.geometry(FRONT).mouth, person.geometry(FRONT).face
    assert rows.max() < mouth[1]
    assert columns.min() > face[0]
    assert columns.max() < face[2]


@pytest.mark.parametrize("make", MAKERS)
def test_hand_is_seen_when_raised(make):
    person = make(np.random.default_rng(4))
    rows, _ = changed(person, FRONT, replace(FRONT, hand=1.0))
    assert len(rows) > 0.005 * HEAD**2


@pytest.mark.parametrize("make", MAKERS)
def test_descriptions_are_noun_phrases(make):
    for seed in range(6):
        words = make(np.random.default_rng(seed)).describe()
        assert words.startswith(("a ", "an "))
        assert "{" not in words


def test_every_source_is_known_to_scenes():
    assert {"3-D person", "avatar", "portrait"} <= set(SOURCES)
    SceneConfig(sources=(("3-D person", 1.0), ("portrait", 1.0)))


class TestHeads:
    def test_gap_between_the_lips_is_exact_whatever_the_face_does(self):
        bank = mesh.load_heads()
        for index in range(0, len(bank), 5):
            one = mesh.HeadMesh(bank, index)
            for rounding, smile, width in ((0, 0, 0.5), (1, 0, 0.5), (0, 1, 1.0), (0.5, -1, 0.0)):
                for opening in (0.0, 0.4, 1.0):
                    place = one.positions(Pose(0, 0, 1, opening=opening, rounding=rounding, smile=smile, width=width))
                    gap = place[one.lower_edge, 1].mean() - place[one.upper_edge, 1].mean()
                    assert gap == pytest.approx(mesh.GAP * one.mouth_width * opening, abs=1e-4)

    def test_heads_are_one_high_and_centred(self):
        bank = mesh.load_heads()
        assert len(bank) >= 12
        for vertices in bank.neutral:
            assert vertices[:, 1].min() == pytest.approx(-0.5, abs=0.01)
            assert abs(vertices[:, 0].mean()) < 0.02

    def test_everybody_can_be_drawn(self):
        seen = set()
        for seed in range(60):
            person = heads.Head3D(np.random.default_rng(seed))
            seen.add(person.person["seed"])
            left, top, right, bottom = person.geometry(FRONT).mouth
            assert 0.15 * HEAD < right - left < 0.5 * HEAD
            assert 0.15 * HEAD < bottom - top < 0.45 * HEAD
        assert len(seen) > 0.6 * len(mesh.load_heads())

    def test_rotation_is_rigid_and_turns_as_named(self):
        turn = mesh.rotation(Pose(0, 0, 1, yaw=0.7, pitch=-0.5, roll=0.3))
        assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-6)
        nose = np.array([0, 0, 1.0])
        assert (mesh.rotation(Pose(0, 0, 1, yaw=1.0)) @ nose)[0] > 0.3
        assert (mesh.rotation(Pose(0, 0, 1, pitch=1.0)) @ nose)[1] > 0.2

    def test_light_falls_from_its_side(self):
        light = mesh.Light(np.array([1.0, 0, 0]), np.full(3, 0.7), np.full(3, 0.2), 0.0)
        normals = np.array([[0.8, 0, 0.6], [-0.8, 0, 0.6]], np.float32)
        lit, dark = light.shade(np.full((2, 3), 0.5, np.float32), normals, np.ones(2, np.float32), 0.0).mean(axis=1)
        assert lit > 1.5 * dark

    def test_triangles_come_farthest_first_and_facing(self):
        flat = np.array([[0, 0], [1, 0], [0, 1], [0, 0], [1, 0], [0, 1]], float)
        depth = np.array([1.0, 1, 1, 0, 0, 0])
        faces = np.array([[0, 2, 1], [3, 5, 4], [0, 1, 2]])
        assert mesh.visible_faces(flat, depth, faces).tolist() == [[3, 5, 4], [0, 2, 1]]

    def test_missing_file_is_named(self, tmp_path):
        with pytest.raises(PolytalkError, match=r"none\.npz"):
            mesh.load_heads(tmp_path / "none.npz")


@NEEDS_AVATARS
def test_avatars_differ_and_cut_the_head_from_the_trunk():
    sheets = [avatars.render_sheet(number) for number in range(3)]
    assert len({sheet.words for sheet in sheets}) == 3
    for sheet in sheets:
        assert sheet.skull is not None
        assert sheet.skull.box.bottom() == pytest.approx(187, abs=2)
        assert sheet.trunk is not None
        assert sheet.trunk.box.top() > 148


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "resvg_py", None)
    with pytest.raises(PolytalkError, match=r"polytalk\[sources\]"):
        avatars._package("resvg_py")


SIDECAR = {"face": [60, 40, 180, 200], "mouth": [95, 150, 145, 170], "name": "a drawn face"}


class TestPhotos:
    def folder(self, tmp_path: Path, sidecar: object) -> Path:
        y, x = np.mgrid[:260, :240]
        picture = np.stack([200 - 0.2 * y, 150 + 0.1 * x, 120 + 0 * x], axis=-1).astype(np.uint8)
        picture[158:160, 95:145] = 30
        Image.fromarray(picture).save(tmp_path / "anna.png")
        (tmp_path / "anna.json").write_text(json.dumps(sidecar))
        return tmp_path

    def test_folder_becomes_a_source(self, tmp_path, monkeypatch):
        monkeypatch.setitem(SOURCES, "mine", portraits_of(self.folder(tmp_path, SIDECAR)))
        person = SOURCES["mine"](np.random.default_rng(0))
        assert person.describe() == "a drawn face"
        assert darkness(person, replace(FRONT, opening=1.0)) > darkness(person, FRONT) + 60

    def test_closed_mouth_leaves_the_rest_of_the_picture_alone(self, tmp_path):
        (one,) = photos.load_portraits(self.folder(tmp_path, SIDECAR))
        person = photos.PhotoPerson(np.random.default_rng(0), (one,))
        at_rest = replace(FRONT, width=0.5)
        rows, columns = changed(person, at_rest, replace(at_rest, opening=1.0))
        assert rows.min() > FRONT.y
        assert abs(columns.mean() - FRONT.x) < 8

    @pytest.mark.parametrize(
        "wrong",
        [
            {"face": [60, 40, 180, 200]},
            {"face": [60, 40, 180], "mouth": [95, 150, 145, 170]},
            {"face": [60, 40, 180, 200], "mouth": [195, 150, 245, 170]},
            {"face": [60, 40, 180, float("nan")], "mouth": [95, 150, 145, 170]},
            {
                "face": [60, 40, 180, 200],
                "mouth": {
                    "left": [95, 160],
                    "right": [145, 160],
                    "top": 150,
                    "inner_top": 165,
                    "inner_bottom": 160,
                    "bottom": 170,
                },
            },
        ],
    )
    def test_wrong_sidecar_is_named(self, tmp_path, wrong):
        with pytest.raises(PolytalkError, match=r"anna\.json"):
            photos.load_portraits(self.folder(tmp_path, wrong))

    def test_empty_folder_is_named(self, tmp_path):
        with pytest.raises(PolytalkError, match="no picture"):
            photos.load_portraits(tmp_path)


def test_one_picture_stands_for_many_people():
    portraits = photos.builtin_portraits()
    people = [photos.PhotoPerson(np.random.default_rng(seed), portraits) for seed in range(6)]
    faces = [drawn(person, FRONT).astype(float) for person in people]
    differences = [np.abs(a - b).mean() for n, a in enumerate(faces) for b in faces[:n]]
    assert min(differences) > 8
