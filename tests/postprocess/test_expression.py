"""Eyes, brows, smiles and hands of people who stand still, played with the frames' own pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from polytalk.evaluation.readers.face_reader import FaceReader
from polytalk.postprocess.expression import FEATURES, play_features
from polytalk.postprocess.face import Eye, FacePoints, Head
from polytalk.postprocess.face_points import find_points
from polytalk.postprocess.puppet import Puppets
from polytalk.postprocess.raised_hand import play_hand
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import draw_clip

DRAWN = ("flat person", "outlined person", "painted person", "3-D person", "flat animal")
FACE = FacePoints((Eye(40, 40, 8, 4, 40, 32), Eye(80, 40, 8, 4, 80, 32)), 60, 76, 14)


def scene(seed: int, source: str):
    config = SceneConfig(num_frames=1, people=(1, 1), motion=0.0, camera_motion=0.0, event_probability=0.0, blinks=0.01,
                         lighting=0.0, head_size=(0.6, 0.6), sources=((source, 1.0),))  # fmt: skip
    clip = draw_clip(seed, config)
    left, top, right, bottom = clip.face_boxes[0, 0]
    return clip, Head((left + right) / 2, (top + bottom) / 2, bottom - top)


def tracks(**ends: float) -> dict[str, np.ndarray]:
    """At rest in frame 0, and as told in frame 1."""
    return {name: np.array([0.0, ends.get(name, 0.0)]) for name in FEATURES}


def face_picture() -> np.ndarray:
    """Skin, eyes with an iris, a brow above each."""
    picture = np.full((100, 120, 3), (220, 170, 140), np.uint8)
    y, x = np.mgrid[:100, :120]
    for eye in FACE.eyes:
        picture[((x - eye.x) / eye.half_width) ** 2 + ((y - eye.y) / eye.half_height) ** 2 < 1] = 250
        picture[np.hypot(x - eye.x, y - eye.y) < 3] = 20
        picture[29:33, int(eye.x) - 9 : int(eye.x) + 10] = 60
    return picture


@pytest.mark.parametrize("source", DRAWN)
def test_features_of_drawn_people_are_found(source):
    for seed in range(3):
        clip, head = scene(seed, source)
        (face,) = find_points(clip.reference, [head])
        assert face is not None
        left, top, right, bottom = clip.mouth_boxes[0, 0]
        assert left < face.mouth_x < right
        assert top < face.mouth_y < bottom
        one, other = face.eyes
        assert head.x - 0.5 * head.height < one.x < face.mouth_x < other.x < head.x + 0.5 * head.height
        assert all(eye.brow_y < eye.y + 1 < top + 2 for eye in face.eyes)


def test_where_no_face_is_nothing_is_found():
    clip, head = scene(5, "flat person")
    aside = 0.5 * head.height if head.x > clip.reference.shape[1] / 2 else clip.reference.shape[1] - 0.5 * head.height
    assert find_points(clip.reference, [replace(head, x=aside)]) == [None]
    assert find_points(clip.reference, []) == []


def test_whoever_does_nothing_stays_as_they_are():
    video = face_picture()[None].repeat(2, axis=0)
    for face in (FACE, None):
        np.testing.assert_array_equal(play_features(video, video[0], [face], [tracks()], [0, 1]), video)
    np.testing.assert_array_equal(play_features(video, video[0], [None], [tracks(blink=1.0)], [0, 1]), video)


def test_shut_eyes_show_skin_and_a_line():
    video = face_picture()[None].repeat(2, axis=0)
    first, shut = play_features(video, video[0], [FACE], [tracks(blink=1.0)], [0, 1])
    np.testing.assert_array_equal(first, video[0])
    for eye in FACE.eyes:
        x, y = int(eye.x), int(eye.y)
        np.testing.assert_allclose(
            shut[y - 2 : y + 1, x - 3 : x + 4].astype(int), np.broadcast_to((220, 170, 140), (3, 7, 3)), atol=30
        )
        assert shut[y + 1 : y + 6, x].min() < 110
    np.testing.assert_array_equal(shut[60:], video[0, 60:])


@pytest.mark.parametrize(("name", "amount", "axis"), [("gaze_x", 0.8, 1), ("gaze_y", 0.8, 0)])
def test_an_iris_moves_between_the_lids(name, amount, axis):
    video = face_picture()[None].repeat(2, axis=0)
    moved = play_features(video, video[0], [FACE], [tracks(**{name: amount})], [0, 1])[1]

    def iris(frame: np.ndarray) -> float:
        part = frame[36:45, 32:49, 0] < 110
        return float(np.argwhere(part)[:, axis].mean())

    assert iris(moved) - iris(video[0]) > 0.5


def test_brows_rise_and_eyes_stay():
    video = face_picture()[None].repeat(2, axis=0)
    raised = play_features(video, video[0], [FACE], [tracks(brow=1.0)], [0, 1])[1]
    brow = [float(np.argwhere(frame[15:36, 40, 0] < 130).mean()) for frame in (video[0], raised)]
    assert brow[1] < brow[0] - 2
    np.testing.assert_allclose(raised[40:46, 33:48].astype(int), video[0, 40:46, 33:48], atol=25)


def test_the_reader_sees_what_drawn_people_are_made_to_do():
    reader = FaceReader.from_pretrained()
    asked = {"blink": 1.0, "gaze_x": 0.6, "brow": 1.0, "smile": 1.0}
    found = dict.fromkeys(asked, 0.0)
    for seed, source in enumerate(("flat person", "outlined person", "painted person", "3-D person")):
        clip, head = scene(seed + 20, source)
        faces = find_points(clip.reference, [head])
        for name, amount in asked.items():
            video = clip.reference[None].repeat(2, axis=0)
            video = play_features(video, video[0], faces, [tracks(**{name: amount})], [0, 1])
            poses = [reader.follow([frame[None]], [clip.face_boxes[0]])[0].of(name)[-1, 0] for frame in video]
            found[name] += float(poses[1] - poses[0]) / amount / 4
    assert all(0.2 < value < 2 for value in found.values()), found


def test_a_hand_is_painted_where_there_is_room_in_the_colour_of_the_cheeks():
    clip, head = scene(3, "flat person")
    (face,) = find_points(clip.reference, [head])
    assert face is not None
    video = clip.reference[None].repeat(3, axis=0)
    track = {"hand": np.array([0.0, 1.0, 1.0]), "hand_angle": np.array([0.0, 0.0, 0.4]), "hand_side": np.ones(3)}
    play_hand(video, clip.reference, head, face, track, range(3), np.zeros(3), 0.88)
    np.testing.assert_array_equal(video[0], clip.reference)
    changed = (video[1:] != clip.reference).any(axis=-1)
    assert changed[0].sum() > 200
    assert np.argwhere(changed[0])[:, 1].mean() > head.x + 0.3 * head.height
    assert (changed[0] != changed[1]).sum() > 50
    cheek = clip.reference[int((face.eyes[0].y + face.mouth_y) / 2), int(face.eyes[0].x)].astype(int)
    assert (np.abs(video[1][changed[0]].astype(int) - cheek).max(axis=-1) < 30).mean() > 0.15


def test_whoever_has_walked_raises_the_hand_there():
    clip, head = scene(3, "flat person")
    (face,) = find_points(clip.reference, [head])
    track = {"hand": np.ones(2), "hand_angle": np.zeros(2), "hand_side": np.ones(2)}
    video = clip.reference[None].repeat(2, axis=0)
    play_hand(video, clip.reference, head, face, track, range(2), np.array([0.0, -40.0]), 0.88)
    where = [np.argwhere((frame != clip.reference).any(axis=-1))[:, 1].mean() for frame in video]
    assert where[1] == pytest.approx(where[0] - 40, abs=4)


def test_only_the_lower_half_of_faces_speaks():
    clip, head = scene(3, "flat person")
    speaking = Puppets(clip.reference, [head]).speaking
    (face,) = find_points(clip.reference, [head])
    left, top, right, bottom = clip.mouth_boxes[0, 0]
    y, x = np.mgrid[: len(speaking), : speaking.shape[1]] + 0.5
    mouth = np.hypot((2 * x - left - right) / (right - left), (2 * y - top - bottom) / (bottom - top)) < 0.95
    assert mouth.any()
    assert (speaking[mouth] > 0.9).all()
    for eye in face.eyes:
        assert speaking[int(eye.brow_y), int(eye.x)] < 0.3
    assert not speaking[:, :8].any()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = Puppets(noise, [Head(32.0, 32.0, 20.0)])
    whole.__dict__["_faces"] = [None]
    assert whole.speaking[32 - 8 : 32 + 8, 32 - 6 : 32 + 6].all()


def test_a_hand_out_of_the_picture_paints_nothing():
    video = np.full((1, 100, 120, 3), 90, np.uint8)
    track = {"hand": np.ones(1), "hand_angle": np.zeros(1), "hand_side": np.ones(1)}
    play_hand(video, video[0], Head(400.0, 50.0, 60.0), FACE, track, [0], np.zeros(1), 0.88)
    assert (video == 90).all()
