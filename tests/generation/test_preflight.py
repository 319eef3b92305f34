"""What is shown before a video is made."""

import numpy as np
import pytest
from casts import FAR, LEFT, RIGHT, two
from tiny_model import voice

from polytalk import Box, Scene, Speaker, Utterance
from polytalk.casting.cast import cast_scene
from polytalk.casting.found import FoundPerson
from polytalk.casting.preview import COLOURS
from polytalk.generation.close_ups import plan_close_ups
from polytalk.generation.preflight import preflight

RATE, SIZE = 16_000, (144, 256)


def test_people_and_timeline():
    speakers = [Speaker(voice(0.3, 0), RATE, name="Anna"), Speaker(voice(0.5, 1), RATE, name="Ben", offset=0.2)]
    shown = preflight(cast_scene(two(speakers=speakers), people=[LEFT, RIGHT, FAR]), SIZE)
    assert [(row.name, row.person, row.box) for row in shown.people] == [
        ("Anna", "person 1, left", LEFT.body),
        ("Ben", "person 2, right", RIGHT.body),
    ]
    assert [row.seconds for row in shown.people] == pytest.approx([0.3, 0.5])
    assert [(turn.name, turn.start, round(turn.end, 3)) for turn in shown.turns] == [
        ("Anna", 0, 0.3),
        ("Ben", 0.2, 0.7),
    ]
    assert shown.seconds == pytest.approx(0.7)
    assert preflight(cast_scene(two(), people=[LEFT, RIGHT]), SIZE, max_seconds=0.1).seconds == 0.1


def test_texts_are_spoken_once_and_kept():
    said = [Utterance("Anna", "Hello!"), Utterance("Ben", audio=voice(0.3), sample_rate=RATE)]
    scene = two(speakers=[Speaker(name="Anna"), Speaker(name="Ben")], utterances=said)
    shown = preflight(cast_scene(scene, people=[LEFT, RIGHT]), SIZE)
    assert shown.turns[0].words == "Hello!"
    assert all(utterance.audio is not None for utterance in shown.scene.utterances)
    assert shown.scene.utterances[0].text == "Hello!"
    assert shown.turns[0].end > 0.2
    assert "spoken by" in shown.people[0].voice
    again = preflight(cast_scene(shown.scene, people=[LEFT, RIGHT]), SIZE)
    assert [(turn.start, turn.end) for turn in again.turns] == [(turn.start, turn.end) for turn in shown.turns]


def test_warnings_name_everything_that_is_wrong():
    loud = np.clip(2 * np.sin(np.arange(RATE) / 8), -1, 1).astype(np.float32)
    speakers = [
        Speaker(loud, RATE, Box(0, 0, 60, 60), name="Anna"),
        Speaker(None, None, Box(20, 0, 70, 60), name="Ben"),
    ]
    scene = two(speakers=speakers)
    told = "\n".join(preflight(cast_scene(scene, people=[LEFT, RIGHT]), SIZE, music=lambda sound: 1.0).warnings)
    for words in (
        "share",
        "face is",
        "Ben has no voice",
        "the sound of Anna is clipped",
        "holds music (100%",
        "enlarged",
    ):
        assert words in told, words
    quiet = two(speakers=[Speaker(voice(0.3, i), RATE, box) for i, box in enumerate([Box(0, 0, 40, 64), RIGHT.body])])
    small = preflight(cast_scene(quiet, people=[], find=False), (64, 96))
    assert small.warnings == ()
    near = preflight(
        cast_scene(scene, people=[LEFT, RIGHT]), SIZE, close_ups=plan_close_ups(scene, size=SIZE, people=[LEFT, RIGHT])
    ).warnings
    assert not any("face is" in warning or "enlarged" in warning for warning in near)


def test_a_listener_that_casting_added_is_no_news():
    alone = two(speakers=[Speaker(voice(0.3), RATE)])
    shown = preflight(cast_scene(alone, people=[LEFT, RIGHT]), (64, 96))
    assert not any("no voice" in warning for warning in shown.warnings)
    assert [row.voice for row in shown.people] == ["sound in memory", "listens"]


def test_the_picture_shows_boxes_names_and_bars():
    shown = preflight(cast_scene(two(), people=[LEFT, RIGHT, FAR]), SIZE)
    image = np.asarray(shown.picture())
    assert image.shape[1] == 192
    assert image.shape[0] > 128
    for colour in COLOURS[:2]:
        drawn = (image == colour).all(axis=-1)
        assert drawn[:128].any(), "no box"
        assert drawn[128:].any(), "no bar"
    box = LEFT.body
    assert tuple(image[2 * box.bottom - 1, 2 * box.left + 10]) == COLOURS[0]


def test_a_prompt_without_boxes_is_shown_as_parts():
    shown = preflight(cast_scene(two(), people=[]), SIZE)
    assert [row.person for row in shown.people] == ["part 1", "part 2"]
    assert shown.proposal.places == "parts"
    assert not any("face" in warning for warning in shown.warnings)
    assert isinstance(shown.scene, Scene)
    assert isinstance(shown.proposal.people[0], FoundPerson)
