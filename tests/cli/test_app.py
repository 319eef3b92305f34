"""The command line with a tiny model: what works, and what every kind of bad input gets."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import TWO, generate, polytalk, write_good_files, write_wav
from PIL import Image
from tiny_model import picture
from torch.nn.modules.module import register_module_forward_pre_hook

from polytalk.assets import asset
from polytalk.cli.errors import needs_extra
from polytalk.errors import PolytalkError
from polytalk.generation.request import GenerateRequest
from polytalk.media.video import read_video
from polytalk.models.transformer import MultiTalkTransformer3DModel


def write_float_wav(name, samples, rate=16_000):
    """WAVE_FORMAT_IEEE_FLOAT, which Python's own module does not write."""
    data = np.asarray(samples, "<f4").tobytes()
    header = np.array([16, 3 | 1 << 16, rate, rate * 4, 4 | 32 << 16], "<u4").tobytes()
    body = b"WAVEfmt " + header + b"data" + np.uint32(len(data)).tobytes() + data
    Path(name).write_bytes(b"RIFF" + np.uint32(len(body)).tobytes() + body)


def write_long_wav(name, hours, rate=8000):
    """A sparse file: hours of silence that take no room on the disk."""
    size = int(hours * 3600) * rate
    header = np.array([16, 1 | 1 << 16, rate, rate, 1 | 8 << 16], "<u4").tobytes()
    with open(name, "wb") as file:
        file.write(b"RIFF" + np.uint32(size + 36).tobytes() + b"WAVEfmt " + header)
        file.write(b"data" + np.uint32(size).tobytes())
        file.truncate(44 + size)


def test_two_people_talk(files, model):
    result = generate(model, *TWO, "--save-masks", "masks.png")
    assert result.exit_code == 0, result.stderr
    frames, fps = read_video("talk.mp4")
    assert len(frames) == 7
    assert fps == 25
    assert "talk.mp4" in result.stderr
    with Image.open("masks.png") as masks:
        assert masks.width > masks.height
    assert sorted(os.listdir()) == ["left.wav", "masks.png", "right.wav", "talk.mp4", "two.png"]


def test_options_reach_the_pipeline(files, model):
    def video(*arguments):
        result = generate(model, *TWO, "--force", "--quiet", *arguments)
        assert result.exit_code == 0, result.stderr
        assert not result.output
        return read_video("talk.mp4")[0]

    plain = video()
    np.testing.assert_allclose(video("--seed", 0).astype(int), plain, atol=2)  # sums in another order
    boxes = ("--image", "two.png", "--speaker", "left.wav", "--box", "0,0,40,64", "--speaker", "right.wav")
    for other in (
        ("--seed", 1),
        ("--steps", 3),
        ("--guidance", 4),
        ("--audio-guidance", 4),
        ("--prompt", "waves"),
        ("--box", "0,0,20,64", "--box", "50,0,90,20"),
    ):
        assert (video(*other) != plain).any(), other
    scales = ("--guidance", 4, "--audio-guidance", 3)
    assert (video(*scales, "--apg") != video(*scales)).any()
    assert len(video("--arrangement", "turns")) == 15
    assert len(video("--max-seconds", 0.12)) == 3
    assert generate(model, *boxes, "--box", "50,0,90,64", output="boxes.mp4").exit_code == 0


def test_scene_files_of_both_formats(files, model):
    ours = {"image": "two.png", "prompt": "x", "speakers": [{"audio": "left.wav"}, {"audio": "right.wav"}]}
    released = {
        "cond_image": "two.png",
        "audio_type": "add",
        "cond_audio": {"person1": "left.wav", "person2": "right.wav"},
        "bbox": {"person1": [0, 0, 64, 40], "person2": [0, 50, 64, 90]},
    }
    for name, content, frames in (("ours", ours, 7), ("released", released, 15)):
        Path(f"{name}.json").write_text(json.dumps(content))
        result = generate(model, "--scene", f"{name}.json", output=f"{name}.mp4")
        assert result.exit_code == 0, result.stderr
        assert len(read_video(f"{name}.mp4")[0]) == frames
    result = generate(model, "--scene", "released.json", "--arrangement", "together", output="together.mp4")
    assert result.exit_code == 0
    assert len(read_video("together.mp4")[0]) == 7


def test_a_person_who_would_be_cut_off_is_warned_of(files, model):
    Image.fromarray(picture(64, 400)).save("wide.png")
    people = ("--image", "wide.png", "--speaker", "left.wav", "--box", "40,0,120,64")
    result = generate(model, *people, "--speaker", "right.wav", "--box", "200,0,260,64")
    assert result.exit_code == 0, result.stderr
    warned = [line for line in result.stderr.splitlines() if line.startswith("Warning")]
    assert len(warned) == 1
    assert "speaker 1" in warned[0]


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """A folder with everything that can go wrong in it; no test may change it."""
    folder = tmp_path_factory.mktemp("bad")
    with contextlib.chdir(folder):
        write_good_files()
        Path("words.wav").write_text("this is no sound")
        Path("empty.wav").touch()
        write_wav("nothing.wav", [])
        write_float_wav("nan.wav", [0.1, float("nan")] * 4000)
        write_long_wav("long.wav", 20)
        Path("broken.json").write_text("{")
        Path("words.png").write_text("this is no picture")
        Image.new("RGB", (1, 1)).save("dot.png")
        Image.new("1", (12_500, 8_000)).save("huge.png")
        Path("folder.mp4").mkdir()
    return folder


LEFT = ("--speaker", "left.wav")
BAD = {
    "no picture": (LEFT, "--image"),
    "no speaker": (("--image", "two.png"), "--speaker"),
    "picture missing": (("--image", "none.png", *LEFT), "image"),
    "picture is text": (("--image", "words.png", *LEFT), "image"),
    "picture is a folder": (("--image", ".", *LEFT), "image"),
    "1×1 picture": (("--image", "dot.png", *LEFT), "1 × 1"),
    "100 megapixels": (("--image", "huge.png", *LEFT), "100 megapixels"),
    "sound missing": (("--image", "two.png", "--speaker", "none.wav"), "speaker 1"),
    "second sound missing": (("--image", "two.png", *LEFT, "--speaker", "none.wav"), "speaker 2"),
    "sound of no bytes": (("--image", "two.png", "--speaker", "empty.wav"), "speaker 1"),
    "sound of no samples": (("--image", "two.png", "--speaker", "nothing.wav"), "speaker 1"),
    "text named .wav": (("--image", "two.png", "--speaker", "words.wav"), "speaker 1"),
    "picture as a voice": (("--image", "two.png", "--speaker", "two.png"), "speaker 1"),
    "20 hours": (("--image", "two.png", "--speaker", "long.wav"), "20.0 hours"),
    "NaN samples": (("--image", "two.png", "--speaker", "nan.wav"), "NaN"),
    "more boxes than speakers": ((*TWO, *("--box", "0,0,9,9") * 3), "3 boxes"),
    "fewer boxes than speakers": ((*TWO, "--box", "0,0,9,9"), "1 box"),
    "box outside": ((*TWO, "--box", "0,0,9,9", "--box", "50,0,97,9"), "leaves the picture"),
    "box before the edge": ((*TWO, "--box", "-4,0,9,9", "--box", "50,0,60,9"), "box"),
    "box of no area": ((*TWO, "--box", "9,0,9,9", "--box", "50,0,60,9"), "box"),
    "box is words": ((*TWO, "--box", "left", "--box", "right"), "box"),
    "unknown arrangement": ((*TWO, "--arrangement", "choir"), "arrangement"),
    "scene missing": (("--scene", "none.json"), "none.json"),
    "scene is not JSON": (("--scene", "broken.json"), "broken.json"),
    "scene and picture": (("--scene", "broken.json", "--image", "two.png"), "--image"),
    "unknown model": ((*TWO, "--model", "gigantic"), "gigantic"),
    "unknown device": ((*TWO, "--device", "abacus"), "device"),
    "unknown format": ((*TWO, "--dtype", "float8"), "dtype"),
    "no steps": ((*TWO, "--steps", "0"), "steps"),
    "negative guidance": ((*TWO, "--guidance", "-1"), "guidance"),
    "guidance is no number": ((*TWO, "--audio-guidance", "nan"), "--audio-guidance"),
    "negative seed": ((*TWO, "--seed", "-1"), "--seed"),
    "no seconds": ((*TWO, "--max-seconds", "0"), "--max-seconds"),
    "no folder": ((*TWO, "-o", "none/talk.mp4"), "none/talk.mp4"),
    "a folder for a file": ((*TWO, "-o", "folder.mp4"), "folder.mp4"),
    "no video name": ((*TWO, "-o", "talk.gif"), "talk.gif"),
    "the input as output": ((*TWO, "-o", "two.png"), "two.png"),
    "masks exist": ((*TWO, "--save-masks", "two.png"), "two.png"),
    "masks in no folder": ((*TWO, "--save-masks", "none/masks.png"), "none/masks.png"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(case, bad_files, model, monkeypatch):
    monkeypatch.chdir(bad_files)
    before = {path: path.stat().st_mtime_ns for path in bad_files.rglob("*")}
    arguments, names = BAD[case]
    result = generate(model, *arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert names in lines[0]
    assert lines[0] == result.stderr.splitlines()[-1]
    assert lines[0].endswith(".")
    assert {path: path.stat().st_mtime_ns for path in bad_files.rglob("*")} == before


def test_bad_usage_also_ends_with_2(files):
    for arguments in (("generate", "-o", "a.mp4", "--steps", "many"), ("frobnicate",), ("generate", "--image")):
        assert polytalk(*arguments).exit_code == 2


def test_an_existing_video_is_kept_unless_forced(files, model):
    Path("talk.mp4").write_text("precious")
    result = generate(model, *TWO)
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert Path("talk.mp4").read_text() == "precious"
    assert generate(model, *TWO, "--force").exit_code == 0
    assert len(read_video("talk.mp4")[0]) == 7


def test_no_permission(files, model):
    """Root may write anywhere but into the kernel's own folder."""
    folder = Path("/sys") if os.geteuid() == 0 else files / "locked"
    if folder.name == "locked":
        folder.mkdir(mode=0o500)
    result = generate(model, *TWO, output=folder / "talk.mp4")
    assert result.exit_code == 2
    assert "permission" in result.stderr


def test_disk_full(files, model):
    """A limit on the size of files makes writes fail as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        result = generate(model, *TWO)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.exit_code == 2
    assert "disk is full" in result.stderr
    assert sorted(os.listdir()) == ["left.wav", "right.wav", "two.png"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_leaves_no_broken_file(number, files, model):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background jobs
    handler, calls = signal.getsignal(signal.SIGTERM), []

    def interrupt(module, arguments):
        if isinstance(module, MultiTalkTransformer3DModel):
            calls.append(list(files.glob(".talk*.part.mp4")))
            if len(calls) == 35:  # in the second clip, when the first is being written
                os.kill(os.getpid(), number)

    hook = register_module_forward_pre_hook(interrupt)
    try:
        result = generate(model, *TWO, "--arrangement", "turns", "--steps", 30)
    finally:
        hook.remove()
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert len(calls) == 35
    assert calls[-1], "no file was being written"
    assert sorted(os.listdir()) == ["left.wav", "right.wav", "two.png"]
    assert signal.getsignal(signal.SIGTERM) == handler


def test_help_needs_nothing_heavy():
    heavy = ("torch", "diffusers", "av", "PIL", "numpy", "pydantic")
    check = f"import sys; import polytalk.cli.app; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
    result = polytalk("generate", "--help")
    assert result.exit_code == 0
    assert "--save-masks" in result.output


def test_info_names_machine_and_models():
    result = polytalk("info")
    assert result.exit_code == 0
    for word in ("Python", "cores", "memory", "cpu", "bfloat16", "torch", "mini", "missing"):
        assert word in result.output


@pytest.mark.skipif(not asset("demo_left.flac").exists(), reason="the demo's picture and voices are not drawn yet")
def test_demo(files, model):
    result = polytalk("demo", "--model", model, "--max-seconds", 0.2, "--dtype", "float32")
    assert result.exit_code == 0, result.stderr
    assert len(read_video("demo.mp4")[0]) == 5


def test_training_without_a_config_says_so(files):
    result = polytalk("train", "--config", "none.toml")
    assert result.exit_code == 2
    assert "none.toml" in result.stderr


def test_missing_extras_come_with_advice():
    with pytest.raises(PolytalkError, match=r"no_such_package.*polytalk\[train\]"), needs_extra("train"):
        import no_such_package  # noqa: F401


def test_the_releases_way_with_masks_and_silence():
    chosen = GenerateRequest(carry_masks=False, gate_silence=False).choices()
    assert (chosen["carry_masks"], chosen["gate_silence"]) == (False, False)
    assert GenerateRequest().choices() == {"preset": None}
    shown = " ".join(polytalk("generate", "--help").output.split())
    assert "--fixed-masks" in shown
    assert "--ungated" in shown
