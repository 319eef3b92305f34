"""Close-ups on the command line, with a tiny model."""

import wave

import numpy as np
import pytest
from PIL import Image
from tiny_model import voice
from typer.testing import CliRunner

from polytalk.casting.found import FoundPerson
from polytalk.cli.app import app
from polytalk.conditioning.opened import OpenedFiles
from polytalk.errors import PolytalkError
from polytalk.generation.close_ups import close_ups_of
from polytalk.generation.request import GenerateRequest
from polytalk.media.video import read_video
from polytalk.scene import Box, Scene, Speaker

BOXES = ("60,40,140,140", "350,60,430,150")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder to work in, with a large picture and two voices."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(60, 200, (300, 520, 3)).astype(np.uint8)
    Image.fromarray(pixels).save("large.png")
    for seed, name in enumerate(("left.wav", "right.wav")):
        with wave.open(name, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes((voice(0.2, seed) * 32767).astype("<i2").tobytes())
    return tmp_path


def generate(model, *arguments):
    people = []
    for name, box in zip(("left.wav", "right.wav"), BOXES, strict=True):
        people += ["--speaker", name, "--box", box]
    basic = ["generate", "--model", model, "--device", "cpu", "--dtype", "float32", "-o", "talk.mp4", "--no-find"]
    return CliRunner().invoke(app, [str(part) for part in (*basic, "--image", "large.png", *people, *arguments)])


def size_of(result):
    assert result.exit_code == 0, result.stderr
    return read_video("talk.mp4")[0].shape[1:3]


def test_a_large_picture_keeps_its_size(files, model):
    result = generate(model)
    assert size_of(result) == (300, 520)
    assert "2 heads side by side" in result.stderr


def test_height(files, model):
    assert size_of(generate(model, "--height", 150)) == (150, 260)


def test_without_them_the_video_has_the_model_s_size(files, model):
    result = generate(model, "--no-close-ups")
    assert size_of(result) == (144, 256)
    assert "close-ups" not in result.stderr


def test_a_size_of_the_frame_shows_the_whole_picture_unless_they_are_asked_for(files, model):
    assert size_of(generate(model, "--size", "96x64")) == (64, 96)
    assert size_of(generate(model, "--size", "96x64", "--close-ups", "--force")) == (300, 520)


@pytest.mark.parametrize("arguments", [("--height", 149), ("--height", 302), ("--height", 100, "--no-close-ups")])
def test_wrong_heights_are_named(files, model, arguments):
    result = generate(model, *arguments)
    assert result.exit_code == 2
    assert "--height" in result.stderr
    assert not (files / "talk.mp4").exists()


def person(box: Box, score: float) -> FoundPerson:
    return FoundPerson("somebody", box, box, box, score, "photograph")


def near(close_ups, scene, people, size_class, size):
    return close_ups_of(GenerateRequest(close_ups=close_ups), scene, people, size_class, size, OpenedFiles())


def test_parts_of_the_picture_are_no_heads():
    scene = Scene(image=np.zeros((600, 1000, 3), np.uint8), speakers=[Speaker(voice(0.2), 16_000)])
    nobody = [person(Box(50, 30, 950, 570), 0.0)]
    assert near(None, scene, nobody, "mini", None) is None
    with pytest.raises(PolytalkError, match="not found"):
        near(True, scene, nobody, "mini", None)
    found = near(None, scene, [person(Box(400, 100, 500, 230), 0.9)], "mini", None)
    assert found is not None
    assert (found.plan.frame, found.plan.picture) == ((192, 192), (600, 1000))
    assert near(None, scene, [person(Box(400, 100, 500, 230), 0.9)], "480p", None) is None
