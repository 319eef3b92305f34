"""Whose mouth moves while a voice is heard, on drawn videos."""

import numpy as np
import pytest

from polytalk import Box
from polytalk.casting.active_speaker import mouth_motion, speaker_scores, voice_loudness
from polytalk.casting.match import decide_by_mouths
from polytalk.errors import PolytalkError
from polytalk.evaluation.scenes.held_out import held_out_clips
from polytalk.media.source_video import ArrayFrames


def faces_of(clip):
    """Brows to chin of the drawn heads."""
    height, width = clip.frames.shape[1:3]
    boxes = clip.face_boxes[0].copy()
    boxes[:, 1] += 0.35 * (boxes[:, 3] - boxes[:, 1])
    low, high = boxes[:, :2].clip(0), boxes[:, 2:].clip(0, (width, height))
    return [Box(*map(int, (*a, *b))) for a, b in zip(low, high, strict=True)]


@pytest.fixture(scope="module")
def clips():
    return held_out_clips(3, people=2, seed=11, overlap_share=1.0, num_frames=77)


def test_each_mouth_follows_its_own_voice(clips):
    for clip in clips:
        motion = mouth_motion(ArrayFrames(clip.frames), faces_of(clip))
        assert motion.shape == (2, 77)
        assert motion.dtype == np.float32
        scores = speaker_scores(motion, voice_loudness(clip.audio, 16_000))
        decided = decide_by_mouths(scores)
        assert decided in ([(0, 0), (1, 1)], None), scores
        handed_on = decide_by_mouths(speaker_scores(motion, voice_loudness(clip.audio[::-1], 16_000)))
        assert handed_on in ([(0, 1), (1, 0)], None)
        assert (decided is None) == (handed_on is None)


def test_most_of_them_are_decided(clips):
    decided = [
        decide_by_mouths(
            speaker_scores(mouth_motion(ArrayFrames(clip.frames), faces_of(clip)), voice_loudness(clip.audio, 16_000))
        )
        for clip in clips
    ]
    assert sum(found is not None for found in decided) >= 2


def test_nothing_is_said_of_a_still_picture_or_a_short_one(clips):
    clip = clips[0]
    still = ArrayFrames(np.repeat(clip.frames[:1], 60, axis=0))
    motion = mouth_motion(still, faces_of(clip))
    assert motion.max() < 1e-3
    loudness = voice_loudness(clip.audio, 16_000)
    assert decide_by_mouths(speaker_scores(motion, loudness)) is None
    assert np.isnan(speaker_scores(np.ones((2, 20), np.float32), loudness)).all()
    assert mouth_motion(still, faces_of(clip), seconds=0.4).shape == (2, 10)


def test_loudness_per_frame():
    tracks = np.zeros((2, 16_000), np.float32)
    tracks[1, 3200:6400] = 0.5
    loudness = voice_loudness(tracks, 16_000)
    assert loudness.shape == (2, 25)
    np.testing.assert_allclose(loudness[1], [0] * 5 + [0.5] * 5 + [0] * 15)
    assert voice_loudness(np.ones((1, 44_100), np.float32), 44_100).shape == (1, 25)


def test_tables_of_the_wrong_shape():
    with pytest.raises(PolytalkError, match="motion"):
        speaker_scores(np.zeros(9), np.zeros((2, 9)))
