"""Phonemes to mouths: what must be shut is shut, what must be wide is wide, and nothing jumps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk.errors import PolytalkError
from polytalk.synthetic.speech.mouth import VISEMES, minimum_jerk, mouth_track, speaking_track
from polytalk.tts.phonemes import CONSONANTS, PHONEMES, VOWELS


def track(text, length=0.1, start=0.2, frames=None):
    """Sounds of equal length from `start` on."""
    sounds = text.split()
    phonemes = [(sound, start + i * length, start + (i + 1) * length) for i, sound in enumerate(sounds)]
    return mouth_track(phonemes, frames or round((2 * start + len(sounds) * length) * 25))


def test_silence_is_a_resting_mouth():
    for phonemes in ((), (("sil", 0.0, 1.0),)):
        mouth = mouth_track(phonemes, 25)
        assert mouth.shape == (25, 3)
        assert mouth.dtype == np.float32
        np.testing.assert_array_equal(mouth, np.tile(np.float32([0, 0.5, 0]), (25, 1)))


def test_mouth_is_shut_before_and_after_speech():
    mouth = track("a", length=0.4, start=0.4)
    assert (mouth[:9, 0] == 0).all()
    assert (mouth[-9:, 0] == 0).all()
    assert mouth[14:16, 0].min() > 0.95


def test_vowels_differ_as_lips_do():
    opening, width, rounding = (
        {vowel: float(track(f"{vowel}", length=0.4)[9, channel]) for vowel in VOWELS} for channel in range(3)
    )
    assert opening["a"] > opening["ɛ"] > opening["e"] > opening["i"] > 0.25
    assert width["i"] > 0.95 > 0.65 > width["a"] > 0.3 > width["u"]
    assert rounding["u"] > rounding["o"] > rounding["ɔ"] > 0.4 > 0.1 > rounding["i"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(PHONEMES), st.floats(0.025, 0.25)), min_size=1, max_size=12),
    st.sampled_from(["p", "b", "m"]),
    st.floats(0.0, 0.04),
)
def test_lips_touch_on_p_b_m_whatever_is_around(sounds, closed, phase):
    phonemes, now = [], 0.1 + phase
    for symbol, length in [*sounds, (closed, 0.03), *sounds]:
        phonemes.append((symbol, now, now + length))
        now += length
    mouth = mouth_track(phonemes, round(now * 25) + 5)
    assert mouth.min() >= 0
    assert mouth.max() <= 1
    centres = (np.arange(len(mouth)) + 0.5) / 25
    for symbol, start, end in phonemes:
        if symbol in ("p", "b", "m"):
            near = np.abs(centres - (start + end) / 2) <= 0.0201  # there is always one
            assert mouth[near, 0].min() == 0


def test_lip_to_teeth_is_almost_shut():
    mouth = track("a f a", length=0.16)
    assert 0 < mouth[:, 0][9:12].min() <= 0.0601


def test_rounding_comes_before_its_sound_and_opening_does_not():
    mouth = mouth_track([("t", 0.3, 0.4), ("t", 0.4, 0.6), ("ɔ", 0.6, 1.0)], 40)
    before, early, vowel = mouth[11], mouth[13], mouth[20]  # 140 and 60 ms before the vowel, and in it
    progress = (early - before) / (vowel - before)
    assert progress[2] > 0.3
    assert progress[0] < 0.05


def test_consonants_of_the_tongue_take_the_vowels_shape():
    around_i, around_a = (track(f"{vowel} k {vowel}", length=0.12)[9] for vowel in "ia")
    assert around_a[0] > around_i[0] + 0.15
    assert around_i[1] > around_a[1] + 0.15


def test_moves_are_smooth():
    x = np.linspace(0, 1, 101)
    assert minimum_jerk(x[:1])[0] == 0
    assert minimum_jerk(x[-1:])[0] == 1
    assert np.diff(minimum_jerk(x)).min() > 0
    fine = mouth_track([("a", 0.2, 0.4), ("l", 0.4, 0.5), ("i", 0.5, 0.7)], 900, fps=1000)
    assert np.abs(np.diff(fine, axis=0)).max() < 0.06  # per millisecond


def test_times_may_reach_beyond_the_clip_and_shifts_shift():
    phonemes = [("a", -0.5, 0.1), ("m", 0.1, 0.2), ("o", 0.2, 0.6), ("s", 0.6, 2.0)]
    mouth = mouth_track(phonemes, 20)
    assert mouth[0, 0] > 0.9
    later = mouth_track([(symbol, start + 0.4, end + 0.4) for symbol, start, end in phonemes], 30)
    np.testing.assert_allclose(later[10:], mouth, atol=1e-5)


def test_every_phoneme_has_a_shape():
    assert VISEMES.shape == (1 + len(VOWELS) + len(CONSONANTS), 5)
    assert (VISEMES >= 0).all()
    assert (VISEMES <= 1).all()
    assert VISEMES[0, 0] == 0


def test_speaking_bridges_short_pauses_only():
    phonemes = (("a", 0.2, 0.4), ("sil", 0.4, 0.5), ("i", 0.5, 0.6), ("sil", 0.6, 1.0), ("u", 1.0, 1.2))
    speaking = speaking_track(phonemes, 35)
    assert speaking.tolist() == [5 <= k < 15 or 25 <= k < 30 for k in range(35)]
    assert not speaking_track((), 4).any()


def test_bad_phonemes_are_named():
    with pytest.raises(PolytalkError, match="'q' is not in the set"):
        mouth_track([("q", 0, 1)], 5)
    with pytest.raises(PolytalkError, match="overlap"):
        mouth_track([("a", 0, 1), ("i", 0.5, 2)], 5)
