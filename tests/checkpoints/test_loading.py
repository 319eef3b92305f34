"""Filling networks: every tensor, its type and device, in units; and how much memory that takes."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_model import tiny_components
from torch import nn
from transformers import UMT5Config, UMT5EncoderModel, Wav2Vec2Config, Wav2Vec2Model

from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.checkpoints.fill import load_into, unit_names
from polytalk.errors import PolytalkError
from polytalk.weights.sizes import SIZES, TransformerSize
from polytalk.weights.synthesize import SPEECH_FOLDER, Recipe, synthesize


def umt5():
    return UMT5EncoderModel(UMT5Config(vocab_size=50, d_model=16, d_kv=4, d_ff=32, num_heads=4, num_layers=2))


def wav2vec2():
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    convolutions = {"conv_dim": (8, 8), "conv_kernel": (4, 4), "conv_stride": (2, 2)}
    return Wav2Vec2Model(Wav2Vec2Config(**sizes, **convolutions))


def transformer():
    network = tiny_components().transformer
    return type(network).from_config(network.config)


def saved(model, path):
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, path)
    return Checkpoint.open(path)


@pytest.mark.parametrize("build", [umt5, wav2vec2, transformer])
def test_everything_is_filled_and_buffers_are_as_built(build, tmp_path):
    model = build()
    loaded = load_into(build, saved(model, tmp_path / "m.safetensors"))
    assert not loaded.training
    for kind in ("state_dict", "named_parameters", "named_buffers"):
        theirs = dict(getattr(loaded, kind)())
        for name, tensor in dict(getattr(model, kind)()).items():
            assert tensor.equal(theirs[name]), name


def test_a_mapping_in_memory_is_copied():
    linear = nn.Linear(2, 3)
    loaded = load_into(lambda: nn.Linear(2, 3), dict(linear.state_dict()))
    assert loaded.weight.equal(linear.weight)
    assert loaded.weight.data_ptr() != linear.weight.data_ptr()


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path):
    model = umt5()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for absent in ("encoder.embed_tokens.weight", None):
        save_file({name: tensor for name, tensor in state.items() if name != absent}, tmp_path / "m.safetensors")
        loaded = load_into(umt5, Checkpoint.open(tmp_path / "m.safetensors"))
        assert loaded.shared.weight is loaded.encoder.embed_tokens.weight
        assert loaded.shared.weight.equal(model.shared.weight)


def test_types_are_as_asked_for(tmp_path):
    checkpoint = saved(transformer(), tmp_path / "m.safetensors")
    loaded = load_into(transformer, checkpoint, dtype=torch.bfloat16, keep_in_fp32=["scale_shift_table", "norm_audio"])
    for name, parameter in loaded.named_parameters():
        wide = "scale_shift_table" in name or ".norm_audio." in name
        assert parameter.dtype == (torch.float32 if wide else torch.bfloat16), name
    assert load_into(transformer, checkpoint).proj_out.weight.dtype == torch.float32


def test_units_are_whole_when_they_are_handed_on_and_may_be_changed(tmp_path):
    checkpoint = saved(transformer(), tmp_path / "m.safetensors")
    handed_on = []

    def halve(name, module):
        assert not any(parameter.is_meta for parameter in module.parameters()), name
        handed_on.append(name)
        for parameter in module.parameters():
            parameter.data = parameter.data.half()

    loaded = load_into(transformer, checkpoint, on_module=halve)
    assert handed_on == list(unit_names(transformer()))
    assert {"blocks.0", "blocks.1", "condition_embedder"} <= set(handed_on)
    assert loaded.blocks[1].attn1.to_q.weight.dtype == torch.float16


def test_units_of_the_libraries_encoders_are_their_blocks():
    assert {"encoder.block.0", "encoder.block.1", "shared"} <= set(unit_names(umt5()))
    assert {"encoder.layers.0", "feature_extractor"} <= set(unit_names(wav2vec2()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("proj_out.bias"), "lacks tensor proj_out.bias"),
        (lambda state: state.update(extra=torch.ones(1)), "has the unknown tensor extra"),
        (
            lambda state: state.update({"proj_out.bias": torch.ones(1)}),
            r"another shape of tensor proj_out.bias .*\(1,\)",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_file(tmp_path, change, said):
    state = dict(transformer().state_dict())
    change(state)
    save_file(state, tmp_path / "m.safetensors")
    with pytest.raises(PolytalkError, match=said) as caught:
        load_into(transformer, Checkpoint.open(tmp_path / "m.safetensors"))
    assert caught.value.field == str(tmp_path / "m.safetensors")


def write_network(folder, size):
    """The network alone, and what its loader reads of the speech encoder."""
    synthesize(folder, Recipe(size, network_only=True))
    (folder / SPEECH_FOLDER).mkdir()
    (folder / SPEECH_FOLDER / "config.json").write_text(json.dumps(size.speech_config()))


def measured(folder):
    command = [sys.executable, str(Path(__file__).with_name("measure_loading.py")), str(folder)]
    # freed tensors go back to the system at once, as all of the published size do by themselves
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "100000"}
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600, env=environment)
    return json.loads(result.stdout.splitlines()[-1])


def test_loading_holds_one_block_beside_the_model(tmp_path):
    network = TransformerSize(dim=512, ffn_dim=3072, num_heads=4, num_layers=10, audio_dim=128, audio_hidden=64)
    size = dataclasses.replace(SIZES["tiny"], transformer=network)
    write_network(tmp_path / "w", size)
    figures = measured(tmp_path / "w")
    print(figures)
    model = figures["plain"]["kept"]
    block = model / 10  # a little more than one is
    slack = 24 * 2**20
    assert model > 120 * 2**20
    assert figures["forget"]["peak"] < 2 * block + slack
    assert figures["int8"]["peak"] < figures["int8"]["kept"] + 2 * block + slack
    assert figures["plain"]["peak"] < model + 2 * block + slack


@pytest.mark.slow
def test_loading_the_published_width_holds_less_than_a_shard_and_two_gigabytes(tmp_path):
    write_network(tmp_path / "w", SIZES["14b"].with_blocks(6))
    figures = measured(tmp_path / "w")
    limit = figures["shard"] + 2 * 10**9
    print(figures)
    assert figures["plain"]["kept"] > 1.5 * limit  # holding the whole model would be noticed
    assert figures["forget"]["peak"] < limit
    for way in ("int8", "plain"):  # the device is the host's memory here: what stays there is the model itself
        assert figures[way]["peak"] - figures[way]["kept"] < limit
