"""The report: what the truth scores, what a still picture scores, and what is written."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.evaluation.reports.parts import Figure, Goal
from polytalk.evaluation.reports.report import MEASURES, Report, ReportSettings, draw_sheet, evaluate_report
from polytalk.pipeline.multitalk import MultiTalkPipeline


@pytest.fixture(scope="module")
def components():
    return MultiTalkPipeline.from_pretrained("mini").components


def truth(requests):
    return [clip.frames for clip, _ in requests]


def still(requests):
    return [np.repeat(clip.reference[None], len(clip.frames), axis=0) for clip, _ in requests]


def values(report: Report) -> dict[str, Figure]:
    return {f"{line.measure}: {line.name}": line for line in report.figures}


@pytest.fixture(scope="module")
def drawn(components) -> Report:
    only = ("binding", "shapes", "picture", "identity", "life", "speed")
    return evaluate_report(truth, components, ReportSettings(4, people=(1, 2), only=only, seed=60))


def test_truth_equals_truth(drawn):
    found = values(drawn)
    for line in found.values():
        if math.isfinite(line.truth) and line.name != "two: swapped":
            assert line.generated == pytest.approx(line.truth, nan_ok=True), line
    assert found["binding: two: own"].met
    assert found["shapes: closed on p, b, m"].met
    assert found["shapes: closed on p, b, m"].generated > found["shapes: closed on p, b, m"].floor
    assert found["picture: sharpness, last frames"].met
    assert found["picture: flicker of still parts, /255"].met
    assert found["identity: taken for others"].generated <= 0.1
    assert found["binding: two: diagonal"].floor == 0.5
    # the drawn frames of the own voices answer every request: exchanged voices move nothing
    assert found["binding: two: swapped"].generated < 0.5
    assert found["speed: frames a second"].generated > 0


def test_rebuilt_truth_loses_some_sharpness(drawn):
    line = values(drawn)["picture: sharpness of faces"]
    assert 0.5 < line.reconstruction < line.truth
    assert len(drawn.sharpness) == 33


def test_a_still_picture_fails(components):
    only = ("binding", "shapes", "picture", "life")
    found = values(evaluate_report(still, components, ReportSettings(3, people=(1,), only=only, seed=60)))
    assert found["binding: one: own"].met is False
    assert found["shapes: closed on p, b, m"].generated == 0
    assert found["life: sway of heads, heights"].met is False
    assert found["picture: flicker of still parts, /255"].generated == 0


def test_actions_and_crossing_of_the_truth(components):
    found = values(evaluate_report(truth, components, ReportSettings(3, only=("actions", "crossing"), seed=61)))
    assert found["actions: named"].generated == found["actions: named"].truth
    assert found["crossing: changed sides"].truth >= 2 / 3
    assert {name.split(":")[0] for name in found} == {"actions", "crossing"}


def test_figures_are_written_as_json(drawn):
    read = json.loads(drawn.to_json())
    assert read["scenes"] == 4
    line = next(line for line in read["figures"] if line["name"] == "two: own")
    assert line["goal"] == "≥ 0.75 of truth"
    assert line["met"] is True
    assert line["floor"] < line["generated"]


def test_goals():
    assert Goal(least=0.5, of_truth=True).met(0.3, 0.5)
    assert not Goal(most=0.1).met(0.2, math.nan)
    assert Goal(least=1).met(math.nan, 1.0) is None
    assert Goal(0.5, 1.5, of_truth=True).met(1.0, 0.0) is None
    assert str(Goal(0.5, 1.5, of_truth=True)) == "0.5 – 1.5 of truth"


@pytest.mark.parametrize("wrong", [{"only": ("mouths",)}, {"only": ()}, {"scenes": 0}])
def test_wrong_wishes_are_refused(wrong):
    with pytest.raises(PolytalkError):
        ReportSettings(**wrong)
    assert set(ReportSettings().only) == set(MEASURES)


def test_sheet_shows_truth_above_what_was_generated(tmp_path):
    draw_sheet(still, tmp_path / "sheet.png", num_frames=9)
    assert Image.open(tmp_path / "sheet.png").width > 8 * 256
    with pytest.raises(PolytalkError, match="written"):
        draw_sheet(still, tmp_path / "none" / "sheet.png", num_frames=5)
