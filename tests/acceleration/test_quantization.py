"""Weights in fewer bits: how exact each format is, what is left alone, files that come quantised."""

import copy
import dataclasses
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantization_report import error_report
from quantized_models import (
    LINEARS_PER_BLOCK,
    SIZES,
    call,
    network,
    relative_error,
    released_state,
    save_plain,
    write_gguf,
    write_lora,
    write_quanto,
)
from safetensors.torch import load_file

from polytalk.acceleration.lora import load_loras
from polytalk.acceleration.quantization import SCHEMES, convert_linears, quantize, quantizer
from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.checkpoints.fill import load_into
from polytalk.checkpoints.gguf import GGUFLinear, unpack
from polytalk.checkpoints.names import transformer_config
from polytalk.checkpoints.packed import is_quantized, plain_form, with_quantized_layers
from polytalk.config.options import LoraChoice
from polytalk.errors import PolytalkError
from polytalk.models import MultiTalkTransformer3DModel
from polytalk.models.quantized import Int4Linear, Int8Linear, QuantizedLinear

LORAS = [*((scheme, "branch") for scheme in SCHEMES), ("int8", "peft"), ("int4", "peft")]
ALLOWED = {"int8": 0.02, "int8-dynamic": 0.03, "fp8": 0.06, "int4": 0.2}
"""Relative error of a call of the tiny network; about one and a half times what was measured."""


def needs(scheme):
    if scheme in ("fp8", "int8-dynamic"):
        pytest.importorskip("torchao", reason="needs the package torchao")


@pytest.mark.parametrize("people", [1, 2, 3])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_scheme_is_close_to_bfloat16(scheme, people):
    needs(scheme)
    rows = error_report(network(), lambda model: call(model, people), [scheme])
    assert [row.scheme for row in rows] == ["float32", "bfloat16", scheme]
    assert 0 < rows[0].relative_error < ALLOWED["int8"]
    assert 0 < rows[2].relative_error < ALLOWED[scheme]
    assert rows[1].relative_error == 0
    assert rows[0].num_bytes > rows[1].num_bytes > rows[2].num_bytes


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_only_linear_layers_of_the_blocks_change(scheme):
    model = network()
    before = copy.deepcopy(model)
    quantize(model, scheme)
    changed = [name for name, module in model.named_modules() if isinstance(module, QuantizedLinear)]
    assert len(changed) == LINEARS_PER_BLOCK * SIZES["num_layers"]
    assert all(name.startswith("blocks.") for name in changed)
    for name, parameter in before.named_parameters():
        if name.rpartition(".")[0] not in changed or name.endswith(".bias"):
            assert torch.equal(parameter, model.get_parameter(name)), name


def test_quantizing_twice_changes_nothing():
    model = quantize(network(), "int8")
    wanted = call(model, 2)
    assert torch.equal(call(quantize(model, "int4"), 2), wanted)


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(1, 40), groups=st.integers(1, 4), seed=st.integers(0, 99), zero=st.booleans())
def test_int4_error_is_within_half_a_level(rows, groups, seed, zero):
    generator = torch.Generator().manual_seed(seed)
    linear = torch.nn.Linear(64 * groups, rows)
    linear.weight.data = torch.randn(rows, 64 * groups, generator=generator)
    if zero:
        linear.weight.data[0] = 0
    packed = Int4Linear.from_linear(linear)
    assert packed.weight.numel() * 2 == linear.weight.numel()
    difference = (packed.dequantize(torch.float32) - linear.weight).abs().unflatten(1, (groups, -1))
    scale = packed.weight_scale.float().abs()[..., None]
    # the group's opposite extreme has one level less; scales are rounded to bfloat16
    assert bool((difference <= scale * 1.04 + 1e-6).all())
    assert bool((difference.median(-1).values <= scale[..., 0] * 0.5).all())


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(1, 40), columns=st.integers(1, 70), seed=st.integers(0, 99))
def test_int8_error_is_within_half_a_level(rows, columns, seed):
    linear = torch.nn.Linear(columns, rows)
    linear.weight.data = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    packed = Int8Linear.from_linear(linear)
    difference = (packed.dequantize(torch.float32) - linear.weight).abs()
    assert bool((difference <= packed.weight_scale[:, None] * 0.501).all())
    x = torch.randn(3, columns)
    assert relative_error(packed(x), torch.nn.functional.linear(x, packed.dequantize(x.dtype), linear.bias)) < 1e-5


def test_int8_is_as_exact_as_torchaos():
    torchao = pytest.importorskip("torchao.quantization", reason="needs the package torchao")
    linear = torch.nn.Linear(96, 40)
    x = torch.randn(50, 96)
    wanted, ours = linear(x), Int8Linear.from_linear(linear)(x)
    torchao.quantize_(linear, torchao.Int8WeightOnlyConfig())
    assert relative_error(ours, wanted) < 1.2 * relative_error(linear(x), wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_casting_keeps_the_scales(dtype):
    layer = Int8Linear.from_linear(torch.nn.Linear(32, 16)).to(dtype)
    assert layer.weight_scale.dtype == torch.float32
    assert layer.weight.dtype == torch.int8
    assert layer.bias.dtype == dtype
    assert layer(torch.randn(2, 32, dtype=dtype)).dtype == dtype


def lay_over(model, path, by):
    """The same adapter, as our own branch beside the weights or through PEFT."""
    if by == "branch":
        load_loras(model, [LoraChoice(path)])
    else:
        model.load_lora_adapter(load_file(path), prefix="transformer")


@pytest.mark.parametrize("people", [1, 2, 3])
@pytest.mark.parametrize(("scheme", "by"), LORAS)
def test_lora_lies_over_quantized_weights(scheme, people, by, tmp_path):
    """As over float weights: the result differs no more than the scheme does without an adapter."""
    needs(scheme)
    plain, packed = network(), quantize(network(), scheme)
    before = call(packed, people)
    path = write_lora(tmp_path / "adapter.safetensors", plain)
    for model in (plain, packed):
        lay_over(model, path, by)
    assert relative_error(call(packed, people), call(plain, people)) < ALLOWED[scheme]
    assert relative_error(call(packed, people), before) > ALLOWED[scheme] / 2


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_saved_and_read_again(scheme, tmp_path):
    model = quantize(network(), scheme)
    checkpoint = Checkpoint.open(save_plain(model, tmp_path / "model.safetensors"))
    assert is_quantized(checkpoint)
    build = with_quantized_layers(lambda: MultiTalkTransformer3DModel(**SIZES), checkpoint)
    again = load_into(build, checkpoint, dtype=torch.float32)
    assert relative_error(call(again, 2), call(model, 2)) < 1e-5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_converted_block_by_block_while_loading(scheme, tmp_path):
    needs(scheme)
    checkpoint = Checkpoint.open(save_plain(network(), tmp_path / "model.safetensors"))
    loaded = load_into(lambda: MultiTalkTransformer3DModel(**SIZES), checkpoint, on_module=quantizer(scheme))
    allowed = 5e-3 if scheme == "int8-dynamic" else 1e-5  # activations may be rounded to the other side
    assert relative_error(call(loaded, 2), call(quantize(network(), scheme), 2)) < allowed


def test_unknown_scheme():
    with pytest.raises(PolytalkError, match="int3"):
        quantizer("int3")


def loaded_from(checkpoint, golden):
    """The network from a checkpoint in released names, by way of the layer swap alone."""
    config = transformer_config(json.loads((golden.folder / "transformer_config.json").read_text()))
    checkpoint = to_our_names(plain_form(checkpoint))
    build = with_quantized_layers(lambda: MultiTalkTransformer3DModel(**config), checkpoint)
    return load_into(build, checkpoint, dtype=torch.float32)


def to_our_names(checkpoint):
    from polytalk.checkpoints.names import _TRANSFORMER_NAMES, rename

    ours = checkpoint.renamed(lambda name: rename(name, _TRANSFORMER_NAMES))
    for name in list(ours):
        if ".audio_attn.to_kv." in name:
            ours = ours.split(name, [name.replace("to_kv", part) for part in ("to_k", "to_v")])
    return ours


def golden_call(model, golden, people):
    inputs, case = golden["transformer_inputs"], golden[f"transformer_{people}p_t437"]
    with torch.no_grad():
        return model(
            hidden_states=torch.cat([inputs["latent"][None], inputs["condition"]], dim=1),
            timestep=case["timestep"],
            encoder_hidden_states=inputs["text"][None],
            encoder_hidden_states_image=inputs["clip"],
            encoder_hidden_states_audio=case["audio"][None],
            speaker_masks=(case["masks"][None, :people] > 0) if people > 1 else None,
        ).sample[0]


@pytest.mark.parametrize("people", [1, 2])
def test_quanto_file(golden, tmp_path, people):
    path, mapping = write_quanto(tmp_path, released_state(golden))
    checkpoint = Checkpoint.open(path)
    assert is_quantized(checkpoint)
    assert not is_quantized(Checkpoint.open(golden.folder / "transformer_weights.safetensors"))
    assert "blocks.0.ffn.0.weight_scale" in plain_form(checkpoint, mapping)
    model = loaded_from(checkpoint, golden)
    assert isinstance(model.blocks[2].audio_attn.to_v, Int8Linear)
    assert not isinstance(model.proj_out, QuantizedLinear)
    assert relative_error(golden_call(model, golden, people), golden[f"transformer_{people}p_t437"]["out"]) < 0.02


def test_quanto_layer_equals_quantos_own(tmp_path):
    torch.manual_seed(0)
    linear = torch.nn.Linear(32, 24)
    state = {"blocks.0.ffn.0.weight": linear.weight.detach(), "blocks.0.ffn.0.bias": linear.bias.detach()}
    path, _ = write_quanto(tmp_path, {name: tensor.clone() for name, tensor in state.items()})
    ours = plain_form(Checkpoint.open(path))
    from optimum.quanto import freeze, qint8
    from optimum.quanto import quantize as by_quanto

    wrapped = torch.nn.Sequential(linear)
    by_quanto(wrapped, weights=qint8)
    freeze(wrapped)
    weight = ours["blocks.0.ffn.0.weight"].float() * ours["blocks.0.ffn.0.weight_scale"][:, None]
    assert torch.equal(weight, wrapped[0].weight.dequantize())


def test_quanto_map_of_another_file(golden, tmp_path):
    path, mapping = write_quanto(tmp_path, released_state(golden))
    mapping.write_text('{"blocks.0.self_attn.q": {"weights": "qint8", "activations": "none"}}')
    with pytest.raises(PolytalkError, match="not in the map"):
        plain_form(Checkpoint.open(path), mapping)
    mapping.write_text('{"blocks.0.self_attn.q": {"weights": "qfloat8", "activations": "none"}}')
    with pytest.raises(PolytalkError, match="qfloat8"):
        plain_form(Checkpoint.open(path), mapping)
    mapping.write_text("[")
    with pytest.raises(PolytalkError, match="no quantisation map"):
        plain_form(Checkpoint.open(path), mapping)


def test_quanto_scales_missing(golden, tmp_path):
    path, _ = write_quanto(tmp_path, released_state(golden))
    checkpoint = Checkpoint.open(path)
    damaged = checkpoint.selected([name for name in checkpoint if name != "blocks.1.ffn.0.weight._scale"])
    with pytest.raises(PolytalkError, match=r"blocks\.1\.ffn\.0\.weight\._scale"):
        plain_form(damaged)


def test_integers_without_scales_are_refused(tmp_path):
    model = quantize(network(), "int8")
    checkpoint = Checkpoint.open(save_plain(model, tmp_path / "model.safetensors"))
    damaged = checkpoint.selected([name for name in checkpoint if not name.endswith("blocks.0.ffn.net.2.weight_scale")])
    with pytest.raises(PolytalkError, match=r"blocks\.0\.ffn\.net\.2\.weight_scale"):
        with_quantized_layers(network, damaged)()


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize(("kind", "allowed"), [("Q8_0", 0.02), ("Q5_0", 0.1), ("Q4_0", 0.25), ("BF16", 0.02)])
def test_gguf_file(golden, tmp_path, kind, allowed, prefix):
    state = {prefix + name: tensor for name, tensor in released_state(golden).items()}
    checkpoint = Checkpoint.open(write_gguf(tmp_path / "wan.gguf", state, kind))
    model = loaded_from(checkpoint, golden)
    packed = kind != "BF16"
    assert is_quantized(checkpoint) == packed
    assert isinstance(model.blocks[2].audio_attn.to_out, GGUFLinear) == packed
    assert not isinstance(model.condition_embedder.time_proj, QuantizedLinear)
    for people in (1, 2):
        out = golden_call(model, golden, people)
        assert relative_error(out, golden[f"transformer_{people}p_t437"]["out"]) < allowed
    assert torch.equal(golden_call(model.to("cpu"), golden, 2), out)


def test_rows_of_a_packed_weight_can_be_shared_out(tmp_path):
    """The released joint projection of audio keys and values becomes two layers without being unpacked."""
    joint = torch.nn.Linear(64, 32)
    name = "blocks.0.audio_cross_attn.kv_linear.weight"
    checkpoint = Checkpoint.open(write_gguf(tmp_path / "wan.gguf", {name: joint.weight.detach()}, "Q8_0"))
    halves = checkpoint.split(name, ["keys", "values"])
    whole = GGUFLinear.from_linear_as(joint, "Q8_0").dequantize(torch.float32)
    found = [unpack(halves[part], 8, torch.float32) for part in ("keys", "values")]
    assert torch.equal(torch.cat(found), whole)


@pytest.mark.parametrize("kind", ["Q4_1", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"])
def test_gguf_types_are_unpacked_as_the_package_does(kind):
    """Types of published files, most of which the package cannot write: any bytes are a block of them."""
    gguf = pytest.importorskip("gguf", reason="needs the package gguf")
    quant_type = gguf.GGMLQuantizationType[kind]
    block_size, type_size = gguf.GGML_QUANT_SIZES[quant_type]
    # bytes below 60: the scales among them are finite and not huge
    packed = torch.randint(0, 60, (3, 4 * type_size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    wanted = torch.from_numpy(gguf.dequantize(packed.numpy(), quant_type))
    found = unpack(packed, quant_type, torch.float32)
    assert found.shape == (3, 4 * block_size)
    assert wanted.abs().max() > 0
    assert relative_error(found, wanted) < 1e-3  # scales are multiplied in another order


def test_gguf_type_that_is_not_read():
    gguf = pytest.importorskip("gguf", reason="needs the package gguf")
    with pytest.raises(PolytalkError, match="TQ1_0"):
        unpack(torch.zeros(1, 54, dtype=torch.uint8), gguf.GGMLQuantizationType.TQ1_0, torch.float32)


@pytest.mark.parametrize("people", [1, 2, 3])
def test_gguf_lora(people, tmp_path):
    pytest.importorskip("gguf", reason="needs the package gguf")
    rows = error_report(network(), lambda model: call(model, people), ["gguf-Q8_0", "gguf-Q4_0"])
    assert rows[2].relative_error < 0.02 < rows[3].relative_error < 0.3
    model = network()
    for block in model.blocks:
        convert_linears(block, lambda linear: GGUFLinear.from_linear_as(linear, "Q8_0"))
    plain, path = network(), write_lora(tmp_path / "adapter.safetensors", model)
    wanted = call(model, people)
    for each in (model, plain):
        load_loras(each, [LoraChoice(path)])
    assert relative_error(call(model, people), call(plain, people)) < 0.02
    assert relative_error(call(model, people), wanted) > 0.02


def test_gguf_damage(golden, tmp_path):
    path = write_gguf(tmp_path / "wan.gguf", released_state(golden), "Q8_0")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PolytalkError, match="cut off"):
        Checkpoint.open(path)
    path.write_bytes(b"not a file of weights at all")
    with pytest.raises(PolytalkError, match="GGUF"):
        Checkpoint.open(path)


def test_report_leaves_the_model_alone():
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rows = error_report(model, lambda variant: call(variant, 2), ["int4", "int8"])
    assert rows[3].relative_error < rows[2].relative_error
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(dataclasses.FrozenInstanceError):
        rows[0].scheme = "other"
    with pytest.raises(PolytalkError, match="int3"):
        error_report(model, lambda variant: call(variant, 2), ["int3"])
