"""Scenes are validated when built, and scene files of both formats say the same as the objects."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk import Box, Cue, PolytalkError, Scene, Speaker, Utterance
from polytalk.scene import pair_speakers

sides = st.integers(1, 5000)


@st.composite
def boxes(draw):
    left, top = draw(st.integers(0, 5000)), draw(st.integers(0, 5000))
    return Box(left, top, left + draw(sides), top + draw(sides))


@settings(deadline=None)
@given(boxes())
def test_a_box_reads_itself_back(box):
    assert Box.parse(str(box)) == box
    assert box.width > 0
    assert box.height > 0


@pytest.mark.parametrize(
    "edges", [(0, 0, 0, 5), (0, 0, 5, 0), (5, 0, 3, 9), (-1, 0, 3, 3), (0, 0, 3.5, 3), ("a", 0, 3, 3)]
)
def test_a_box_without_pixels_is_refused(edges):
    with pytest.raises(PolytalkError, match="box"):
        Box(*edges)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1;2;3;4"])
def test_typed_boxes_must_have_four_numbers(text):
    with pytest.raises(PolytalkError, match="four whole numbers"):
        Box.parse(text)


def test_samples_need_a_rate_and_files_have_one():
    assert Speaker(np.zeros(4), sample_rate=16_000).sample_rate == 16_000
    with pytest.raises(PolytalkError, match="sample_rate"):
        Speaker(np.zeros(4))
    with pytest.raises(PolytalkError, match="sample_rate"):
        Speaker("a.wav", sample_rate=16_000)
    for rate in (0, -1, 10, 22_050.5, 10**7):
        with pytest.raises(PolytalkError, match="sample_rate"):
            Speaker(np.zeros(4), sample_rate=rate)


@pytest.mark.parametrize("offset", [-1, float("nan"), float("inf"), "soon"])
def test_offsets_are_seconds_from_0(offset):
    with pytest.raises(PolytalkError, match="offset"):
        Speaker("a.wav", offset=offset)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"speakers": []}, "speakers"),
        ({"speakers": ["a.wav"]}, "speakers"),
        ({"speakers": [Speaker(None), Speaker(None)]}, "nobody has a voice"),
        ({"speakers": [Speaker("a.wav", box=Box(0, 0, 9, 9)), Speaker("b.wav")]}, "speaker 2 has none"),
        ({"arrangement": "chorus"}, "arrangement"),
        ({"image": None}, "image"),
        ({"image": ""}, "image"),
        ({"prompt": None}, "prompt"),
    ],
)
def test_a_scene_that_cannot_be_is_refused(arguments, field):
    with pytest.raises(PolytalkError, match=field):
        Scene(**{"image": "a.png", "speakers": [Speaker("a.wav")], **arguments})


TALK = {"speakers": [Speaker(name="Anna"), Speaker(name="Ben"), Speaker()], "utterances": [Utterance("Anna", "Hi.")]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"utterances": [Utterance("Bem", "a")]}, r"utterances\[0\].speaker: 'Bem' is nobody here. Do you mean 'Ben'"),
        ({"utterances": [Utterance(0, "a"), Utterance(3, "a")]}, r"utterances\[1\].speaker: there is no speaker 3"),
        ({"utterances": ["Hi."]}, r"utterances\[0\]: it is a str"),
        ({"utterances": []}, "nobody has a voice"),
        ({"arrangement": "turns"}, "arrangement: utterances have their own times"),
        ({"speakers": [Speaker("a.wav", name="Anna")]}, r"utterances\[0\]: Anna has a whole track already"),
        ({"speakers": [Speaker(name="Anna", offset=1)]}, r"utterances\[0\]: Anna has an offset"),
        ({"speakers": [Speaker(name="Anna"), Speaker(name=" Anna ")]}, "two are called 'Anna'"),
        ({"utterances": [Utterance(0, "a", start=1), Utterance("Anna", "b", start=1)]}, "two things at once at 1 s"),
        ({"utterances": [Utterance(0, "a", start=1, end=3), Utterance(0, "b", start=2)]}, "two things at once at 2 s"),
        ({"cues": [Cue(1, "a"), Cue(1, "b")]}, r"cues\[1\]: another cue"),
        ({"cues": [Cue(utterance=1, prompt="a")]}, r"cues\[0\].utterance: utterance 1 is none of 1"),
        ({"cues": [Cue(1, image="b.png", boxes=[Box(0, 0, 1, 1)])]}, r"cues\[0\].boxes: there are 1 boxes and 3"),
        ({"cues": ["rain"]}, r"cues\[0\]: it is a str"),
    ],
)
def test_a_timeline_that_contradicts_itself_is_refused(changes, message):
    assert Scene("a.png", **TALK).names == ("Anna", "Ben", "speaker 3")
    with pytest.raises(PolytalkError, match=message):
        Scene("a.png", **{**TALK, **changes})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "nothing is said"),
        ({"text": " \n"}, "nothing is said"),
        ({"text": 3}, "utterance.text"),
        ({"text": "a\x00"}, "control character"),
        ({"text": "a", "speaker": -1}, "utterance.speaker"),
        ({"text": "a", "speaker": True}, "utterance.speaker"),
        ({"text": "a", "speaker": "\u200b"}, "utterance.speaker"),
        ({"text": "a", "start": -0.1}, "utterance.start: it is -0.1"),
        ({"text": "a", "start": float("nan")}, "utterance.start"),
        ({"text": "a", "start": 7201}, "at most 7200"),
        ({"text": "a", "start": 10**400}, "utterance.start"),
        ({"text": "a", "start": "0:03"}, "utterance.start"),
        ({"text": "a", "end": 3}, "utterance.end: there is no start"),
        ({"text": "a", "start": 3, "end": 3}, "ends at 3 s and starts at 3 s"),
        ({"text": "a", "start": 3, "pause": 1}, "utterance.pause"),
        ({"text": "a", "cut": (0, 1)}, "no audio to cut"),
        ({"audio": "a.wav", "cut": (1, 0)}, "utterance.cut"),
        ({"audio": "a.wav", "cut": 1}, "utterance.cut"),
        ({"audio": np.zeros(4)}, "sample_rate"),
    ],
)
def test_an_utterance_that_cannot_be_is_refused(values, message):
    with pytest.raises(PolytalkError, match=message):
        Utterance(**{"speaker": "Anna", **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompt": "a"}, "it must say when"),
        ({"prompt": "a", "start": 1, "utterance": 1}, "it must say when"),
        ({"start": 1}, "nothing changes"),
        ({"start": -1, "prompt": "a"}, "cue.start"),
        ({"utterance": -1, "prompt": "a"}, "cue.utterance"),
        ({"start": 1, "boxes": [(0, 0, 1, 1)]}, "cue.boxes"),
        ({"start": 1, "image": ""}, "cue.image"),
    ],
)
def test_a_cue_that_cannot_be_is_refused(values, message):
    with pytest.raises(PolytalkError, match=message):
        Cue(**values)


def test_what_is_said_is_kept_in_one_way():
    scene = Scene("a.png", **{**TALK, "utterances": [Utterance(0, " Hi\n  there. "), Utterance(2, "Yo.")]})
    assert [(u.speaker, u.text) for u in scene.utterances] == [("Anna", "Hi there."), (2, "Yo.")]
    assert [scene.index_of(u) for u in scene.utterances] == [0, 2]
    cues = [Cue(utterance=0, prompt="a"), Cue(9, "b"), Cue(2, "c")]
    assert [cue.prompt for cue in Scene("a.png", cues=cues, **TALK).cues] == ["c", "b", "a"]


@settings(deadline=None)
@given(boxes())
def test_a_box_must_lie_in_the_picture(box):
    scene = Scene("a.png", speakers=[Speaker("a.wav", box=box)])
    scene.check_boxes(box.right, box.bottom)
    for width, height in ((box.right - 1, box.bottom), (box.right, box.bottom - 1)):
        with pytest.raises(PolytalkError, match="speaker 1 leaves the picture"):
            scene.check_boxes(width, height)


def test_boxes_are_paired_with_speakers():
    three = [Box(0, 0, 9, 9)] * 3
    with pytest.raises(PolytalkError, match="3 boxes and 2 speakers"):
        pair_speakers(["a.wav", "b.wav"], three)
    assert [speaker.box for speaker in pair_speakers(["a.wav", "b.wav"])] == [None, None]
    assert pair_speakers(["a.wav", "b.wav", "c.wav"], three)[2].box == three[2]


@settings(deadline=None)
@given(
    places=st.lists(boxes(), min_size=1, max_size=5),
    prompt=st.text(st.characters(codec="utf-8")),
    arrangement=st.sampled_from(["together", "turns"]),
    offset=st.floats(0, 1e4),
)
def test_scene_files_round_trip(tmp_path_factory, places, prompt, arrangement, offset):
    folder = tmp_path_factory.mktemp("scene")
    for name in ("a.png", "a.wav"):
        (folder / name).touch()
    speakers = [Speaker(folder / "a.wav", box=box, offset=offset) for box in places]
    scene = Scene(folder / "a.png", prompt, speakers, arrangement, "blurred")
    scene.to_json(folder / "scene.json")
    assert Scene.from_json(folder / "scene.json") == scene
    assert str(folder) not in (folder / "scene.json").read_text("utf-8")  # can be moved together with its files


def test_scene_files_are_not_overwritten_and_hold_no_arrays(tmp_path):
    scene = Scene(tmp_path / "a.png", speakers=[Speaker(tmp_path / "a.wav")])
    scene.to_json(tmp_path / "s.json")
    with pytest.raises(PolytalkError, match="exists"):
        scene.to_json(tmp_path / "s.json")
    scene.to_json(tmp_path / "s.json", force=True)
    with pytest.raises(PolytalkError, match="in memory only"):
        Scene("a.png", speakers=[Speaker(np.zeros(9), 16_000)]).to_json(tmp_path / "t.json")
    with pytest.raises(PolytalkError, match="No such file"):
        scene.to_json(tmp_path / "missing" / "s.json")


def released(folder, **changes):
    """A scene as the release writes it, its files laid out as there."""
    files = folder / "examples" / "multi" / "1"
    files.mkdir(parents=True)
    for name in ("multi1.png", "1.WAV", "2.WAV"):
        (files / name).touch()
    content = {
        "prompt": "Two people talk.",
        "cond_image": "examples/multi/1/multi1.png",
        "audio_type": "add",
        "cond_audio": {"person1": "examples/multi/1/1.WAV", "person2": "examples/multi/1/2.WAV"},
        "bbox": {"person1": [160, 120, 1280, 1080], "person2": [160, 1320, 1280, 2280]},
        **changes,
    }
    (folder / "scene.json").write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return folder / "scene.json"


def test_released_files_are_read(tmp_path):
    scene = Scene.from_json(released(tmp_path))
    assert scene.arrangement == "turns"
    assert scene.boxes == (Box(120, 160, 1080, 1280), Box(1320, 160, 2280, 1280))  # theirs: top,left,bottom,right
    assert [speaker.audio.name for speaker in scene.speakers] == ["1.WAV", "2.WAV"]
    assert scene.prompt == "Two people talk."


def test_released_files_without_boxes_and_with_a_silent_person(tmp_path):
    sounds = {"person2": "None", "person1": "examples/multi/1/1.WAV"}
    scene = Scene.from_json(released(tmp_path, bbox=None, audio_type="para", cond_audio=sounds))
    assert scene.arrangement == "together"
    assert scene.boxes is None
    assert scene.speakers[0].audio.name == "1.WAV"  # person1 first, whatever the order in the file
    assert scene.speakers[1].audio is None


def test_ten_people_come_in_the_order_of_their_numbers(tmp_path):
    sounds = {f"person{i}": "1.WAV" if i == 10 else "2.WAV" for i in (10, 2, 1, 3, 4, 5, 6, 7, 8, 9)}
    path = released(tmp_path, bbox=None, cond_audio={k: f"examples/multi/1/{v}" for k, v in sounds.items()})
    assert Scene.from_json(path).speakers[9].audio.name == "1.WAV"


def test_files_are_found_from_the_working_directory_or_beside(tmp_path, monkeypatch):
    path = released(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = path.rename(elsewhere / "scene.json")
    with pytest.raises(PolytalkError, match=r"cond_audio\.person1: there is no file"):
        Scene.from_json(moved)
    monkeypatch.chdir(tmp_path)
    assert Scene.from_json(moved).image == tmp_path / "examples/multi/1/multi1.png"
    monkeypatch.chdir("/")
    for file in (tmp_path / "examples" / "multi" / "1").iterdir():
        file.rename(elsewhere / file.name)
    assert Scene.from_json(moved).image == elsewhere / "multi1.png"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "one object"),
        ('{"image": "a.png"}', "speakers: .* lacks"),
        ('{"image": "a.png", "speakers": []}', "at least one speaker"),
        ('{"image": "a.png", "speakers": [{"box": null}]}', r"speakers\.0\.audio: .* lacks"),
        ('{"image": "a.png", "speakers": [], "fps": 25}', "fps: .* unknown key.*arrangement"),
        ('{"image": "a.png", "speakers": [{"audio": "a.wav", "box": [1, 2, 3, 4]}]}', "box"),
        ('{"image": "a.png", "speakers": [{"audio": "a.wav"}], "arrangement": "chorus"}', "arrangement"),
        ('{"cond_image": "a.png", "cond_audio": {}}', "cond_audio"),
        ('{"cond_image": "a.png", "cond_audio": {"person1": "a.wav"}, "audio_type": "solo"}', "audio_type"),
        ('{"cond_image": "a.png", "cond_audio": {"person1": "a.wav"}, "tts_audio": {"text": "Hi"}}', "cond_audio, too"),
        ('{"cond_image": "a.png", "cond_audio": {"person1": "a.wav"}, "bbox": {"person2": [0, 0, 9, 9]}}', "bbox"),
    ],
)
def test_broken_scene_files_say_what_is_wrong(tmp_path, content, message):
    for name in ("a.png", "a.wav"):
        (tmp_path / name).touch()
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(PolytalkError, match=message):
        Scene.from_json(tmp_path / "s.json")


def test_a_scene_file_must_exist_and_be_text(tmp_path):
    with pytest.raises(PolytalkError, match="No such file"):
        Scene.from_json(tmp_path / "s.json")
    (tmp_path / "s.json").write_bytes(bytes(range(256)))
    with pytest.raises(PolytalkError, match="not JSON"):
        Scene.from_json(tmp_path / "s.json")


def test_a_scene_needs_no_torch():
    code = "import sys, polytalk; polytalk.Scene; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": ""})
