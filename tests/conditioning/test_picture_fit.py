"""Sizes, scaling and cropping agree with the release; boxes follow the picture."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from polytalk import Box, PolytalkError
from polytalk.conditioning.masks import default_boxes, person_masks
from polytalk.conditioning.picture import SIZE_CLASSES, PictureFit, choose_size, fit_picture, warn_of_cut_boxes
from polytalk.media.image import load_image
from polytalk.units import to_network

GOLDEN = Path(__file__).parents[1] / "golden"
SHARED = Path(__file__).parents[3] / "shared"
SAMPLE_SIZES = {"multi1": (2560, 1440), "multi2": (2362, 1358)}


@pytest.mark.parametrize("picture", SAMPLE_SIZES)
@pytest.mark.parametrize("size_class", ["480", "720"])
def test_size_classes_are_the_releases(picture, size_class):
    expected = json.loads((GOLDEN / "buckets.json").read_text())[f"{picture}_{size_class}"]
    assert choose_size(*SAMPLE_SIZES[picture], f"{size_class}p") == tuple(expected)


@settings(deadline=None)
@given(st.integers(16, 10_000), st.integers(16, 10_000))
@example(155, 310)  # as far from 128 × 288 as from 144 × 256
def test_every_picture_has_a_size(width, height):
    for name, sizes in SIZE_CLASSES.items():
        size = choose_size(width, height, name)
        assert size in sizes.values()
        assert size[0] % 16 == size[1] % 16 == 0
    assert choose_size(height, width) == choose_size(width, height)[::-1]
    small = choose_size(width, height)
    assert 36_000 <= small[0] * small[1] <= 38_400


def test_minis_usual_sizes():
    assert choose_size(1920, 1080) == (144, 256)
    assert choose_size(1080, 1920) == (256, 144)
    assert choose_size(512, 512) == (192, 192)
    assert choose_size(1000, 100) == (96, 384)  # beyond the widest: the sides are cropped
    with pytest.raises(PolytalkError, match="1080p"):
        choose_size(9, 9, "1080p")


def drawn(width, height, seed=0):
    """Fine and coarse detail, so that every resampling filter gives a different result."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    ramp = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3))
    return Image.fromarray(((noise // 2) + ramp / 2).astype(np.uint8))


def released_picture(picture, target):
    """The release's steps, spelled out: cover the target by PIL's bilinear filter, then crop about the centre."""
    scale = max(target[0] / picture.height, target[1] / picture.width)
    height, width = math.ceil(scale * picture.height), math.ceil(scale * picture.width)
    pixels = np.array(picture.resize((width, height), resample=Image.BILINEAR))
    top, left = round((height - target[0]) / 2.0), round((width - target[1]) / 2.0)
    return pixels[top : top + target[0], left : left + target[1]]


def released_masks(boxes, picture, target):
    """The release's steps on whole masks: nearest to the scaled size, crop, nearest to the latent grid."""
    masks = torch.zeros(len(boxes), picture.height, picture.width)
    for mask, box in zip(masks, boxes, strict=True):
        mask[box.top : box.bottom, box.left : box.right] = 1
    scale = max(target[0] / picture.height, target[1] / picture.width)
    height, width = math.ceil(scale * picture.height), math.ceil(scale * picture.width)
    scaled = torch.nn.functional.interpolate(masks[None], size=(height, width), mode="nearest")[0]
    top, left = round((height - target[0]) / 2.0), round((width - target[1]) / 2.0)
    cropped = scaled[:, top : top + target[0], left : left + target[1]]
    small = (target[0] // 8, target[1] // 8)
    return torch.nn.functional.interpolate(cropped[None], size=small, mode="nearest")[0].bool()


@settings(deadline=None, max_examples=25)
@given(width=st.integers(20, 300), height=st.integers(20, 300), people=st.integers(1, 4), seed=st.integers(0, 99))
@example(width=103, height=126, people=1, seed=0)  # a row that float64 takes from the pixel beside the release's
def test_drawn_pictures_and_masks_equal_the_releases_steps(width, height, people, seed):
    picture = drawn(width, height, seed)
    target = choose_size(width, height)
    pixels, fit = fit_picture(picture, target)
    assert pixels.shape == (*target, 3)
    assert np.array_equal(pixels, released_picture(picture, target))
    boxes = [box for box in default_boxes(width, height, people) if fit.cut_share(box) < 1]
    wanted = released_masks(boxes, picture, target)
    seen = wanted[:, ::2, ::2].flatten(1).any(dim=1)  # whom the crop leaves no token gets one, unlike in the release
    assert torch.equal(person_masks(boxes, fit)[seen], wanted[seen])


@pytest.mark.parametrize("name", SAMPLE_SIZES)
def test_sample_pictures_equal_the_release(name):
    file = SHARED / "golden" / f"preprocess_{name}.safetensors"
    if not file.exists():
        pytest.skip("the sample pictures are not part of the repository; drawn pictures are tested above")
    golden = load_file(file)
    picture = load_image(SHARED / "samples" / f"{name}.png")
    pixels, fit = fit_picture(picture, choose_size(*picture.size, "480p"))
    assert torch.equal(torch.from_numpy(pixels.copy()).permute(2, 0, 1), golden["image_uint8"])
    boxes = default_boxes(*picture.size, 2)
    if name == "multi1":
        boxes = (Box(120, 160, 1080, 1280), Box(1320, 160, 2280, 1280))
    masks = person_masks(boxes, fit)
    everybody = torch.cat([masks, ~masks.any(dim=0, keepdim=True)])
    assert torch.equal(everybody.float(), golden["masks"])


def test_network_values():
    video = to_network(np.array([[[0, 127, 255]]], np.uint8))
    assert video.shape == (1, 3, 1, 1, 1)
    assert torch.allclose(video.flatten(), torch.tensor([-1, 127 / 127.5 - 1, 1]))


@settings(deadline=None)
@given(width=st.integers(40, 4000), height=st.integers(40, 4000), data=st.data())
def test_boxes_follow_the_picture(width, height, data):
    left, top = data.draw(st.integers(0, width - 2)), data.draw(st.integers(0, height - 2))
    box = Box(left, top, data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height)))
    fit = PictureFit.plan(width, height, choose_size(width, height))
    x0, y0, x1, y1 = fit.map_box(box)
    assert x0 < x1
    assert y0 < y1
    share = fit.cut_share(box)
    assert -1e-9 <= share <= 1
    inside = x0 >= 0 and y0 >= 0 and x1 <= fit.target[1] and y1 <= fit.target[0]
    assert inside == (share < 1e-9)
    whole = fit.map_box(Box(0, 0, width, height))
    assert whole[2] - whole[0] == pytest.approx(fit.scaled[1])


def test_a_face_that_the_crop_cuts_is_warned_of():
    fit = PictureFit.plan(2000, 400, (96, 384))  # much wider than any size: left and right go
    with pytest.warns(UserWarning, match="speaker 2's box") as caught:
        warn_of_cut_boxes([Box(900, 100, 1100, 300), Box(150, 100, 350, 300)], fit)
    assert len(caught) == 1
    with pytest.raises(PolytalkError, match="speaker 1 lies in the part that is cropped away"):
        warn_of_cut_boxes([Box(0, 0, 50, 50)], fit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_cut_boxes([Box(900, 100, 1100, 300)], fit)
