"""Where close-ups are cut out, and how they share a frame."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from polytalk.conditioning.picture import SIZES_MINI
from polytalk.errors import PolytalkError
from polytalk.postprocess.close_up_layout import PREFERRED, compose_frame, cut_out, lay_out
from polytalk.scene import Box

FRAMES = tuple(SIZES_MINI.values())
PICTURE = (720, 1280)


def row_of_heads(count: int, height: int = 200, width: int = 150) -> list[Box]:
    part = PICTURE[1] // count
    return [
        Box(i * part + (part - width) // 2, 100, i * part + (part + width) // 2, 100 + height) for i in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_takes_the_frames_that_mini_knows(count):
    frame, _ = lay_out(PICTURE, row_of_heads(count), FRAMES)
    assert frame == PREFERRED[count]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 9])
def test_slots_tile_the_frame_and_stand_as_the_people_do(count):
    heads = row_of_heads(count, 130, 100)
    heads = heads[::-1]  # speakers may come in any order
    frame, cuts = lay_out(PICTURE, heads, FRAMES)
    covered = np.zeros(frame, int)
    for cut in cuts:
        covered[cut.slot.top : cut.slot.bottom, cut.slot.left : cut.slot.right] += 1
        assert cut.slot.left % 8 == cut.slot.top % 8 == 0
    assert (covered == 1).all()
    places = [(cut.slot.top, cut.slot.left) for cut in cuts]
    assert places == sorted(places, reverse=True)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_heads_fill_their_slots_and_are_larger_than_in_the_whole_picture(count):
    frame, cuts = lay_out(PICTURE, row_of_heads(count), FRAMES)
    for cut in cuts:
        head = cut.head_in_frame()
        assert cut.slot.left < head.left < head.right < cut.slot.right
        assert 0.4 * cut.slot.height < head.height < 0.9 * cut.slot.height
        assert cut.scale > 1.2 * max(frame[0] / PICTURE[0], frame[1] / PICTURE[1])


def test_cuts_keep_the_aspect_of_what_they_show():
    _, cuts = lay_out(PICTURE, row_of_heads(3), FRAMES)
    for cut in cuts:
        assert cut.width / cut.height == pytest.approx(cut.slot.width / cut.slot.height, abs=0.01)


def test_neighbours_move_aside():
    close = [Box(400, 200, 560, 400), Box(570, 200, 730, 400)]
    _, cuts = lay_out(PICTURE, close, FRAMES)
    left, right = cuts
    for cut, other in ((left, right), (right, left)):
        middle = (cut.head.left + cut.head.right) / 2
        assert abs(middle - (cut.left + cut.width / 2)) > 5  # not centred
        assert cut.left < cut.head.left < cut.head.right < cut.right
        seen = min(cut.right, other.head.right) - max(cut.left, other.head.left)
        centred = cut.width / 2 - (abs((other.head.left + other.head.right) / 2 - middle) - other.head.width / 2)
        assert seen < centred


def test_somebody_between_two_stays_in_the_middle():
    _, cuts = lay_out(PICTURE, [Box(300, 200, 460, 400), Box(500, 200, 660, 400), Box(700, 200, 860, 400)], FRAMES)
    middle = cuts[1]
    assert middle.left + middle.width / 2 == pytest.approx(580, abs=2)


def test_a_head_in_the_corner_is_shown_without_leaving_the_picture():
    _, (cut,) = lay_out(PICTURE, [Box(0, 0, 150, 200)], FRAMES)
    assert (cut.left, cut.top) == (0, 0)
    assert cut.right > 150
    assert cut.bottom > 200


def test_a_head_as_large_as_the_picture_is_shown_with_its_edge_repeated():
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[:, 0], pixels[:, -1] = (200, 0, 0), (0, 200, 0)
    frame, (cut,) = lay_out((100, 100), [Box(5, 0, 95, 100)], FRAMES)
    assert cut.width > 100
    shown = compose_frame(Image.fromarray(pixels), frame, [cut])
    assert shown[:, 2].tolist() == [[200, 0, 0]] * frame[0]
    assert shown[:, -3].tolist() == [[0, 200, 0]] * frame[0]


def test_what_is_cut_out_is_where_the_layout_says():
    pixels = np.zeros((*PICTURE, 3), np.uint8)
    heads = row_of_heads(2)
    for level, head in zip((255, 128), heads, strict=True):
        pixels[head.top : head.bottom, head.left : head.right] = level
    frame, cuts = lay_out(PICTURE, heads, FRAMES)
    shown = compose_frame(Image.fromarray(pixels), frame, cuts)
    for level, cut in zip((255, 128), cuts, strict=True):
        place = cut.head_in_frame()
        inside = shown[place.top + 2 : place.bottom - 2, place.left + 2 : place.right - 2]
        assert (inside == level).all()
        slot = shown[cut.slot.top : cut.slot.bottom, cut.slot.left : cut.slot.right].astype(int)
        assert slot.sum() == pytest.approx(level * 3 * cut.head.width * cut.head.height * cut.scale**2, rel=0.03)
        assert np.array_equal(cut_out(Image.fromarray(pixels), cut), slot)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.03, 0.6)), min_size=1, max_size=6),
    st.sampled_from([(720, 1280), (1280, 720), (300, 2000), (90, 60)]),
)
def test_any_heads_anywhere_can_be_shown(places, picture):
    heads = []
    for x, y, size in places:
        left, top = int(x * picture[1]), int(y * picture[0])
        side = max(4, int(size * min(picture)))
        heads.append(Box(left, top, min(left + side, picture[1]), min(top + side, picture[0])))
    frame, cuts = lay_out(picture, heads, FRAMES)
    assert frame in FRAMES
    for head, cut in zip(heads, cuts, strict=True):
        assert cut.head is head
        assert cut.left <= head.left < head.right <= cut.right
        assert cut.top <= head.top < head.bottom <= cut.bottom
        across, down = max(0, cut.width - picture[1]), max(0, cut.height - picture[0])
        assert -across <= cut.left <= picture[1]
        assert -down <= cut.top <= picture[0]
    for one, other in itertools.combinations(cuts, 2):
        assert one.slot != other.slot
    shown = compose_frame(Image.new("RGB", picture[::-1], (9, 90, 200)), frame, cuts)
    assert (shown == (9, 90, 200)).all()


@pytest.mark.parametrize(
    ("heads", "says"),
    [([], "there is none"), ([Box(1200, 0, 1300, 100)], "leaves the picture"), (row_of_heads(1) * 400, "do not fit")],
)
def test_refuses_what_cannot_be_shown(heads, says):
    with pytest.raises(PolytalkError, match=says):
        lay_out(PICTURE, heads, FRAMES)
