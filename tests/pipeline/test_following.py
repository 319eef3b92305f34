"""Masks that follow the people: drawn scenes in which two change sides, with the truth standing in for the network."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import tiny_pipeline, voice

from polytalk import Scene, Speaker
from polytalk.pipeline.clip_loop import ClipLoop
from polytalk.pipeline.following import (
    Appearance,
    follow,
    have_moved,
    masks_to_tokens,
    smooth,
    tokens_to_masks,
    without_specks,
)
from polytalk.pipeline.settings import RunSettings
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import SyntheticClip, draw_clip
from polytalk.units import to_network

BORDERS = (0, 2, 30, 31, 32, 32)
"""Frames of a drawn clip that begin five clips and end the last: people change sides in the second."""
SEEDS = (1_000_000_077, 1_000_000_080, 1_000_000_083)


def crossing(seed, people=2):
    config = SceneConfig(people=(people, people), crossing_probability=1.0, event_probability=1.0, max_events=1)
    return draw_clip(seed, config)


def truth(masks):
    """Who is seen at each token, (rows, columns); P where nobody is."""
    share = F.avg_pool2d(torch.from_numpy(masks).float(), 2)
    return torch.where(share.amax(0) >= 0.5, share.argmax(0), len(share))


def classes(owner, masks, seen):
    """What a network says that has been given `masks` for a frame whose truth is `owner`, of one whose is `seen`."""
    given_masks, labels = masks_to_tokens(masks), torch.full_like(seen, len(masks))
    for person in range(len(masks)):
        shares = [(mask & (owner == person)).sum() for mask in given_masks]
        if max(shares) > 0:
            labels[seen == person] = int(np.argmax(shares))
    return labels


def disturbed(labels, people, rng, swap=0.0, vanish=0.0, flips=0.15):
    """Labels with wrong tokens, at times with two people exchanged or one of them gone."""
    flipped = torch.from_numpy(rng.random(labels.shape) < flips)
    labels = torch.where(flipped, torch.from_numpy(rng.integers(0, people + 1, labels.shape)), labels)
    if rng.random() < swap:
        labels = torch.where(labels < people, (labels + 1) % people, labels)
    if rng.random() < vanish:
        labels = torch.where(labels == int(rng.integers(people)), people, labels)
    return labels


def right_voices(masks, clip: SyntheticClip, frame):
    """Share of people whom their own mask covers best."""
    seen, mine = truth(clip.masks[frame]), masks_to_tokens(masks)
    covers = [[int((mask & (seen == person)).sum()) for mask in mine] for person in range(len(masks))]
    return np.mean([max(row) > 0 and int(np.argmax(row)) == person for person, row in enumerate(covers)])


def five_clips(clip, masks, step, places=False, **noise):
    """Masks after five clips; a map that clings to `places` shows everybody where they were before."""
    rng = np.random.default_rng(clip.seed)
    for now, later in itertools.pairwise(BORDERS):
        owner = truth(clip.masks[now])
        labels = classes(owner, masks, owner if places else truth(clip.masks[later]))
        masks = step(disturbed(labels, len(masks), rng, **noise), masks, clip.frames[later])
    return masks


def network_picture(pixels):
    return to_network(pixels)[0, :, 0]


def following(clip, masks):
    looks = Appearance.of(network_picture(clip.reference), masks)
    return lambda labels, before, frame: follow(labels, network_picture(frame), before, looks).masks


@pytest.mark.parametrize("seed", SEEDS)
def test_two_people_change_sides_and_keep_their_voices_to_the_end_of_the_fifth_clip(seed):
    clip = crossing(seed)
    first = torch.from_numpy(clip.reference_masks)
    assert right_voices(first, clip, BORDERS[0]) == 1
    assert right_voices(first, clip, BORDERS[-1]) == 0  # fixed masks: each has the other's voice
    followed = five_clips(clip, first, following(clip, first))
    assert right_voices(followed, clip, BORDERS[-1]) == 1
    assert (followed & torch.from_numpy(clip.masks[-1])).sum() > 0.75 * clip.masks[-1].sum()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("noise", [{"swap": 0.5}, {"vanish": 0.5}, {"places": True}], ids=str)
def test_errors_of_the_map_do_not_add_up(seed, noise):
    clip = crossing(seed)
    first = torch.from_numpy(clip.reference_masks)
    assert right_voices(five_clips(clip, first, following(clip, first), **noise), clip, BORDERS[-1]) == 1


def test_unchecked_masks_keep_every_error():
    clip = crossing(SEEDS[0])
    first = torch.from_numpy(clip.reference_masks)

    def believe(labels, masks, _):
        return tokens_to_masks(torch.stack([labels == person for person in range(len(masks))]))

    taken_over = five_clips(clip, first, believe, places=True)
    assert right_voices(taken_over, clip, BORDERS[-1]) == 0


def test_three_people_and_boxes_in_place_of_outlines():
    clip = crossing(1_000_000_083, people=3)
    boxes = torch.zeros(clip.reference_masks.shape, dtype=torch.bool)
    for box, (left, top, right, bottom) in zip(boxes, (clip.face_boxes[0] / 8).clip(0), strict=True):
        box[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = True
    assert right_voices(boxes, clip, BORDERS[-1]) < 1
    assert right_voices(five_clips(clip, boxes, following(clip, boxes)), clip, BORDERS[-1]) == 1


def two_colours():
    """A red person on the left and a blue one on the right before grey, 16 x 24 latents."""
    picture = torch.full((3, 128, 192), 0.1)
    masks = torch.zeros(2, 16, 24, dtype=torch.bool)
    for number, colour in enumerate(((0.9, -0.8, -0.8), (-0.8, -0.8, 0.9))):
        masks[number, 4:12, 4 + 10 * number : 10 + 10 * number] = True
        picture[:, 32:96, 32 + 80 * number : 80 + 80 * number] = torch.tensor(colour)[:, None, None]
    return picture, masks


def labels_of(masks):
    tokens = masks_to_tokens(masks)
    return torch.where(tokens.any(0), tokens.float().argmax(0), len(tokens))


def test_decisions():
    picture, masks = two_colours()
    looks, right = Appearance.of(picture, masks), labels_of(masks)
    nobody = torch.full_like(right, 2)
    agreed = follow(right, picture, masks, looks)
    assert agreed.decisions == ("map", "map")
    assert torch.equal(agreed.masks, masks)
    swapped = follow(torch.where(right < 2, 1 - right, right), picture, masks, looks)
    assert swapped.decisions == ("exchanged", "exchanged")
    assert torch.equal(swapped.masks, masks)
    gone = follow(nobody, picture, masks, looks)
    assert gone.decisions == ("kept", "kept")
    assert torch.equal(gone.masks, masks)
    changed_sides = follow(nobody, picture.flip(-1), masks, looks)
    assert changed_sides.decisions == ("found", "found")
    assert torch.equal(changed_sides.masks, masks.flip(-1))
    empty = follow(nobody, torch.full_like(picture, 0.1), masks, looks)
    assert empty.decisions == ("kept", "kept")
    assert torch.equal(empty.masks, masks)


def test_somebody_without_a_class_is_looked_for():
    picture, masks = two_colours()
    looks = Appearance.of(picture, masks)
    moved = torch.where(labels_of(masks.flip(-1)) == 1, 0, 2)  # class 0 is the blue person, now on the left
    found = follow(moved, picture.flip(-1), masks, looks, people=[1])
    assert found.decisions == ("found", "map")
    assert torch.equal(found.masks, masks.flip(-1))


def test_a_region_far_too_large_is_refused():
    picture, masks = two_colours()
    looks = Appearance.of(picture, masks)
    flooded = follow(torch.zeros(8, 12, dtype=torch.long), picture, masks, looks)
    assert flooded.decisions == ("kept", "kept")
    assert torch.equal(flooded.masks, masks)


def test_people_who_look_alike_are_left_to_the_map():
    picture, masks = two_colours()
    picture[:, :, 112:160] = picture[:, :, 32:80]
    looks = Appearance.of(picture, masks)
    exchanged = 1 - labels_of(masks)
    exchanged = torch.where(exchanged < 0, 2, exchanged)
    followed = follow(exchanged, picture, masks, looks)
    assert followed.decisions == ("map", "map")
    assert torch.equal(followed.masks, masks.flip(0))


def test_specks_and_ragged_edges():
    region = torch.zeros(9, 12, dtype=torch.bool)
    region[2:7, 2:6] = True
    ragged = region.clone()
    ragged[4, 3], ragged[0, 10] = False, True
    assert torch.equal(smooth(ragged), region)
    assert torch.equal(smooth(region), region)
    ragged[8, 8:12] = True
    assert torch.equal(without_specks(ragged, 0.3)[:, 7:], torch.zeros(9, 5, dtype=torch.bool))
    assert without_specks(ragged, 0.1)[8, 8:12].all()
    assert not without_specks(torch.zeros(3, 4, dtype=torch.bool), 0.5).any()


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_any_labels_leave_everybody_a_mask(seed, people):
    g = torch.Generator().manual_seed(seed)
    masks = torch.rand(people, 8, 12, generator=g) < 0.3
    masks[:, 0, 0] = True
    picture = torch.rand(3, 64, 96, generator=g) * 2 - 1
    labels = torch.randint(0, people + 1, (4, 6), generator=g)
    followed = follow(labels, picture, masks, Appearance.of(picture, masks))
    assert followed.masks.shape == masks.shape
    assert masks_to_tokens(followed.masks).flatten(1).any(1).all()
    assert torch.equal(tokens_to_masks(masks_to_tokens(followed.masks)), followed.masks)


def test_leaving_a_place():
    _, masks = two_colours()
    assert not have_moved(masks, masks)
    assert not have_moved(masks, masks.roll(2, dims=-1))
    assert not have_moved(masks, masks & (torch.arange(16) < 7)[:, None])  # a head instead of head and shoulders
    assert have_moved(masks, masks.flip(0))
    assert have_moved(masks, torch.stack([masks[0], masks[1].roll(8, dims=-1)]))


class ShownCrossing(ClipLoop):
    """Clips that are all there already: in the second one people change sides. The truth stands in for the labels."""

    drawn: SyntheticClip

    def _make(self, clip):
        frames = [0] * clip.num_frames if clip.index == 0 else [32] * clip.num_frames
        if clip.index == 1:
            frames = [0] * clip.motion_frames + [16] * (clip.num_frames - 2 * clip.motion_frames)
            frames += [32] * (clip.num_frames - len(frames))
        masks = self.state.masks
        _, labels = super()._make(clip)
        if labels is not None:
            owner, seen = (truth(self.drawn.masks[frames[place]]) for place in (0, -5))
            labels = classes(owner, masks, seen)
        return torch.cat([to_network(self.drawn.frames[frame]) for frame in frames], dim=2), labels


def shown_crossing(**choices):
    pipe, clip = tiny_pipeline(clip_frames=17, motion_frames=5, **choices), crossing(SEEDS[0])
    talk = Scene(clip.reference, speakers=[Speaker(voice(2.6, seed=person), 16_000) for person in range(2)])
    prepared = pipe.prepare(talk, clip.reference.shape[:2])
    prepared = dataclasses.replace(prepared, masks=torch.from_numpy(clip.reference_masks), loudness=None)
    settings = RunSettings.choose(pipe.config)
    loop = ShownCrossing(pipe.components, settings, prepared, None, lambda _: None, seed=0)
    loop.drawn = clip
    return loop


@pytest.mark.parametrize("fill", ["reference", "zero"])
def test_in_a_chain_of_clips_masks_follow_and_so_does_the_picture_of_the_condition(fill):
    loop = shown_crossing(fill_condition=fill)
    masks = [loop.state.masks]
    for place, _ in enumerate(loop):
        masks.append(loop.state.masks)
        assert (loop.state.reference is not None) == (place >= 1 and fill == "reference")
    assert len(masks) == 6
    for later in masks[2:]:
        assert right_voices(later, loop.drawn, -1) == 1
    again = shown_crossing(fill_condition=fill)
    again.state.restore(loop.state.to_tensors())
    for name, tensor in again.state.to_tensors().items():
        assert torch.equal(tensor, loop.state.to_tensors()[name])
    assert torch.equal(again.reference_picture(), loop.reference_picture())


def test_in_a_chain_fixed_masks_stay():
    loop = shown_crossing(carry_masks=False)
    for _ in loop:
        assert torch.equal(loop.state.masks, torch.from_numpy(loop.drawn.reference_masks))
    assert right_voices(loop.state.masks, loop.drawn, -1) == 0
