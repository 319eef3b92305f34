"""The clip planner over every length."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk.errors import PolytalkError
from polytalk.pipeline.clips import ClipPlanner
from polytalk.units import latent_frames, round_up_frames

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


def speech(num_frames, seed, people=2):
    """People who take turns of a half to three seconds, with pauses of a sixth to four fifths between them."""
    rng = np.random.default_rng(seed)
    speaking, start = np.zeros((people, num_frames), bool), 0
    while start < num_frames:
        stop = start + int(rng.integers(12, 75))
        speaking[rng.integers(people), start:stop] = True
        start = stop + int(rng.integers(4, 20))
    return speaking


def assert_chained(clips, planner, num_frames):
    assert [frame for clip in clips for frame in range(clip.new_start, clip.new_stop)] == list(range(num_frames))
    assert [clip.index for clip in clips] == list(range(len(clips)))
    assert clips[0].start == clips[0].motion_frames == 0
    for before, clip in itertools.pairwise(clips):
        assert before.start <= clip.start
        assert clip.start + clip.motion_frames == before.new_stop == before.start + before.num_frames
        assert clip.motion_frames == planner.motion_frames
    for clip in clips:
        assert clip.num_frames % 4 == 1
        assert clip.motion_frames < clip.num_frames <= planner.clip_frames
        assert 1 <= clip.num_new <= clip.num_frames - clip.motion_frames
    assert sum(clip.num_frames - clip.motion_frames - clip.num_new for clip in clips) <= 3


@settings(deadline=None)
@given(planners, st.integers(1, 3000), st.integers(0, 99), st.integers(0, 3000))
def test_clips_cut_in_pauses_chain_as_well(planner, num_frames, seed, known):
    clips = planner.plan(num_frames, speech(known + 1, seed))
    assert_chained(clips, planner, num_frames)
    least = (planner.clip_frames - planner.motion_frames) // 8 * 4
    for clip in clips[1:]:
        assert clip.num_frames - clip.motion_frames >= least


@pytest.mark.parametrize(
    ("planner", "share"), [(ClipPlanner(81, 5), 0.2), (ClipPlanner(81, 25), 0.6), (ClipPlanner(33, 5), 0.8)]
)
def test_borders_fall_into_pauses(planner, share):
    """As far as they can: a clip of 33 frames may end in any of 14, while people speak on for up to 75."""
    in_speech, made, borders = {}, {}, {}
    for by_pauses in (True, False):
        plans = []
        for seed in range(20):
            anyone = speech(1500, seed).any(axis=0)
            clips = planner.plan(1500, speech(1500, seed) if by_pauses else None)
            plans.append((clips, sum(anyone[clip.new_start - 2 : clip.new_start + 2].mean() for clip in clips[1:])))
        in_speech[by_pauses] = sum(touched for _, touched in plans)
        made[by_pauses] = sum(clip.num_frames for clips, _ in plans for clip in clips)
        borders[by_pauses] = sum(len(clips) - 1 for clips, _ in plans)
    assert in_speech[True] / borders[True] < share * in_speech[False] / borders[False]
    assert made[True] < 1.03 * made[False]  # at hardly any work


def test_one_pause_is_found():
    speaking = np.ones((1, 66), bool)
    speaking[:, 24:36] = False
    clips = ClipPlanner(45, 5).plan(66, speaking)
    assert len(clips) == 2
    assert 28 <= clips[1].new_start <= 32


@pytest.mark.parametrize("loudness", [0.0, 1.0])
def test_without_pauses_or_without_speech_clips_are_few_and_even(loudness):
    for num_frames in (34, 75, 400, 1501):
        clips = ClipPlanner(33, 5).plan(num_frames, np.full((2, num_frames), loudness))
        plain = ClipPlanner(33, 5).plan(num_frames)
        assert len(clips) == len(plain)
        lengths = [clip.num_frames for clip in clips]
        assert max(lengths) - min(lengths) <= 4


@settings(deadline=None)
@given(planners, st.integers(1, 1500), st.integers(1, 1500), st.integers(0, 40), st.booleans())
def test_an_edited_video_keeps_the_clips_before_the_edit(planner, before, after, count, by_pauses):
    old = planner.plan(before, speech(before, 0) if by_pauses else None)
    keep = old[:count]
    clips = planner.plan(after, speech(after, 1) if by_pauses else None, keep=keep)
    assert_chained(clips, planner, after)
    whole = [clip for clip in keep if clip.num_new == clip.num_frames - clip.motion_frames]
    kept = [clip for clip in whole if planner.motion_frames <= clip.new_stop < after]
    assert clips[: len(kept)] == kept


@settings(deadline=None)
@given(planners, st.integers(1, 1500), st.sets(st.integers(0, 1500), min_size=1, max_size=8), st.booleans())
def test_clips_end_where_a_border_is_wanted(planner, num_frames, wanted, by_pauses):
    planner = dataclasses.replace(planner, wanted=tuple(sorted(wanted)))
    clips = planner.plan(num_frames, speech(num_frames, 0) if by_pauses else None)
    assert_chained(clips, planner, num_frames)
    borders = {clip.new_stop for clip in clips[:-1]}
    for frame in wanted:
        if planner.motion_frames + 4 < frame < num_frames - 4:
            assert min(abs(border - frame) for border in borders) <= 2


def test_two_hours_are_planned_at_once():
    clips = ClipPlanner(81, 25).plan(180_000, speech(180_000, 0))
    assert_chained(clips, ClipPlanner(81, 25), 180_000)


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
