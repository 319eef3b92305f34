"""What an observer is shown of a clip, and that looking changes nothing."""

import numpy as np
import pytest
import torch
from tiny_model import SIZE, scene, tiny_pipeline

from polytalk.config.options import LoadOptions
from polytalk.models.label_rope import class_masks, winning_class
from polytalk.pipeline.clips import Clip
from polytalk.pipeline.following import masks_to_tokens
from polytalk.pipeline.observing import MapCollector, SeenClip

CLIP = Clip(0, 0, 9, 0, 9)


class Everything:
    """Keeps all it is shown."""

    def __init__(self, every_step):
        self.every_step, self.seen = every_step, []

    def see(self, seen):
        self.seen.append(seen)


def video(pipe, observer, people=2, **choices):
    clips = pipe.stream(scene(people, seconds=0.6), size=SIZE, seed=0, observer=observer, **choices)
    return np.concatenate([clip.frames for clip in clips])


def assert_same(one, other):
    """Up to what a random network makes of numbers that lie elsewhere in memory."""
    assert np.abs(one.astype(int) - other).max() <= 4


@pytest.mark.parametrize("people", [2, 3])
@pytest.mark.parametrize("every_step", [False, True])
def test_each_clip_is_shown_and_looking_changes_nothing(people, every_step):
    pipe, observer = tiny_pipeline(), Everything(every_step)
    choices = {"audio_guidance_scale": 3.0, "carry_masks": True}
    assert_same(video(pipe, observer, people, **choices), video(pipe, None, people, **choices))
    shown = [(seen.clip.index, seen.step) for seen in observer.seen]
    assert shown == [(clip, step) for clip in (0, 1) for step in ((0, 1) if every_step else (1,))]
    for seen in observer.seen:
        rows, columns = SIZE[0] // 16, SIZE[1] // 16
        assert seen.shares.shape == seen.votes.shape == (people + 1, seen.clip.num_latent_frames, rows, columns)
        assert seen.shares.dtype == torch.float16
        assert (seen.people, seen.masks.shape) == (tuple(range(people)), (people, rows, columns))
        for parts in (seen.shares, seen.votes):
            torch.testing.assert_close(parts.float().sum(0), torch.ones(parts.shape[1:]), atol=0.003, rtol=0)


def test_fixed_masks_stay_fixed_for_one_who_looks():
    pipe = tiny_pipeline()
    choices = {"carry_masks": False}
    assert_same(video(pipe, Everything(False), **choices), video(pipe, None, **choices))


def test_one_person_has_no_maps():
    observer = Everything(True)
    video(tiny_pipeline(), observer, 1)
    assert observer.seen == []


def test_only_those_who_have_a_voice_in_a_clip_are_classes():
    observer = Everything(False)
    with pytest.warns(UserWarning, match="trained on 2 voices"):
        video(tiny_pipeline(trained_voices=2), observer, 3)
    for seen in observer.seen:
        assert len(seen.people) == len(seen.masks) == 2
        assert len(seen.shares) == 3


def test_steps_that_are_looked_at_are_not_left_out():
    pipe, observer = tiny_pipeline(num_inference_steps=8), Everything(True)
    pipe.options = LoadOptions(step_cache="teacache", step_cache_threshold=1e9, step_cache_numbers=(1.0, 0.0))
    video(pipe, observer)
    assert len(observer.seen) == 2 * 8
    last = Everything(False)
    video(pipe, last)
    assert [seen.step for seen in last.seen] == [7, 7]


def test_shares_and_votes_are_those_of_the_maps():
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(2, 4, 6, dtype=torch.bool)
    masks[0, :, :2] = masks[1, :, 4:] = True
    maps = [torch.rand(3, 3 * 2 * 3, generator=generator) for _ in range(4)]
    classes = class_masks(masks[None], (1, 2, 2))
    labels = [winning_class(each[None], classes)[0].unflatten(0, (3, 2, 3)) for each in maps]
    seen = SeenClip.of(CLIP, 0, 1, (0, 1), masks, [maps[0] * 1e-4, *maps[1:]], labels)
    expected = torch.stack([each / each.sum(0) for each in maps]).mean(0).unflatten(1, (3, 2, 3))
    torch.testing.assert_close(seen.shares.float(), expected, atol=1e-3, rtol=0)  # each block counts alike
    assert torch.equal(seen.masks, masks_to_tokens(masks))
    place = (1, 1, 2)
    assert seen.votes[(int(seen.labels[place]), *place)] == max(
        np.bincount([int(each[place]) for each in labels], minlength=3) / 4
    )


def test_a_collector_keeps_the_latest_clip():
    collector = MapCollector(every_step=True)
    video(tiny_pipeline(), collector)
    assert [seen.step for seen in collector.of_clip(1)] == [0, 1]
    assert collector.of_clip(0) == []
