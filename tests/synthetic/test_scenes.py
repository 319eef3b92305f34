"""Drawn clips: determinism, shapes, and that the truth told is the truth drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk.errors import PolytalkError
from polytalk.motion.gestures import ACTIONS, CAMERA, WALK
from polytalk.motion.idle import CHANNELS, PLAYED
from polytalk.synthetic.characters.registry import SOURCES
from polytalk.synthetic.prompts import EVENT_WORDS
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import draw_clip

SMALL = SceneConfig(height=48, width=80, num_frames=9, people=(2, 2))


def same(first, second) -> bool:
    arrays = ("frames", "reference", "masks", "mouth", "mouth_boxes", "face_boxes", "speaking", "audio")
    equal = all(np.array_equal(getattr(first, name), getattr(second, name)) for name in arrays)
    return equal and first.prompt == second.prompt and first.events == second.events and first.styles == second.styles


def test_equal_seeds_give_equal_clips_and_others_do_not() -> None:
    config = replace(SMALL, event_probability=0.5, reference_lead_probability=0.5, camera_motion=1.0)
    clips = [draw_clip(seed, config) for seed in range(6)]
    assert all(same(clip, draw_clip(clip.seed, config)) for clip in clips)
    assert not any(np.array_equal(clips[0].frames, other.frames) for other in clips[1:])


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 4),
    columns=st.integers(1, 5),
    groups=st.integers(0, 3),
    people=st.integers(1, 4),
    least=st.floats(0.06, 1.2),
    motion=st.floats(0, 1),
    lead=st.integers(0, 7),
    crossing=st.booleans(),
)
def test_any_config_gives_consistent_arrays(seed, rows, columns, groups, people, least, motion, lead, crossing) -> None:
    height, width, frames = 16 * rows, 16 * columns, 4 * groups + 1
    config = SceneConfig(
        height=height, width=width, num_frames=frames, people=(people, people),
        head_size=(least, min(1.5, 1.3 * least)), motion=motion, event_probability=1.0,
        crossing_probability=float(crossing), reference_lead=lead, reference_lead_probability=1.0,
    )  # fmt: skip
    clip = draw_clip(seed, config)
    assert clip.frames.shape == (frames, height, width, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.reference.shape == (height, width, 3)
    assert clip.masks.shape == (frames, people, height // 8, width // 8)
    assert clip.reference_masks.shape == clip.masks.shape[1:]
    assert clip.masks.dtype == bool
    assert (clip.masks.sum(1) <= 2).all(), "a cell is shared by two at most, when each has half of it"
    assert clip.mouth.shape == (frames, people, 3)
    assert clip.mouth.dtype == np.float32
    assert clip.mouth.min() >= 0
    assert clip.mouth.max() <= 1
    for boxes in (clip.mouth_boxes, clip.face_boxes):
        assert boxes.shape == (frames, people, 4)
        assert (boxes[..., 2:] > boxes[..., :2]).all()
    assert clip.speaking.shape == (frames, people)
    assert clip.audio.shape == (people, frames * 640)
    assert len(clip.styles) == people
    for name, person, start, end in clip.events:
        assert 0 <= start < end <= frames
        assert -1 <= person < people
        assert any(words.lower() in clip.prompt.lower() for words in EVENT_WORDS[name])


def test_masks_cover_the_face_and_nobody_else() -> None:
    for seed in range(8):
        clip = draw_clip(seed, SceneConfig(num_frames=5, people=(2, 2), crowding=0.0))
        left, top, right, bottom = (clip.mouth_boxes[0, :, side] for side in range(4))
        for person in range(2):
            row, column = int((top + bottom)[person] / 2) // 8, int((left + right)[person] / 2) // 8
            assert clip.masks[0, person, row, column]
            assert not clip.masks[0, 1 - person, row, column]


def test_masks_follow_what_is_drawn() -> None:
    """A person's cells differ from an empty scene's, others hardly."""
    config = SceneConfig(num_frames=1, people=(1, 1), backgrounds=(("plain", 1.0),), lighting=0.0, camera_motion=0.0)
    for seed in range(6):
        clip = draw_clip(seed, config)
        empty = clip.frames[0, 0, 0].astype(int)
        changed = (np.abs(clip.frames[0].astype(int) - empty).max(-1) > 6).reshape(18, 8, 32, 8).mean((1, 3))
        outside = ~clip.masks[0, 0]
        # Half-covered pixels at the rim count as changed, so that cells just below one half show a little more.
        assert (changed[outside] <= 0.75).all()
        assert (changed[outside] > 0.5).mean() < 0.02
        assert (changed[clip.masks[0, 0]] > 0.4).mean() > 0.95


def test_the_first_voice_is_not_always_on_the_left() -> None:
    clips = [draw_clip(seed, replace(SMALL, height=16, width=32, num_frames=1)) for seed in range(30)]
    left = sum(clip.face_boxes[0, 0, 0] < clip.face_boxes[0, 1, 0] for clip in clips)
    assert 6 <= left <= 24


def test_a_reference_of_a_later_clip_is_another_frame_of_the_same_scene() -> None:
    config = SceneConfig(num_frames=5, people=(2, 2), reference_lead_probability=1.0)
    clip = draw_clip(3, config)
    assert not np.array_equal(clip.reference, clip.frames[0])
    assert np.abs(clip.reference.astype(float) - clip.frames[0]).mean() < 40
    usual = draw_clip(3, replace(config, reference_lead_probability=0.0))
    assert np.array_equal(usual.reference, usual.frames[0])
    assert np.array_equal(usual.reference_masks, usual.masks[0])


def test_silent_clips_keep_mouths_shut() -> None:
    clip = draw_clip(1, replace(SMALL, silent_probability=1.0))
    assert not clip.speaking.any()
    assert clip.mouth[..., 0].max() == 0
    talking = [draw_clip(seed, replace(SMALL, num_frames=33)) for seed in range(6)]
    openings = [talk.mouth[:, person, 0].max() for talk in talking for person in range(2) if talk.speaking[0, person]]
    assert np.mean(openings) > 0.4
    assert all(
        talk.mouth[:, person, 0].max() == 0 for talk in talking for person in range(2) if not talk.speaking[0, person]
    )


def test_events_happen_only_when_asked_for_and_all_kinds_come_up() -> None:
    calm = [draw_clip(seed, replace(SMALL, event_probability=0.0)) for seed in range(10)]
    assert all(clip.events == () for clip in calm)
    lively = replace(
        SMALL,
        num_frames=25,
        height=16,
        width=32,
        max_events=4,
        lighting=0.0,
        backgrounds=(("plain", 1.0),),
        event_probability=1.0,
        crossing_probability=0.3,
    )
    seen = {name for seed in range(50) for name, *_ in draw_clip(seed, lively).events}
    assert seen == {*ACTIONS, CAMERA, WALK}
    assert len(seen) >= 10


def test_somebody_who_walks_ends_on_the_other_side() -> None:
    config = replace(SMALL, num_frames=33, event_probability=1.0, crossing_probability=1.0)
    for seed in range(5):
        clip = draw_clip(seed, config)
        assert clip.events[0][0] == WALK
        centres = clip.face_boxes[..., 0] + clip.face_boxes[..., 2]
        assert np.sign(centres[0, 0] - centres[0, 1]) == -np.sign(centres[-1, 0] - centres[-1, 1])


def test_the_camera_moves_in() -> None:
    config = replace(SMALL, num_frames=33, event_probability=1.0, max_events=1, people=(1, 1))
    clip = next(clip for clip in (draw_clip(seed, config) for seed in range(60)) if clip.events[0][0] == CAMERA)
    width = clip.face_boxes[:, 0, 2] - clip.face_boxes[:, 0, 0]
    assert width[-1] > 1.08 * width[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("height", 50), ("width", 0), ("num_frames", 16), ("people", (0, 2)), ("people", (3, 2)),
     ("head_size", (0.5, 2.0)), ("motion", 1.5), ("sources", (("nobody", 1.0),)), ("sources", ())],
)  # fmt: skip
def test_bad_configs_name_the_field(field, value) -> None:
    with pytest.raises(PolytalkError, match=field):
        replace(SMALL, **{field: value})


def test_a_source_that_is_added_to_the_table_is_drawn(monkeypatch) -> None:
    with pytest.raises(PolytalkError, match="test twin"):
        replace(SMALL, sources=(("test twin", 1.0),))
    monkeypatch.setitem(SOURCES, "test twin", SOURCES["flat person"])
    clip = draw_clip(5, replace(SMALL, num_frames=1, sources=(("test twin", 1.0),)))
    assert clip.styles == ("flat person", "flat person")


def test_other_things_may_happen_to_the_same_people():
    config = replace(
        SMALL, num_frames=33, people=(2, 2), event_probability=1.0, reference_lead=1, reference_lead_probability=1.0
    )
    clips = [[draw_clip(seed, config, happening=which) for which in range(3)] for seed in range(4)]
    for alike in clips:
        for clip in alike[1:]:
            assert np.array_equal(clip.reference, alike[0].reference)
            assert clip.styles == alike[0].styles
    assert len({clip.events for alike in clips for clip in alike}) > 6
    again = draw_clip(0, config, happening=2)
    assert again.events == clips[0][2].events
    assert np.array_equal(again.frames, clips[0][2].frames)


def test_motion_begins_with_the_reference():
    clip = draw_clip(2, replace(SMALL, num_frames=9, reference_lead=20, reference_lead_probability=1.0))
    for track in clip.motion:
        assert {len(values) for values in track.values()} == {10}
    assert clip.reference_boxes.shape == clip.face_boxes.shape[1:]


def test_only_the_actions_wanted_happen():
    config = replace(SMALL, num_frames=25, event_probability=1.0, max_events=2, actions=("waves", "smiles"))
    seen = {name for seed in range(12) for name, *_ in draw_clip(seed, config).events}
    assert seen == {"waves", "smiles"}
    with pytest.raises(PolytalkError, match="actions"):
        replace(SMALL, actions=("dances",))


def test_where_people_stand_steady_only_faces_and_hands_move():
    config = replace(SMALL, num_frames=25, motion=0.0, camera_motion=0.0, steady=True, event_probability=1.0,
                     crossing_probability=0.3, max_events=2)  # fmt: skip
    rigid = [CHANNELS.index(name) for name in PLAYED]
    events = set()
    for seed in range(25):
        clip = draw_clip(seed, config)
        events |= {name for name, *_ in clip.events}
        assert not clip.pose[..., rigid].any()
        assert np.ptp(clip.face_boxes, axis=0).max() < 1e-3
    assert {WALK, CAMERA, "nods", "leans in"} <= events


def test_a_camera_catches_mouths_open_and_the_clip_begins_so():
    config = replace(SMALL, motion=0.0, camera_motion=0.0, caught_probability=1.0)
    clips = [draw_clip(seed, config) for seed in range(12)]
    begin = np.array([clip.mouth[0, :, 0] for clip in clips])
    assert 0.1 < (begin == 0).mean() < 0.6
    assert begin.max() > 0.4
    assert all(np.array_equal(clip.frames[0], clip.reference) for clip in clips)
    shut = [draw_clip(seed, replace(config, caught_probability=0.0)) for seed in range(12)]
    assert not any(clip.mouth[0, :, 0].any() for clip in shut)
    np.testing.assert_array_equal(clips[3].mouth[2:], shut[3].mouth[2:])


def test_an_earlier_reference_may_show_open_mouths_too():
    config = replace(SMALL, reference_lead=1, reference_lead_probability=1.0, silent_probability=1.0)
    caught, shut = (draw_clip(3, replace(config, caught_probability=share)) for share in (1.0, 0.0))
    np.testing.assert_array_equal(caught.frames, shut.frames)
    assert (caught.reference != shut.reference).any()


def test_people_blink_as_often_as_asked_for():
    often, never = (
        [draw_clip(seed, replace(SMALL, num_frames=25, blinks=rate)).pose[..., CHANNELS.index("blink")].max()
         for seed in range(8)]
        for rate in (4.0, 0.0)
    )  # fmt: skip
    assert np.mean(often) > 0.8
    assert not any(never)
