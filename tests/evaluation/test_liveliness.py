"""Blinks, gaze and sway: counted on tracks that are known, and read from people drawn with and without them."""

import numpy as np
import pytest
from moving_people import track_poses

from polytalk.evaluation.measures.liveliness import Liveliness, blinks, gaze_shifts
from polytalk.evaluation.readers.face_reader import FaceReader, FaceTrack
from polytalk.evaluation.scenes.synthetic_faces import draw_faces
from polytalk.motion.idle import BLINK
from polytalk.synthetic.characters.registry import SOURCES
from polytalk.synthetic.motion import idle

FRAMES = 60


def eyelids(*starts: int) -> np.ndarray:
    track = np.zeros(FRAMES)
    for start in starts:
        track[start : start + len(BLINK)] = BLINK
    return track


def test_blinks_are_counted_and_sleep_is_not_one():
    assert blinks(eyelids()) == 0
    assert blinks(eyelids(5, 30)) == 2
    assert blinks(np.r_[eyelids(5)[:50], np.ones(10)]) == 2  # shut when the clip ends
    asleep = np.zeros(FRAMES)
    asleep[10:40] = 1.0
    assert blinks(asleep) == 0


def test_gaze_shifts_are_jumps_with_open_eyes():
    gaze = np.zeros((FRAMES, 2))
    gaze[20:40, 0] = 0.7
    assert gaze_shifts(gaze, np.zeros(FRAMES)) == 2
    assert gaze_shifts(gaze, np.ones(FRAMES)) == 0
    drift = np.stack([np.linspace(0, 1, FRAMES), np.zeros(FRAMES)], axis=1)
    assert gaze_shifts(drift, np.zeros(FRAMES)) == 0


def read(blinking: bool, moving: bool, seeds: range = range(5)) -> list[FaceTrack]:
    reader, tracks = FaceReader.from_pretrained(), []
    for seed in seeds:
        rng = np.random.default_rng(1_600_000_000 + seed)
        who = SOURCES[("flat person", "painted person", "outlined person")[seed % 3]](rng)
        motion = idle(rng, FRAMES, 0.6 if moving else 0.0, np.ones(FRAMES, bool), 0.0)
        motion["blink"] = eyelids(12, 40) if blinking else eyelids()
        if not moving:
            motion = {name: np.full(FRAMES, track[0]) if name != "blink" else track for name, track in motion.items()}
        mouth = np.tile([0.0, 0.5, 0.0], (FRAMES, 1))
        faces = draw_faces(who, track_poses(motion, mouth, (128.0, 72.0), 90.0), rng)
        tracks += reader.follow([faces.frames], [faces.face_boxes[:1]])
    return tracks


@pytest.fixture(scope="module")
def lively() -> dict[str, float]:
    return rates(read(blinking=True, moving=True))


def rates(tracks: list[FaceTrack], asked: np.ndarray | None = None) -> dict[str, float]:
    measure = Liveliness()
    for track in tracks:
        measure.update(track, asked)
    return measure.compute()


def test_blinks_of_drawn_people_are_seen(lively):
    assert lively["blinks"] == pytest.approx(2 * 25 / FRAMES, rel=0.3)


def test_removed_blinks_and_motion_are_missed(lively):
    stiff = rates(read(blinking=False, moving=False))
    assert stiff["blinks"] < 0.2 * lively["blinks"]
    assert stiff["sway"] < 0.3 * lively["sway"]
    assert stiff["turns"] < 0.3 * lively["turns"]


def test_people_who_were_asked_do_not_count():
    track = read(blinking=True, moving=False, seeds=range(1))
    assert np.isnan(rates(track, np.array([True]))["blinks"])
