"""Whose voices get the trained bands: the schedule by itself, and inside the chain of clips."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import SIZE, picture, tiny_pipeline, voice

from polytalk import Box, PolytalkError, Scene, Speaker
from polytalk.config.index import released_config
from polytalk.config.pipeline import PipelineConfig
from polytalk.pipeline.clip_plan import plan_clips
from polytalk.pipeline.settings import RunSettings
from polytalk.pipeline.turns import Cast, cast_clip, entrances, warn_of_silenced


def frames(*stretches, people=4, length=40):
    """Activity (P, T) from (person, first, last)."""
    active = np.zeros((people, length), bool)
    for person, first, last in stretches:
        active[person, first:last] = True
    return active


def test_without_a_limit_everybody_has_a_voice():
    assert cast_clip(frames(), None) == Cast((0, 1, 2, 3))
    assert cast_clip(frames(people=2), 2) == Cast((0, 1))
    assert cast_clip(frames(people=1), 2, before=(0,)) == Cast((0,))


def test_those_who_speak_most_are_chosen_and_keep_their_bands():
    first = cast_clip(frames((1, 0, 10), (3, 12, 40)), 2)
    assert first == Cast((1, 3))
    # 3 goes on, 0 takes over the band of 1
    second = cast_clip(frames((0, 0, 20), (3, 20, 40)), 2, first.people)
    assert second == Cast((0, 3))
    third = cast_clip(frames((3, 0, 20), (2, 20, 40)), 2, second.people)
    assert third == Cast((2, 3))
    # in silence nothing changes
    assert cast_clip(frames(), 2, third.people) == third
    # one speaks: a listener keeps the other band
    assert cast_clip(frames((0, 0, 9)), 2, third.people).people in ((0, 3), (2, 0))


def test_whoever_speaks_without_a_band_is_told():
    active = frames((0, 0, 30), (1, 5, 40), (2, 10, 20))
    cast = cast_clip(active, 2)
    assert cast == Cast((0, 1), (2,))
    with pytest.warns(UserWarning, match=r"3 people speak at once between 4\.4 and 4\.8 s.*speaker 3 will keep silent"):
        warn_of_silenced(active, cast, start=100)
    one_by_one = frames((0, 0, 10), (1, 15, 25), (2, 30, 37))
    with pytest.warns(UserWarning, match="more than 2 people speak in one clip"):
        warn_of_silenced(one_by_one, cast_clip(one_by_one, 2), start=0)
    hardly = frames((0, 0, 30), (1, 5, 40), (2, 10, 12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_silenced(hardly, cast_clip(hardly, 2), start=0)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_bands_are_always_filled_with_the_busiest_and_nobody_twice(people, trained, seed):
    rng, before = np.random.default_rng(seed), ()
    for _ in range(4):
        active = rng.random((people, 20)) < rng.random((people, 1)) * rng.integers(0, 2, (people, 1))
        cast = cast_clip(active, trained, before)
        assert len(cast.people) == len(set(cast.people)) == min(people, trained)
        spoken = active.sum(1)
        rest = [person for person in range(people) if person not in cast.people]
        assert min(spoken[list(cast.people)]) >= max(spoken[rest], default=0)
        assert cast.silenced == tuple(person for person in rest if spoken[person])
        for band, person in enumerate(before):
            assert person not in cast.people or cast.people[band] == person
        before = cast.people


def scene(*voices):
    width = 96 // len(voices)
    boxes = [Box(i * width, 8, (i + 1) * width, 56) for i in range(len(voices))]
    speakers = [Speaker(v, None if v is None else 16_000, box) for v, box in zip(voices, boxes, strict=True)]
    return Scene(picture(), speakers=speakers)


def heard_by(pipe, wanted, **choices):
    """Speech features and masks of every call of the network that had several voices."""
    features, masks, network = [], [], pipe.components.transformer

    def before(_, args, kwargs):
        if kwargs.get("speaker_masks") is not None:
            masks.append(kwargs["speaker_masks"])

    def prepare(text, image, audio, *rest):
        if audio is not None:
            features.append(audio)
        return type(network).prepare_conditioning(network, text, image, audio, *rest)

    hook = network.register_forward_pre_hook(before, with_kwargs=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "prepare_conditioning", prepare)
        clips = list(pipe.stream(wanted, size=SIZE, generator=torch.Generator().manual_seed(0), **choices))
    hook.remove()
    return clips, features, masks


def turns(count, each=0.36):
    """One after the other, each in a clip of nine frames of their own."""
    silence = np.zeros(round(each * 16_000), np.float32)
    voices = []
    for person in range(count):
        parts = [voice(each, seed=person) if part == person else silence for part in range(count)]
        voices.append(np.concatenate(parts))
    return voices


def test_entrances_are_those_of_people_whose_bands_somebody_else_has():
    activity = np.zeros((3, 60), bool)
    for person, start in ((0, 0), (1, 10), (2, 20), (1, 30), (0, 40)):
        activity[person, start : start + 8] = True
    assert entrances(activity, 2) == {20, 40}
    assert entrances(activity, None) == entrances(activity, 3) == set()


@pytest.mark.filterwarnings("ignore:.*keep silent:UserWarning")
def test_a_clip_begins_when_a_third_person_does():
    pipe = tiny_pipeline(trained_voices=2, carry_masks=False)
    prepared = pipe.prepare(scene(*turns(3, each=0.6)), SIZE)
    settings = RunSettings.choose(pipe.config)
    entered = entrances(prepared.activity, 2)
    assert entered
    planned = plan_clips(prepared, settings, pipe.options, 2)
    assert all(min(abs(clip.new_stop - frame) for clip in planned) <= 2 for frame in entered)


@pytest.mark.filterwarnings("ignore:.*keep silent:UserWarning")
def test_two_trained_bands_serve_three_people_in_turn():
    pipe = tiny_pipeline(trained_voices=2, carry_masks=False)
    wanted = scene(*turns(3))
    clips, features, masks = heard_by(pipe, wanted)
    assert len(clips) > 2
    assert {f.shape[1] for f in features} == {m.shape[1] for m in masks} == {2}
    prepared = pipe.prepare(wanted, SIZE)
    where = {tuple(mask.flatten().tolist()): person for person, mask in enumerate(prepared.masks)}
    pairs = [[where[tuple(mask.flatten().tolist())] for mask in call[0]] for call in masks]
    assert pairs[0] == [0, 1]
    assert 2 in pairs[-1]
    windows = prepared.gate(prepared.speech.clip(0, 9), 0)
    torch.testing.assert_close(features[0][0], windows[pairs[0]])


def test_a_clip_of_a_work_folder_goes_on_with_the_same_cast(tmp_path):
    pipe = tiny_pipeline(trained_voices=2)
    wanted = scene(*turns(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = [clip.frames for clip in pipe.stream(wanted, size=SIZE, seed=1, work=tmp_path / "a")]
        kept = pipe.stream(wanted, size=SIZE, seed=1, work=tmp_path / "b")
        next(kept), next(kept)
        kept.close()
        from polytalk.pipeline.resume.folder import WorkFolder

        again = pipe.stream(wanted, size=SIZE, seed=1, work=WorkFolder(tmp_path / "b", resume=True))
        for before, after in zip(whole, again, strict=True):
            np.testing.assert_array_equal(before, after.frames)


def test_silence_where_nobody_speaks_and_what_is_spoken_stays():
    pipe = tiny_pipeline()
    quiet = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * 1e-3
    first = np.concatenate([voice(1.0, seed=0), quiet])
    second = np.concatenate([quiet, voice(1.0, seed=1)])
    prepared = pipe.prepare(scene(first, second), SIZE)
    assert prepared.activity.shape == (2, 50)
    assert prepared.activity[0, :8].all()
    assert not prepared.activity[0, 36:].any()
    assert not prepared.activity[1, :15].any()
    clip, gated = prepared.speech.clip(), prepared.gate(prepared.speech.clip(), 0)
    torch.testing.assert_close(gated[0, 40:], prepared.gate.silence.expand_as(gated[0, 40:]))
    torch.testing.assert_close(gated[0, :7], clip[0, :7])
    on, off = (heard_by(pipe, prepared, gate_silence=gate)[1] for gate in (True, False))
    assert any(not torch.equal(a, b) for a, b in zip(on, off, strict=True))
    torch.testing.assert_close(off[0][0], clip[:, : off[0].shape[2]])


def test_somebody_without_a_voice_is_heard_as_before():
    prepared = tiny_pipeline().prepare(scene(voice(0.4), None), SIZE)
    torch.testing.assert_close(prepared.gate(prepared.speech.clip(), 0)[1], prepared.speech.clip()[1])


def test_a_model_must_know_a_voice():
    with pytest.raises(PolytalkError, match="trained_voices"):
        PipelineConfig(trained_voices=0)


def test_the_released_model_knows_two_voices_and_lets_masks_follow():
    config = released_config("Wan2.1-I2V-14B-480P")
    assert config.trained_voices == 2
    assert config.carry_masks
    assert not RunSettings.choose(config, carry_masks=False).config.carry_masks
