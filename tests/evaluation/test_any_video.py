"""The measure of any video: drawn scenes, whose truth is known, written to files and read back with their voices."""

import json

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from polytalk.cli.app import app
from polytalk.evaluation.readers.voice_reader import VoiceReader
from polytalk.evaluation.reports.any_video import heard, run_video
from polytalk.evaluation.scenes.held_out import held_out_scenes
from polytalk.media.video import write_video
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import SyntheticClip
from polytalk.synthetic.speech.conversation import SyntheticConversation

FRAMES = 65


@pytest.fixture(scope="module")
def scene() -> tuple[SyntheticClip, SyntheticConversation]:
    config = SceneConfig(sources=(("3-D person", 1.0),), motion=0.2, camera_motion=0.0, event_probability=0.0)
    return held_out_scenes(1, people=2, seed=3, num_frames=FRAMES, config=config, overlap_share=0.0)[0]


@pytest.fixture(scope="module")
def files(scene, tmp_path_factory):
    """Video and voices, from left to right."""
    clip, folder = scene[0], tmp_path_factory.mktemp("video")
    order = np.argsort(clip.face_boxes[0, :, 0])
    write_video(folder / "talk.mp4", clip.frames, 25.0)
    for place, person in enumerate(order):
        soundfile.write(folder / f"{place}.wav", clip.audio[person], 16_000)
    return folder / "talk.mp4", [folder / "0.wav", folder / "1.wav"]


def test_the_voice_says_what_the_mouth_does():
    reader = VoiceReader.from_pretrained()
    found = []
    for clip, _ in held_out_scenes(6, people=2, seed=4, num_frames=33):
        asked = reader(clip.audio)[:, :33, 0]
        for person in range(2):
            if clip.speaking[:, person].sum() > 10:
                found.append(np.corrcoef(asked[person], clip.mouth[:, person, 0])[0, 1])
    assert np.mean(found) > 0.8


def test_voices_are_heard_in_the_frames_of_the_video(scene):
    clip = scene[0]
    asked, speaking = heard(clip.audio, 33, 25.0)
    slow, _ = heard(clip.audio, 33, 12.5)
    assert asked.shape == speaking.shape == (33, 2)
    np.testing.assert_allclose(slow[:8], asked[:16:2], atol=0.02)


def test_each_mouth_follows_its_own_voice_and_not_the_other(files):
    video, voices = files
    sync = np.array(run_video(video, voices).sync)
    exchanged = np.array(run_video(video, voices[::-1]).sync)
    assert (np.diag(sync) > 0.4).all()
    assert (np.diag(sync) > np.nan_to_num(sync[[0, 1], [1, 0]], nan=-1)).all()
    np.testing.assert_allclose(sync, exchanged[:, ::-1])


def test_truth_is_sharp_and_stays_itself(files):
    report = run_video(*files)
    assert min(report.sharpness) > 0.7
    assert max(report.identity) < 0.2
    assert report.chance < min(np.diag(report.sync))
    assert report.background > 25


def test_the_command_prints_and_draws(files, tmp_path):
    video, voices = files
    sheet = tmp_path / "sheet.png"
    options = ["--speaker", str(voices[0]), "--speaker", str(voices[1]), "--sheet", str(sheet), "--json"]
    result = CliRunner().invoke(app, ["evaluate", "video", str(video), *options])
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["sync"]) == 2
    assert sheet.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--speaker"),
        (["--speaker", "VOICE", "--box", "0,0,50,50", "--box", "60,0,90,50"], "--box"),
        (["--speaker", "nothing.wav"], "nothing.wav"),
    ],
)
def test_wrong_wishes_are_named(files, options, message):
    video, voices = files
    options = [str(voices[0]) if part == "VOICE" else part for part in options]
    result = CliRunner().invoke(app, ["evaluate", "video", str(video), *options])
    assert result.exit_code != 0
    assert message in result.output
