"""Voices after a crossing: the measure by itself, and a whole chain on a tiny model."""

import json
import math

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny_model import tiny_pipeline

from polytalk.evaluation.reports.crossing import MODES, crossing_scenes, evaluate_crossing, render_crossing, right_masks
from polytalk.pipeline.settings import RunSettings


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline(clip_frames=25, motion_frames=5, num_inference_steps=1, keep_picture=True)


@pytest.fixture(scope="module")
def scenes():
    return crossing_scenes(1, 3, 25, 5)


def test_people_change_sides_in_the_drawn_clip_and_speak_throughout(scenes):
    (scene,) = scenes
    begin, end = (torch.from_numpy(scene.clip.masks[frame]) for frame in (0, -1))
    columns = torch.arange(32.0)
    before, after = ([float((mask * columns).sum() / mask.sum()) for mask in masks] for masks in (begin, end))
    assert np.sign(before[0] - before[1]) == -np.sign(after[0] - after[1])
    assert scene.talk.mouth.shape == (2, 25 + 4 * 20, 3)
    np.testing.assert_array_equal(scene.clip.audio, scene.talk.audio[:, 20 * 640 : 45 * 640])
    assert right_masks(begin, scene.clip.masks[0]) == 1
    assert right_masks(begin, scene.clip.masks[-1]) == 0


def test_right_masks_are_those_that_cover_their_own_person_best():
    true = np.zeros((2, 4, 8), bool)
    true[0, :, :4], true[1, :, 4:] = True, True
    masks = torch.from_numpy(true)
    assert right_masks(masks, true) == 1
    assert right_masks(masks.flip(0), true) == 0
    assert right_masks(masks.any(0).expand(2, 4, 8), true) == 0.5  # a mask over everybody tells nothing
    assert right_masks(torch.zeros_like(masks), true) == 0


def test_the_crossing_is_shown_and_everything_else_is_made(pipe, scenes):
    settings = RunSettings.choose(pipe.config, carry_masks=False)
    clips, masks = render_crossing(pipe, settings, scenes[0], "fixed", seed=0)
    assert [len(frames) for frames in clips] == [25, 20, 20, 20, 20]
    assert right_masks(masks, scenes[0].clip.masks[0]) == 1
    assert right_masks(masks, scenes[0].clip.masks[-1]) == 0


def test_every_mode_is_measured_in_every_clip_after_the_crossing(pipe, scenes):
    told = []
    report = evaluate_crossing(pipe, scenes, modes=MODES[::2], progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    assert tuple(report.modes) == ("fixed", "followed")
    for mode in report.modes.values():
        assert len(mode.own) == len(mode.other) == len(mode.right) == 3
        assert all(math.isnan(value) or -1 <= value <= 1 for value in mode.own + mode.other)
    assert report.modes["fixed"].masks == 0
    assert json.loads(report.to_json())["scenes"] == 1
    console = Console(record=True, width=160)
    report.print(console)
    assert "released" in console.export_text()
