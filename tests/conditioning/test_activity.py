"""Who speaks when: heard in tracks with noise, hum and leaks, and silence in the place of everything else."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from polytalk import Scene, Speaker
from polytalk.conditioning.activity import VoiceGate, silent_features, track_gains, voice_activity
from polytalk.conditioning.conversation import load_conversation
from polytalk.conditioning.speech import SpeechFeatures, conversation_tracks, normalise_loudness
from polytalk.evaluation.scenes.held_out import evaluation_voices
from polytalk.media.audio import Sound
from polytalk.scene.schedule import runs
from polytalk.synthetic.speech.conversation import draw_conversation

RATE, FPS = 16_000, 25


def syllables(seconds, level=0.2, seed=0):
    """Something like speech: noise whose loudness rises and falls four times a second."""
    rng, n = np.random.default_rng(seed), round(seconds * RATE)
    shape = np.sin(np.arange(n) * np.pi * 4 / RATE) ** 2
    return (level * shape * rng.standard_normal(n)).astype(np.float32)


def noise(seconds, level, seed=1):
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def spoken(stretches, seconds=8.0, seed=0):
    """A track (n,) with syllables from each start to each stop."""
    track = np.zeros(round(seconds * RATE), np.float32)
    for start, stop in stretches:
        said = syllables(stop - start, seed=seed)
        track[round(start * RATE) : round(start * RATE) + len(said)] = said
    return track


def check(active, stretches):
    """All of it is heard, and nothing half a second away from it."""
    near = np.zeros(len(active), bool)
    for start, stop in stretches:
        assert active[round((start + 0.1) * FPS) : round((stop - 0.1) * FPS)].all()
        near[max(0, round((start - 0.5) * FPS)) : round((stop + 0.5) * FPS)] = True
    assert not active[~near].any()


STRETCHES = [(1.0, 2.0), (3.5, 6.0)]


@pytest.mark.parametrize("level", [0.0, 1e-4, 2e-3, 1e-2])
@pytest.mark.parametrize("gain", [0.03, 1.0, 4.0])
def test_speech_over_noise_at_any_level(level, gain):
    track = gain * (spoken(STRETCHES) + noise(8.0, level))
    check(voice_activity(track[None], 200)[0], STRETCHES)


def test_hum_a_click_and_an_offset_are_no_voice():
    track = spoken(STRETCHES) + 0.3 + 0.01 * np.sin(np.arange(8 * RATE) * 2 * np.pi * 50 / RATE)
    track[round(7.4 * RATE) : round(7.4 * RATE) + 320] = 0.8
    check(voice_activity(track.astype(np.float32)[None], 200)[0], STRETCHES)


def test_noise_alone_and_zeros_are_no_voice_however_loud():
    tracks = np.stack([np.zeros(8 * RATE, np.float32), normalise_loudness(noise(8.0, 1e-3))])
    assert not voice_activity(tracks, 200).any()


def test_speech_without_a_pause_and_short_words():
    assert voice_activity(syllables(8.0)[None], 200).all()
    assert voice_activity(spoken([(3.0, 3.25)])[None], 200)[0, 75:81].all()
    assert voice_activity(syllables(0.2)[None], 5).any()


def test_a_short_pause_is_kept_and_a_long_one_is_not():
    active = voice_activity(spoken([(1.0, 2.0), (2.15, 3.0), (4.0, 5.0)])[None], 200)[0]
    assert active[25:75].all()
    assert not active[82:95].any()


def test_a_track_that_merely_hears_the_other():
    anna, ben = spoken([(0.5, 2.5)], seed=1), spoken([(4.0, 6.5)], seed=2)
    # two microphones, each of which hears the other speaker 16 dB softer
    active = voice_activity(np.stack([anna + 0.16 * ben, ben + 0.16 * anna]), 200)
    check(active[0], [(0.5, 2.5)])
    check(active[1], [(4.0, 6.5)])


def test_somebody_who_only_listens_and_hears_the_other_is_known_by_the_recorded_level():
    anna = spoken([(0.5, 2.5), (4.0, 6.5)], seed=1)
    # the listener's track was made as loud as a voice before
    active = voice_activity(np.stack([anna, anna + noise(8.0, 1e-3)]), 200, gains=np.array([0.0, 15.0]))
    check(active[0], [(0.5, 2.5), (4.0, 6.5)])
    assert not active[1].any()


def test_gains_are_those_of_the_levelling():
    quiet = Sound(0.02 * syllables(2.0), 16_000)
    scene = Scene(
        np.zeros((32, 32, 3), np.uint8), speakers=[Speaker(quiet.samples, 16_000), Speaker(syllables(2.0), 16_000)]
    )
    conversation = load_conversation(scene)
    gains = track_gains(conversation, conversation_tracks(conversation))
    assert gains[0] - gains[1] == pytest.approx(-20 * np.log10(0.02), abs=0.1)


def test_both_at_once_are_both_heard():
    loud, soft = spoken([(1.0, 4.0)], seed=1), 0.2 * spoken([(2.1, 5.0)], seed=2)
    active = voice_activity(np.stack([loud, soft]), 200)
    check(active[0], [(1.0, 4.0)])
    assert active[1, 55:122].mean() > 0.95


def test_conversations_of_real_voices():
    missed, spoke, wrong, silent = 0, 0, 0, 0
    for seed in range(8):
        talk = draw_conversation(evaluation_voices(), np.random.default_rng(seed), 2, 250, bool(seed % 2))
        tracks = np.stack([normalise_loudness(track) for track in talk.audio])
        active = voice_activity(tracks + noise(10.0, 1e-3)[: tracks.shape[1]], 250)
        near = np.zeros_like(active)
        for person, row in enumerate(talk.speaking):
            for first, last in runs(row):
                near[person, max(0, first - 8) : last + 8] = True
        missed, spoke = missed + (talk.speaking & ~active).sum(), spoke + talk.speaking.sum()
        wrong, silent = wrong + (active & ~near).sum(), silent + (~near).sum()
    assert missed < 0.02 * spoke
    assert wrong < 0.05 * silent


@given(
    arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(0, 5000)), elements=st.floats(-1, 1, width=32)),
    st.integers(1, 12),
)
def test_any_sound_gives_an_answer_of_the_right_size(tracks, frames):
    active = voice_activity(tracks, frames)
    assert active.shape == (len(tracks), frames)
    assert active.dtype == bool


def test_runs():
    assert runs(np.array([1, 1, 0, 1], bool)) == [(0, 2), (3, 4)]
    assert runs(np.zeros(3, bool)) == []


def test_the_gate_is_open_where_somebody_speaks_and_shuts_gently():
    active = np.zeros((2, 12), bool)
    active[0, 5:7] = True
    features = torch.rand(2, 12, 3, 4) + 1
    silence = torch.rand(3, 4)
    gate = VoiceGate.of(active, silence)
    expected = torch.tensor([0, 0, 0, 1, 2, 3, 3, 2, 1, 0, 0, 0]) / 3
    torch.testing.assert_close(gate.openings[0], expected)
    assert gate.openings[1].sum() == 0
    whole = SpeechFeatures(features)
    opened = expected[None, :, None, None] * torch.tensor([1.0, 0.0])[:, None, None, None]
    mixed = SpeechFeatures(opened * features + (1 - opened) * silence)
    for start, count in ((0, 12), (3, 5), (7, 5)):
        torch.testing.assert_close(gate(whole.clip(start, count), start), mixed.clip(start, count))
    cut = SpeechFeatures(features[:, :8])
    torch.testing.assert_close(gate.first(8)(cut.clip(4, 4), 4), SpeechFeatures(mixed.features[:, :8]).clip(4, 4))


def test_silent_features_are_those_of_zero_samples():
    heard = []

    def encoder(samples):
        heard.append(samples)
        return torch.arange(50.0)[:, None, None].expand(50, 2, 3)

    assert torch.equal(silent_features(encoder), torch.full((2, 3), 25.0))
    assert heard[0].shape == (2 * RATE,)
    assert not heard[0].any()
