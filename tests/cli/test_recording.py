"""`polytalk cast` with one recording of two people, and its options."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from polytalk.cli.app import app
from polytalk.evaluation.scenes.held_out import evaluation_voices
from polytalk.media.audio import Sound, save_sound


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("talk")
    bank, pause = evaluation_voices(), np.zeros(8000, np.float32)
    said = [bank[bank.voices[name][0]].samples for name in ("kokoro:af_heart", "kokoro:am_puck")]
    save_sound(folder / "talk.wav", Sound(np.concatenate([pause, said[0], pause, said[1], pause]), 16_000))
    Image.new("RGB", (256, 144), "grey").save(folder / "us.png")
    return folder


def cast(folder: Path, *options: str) -> tuple[int, str, str]:
    arguments = [
        "cast",
        str(folder / "us.png"),
        "--preview",
        str(folder / "who.png"),
        "--force",
        "--quiet",
        "--no-find",
    ]
    result = CliRunner().invoke(app, [*arguments, *options])
    return result.exit_code, result.stdout, result.stderr


def test_two_voices_of_a_recording_are_cast(folder: Path) -> None:
    saved = folder / "cast.json"
    code, said, error = cast(folder, "--recording", str(folder / "talk.wav"), "--save", str(saved))
    assert code == 0, error
    assert [one["voice"] for one in json.loads(said)["who"]] == ["voice 1", "voice 2"]
    scene = json.loads(saved.read_text())
    assert [turn["speaker"] for turn in scene["utterances"]] == ["voice 1", "voice 2"]
    assert scene["utterances"][0]["start"] == pytest.approx(0.5, abs=0.3)


def test_music_cannot_be_separated_without_the_extra(folder: Path) -> None:
    try:
        import demucs  # noqa: F401
    except ImportError:
        code, _, error = cast(folder, "--recording", str(folder / "talk.wav"), "--separate-music")
        assert code == 2
        assert "polytalk[music]" in error
    else:
        pytest.skip("Demucs is installed")


def test_music_is_separated_from_a_recording_only(folder: Path) -> None:
    code, _, error = cast(folder, "--speaker", str(folder / "talk.wav"), "--separate-music")
    assert code == 2
    assert "--separate-music: there is no recording" in error
