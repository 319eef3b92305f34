"""`polytalk generate --script`: a conversation in a file becomes a video in one command."""

from pathlib import Path

import numpy as np
import pytest
from command_line import write_wav
from PIL import Image
from tiny_model import picture, voice
from typer.testing import CliRunner

from polytalk.cli.app import app
from polytalk.media.video import read_video


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture()).save("two.png")
    write_wav("left.wav", voice(0.3))
    write_wav("talk.wav", np.concatenate([voice(0.3), voice(0.3, 1)]))
    Path("talk.txt").write_text("[<two.png> They talk.]\nAnna: <left.wav>\nBen: <talk.wav 0.3-0.6>\nAnna: <left.wav>\n")
    Path("talk.rttm").write_text("SPEAKER talk 1 0 0.3 . . Anna\nSPEAKER talk 1 0.3 0.3 . . Ben\n")


def generate(*options):
    return CliRunner().invoke(app, ["generate", "--size", "64x48", "-o", "talk.mp4", *map(str, options)])


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        (["--script", "talk.txt"], 32),
        (["--script", "talk.txt", "--image", "two.png", "--box", "0,0,30,40", "--box", "30,0,60,40"], 32),
        (["--script", "talk.rttm", "--image", "two.png", "--recording", "talk.wav"], 15),
    ],
)
def test_a_script_becomes_a_video(model, options, frames):
    result = generate("--model", model, *options)
    assert result.exit_code == 0, result.output
    assert len(read_video("talk.mp4")[0]) == frames


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--script", "none.txt"], "none.txt: No such file"),
        (["--script", "talk.rttm", "--image", "two.png"], "recording"),
        (["--script", "talk.rttm", "--recording", "talk.wav"], "image: talk.rttm names none"),
        (["--script", "talk.txt", "--speaker", "left.wav"], "--speaker: the script says this already"),
        (["--script", "talk.txt", "--arrangement", "turns"], "--arrangement: the script says this already"),
        (["--script", "talk.txt", "--voice", "Anna"], "--voice"),
        (["--script", "talk.txt", "--voice", "Bob=heart"], "'Bob' is nobody in talk.txt"),
        (["--script", "talk.txt", "--box", "0,0,9,9"], "--box: there are 1 boxes and 2 speakers"),
        (["--image", "two.png", "--speaker", "left.wav", "--voice", "Anna=heart"], "--voice: there is no script"),
        (["--image", "two.png", "--speaker", "left.wav", "--num-voices", "2"], "--num-voices: there is no recording"),
        (["--image", "two.png", "--recording", "talk.wav", "--speaker", "left.wav"], "--speaker: the recording says"),
    ],
)
def test_what_contradicts_a_script_is_refused(options, message):
    result = generate(*options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not Path("talk.mp4").exists()


def test_a_mistake_in_a_script_is_named_with_its_line():
    Path("talk.txt").write_text("Anna: <left.wav>\nBen@-1: <left.wav>\n")
    result = generate("--script", "talk.txt", "--image", "two.png")
    assert result.exit_code == 2
    assert "(talk.txt, line 2, column 4)" in " ".join(result.output.split())
