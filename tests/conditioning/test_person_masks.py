"""Everybody with a place gets tokens of their own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk import Box, PolytalkError, Scene, Speaker
from polytalk.conditioning.masks import default_boxes, person_masks, save_masks, scene_boxes
from polytalk.conditioning.picture import PictureFit, choose_size
from polytalk.media.image import load_image


@settings(deadline=None)
@given(width=st.integers(64, 4000), height=st.integers(64, 4000), people=st.integers(1, 6))
def test_equal_parts(width, height, people):
    boxes = default_boxes(width, height, people)
    part = width // people
    for index, box in enumerate(boxes):
        assert part * index <= box.left < box.right <= part * (index + 1)
        assert box.width == pytest.approx(part * 0.9, abs=2)
        assert box.height == pytest.approx(height * 0.9, abs=2)


def test_halves_are_the_releases():
    # Of example 2, 2362 × 1358 pixels, computed by hand from the release's int(side · 0.05) and int(side · 0.95).
    assert default_boxes(2362, 1358, 2) == (Box(59, 67, 1121, 1290), Box(1240, 67, 2302, 1290))
    with pytest.raises(PolytalkError, match="do not fit"):
        default_boxes(30, 30, 20)


def test_the_scenes_boxes_go_first():
    speakers = [Speaker("a.wav", box=Box(0, 0, 10, 10)), Speaker("b.wav", box=Box(20, 0, 40, 30))]
    assert scene_boxes(Scene("a.png", speakers=speakers), 40, 30) == (Box(0, 0, 10, 10), Box(20, 0, 40, 30))
    with pytest.raises(PolytalkError, match="leaves the picture"):
        scene_boxes(Scene("a.png", speakers=speakers), 39, 30)
    three = Scene("a.png", speakers=[Speaker("a.wav")] * 3)
    assert scene_boxes(three, 300, 100) == default_boxes(300, 100, 3)


@settings(deadline=None, max_examples=60)
@given(width=st.integers(64, 1000), height=st.integers(64, 1000), data=st.data())
def test_every_visible_box_owns_a_token(width, height, data):
    left, top = data.draw(st.integers(0, width - 2)), data.draw(st.integers(0, height - 2))
    box = Box(left, top, data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height)))
    fit = PictureFit.plan(width, height, choose_size(width, height))
    if fit.cut_share(box) >= 1:
        with pytest.raises(PolytalkError, match="cropped away"):
            person_masks([box], fit)
        return
    masks = person_masks([box, Box(0, 0, width, height)], fit)
    assert masks.shape == (2, fit.target[0] // 8, fit.target[1] // 8)
    assert masks[0, ::2, ::2].any()  # the network takes every second latent each way
    assert masks[1].all()
    assert masks.any(dim=0).all()


def test_masks_keep_to_their_people():
    fit = PictureFit.plan(256, 144, (144, 256))
    masks = person_masks([Box(0, 0, 128, 144), Box(128, 0, 256, 144)], fit)
    assert masks[0, :, :16].all()
    assert not masks[0, :, 16:].any()
    assert torch.equal(masks[1], ~masks[0])


def test_the_preview_shows_everybody(tmp_path):
    fit = PictureFit.plan(256, 144, (144, 256))
    masks = person_masks([Box(16, 16, 112, 128), Box(144, 16, 240, 128)], fit)
    pixels = np.full((144, 256, 3), 128, np.uint8)
    save_masks(tmp_path / "masks.png", pixels, masks)
    seen = np.asarray(load_image(tmp_path / "masks.png")).astype(int)
    height, width = seen.shape[:2]
    first, second, nobody = (seen[int(y * height), int(x * width)] for y, x in ((0.2, 0.1), (0.2, 0.6), (0.02, 0.5)))
    assert (nobody == 128).all()
    assert first[0] > first[2] + 40  # red
    assert second[2] > second[0] + 40  # blue
    with pytest.raises(PolytalkError, match="exists"):
        save_masks(tmp_path / "masks.png", pixels, masks)
