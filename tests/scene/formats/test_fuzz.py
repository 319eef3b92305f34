"""Whatever a file holds, reading it gives a scene, or an error that says where."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from timeline_cases import CORPUS, fuzzed, make_files

from polytalk import Scene
from polytalk.scene.formats.position import TextError
from polytalk.scene.formats.registry import FORMATS, parse

SETTINGS = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("fuzz"))


def read_or_refuse(name, content, folder):
    """A scene or None, after a check of the error."""
    beside = {} if name in ("json", "released") else {"image": "a.png"}
    beside |= {"recording": folder / "x.wav"} if name == "rttm" else {}
    path = folder / f"case.{name}"
    refused = None
    try:
        scene = parse(content, name, path, **beside)
    except TextError as error:  # every other one is a failure
        refused = error
    if refused is not None:
        text = content if isinstance(content, str) else content.decode("latin-1")
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        assert 1 <= refused.line <= len(lines)
        assert refused.column >= 1
        assert f"{path.name}, line {refused.line}, column {refused.column}" in str(refused)
        assert refused.remedy
        return None
    assert isinstance(scene, Scene)
    starts = [utterance.start for utterance in scene.utterances]
    in_order = name != "vtt" or starts == sorted(starts)
    if name != "srt" and in_order:  # SubRip has no way to write some of what it shows
        again = parse(FORMATS[name].format(scene, path), name, path, **beside)
        assert again == scene
    return scene


@pytest.mark.parametrize("name", list(CORPUS))
def test_the_example_of_every_format_is_read(folder, name):
    scene = read_or_refuse(name, CORPUS[name], folder)
    assert scene is not None
    assert len(scene.utterances) >= 2


@pytest.mark.parametrize("name", list(CORPUS))
@settings(max_examples=60, **SETTINGS)
@given(data=st.data())
def test_fuzzed_timelines(folder, name, data):
    read_or_refuse(name, data.draw(fuzzed(name)), folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CORPUS))
@settings(max_examples=2000, **SETTINGS)
@given(data=st.data())
def test_ten_thousand_fuzzed_timelines(folder, name, data):
    read_or_refuse(name, data.draw(fuzzed(name)), folder)
