"""What a pool of latents tells about its clips."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from polytalk.errors import PolytalkError
from polytalk.models.mini.encoders import MiniTextEncoder
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import draw_clip
from polytalk.synthetic.speech.bank import build
from polytalk.training.latents import (
    EYES,
    FACE,
    MOUTH,
    LatentPool,
    LatentPoolConfig,
    eye_boxes,
    region_flags,
)
from polytalk.training.stages.autoencoder import build_autoencoder
from polytalk.training.stages.speech import SpeechConfig, SpeechToMouth


def test_flags_tell_faces_eyes_and_mouths():
    boxes = np.zeros((5, 1, 2, 4))
    boxes[:, 0, 0], boxes[:, 0, 1] = (0, 0, 80, 96), (24, 64, 56, 80)
    flags = region_flags(boxes, 2, 13, 12)
    assert (flags[:, 8:10, 3:7] == MOUTH).all()
    assert (flags[:, 4:7, 2:8] == EYES).all()
    assert (flags[:, :3, :10] == FACE).all()
    assert not flags[:, 12].any()
    assert not flags[:, :, 10:].any()


@pytest.mark.parametrize(
    "source", ["flat person", "painted person", "sketch person", "painted animal", "3-D person", "portrait"]
)
def test_eyes_are_where_blinks_change_the_picture(source):
    config = SceneConfig(num_frames=9, people=(1, 1), motion=0.0, camera_motion=0.0, silent_probability=1.0,
                         event_probability=0.0, lighting=0.0, sources=((source, 1.0),))  # fmt: skip
    inside = total = 0
    for seed in range(6):
        often, never = (draw_clip(seed, replace(config, blinks=rate)) for rate in (8.0, 0.0))
        changed = np.abs(often.frames.astype(int) - never.frames).max(axis=-1) > 20
        boxes = eye_boxes(np.stack([never.face_boxes, never.mouth_boxes], axis=2))[:, 0].round().astype(int).clip(0)
        for frame, (left, top, right, bottom) in zip(changed, boxes, strict=True):
            inside += int(frame[top:bottom, left:right].sum())
            total += int(frame.sum())
    assert total > 200
    assert inside > 0.8 * total


@pytest.fixture(scope="module")
def encoders():
    torch.manual_seed(0)
    return build_autoencoder().to(torch.bfloat16), SpeechToMouth(SpeechConfig()).encoder.eval(), MiniTextEncoder()


def pool_of(folder, voices, **choices):
    scene = {"height": 64, "width": 96, "num_frames": 5, "sources": [["flat person", 1.0]]}
    return LatentPoolConfig(str(folder), clips=4, seed=1, people=2, scene=scene, voices=str(voices), **choices)


def test_pools_are_the_same_however_many_processes_draw(tmp_path, encoders):
    build(tmp_path / "voices", 0.3, sources=["formant"])
    one, two = (LatentPool(pool_of(tmp_path / str(n), tmp_path / "voices", workers=n), *encoders) for n in (1, 2))
    for name, array in one.arrays.items():
        assert np.array_equal(array, two.arrays[name]), name
    assert one.batch(np.array([2, 0]))["latents"].shape == (2, 16, 2, 8, 12)


def test_what_goes_wrong_in_a_process_is_said_here(tmp_path, encoders):
    with pytest.raises(PolytalkError, match="holds no voices"):
        LatentPool(pool_of(tmp_path / "pool", tmp_path / "none", workers=1), *encoders)
