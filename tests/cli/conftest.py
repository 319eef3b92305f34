"""A tiny model on disk, and a folder to work in."""

import pytest
from command_line import write_good_files
from tiny_model import tiny_pipeline


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder to work in, with a picture and two voices."""
    monkeypatch.chdir(tmp_path)
    write_good_files()
    return tmp_path
