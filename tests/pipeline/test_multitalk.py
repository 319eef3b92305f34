"""The whole pipeline on a tiny model of the real classes."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_model import SIZE, TINY, picture, scene, tiny_components, tiny_pipeline, voice

from polytalk import Box, MultiTalkPipeline, PolytalkError, Scene, Speaker
from polytalk.config.pipeline import PipelineConfig
from polytalk.diffusion import AdaptiveProjection
from polytalk.media.video import read_video
from polytalk.pipeline.progress import Stage


def run(pipe, wanted=None, seed=0, **choices):
    generator = torch.Generator().manual_seed(seed)
    return pipe(wanted or scene(), size=SIZE, generator=generator, **choices)


@pytest.mark.parametrize("people", [1, 2, 3, 4])
@pytest.mark.parametrize(("text", "audio"), [(1, 1), (1, 3), (3, 1), (3, 2)])
def test_any_number_of_people_and_any_guidance(people, text, audio):
    out = run(tiny_pipeline(), scene(people), guidance_scale=text, audio_guidance_scale=audio)
    assert out.frames.shape == (10, *SIZE, 3)
    assert out.frames.dtype == np.uint8
    assert out.frames.std() > 5
    assert out.fps == 25
    assert out.audio.shape == (6400,)
    assert out.audio.dtype == np.float32
    assert out.sample_rate == 16_000


def test_a_seed_is_a_video():
    pipe = tiny_pipeline()
    np.testing.assert_array_equal(run(pipe).frames, run(pipe).frames)
    assert (run(pipe).frames != run(pipe, seed=1).frames).any()


def test_one_batch_for_all_branches_changes_nothing():
    choices = {"guidance_scale": 3.0, "audio_guidance_scale": 2.0}
    apart = run(tiny_pipeline(batch_guidance=False), **choices).frames.astype(int)
    together = run(tiny_pipeline(batch_guidance=True), **choices).frames.astype(int)
    assert np.abs(apart - together).max() <= 1


def test_every_input_reaches_the_picture():
    pipe = tiny_pipeline()
    plain, first = scene(), scene().speakers[0]
    ours = run(pipe, plain).frames
    swapped = dataclasses.replace(plain, speakers=plain.speakers[::-1])
    quiet = dataclasses.replace(plain, speakers=[Speaker(None), plain.speakers[1]])
    boxes = [Speaker(s.audio, 16_000, Box(0, 8 * i, 96, 8 * i + 40)) for i, s in enumerate(plain.speakers)]
    for other in (
        dataclasses.replace(plain, prompt="one of them waves"),
        dataclasses.replace(plain, image=picture()[:, ::-1]),
        swapped,
        quiet,
        dataclasses.replace(plain, speakers=boxes),
        dataclasses.replace(plain, speakers=[first]),
    ):
        assert (run(pipe, other).frames != ours).any()
    text = {"guidance_scale": 3.0}
    negative = dataclasses.replace(plain, negative_prompt="a dull day")
    assert (run(pipe, negative, **text).frames != run(pipe, plain, **text).frames).any()


def test_a_prepared_scene_gives_the_same_and_knows_its_length():
    pipe = tiny_pipeline()
    prepared = pipe.prepare(scene(), SIZE)
    assert prepared.num_frames == 10
    assert prepared.masks.shape == (2, 4, 6)
    np.testing.assert_array_equal(run(pipe, prepared).frames, run(pipe).frames)


def test_clips_come_one_by_one_and_join():
    pipe = tiny_pipeline(motion_frames=5)
    wanted = scene(seconds=1.0)
    clips = list(pipe.stream(wanted, size=SIZE, generator=torch.Generator().manual_seed(3)))
    assert len(clips) > 2
    assert [clip.start for clip in clips] == np.cumsum([0, *(len(clip.frames) for clip in clips)])[:-1].tolist()
    whole = run(pipe, wanted, seed=3)
    np.testing.assert_array_equal(np.concatenate([clip.frames for clip in clips]), whole.frames)
    assert len(whole.frames) == 25


def record_latents(seen):
    """Keeps the input of every prediction; calls that only prepare the conditioning have none."""
    return lambda _, args: seen.append(args[0]) if args[0] is not None else None


def test_later_clips_begin_with_the_frames_before():
    pipe = tiny_pipeline(motion_frames=5, colour_strength=0.0)
    seen = []
    hook = pipe.components.transformer.register_forward_pre_hook(record_latents(seen))
    clips = list(pipe.stream(scene(seconds=0.6), size=SIZE, generator=torch.Generator().manual_seed(0)))
    hook.remove()
    videos = np.concatenate([clip.frames for clip in clips])
    first = seen[0]
    later = seen[len(seen) // len(clips)]
    assert first[0, 16:20, :, 0, 0].tolist() == [[1.0] + [0.0] * (first.shape[2] - 1)] * 4
    assert later[0, 16:20, :, 0, 0].tolist() == [[1.0, 1.0] + [0.0] * (later.shape[2] - 2)] * 4
    boundary = clips[1].start
    motion = torch.from_numpy(videos[boundary - 5 : boundary]).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    expected = pipe.components.encode_video(motion)
    torch.testing.assert_close(later[:, 20:, :2], expected, atol=0.05, rtol=0.05)


def test_condition_shows_the_picture_or_grey():
    for fill, same in (("reference", True), ("zero", False)):
        pipe = tiny_pipeline(fill_condition=fill)
        seen = []
        hook = pipe.components.transformer.register_forward_pre_hook(record_latents(seen))
        run(pipe)
        hook.remove()
        still = pipe.components.autoencoder.still(_network_picture(), seen[0].shape[2])
        torch.testing.assert_close(seen[0][:, 20:, :1], still[:, :, :1], atol=1e-4, rtol=1e-4)
        assert torch.allclose(seen[0][:, 20:, -1], still[:, :, -1], atol=1e-4) is same


def _network_picture():
    from polytalk.units import to_network

    return to_network(tiny_pipeline().prepare(scene(), SIZE).pixels)[:, :, 0]


def test_progress_tells_every_clip_and_step():
    events = []
    run(tiny_pipeline(), scene(seconds=0.6), progress=events.append, num_inference_steps=3)
    clips = events[-1].num_clips
    assert clips == 2
    assert events[0].stage is Stage.PREPARE
    assert events[-1].stage is Stage.DONE
    steps = [(e.clip, e.step) for e in events if e.stage is Stage.DENOISE]
    assert steps == [(clip, step) for clip in range(clips) for step in range(4)]


def test_progress_can_stop_the_run():
    def stop(event):
        if event.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny_pipeline(), progress=stop)


def test_saved_models_load_again(tmp_path):
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path / "model")
    again = MultiTalkPipeline.from_pretrained(tmp_path / "model", torch_dtype="float32", device="cpu")
    assert again.config == pipe.config == TINY
    np.testing.assert_array_equal(run(again).frames, run(pipe).frames)


def test_bfloat16_is_close(tmp_path):
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path)
    half = MultiTalkPipeline.from_pretrained(tmp_path, torch_dtype="bfloat16", device="cpu")
    assert half.components.dtype == torch.bfloat16
    assert half.components.speech_encoder.filters.dtype == torch.float32
    difference = run(half).frames.astype(int) - run(pipe).frames
    assert np.abs(difference).mean() < 4


def test_output_is_a_file_with_sound(tmp_path):
    out = run(tiny_pipeline())
    path = out.save(tmp_path / "talk.mp4")
    frames, fps = read_video(path)
    assert frames.shape == out.frames.shape
    assert fps == 25
    with pytest.raises(PolytalkError, match="exists"):
        out.save(path)
    out.save(path, force=True)


def test_sound_shorter_than_a_frame_group_and_silent_speakers():
    short = Scene(picture(), speakers=[Speaker(voice(0.01), 16_000)])
    assert 1 <= len(run(tiny_pipeline(), short).frames) <= 5
    quiet = Scene(picture(), speakers=[Speaker(np.zeros(8000, np.float32), 16_000), Speaker(None)])
    assert run(tiny_pipeline(), quiet).frames.std() > 5


def test_turns_last_longer_than_together():
    together, turns = (run(tiny_pipeline(), scene(arrangement=a)).frames for a in ("together", "turns"))
    assert (len(together), len(turns)) == (10, 20)


def test_adaptive_projection_is_another_guidance():
    scales = {"guidance_scale": 4.0, "audio_guidance_scale": 3.0}
    plain = run(tiny_pipeline(), **scales).frames
    projected = run(tiny_pipeline(), adaptive_projection=True, **scales).frames
    tight = run(tiny_pipeline(), adaptive_projection=AdaptiveProjection(norm_threshold=0.1), **scales).frames
    assert (plain != projected).any()
    assert (tight != projected).any()


def test_masks_can_follow_the_network():
    wanted = scene(seconds=0.8, boxes=True)
    fixed, carried = (run(tiny_pipeline(carry_masks=carry), wanted).frames for carry in (False, True))
    np.testing.assert_array_equal(fixed[:9], carried[:9])
    assert (fixed != carried).any()


def test_size_follows_the_picture_unless_given():
    tall = Scene(picture(96, 64), speakers=[Speaker(voice(0.2), 16_000)])
    assert tiny_pipeline().prepare(tall).pixels.shape == (240, 160, 3)
    with pytest.raises(PolytalkError, match="multiples of 16"):
        tiny_pipeline().prepare(tall, (30, 48))


@pytest.mark.parametrize(
    ("choices", "field"),
    [
        ({"num_inference_steps": 0}, "steps"),
        ({"guidance_scale": -1.0}, "guidance"),
        ({"audio_guidance_scale": float("nan")}, "audio_guidance_scale"),
        ({"clip_frames": 8}, "clip_frames"),
        ({"motion_frames": 33}, "motion_frames"),
        ({"shift": 0.0}, "shift"),
        ({"colour_strength": 2.0}, "colour_strength"),
    ],
)
def test_wrong_choices_fail_before_any_work(choices, field):
    with pytest.raises(PolytalkError, match=field):
        tiny_pipeline().stream(scene(), **choices)


def test_unknown_models_and_damaged_folders(tmp_path):
    with pytest.raises(PolytalkError, match=r"'gigantic'.*Embedded"):
        MultiTalkPipeline.from_pretrained("gigantic")
    tiny_pipeline().save_pretrained(tmp_path / "m")
    (tmp_path / "m" / "transformer" / "config.json").unlink()
    with pytest.raises(PolytalkError, match="transformer"):
        MultiTalkPipeline.from_pretrained(tmp_path / "m")
    index = tmp_path / "m" / "model_index.json"
    index.write_text('{"components": {"transformer": "os.system"}}')
    with pytest.raises(PolytalkError, match=r"os\.system"):
        MultiTalkPipeline.from_pretrained(tmp_path / "m")
    index.write_text("[]")
    with pytest.raises(PolytalkError, match="components"):
        MultiTalkPipeline.from_pretrained(tmp_path / "m")
    index.write_text('{"components": {}, "defaults": {"speed": 11}}')
    with pytest.raises(PolytalkError, match="speed"):
        MultiTalkPipeline.from_pretrained(tmp_path / "m")


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        ({"speed": 11}, "speed"),
        ({"num_inference_steps": "many"}, "num_inference_steps"),
        ({"clip_frames": 32}, "clip_frames"),
        ({"fill_condition": "blue"}, "fill_condition"),
        ({"colour_strength": -1}, "colour_strength"),
    ],
)
def test_a_model_with_wrong_defaults_is_refused(defaults, message):
    with pytest.raises(PolytalkError, match=message):
        PipelineConfig.from_dict(defaults)


def test_arguments_that_do_not_exist_are_refused():
    with pytest.raises(TypeError, match="stpes"):
        tiny_pipeline().stream(scene(), stpes=3)


def test_the_first_seconds_alone():
    prepared = tiny_pipeline().prepare(scene(seconds=1.0), SIZE)
    assert prepared.first_seconds(None) is prepared
    assert prepared.first_seconds(0.4).num_frames == 10
    assert prepared.first_seconds(0.001).num_frames == 1
    assert prepared.first_seconds(99.0).num_frames == 25


def test_unknown_devices_and_formats(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    with pytest.raises(PolytalkError, match="device"):
        MultiTalkPipeline.from_pretrained(tmp_path, device="abacus")
    if not torch.cuda.is_available():
        with pytest.raises(PolytalkError, match="no cuda"):
            MultiTalkPipeline.from_pretrained(tmp_path, device="cuda")
    with pytest.raises(PolytalkError, match="dtype"):
        MultiTalkPipeline.from_pretrained(tmp_path, torch_dtype="float8")


def test_long_sound_is_encoded_without_seams(monkeypatch):
    from polytalk.pipeline.components import mini as components

    parts = tiny_components()
    sound = torch.from_numpy(voice(8.0))[None]
    whole = parts.encode_speech(sound, 200)
    monkeypatch.setattr(components, "_SPEECH_CHUNK", 60)
    torch.testing.assert_close(parts.encode_speech(sound, 200), whole, atol=1e-4, rtol=1e-4)


def test_defaults_are_those_of_the_release():
    config = PipelineConfig()
    assert (config.num_inference_steps, config.shift) == (40, 7.0)
    assert (config.guidance_scale, config.audio_guidance_scale) == (5.0, 4.0)
    assert (config.clip_frames, config.motion_frames, config.fill_condition) == (81, 25, "zero")
