"""`polytalk evaluate faces`: what it counts, and a small run of it."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from polytalk.casting.found import FoundPerson
from polytalk.casting.people.geometry import to_box
from polytalk.cli.app import app
from polytalk.errors import PolytalkError
from polytalk.evaluation.reports.faces import FacesReport, _count, counted_pictures
from polytalk.evaluation.scenes.synthetic_heads import EMPTY_HELD_OUT, HIDDEN, empty_photos, scene_config, visible_heads
from polytalk.synthetic.scenes import draw_clip
from polytalk.synthetic.seeds import FACES_TEST_SEED


@pytest.fixture(scope="module")
def clip():
    """Three or four people, all of them to be seen."""
    with empty_photos(EMPTY_HELD_OUT) as photos:
        for seed in range(FACES_TEST_SEED, FACES_TEST_SEED + 50):
            clip = draw_clip(seed, scene_config(photos))
            if len(clip.styles) >= 3 and visible_heads(clip, 0)[1].min() > HIDDEN:
                return clip
    raise AssertionError("no such clip")


def person(head, mask=None, size=(512, 288)):
    box = to_box(head, *size)
    return FoundPerson("person", box, box, box, 0.9, "drawing", None, mask)


def test_the_truth_itself_is_perfect(clip):
    heads, _ = visible_heads(clip, 0)
    masks = [mask.repeat(8, 0).repeat(8, 1) for mask in clip.masks[0]]
    report = FacesReport()
    _count(clip, [person(tuple(head), mask) for head, mask in zip(heads, masks, strict=True)], report)
    assert report.recall == report.precision == 1
    assert report.complete == 1
    assert report.iou > 0.95
    assert np.mean(report.masks) == 1
    assert report.heads == len(heads)


def test_misses_and_false_finds_are_counted(clip):
    heads, _ = visible_heads(clip, 0)
    twice = [person(tuple(heads[0])), person(tuple(heads[0]))]
    report = FacesReport()
    _count(clip, [*twice, person((0.0, 0.0, 12.0, 12.0))], report)
    assert report.hits == 1
    assert report.false == 2
    assert report.recall == pytest.approx(1 / len(heads))
    assert report.precision == pytest.approx(1 / 3)
    assert report.complete == 0
    small = FacesReport()
    left, top, right, bottom = heads[0]
    _count(clip, [person((left, top, (left + right) / 2, (top + bottom) / 2))], small)
    assert small.hits == 0, "a quarter of a head is not the head"


def test_half_hidden_heads_need_not_be_found(clip):
    shown = clip.masks[0, 0].copy()
    try:
        clip.masks[0, 0] = False
        report = FacesReport()
        _count(clip, [], report)
        assert report.heads == len(clip.styles) - 1
        found = FacesReport()
        _count(clip, [person(tuple(visible_heads(clip, 0)[0][0]))], found)
        assert found.false == 0
    finally:
        clip.masks[0, 0] = shown


def test_the_command_prints_what_it_measured(tmp_path):
    (tmp_path / "empty").mkdir()
    words = ["evaluate", "faces", "--scenes", "2", "--picture", f"{tmp_path / 'empty'}=0", "--json"]
    done = CliRunner().invoke(app, [*words, "--sheet", str(tmp_path / "sheet.png")])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout[done.stdout.index("{") :])
    assert said["scenes"] == 2
    assert said["recall"] > 0.8  # of six heads
    assert said["precision"] == 1
    assert {"astronaut.png": 1, "coffee.png": 0}.items() <= {p["name"]: p["found"] for p in said["pictures"]}.items()
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize("text", ["us.png", "us.png=two", "=2", "missing.png=2"])
def test_pictures_need_a_file_and_a_number(text):
    with pytest.raises(PolytalkError, match="FILE=PEOPLE"):
        counted_pictures([text])
