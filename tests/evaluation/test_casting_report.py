"""The measure of casting: scenes seated by first speech, and what counts as right."""

import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from polytalk import Scene, Speaker, Utterance
from polytalk.casting.cast import cast_scene
from polytalk.casting.found import FoundPerson
from polytalk.errors import PolytalkError
from polytalk.evaluation.reports.casting import CastingReport, _checked, casting_clips
from polytalk.scene import Box


@pytest.fixture(scope="module")
def clip():
    return next(casting_clips(1, people=2, seed=3, num_frames=61))


def people_of(clip):
    found = []
    for left, top, right, bottom in clip.face_boxes[0].clip(0):
        box = Box(int(left), int(top), int(right), int(bottom))
        found.append(FoundPerson("somebody", box, box, box, 0.9, "drawing"))
    return sorted(found, key=lambda person: person.head.left)


def proposal(clip, order, people=None):
    """Casting with the true turns of voices, heard in the given order."""
    said = []
    for place, voice in enumerate(order):
        on = np.flatnonzero(clip.speaking[:, voice])
        first, last = on[0] / 25, (on[-1] + 1) / 25
        sound = clip.audio[voice, int(first * 16_000) : int(last * 16_000)]
        said.append(Utterance(place, audio=sound, sample_rate=16_000, start=first))
        said[-1] = Utterance(place, audio=sound, sample_rate=16_000, start=first, end=last + 0.04)
    scene = Scene(clip.reference, speakers=[Speaker() for _ in order], utterances=said)
    return cast_scene(scene, people=people_of(clip) if people is None else people)


def test_whoever_speaks_first_sits_leftmost(clip):
    assert (clip.speaking.sum(axis=0) >= 20).all()
    centres = clip.face_boxes[0, :, [0, 2]].mean(axis=0)
    first = clip.speaking.argmax(axis=0)
    assert (np.argsort(centres) == np.argsort(first)).all()


def test_who_is_right_and_who_is_not(clip):
    order = [int(voice) for voice in np.argsort(clip.speaking.argmax(axis=0))]
    assert _checked(clip, proposal(clip, order)) == (True, True, True)
    assert _checked(clip, proposal(clip, order[::-1])) == (True, True, False)
    assert _checked(clip, proposal(clip, order, people_of(clip)[:1])) == (False, True, False)
    assert _checked(clip, proposal(clip, order[:1])) == (True, False, False)


def test_frames_too_few_for_everybody_are_refused():
    with pytest.raises(PolytalkError, match="frames"):
        next(casting_clips(1, people=3, num_frames=33))


def test_the_report_is_read_by_people_and_machines():
    report = CastingReport(0.88, 0.9, 0.5, math.nan, 0.97, 0.9, 0.86, 100, 50, 2, 101, False)
    assert report.lost == pytest.approx(2)
    values = json.loads(report.to_json())
    assert (values["found"], values["own_true"], values["lost"]) == (0.88, None, 2.0)
    said = io.StringIO()
    report.print(Console(file=said, width=120))
    assert "lost by casting: 2.0 points" in said.getvalue()
    assert "88.0%" in said.getvalue()
