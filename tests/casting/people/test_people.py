"""People in pictures: found by both kinds of detectors, and the user's word before them."""

import dataclasses
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polytalk.casting.people.find import find_people, people_of, with_places
from polytalk.casting.people.geometry import overlap
from polytalk.casting.preview import COLOURS, draw_people
from polytalk.errors import PolytalkError
from polytalk.evaluation.scenes.synthetic_heads import visible_heads
from polytalk.scene import Box, Scene, Speaker
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import draw_clip
from polytalk.synthetic.seeds import HELD_OUT_SEED

PLAIN = SceneConfig(
    height=288,
    width=512,
    num_frames=1,
    people=(3, 3),
    head_size=(0.3, 0.5),
    crowding=0.0,
    sources=(("flat person", 1.0), ("outlined animal", 1.0)),
    backgrounds=(("room", 1.0),),
)


def edges(box):
    return box.left, box.top, box.right, box.bottom


@pytest.fixture(scope="module")
def drawn():
    return draw_clip(HELD_OUT_SEED + 77, PLAIN)


@pytest.fixture(scope="module")
def found(drawn):
    return find_people(drawn.frames[0])


@pytest.fixture(scope="module")
def photograph():
    folder = Path(find_spec("skimage").submodule_search_locations[0])
    return np.asarray(Image.open(folder / "data" / "astronaut.png").convert("RGB"))


def voiced(**values):
    return Speaker(np.zeros(1600), 16_000, **values)


def test_drawn_people_from_left_to_right(drawn, found):
    heads = sorted(visible_heads(drawn, 0)[0].tolist())
    assert [person.name for person in found] == ["person 1", "person 2", "person 3"]
    for person, head in zip(found, heads, strict=True):
        assert overlap(edges(person.head), tuple(head)) > 0.6
        assert person.body.top <= person.head.top
        assert person.body.bottom > person.head.bottom
        assert 0 < person.score <= 1


def test_masks_are_the_figures_and_do_not_overlap(drawn, found):
    order = np.argsort(drawn.face_boxes[0, :, 0])
    assert not (np.sum([person.mask for person in found], axis=0) > 1).any()
    for person, place in zip(found, order, strict=True):
        true = drawn.masks[0, place].repeat(8, 0).repeat(8, 1)
        assert person.mask.shape == (288, 512)
        assert (person.mask & true).sum() / (person.mask | true).sum() > 0.6


def test_the_same_picture_gives_the_same_people(drawn, found):
    again = find_people(drawn.frames[0])
    assert [(p.name, p.head, p.body, p.score) for p in again] == [(p.name, p.head, p.body, p.score) for p in found]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(again, found, strict=True))


def test_a_photographed_person_has_a_mesh_and_shoulders(photograph):
    (person,) = find_people(photograph)
    assert person.finder == "photograph"
    assert person.landmarks.shape == (468, 2)
    assert overlap(edges(person.head), (154, 14, 300, 180)) > 0.6
    assert person.mask[100, 225]
    assert person.mask[260, 225], "the chest"
    assert not person.mask[40, 20], "the flag"
    assert person.body.width > 1.4 * person.head.width


def test_nobody_in_noise():
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    assert find_people(noise) == []


def test_a_point_means_whoever_is_there_or_nearest(drawn, found):
    heads = [person.head for person in found]
    middle = [((head.left + head.right) / 2, (head.top + head.bottom) / 2) for head in heads]
    scene = Scene(drawn.frames[0], speakers=[voiced(point=middle[2], name="Cleo"), voiced(point=middle[0], name="Ann")])
    cleo, ann = people_of(scene)
    assert (cleo.name, cleo.head) == ("Cleo", heads[2])
    assert (ann.name, ann.head) == ("Ann", heads[0])
    beside = dataclasses.replace(scene, speakers=[voiced(point=(heads[1].right + 3, 2)), voiced(point=middle[0])])
    assert people_of(beside)[0].head == heads[1]
    placed = with_places(scene)
    assert placed.boxes == (found[2].body, found[0].body)
    assert np.array_equal(placed.speakers[0].mask, found[2].mask)
    with pytest.raises(PolytalkError, match="same person"):
        people_of(dataclasses.replace(scene, speakers=[voiced(point=middle[1]), voiced(point=middle[1])]))


def test_boxes_and_masks_are_taken_as_given(drawn, found):
    box = Box(0, 0, 200, 288)
    mask = np.zeros((288, 512), bool)
    mask[100:200, 480:510] = True
    scene = Scene(drawn.frames[0], speakers=[voiced(mask=mask), voiced(box=box)])
    nobody, somebody = people_of(scene)
    assert nobody.mask is not None
    assert np.array_equal(nobody.mask, mask)
    assert nobody.body == Box(480, 100, 510, 200)
    assert somebody.body == box
    assert somebody.mask is None
    assert somebody.finder == nobody.finder == "user"
    inside = [person for person in found if person.head.right <= 200]
    if inside:
        assert somebody.head in [person.head for person in inside]
    exact = Scene(drawn.frames[0], speakers=[voiced(mask=found[1].mask)])
    assert people_of(exact)[0].head == found[1].head
    boxed = Scene(drawn.frames[0], speakers=[voiced(box=box)])
    assert with_places(boxed) is boxed


def test_without_places_the_largest_from_left_to_right(drawn, found):
    two = people_of(Scene(drawn.frames[0], speakers=[voiced(), voiced(name="Ben")]))
    assert [person.name for person in two] == ["speaker 1", "Ben"]
    assert two[0].head.left < two[1].head.left
    with pytest.raises(PolytalkError, match="people were found for 5 speakers"):
        people_of(Scene(np.zeros((64, 64, 3), np.uint8), speakers=[voiced() for _ in range(5)]))


def test_a_preview_shows_boxes_and_tints(drawn, found):
    picture = Image.fromarray(drawn.frames[0])
    shown = np.asarray(draw_people(picture, found)).astype(int)
    assert shown.shape == drawn.frames[0].shape
    for person, colour in zip(found, COLOURS, strict=False):
        corner = shown[person.body.bottom - 1, person.body.left]
        assert np.abs(corner - colour).max() <= 2
    changed = np.abs(shown - drawn.frames[0]).sum(axis=2) > 0
    assert changed[found[0].mask].mean() > 0.95
    large = draw_people(picture.resize((2560, 1440)), [])
    assert large.size == (1280, 720)
