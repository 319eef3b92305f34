"""Checkpoints: read lazily, renamed and cut without reading, and every kind of damage named."""

import json
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.errors import PolytalkError

TENSORS = {
    "a.weight": torch.arange(24.0).reshape(6, 4),
    "a.bias": torch.arange(6.0).bfloat16(),
    "ids": torch.arange(3),
    "scale": torch.tensor(2.0),
}


@pytest.fixture
def shards(tmp_path):
    """Two shards and their index."""
    save_file({"a.weight": TENSORS["a.weight"]}, tmp_path / "m-1.safetensors")
    save_file({n: t for n, t in TENSORS.items() if n != "a.weight"}, tmp_path / "m-2.safetensors", {"made": "here"})
    places = {name: "m-1.safetensors" if name == "a.weight" else "m-2.safetensors" for name in TENSORS}
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return tmp_path


def same(checkpoint, tensors=TENSORS):
    assert set(checkpoint) == set(tensors)
    for name, tensor in tensors.items():
        assert checkpoint[name].dtype == tensor.dtype
        assert checkpoint[name].equal(tensor), name
        assert checkpoint.shapes[name] == tuple(tensor.shape)
        assert checkpoint.dtypes[name] == tensor.dtype


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapped", ["", "state_dict"])
def test_pickles_hold_what_was_saved(tmp_path, zipped, wrapped):
    state = {wrapped: dict(TENSORS), "step": 3} if wrapped else TENSORS
    torch.save(state, tmp_path / "m.pth", _use_new_zipfile_serialization=zipped)
    same(Checkpoint.open(tmp_path / "m.pth"))


def test_folder_index_and_single_file(shards, tmp_path_factory):
    same(Checkpoint.open(shards))
    checkpoint = Checkpoint.open(shards / "m.safetensors.index.json")
    assert checkpoint.file_of("a.bias") == shards / "m-2.safetensors"
    assert checkpoint.num_bytes == 24 * 4 + 6 * 2 + 3 * 8 + 4
    assert checkpoint.metadata == {"made": "here"}
    assert [file.name for file in checkpoint.files] == ["m-1.safetensors", "m-2.safetensors"]
    single = tmp_path_factory.mktemp("one")
    save_file(TENSORS, single / "w.safetensors")
    same(Checkpoint.open(single))


def test_shards_of_an_index_may_lie_in_another_folder(shards, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (shards / "m.safetensors.index.json").rename(other / "m.safetensors.index.json")
    (shards / "m-2.safetensors").rename(other / "m-2.safetensors")
    with pytest.raises(PolytalkError, match=r"m-1\.safetensors is missing.*a\.weight"):
        Checkpoint.open(other)
    same(Checkpoint.open(other / "m.safetensors.index.json", search=[shards]))


def test_released_pages_are_read_again(shards):
    checkpoint = Checkpoint.open(shards)
    before = checkpoint["a.weight"]
    checkpoint.release()
    assert before.equal(checkpoint["a.weight"])


def test_renaming_splitting_and_merging(shards):
    checkpoint = Checkpoint.open(shards)
    renamed = checkpoint.renamed(lambda name: None if name == "ids" else f"x.{name}")
    assert set(renamed) == {"x.a.weight", "x.a.bias", "x.scale"}
    parts = renamed.split("x.a.weight", ["q", "k", "v"])
    assert parts.shapes["q"] == (2, 4)
    assert parts["k"].equal(TENSORS["a.weight"][2:4])
    assert "x.a.weight" not in parts
    same(checkpoint.selected(["ids"]).merged(checkpoint))
    with pytest.raises(PolytalkError, match="both become"):
        checkpoint.renamed(lambda name: "same")
    with pytest.raises(PolytalkError, match="4 parts"):
        checkpoint.split("a.weight", ["a", "b", "c", "d"])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_safetensors_file_cut_anywhere_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "m.safetensors"
    save_file(TENSORS, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(PolytalkError) as caught:
        Checkpoint.open(path)
    assert caught.value.field == str(path)


def test_a_cut_safetensors_file_names_the_tensor(shards):
    path = shards / "m-2.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(PolytalkError, match=r"cut off: [\d,]+ of [\d,]+ bytes, tensor \S+ is not whole"):
        Checkpoint.open(shards)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0, 1, 40, 300, -3])
def test_a_cut_pickle_is_refused(tmp_path, zipped, kept):
    path = tmp_path / "m.pth"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(PolytalkError, match=str(path)):
        Checkpoint.open(path)


class Harm:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_named_and_not_run(tmp_path, zipped):
    path = tmp_path / "m.pth"
    marker = tmp_path / "was-run"
    torch.save({"w": torch.ones(2), "x": Harm(f"touch {marker}")}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(PolytalkError, match=r"holds code \(\w+\.system\)"):
        Checkpoint.open(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git-lfs pointer"),
        (b"<!doctype html><html>404</html>", "web page"),
        (b"", "empty"),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_what_downloads_leave_instead_of_weights_is_recognised(tmp_path, content, said, suffix):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    with pytest.raises(PolytalkError, match=said):
        Checkpoint.open(path)


@pytest.mark.parametrize(
    "index", ["", "{", "[]", '{"weight_map": {}}', '{"weight_map": 3}', '{"weight_map": {"a": "../m-1.safetensors"}}']
)
def test_damaged_indices_are_refused(shards, index):
    path = shards / "m.safetensors.index.json"
    path.write_text(index)
    with pytest.raises(PolytalkError, match=str(path)):
        Checkpoint.open(path)


def test_an_index_of_another_version_names_the_tensor(shards):
    path = shards / "m.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"new.weight": "m-1.safetensors"}}))
    with pytest.raises(PolytalkError, match=r"new\.weight is not in .*m-1\.safetensors"):
        Checkpoint.open(path)


def test_nothing_several_and_unknown_kinds(tmp_path):
    with pytest.raises(PolytalkError, match="no such file"):
        Checkpoint.open(tmp_path / "m.safetensors")
    with pytest.raises(PolytalkError, match="no weights"):
        Checkpoint.open(tmp_path)
    for name in ("a.safetensors", "b.safetensors"):
        save_file(TENSORS, tmp_path / name)
    with pytest.raises(PolytalkError, match="several"):
        Checkpoint.open(tmp_path)
    (tmp_path / "m.onnx").write_bytes(b"x")
    with pytest.raises(PolytalkError, match="onnx"):
        Checkpoint.open(tmp_path / "m.onnx")
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    with pytest.raises(PolytalkError, match="no tensors"):
        Checkpoint.open(tmp_path / "list.pt")
