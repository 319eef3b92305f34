"""The clip planner over every length."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk.errors import PolytalkError
from polytalk.pipelines.clips import ClipPlanner, latent_frames, round_up_frames

planners = st.builds(
    lambda motion, extra: ClipPlanner(4 * (motion + extra) + 1, 4 * motion + 1), st.integers(0, 8), st.integers(1, 20)
)


@settings(deadline=None)
@given(planners, st.integers(1, 3000))
def test_every_frame_is_made_once(planner, num_frames):
    clips = planner.plan(num_frames)
    made = [frame for clip in clips for frame in range(clip.new_start, clip.new_stop)]
    assert made == list(range(num_frames))
    assert [clip.index for clip in clips] == list(range(len(clips)))


@settings(deadline=None)
@given(planners, st.integers(1, 3000))
def test_clips_can_be_chained_and_none_is_a_stub(planner, num_frames):
    clips = planner.plan(num_frames)
    for before, clip in itertools.pairwise(clips):
        # every frame that the next clip starts from belongs to the video and was made before
        assert before.start <= clip.start
        assert clip.start + clip.motion_frames == before.new_stop == before.start + before.num_frames
        assert clip.motion_frames == planner.motion_frames
    for clip in clips:
        assert clip.num_frames % 4 == 1
        assert clip.num_frames <= planner.clip_frames
        assert clip.motion_frames < clip.num_frames
    assert sum(clip.num_frames - clip.motion_frames - clip.num_new for clip in clips) <= 3
    assert clips[0].start == clips[0].motion_frames == 0
    # no more clips than the longest ones would need
    gain = planner.clip_frames - planner.motion_frames
    assert len(clips) == 1 + max(0, -(-(num_frames - planner.clip_frames) // gain))


def test_lengths_of_the_released_and_the_embedded_model():
    assert [(c.start, c.num_frames, c.num_new) for c in ClipPlanner(81, 25).plan(137)] == [(0, 81, 81), (56, 81, 56)]
    assert [(c.start, c.num_frames, c.num_new) for c in ClipPlanner(33, 5).plan(75)] == [
        (0, 29, 29),
        (24, 29, 24),
        (48, 29, 22),
    ]
    assert [(c.num_frames, c.num_new) for c in ClipPlanner(33, 5).plan(2)] == [(5, 2)]
    # one frame more than a clip: two middling clips, not a clip and a stub
    assert [c.num_frames for c in ClipPlanner(33, 5).plan(34)] == [21, 21]


def test_frame_arithmetic():
    assert [round_up_frames(n) for n in (1, 2, 4, 5, 6, 33, 34)] == [1, 5, 5, 5, 9, 33, 37]
    assert [latent_frames(n) for n in (1, 5, 33, 81)] == [1, 2, 9, 21]


@pytest.mark.parametrize(("clip", "motion"), [(32, 5), (33, 6), (33, 33), (5, 9), (33, 0), (0, 0), (33, -3)])
def test_impossible_plans_are_refused(clip, motion):
    with pytest.raises(PolytalkError, match="frames"):
        ClipPlanner(clip, motion)


def test_no_frame_is_refused():
    with pytest.raises(PolytalkError, match="video length"):
        ClipPlanner().plan(0)
