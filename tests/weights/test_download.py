"""Downloads against a hub on this machine: what is fetched, resumed, checked and refused."""

import random

import pytest
from hub_server import Hub

from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.errors import PolytalkError
from polytalk.weights.catalogue import CATALOGUE, SETS, Published, PublishedFile, choose
from polytalk.weights.download import fetch_file, plan_download
from polytalk.weights.writing import whole, write_safetensors

REPOSITORY = "someone/voices"
BIG = random.Random(0).randbytes(300_000)
ENTRY = Published(
    "voices",
    REPOSITORY,
    "audio",
    "",
    (PublishedFile("config.json"), PublishedFile("sub/big.bin"), PublishedFile("extra.txt", revision="refs/pr/1")),
)


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    main = {"config.json": b'{"a": 1}\n', "sub/big.bin": BIG, "unneeded.bin": b"x" * 5000}
    with Hub({(REPOSITORY, "main"): main, (REPOSITORY, "refs/pr/1"): {"extra.txt": b"hello"}}) as served:
        yield served


def test_plan_says_what_and_how_much_and_fetches_nothing(hub, tmp_path):
    plan = plan_download([ENTRY], tmp_path, hub.endpoint)
    assert {file.path for file in plan.missing} == {"config.json", "sub/big.bin", "extra.txt"}
    assert plan.missing_bytes == 9 + len(BIG) + 5
    assert not hub.requests
    assert not list(tmp_path.iterdir())


def test_download_fetches_the_listed_files_alone_and_is_done_the_second_time(hub, tmp_path):
    plan_download([ENTRY], tmp_path, hub.endpoint).run()
    assert (tmp_path / "voices" / "sub" / "big.bin").read_bytes() == BIG
    assert (tmp_path / "voices" / "extra.txt").read_text() == "hello"
    assert not (tmp_path / "voices" / "unneeded.bin").exists()
    hub.requests.clear()
    again = plan_download([ENTRY], tmp_path, hub.endpoint)
    assert not again.missing
    again.run()
    assert not hub.requests


def test_a_download_that_breaks_off_is_resumed_where_it_was(hub, tmp_path):
    larger = random.Random(1).randbytes(25_000_000)  # the hub's client writes pieces of 10 MiB
    hub.repositories[REPOSITORY, "main"]["sub/big.bin"] = larger
    hub.cut["sub/big.bin"] = 15_000_000
    plan_download([ENTRY], tmp_path, hub.endpoint).run()
    assert (tmp_path / "voices" / "sub" / "big.bin").read_bytes() == larger
    ranges = [requested for command, path, requested in hub.requests if command == "GET" and path == "sub/big.bin"]
    assert ranges == [None, "bytes=10485760-"]


@pytest.mark.parametrize("path", ["config.json", "sub/big.bin"])
def test_a_file_of_right_size_and_wrong_content_is_fetched_anew(hub, tmp_path, path):
    plan_download([ENTRY], tmp_path, hub.endpoint).run()
    file = tmp_path / "voices" / path
    good = file.read_bytes()
    file.write_bytes(good[:-2] + bytes([good[-2] ^ 1]) + good[-1:])
    plan = plan_download([ENTRY], tmp_path, hub.endpoint)
    assert not plan.missing
    told = []
    plan.run(lambda remote, what: told.append((remote.path, what)))
    assert file.read_bytes() == good
    assert (path, "downloading") in told


def test_a_disk_too_small_is_refused_before_anything_is_fetched(hub, tmp_path, monkeypatch):
    plan = plan_download([ENTRY], tmp_path, hub.endpoint)
    monkeypatch.setattr("polytalk.weights.download.free_bytes", lambda folder: 1000)
    with pytest.raises(PolytalkError, match="are free"):
        plan.run()
    assert not hub.requests


def test_offline_is_one_clear_error(tmp_path):
    with pytest.raises(PolytalkError, match="cannot be reached") as caught:
        plan_download([ENTRY], tmp_path, "http://127.0.0.1:9")
    assert caught.value.field == REPOSITORY


def test_a_file_that_is_gone_and_an_unknown_repository_are_named(hub, tmp_path):
    gone = Published("x", REPOSITORY, "audio", "", (PublishedFile("moved.bin"),))
    with pytest.raises(PolytalkError, match=r"moved\.bin"):
        plan_download([gone], tmp_path, hub.endpoint)
    other = Published("x", "someone/else", "audio", "", (PublishedFile("a.bin"),))
    with pytest.raises(PolytalkError, match="not found"):
        plan_download([other], tmp_path, hub.endpoint)


def test_a_single_file_of_the_hub_opens_as_a_checkpoint(hub, tmp_path):
    import torch

    tensors = {"w": torch.arange(6.0).reshape(2, 3)}
    write_safetensors(tmp_path / "m.safetensors", {"w": (2, 3)}, whole(tensors), torch.float32, lambda count: None)
    hub.repositories[REPOSITORY, "main"]["m.safetensors"] = (tmp_path / "m.safetensors").read_bytes()
    path = fetch_file(REPOSITORY, "m.safetensors", folder=tmp_path / "here", endpoint=hub.endpoint)
    assert Checkpoint.open(path)["w"].equal(tensors["w"])


def test_catalogue_is_consistent():
    names = [entry.name for entry in CATALOGUE]
    assert len(set(names)) == len(names)
    assert {part for parts in SETS.values() for part in parts} <= set(names)
    assert [entry.name for entry in choose(["480p", "multitalk"])] == list(SETS["480p"])
    assert choose(["wan-480p"])[0].size == 82_221_537_857
    with pytest.raises(PolytalkError, match="catalogue"):
        choose(["wan-1.3b"])
