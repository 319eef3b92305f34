"""What a format can hold is the same after writing and reading; what it cannot is refused."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from timeline_cases import make_files, people, scripted, simple, simple_names, subtitled, words

from polytalk import Box, Cue, PolytalkError, Scene, Speaker, Utterance
from polytalk.scene.formats.registry import FORMATS, make_schema, parse, read, schema, timed, write
from polytalk.scene.schedule import lay_out

SETTINGS = {"deadline": None, "max_examples": 40, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("timelines"))


def there_and_back(scene, path, **beside):
    write(scene, path, force=True)
    assert read(path, **beside) == scene


@settings(**SETTINGS)
@given(data=st.data())
def test_json(folder, data):
    scene = data.draw(scripted(folder, named=False))
    there_and_back(scene, folder / "t.json")
    with_boxes = data.draw(people(voices=False))
    said = [Utterance(i, "Hm.") for i, _ in enumerate(with_boxes)]
    there_and_back(Scene(folder / "a.png", "", with_boxes, utterances=said), folder / "u.json")


@settings(**SETTINGS)
@given(data=st.data())
def test_scripts(folder, data):
    there_and_back(data.draw(scripted(folder)), folder / "t.txt")


@settings(**SETTINGS)
@given(data=st.data())
def test_scripts_with_what_is_said_beside(folder, data):
    plain = data.draw(scripted(folder, simple_names, simple))
    boxes = [Box(i, 0, i + 5, 5) for i, _ in enumerate(plain.speakers)]
    speakers = [dataclasses.replace(speaker, box=box) for speaker, box in zip(plain.speakers, boxes, strict=True)]
    picture = np.zeros((8, 9, 3), np.uint8)
    scene = dataclasses.replace(plain, speakers=speakers, image=picture, negative_prompt="blur")
    there_and_back(scene, folder / "b.txt", image=picture, boxes=boxes, negative_prompt="blur")


@settings(**SETTINGS)
@given(data=st.data(), recording=st.booleans())
def test_webvtt(folder, data, recording):
    scene = data.draw(subtitled(words.filter(visible), words, folder, recording))
    beside = {"recording": folder / "x.wav"} if recording else {}
    there_and_back(scene, folder / "t.vtt", image=scene.image, prompt=scene.prompt, speakers=scene.speakers, **beside)


@settings(**SETTINGS)
@given(data=st.data(), recording=st.booleans())
def test_subrip(folder, data, recording):
    scene = data.draw(subtitled(simple_names, simple, folder, recording))
    beside = {"recording": folder / "x.wav"} if recording else {}
    there_and_back(scene, folder / "t.srt", image=scene.image, prompt=scene.prompt, speakers=scene.speakers, **beside)


@settings(**SETTINGS)
@given(data=st.data())
def test_rttm(folder, data):
    names = words.filter(visible).map(lambda name: "_".join(name.split()))
    scene = data.draw(subtitled(names, simple, folder, recording=True))
    said = [dataclasses.replace(utterance, text=None, prompt=None) for utterance in scene.utterances]
    scene = dataclasses.replace(scene, utterances=said, cues=())
    given = {"image": scene.image, "prompt": scene.prompt, "speakers": scene.speakers}
    there_and_back(scene, folder / "t.rttm", recording=folder / "x.wav", **given)


@settings(**SETTINGS)
@given(data=st.data())
def test_released_json(folder, data):
    count = data.draw(st.integers(1, 12))
    boxes = [Box(i, 2, i + 5, 9) if count % 2 else None for i in range(count)]
    voices = data.draw(st.lists(st.sampled_from([None, "af_heart"]), min_size=count, max_size=count))
    speakers = [Speaker(box=box, voice=voice) for box, voice in zip(boxes, voices, strict=True)]
    turns = data.draw(st.lists(st.tuples(st.integers(0, count - 1), words), min_size=1, max_size=5))
    said = [Utterance(who, text.replace("(", "["), pause=0) for who, text in turns]
    scene = Scene(folder / "a.png", data.draw(words), speakers, utterances=said)
    write(scene, folder / "t.json", format="released", force=True)
    assert read(folder / "t.json") == scene
    tracks = [Speaker(None if i else folder / "x.wav", box=box) for i, box in enumerate(boxes)]
    scene = Scene(folder / "a.png", "", tracks, data.draw(st.sampled_from(["together", "turns"])))
    write(scene, folder / "t.json", format="released", force=True)
    assert read(folder / "t.json") == scene


def visible(name):
    try:
        Speaker(name=name)
    except PolytalkError:
        return False
    return True


@pytest.mark.parametrize(
    ("changes", "format", "field"),
    [
        ({"utterances": [Utterance("Anna", "Hi.")]}, "srt", r"utterances\[0\]: subtitles need start and end"),
        ({"utterances": [Utterance("Anna", "Hi.")]}, "rttm", r"utterances\[0\]: RTTM needs start and end"),
        ({"utterances": [Utterance("Anna", "Hi [yo]!", start=0, end=1)]}, "srt", r"utterances\[0\]: .* all of it"),
        ({"utterances": [Utterance("Anna", "Hi.", start=0, end=0.12345)]}, "vtt", r"utterances\[0\]: .* all of it"),
        ({"utterances": [Utterance("Anna", "Hi.", start=0, end=1)]}, "rttm", "recording"),
        ({"cues": [Cue(1.0, image=np.zeros((9, 9)))]}, "script", "cue.image: it is in memory only"),
        ({"cues": [Cue(utterance=0, prompt="Rain.")]}, "script", "prompt: a script cannot hold"),
        ({"cues": [Cue(utterance=0, prompt="Rain.")]}, "vtt", r"cues\[0\]: subtitles change only prompts, at times"),
        ({"speakers": [Speaker()], "utterances": [Utterance(0, "Hi.")]}, "script", "speakers: .* by name"),
        ({"utterances": [Utterance("Anna", audio=np.zeros(9), sample_rate=16_000)]}, "json", "in memory only"),
        ({"speakers": [Speaker("x.wav", name="Anna")], "utterances": []}, "script", "cannot hold"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(folder, changes, format, field):
    values = {"speakers": [Speaker(name="Anna")], "utterances": [Utterance("Anna", "Hi.", start=0, end=1)], **changes}
    with pytest.raises(PolytalkError, match=field):
        write(Scene(folder / "a.png", **values), folder / "refused", format=format)
    assert not (folder / "refused").exists()


def test_any_conversation_becomes_subtitles_once_it_is_timed(folder):
    said = [Utterance("Anna", "Hi."), Utterance("Ben", audio=folder / "x.wav"), Utterance("Ben", "Yo.", pause=1)]
    cues = [Cue(utterance=2, prompt="Rain."), Cue(1, "Snow.")]
    scene = Scene(folder / "a.png", "", [Speaker(name="Anna"), Speaker(name="Ben")], utterances=said, cues=cues)
    finished = timed(scene, lay_out(scene, [1, 1.23456, 1]))
    assert [(u.start, u.end) for u in finished.utterances] == [(0, 1), (1.2, 2.435), (3.435, 4.435)]
    write(finished, folder / "shown.srt", lossy=True)
    back = read(folder / "shown.srt", image="a.png")
    assert [(u.speaker, u.text, u.start) for u in back.utterances] == [("Anna", "Hi.", 0), ("Ben", "Yo.", 3.435)]
    assert [(cue.start, cue.prompt) for cue in back.cues] == [(1, "Snow."), (3.435, "Rain.")]


def test_the_schema_is_that_of_the_reader(folder):
    assert schema() == make_schema()
    assert schema()["properties"]["version"]["enum"] == [1, 2]
    assert json.dumps(schema())


def test_files_of_the_first_version_are_read(folder):
    old = {"image": "a.png", "speakers": [{"audio": "x.wav", "offset": 1.5}, {"audio": None}], "arrangement": "turns"}
    for version in ({}, {"version": 1}, {"version": 2}):
        scene = parse(json.dumps(old | version), "json", folder / "s.json")
        wanted = [Speaker(folder / "x.wav", offset=1.5), Speaker(None)]
        assert scene == Scene(folder / "a.png", "", wanted, "turns")
    with pytest.raises(PolytalkError, match=r"version: version 3 is newer .*line 1, column \d+.*up to date"):
        parse(json.dumps(old | {"version": 3}), "json", folder / "s.json")


def test_json_takes_what_is_said_beside(folder):
    scene = Scene(folder / "a.png", "Old.", [Speaker(name="Anna"), Speaker()], utterances=[Utterance(1, "Hi.")])
    write(scene, folder / "beside.json")
    boxes = [Box(0, 0, 5, 5), Box(5, 0, 9, 5)]
    changed = read(folder / "beside.json", prompt="New.", boxes=boxes, voices={"Anna": "af_heart"})
    assert changed.prompt == "New."
    assert changed.boxes == tuple(boxes)
    assert changed.speakers[0].voice == "af_heart"
    for wrong in ({"boxes": boxes[:1]}, {"voices": {"Ben": "x"}}, {"recording": "x.wav"}):
        with pytest.raises(PolytalkError):
            read(folder / "beside.json", **wrong)


def test_formats_go_by_endings(folder):
    with pytest.raises(PolytalkError, match=r"Known are \.json, \.txt"):
        read(folder / "a.png")
    with pytest.raises(PolytalkError, match="format: 'doc' is unknown"):
        read(folder / "a.png", format="doc")
    with pytest.raises(PolytalkError, match="No such file"):
        read(folder / "none.srt")
    with pytest.raises(PolytalkError, match=r"line 1, column 3"):
        parse(b"ab\xff", "srt")
    assert {ending for known in FORMATS.values() for ending in known.endings} >= {
        ".json",
        ".txt",
        ".srt",
        ".vtt",
        ".rttm",
    }


def test_large_files_are_not_read(folder):
    (folder / "large.srt").write_bytes(b"\n" * (4 * 2**20 + 1))
    with pytest.raises(PolytalkError, match="at most 4 MB"):
        read(folder / "large.srt")
