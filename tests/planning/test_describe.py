"""Models described from the hub: configurations alone are fetched, and plans come out as from the whole files."""

import json
import shutil

import pytest
import torch
from hub_server import Hub
from tiny_model import tiny_components
from tiny_wan import AUDIO, SPEECH, write_diffusers, write_released

from polytalk import MultiTalkPipeline, PolytalkError
from polytalk.checkpoints.layouts import locate
from polytalk.config.pipeline import PipelineConfig
from polytalk.planning.cost import RELEASED_14B, network_parameters
from polytalk.planning.describe import describe_model
from polytalk.planning.model_sizes import ModelSizes
from polytalk.weights.convert import convert

WEIGHTS = (".safetensors", ".pth", ".bin")
BASE = {"_class_name": "WanModel", "model_type": "i2v", "dim": 5120, "num_heads": 40, "num_layers": 40, "in_dim": 36}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return write_released(tmp_path_factory.mktemp("released"))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with Hub({}) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served
        asked = {path for _, path, _ in served.requests}
        assert asked
        assert not [path for path in asked if path.endswith(WEIGHTS)]
        assert all(path.endswith(("model_index.json", "config.json")) for path in asked)


def publish(hub, repository, folder):
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    hub.repositories[repository, "main"] = {name: path.read_bytes() for name, path in files.items()}


def parts_of(model: ModelSizes):
    return {name: model.part_bytes(name, torch.float32) for name in model.builders}


def test_a_small_model_of_the_hub_is_described_by_its_configurations(hub, tmp_path):
    settings = PipelineConfig(size_class="mini", fill_condition="reference")
    MultiTalkPipeline(tiny_components(), settings).save_pretrained(tmp_path / "tiny")
    publish(hub, "someone/tiny", tmp_path / "tiny")
    here, there = describe_model(tmp_path / "tiny"), describe_model("someone/tiny")
    assert there.family == "mini"
    assert (there.network, there.config) == (here.network, here.config)
    assert parts_of(there) == parts_of(here)


def test_the_released_layout_is_described_as_published(hub):
    shards = {f"diffusion_pytorch_model-0000{n}-of-00007.safetensors": b"" for n in range(1, 8)}
    files = {"config.json": json.dumps(BASE).encode(), "Wan2.1_VAE.pth": b"", **shards}
    hub.repositories["Wan-AI/Wan2.1-I2V-14B-720P", "main"] = files
    hub.sizes["diffusion_pytorch_model-00001-of-00007.safetensors"] = 9_847_223_624
    there, published = describe_model("Wan-AI/Wan2.1-I2V-14B-720P"), describe_model("14B")
    assert there.network == published.network == RELEASED_14B
    assert there.transformer_config == published.transformer_config
    assert parts_of(there) == parts_of(published)
    assert there.config.size_class == "720p"
    assert there.largest_shard == 9_847_223_624
    assert there.quantization is None


def test_the_diffusers_layout_is_described_by_its_configurations(hub, released, tmp_path):
    folder = write_diffusers(released, tmp_path / "wan")
    publish(hub, "someone/wan", folder)
    publish(hub, "someone/speech", released.parent / SPEECH)
    here = describe_model(folder, released.parent / AUDIO, released.parent / SPEECH)
    there = describe_model("someone/wan", speech="someone/speech")
    shared = ("patch_size", "num_attention_heads", "num_layers", "text_dim", "image_dim", "audio_layers", "ffn_dim")
    assert [getattr(there.network, name) for name in shared] == [getattr(here.network, name) for name in shared]
    assert parts_of(there) == parts_of(here)
    assert there.config == here.config
    assert there.largest_shard == max(path.stat().st_size for path in (folder / "transformer").glob("*.safetensors"))


@pytest.mark.parametrize("scheme", [None, "int8", "int4"])
def test_the_number_format_shows_in_what_the_files_weigh(hub, released, tmp_path, scheme):
    convert(locate(released), tmp_path / "own")
    publish(hub, "someone/own", tmp_path / "own")
    there, here = describe_model("someone/own"), describe_model(tmp_path / "own")
    assert (there.network, there.config, parts_of(there)) == (here.network, here.config, parts_of(here))
    config = json.loads(hub.repositories["someone/own", "main"]["transformer/config.json"])
    config |= {"num_layers": 40, "num_attention_heads": 40, "attention_head_dim": 128, "ffn_dim": 13824}
    large = dict(hub.repositories["someone/own", "main"])
    large["transformer/config.json"] = json.dumps(config).encode()
    hub.repositories["someone/large", "main"] = large
    whole = network_parameters(describe_model("someone/large").network).bytes(quantization=scheme)
    hub.sizes["transformer/diffusion_pytorch_model.safetensors"] = int(1.02 * whole)
    assert describe_model("someone/large").quantization == scheme


def test_a_base_network_here_needs_no_audio_branch_for_a_plan(hub, released):
    publish(hub, "someone/speech", released.parent / SPEECH)
    here = describe_model(released, released.parent / AUDIO, released.parent / SPEECH)
    there = describe_model(released, audio="MeiGen-AI/MeiGen-MultiTalk", speech="someone/speech")
    assert there.network.num_layers == here.network.num_layers
    assert parts_of(there) == parts_of(here)
    assert there.largest_shard > 0


def test_without_a_connection_the_cache_is_enough(hub, tmp_path, monkeypatch):
    from huggingface_hub import constants

    hub.repositories["Wan-AI/Wan2.1-I2V-14B-480P", "main"] = {"config.json": json.dumps(BASE).encode()}
    first = describe_model("Wan-AI/Wan2.1-I2V-14B-480P")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    again = describe_model("Wan-AI/Wan2.1-I2V-14B-480P")
    assert (again.network, again.config) == (first.network, first.config)
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(PolytalkError, match=r"model: .*is no folder here"):
        describe_model("Wan-AI/Wan2.1-I2V-14B-480P")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": json.dumps(BASE | {"model_type": "t2v", "in_dim": 16}).encode()}, "reads 16 channels"),
        ({"README.md": b"# A data set", "config.json.txt": b""}, r"model: .*neither"),
        ({"config.json": b"no JSON"}, "cannot be read"),
        ({"model_index.json": b"[]", "transformer/config.json": b"{}"}, "no components|no JSON object"),
        (None, r"model: .*not found on the hub"),
    ],
)
def test_what_is_no_model_is_one_error(hub, files, message):
    if files is not None:
        hub.repositories["someone/else", "main"] = files
    hub.requests.append(("HEAD", "config.json", None))  # some are refused by their listing alone
    with pytest.raises(PolytalkError, match=message):
        describe_model("someone/else")
