"""Errors of who speaks when, and the conversations they are counted on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from polytalk.casting.found import VoiceTurn
from polytalk.cli.app import app
from polytalk.evaluation.reports.diarization import error_rate, evaluate_diarization
from polytalk.evaluation.scenes.spoken_conversations import VoicePool, activity, conversation_bank, draw_spoken
from polytalk.synthetic.speech.bank import add_to_bank
from polytalk.synthetic.speech.neural import HibariSource

TRUTH = (VoiceTurn(0, 0.0, 4.0), VoiceTurn(1, 4.0, 10.0))


def test_the_truth_has_no_errors_whatever_voices_are_called() -> None:
    said = (VoiceTurn(1, 0.0, 4.0), VoiceTurn(0, 4.0, 10.0))
    assert error_rate(TRUTH, said, 10).total == 0


@pytest.mark.parametrize(
    ("said", "kind", "seconds"),
    [
        ((VoiceTurn(0, 0, 4), VoiceTurn(1, 4, 8)), "missed", 2),
        ((VoiceTurn(0, 0, 4), VoiceTurn(1, 4, 10), VoiceTurn(0, 10, 11)), "false", 1),
        ((VoiceTurn(0, 0, 10),), "confused", 4),
        ((VoiceTurn(0, 0, 4), VoiceTurn(1, 4, 10), VoiceTurn(0, 6, 7)), "false", 1),
        ((VoiceTurn(0, 0, 6), VoiceTurn(1, 6, 10)), "confused", 2),
        ((), "missed", 10),
    ],
)
def test_each_kind_of_error_is_counted(said: tuple[VoiceTurn, ...], kind: str, seconds: float) -> None:
    errors = error_rate(TRUTH, said, 12, collar=0.0)
    assert errors.speech == pytest.approx(10)
    assert getattr(errors, kind) == pytest.approx(seconds)
    assert errors.total == pytest.approx(seconds / 10)


def test_edges_are_not_counted() -> None:
    said = (VoiceTurn(0, 0.2, 4.2), VoiceTurn(1, 4.2, 10.2))
    assert error_rate(TRUTH, said, 12).total == 0
    assert error_rate(TRUTH, said, 12, collar=0.0).total > 0


def test_double_speech_counts_twice() -> None:
    truth = (VoiceTurn(0, 0, 4), VoiceTurn(1, 2, 4))
    errors = error_rate(truth, truth[:1], 4, collar=0.0)
    assert errors.speech == pytest.approx(6)
    assert errors.missed == pytest.approx(2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank of the synthesiser that comes with Polytalk."""
    folder = tmp_path_factory.mktemp("bank")
    add_to_bank(folder, HibariSource(), minutes=5)
    return folder


def test_conversations_are_what_they_say(folder: Path) -> None:
    bank, origin = conversation_bank(folder)
    assert origin == str(folder)
    pool, other = VoicePool(bank), VoicePool(bank, tuning=True)
    assert not set(pool.utterances) & set(other.utterances)
    talks = [draw_spoken(pool, (1, number), 2, augmented=bool(number % 2), seconds=20) for number in range(6)]
    for talk in talks:
        assert talk.turns[0].voice == 0
        assert {turn.voice for turn in talk.turns} == {0, 1}
        assert np.abs(talk.samples).max() <= 1
        for voice, track in enumerate(talk.tracks):
            spoken = np.repeat(activity(talk.turns, 2, talk.seconds)[voice], 160)[: len(track)]
            energy = track**2
            assert energy[: len(spoken)][spoken].sum() > 0.9 * energy.sum()
    assert 0.01 < np.mean([talk.overlap for talk in talks]) < 0.12
    again = draw_spoken(pool, (1, 3), 2, augmented=True, seconds=20)
    np.testing.assert_array_equal(again.samples, talks[3].samples)


def test_report_groups_conversations(folder: Path) -> None:
    pool = VoicePool(conversation_bank(folder)[0])
    talks = [draw_spoken(pool, (2, number), 2, augmented=bool(number), seconds=10) for number in range(2)]
    report = evaluate_diarization(talks, voices="hibari", seed=2)
    assert set(report.groups) == {"2 voices", "all", "all hibari", "clean", "in a room"}
    whole = report.groups["all"]["known"]
    parts = [report.groups[name]["known"] for name in ("clean", "in a room")]
    assert whole.speech == pytest.approx(sum(part.speech for part in parts))
    assert whole.missed + whole.false < 0.1 * whole.speech
    assert report.speed > 0


def test_command(folder: Path) -> None:
    arguments = ["evaluate", "diarization", "--conversations", "1", "--voices", "2", "--bank", str(folder), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["collar"] == 0.25
    assert set(report["groups"]["all"]) == {"known", "estimated"}
    assert "hibari" in report["voices"]


def test_command_counts_false_alarms_of_music(folder: Path) -> None:
    arguments = ["evaluate", "music", "--recordings", "1", "--bank", str(folder), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["noticed"]["music 5 dB below"] == 1
    assert report["false_alarms"]["clean voices"] == 0
