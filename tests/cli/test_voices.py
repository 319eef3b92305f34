"""`polytalk voices`: the list, samples, and what bad input gets."""

import json
import wave

import numpy as np
import pytest
from typer.testing import CliRunner

from polytalk.cli.app import app


def run(*arguments):
    return CliRunner().invoke(app, ["voices", *arguments])


def test_the_list_names_who_speaks_at_once():
    lines = run().stdout.splitlines()
    assert [line.split()[0] for line in lines if line and line[0] != " "][:4] == ["voice", "heart", "tenor", "alto"]
    entries = json.loads(run("--json").stdout)
    ready = [entry["name"] for entry in entries if entry["needs"] is None]
    assert {"heart", "tenor", "alto", "bass", "child"} <= set(ready)
    japanese = json.loads(run("--json", "--language", "ja").stdout)
    assert {entry["language"] for entry in japanese} == {"ja"}


def test_a_sample_is_a_wav_file(tmp_path):
    path = tmp_path / "tenor.wav"
    result = run("--sample", "tenor", "-o", str(path))
    assert result.exit_code == 0
    assert "tenor" in result.stdout
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        assert 1.5 < len(sound) / 24_000 < 6
    assert 0.05 < np.sqrt(np.mean((sound / 32768) ** 2)) < 0.15
    before = path.read_bytes()
    assert run("--sample", "tenor", "-o", str(path), "--text", "No.").exit_code == 2
    assert path.read_bytes() == before
    assert run("--sample", "tenor", "-o", str(path), "--text", "No.", "--force").exit_code == 0
    assert len(path.read_bytes()) < len(before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sample", "heart"], "-o: no file is named"),
        (["-o", "x.wav"], "--sample: no voice is named"),
        (["--sample", "nobody", "-o", "x.wav"], "--sample: there is no voice 'nobody'"),
        (["--sample", "heart", "-o", "x.mp3"], "x.mp3: a sample is a WAV file"),
        (["--sample", "heart", "-o", "nowhere/x.wav"], "there is no folder"),
        (["--sample", "heart", "-o", "x.wav", "--text", " "], "text: it is empty"),
        (["--sample", "heart", "-o", "x.wav", "--language", "fr"], "heart reads en, not fr"),
        (["--language", "xx"], "no voice reads 'xx'"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
