"""Adapters on weights that are quantised, offloaded, cast, compiled or streamed from disk."""

import pytest
import torch
from lora_files import (
    add_plainly,
    assert_close,
    assert_identical,
    call,
    make_adapter,
    state,
    tiny_transformer,
    wide_transformer,
)
from safetensors.torch import save_file
from tiny_model import tiny_components

from polytalk.acceleration.apply import apply_options
from polytalk.acceleration.block_hooks import cast_blocks, compile_blocks, run_passes_in_turn
from polytalk.acceleration.lora import load_loras, loras_of
from polytalk.acceleration.offload import offload_blocks
from polytalk.acceleration.quantization import convert_linears, quantize
from polytalk.acceleration.streaming import load_streamed
from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.checkpoints.gguf import GGUFLinear
from polytalk.config.options import LoadOptions, LoraChoice
from polytalk.errors import PolytalkError


@pytest.mark.parametrize("scheme", ["int8", "int4", "fp8", "gguf"])
def test_on_quantised_weights(tmp_path, scheme):
    """Fusing would round the change away: it stays beside, and the norms change in place."""

    def quantised():
        transformer = wide_transformer()
        if scheme != "gguf":
            return quantize(transformer, scheme)
        convert_linears(transformer.blocks, lambda linear: GGUFLinear.from_linear_as(linear, "Q8_0"))
        return transformer

    transformer = quantised()
    path, changes = make_adapter(wide_transformer(), tmp_path, "a", 1, whole=True)
    wanted = wide_transformer()
    with torch.no_grad():  # the reference: unquantised layers whose weights are what the packed ones stand for
        for name, module in transformer.named_modules():
            if isinstance(module, torch.nn.Linear):
                eye = torch.eye(module.in_features, dtype=transformer.dtype)
                bias = 0 if module.bias is None else module.bias
                wanted.get_submodule(name).weight.copy_((module(eye) - bias).T)
    saved = state(transformer)
    loras = load_loras(transformer, [LoraChoice(path, 0.6)])
    beside = call(transformer)
    assert_close(beside, call(add_plainly(wanted, (0.6, changes))), 0.02)
    kept = loras.fuse()
    assert "blocks.0.attn1.to_q" in kept
    assert "proj_out" not in kept
    assert_close(call(transformer), beside, 0.01)
    loras.remove()
    plain = {name for name, tensor in saved.items() if type(tensor) is torch.Tensor}
    assert {"blocks.0.norm2.weight", "blocks.1.scale_shift_table"} < plain
    for name in plain:
        assert torch.equal(transformer.state_dict()[name], saved[name]), name


@pytest.mark.parametrize("kind", ["leaf_level", "block_level"])
def test_with_group_offloading(tmp_path, kind):
    """Loaded before and after offloading; scales changed while offloaded."""
    path, changes = make_adapter(tiny_transformer(), tmp_path, "a", 1, whole=True)
    wanted = {scale: call(add_plainly(tiny_transformer(), (scale, changes))) for scale in (1.0, 0.4)}
    settings = {"offload_type": kind, "num_blocks_per_group": 1 if kind == "block_level" else None}
    for loaded_first in (True, False):
        transformer = tiny_transformer()
        saved = state(transformer)
        if not loaded_first:
            transformer.enable_group_offload(torch.device("cpu"), torch.device("cpu"), **settings)
        loras = load_loras(transformer, [LoraChoice(path)])
        if loaded_first:
            transformer.enable_group_offload(torch.device("cpu"), torch.device("cpu"), **settings)
        assert_close(call(transformer), wanted[1.0])
        loras.set_scales({"a": 0.4})
        assert_close(call(transformer), wanted[0.4])
        loras.fuse()
        assert_close(call(transformer), wanted[0.4])
        loras.remove()
        assert_identical(transformer, saved)


def test_with_layerwise_casting(tmp_path):
    """Adapters keep their own format in a model that is held in 8 bits."""
    path, _ = make_adapter(tiny_transformer(), tmp_path, "a", 1)
    plain = load_transformer_with(path)
    casted = load_transformer_with(path)
    casted.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)
    with torch.no_grad():
        for name, parameter in casted.named_parameters():
            plain.get_parameter(name).copy_(parameter.float())
    branch = casted.blocks[0].attn1.to_q.lora_branch
    assert casted.blocks[0].attn1.to_q.weight.dtype == torch.float8_e4m3fn
    assert branch.down.dtype == branch.rank_scale.dtype == torch.float32
    assert_close(call(casted), call(plain))
    assert branch.down.dtype == torch.float32


def load_transformer_with(path):
    transformer = tiny_transformer()
    load_loras(transformer, [LoraChoice(path)])
    return transformer


def test_cast_and_moved_with_the_model(tmp_path):
    path, _ = make_adapter(tiny_transformer(), tmp_path, "a", 1)
    transformer = load_transformer_with(path).to(torch.bfloat16)
    branch = transformer.blocks[0].attn1.to_q.lora_branch
    assert branch.down.dtype == torch.bfloat16
    assert branch.rank_scale.dtype == torch.float32
    assert_close(call(transformer), call(load_transformer_with(path)), 0.1)


def test_compiles_without_graph_break_or_recompilation(tmp_path):
    path, _ = make_adapter(tiny_transformer(), tmp_path, "a", 1)
    transformer = tiny_transformer()
    loras = load_loras(transformer, [LoraChoice(path)])
    layer = transformer.blocks[0].attn1.to_q
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(layer.forward, backend=backend, fullgraph=True)
    x = torch.randn(3, 24)
    with torch.no_grad():
        for scale in (1.0, 0.5):
            loras.set_scales({"a": scale})
            torch.testing.assert_close(compiled(x), layer(x))
    assert len(graphs) == 1


def test_compiled_blocks_stay_one_graph(tmp_path):
    """The lever as it is applied: blocks compiled around layers with adapters; scales change without recompiling."""
    path, changes = make_adapter(tiny_transformer(), tmp_path, "a", 1, whole=True)
    transformer = tiny_transformer()
    loras = load_loras(transformer, [LoraChoice(path)])
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    compile_blocks(transformer, backend)
    assert_close(call(transformer, 1), call(add_plainly(tiny_transformer(), (1.0, changes)), 1))
    count = len(graphs)
    loras.set_scales({"a": 0.5})
    assert_close(call(transformer, 1), call(add_plainly(tiny_transformer(), (0.5, changes)), 1))
    assert len(graphs) == count <= 2


def test_all_levers_at_once(tmp_path):
    """int8 blocks in host memory, brought one by one, predictions in turn: the adapter acts as without any of these."""
    path, _ = make_adapter(wide_transformer(), tmp_path, "a", 1, whole=True)
    outputs = []
    for levers in (False, True):
        transformer = wide_transformer()
        quantize(transformer, "int8")
        loras = load_loras(transformer, [LoraChoice(path, 0.7)])
        if levers:
            run_passes_in_turn(transformer)
            cast_blocks(transformer, torch.float8_e4m3fn, torch.float32)
            offload_blocks(transformer, torch.device("cpu"))
        first = call(transformer)
        loras.set_scales({"a": 0.1})
        outputs.append((first, call(transformer)))
    for plain, levered in zip(*outputs, strict=True):
        assert_close(levered, plain)
    assert (outputs[0][0] - outputs[0][1]).abs().max() > 0.01


@pytest.mark.parametrize("scheme", [None, "int8"])
def test_on_blocks_streamed_from_disk(tmp_path, scheme):
    path, _ = make_adapter(wide_transformer(), tmp_path, "a", 1, whole=True)
    resident = wide_transformer()
    if scheme is not None:
        quantize(resident, scheme)
    save_file({name: tensor.contiguous() for name, tensor in resident.state_dict().items()}, tmp_path / "w.safetensors")
    streamed = load_streamed(wide_transformer, Checkpoint.open(tmp_path / "w.safetensors"), dtype=torch.float32)
    before = call(streamed)
    assert_close(before, call(resident))
    loras = load_loras(streamed, [LoraChoice(path, 0.7)])
    load_loras(resident, [LoraChoice(path, 0.7)])
    assert_close(call(streamed), call(resident))
    assert "blocks.0.attn1.to_q" in loras.fuse()
    assert_close(call(streamed), call(resident))
    for each in (loras, loras_of(resident)):
        each.set_scales({"a": 0.3})
    assert_close(call(streamed), call(resident))
    loras.remove()
    assert torch.equal(call(streamed), before)


def test_load_options(tmp_path):
    first, one = make_adapter(tiny_transformer(), tmp_path, "first", 1)
    second, two = make_adapter(tiny_transformer(), tmp_path, "second", 2)
    options = LoadOptions(loras=(LoraChoice(first, 0.5), LoraChoice(second)), offload="group")
    components = apply_options(tiny_components(), options)
    assert loras_of(components.transformer).scales == {"first": 0.5, "second": 1.0}
    assert_close(call(components.transformer), call(add_plainly(tiny_transformer(), (0.5, one), (1.0, two))))


def test_what_was_fused_and_then_cast_stays(tmp_path):
    """The originals would be rounded on their way back: refused, and nothing is changed."""
    path, _ = make_adapter(wide_transformer(), tmp_path, "a", 1)
    transformer = wide_transformer()
    loras = load_loras(transformer, [LoraChoice(path)])
    loras.fuse()
    cast_blocks(transformer, torch.float8_e4m3fn, torch.float32)
    before = call(transformer)
    for action in (loras.unfuse, loras.remove, lambda: loras.set_scales({"a": 0.5})):
        with pytest.raises(PolytalkError, match=r"blocks\.0.*cannot be changed"):
            action()
        assert loras.fused
        assert loras.scales == {"a": 1.0}
        assert torch.equal(call(transformer), before)
