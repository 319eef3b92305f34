"""What prompts ask people to do, and when they do it."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytalk.motion.action_words import PATTERNS
from polytalk.motion.gestures import ACTIONS, CAMERA, WALK
from polytalk.motion.idle import CHANNELS, idle_motions, pose_signal
from polytalk.motion.prompted import Act, acts_in, acts_over, play, walking
from polytalk.synthetic.prompts import EVENT_WORDS, write_prompt

KNOWN = json.loads((Path(__file__).parents[2] / "benchmarks" / "action_words.json").read_text(encoding="utf-8"))
PLACES, SIZES = np.array([60.0, 190.0]), np.array([80.0, 100.0])


def played(act: Act, span: range, count: int = 200):
    """Tracks of two people before and after."""
    before, after = (idle_motions(4, PLACES, count, 0.3) for _ in range(2))
    play(after, act, span, [0, 1], PLACES, SIZES, np.random.default_rng(0))
    return before, after


def test_every_action_has_words():
    assert set(PATTERNS) == set(EVENT_WORDS) == {*ACTIONS, WALK, CAMERA}


@pytest.mark.parametrize("name", EVENT_WORDS)
def test_the_training_scenes_words_are_understood(name):
    for words in EVENT_WORDS[name]:
        if name == CAMERA:
            assert acts_in(f"A man and a woman are talking. {words}.", 2) == [Act(CAMERA, -1)]
        else:
            assert acts_in(f"A man next to a dog. The dog on the right {words}.", 2) == [Act(name, 1)]
            assert acts_in(f"A woman, speaking. The woman {words}.", 1) == ([] if name == WALK else [Act(name, 0)])


@pytest.mark.parametrize(
    ("prompt", "people", "wanted"),
    [
        ("", 2, []),
        ("A man with wavy hair and a woman with a smiling sun on her shirt talk on a hand-painted bench.", 2, []),
        ("The man does not nod. Nobody waves.", 2, []),
        ("The camera stays fixed on them.", 2, []),
        ("They look into the camera.", 2, []),
        ("A man and a woman. The woman smiles and then waves.", 2, [Act("smiles", 1), Act("waves", 1)]),
        ("Both nod.", 3, [Act("nods", 0), Act("nods", 1), Act("nods", 2)]),
        ("The one in the middle turns to the other.", 3, [Act("looks to the other", 1)]),
        ("The third person raises her left hand.", 4, [Act("raises a hand", 2)]),
        ("He moves his head up and down.", 1, [Act("nods", 0)]),
        ("She moves her head from side to side.", 1, [Act("shakes the head", 0)]),
        ("The man on the left comes closer to the camera.", 2, [Act("leans in", 0)]),
        # what belongs to one action is not split
        ("She moves her head to the left and then to the right.", 1, [Act("shakes the head", 0)]),
        ("He raises and lowers his chin.", 1, [Act("nods", 0)]),
        ("She gives a small, curious tilt of the head.", 1, [Act("tilts the head", 0)]),
        ("He shakes his head as though in disbelief.", 1, [Act("shakes the head", 0)]),
        ("She lifts an arm & waves it.", 1, [Act("waves", 0)]),
        ("The camera starts far away and ends up close.", 2, [Act(CAMERA, -1)]),
        # who acts
        ("The one on the right hears the news and gives a heavy nod.", 2, [Act("nods", 1)]),
        ("The one on the right listens, both eyes closed.", 2, [Act("closes the eyes", 1)]),
        ("A man and a woman. The woman listens and she nods.", 2, [Act("nods", 1)]),
        ("They wave goodbye as the camera pushes in.", 2, [Act("waves", 0), Act("waves", 1), Act(CAMERA, -1)]),
        # what is denied, told or described is not done
        ("The woman can't help smiling and never stops nodding.", 1, [Act("smiles", 0), Act("nods", 0)]),
        ("He stops waving. She smiles instead of nodding.", 1, [Act("smiles", 0)]),
        ("A coach explains how to raise a hand. He talks about nodding with a smile.", 1, [Act("smiles", 0)]),
        ("A lady with closed eyes hangs on the wall. The clouds move across the sky.", 2, []),
    ],
)
def test_prompts_are_understood(prompt, people, wanted):
    assert acts_in(prompt, people) == wanted


@pytest.mark.parametrize("name", KNOWN["actions"])
def test_known_wordings_are_understood(name):
    missed = []
    for words in KNOWN["actions"][name]:
        sentence = words if words[0].isupper() else f"The one on the right {words}"
        wanted = [Act(name, -1 if name == CAMERA else 1)]
        if acts_in(f"A man and a woman are talking. {sentence}.", 2) != wanted:
            missed.append(words)
    assert len(missed) <= 0.05 * len(KNOWN["actions"][name]), missed


def test_prompts_that_ask_for_nothing_are_not_misread():
    misread = [prompt for prompt in KNOWN["nothing"] if acts_in(prompt, 2)]
    assert len(misread) <= 0.02 * len(KNOWN["nothing"]), misread


@given(st.text(max_size=200), st.integers(1, 4))
def test_any_text_is_taken(prompt, people):
    for act in acts_in(prompt, people):
        assert (act.person == -1) == (act.name == CAMERA)
        assert act.person < people


def test_an_action_goes_on_through_prompts_that_repeat_it():
    wave, nod = Act("waves", 0), Act("nods", 1)
    left, right = "The man on the left waves.", "The man on the right nods."
    prompts = [(range(50), left), (range(50, 90), f"{left} {right}"), (range(90, 150), right), (range(150, 200), left)]
    found = acts_over(prompts, 2)
    assert sorted(found, key=str) == sorted(
        [(wave, range(90)), (nod, range(50, 150)), (wave, range(150, 200))], key=str
    )


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_is_seen_in_the_signal_of_that_person_alone(name):
    before, after = played(Act(name, 1), range(40, 200))
    others, told = (pose_signal(after[n]) - pose_signal(before[n]) for n in (0, 1))
    assert not others.any()
    assert not told[:40].any()
    assert np.abs(told[40:80]).max() > 0.25


def test_states_end_with_their_prompt_and_gestures_come_again():
    before, after = played(Act("smiles", 0), range(20, 80))
    assert after[0]["smile"][60] == pytest.approx(1.0)
    np.testing.assert_allclose(after[0]["smile"][100:], before[0]["smile"][100:])
    _, after = played(Act("waves", 0), range(200))
    up = after[0]["hand"] > 0.5
    assert np.count_nonzero(up[1:] & ~up[:-1]) == 2


def test_who_walks_and_whom_they_pass_change_places():
    _, after = played(Act(WALK, 0), range(30, 200))
    way = [float(track["place"][-1]) * size for track, size in zip(after, SIZES, strict=True)]
    assert way == pytest.approx([130.0, -130.0])
    stretch = walking(range(30, 200))
    for track in after:
        assert not track["place"][: stretch.start + 1].any()
        assert np.ptp(track["place"][stretch.stop :]) == pytest.approx(0)


def test_the_camera_moves_for_all():
    _, after = played(Act(CAMERA, -1), range(200))
    zoom = CHANNELS.index("zoom")
    signals = [pose_signal(track)[:, zoom] for track in after]
    np.testing.assert_array_equal(*signals)
    assert signals[0][0] == 0
    assert signals[0][60] > 0.5


@given(st.sampled_from(sorted(ACTIONS)), st.integers(30, 150), st.integers(1, 80))
def test_longer_videos_begin_like_shorter_ones(name, short, more):
    count = short + more
    _, brief = played(Act(name, 0), range(short), short)
    _, long = played(Act(name, 0), range(count), count)
    for track in brief[0]:
        np.testing.assert_allclose(brief[0][track], long[0][track][:short], atol=1e-9, err_msg=track)


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_descriptions_ask_for_nothing(seed, people):
    rng = np.random.default_rng(seed)
    looks = [
        "a smiling man with wavy hair in a blue suit",
        "a girl with a raised collar",
        "an old woman",
        "a brown bear",
    ]
    assert (
        acts_in(write_prompt(rng, looks[:people], range(people), (), "a room with a view of the sea", 0.0), people)
        == []
    )
