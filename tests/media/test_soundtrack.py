"""A scene whose audience hears a recording instead of the voices that were cut out of it."""

import wave

import numpy as np
import pytest
from tiny_model import picture, voice

from polytalk import Scene, Speaker, Utterance
from polytalk.conditioning.conversation import load_conversation
from polytalk.conditioning.speech import conversation_tracks
from polytalk.errors import PolytalkError
from polytalk.planning.plan import Video
from polytalk.scene.formats.registry import read, write

RATE = 16_000
RECORDING = 0.1 * np.random.default_rng(5).standard_normal(RATE).astype(np.float32)


def scene(**changes):
    said = [Utterance(0, audio=RECORDING, sample_rate=RATE, cut=(0.1, 0.4), start=0.1, end=0.4)]
    return Scene(picture(), "", [Speaker(), Speaker()], utterances=said, **changes)


def test_the_soundtrack_is_heard_and_lasts():
    conversation = load_conversation(scene(soundtrack=(RECORDING, RATE)))
    np.testing.assert_array_equal(conversation.mix().samples, RECORDING)
    assert conversation_tracks(conversation).shape == (2, RATE)
    assert not conversation_tracks(conversation)[1].any()
    assert Video.of_scene(scene(soundtrack=(RECORDING, RATE)), "mini").frames == 25
    without = load_conversation(scene())
    assert without.mix().seconds == pytest.approx(0.4, abs=0.001)


def test_voices_after_the_end_of_the_soundtrack_are_seen_in_silence():
    conversation = load_conversation(scene(soundtrack=(RECORDING[:1600], RATE)))
    heard = conversation.mix().samples
    assert len(heard) == 0.4 * RATE
    assert not heard[1600:].any()


def test_scene_files_keep_it(tmp_path):
    with wave.open(str(tmp_path / "talk.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((RECORDING * 32767).astype("<i2").tobytes())
    (tmp_path / "two.png").write_bytes(b"?")
    talk = tmp_path / "talk.wav"
    said = [Utterance("Anna", audio=talk, cut=(0.1, 0.4), start=0.1, end=0.4)]
    whole = Scene(tmp_path / "two.png", "", [Speaker(name="Anna")], utterances=said, soundtrack=talk)
    write(whole, tmp_path / "scene.json")
    assert read(tmp_path / "scene.json") == whole
    with pytest.raises(PolytalkError, match="soundtrack"):
        write(whole, tmp_path / "scene.rttm")


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (RECORDING, "soundtrack"),
        ((RECORDING, None), "sample rate"),
        (" ", "empty"),
        (7, "Give a file, or"),
    ],
)
def test_what_is_no_soundtrack_is_refused(sound, message):
    with pytest.raises(PolytalkError, match=message):
        scene(soundtrack=sound)


def test_it_counts_when_scenes_are_compared():
    speakers = [Speaker(voice(0.3), RATE)]
    image = picture()
    one = Scene(image, speakers=speakers, soundtrack=(RECORDING, RATE))
    assert one == Scene(image, speakers=speakers, soundtrack=(RECORDING.copy(), RATE))
    assert one != Scene(image, speakers=speakers, soundtrack=(RECORDING, 8000))
    assert one != Scene(image, speakers=speakers)
