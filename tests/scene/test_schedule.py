"""When everybody speaks, and what prompt and picture hold when."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk import Box, Cue, PolytalkError, Scene, Speaker, Utterance
from polytalk.scene.schedule import lay_out

TWO = [Speaker(name="Anna"), Speaker(name="Ben"), Speaker(name="Carl")]


def laid_out(*said, lengths=None, cues=(), **values):
    scene = Scene("a.png", "Base.", TWO, utterances=said, cues=cues, **values)
    return lay_out(scene, [1.0] * len(said) if lengths is None else lengths)


def times(schedule):
    return [(turn.speaker, round(turn.start, 6), round(turn.stop, 6)) for turn in schedule.turns]


def test_one_follows_the_other_after_a_pause():
    schedule = laid_out(
        Utterance("Anna", "a"),
        Utterance("Ben", "b"),
        Utterance("Anna", "c", pause=1),
        Utterance("Ben", "d", pause=-0.5),
        Utterance("Anna", "e", start=20),
        Utterance("Ben", "f"),
    )
    assert times(schedule) == [(0, 0, 1), (1, 1.2, 2.2), (0, 3.2, 4.2), (1, 3.7, 4.7), (0, 20, 21), (1, 21.2, 22.2)]
    assert schedule.num_speakers == 3
    assert schedule.seconds == pytest.approx(22.2)


def test_the_next_waits_for_everybody():
    schedule = laid_out(
        Utterance("Anna", "long"), Utterance("Ben", "mhm", start=2), Utterance("Anna", "c"), lengths=[10, 1, 1]
    )
    assert times(schedule)[2] == (0, 10.2, 11.2)


@settings(deadline=None)
@given(
    turns=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400), st.integers(1, 60)), min_size=1, max_size=6),
    fps=st.sampled_from([25, 24, 29.97, 1]),
)
def test_speaking_frames_are_those_that_a_turn_touches(turns, fps):
    said, now = [], 0.0
    for person, gap, length in turns:
        now += gap / 100
        said.append((Utterance(TWO[person].name, "a", start=now), length / 100))
        now += length / 100
    schedule = laid_out(*[u for u, _ in said], lengths=[length for _, length in said])
    frames = int(np.ceil(schedule.seconds * fps)) + 2
    speaking = schedule.speaking(frames, fps)
    assert speaking.shape == (3, frames)
    middle = (np.arange(frames) + 0.5) / fps
    for person in range(3):
        inside = np.zeros(frames, bool)
        for turn in schedule.turns:
            if turn.speaker == person:
                inside |= (turn.start <= middle) & (middle < turn.stop)
                assert speaking[person, int(turn.start * fps + 1e-3)]
        assert (speaking[person] >= inside).all()
        # No more than the frame at either edge of each turn beyond that.
        assert speaking[person].sum() - inside.sum() <= 2 * sum(turn.speaker == person for turn in schedule.turns)


def test_frames_on_a_turns_edge_belong_to_it_alone():
    schedule = laid_out(Utterance("Anna", "a"), Utterance("Ben", "b", start=1))
    speaking = schedule.speaking(60)
    assert np.flatnonzero(speaking[0]).tolist() == list(range(25))
    assert np.flatnonzero(speaking[1]).tolist() == list(range(25, 50))
    assert not speaking[2].any()


@pytest.mark.parametrize("fps", [0, -25, float("nan"), float("inf"), "25", True])
def test_a_frame_rate_must_be_positive(fps):
    with pytest.raises(PolytalkError, match="fps"):
        laid_out(Utterance("Anna", "a")).speaking(10, fps)


def test_prompts_and_pictures_change():
    boxes = [Box(i, 0, i + 1, 1) for i in range(3)]
    schedule = laid_out(
        Utterance("Anna", "a"),
        Utterance("Ben", "b", start=2, prompt="Ben smiles."),
        Utterance("Anna", "c", start=2.5, prompt="Anna nods."),
        Utterance("Anna", "d", start=5),
        cues=[
            Cue(4, image="b.png", boxes=boxes),
            Cue(prompt="Rain.", utterance=3),
            Cue(5, "Snow, but not for long."),
            Cue(9, ""),
        ],
    )
    spans = [(span.start, span.prompt) for span in schedule.prompts]
    assert spans == [
        (0, "Base."),
        (2, "Base. Ben smiles."),
        (2.5, "Base. Ben smiles. Anna nods."),
        (3, "Base. Anna nods."),
        (3.5, "Base."),
        (5, "Rain."),
        (9, ""),
    ]
    assert [span.stop for span in schedule.prompts] == [*(start for start, _ in spans[1:]), float("inf")]
    assert schedule.prompt(0, 2.4) == "Base."
    assert schedule.prompt(2.2, 2.8) == "Base. Ben smiles."
    assert schedule.prompt(3.9, 8) == "Rain."
    assert schedule.prompt(100, 101) == ""
    assert schedule.setting(3.99).image.name == "a.png"
    assert schedule.setting(4).image.name == "b.png"
    assert schedule.setting(100).boxes == tuple(boxes)
    assert schedule.setting(0).boxes is None


@settings(deadline=None)
@given(start=st.floats(0, 50), length=st.floats(0.01, 20))
def test_a_clip_has_the_prompt_that_holds_longest(start, length):
    schedule = laid_out(Utterance("Anna", "a"), cues=[Cue(10, "A."), Cue(17, "B."), Cue(20, "A.")])
    prompt = schedule.prompt(start, start + length)
    moments = np.linspace(start, start + length, 2001)[:-1] + length / 4000
    held = np.select([moments < 10, moments < 17, moments < 20], [0, 1, 2], 1)
    shares = np.bincount(held, minlength=3)
    assert shares[["Base.", "A.", "B."].index(prompt)] >= shares.max() - 2


@pytest.mark.parametrize(
    ("said", "lengths", "message"),
    [
        (
            [Utterance("Anna", "a", start=1, end=2)],
            [1.5],
            r"utterances\[0\]: Anna speaks for 1.50 s in a slot of 1.00 s",
        ),
        ([Utterance("Anna", "a"), Utterance("Anna", "b", start=0.5)], [1, 1], r"utterances\[1\]: Anna says two things"),
        (
            [Utterance("Anna", "a"), Utterance("Anna", "b", pause=-0.5)],
            [1, 1],
            "two things at once, from 0.50 s to 1.00",
        ),
        ([Utterance("Anna", "a"), Utterance("Ben", "b", pause=-2)], [1, 1], "would start 1.00 s before the video"),
        ([Utterance("Anna", "a", start=7199)], [2], "the whole arrangement lasts 2.0 hours"),
    ],
)
def test_times_that_cannot_be_are_refused(said, lengths, message):
    with pytest.raises(PolytalkError, match=message):
        laid_out(*said, lengths=lengths)


def test_a_sound_may_outlast_its_slot_by_a_frame():
    schedule = laid_out(Utterance("Anna", "a", start=1, end=2), Utterance("Anna", "b", start=2), lengths=[1.03, 1])
    assert times(schedule) == [(0, 1, 2.03), (0, 2, 3)]


def test_an_hour_of_silence_is_an_hour_of_silence():
    schedule = laid_out(Utterance("Anna", "a"), Utterance("Ben", "b", start=3600))
    assert schedule.seconds == 3601
    speaking = schedule.speaking(3601 * 25)
    assert speaking.sum() == 50
    assert not speaking[:, 25 : 3600 * 25].any()


def test_whole_tracks_and_utterances_share_a_scene():
    speakers = [Speaker("x.wav", offset=2, name="Anna"), Speaker(name="Ben")]
    scene = Scene("a.png", "", speakers, utterances=[Utterance("Ben", "b", start=1)])
    schedule = lay_out(scene, [1.0], [4.0, None])
    assert times(schedule) == [(0, 2, 6), (1, 1, 2)]
    assert [turn.utterance for turn in schedule.turns] == [None, 0]
