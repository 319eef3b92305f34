"""Warnings before a video is made."""

import numpy as np
import pytest

from polytalk import Box
from polytalk.casting import checks
from polytalk.casting.found import FoundPerson
from polytalk.casting.match import match_voices
from polytalk.conditioning.picture import PictureFit
from polytalk.media.audio import Sound

FACE = Box(100, 100, 160, 160)


def person(face=FACE, score=0.9):
    return FoundPerson("person 1", face, face, Box(80, 60, 180, 300), score, "photograph")


def test_a_face_that_its_box_cuts():
    people = {"Anna": person()}
    assert not checks.faces_outside_boxes(people, {"Anna": Box(80, 60, 180, 300)})
    warned = checks.faces_outside_boxes(people, {"Anna": Box(130, 60, 180, 300)})
    assert len(warned) == 1
    assert "50% of Anna's face" in warned[0]
    assert "100,60,180,300" in warned[0]
    assert not checks.faces_outside_boxes({"Anna": person(score=0.0)}, {"Anna": Box(130, 60, 180, 300)})


def test_boxes_that_overlap():
    one, other = Box(0, 0, 100, 100), Box(50, 0, 150, 100)
    warned = checks.overlapping_boxes({"Anna": one, "Ben": other, "Carl": Box(145, 0, 300, 100)})
    assert len(warned) == 1
    assert "Anna and Ben share 50%" in warned[0]


def test_a_face_too_small_names_a_crop_and_a_frame_that_would_do():
    fit = PictureFit.plan(1280, 720, (144, 256))
    warned = checks.small_faces({"Anna": person()}, fit)
    assert "12 pixels wide" in warned[0]
    assert "384 × 216" in warned[0]
    crop = PictureFit.plan(384, 216, (144, 256))
    assert not checks.small_faces({"Anna": person()}, crop)
    assert "864 × 480" in warned[0]
    assert not checks.small_faces({"Anna": person()}, PictureFit.plan(1280, 720, (480, 864)))
    assert not checks.small_faces({"Anna": person(score=0.0)}, fit)


def test_voices_and_people_without_each_other():
    match = match_voices([person()], [None, None])
    assert checks.voices_without_person(match, ["Anna", "Ben"]) == ["nobody in the picture speaks with Ben"]
    assert not checks.voices_without_person(match_voices([person()], [None]), ["Anna"])
    warned = checks.people_without_voice(["Anna", "Ben"], [True, False])
    assert warned == ["Ben has no voice and only listens"]


def test_clipping():
    t = np.arange(16_000) / 16_000
    clean = (0.9 * np.sin(2 * np.pi * 200 * t)).astype(np.float32)
    loud = np.clip(1.6 * np.sin(2 * np.pi * 200 * t), -1, 1).astype(np.float32)
    late = np.concatenate([clean, loud])
    warned = checks.clipped_sounds({"Anna": Sound(clean, 16_000), "Ben": Sound(late, 16_000)})
    assert len(warned) == 1
    assert warned[0].startswith("Ben is clipped at 400 peaks, the first at 1.00 s")
    assert not checks.clipped_sounds({"peak": Sound(np.array([0, 1, 0, -1, 0], np.float32), 16_000)})


def test_music_is_warned_of_by_its_share():
    sounds = {"quiet": Sound(np.zeros(9, np.float32), 9000), "song": Sound(np.ones(9, np.float32), 9000)}
    warned = checks.music_under_voices(sounds, lambda sound: float(sound.samples.mean()) * 0.8)
    assert len(warned) == 1
    assert "song holds music (80%" in warned[0]


@pytest.mark.parametrize(
    ("size", "word"), [((2560, 1440), "10 pixels"), ((96, 64), "enlarged"), ((400, 225), None), ((256, 144), None)]
)
def test_pictures_of_another_size(size, word):
    warned = checks.unfit_picture(PictureFit.plan(*size, (144, 256)))
    assert (len(warned) == 0) if word is None else (word in warned[0])
