"""The bank of voices: symbols, exact times, building, resuming, drawing."""

import json
import shutil
import zlib
from itertools import pairwise

import numpy as np
import pytest

from polytalk.errors import PolytalkError
from polytalk.synthetic.speech.bank import SpeechBank, add_to_bank, build
from polytalk.synthetic.speech.classic import EspeakSource, FliteSource
from polytalk.synthetic.speech.formant import FormantSource
from polytalk.synthetic.speech.neural import HibariSource
from polytalk.synthetic.speech.sentences import LANGUAGES, draw_text
from polytalk.synthetic.speech.source import make_speech
from polytalk.tts.durations import expose, snap_pauses, token_times
from polytalk.tts.phonemes import PHONEMES, from_arpabet, split_symbol, unify
from polytalk.units import SAMPLE_RATE


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    add_to_bank(folder, FormantSource(), 0.5)
    return folder


def level_db(samples, start, end):
    part = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    return 10 * np.log10(np.mean(np.square(part)) + 1e-10)


def test_symbols_of_every_source_become_the_one_set():
    assert split_symbol("aʊ") == (("a", 0.6), ("ʊ", 0.4))
    assert [part for part, _ in split_symbol("ɑːɹ")] == ["ɑ", "ɹ"]
    assert [part for part, _ in split_symbol("I")] == ["a", "ɪ"]  # misaki
    assert split_symbol("tʃ") == (("tʃ", 1.0),)
    assert split_symbol("ɔ̃") == (("ɔ", 1.0),)
    assert split_symbol("ˈ") == ()
    assert from_arpabet("OW1") == "oʊ"
    assert from_arpabet("pau") == ""
    assert len(set(PHONEMES)) == len(PHONEMES)
    with pytest.raises(PolytalkError, match="unknown"):
        split_symbol("₿")
    with pytest.raises(PolytalkError, match="ARPAbet"):
        from_arpabet("qq")


def test_unify_keeps_time_and_closes_gaps():
    phonemes = unify(
        [("", 0, 0.2), ("ˈ", 0.2, 0.25), ("aɪ", 0.25, 0.45), ("ː", 0.45, 0.5), (" ", 0.5, 0.54), ("m", 0.54, 0.6)]
    )
    assert [symbol for symbol, _, _ in phonemes] == ["sil", "a", "ɪ", "m"]
    times = [start for _, start, _ in phonemes] + [phonemes[-1][2]]
    np.testing.assert_allclose(times, [0, 0.2, 0.35, 0.52, 0.6], atol=1e-9)
    assert all(a[2] == b[1] for a, b in pairwise(phonemes))


def test_token_times_follow_the_predicted_lengths():
    times = token_times("hˈI.", np.array([8, 2, 1, 4, 6, 4]))
    assert [symbol for symbol, _, _ in times] == ["sil", "h", "a", "ɪ", "sil"]
    lead = 2.2  # units by which the sound is early
    assert times[1][1] == pytest.approx((8 - lead) * 0.025)
    assert times[2][1] == pytest.approx((10 - lead) * 0.025)
    with pytest.raises(PolytalkError, match="lengths"):
        token_times("ab", np.ones(3))


def test_pauses_snap_to_silence():
    sound = np.concatenate([np.zeros(1600), np.ones(4800), np.zeros(4800), np.ones(4800), np.zeros(1600)])
    labels = (("sil", 0, 0.1), ("a", 0.1, 0.6), ("i", 0.6, 1.0), ("sil", 1.0, 1.1))
    snapped = snap_pauses(sound.astype(np.float32), 16_000, labels)
    assert [symbol for symbol, _, _ in snapped] == ["sil", "a", "sil", "i", "sil"]
    edges = [start for _, start, _ in snapped]
    np.testing.assert_allclose(edges, [0, 0.1, 0.4, 0.7, 1.0], atol=0.011)
    spoken = [("a", 0.0, 0.3), ("p", 0.3, 0.45), ("a", 0.45, 0.75)]  # 120 ms without sound, but it is p's closure
    sound = np.concatenate([np.ones(4960), np.zeros(1920), np.ones(5120)]).astype(np.float32)
    assert [symbol for symbol, _, _ in snap_pauses(sound, 16_000, tuple(spoken))] == ["a", "p", "a"]


def test_a_second_output_is_added_by_concatenation():
    added = expose(b"model", "/x")
    assert added == b"model" + bytes([0x3A, 6, 0x62, 4, 0x0A, 2]) + b"/x"  # graph { output { name: "/x" } }


def test_formant_times_are_those_of_the_sound():
    vowels, stops, silence = [], [], []
    for seed in range(6):
        speech = FormantSource().speak(np.random.default_rng(seed))
        assert speech.samples.dtype == np.float32
        assert np.abs(speech.samples).max() <= 1
        assert speech.phonemes[-1][2] == pytest.approx(speech.seconds, abs=0.02)
        for symbol, start, end in speech.phonemes:
            kind = {"a": vowels, "i": vowels, "p": stops, "t": stops, "k": stops, "sil": silence}.get(symbol)
            if kind is not None:
                kind.append(level_db(speech.samples, start + 0.02, end - 0.025))
    assert min(vowels) > max(stops) > max(silence) - 1
    assert np.mean(vowels) - np.mean(stops) > 20


def test_make_speech_trims_and_moves_the_times():
    sound = np.concatenate([np.zeros(16_000), 0.5 * np.ones(8_000), np.zeros(16_000)]).astype(np.float32)
    speech = make_speech(sound, (("sil", 0, 1), ("a", 1, 1.5), ("sil", 1.5, 2.5)), "x:y", "ah", "en")
    start = speech.phonemes[1][1]
    assert speech.seconds == pytest.approx(0.74)
    assert start == pytest.approx(0.12)
    assert speech.samples[round(start * 16_000)] == pytest.approx(0.1)
    assert speech.samples[round(start * 16_000) - 1] == 0
    with pytest.raises(PolytalkError, match="silence"):
        make_speech(0 * sound, (("a", 1, 1.5),), "x:y", "ah", "en")
    with pytest.raises(PolytalkError, match="nothing is said"):
        make_speech(sound, (("sil", 0, 1),), "x:y", "", "en")


def test_bank_holds_what_was_spoken(bank):
    voices = SpeechBank(bank)
    assert sum(voices.duration(i) for i in range(len(voices))) >= 30
    first = FormantSource().speak(np.random.default_rng([0, zlib.crc32(b"formant"), 0]))
    stored = voices[0]
    np.testing.assert_allclose(stored.samples, first.samples, atol=1e-4)
    assert [p[0] for p in stored.phonemes] == [p[0] for p in first.phonemes]
    np.testing.assert_allclose([p[1] for p in stored.phonemes], [p[1] for p in first.phonemes], atol=0.0006)
    draws = [voices.voice(voices.draw_index(np.random.default_rng(seed))) for seed in range(20)]
    assert len(set(draws)) > 5
    assert voices.voice(voices.draw_index(np.random.default_rng(3))) == draws[3]


def test_building_resumes_and_repeats(tmp_path, bank):
    add_to_bank(tmp_path, FormantSource(), 0.2)
    with open(tmp_path / "formant.pcm", "ab") as file:
        file.write(b"half an utterance")  # an interrupted run wrote this after its last index
    add_to_bank(tmp_path, FormantSource(), 0.5)
    assert (tmp_path / "formant.pcm").read_bytes() == (bank / "formant.pcm").read_bytes()
    assert json.loads((tmp_path / "formant.json").read_text()) == json.loads((bank / "formant.json").read_text())


def test_held_out_utterances_are_disjoint(bank):
    kept, rest = SpeechBank(bank, held_out=True), SpeechBank(bank, held_out=False)
    assert len(kept) + len(rest) == len(SpeechBank(bank))
    places = [{entry["at"] for _, entry in part._entries} for part in (kept, rest)]
    assert not places[0] & places[1]
    assert len(kept) >= 1


def test_a_bank_in_memory_outlives_its_folder(bank, tmp_path):
    shutil.copytree(bank, tmp_path / "copy")
    voices = SpeechBank(tmp_path / "copy", in_memory=True)
    shutil.rmtree(tmp_path / "copy")
    np.testing.assert_array_equal(voices[2].samples, SpeechBank(bank)[2].samples)


def test_unusable_banks_and_sources_are_named(tmp_path):
    with pytest.raises(PolytalkError, match="holds no voices"):
        SpeechBank(tmp_path)
    with pytest.raises(PolytalkError, match="no source"):
        build(tmp_path, 1, sources=["parrot"])


def test_texts_are_varied():
    rng = np.random.default_rng(0)
    texts = {draw_text(rng) for _ in range(200)}
    assert len(texts) > 150
    assert not any("{" in text for text in texts)
    assert all(draw_text(rng, language) for language in LANGUAGES)


@pytest.mark.parametrize("kind", [EspeakSource, FliteSource, HibariSource])
def test_installed_synthesisers_place_closures_where_the_sound_dips(kind):
    if kind.missing():
        pytest.skip(kind.missing())
    source, dips = kind(), []
    for seed in range(8):
        speech = source.speak(np.random.default_rng(seed))
        assert {symbol for symbol, _, _ in speech.phonemes} <= set(PHONEMES)
        sounds = speech.phonemes
        for before, stop, after in zip(sounds, sounds[1:], sounds[2:], strict=False):
            if stop[0] in "pt" and before[0] != "sil" and stop[2] - stop[1] > 0.04:
                inside = level_db(speech.samples, stop[1] + 0.01, stop[2] - 0.015)
                around = max(level_db(speech.samples, *before[1:]), level_db(speech.samples, *after[1:]))
                dips.append(around - inside)
    assert len(dips) > 5
    assert np.median(dips) > 8
