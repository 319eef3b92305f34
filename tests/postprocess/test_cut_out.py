"""Outlines of people in drawn pictures, whose truth is known."""

import numpy as np
import pytest

from polytalk.postprocess.cut_out import cut_out
from polytalk.postprocess.face import Head
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import draw_clip

SCENE = SceneConfig(
    num_frames=1, people=(2, 2), head_size=(0.5, 0.6), crowding=0.0, lighting=0.0, backgrounds=(("plain", 1.0),),
    sources=(("flat person", 1.0), ("painted person", 1.0), ("3-D person", 1.0)),
)  # fmt: skip


@pytest.mark.parametrize("larger", [1, 3])
def test_people_before_plain_walls_are_cut_out_along_their_outlines(larger):
    right, wrong = [], []
    for seed in range(6):
        clip = draw_clip(seed, SCENE)
        picture = clip.reference.repeat(larger, 0).repeat(larger, 1)
        boxes = clip.reference_boxes * larger
        covers = cut_out(picture, [Head((a + c) / 2, (b + d) / 2, d - b) for a, b, c, d in boxes])
        assert covers.shape == (2, *picture.shape[:2])
        masks = clip.reference_masks.repeat(8 * larger, 1).repeat(8 * larger, 2)
        for cover, mask, box in zip(covers, masks, boxes, strict=True):
            rows = slice(0, int(box[3]))  # heads; shoulders may be wider than what is looked at
            right.append(cover[rows][mask[rows]].mean())
            wrong.append(cover[rows][~mask[rows]].mean())
    assert np.mean(right) > 0.9
    assert np.mean(wrong) < 0.06


def test_a_picture_of_one_colour_still_gives_heads():
    covers = cut_out(np.full((96, 160, 3), 80, np.uint8), [Head(80.0, 45.0, 50.0)])
    assert covers[0, 45, 80] > 0.9
    assert covers[0, :, :20].max() < 0.1


def test_somebody_who_fills_the_picture():
    covers = cut_out(np.full((48, 48, 3), 80, np.uint8), [Head(24.0, 24.0, 200.0)])
    assert covers.min() >= 0
    assert covers[0, 24, 24] > 0.9
