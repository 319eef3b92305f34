"""`polytalk cast`, and `generate` with people to be found: pictures, recordings, scripts, corrections by hand."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import write_wav
from PIL import Image
from tiny_model import picture, voice
from typer.testing import CliRunner

from polytalk import Scene
from polytalk.assets import asset
from polytalk.cli.app import app
from polytalk.errors import PolytalkError
from polytalk.generation.request import GenerateRequest
from polytalk.media.audio import load_audio, resample
from polytalk.media.video import read_video


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """The demo's picture of two people, and its two voices in one recording, one after the other."""
    folder = tmp_path_factory.mktemp("talk")
    shutil.copy(asset("demo.png"), folder / "demo.png")
    rate = 16_000
    left, right = (load_audio(asset(f"demo_{side}.flac")) for side in ("left", "right"))
    sounds = [resample(sound.samples, sound.sample_rate, rate) for sound in (left, right)]
    spoken = [sound[np.flatnonzero(np.abs(sound) > 0.02)[0] :] for sound in sounds]
    spoken = [sound[: np.flatnonzero(np.abs(sound) > 0.02)[-1]] for sound in spoken]
    write_wav(str(folder / "talk.wav"), np.concatenate([spoken[0], np.zeros(rate // 2), spoken[1]]))
    return folder


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture()).save("two.png")
    for name, seed in (("left.wav", 0), ("right.wav", 1)):
        write_wav(name, voice(0.3, seed))
    Path("talk.txt").write_text("Anna: <left.wav> Hello.\nBen: <right.wav>\n")
    return tmp_path


def polytalk(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def generate(model, *options):
    return polytalk("generate", "--size", "64x48", "--model", model, "-o", "talk.mp4", *options)


TWO = ("--speaker", "left.wav", "--speaker", "right.wav")


def test_a_picture_in_which_nobody_is_found_still_works(files, model):
    result = generate(model, "--image", "two.png", "--script", "talk.txt")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert "Nobody was found in the picture for 2 voices: it is divided into 2 equal parts" in said
    assert "Hello." in said
    assert len(read_video("talk.mp4")[0]) == 20


def test_what_a_prompt_asks_for_is_said_before(files, talk, model):
    prompt = "Two people. The one on the right waves. The camera moves in."
    result = generate(model, "--image", talk / "demo.png", *TWO, "--prompt", prompt, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Asked for in the prompt: speaker 2 waves; camera moves in." in " ".join(result.stderr.split())


def test_no_find_gives_the_same_video_and_says_nothing_of_people(files, model):
    assert generate(model, "--image", "two.png", *TWO, "--quiet").exit_code == 0
    found = read_video("talk.mp4")[0]
    result = generate(model, "--image", "two.png", *TWO, "--no-find", "--force")
    assert "was found" not in result.output
    np.testing.assert_array_equal(read_video("talk.mp4")[0], found)


def test_people_are_found(files, talk, model):
    result = generate(model, "--image", talk / "demo.png", *TWO, "--save-masks", "masks.png")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert "person 1, left" in said
    assert "person 2, right" in said
    assert len(read_video("talk.mp4")[0]) == 7


def test_a_dry_run_writes_the_preview_and_no_video(files, talk, model):
    arguments = ("--image", talk / "demo.png", *TWO, "--dry-run")
    assert generate(model, *arguments).exit_code == 0
    assert not Path("talk.mp4").exists()
    with Image.open("talk.preview.png") as preview:
        assert preview.width > 500
    assert generate(model, *arguments).exit_code == 0
    result = generate(model, *arguments, "--preview", "two.png")
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert not [name for name in Path().iterdir() if name.suffix == ".mp4"]


def test_one_recording_and_a_picture(files, talk, model):
    options = ("--image", talk / "demo.png", "--recording", talk / "talk.wav", "--num-voices", 2)
    result = generate(model, *options, "--max-seconds", 0.4)
    assert result.exit_code == 0, result.output
    assert "voice 2" in result.stderr
    assert len(read_video("talk.mp4")[0]) == 10


def test_cast_save_correct_generate(files, talk, model):
    Path("talk.wav").write_bytes((talk / "talk.wav").read_bytes())
    Path("demo.png").write_bytes((talk / "demo.png").read_bytes())
    arguments = ("cast", "demo.png", "--recording", "talk.wav", "--num-voices", 2, "--save", "cast.json")
    result = polytalk(*arguments, "--model", model, "--quiet")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert [row["person"] for row in said["who"]] == [1, 2]
    assert Path(said["preview"]).is_file()
    scene = Scene.from_json("cast.json")
    assert scene.soundtrack == Path("talk.wav").absolute()
    boxes = [speaker.box for speaker in scene.speakers]
    assert boxes[0].left < boxes[1].left
    assert len(scene.utterances) >= 2

    result = polytalk("cast", "--scene", "cast.json", "--assign", "voice 1=2", "--save", "b.json", "--model", model)
    assert result.exit_code == 0, result.output
    assert [speaker.box for speaker in Scene.from_json("b.json").speakers] == boxes[::-1]

    content = json.loads(Path("cast.json").read_text())
    content["speakers"][0]["box"]["left"] += 1
    Path("cast.json").write_text(json.dumps(content))
    result = generate(model, "--scene", "cast.json", "--max-seconds", 0.4)
    assert result.exit_code == 0, result.output
    assert f"{boxes[0].left + 1},{boxes[0].top}" in "".join(result.stderr.split())


def test_cast_of_a_picture_alone(files, talk):
    result = polytalk("cast", talk / "demo.png")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert [person["name"] for person in said["people"]] == ["person 1", "person 2"]
    assert Path("demo.preview.png").is_file()


def test_a_scene_of_arrays_can_be_completed_in_python(talk):
    from polytalk.casting import cast_scene
    from polytalk.scene import Speaker

    scene = Scene(talk / "demo.png", speakers=[Speaker(voice(0.3, i), 16_000) for i in range(2)])
    completed = cast_scene(scene).scene
    assert completed.boxes is not None
    assert completed.boxes[0].right <= completed.boxes[1].left
    assert dataclasses.replace(completed, speakers=scene.speakers) == scene


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--assign", "Anna"), "--assign"),
        (("--assign", "speaker 1=7"), "there is no person 7"),
        (("--point", "here", "--point", "1,1"), "--point"),
        (("--point", "1,1"), "1 points and 2 speakers"),
        (("--preview", "none/who.png"), "none/who.png"),
        (("--preview", "two.png"), "two.png"),
        (("--num-voices", "2"), "--num-voices"),
    ],
)
def test_what_makes_no_sense_is_one_line(files, model, options, message):
    result = generate(model, "--image", "two.png", *TWO, *options)
    assert result.exit_code == 2, result.output
    assert message in result.stderr.splitlines()[-1]
    assert not Path("talk.mp4").exists()


def test_masks_by_one_picture_with_a_colour_for_each(files, model):
    shapes = np.zeros((64, 96, 3), np.uint8)
    shapes[10:60, 10:40] = (255, 0, 0)
    shapes[20:64, 50:90] = (0, 0, 255)
    Image.fromarray(shapes).save("shapes.png")
    result = generate(model, "--image", "two.png", *TWO, "--mask", "shapes.png", "--save-masks", "masks.png")
    assert result.exit_code == 0, result.output
    said = "".join(result.stderr.split())
    assert "10,10,40,60" in said
    assert "50,20,90,64" in said
    result = generate(model, "--image", "two.png", *TWO, *("--mask", "shapes.png") * 3, "--force")
    assert result.exit_code == 2
    assert "--mask: there are 3 and 2 speakers" in " ".join(result.stderr.split())


def test_cast_without_anything_says_what_is_missing(files):
    result = polytalk("cast")
    assert result.exit_code == 2
    assert "picture" in result.stderr


def test_people_by_number_and_by_name():
    assert GenerateRequest(assign=("Anna=2", "2=1", "a=b=3")).assigned() == {"Anna": 2, 1: 1, "a=b": 3}
    assert GenerateRequest(points=("1,2.5",)).points == ((1.0, 2.5),)
    with pytest.raises(PolytalkError, match="points"):
        GenerateRequest(points=("1,2,3",))
