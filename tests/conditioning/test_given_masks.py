"""Places that the user gives as points and masks: kept in scenes and files, used on the latent grid."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from polytalk.conditioning.given_masks import MaskedBox, given_masks, read_masks
from polytalk.conditioning.masks import person_masks, scene_boxes
from polytalk.conditioning.picture import PictureFit
from polytalk.errors import PolytalkError
from polytalk.scene import Box, Scene, Speaker

WIDTH, HEIGHT = 320, 180


def ellipse(x, y, half_x, half_y, size=(HEIGHT, WIDTH)):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return ((columns - x) / half_x) ** 2 + ((rows - y) / half_y) ** 2 <= 1


LEFT, RIGHT = ellipse(80, 90, 40, 70), ellipse(240, 90, 40, 70)


def scene(*speakers):
    return Scene(np.zeros((HEIGHT, WIDTH, 3), np.uint8), speakers=speakers)


def voiced(**values):
    return Speaker(np.zeros(1600), 16_000, **values)


def test_scene_file_keeps_points_and_masks(tmp_path):
    for name in ("us.png", "anna.wav", "ben.wav"):
        (tmp_path / name).write_bytes(b"")
    Image.fromarray(LEFT).save(tmp_path / "anna.png")
    speakers = [
        Speaker(tmp_path / "anna.wav", mask=tmp_path / "anna.png", name="Anna"),
        Speaker(tmp_path / "ben.wav", point=(240, 90.5), name="Ben"),
    ]
    told = Scene(tmp_path / "us.png", "Hello.", speakers)
    told.to_json(tmp_path / "scene.json")
    read = Scene.from_json(tmp_path / "scene.json")
    assert read == told
    assert read.speakers[1].point == (240.0, 90.5)
    assert '"mask": "anna.png"' in (tmp_path / "scene.json").read_text()
    moved = dataclasses.replace(read.speakers[1], point=(10, 10))
    assert moved != read.speakers[1]


def test_a_point_alone_is_no_place_yet_and_must_lie_in_the_picture():
    told = scene(voiced(point=(80, 90)), voiced(box=Box(200, 0, 320, 180)))
    with pytest.raises(PolytalkError, match="point"):
        scene_boxes(told, WIDTH, HEIGHT)
    with pytest.raises(PolytalkError, match="leaves the picture"):
        scene(voiced(point=(WIDTH, 5))).check_boxes(WIDTH, HEIGHT)


@pytest.mark.parametrize("point", [(1,), (1, 2, 3), "a,b", (-1, 5), (float("nan"), 1), 7])
def test_points_that_are_none(point):
    with pytest.raises(PolytalkError, match=r"speaker\.point"):
        voiced(point=point)


@pytest.mark.parametrize("mask", ["", np.zeros((4, 4), bool), np.ones((4, 4, 3), np.uint8), np.array(["a"])])
def test_masks_that_are_none(mask):
    with pytest.raises(PolytalkError, match=r"speaker\.mask"):
        voiced(mask=mask)


def test_everybody_has_a_place_or_nobody():
    with pytest.raises(PolytalkError, match="speaker 2 has none"):
        scene(voiced(mask=LEFT), voiced())
    assert scene(voiced(mask=LEFT), voiced(point=(1, 1))).boxes is None


def test_masks_reach_the_latent_grid_through_scaling_and_cropping():
    places = scene_boxes(scene(voiced(mask=LEFT), voiced(box=Box(200, 20, 280, 160))), WIDTH, HEIGHT)
    assert places[0] == MaskedBox(40, 20, 121, 161, mask=LEFT)
    fit = PictureFit.plan(WIDTH, HEIGHT, (144, 192))  # scaled by 0.8, 32 columns cropped away at each side
    masks = person_masks(places, fit)
    rows, columns = np.mgrid[:18, :24]
    truth = LEFT[(rows * 10).clip(0, HEIGHT - 1), ((columns * 8 + 32) * 1.25).astype(int)]
    assert np.array_equal(masks[0].numpy(), truth)
    whole = person_masks([Box(40, 20, 121, 161)], fit)[0]
    assert (masks[0] <= whole).all()
    assert int(masks[0].sum()) == pytest.approx(np.pi * 40 * 70 / 10**2, rel=0.05)  # a cell is 10 × 10 of its pixels
    assert masks[1].any()


def test_one_picture_with_a_colour_each_from_left_to_right(tmp_path):
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[RIGHT], picture[LEFT] = (250, 40, 40), (40, 250, 40)
    # edges as a painting program makes them
    small = Image.fromarray(picture).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BILINEAR)
    small.save(tmp_path / "who.png")
    path = tmp_path / "who.png"
    masks = given_masks(scene(voiced(mask=path), voiced(mask=path)), WIDTH, HEIGHT)
    for mask, truth in zip(masks, (LEFT, RIGHT), strict=True):
        assert mask.shape == (HEIGHT, WIDTH)
        assert (mask & truth).sum() / (mask | truth).sum() > 0.9
    together = read_masks(path, 1)[0]
    assert together.sum() == pytest.approx((LEFT | RIGHT).sum() / 4, rel=0.1)
    with pytest.raises(PolytalkError, match="2 colours for 3 speakers"):
        read_masks(path, 3)


def test_mask_files_that_do_not_serve(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    Image.new("RGB", (64, 64), "white").save(tmp_path / "square.png")
    (tmp_path / "text.png").write_text("no picture")
    for name, problem in (("black", "nobody"), ("square", "64 × 64"), ("text", "cannot be read"), ("none", "no file")):
        with pytest.raises(PolytalkError, match=problem):
            scene_boxes(scene(voiced(mask=tmp_path / f"{name}.png")), WIDTH, HEIGHT)
