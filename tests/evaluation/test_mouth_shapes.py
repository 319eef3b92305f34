"""Lips that close on p, b, m: the truth, mouths that stand still, and sounds of somebody else."""

import numpy as np
import pytest

from polytalk.evaluation.measures.mouth_shapes import LipClosures, closures
from polytalk.evaluation.readers.mouth_reader import MouthReader
from polytalk.evaluation.scenes.held_out import held_out_scenes
from polytalk.synthetic.speech.mouth import mouth_track

SAID = (("a", 0.0, 0.2), ("m", 0.2, 0.3), ("a", 0.3, 0.5), ("p", 0.5, 0.58), ("o", 0.58, 0.8), ("k", 0.8, 0.9))
FRAMES = 25


def measured(read: np.ndarray, true: np.ndarray, said=(SAID,)) -> float:
    measure = LipClosures()
    measure.update(read, true, said)
    return measure.compute()


@pytest.fixture(scope="module")
def true() -> np.ndarray:
    return mouth_track(SAID, FRAMES)[:, :1]


def test_closures_lie_where_the_sounds_are():
    assert list(closures(SAID, FRAMES)) == [(5, 6), (12, 13)]
    assert list(closures(SAID, 14)) == [(5, 6)]  # the second one is cut off
    assert list(closures((("b", 0.41, 0.415),), FRAMES)) == [(10, 10)]  # between two frames' centres
    assert list(closures((("k", 0.2, 0.3),), FRAMES)) == []


def test_true_mouth_closes_and_still_mouths_do_not(true):
    assert measured(true, true) == 1.0
    assert measured(np.zeros_like(true), true) == 0.0
    assert measured(np.full_like(true, 0.6), true) == 0.0
    assert measured(true + 0.3, true) == 0.0  # moves, but never shuts


def test_a_frame_late_is_close_enough_and_four_are_not(true):
    late = LipClosures()
    late.update(np.roll(true, 1, axis=0), true, (SAID,))
    assert late.compute() == 1.0
    assert measured(np.roll(true, 4, axis=0), true) < 1.0


def test_nothing_to_measure_is_not_a_number(true):
    assert np.isnan(measured(true, true, ((("k", 0.2, 0.3),),)))
    assert np.isnan(measured(true, np.zeros_like(true)))  # drawn mouths that hardly open


def test_read_from_drawn_frames_and_from_frozen_ones():
    scenes = held_out_scenes(5, people=2, seed=77, overlap_share=1.0)
    reader = MouthReader.from_pretrained()
    boxes = [clip.mouth_boxes[0] for clip, _ in scenes]
    drawn, frozen, foreign = LipClosures(), LipClosures(), LipClosures()
    tracks = reader.follow([clip.frames for clip, _ in scenes], boxes)
    still = reader.follow([np.repeat(clip.frames[:1], 33, axis=0) for clip, _ in scenes], boxes)
    for number, (clip, talk) in enumerate(scenes):
        drawn.update(tracks[number].opening, clip.mouth[..., 0], talk.phonemes)
        frozen.update(still[number].opening, clip.mouth[..., 0], talk.phonemes)
        other, said = scenes[(number + 1) % len(scenes)]
        foreign.update(tracks[number].opening, other.mouth[..., 0], said.phonemes)
    assert int(drawn.count) >= 8
    assert drawn.compute() >= 0.85
    assert frozen.compute() == 0.0
    assert foreign.compute() < drawn.compute() - 0.2
