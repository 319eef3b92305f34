"""People in a video speak anew, and the rest of it stays."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import SIZE, tiny_pipeline, voice
from tiny_wan import write_released

from polytalk import Box, MultiTalkPipeline, PolytalkError, Scene, Speaker
from polytalk.media.source_video import ArrayFrames
from polytalk.media.video import write_video
from polytalk.pipeline.dubbing import DubbingSource, feathered
from polytalk.scene import Cue

BOXES = (Box(0, 0, 16, 24), Box(32, 8, 48, 24))


def film(frames=14, height=SIZE[0], width=SIZE[1], seed=0):
    """A colourful picture that moves slowly to the side."""
    rng = np.random.default_rng(seed)
    wide = np.kron(rng.integers(0, 255, (height // 4, width // 2, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    return np.stack([wide[:, i // 4 : i // 4 + width] for i in range(frames)])


def dubbed(image, boxes=BOXES, seconds=0.4, **changes):
    speakers = [Speaker(voice(seconds, seed=i), 16_000, box) for i, box in enumerate(boxes)]
    return Scene(**{"image": image, "prompt": "they talk", "speakers": speakers, **changes})


def run(pipe, scene, seed=0, **choices):
    return pipe(scene, size=SIZE, generator=torch.Generator().manual_seed(seed), **choices)


def outside(boxes=BOXES):
    free = np.ones(SIZE, bool)
    for box in boxes:
        free[box.top : box.bottom, box.left : box.right] = False
    return free


@pytest.mark.parametrize("carry_over", ["pixels", "latent"])
def test_outside_of_the_faces_it_is_the_source(carry_over):
    pipe, source = tiny_pipeline(motion_frames=5, colour_strength=1.0), film()
    out = run(pipe, dubbed(source), carry_over=carry_over)
    assert out.frames.shape == source.shape, "as long as the video, although the voices are shorter"
    assert len(out.audio) <= 14 * 640
    kept = outside(still_boxes(pipe, source))
    assert 0.2 < kept.mean() < 0.8
    np.testing.assert_array_equal(out.frames[:, kept], source[:, kept])
    assert (out.frames[1:][:, ~kept] != source[1:][:, ~kept]).mean() > 0.3


def still_boxes(pipe, source):
    """The union of everywhere that the boxes have been."""
    prepared = pipe.prepare(dubbed(source), SIZE)
    tracks = prepared.source.boxes(0, len(source))
    low, high = np.floor(tracks[..., :2].min(0) / 8) * 8, np.ceil(tracks[..., 2:].max(0) / 8) * 8
    clipped = [(*low[i].clip(0), *high[i].clip(8, SIZE[::-1])) for i in range(len(BOXES))]
    return [Box(*map(int, box)) for box in clipped]


def test_latents_outside_are_the_sources_own_at_the_end_of_every_clip():
    pipe, source = tiny_pipeline(motion_frames=5), film(22)
    seen = []
    decode = pipe.components.decode_video
    pipe.components.decode_video = lambda latents: (seen.append(latents), decode(latents))[1]
    prepared = pipe.prepare(dubbed(source), SIZE)
    clips = list(pipe.stream(prepared, generator=torch.Generator().manual_seed(0)))
    assert len(clips) == len(seen) > 2
    for clip, latents in zip(pipe_clips(pipe, prepared), seen, strict=True):
        guide = prepared.source.guide(pipe.components, clip)
        kept = (guide.source.keep == 1).expand_as(latents).clone()
        known = 1 if clip.index == 0 else 2
        kept[:, :, :known] = False  # these are the motion frames'
        assert kept[:, :, known:].any()
        torch.testing.assert_close(latents[kept], guide.source.latents[kept], atol=0, rtol=0)


def pipe_clips(pipe, prepared):
    from polytalk.pipeline.clip_plan import plan_clips
    from polytalk.pipeline.settings import RunSettings

    return plan_clips(prepared, RunSettings.choose(pipe.config), pipe.options, None)


def test_less_strength_keeps_more_of_the_faces():
    pipe, source = tiny_pipeline(num_inference_steps=4), film(9)
    made = []
    decode = pipe.components.decode_video
    pipe.components.decode_video = lambda latents: (made.append(latents), decode(latents))[1]
    for strength in (0.05, 1.0):
        run(pipe, dubbed(source), strength=strength)
    own = pipe.components.encode_video(torch.from_numpy(source).permute(3, 0, 1, 2)[None].float() / 127.5 - 1)
    errors = [float((latents - own).abs().mean()) for latents in made]
    assert errors[0] < 0.8 * errors[1]
    for strength in (0.0, 1.5):
        with pytest.raises(PolytalkError, match="strength"):
            run(pipe, dubbed(source), strength=strength)


def test_who_has_no_voice_stays_as_he_is():
    pipe, source = tiny_pipeline(), film(9)
    scene = dubbed(source)
    mute = dataclasses.replace(scene, speakers=[scene.speakers[0], Speaker(None, box=BOXES[1])])
    out = run(pipe, mute).frames
    np.testing.assert_array_equal(out[:, :, 32:], source[:, :, 32:])
    assert (run(pipe, scene).frames[1:, 8:24, 32:] != source[1:, 8:24, 32:]).any()


def test_a_file_and_its_frames_are_dubbed_alike_and_a_scene_file_names_it(tmp_path):
    from polytalk.media.source_video import VideoFile

    write_video(tmp_path / "in.mp4", film(10), 25, crf=0)
    scene = dubbed(tmp_path / "in.mp4")
    pipe = tiny_pipeline()
    out = run(pipe, scene)
    decoded = VideoFile(tmp_path / "in.mp4").frames(0, 10)
    np.testing.assert_array_equal(out.frames, run(pipe, dubbed(decoded)).frames)
    assert pipe.prepare(scene, SIZE).rows["source video"].shape == (10,)


def test_boxes_may_be_given_for_any_frame():
    pipe, source = tiny_pipeline(), film(9)
    later = (Box(0, 0, 16, 16), Box(32, 0, 48, 16))
    scene = dubbed(source, cues=[Cue(start=5 / 25, boxes=later)])
    prepared = pipe.prepare(scene, SIZE)
    tracks = prepared.source.boxes(0, 9)
    np.testing.assert_allclose(tracks[5], [[0, 0, 16, 16], [32, 0, 48, 16]])
    np.testing.assert_allclose(tracks[0], [[0, 0, 16, 24], [32, 8, 48, 24]])
    masks = prepared.source.masks(5, 1, 8)[0]
    assert masks[:, 2:].sum() == 0
    assert masks[0, :2, :2].all()


def test_no_boxes_means_equal_parts_that_stand_still():
    pipe, source = tiny_pipeline(), film(9)
    scene = dubbed(source, boxes=(None, None))
    tracks = pipe.prepare(scene, SIZE).source.boxes(0, 9)
    assert (tracks == tracks[0]).all()


def test_voices_that_outlast_the_video_are_cut_off_with_a_warning():
    pipe = tiny_pipeline()
    with pytest.warns(UserWarning, match=r"go on for 0\.\d s after the video's end"):
        out = run(pipe, dubbed(film(5), seconds=0.6))
    assert len(out.frames) == 5
    assert len(out.audio) == 5 * 640


def test_another_picture_cannot_take_its_place():
    pipe = tiny_pipeline()
    scene = dubbed(film(9), cues=[Cue(start=0.2, image=film(1)[0])])
    with pytest.raises(PolytalkError, match="another picture"):
        pipe.prepare(scene, SIZE)


def test_a_video_of_another_size_is_fitted_as_a_picture_is():
    source = DubbingSource(ArrayFrames(film(3, 64, 96)), SIZE, {0: ((0, 0, 16, 24),)}, [True])
    assert source.pixels(1, 2).shape == (2, *SIZE, 3)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 4), st.integers(0, 9), st.integers(0, 9), st.integers(1, 10), st.integers(1, 10), st.booleans())
def test_feathers_reach_inwards_only(feather, top, left, height, width, outer):
    region = torch.zeros(2, 10, 10, dtype=torch.bool)
    region[0, top : top + height, left : left + width] = True
    share = feathered(region, feather, outer=outer)
    assert (share[~region] == 0).all()
    assert share.max() == 1, "the middle of a region is new all the way"
    assert ((share >= 0) & (share <= 1)).all()
    if outer:
        assert (share[region] > 0).all()


@pytest.mark.parametrize("carry_over", ["pixels", "latent"])
def test_the_released_family_dubs_too(tmp_path, carry_over):
    released = write_released(tmp_path)
    pipe = MultiTalkPipeline.from_pretrained(released, torch_dtype="float32", device="cpu")
    source = film(17)
    choices = {"num_inference_steps": 2, "guidance_scale": 1.0, "clip_frames": 13, "motion_frames": 5}
    out = run(pipe, dubbed(source), carry_over=carry_over, **choices)
    assert out.frames.shape == source.shape
    kept = outside(still_boxes(pipe, source))
    np.testing.assert_array_equal(out.frames[:, kept], source[:, kept])
    assert (out.frames[6:][:, ~kept] != source[6:][:, ~kept]).mean() > 0.3
