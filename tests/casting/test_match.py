"""Who is who: the user's word, names, mouths, and only then the order."""

import numpy as np
import pytest

from polytalk import Box
from polytalk.casting.found import FoundPerson
from polytalk.casting.match import Reason, decide_by_mouths, exchange, match_voices, prominent
from polytalk.errors import PolytalkError


def person(number, size=40, name=None):
    left = 100 * number
    face = Box(left, 20, left + size, 20 + size)
    body = Box(left, 0, left + 2 * size, 4 * size)
    return FoundPerson(name or f"person {number + 1}", face, face, body, 0.9, "photograph")


PEOPLE = [person(0), person(1), person(2)]


def pairs(match):
    return [(pair.voice, pair.person, pair.reason) for pair in match.pairs]


def test_without_any_sign_the_order_decides_and_says_so():
    match = match_voices(PEOPLE[:2], [None, None])
    assert pairs(match) == [(0, 0, Reason.FIRST_SPEECH), (1, 1, Reason.FIRST_SPEECH)]
    assert "order of first speech" in match.reasons[0]
    listed = match_voices(PEOPLE[:2], [None, None], listed=True)
    assert [pair.reason for pair in listed.pairs] == [Reason.LISTED] * 2


def test_the_users_word_goes_before_everything():
    scores = np.eye(2)
    people = [person(0, name="Anna"), person(1, name="Ben")]
    match = match_voices(people, ["Anna", "Ben"], given={0: 1}, caption="Anna on the left", scores=scores)
    assert pairs(match) == [(0, 1, Reason.USER), (1, 0, Reason.FIRST_SPEECH)]


def test_names_that_agree():
    people = [person(0, name="Ben"), person(1, name="ANNA"), person(2)]
    match = match_voices(people, ["Anna", "Carl", "Ben"])
    assert pairs(match) == [(0, 1, Reason.NAME), (1, 2, Reason.FIRST_SPEECH), (2, 0, Reason.NAME)]


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [
        ("Anna on the right and Ben on the left.", [1, 0]),
        ("On the right Anna, on the left Ben", [1, 0]),
        ("Two friends: Ben (left), Anna (right)", [1, 0]),
        ("Left: Ben. Right: Anna.", [1, 0]),
        ("Anna looks to the right. Ben smiles.", [0, 1]),
        ("Anna sits on the left of Ben", [0, 1]),
        ("Anna and Ben on the right", [0, 1]),
        ("Annabel on the right", [0, 1]),
    ],
)
def test_places_in_the_prompt(caption, wanted):
    match = match_voices(PEOPLE[:2], ["Anna", "Ben"], caption=caption)
    assert [pair.person for pair in match.pairs] == wanted


def test_the_middle_of_three():
    match = match_voices(PEOPLE, ["Anna", "Ben", "Carl"], caption="Carl in the middle, Anna on the far right.")
    assert [pair.person for pair in match.pairs] == [2, 0, 1]


def test_mouths_decide_in_a_video():
    scores = np.array([[0.1, 0.6], [0.5, -0.2], [0.0, 0.05]])
    match = match_voices(PEOPLE, [None, None], scores=scores)
    assert pairs(match) == [(0, 1, Reason.MOUTHS), (1, 0, Reason.MOUTHS)]
    assert match.bystanders == (2,)
    listed = match_voices(PEOPLE, [None, None], scores=scores, listed=True)
    assert [pair.person for pair in listed.pairs] == [0, 1]


@pytest.mark.parametrize(
    "scores",
    [
        [[0.3, 0.25], [0.3, 0.28]],
        [[-0.3, -0.5], [-0.6, -0.3]],
        [[np.nan, np.nan], [np.nan, np.nan]],
        [[0.5, 0.1]],
    ],
)
def test_mouths_that_say_nothing_do_not_decide(scores):
    assert decide_by_mouths(np.array(scores)) is None


def test_a_voice_that_is_never_heard_goes_to_whoever_is_left():
    assert decide_by_mouths(np.array([[np.nan, 0.1], [np.nan, 0.7]])) == [(0, 0), (1, 1)]


def test_small_faces_in_the_background_are_left_out():
    crowd = [person(0, 15), person(1, 60), person(2, 20), person(3, 50)]
    match = match_voices(crowd, [None, None])
    assert [pair.person for pair in match.pairs] == [1, 3]
    assert match.bystanders == (0, 2)
    assert prominent([one.face for one in crowd], 4) == [0, 1, 2, 3]
    assert prominent([one.face for one in PEOPLE], 2) == [0, 1]


def test_more_voices_than_people():
    match = match_voices(PEOPLE[:1], [None, None])
    assert pairs(match) == [(0, 0, Reason.FIRST_SPEECH)]
    assert match.unplaced == (1,)
    assert match.person_of(1) is None


def test_exchanged_voices():
    match = match_voices(PEOPLE, [None, None]).exchanged(0, 1)
    assert pairs(match) == [(0, 1, Reason.USER), (1, 0, Reason.USER)]
    with pytest.raises(PolytalkError, match="swap"):
        match.exchanged(0, 2)


@pytest.mark.parametrize(
    ("given", "wanted", "result"),
    [
        ({0: 0, 1: 1}, {0: 1}, {0: 1, 1: 0}),
        ({0: 0, 1: 1}, {0: 1, 1: 0}, {0: 1, 1: 0}),
        ({0: 0, 1: 1}, {0: 2}, {0: 2, 1: 1}),
        ({}, {1: 0}, {1: 0}),
        ({0: 0, 1: 1, 2: 2}, {0: 1, 1: 2}, {0: 1, 1: 2, 2: 0}),
    ],
)
def test_a_changed_assignment_drives_out_whoever_was_there(given, wanted, result):
    assert exchange(given, wanted) == result


@pytest.mark.parametrize(
    ("given", "message"),
    [({5: 0}, "no voice 6"), ({0: 7}, "no person 8"), ({0: 1, 1: 1}, "voices 1 and 2")],
)
def test_a_word_that_makes_no_sense(given, message):
    with pytest.raises(PolytalkError, match=message):
        match_voices(PEOPLE, [None, None], given=given)
