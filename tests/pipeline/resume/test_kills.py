"""`polytalk generate --work` killed at random moments and taken up gives the same bytes as a run left alone."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import wave
from pathlib import Path

import pytest
from PIL import Image
from tiny_model import picture, tiny_pipeline, voice

KILLED = -signal.SIGKILL


class Runs:
    """Runs of the command line in processes of their own."""

    def __init__(self, model: Path, errors: Path) -> None:
        # without threads there is nothing that a fork could tear apart
        alone = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.model, self.errors = model, errors
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("kill_server.py"))],
            env={**os.environ, **alone},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors.open("w"),
            text=True,
        )

    def run(self, *arguments, kill_after: float | None = None, deadly: int | None = None) -> int:
        """Exit code of a run; it may be killed after some seconds, or at its n-th change of the disk."""
        fixed = ["generate", "--model", self.model, "--device", "cpu", "--dtype", "float32", "--size", "48x32"]
        asked = {"arguments": [str(argument) for argument in (*fixed, *arguments)], "deadly": deadly}
        print(json.dumps(asked), file=self.server.stdin, flush=True)
        process = int(self.server.stdout.readline())
        timer = threading.Timer(kill_after, kill, [process]) if kill_after is not None else None
        if timer is not None:
            timer.start()
        code = int(self.server.stdout.readline())
        if timer is not None:
            timer.cancel()
        return code


def kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    model = tmp_path_factory.mktemp("model")
    tiny_pipeline(motion_frames=5, carry_masks=True).save_pretrained(model)
    runs = Runs(model, tmp_path_factory.mktemp("errors") / "all.txt")
    yield runs
    runs.server.stdin.close()
    assert runs.server.wait() == 0
    runs.server.stdout.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    Image.fromarray(picture()).save(folder / "two.png")
    for name, seed in (("left.wav", 0), ("right.wav", 1)):
        with wave.open(str(folder / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes((voice(1.2, seed) * 32767).astype("<i2").tobytes())
    speakers = ("--speaker", folder / "left.wav", "--speaker", folder / "right.wav")
    return ("--image", folder / "two.png", "--prompt", "they talk", "--quiet", *speakers)


def contents(folder: Path):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def whole(runs, scene, folder, output, *options):
    """The bytes of a run that nobody kills: of what it makes, and of its work folder."""
    folder.mkdir()
    assert runs.run(*scene, "--work", folder / "work", "-o", folder / output, *options) == 0
    return contents(folder)


def killed(runs, scene, folder, output, kills, seed, *options):
    """The same after as many kills, at random times and at random changes of the disk; and how many hit."""
    folder.mkdir()
    rng = random.Random(seed)
    wanted = (*scene, "--work", folder / "work", "--resume", "-o", folder / output, *options)
    hits = 0
    for turn in range(10 * kills):
        if hits == kills:
            break
        # the first one hits on any machine: every run changes the disk that often
        moment = {"kill_after": rng.uniform(0.0, 0.8)} if turn % 2 else {"deadly": rng.randint(1, 40 if turn else 8)}
        code = runs.run(*wanted, **moment)
        assert code in (0, KILLED)
        if code == 0:
            break
        hits += 1
    if hits == kills:
        assert runs.run(*wanted) == 0
    return contents(folder), hits


@pytest.mark.parametrize(("output", "options"), [("talk.mp4", ()), ("talk.m3u8", ()), ("talk.mp4", ("--live",))])
def test_a_killed_run_gives_the_same_bytes(runs, scene, tmp_path, output, options):
    expected = whole(runs, scene, tmp_path / "whole", output, *options)
    found, hits = killed(runs, scene, tmp_path / "killed", output, 3, f"{output} {options}", *options)
    assert hits >= 1
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("output", "options"), [("talk.mp4", ()), ("talk.m3u8", ()), ("talk.mp4", ("--live",))])
def test_ten_kills_give_the_same_bytes(runs, scene, tmp_path, output, options, seed):
    expected = whole(runs, scene, tmp_path / "whole", output, *options)
    found, hits = killed(runs, scene, tmp_path / "killed", output, 10, f"ten {seed}", *options)
    assert hits >= 3
    assert found == expected


def test_a_run_killed_at_every_change_of_the_disk(runs, scene, tmp_path):
    """Each run gets a little further than the one before."""
    expected = whole(runs, scene, tmp_path / "whole", "talk.mp4")
    folder = tmp_path / "killed"
    folder.mkdir()
    codes = [
        runs.run(*scene, "--work", folder / "work", "--resume", "-o", folder / "talk.mp4", deadly=call)
        for call in range(1, 60, 5)
    ]
    assert codes[:4] == [KILLED] * 4
    if codes[-1] != 0:
        assert runs.run(*scene, "--work", folder / "work", "--resume", "-o", folder / "talk.mp4", "--force") == 0
    assert contents(folder) == expected


def test_an_unfinished_live_video_is_the_runs_own(runs, scene, tmp_path):
    wanted = (*scene, "--work", tmp_path / "work", "-o", tmp_path / "talk.mp4", "--live")
    assert runs.run(*wanted, deadly=70) == KILLED
    assert (tmp_path / "talk.mp4").exists()
    assert runs.run(*wanted) == 2  # the folder holds something
    assert runs.run(*wanted, "--resume") == 0
    finished = (tmp_path / "talk.mp4").read_bytes()
    assert runs.run(*wanted, "--resume") == 2  # a finished video is not overwritten
    assert (tmp_path / "talk.mp4").read_bytes() == finished


def test_other_input_and_missing_folders_are_refused(runs, scene, tmp_path):
    work = ("--work", tmp_path / "work")
    assert runs.run(*scene, *work, "-o", tmp_path / "a.mp4") == 0
    assert runs.run(*scene, *work, "--resume", "--seed", 1, "-o", tmp_path / "b.mp4") == 2
    assert runs.run(*scene, "--resume", "-o", tmp_path / "b.mp4") == 2
    assert runs.run(*scene, "--redo", "-o", tmp_path / "b.mp4") == 2
    errors = runs.errors.read_text()
    assert "different are seed" in errors
    assert "--resume: it goes on" in errors
    assert not (tmp_path / "b.mp4").exists()
    assert runs.run(*scene, *work, "--redo", "--seed", 1, "-o", tmp_path / "b.mp4") == 0
    assert runs.run(*scene, "--seed", 1, "-o", tmp_path / "c.mp4") == 0
    made = {name: (tmp_path / f"{name}.mp4").read_bytes() for name in "abc"}
    assert made["b"] == made["c"] != made["a"]
