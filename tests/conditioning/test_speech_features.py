"""Voices become windowed features, frame by frame as in the release."""

import json
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import Wav2Vec2Config, Wav2Vec2Model

from polytalk import PolytalkError, Scene, Speaker, Utterance
from polytalk.conditioning.conversation import load_conversation, load_voices
from polytalk.conditioning.speech import (
    SpeechFeatures,
    conversation_tracks,
    encode_speech,
    normalise_loudness,
    num_feature_frames,
    pad_to_frames,
    speech_tracks,
    standardise,
)
from polytalk.conditioning.wav2vec2 import Wav2Vec2SpeechEncoder, convolve
from polytalk.media.audio import Sound

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def golden():
    tensors = {name: tensor.float() for name, tensor in load_file(GOLDEN / "wav2vec2.safetensors").items()}
    model = Wav2Vec2Model(Wav2Vec2Config(**json.loads((GOLDEN / "wav2vec2_config.json").read_text())))
    model.load_state_dict({name[2:]: tensor for name, tensor in tensors.items() if name.startswith("w.")})
    return tensors, Wav2Vec2SpeechEncoder(model)


def test_wav2vec2_features_are_the_releases(golden):
    tensors, encoder = golden
    features = encode_speech(tensors["waveform"].numpy(), encoder).features[0]
    assert features.shape == tensors["out"].shape
    assert (features - tensors["out"]).abs().max() <= 1e-4 * tensors["out"].abs().max()


def test_a_silent_speaker_has_the_features_of_zero_samples(golden):
    tensors, encoder = golden
    speaking = tensors["waveform"].numpy()
    speech = encode_speech(np.concatenate([speaking, np.zeros_like(speaking)]), encoder)
    assert torch.isfinite(speech.features).all()
    assert torch.equal(speech.features[1], encoder(torch.zeros(speaking.shape[1])))
    assert not torch.equal(speech.features[0], speech.features[1])


@settings(deadline=None, max_examples=15)
@given(chunk=st.integers(1, 20_799), samples=st.integers(400, 20_800))
def test_long_sound_is_convolved_in_pieces_without_seams(golden, chunk, samples):
    tensors, encoder = golden
    sound = torch.from_numpy(standardise(tensors["waveform"][0, :samples].numpy()))[None]
    with torch.no_grad():
        whole = encoder.model.feature_extractor(sound)
        torch.testing.assert_close(convolve(encoder.model, sound, chunk), whole, atol=1e-5, rtol=1e-4)


def babble(seconds, rate=16_000, level=0.1, seed=0):
    return (np.random.default_rng(seed).standard_normal(round(seconds * rate)) * level).astype(np.float32)


@settings(deadline=None, max_examples=15)
@given(level=st.floats(1e-3, 0.5), seconds=st.floats(0.45, 2), rate=st.sampled_from([16_000, 44_100]))
def test_loudness_is_brought_to_minus_23(level, seconds, rate):
    out = normalise_loudness(babble(seconds, rate, level), rate)
    assert pyloudnorm.Meter(rate).integrated_loudness(out.astype(np.float64)) == pytest.approx(-23, abs=0.01)


def test_what_cannot_be_measured_is_left_alone():
    silence, short = np.zeros(16_000, np.float32), babble(0.39)
    assert normalise_loudness(silence) is silence
    assert normalise_loudness(short) is short


def test_zero_mean_unit_variance():
    out = standardise(babble(1) + 0.3)
    assert abs(out.mean()) < 1e-6
    assert out.std() == pytest.approx(1, abs=1e-4)
    assert not standardise(np.zeros(100, np.float32)).any()


def test_voices_are_levelled_by_themselves_then_arranged():
    loud, quiet = Sound(babble(1, level=0.5), 16_000), Sound(babble(1, 44_100, level=0.01), 44_100)
    tracks = speech_tracks([loud, None, quiet], "turns")
    assert tracks.shape == (3, 32_000)
    assert not tracks[0, 16_000:].any()
    assert not tracks[1].any()
    assert not tracks[2, :16_000].any()
    meter = pyloudnorm.Meter(16_000)
    for voice in (tracks[0, :16_000], tracks[2, 16_000:]):
        assert meter.integrated_loudness(voice.astype(np.float64)) == pytest.approx(-23, abs=0.1)


PICTURE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize("arrangement", ["together", "turns"])
def test_scenes_without_utterances_sound_as_before(arrangement):
    speakers = [Speaker(babble(1.3, 44_100), 44_100, offset=0.3), Speaker(None), Speaker(babble(2, seed=1), 16_000)]
    scene = Scene(PICTURE, "", speakers, arrangement)
    wanted = speech_tracks(load_voices(scene), arrangement, [speaker.offset for speaker in speakers])
    assert np.array_equal(conversation_tracks(load_conversation(scene)), wanted)


def test_one_loudness_for_all_that_a_person_says():
    loud, soft = babble(2, level=0.2), babble(1, 48_000, level=0.02, seed=1)
    said = [
        Utterance("Anna", audio=loud, sample_rate=16_000, start=1),
        Utterance("Ben", audio=babble(1, level=0.001), sample_rate=16_000, start=2),
        Utterance("Anna", audio=soft, sample_rate=48_000, start=10),
    ]
    speakers = [Speaker(name=name) for name in ("Anna", "Ben", "Carl")]
    tracks = conversation_tracks(load_conversation(Scene(PICTURE, "", speakers, utterances=said)))
    assert tracks.shape == (3, 11 * 16_000)
    assert not tracks[2].any()
    assert not tracks[0, :16_000].any()
    assert not tracks[0, 3 * 16_000 : 10 * 16_000].any()
    meter = pyloudnorm.Meter(16_000)
    spoken = np.concatenate([tracks[0, 16_000 : 3 * 16_000], tracks[0, 10 * 16_000 :]]).astype(np.float64)
    assert meter.integrated_loudness(spoken) == pytest.approx(-23, abs=0.1)
    assert meter.integrated_loudness(tracks[1, 2 * 16_000 : 3 * 16_000].astype(np.float64)) == pytest.approx(
        -23, abs=0.1
    )
    ratio = tracks[0, 16_000 : 3 * 16_000].std() / tracks[0, 10 * 16_000 :].std()
    # Resampling takes away what is above 8 kHz, two thirds of the noise's power.
    assert ratio == pytest.approx(10 * 3**0.5, rel=0.1)


def count_frames(samples):
    """An encoder whose features are the numbers of their frames."""
    return torch.arange(num_feature_frames(len(samples)), dtype=torch.float32).reshape(-1, 1, 1).expand(-1, 2, 3)


@settings(deadline=None)
@given(samples=st.integers(0, 100_000), frames=st.integers(1, 200))
def test_padding_gives_the_frames_asked_for(samples, frames):
    padded = pad_to_frames(np.zeros((2, samples), np.float32), frames)
    assert padded.shape[0] == 2
    assert num_feature_frames(padded.shape[1]) == max(frames, num_feature_frames(samples))


@settings(deadline=None)
@given(total=st.integers(1, 60), start=st.integers(0, 59), count=st.integers(1, 40))
def test_windows_see_two_frames_each_way(total, start, count):
    start = min(start, total - 1)
    speech = encode_speech(np.zeros((2, total * 640), np.float32), count_frames)
    clip = speech.clip(start, count)
    assert clip.shape == (2, count, 5, 2, 3)
    for t in range(count):
        expected = [min(max(start + t + reach, 0), total - 1) for reach in (-2, -1, 0, 1, 2)]
        assert clip[1, t, :, 0, 0].tolist() == expected


def test_clips_overlap_without_a_seam():
    speech = SpeechFeatures(torch.randn(2, 50, 3, 4, generator=torch.Generator().manual_seed(0)))
    whole = speech.clip()
    assert torch.equal(torch.cat([speech.clip(0, 33), speech.clip(33, 17)], dim=1), whole)
    for start, count in ((-1, 5), (0, 0)):
        with pytest.raises(PolytalkError, match="clip"):
            speech.clip(start, count)


def test_encoders_must_keep_time():
    with pytest.raises(ValueError, match="for 25 frames"):
        encode_speech(np.zeros((1, 16_000), np.float32), lambda samples: torch.zeros(50, 2, 3))
    with pytest.raises(PolytalkError, match="shorter than one video frame"):
        encode_speech(np.zeros((1, 600), np.float32), count_frames)
