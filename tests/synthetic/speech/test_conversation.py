"""Conversations: their lengths, turns, overlap; sound and mouth belong together."""

import numpy as np
import pytest

from polytalk.errors import PolytalkError
from polytalk.synthetic.speech.augment import Augmentation, colour, draw_noise
from polytalk.synthetic.speech.bank import SpeechBank, add_to_bank
from polytalk.synthetic.speech.conversation import draw_conversation
from polytalk.synthetic.speech.formant import FormantSource
from polytalk.synthetic.speech.mouth import mouth_track

FRAMES = 33

CLEAN = Augmentation(speed=0, tone=0, room=0, noise=0, bleed=0, gain_db=(0.0, 0.0))


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    source = FormantSource()
    source.speakers = 6
    add_to_bank(folder, source, 1.2)
    return SpeechBank(folder)


def draws(bank, people, overlap, count=60, **options):
    return [
        draw_conversation(bank, np.random.default_rng(seed), people, FRAMES, overlap, **options)
        for seed in range(count)
    ]


def test_shapes_and_types(bank):
    for people in (1, 2, 4):
        talk = draws(bank, people, people > 1, 1, context=0.48)[0]
        assert talk.audio.shape == (people, FRAMES * 640)
        assert talk.lead.shape == talk.trail.shape == (people, 7680)
        assert talk.with_context.shape == (people, FRAMES * 640 + 2 * 7680)
        assert talk.mouth.shape == (people, FRAMES, 3)
        assert talk.speaking.shape == (people, FRAMES)
        assert (talk.audio.dtype, talk.mouth.dtype, talk.speaking.dtype) == (np.float32, np.float32, bool)
        assert np.isfinite(talk.audio).all()
        assert np.abs(talk.audio).max() <= 1
        assert len(talk.phonemes) == len(talk.voices) == people
        for person in range(people):
            np.testing.assert_array_equal(talk.mouth[person], mouth_track(talk.phonemes[person], FRAMES))


def test_same_seed_same_conversation(bank):
    first, second = (draws(bank, 3, True, 1, context=0.2)[0] for _ in range(2))
    for name in ("audio", "mouth", "speaking", "lead", "trail"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.phonemes == second.phonemes


@pytest.mark.parametrize("people", [2, 3])
def test_overlap_means_half_of_the_frames(bank, people):
    silent = 0
    for talk in draws(bank, people, True):
        assert (talk.speaking.sum(0) >= 2).mean() >= 0.5
        assert len({voice for voice in talk.voices if voice}) == sum(bool(voice) for voice in talk.voices)
        said = [track for track in talk.phonemes if track]
        assert len(set(said)) == len(said)
        silent += "" in talk.voices
    assert silent == 0 if people == 2 else 5 < silent < 30


def test_turns_do_not_overlap_but_change_within_clips(bank):
    talks = draws(bank, 2, False, 120)
    assert all((talk.speaking.sum(0) <= 1).all() for talk in talks)
    spoken = np.array([talk.speaking.any(1) for talk in talks])
    assert spoken.all(1).mean() > 0.2  # both speak
    assert (spoken.sum(1) == 1).mean() > 0.2  # one listens
    assert 0 < (~spoken).all(1).mean() < 0.2  # nobody says a word
    assert abs(spoken[:, 0].mean() - spoken[:, 1].mean()) < 0.2
    starts_inside = [talk.speaking[:, 0].any() for talk in talks]
    assert 0.2 < np.mean(starts_inside) < 0.9  # clips begin within sentences


def test_listeners_are_shut_and_without_augmentation_silent(bank):
    for talk in draws(bank, 2, False, 40, augmentation=CLEAN):
        for person in range(2):
            quiet = np.repeat(~talk.speaking[person], 640)
            assert np.abs(talk.audio[person][quiet]).max(initial=0) < 0.5
            if not talk.voices[person]:
                assert not talk.audio[person].any()
                assert not talk.mouth[person, :, 0].any()


@pytest.mark.parametrize("augmentation", [CLEAN, Augmentation(speed=1.0, tone=1.0, room=1.0, noise=0, bleed=0)])
def test_sound_and_mouth_keep_time(bank, augmentation):
    """Vowels are loud and closures quiet, at the very frames where the mouth is open and shut, speed changed or not."""
    lags = range(-5, 6)
    loud, opening = [], []
    for talk in draws(bank, 2, True, 60, augmentation=augmentation):
        level = np.log10(np.sqrt(np.square(talk.audio).reshape(2, FRAMES, 640).mean(2)) + 1e-3)
        loud += [*level]
        opening += [*talk.mouth[..., 0]]
    scores = []
    for lag in lags:
        a, b = np.stack(loud)[:, 5:-5], np.roll(np.stack(opening), lag, axis=1)[:, 5:-5]
        scores.append(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    assert list(lags)[int(np.argmax(scores))] == 0
    assert max(scores) > 0.5


def test_context_continues_the_clip(bank):
    seed, options = 5, {"augmentation": CLEAN}
    talk = draw_conversation(bank, np.random.default_rng(seed), 2, FRAMES, True, context=0.4, **options)
    joined = talk.with_context
    seam = 6400
    jumps = np.abs(np.diff(joined, axis=1))
    assert jumps[:, seam - 2 : seam + 2].max() <= 3 * np.quantile(jumps, 0.999)
    assert talk.lead.any()
    assert talk.trail.any()


def test_opening_varies_enough_to_be_seen(bank):
    opening = np.concatenate([talk.mouth[..., 0][talk.speaking] for talk in draws(bank, 2, True)])
    assert 0.33 <= opening.mean() <= 0.47
    assert opening.std() >= 0.25


def test_room_and_tone_keep_level_and_time():
    rng = np.random.default_rng(0)
    click = np.zeros(16_000, dtype=np.float32)
    click[4000] = 1
    wet = colour(click, np.random.default_rng(1), Augmentation(tone=0, room=1))
    assert np.argmax(np.abs(wet)) == 4000
    assert not np.abs(wet[:3990]).max() > 1e-4
    assert np.abs(wet[4400:6000]).max() > 1e-3
    voice = rng.standard_normal(16_000, dtype=np.float32)
    changed = colour(voice, rng, Augmentation(tone=1, room=1))
    assert np.sqrt(np.mean(changed**2)) == pytest.approx(np.sqrt(np.mean(voice**2)), rel=1e-3)
    assert np.abs(changed - voice).max() > 0.1
    assert colour(voice, rng, CLEAN) is voice


def test_noise_has_unit_level():
    for seed in range(12):
        noise = draw_noise(8000, np.random.default_rng(seed))
        assert noise.dtype == np.float32
        assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, rel=1e-3)


def test_nonsense_is_refused(bank):
    for people, frames in ((0, 33), (2, 0)):
        with pytest.raises(PolytalkError, match="at least one"):
            draw_conversation(bank, np.random.default_rng(0), people, frames, False)
    with pytest.raises(PolytalkError, match="probability"):
        Augmentation(room=2)
    with pytest.raises(PolytalkError, match="speed_range"):
        Augmentation(speed_range=(2.0, 1.0))
