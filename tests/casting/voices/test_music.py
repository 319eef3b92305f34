"""Music under a voice."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from polytalk.casting.voices.music import WARN, has_music, separate_voice
from polytalk.errors import PolytalkError
from polytalk.evaluation.reports.music import _hum, draw_music
from polytalk.evaluation.scenes.held_out import evaluation_voices
from polytalk.media.audio import Sound, resample

RATE = 16_000


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    bank = evaluation_voices()
    numbers = [number for name in ("kokoro:af_nicole", "kokoro:am_puck") for number in bank.voices[name]]
    return np.concatenate([bank[number].samples for number in numbers])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("decibels", [-5, -15])
def test_chords_under_speech_are_heard(speech: np.ndarray, decibels: float, seed: int) -> None:
    music = draw_music(len(speech), np.random.default_rng(seed))
    level = np.sqrt(np.mean(speech**2)) * 10 ** (decibels / 20)
    assert has_music(Sound((speech + level * music).astype(np.float32), RATE)) >= WARN


def test_speech_hum_and_hiss_are_no_music(speech: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    level = np.float32(np.sqrt(np.mean(speech**2)))
    assert has_music(Sound(speech, RATE)) < WARN
    assert has_music(Sound(speech + 0.1 * level * _hum(len(speech), rng), RATE)) < WARN
    assert has_music(Sound(speech + 0.1 * level * rng.standard_normal(len(speech), dtype=np.float32), RATE)) < WARN


def test_rate_and_level_do_not_matter(speech: np.ndarray) -> None:
    music = draw_music(len(speech), np.random.default_rng(5))
    samples = resample((0.002 * music).astype(np.float32), RATE, 48_000)
    assert has_music(Sound(samples, 48_000)) == 1


@pytest.mark.parametrize("count", [1, 4000])
def test_too_short_or_silent_has_none(count: int) -> None:
    assert has_music(Sound(np.ones(count, np.float32), RATE)) == 0
    assert has_music(Sound(np.zeros(5 * RATE, np.float32), RATE)) == 0


def test_separation_says_what_it_needs(speech: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "demucs" else real(name))
    with pytest.raises(PolytalkError, match=r"separate_music.*polytalk\[music\]"):
        separate_voice(Sound(speech, RATE))


def test_separation_gives_one_source_of_demucs(speech: np.ndarray) -> None:
    pytest.importorskip("demucs")
    from demucs.hdemucs import HDemucs

    sources = ["drums", "bass", "other", "vocals"]
    model = HDemucs(sources, channels=4, samplerate=RATE, segment=2).eval()
    found = separate_voice(Sound(speech[: 3 * RATE], RATE), model)
    assert found.sample_rate == RATE
    assert len(found.samples) == 3 * RATE
    assert np.isfinite(found.samples).all()
