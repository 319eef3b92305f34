"""Scenes get places for their people, and voices their person."""

import dataclasses
import json
import wave

import numpy as np
import pytest
from casts import FAR, LEFT, RATE, RIGHT, person, two
from tiny_model import picture, voice

from polytalk import Box, Cue, Scene, Speaker, Utterance
from polytalk.casting.cast import cast_scene, save_proposal
from polytalk.casting.found import Diarization, FoundPerson, VoiceTurn
from polytalk.casting.match import Reason
from polytalk.casting.people.places import bodies_apart, join_given, person_at
from polytalk.casting.recording import scene_of_recording
from polytalk.errors import PolytalkError


def test_as_many_people_as_voices_are_used_from_left_to_right():
    proposal = cast_scene(two(), people=[LEFT, RIGHT])
    assert proposal.places == "found"
    assert [speaker.box for speaker in proposal.scene.speakers] == [LEFT.body, RIGHT.body]
    assert [pair.reason for pair in proposal.match.pairs] == [Reason.LISTED] * 2
    assert proposal.notes == ()
    assert [(pair.voice, proposal.people[pair.person].name) for pair in proposal.match.pairs] == [
        (0, "person 1"),
        (1, "person 2"),
    ]


def test_who_is_too_many_is_a_bystander_and_named():
    proposal = cast_scene(two(), people=[LEFT, RIGHT, FAR])
    assert len(proposal.scene.speakers) == 2
    assert proposal.bystanders == (2,)
    assert "person 3" in proposal.notes[0]


@pytest.mark.parametrize("people", [[], [LEFT]])
def test_with_too_few_people_the_picture_is_divided_as_before(people):
    proposal = cast_scene(two(), people=people)
    assert proposal.places == "parts"
    assert proposal.scene.boxes is None
    assert "2 equal parts" in proposal.notes[0]
    assert proposal.scene == two(image=proposal.scene.image)


def test_boxes_of_the_user_stay():
    boxes = [Box(48, 0, 90, 60), Box(0, 0, 40, 60)]
    speakers = [Speaker(voice(0.3), RATE, box) for box in boxes]
    proposal = cast_scene(two(speakers=speakers), people=[LEFT, RIGHT, person(42, 6, "person 3", 50)])
    assert proposal.places == "given"
    assert [speaker.box for speaker in proposal.scene.speakers] == boxes
    assert [pair.person for pair in proposal.match.pairs] == [2, 0]
    assert all(pair.reason is Reason.USER for pair in proposal.match.pairs)
    assert proposal.people[0].face == LEFT.face
    assert proposal.bystanders == (1,)


def test_nobody_is_looked_for():
    proposal = cast_scene(two(), find=False)
    assert proposal.places == "parts"
    assert proposal.scene.boxes is None


@pytest.mark.parametrize(
    ("correction", "wanted"),
    [
        ({"swap": True}, [RIGHT, LEFT]),
        ({"assign": {0: 2}}, [RIGHT, LEFT]),
        ({"assign": {"SPEAKER 2": 1}}, [RIGHT, LEFT]),
        ({"points": [(60, 20), (20, 50)]}, [RIGHT, LEFT]),
        ({"points": [(20, 20), (60, 20)]}, [LEFT, RIGHT]),
        ({"points": [(20, 20), (60, 20)], "swap": True}, [RIGHT, LEFT]),
    ],
)
def test_corrections(correction, wanted):
    proposal = cast_scene(two(), people=[LEFT, RIGHT], **correction)
    assert [speaker.box for speaker in proposal.scene.speakers] == [one.body for one in wanted]
    again = cast_scene(proposal.scene, people=[LEFT, RIGHT], swap=True)
    assert [speaker.box for speaker in again.scene.speakers] == [one.body for one in wanted[::-1]]


def test_equal_parts_can_be_exchanged_too():
    proposal = cast_scene(two(), people=[], swap=True)
    assert [speaker.box.left for speaker in proposal.scene.speakers] == [50, 2]


@pytest.mark.parametrize(
    ("correction", "message"),
    [
        ({"assign": {"Bob": 1}}, "'Bob' is no voice"),
        ({"assign": {0: 3}}, "there is no person 3"),
        ({"assign": {0: 1, 1: 1}}, "two voices"),
        ({"points": [(20, 20)]}, "1 points and 2 speakers"),
        ({"points": [(60, 20), (95, 63)]}, "two points show the same person"),
    ],
)
def test_corrections_that_make_no_sense(correction, message):
    with pytest.raises(PolytalkError, match=message):
        cast_scene(two(), people=[LEFT, RIGHT], **correction)


def test_a_single_voice_leaves_the_others_mouth_shut():
    alone = two(speakers=[Speaker(voice(0.3), RATE)])
    proposal = cast_scene(alone, people=[LEFT, RIGHT])
    assert [speaker.audio is None for speaker in proposal.scene.speakers] == [False, True]
    assert proposal.scene.speakers[1].box == RIGHT.body
    assert "listens" in proposal.notes[0]
    assert len(cast_scene(alone, people=[LEFT, FAR]).scene.speakers) == 1
    assert len(cast_scene(alone, people=[LEFT]).scene.speakers) == 1


def test_the_prompt_places_names():
    speakers = [Speaker(voice(0.3, 0), RATE, name="Anna"), Speaker(voice(0.3, 1), RATE, name="Ben")]
    proposal = cast_scene(two(speakers=speakers, prompt="Anna on the right, Ben on the left."), people=[LEFT, RIGHT])
    assert [speaker.box for speaker in proposal.scene.speakers] == [RIGHT.body, LEFT.body]


def test_a_later_picture_is_cast_in_the_same_order():
    """Nobody is to be found in a gradient, so it is divided, in the order of the first picture."""
    cue = Cue(0.1, image=picture(64, 100))
    proposal = cast_scene(two(cues=[cue]), people=[LEFT, RIGHT], swap=True)
    boxes = proposal.scene.cues[0].boxes
    assert boxes is not None
    assert boxes[0].left > boxes[1].left
    assert any("later picture" in note for note in proposal.notes)


def masked(person):
    mask = np.zeros((64, 96), bool)
    mask[person.head.top : person.body.bottom, person.head.left : person.head.right] = True
    return dataclasses.replace(person, mask=mask)


def test_masks_of_whoever_was_found_are_used(tmp_path):
    people = [masked(LEFT), masked(RIGHT)]
    proposal = cast_scene(two(), people=people, swap=True)
    for speaker, shown in zip(proposal.scene.speakers, people[::-1], strict=True):
        np.testing.assert_array_equal(speaker.mask, shown.mask)
        assert speaker.box == Box(shown.head.left, shown.head.top, shown.head.right, shown.body.bottom)
    save_proposal(proposal, tmp_path / "cast.json")
    scene = Scene.from_json(tmp_path / "cast.json")
    again = cast_scene(scene, people=people)
    assert again.scene == scene
    assert again.notes == ()
    moved = cast_scene(scene, people=people, swap=True).scene
    np.testing.assert_array_equal(moved.speakers[0].mask, people[0].mask)


def test_a_box_that_was_changed_by_hand_goes_before_the_mask(tmp_path):
    save_proposal(cast_scene(two(), people=[masked(LEFT), masked(RIGHT)]), tmp_path / "cast.json")
    content = json.loads((tmp_path / "cast.json").read_text())
    content["speakers"][0]["box"]["left"] = 3
    (tmp_path / "cast.json").write_text(json.dumps(content))
    changed = cast_scene(Scene.from_json(tmp_path / "cast.json"), people=[])
    assert changed.scene.speakers[0].mask is None
    assert changed.scene.speakers[0].box.left == 3
    assert changed.scene.speakers[1].mask is not None
    assert "the box counts" in changed.notes[0]


def test_speakers_with_points_and_masks_of_the_users():
    mask = masked(RIGHT).mask
    speakers = [Speaker(voice(0.3, 0), RATE, mask=mask), Speaker(voice(0.3, 1), RATE, point=(20, 20))]
    proposal = cast_scene(two(speakers=speakers), people=[LEFT, RIGHT])
    assert proposal.places == "given"
    assert [pair.person for pair in proposal.match.pairs] == [1, 0]
    assert proposal.scene.speakers[1].box == LEFT.body
    np.testing.assert_array_equal(proposal.scene.speakers[0].mask, mask)
    both = [Speaker(voice(0.3, i), RATE, point=(20 + i, 20)) for i in range(2)]
    with pytest.raises(PolytalkError, match="the same person"):
        cast_scene(two(speakers=both), people=[LEFT, RIGHT])


def test_a_saved_proposal_is_a_scene_file(tmp_path):
    (tmp_path / "two.png").write_bytes(b"?")
    proposal = cast_scene(two(), people=[LEFT, RIGHT, FAR])
    save_proposal(proposal, tmp_path / "cast.json")
    content = json.loads((tmp_path / "cast.json").read_text())
    assert content["casting"]["people"][2]["voice"] is None
    assert content["casting"]["who"][0] == {"voice": "speaker 1", "person": 1, "reason": "listed"}
    scene = Scene.from_json(tmp_path / "cast.json")
    assert [speaker.box for speaker in scene.speakers] == [LEFT.body, RIGHT.body]
    assert scene.image == tmp_path / "cast.png"
    assert (tmp_path / "cast.voice-2.wav").is_file()
    with pytest.raises(PolytalkError, match="exists"):
        save_proposal(proposal, tmp_path / "cast.json")
    save_proposal(proposal, tmp_path / "cast.json", force=True)


def recording(tmp_path, mixed=()):
    """Two voices in 2 s, the second cutting in at 0.9 s."""
    tracks = np.zeros((2, 2 * RATE), np.float32)
    tracks[0, :RATE], tracks[1, round(0.9 * RATE) :] = voice(1.0, 0), voice(1.1, 1)
    turns = (VoiceTurn(0, 0.0, 1.0), VoiceTurn(1, 0.9, 1.5), VoiceTurn(1, 1.6, 2.0))
    path = tmp_path / "talk.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((tracks.sum(0).clip(-1, 1) * 32767).astype("<i2").tobytes())
    return path, Diarization(turns, tracks, RATE, mixed, 2.0)


def test_a_recording_is_cut_into_turns_and_heard_whole(tmp_path):
    path, found = recording(tmp_path, mixed=((0.9, 1.0),))
    scene = scene_of_recording(picture(), path, found, prompt="They talk.")
    assert scene.names == ("voice 1", "voice 2")
    assert scene.soundtrack == path
    assert [(u.speaker, u.cut) for u in scene.utterances] == [
        ("voice 1", (0.0, 1.0)),
        ("voice 2", (0.9, 1.5)),
        ("voice 2", (1.6, 2.0)),
    ]
    proposal = cast_scene(scene, people=[LEFT, RIGHT])
    assert [pair.reason for pair in proposal.match.pairs] == [Reason.FIRST_SPEECH] * 2
    save_proposal(proposal, tmp_path / "cast.json")
    back = Scene.from_json(tmp_path / "cast.json")
    assert back == dataclasses.replace(proposal.scene, image=tmp_path / "cast.png")


def test_voices_that_were_taken_apart_keep_their_own_sound(tmp_path):
    path, found = recording(tmp_path)
    said = scene_of_recording(picture(), path, found).utterances
    assert [isinstance(u.audio, np.ndarray) for u in said] == [True, True, False]
    np.testing.assert_array_equal(said[1].audio, found.tracks[1, round(0.9 * RATE) : round(1.5 * RATE)])


def test_a_recording_in_memory():
    sound = np.concatenate([voice(1.0, 0), voice(1.0, 1)])
    found = Diarization((VoiceTurn(0, 0, 1.0), VoiceTurn(1, 1.0, 2.5)), np.stack([sound, sound]), RATE, (), 2.0)
    scene = scene_of_recording(picture(), sound, found, sample_rate=RATE)
    assert scene.utterances[1].end == 2.0
    np.testing.assert_array_equal(scene.utterances[1].audio, sound[RATE:])
    assert scene.soundtrack[1] == RATE


def test_a_recording_of_nobody_is_refused():
    nothing = Diarization((), np.zeros((0, RATE), np.float32), RATE)
    with pytest.raises(PolytalkError, match="nobody is heard"):
        scene_of_recording(picture(), voice(1.0), nothing, sample_rate=RATE)


def test_a_video_is_matched_by_mouths(tmp_path):
    from polytalk.evaluation.scenes.held_out import held_out_clips
    from polytalk.media.video import write_video

    clip = held_out_clips(1, people=2, seed=11, overlap_share=1.0, num_frames=77)[0]
    write_video(tmp_path / "talk.mp4", clip.frames, 25)
    people = [person_of(box, number, clip.frames.shape[1:3]) for number, box in enumerate(clip.face_boxes[0])]
    order = sorted(range(2), key=lambda place: people[place].head.left)
    for voices in ([0, 1], [1, 0]):
        turns = [Utterance(f"v{i}", audio=clip.audio[v], sample_rate=RATE, start=0) for i, v in enumerate(voices)]
        speakers = [Speaker(name="v0"), Speaker(name="v1")]
        scene = Scene(tmp_path / "talk.mp4", speakers=speakers, utterances=turns)
        proposal = cast_scene(scene, people=[people[place] for place in order])
        assert [pair.reason for pair in proposal.match.pairs] == [Reason.MOUTHS] * 2
        assert [order[pair.person] for pair in proposal.match.pairs] == voices


def person_of(box, number, size):
    left, top, right, bottom = (int(edge) for edge in np.clip(box, 0, (size[1], size[0]) * 2))
    head = Box(left, top, right, bottom)
    face = Box(left, top + round(0.35 * (bottom - top)), right, bottom)
    return FoundPerson(f"person {number + 1}", face, head, head, 0.9, "drawing")


def test_bodies_are_cut_between_the_heads():
    one = dataclasses.replace(LEFT, body=Box(0, 10, 60, 60))
    other = dataclasses.replace(RIGHT, body=Box(20, 10, 96, 60))
    left, right = bodies_apart([one, other])
    assert left.right == right.left == (LEFT.head.right + RIGHT.head.left) // 2
    above, below = person(30, 10, top=4), person(32, 10, top=40)
    above = dataclasses.replace(above, body=Box(20, 0, 50, 60))
    upper, lower = bodies_apart([above, below])
    assert upper.bottom == (14 + 40) // 2 <= lower.top
    assert bodies_apart([LEFT, RIGHT]) == [LEFT.body, RIGHT.body]


def test_a_box_takes_the_person_it_holds_most_of():
    people, places = join_given([Box(0, 0, 50, 60)], ["Anna"], [LEFT, RIGHT])
    assert places == [0]
    assert (people[0].name, people[0].finder, people[0].body) == ("Anna", "user", Box(0, 0, 50, 60))
    empty, places = join_given([Box(70, 40, 90, 60)], ["Anna"], [LEFT])
    assert places == [1]
    assert empty[1].score == 0


def test_a_point_on_two_bodies_means_the_nearer_head():
    wide = [dataclasses.replace(one, body=Box(0, 0, 96, 64)) for one in (LEFT, RIGHT)]
    assert person_at((30, 30), wide) == 0
    assert person_at((50, 30), wide) == 1
    assert person_at((95, 63), [LEFT, RIGHT]) == 1
    with pytest.raises(PolytalkError, match="nobody was found at 1,2"):
        person_at((1, 2), [])
