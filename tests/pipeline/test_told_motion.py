"""Networks that can be told what people do unasked are told so, clip by clip."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_model import SIZE, TINY, scene, tiny_components, tiny_pipeline

from polytalk import MultiTalkPipeline
from polytalk.motion.idle import CHANNELS
from polytalk.pipeline.motion import MotionPlan, heads
from polytalk.pipeline.resume.folder import WorkFolder
from polytalk.pipeline.settings import RunSettings
from polytalk.postprocess import puppet
from polytalk.postprocess.face import Eye, FacePoints
from polytalk.scene.schedule import PromptSpan


@pytest.fixture(scope="module")
def pipe() -> MultiTalkPipeline:
    components = tiny_components(pose_channels=len(CHANNELS))
    return MultiTalkPipeline(components, dataclasses.replace(TINY, idle_motion=0.5))


def run(pipe, prompt="they talk", **choices):
    return pipe(scene(seconds=0.8, prompt=prompt), size=SIZE, seed=3, **choices).frames


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


def test_the_network_is_told_that_nobody_does_anything_but_speak(pipe, monkeypatch):
    seen = told_to(pipe, monkeypatch, prompt="The one on the right smiles.")
    assert len(seen) > 2
    for pose in seen:
        assert (pose[..., 0] == 1).all()
        assert not pose[..., 1:].any()


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


def test_what_a_prompt_asks_faces_for_is_played(pipe, monkeypatch):
    def found(picture, heads):
        unit = [head.height / 4 for head in heads]
        return [
            FacePoints(
                tuple(Eye(head.x + side * u, head.y - u, 0.4 * u, 0.2 * u, head.x + side * u, head.y - 1.6 * u)
                      for side in (-0.6, 0.6)),
                head.x, head.y + u, 0.6 * u,
            )
            for head, u in zip(heads, unit, strict=True)
        ]  # fmt: skip

    prompt = "The one on the right smiles."
    monkeypatch.setattr(puppet, "find_points", lambda picture, heads: [None] * len(heads))
    unseen = run(pipe, prompt)
    monkeypatch.setattr(puppet, "find_points", lambda picture, heads: [None, *found(picture, heads)[1:]])
    changed = (run(pipe, prompt) != unseen).any(axis=(0, 1, 3))
    assert changed[len(changed) // 2 :].any()
    assert not changed[: len(changed) // 4].any()


def test_what_a_prompt_asks_heads_for_is_played(pipe):
    standing, moving = (run(pipe, "The one on the right nods.", move_heads=each) for each in (False, True))
    changed = (standing != moving).any(axis=-1)
    assert changed[1:].any(axis=(1, 2)).all()
    assert not changed[0].any()


def test_networks_that_know_fewer_channels_are_told_those(monkeypatch):
    few = MultiTalkPipeline(tiny_components(pose_channels=5), dataclasses.replace(TINY, idle_motion=0.5))
    assert {pose.shape[-1] for pose in told_to(few, monkeypatch)} == {5}


def test_after_a_walk_left_means_who_came_there(pipe):
    turns = [(0.0, "The one on the left walks to the other side."), (1.6, "The one on the left closes the eyes.")]
    spans = [PromptSpan(start, 1.6 + start, prompt) for start, prompt in turns]
    prepared = pipe.prepare(scene(seconds=3.2, boxes=True), SIZE)
    later = dataclasses.replace(prepared, schedule=SimpleNamespace(prompts=spans))
    plan = MotionPlan.of(later, RunSettings.choose(pipe.config), 3, 80)
    shut = [float(track["blink"][54:62].min()) for track in plan.tracks]
    assert shut[1] > 0.9
    assert shut[0] < 0.5


@pytest.mark.parametrize("shape", [(2, 4, 6), (1, 4, 6)])
def test_heads_are_the_upper_ends_of_masks(shape):
    masks = torch.zeros(shape, dtype=torch.bool)
    masks[:, 1:, 2:4] = True
    head = heads(masks)[0]
    assert (head.x, head.y, head.height) == (24.0, 20.0, 24.0)
    assert heads(masks & False)[0].height > 0
