"""The meter of drift on videos whose drift is known."""

import json

import numpy as np
import pytest

from polytalk import PolytalkError
from polytalk.config.pipeline import PipelineConfig
from polytalk.evaluation.readers.mouth_reader import MouthReader
from polytalk.evaluation.reports.drift import MEASURES, WAYS, DriftMeter, DriftReport, drift_scenes, video_length
from polytalk.pipeline.settings import RunSettings

CLIPS = 3


@pytest.fixture(scope="module")
def clip():
    return drift_scenes(1, num_frames=33)[0]


@pytest.fixture(scope="module")
def reader():
    return MouthReader.from_pretrained()


def measured(clip, reader, frames):
    meter = DriftMeter(CLIPS, 2)
    meter.update(np.split(frames, CLIPS), clip, reader)
    return meter.compute()


@pytest.fixture(scope="module")
def truth(clip, reader):
    return measured(clip, reader, clip.frames)


def test_drawn_frames_do_not_drift(truth):
    assert set(truth) == set(MEASURES)
    assert min(truth["background"]) > 25
    assert max(truth["colour"]) < 4
    assert max(truth["identity"]) < 0.25
    assert truth["sharpness"] == pytest.approx([1, 1, 1], abs=0.2)


def test_what_drifts_shows_from_clip_to_clip(clip, reader, truth):
    frames = clip.frames.astype(float)
    amount = np.repeat([0.0, 0.5, 1.0], 11)[:, None, None, None]
    tinted = frames * (1 - amount * np.array([0.0, 0.15, 0.4])) + amount * np.array([30.0, 10, 0])
    found = measured(clip, reader, tinted.clip(0, 255).astype(np.uint8))
    for name, sign in (("colour", 1), ("identity", 1), ("background", -1)):
        rising = sign * np.array(found[name])
        assert rising[0] == pytest.approx(sign * truth[name][0], rel=0.05)
        assert rising[0] < rising[1] < rising[2], name
    blurred = frames.copy()
    for shift in (1, 2, 3):
        blurred[22:] += np.roll(frames[22:], shift, axis=2)
    blurred[22:] /= 4
    soft = measured(clip, reader, blurred.astype(np.uint8))
    assert soft["sharpness"][2] < 0.9 * truth["sharpness"][2]
    assert soft["sharpness"][0] == pytest.approx(truth["sharpness"][0], rel=0.05)


def test_the_number_of_clips_must_agree(clip, reader):
    with pytest.raises(PolytalkError, match="Give 3 of each"):
        DriftMeter(3, 2).update([clip.frames], clip, reader)


def test_the_report_as_text_json_and_picture(tmp_path, truth):
    pytest.importorskip("matplotlib")
    holes = {**truth, "sync": [float("nan"), 0.5, 0.25]}
    report = DriftReport({"off": truth, "on": holes}, {"off": {}, "on": {"carry_over": "latent"}}, 1, 0)
    content = json.loads(report.to_json())
    assert content["curves"]["on"]["sync"] == [None, 0.5, 0.25]
    lines = report.table(at=(1, 3, 10)).splitlines()
    assert lines[0].startswith("clip 1/3")
    assert len(lines) == 3
    report.plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(PolytalkError, match="cannot be written"):
        report.plot(tmp_path / "none" / "a.png")


def test_lengths_fill_every_clip_and_all_ways_are_choices():
    config = PipelineConfig(clip_frames=33, motion_frames=5)
    assert video_length(config, 10) == 33 + 9 * 28
    assert video_length(config, 2, motion_frames=9) == 33 + 24
    for choices in WAYS.values():
        RunSettings.choose(config, **choices)
