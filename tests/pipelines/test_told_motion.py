"""Networks that can be told what people do unasked are told so, clip by clip."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_model import SIZE, TINY, scene, tiny_components, tiny_pipeline

from polytalk import MultiTalkPipeline
from polytalk.conditioning.idle_motion import CHANNELS, idle_motions, pose_signal
from polytalk.pipelines.work import WorkFolder


@pytest.fixture(scope="module")
def pipe() -> MultiTalkPipeline:
    components = tiny_components(pose_channels=len(CHANNELS))
    return MultiTalkPipeline(components, dataclasses.replace(TINY, idle_motion=0.5))


def run(pipe, **choices):
    return pipe(scene(seconds=0.8), size=SIZE, seed=3, **choices).frames


def told_to(pipe, monkeypatch, **choices):
    """What the network was told, a tensor or None for every preparation of a clip."""
    seen, prepare = [], pipe.components.transformer.prepare_conditioning

    def watched(text, image, audio, frames, pose=None):
        seen.append(pose)
        return prepare(text, image, audio, frames, pose)

    monkeypatch.setattr(pipe.components.transformer, "prepare_conditioning", watched)
    run(pipe, **choices)
    return seen


def test_it_reaches_the_picture_and_has_an_amount(pipe):
    ours = run(pipe)
    assert (run(pipe, idle_motion=1.0) != ours).any()
    np.testing.assert_array_equal(run(pipe), ours)


def test_clips_are_told_their_parts_of_one_motion(pipe, monkeypatch):
    seen = told_to(pipe, monkeypatch)
    assert len(seen) > 2
    whole = np.stack([pose_signal(each) for each in idle_motions(3, np.array([0, 1]), 40, 0.5)])
    start = 0
    for pose in seen:
        np.testing.assert_array_equal(pose[0].numpy(), whole[:, start : start + pose.shape[2]])
        start += pose.shape[2] - 1  # one motion frame


def test_guidance_leaves_the_motion_as_it_is(pipe, monkeypatch):
    seen = told_to(pipe, monkeypatch, audio_guidance_scale=3.0)
    assert torch.equal(seen[0], seen[1])


def test_networks_that_cannot_be_told_are_not(monkeypatch):
    assert told_to(tiny_pipeline(idle_motion=0.5), monkeypatch)[0] is None


def test_a_stopped_run_goes_on_with_the_same_motion(pipe, tmp_path):
    wanted = scene(seconds=0.8)
    clips = pipe.stream(wanted, size=SIZE, seed=3, work=tmp_path / "work")
    next(clips), next(clips)
    clips.close()
    resumed = pipe(wanted, size=SIZE, seed=3, work=WorkFolder(tmp_path / "work", resume=True)).frames
    np.testing.assert_array_equal(resumed, run(pipe))
