"""Heads of a video in which people stand still, moved afterwards."""

import numpy as np
import pytest

from polytalk.motion.gestures import ramp, walk, zoom_in
from polytalk.motion.idle import idle_motions
from polytalk.postprocess.face import Head
from polytalk.postprocess.puppet import SIZE, Puppets
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import SyntheticClip, draw_clip

HEADS = [Head(60.0, 50.0, 60.0), Head(190.0, 60.0, 70.0)]
PLACES = np.array([head.x for head in HEADS])


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (112, 256, 3), dtype=np.uint8)


def repeated(picture: np.ndarray, count: int) -> np.ndarray:
    return picture[None].repeat(count, axis=0)


def standing(count: int):
    tracks = idle_motions(0, PLACES, count, 0.0)
    for track in tracks:
        track["gaze_x"][:] = track["gaze_y"][:] = 0
    return tracks


def test_whoever_does_not_move_stays_as_they_are():
    picture = noise()
    video = Puppets(picture, HEADS).move(repeated(picture, 4), standing(4), 0, range(4))
    np.testing.assert_array_equal(video, repeated(picture, 4))


@pytest.mark.parametrize(("name", "way"), [("dx", (6, 0)), ("dy", (0, 6))])
def test_a_head_moves_with_all_its_pixels(name, way):
    picture, tracks = noise(), standing(2)
    tracks[0][name][1] = 6 / (SIZE * HEADS[0].height)
    first, moved = Puppets(picture, HEADS).move(repeated(picture, 2), tracks, 0, range(2)).astype(int)
    right, down = way
    np.testing.assert_allclose(moved[40 + down : 60 + down, 50 + right : 70 + right], picture[40:60, 50:70], atol=2)
    np.testing.assert_allclose(moved[:, 150:], first[:, 150:], atol=1)


def test_the_video_may_show_people_as_in_any_frame():
    tracks = idle_motions(3, PLACES, 30, 0.8)
    video = Puppets(noise(), HEADS).move(repeated(noise(), 5), tracks, 20, range(18, 23))
    np.testing.assert_allclose(video[2].astype(int), noise(), atol=1)
    assert np.abs(video[0].astype(int) - noise()).mean() > 1


def test_what_the_faces_of_the_video_do_moves_with_them():
    video, tracks = repeated(np.full((112, 256, 3), 90, np.uint8), 3), standing(3)
    video[1, 60:66, 55:65] = 250
    tracks[0]["dx"][:] = np.array([0, 12, 12]) / (SIZE * HEADS[0].height)
    moved = Puppets(video[0], HEADS).move(video, tracks, 0, range(3))
    assert (moved[1, 62:64, 70:75] > 240).all()
    assert (moved[[0, 2]] < 100).all()


def test_people_who_walk_change_places():
    picture, tracks = np.full((112, 256, 3), 128, np.uint8), standing(40)
    picture[:, 30:90], picture[:, 150:230] = (200, 0, 0), (0, 0, 200)
    sizes = np.array([SIZE * head.height for head in HEADS])
    walk(tracks, PLACES, sizes, 0, 1, ramp(40, 2, 34))
    last = Puppets(picture, HEADS).move(picture[None], tracks, 0, [39])[0]
    assert last[50, 190].tolist() == [200, 0, 0]
    assert last[55, 60].tolist() == [0, 0, 200]


def test_whoever_does_not_walk_stays_while_others_do():
    picture, three = noise(), [Head(40.0, 50.0, 50.0), Head(110.0, 50.0, 50.0), Head(215.0, 50.0, 50.0)]
    places, sizes = np.array([head.x for head in three]), np.full(3, SIZE * 50)
    tracks = idle_motions(0, places, 40, 0.0)
    walk(tracks, places, sizes, 0, 1, ramp(40, 2, 34))
    last = Puppets(picture, three).move(picture[None], tracks, 0, [39])[0]
    np.testing.assert_allclose(last[:, 180:].astype(int), picture[:, 180:], atol=1)
    np.testing.assert_allclose(last[40:60, 100:120].astype(int), picture[40:60, 30:50], atol=2)


def test_the_camera_comes_nearer():
    picture, tracks = noise(), standing(60)
    zoom_in(tracks, 0, 40, 2.0)
    last = Puppets(picture, HEADS).move(picture[None], tracks, 0, [59])[0]
    middle = (slice(50, 60), slice(120, 130))
    assert np.abs(last[middle].astype(int) - picture[middle]).mean() > 1
    spread = [np.abs(np.diff(each[..., 0].astype(int), axis=1)).mean() for each in (picture, last)]
    assert spread[1] < 0.8 * spread[0]


def moving_clip(seed: int, events: float) -> SyntheticClip:
    config = SceneConfig(
        height=112, width=192, num_frames=33, people=(2, 2), motion=0.5, camera_motion=0.0, event_probability=events,
        crossing_probability=1.0, max_events=1, reference_lead=1, reference_lead_probability=1.0,
        sources=(("flat person", 1.0), ("painted person", 1.0)),
    )  # fmt: skip
    return draw_clip(seed, config)


@pytest.mark.parametrize(("events", "gain"), [(0.0, 3.5), (1.0, 2.0)])
def test_it_is_much_nearer_to_what_drawn_people_do_than_the_standing_picture(events, gain):
    """Errors in faces, mean over scenes, of the picture over those of the moved one; drawn people sway or walk."""
    errors = np.zeros(2)
    for seed in range(4):
        clip = moving_clip(seed, events)
        assert bool(clip.events) == bool(events)
        heads = [Head((x0 + x1) / 2, (y0 + y1) / 2, y1 - y0) for x0, y0, x1, y1 in clip.reference_boxes]
        moved = Puppets(clip.reference, heads).move(repeated(clip.reference, 33), clip.motion, 0, range(1, 34))
        faces = np.zeros(clip.frames.shape[:3], bool)
        for frame, boxes in enumerate(clip.face_boxes.round().astype(int).clip(0)):
            for left, top, right, bottom in boxes:
                faces[frame, top:bottom, left:right] = True
        for which, shown in enumerate((clip.reference[None].astype(float), moved)):
            errors[which] += np.square(clip.frames.astype(float) - shown)[faces].mean()
    assert errors[0] > gain * errors[1]
