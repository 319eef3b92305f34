"""A long video takes no more memory than a short one, apart from its sound."""

import gc
import tracemalloc

import numpy as np
import psutil
import pytest
import torch
from tiny_model import SIZE, picture, tiny_pipeline, voice

from polytalk import Scene, Speaker
from polytalk.conditioning import speech
from polytalk.media.video import VideoWriter
from polytalk.planning.fake_tensor_trace import LiveBytes

RATE = 32_000
BYTES_A_SECOND = 2 * 4 * RATE
"""Of two people's sound as it is read."""


def meter(work):
    """Most bytes that `work` holds at a time beyond what was there before, of tensors and of everything else."""
    gc.collect()
    tracemalloc.start()
    tensors = LiveBytes()
    try:
        with torch.no_grad(), tensors:
            result = work()
        return result, tensors.peak + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def make(pipe, folder, seconds, work=None):
    """Bytes held while the scene is prepared, and while the video is made and written."""
    speakers = [Speaker(voice(seconds, seed, RATE), RATE) for seed in range(2)]
    scene = Scene(picture(), "they talk", speakers)
    prepared, preparing = meter(lambda: pipe.prepare(scene, SIZE))

    def write():
        sound = prepared.sound
        with VideoWriter(folder / f"{seconds}.mp4", 25, sound.samples, sound.sample_rate) as writer:
            for clip in pipe.stream(prepared, seed=0, work=work):
                for frame in clip.frames:
                    writer.write(frame)
        return writer.frames_written

    frames, making = meter(write)
    assert frames == round(25 * seconds)
    return preparing, making


@pytest.fixture
def pipe():
    return tiny_pipeline(clip_frames=33, motion_frames=5, carry_masks=True, colour_strength=1.0)


def assert_constant(pipe, folder, short, long):
    make(pipe, folder, 2.0)  # what is only loaded once
    less, more = make(pipe, folder, short), make(pipe, folder, long, folder / "work")
    extra_sound = (long - short) * BYTES_A_SECOND
    assert more[0] - less[0] < 6 * extra_sound  # as read, at 16 kHz, mixed, and in the middle of being levelled
    # checking the sound takes a byte a sample; frames that were kept would take four times as much
    assert more[1] < 1.1 * less[1] + 0.15 * extra_sound


def test_a_longer_video_takes_no_more_memory(pipe, tmp_path):
    assert_constant(pipe, tmp_path, 4.0, 14.0)


@pytest.mark.slow
def test_ten_minutes_take_no_more_memory_than_thirty_seconds(pipe, tmp_path):
    assert_constant(pipe, tmp_path, 30.0, 600.0)
    before = psutil.Process().memory_info().rss
    make(pipe, tmp_path, 599.0)
    assert psutil.Process().memory_info().rss - before < 200e6  # the encoder's own memory, which no meter sees


def test_features_of_long_sound_lie_in_a_file(pipe, monkeypatch):
    tracks = np.stack([voice(3.0, seed) for seed in range(2)])

    def encode(samples):
        return pipe.components.encode_speech(samples[None], speech.num_feature_frames(len(samples)))[0]

    wanted = speech.encode_speech(tracks, encode)
    monkeypatch.setattr(speech, "MOST_FEATURE_BYTES", 100)
    found = speech.encode_speech(tracks, encode)
    assert torch.equal(found.features, wanted.features)
    torch.testing.assert_close(found.clip(10, 9), wanted.clip(10, 9), rtol=0, atol=0)
