"""Every published adapter format becomes the same change of our weights."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_files import FORMATS, linear_layers, ours, random_pair, released_shapes, tensor_names
from tiny_model import tiny_components

from polytalk.checkpoints.lora import layer_shape, read_lora
from polytalk.errors import PolytalkError
from polytalk.models import MultiTalkTransformer3DModel


@pytest.fixture(scope="module")
def model():
    return tiny_components().transformer


@pytest.fixture(scope="module")
def full_size():
    with torch.device("meta"):
        return MultiTalkTransformer3DModel()


def changes(weights, model):
    """Our parameter -> what the adapter adds to it at scale 1."""
    found = dict(weights.parameters)
    for name, delta in weights.layers.items():
        module = model.get_submodule(name)
        if delta.weight is not None or delta.down is not None:
            found[f"{name}.weight"] = torch.zeros(layer_shape(module))
            delta.add_to(found[f"{name}.weight"], 1.0)
        if delta.bias is not None:
            found[f"{name}.bias"] = delta.bias
    return found


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, change in wanted.items():
        torch.testing.assert_close(found[name], change, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("style", FORMATS)
@settings(max_examples=5, deadline=None)
@given(rank=st.integers(1, 5), alpha=st.floats(0.25, 64), seed=st.integers(0, 99))
def test_all_formats(model, style, rank, alpha, seed):
    generator = torch.Generator().manual_seed(seed)
    tensors, wanted = {}, {}
    for layer, shape in linear_layers(released_shapes(model)).items():
        if style == "diffusers" and "kv_linear" in layer:
            continue
        down, up = random_pair(shape, rank, generator)
        down_name, up_name, alpha_name = tensor_names(layer, style)
        tensors |= {down_name: down, up_name: up}
        if alpha_name is not None:
            tensors[alpha_name] = torch.tensor(alpha)
        change = up @ down * (1 if alpha_name is None else alpha / rank)
        names = ours(f"{layer}.weight")
        wanted |= dict(zip(names, change.chunk(len(names)), strict=True))
    assert any("add_k_proj" in name for name in wanted)
    assert_same(changes(read_lora(tensors, model, "file"), model), wanted)


def test_whole_differences(model):
    """lightx2v and CausVid: diff and diff_b of norms, biases and the patch embedding, diff_m of the modulation."""
    generator = torch.Generator().manual_seed(1)
    tensors, wanted = {}, {}
    for name, shape in released_shapes(model).items():
        change = torch.randn(shape, generator=generator)
        path = name.rpartition(".")[0]
        kind = {"weight": "diff", "bias": "diff_b", "modulation": "diff_m"}[name.rpartition(".")[2]]
        tensors[f"diffusion_model.{path}.{kind}"] = change
        names = ours(name)
        wanted |= dict(zip(names, change.chunk(len(names)), strict=True))
    weights = read_lora(tensors, model, "file")
    assert_same(changes(weights, model), wanted)
    assert wanted.keys() == model.state_dict().keys()
    assert not weights.ignored


def test_every_released_layer_of_the_full_size(golden, full_size):
    """Names alone: each tensor of the published list has its place in the 40-block network, in both spellings."""
    published = json.loads((golden.folder / "keys_multitalk_14b.json").read_text())
    tensors, rank = {}, 4
    for name, shape in published.items():
        path, _, kind = name.rpartition(".")
        if len(shape) == 2:
            underscored = "lora_unet__" + path.replace(".", "_")
            tensors[f"{underscored}.lora_down.weight"] = torch.empty(rank, shape[1], device="meta")
            tensors[f"{underscored}.lora_up.weight"] = torch.empty(shape[0], rank, device="meta")
        else:
            kind = {"weight": "diff", "bias": "diff_b", "modulation": "diff_m"}[kind]
            tensors[f"diffusion_model.{path}.{kind}"] = torch.empty(shape, device="meta")
    # both spellings of a linear layer at once would say the same twice, so biases go with the dotted ones alone
    biases = {name: tensors.pop(name) for name in list(tensors) if name.endswith("diff_b")}
    weights, only_biases = read_lora(tensors, full_size, "file"), read_lora(biases, full_size, "file")
    touched = {f"{name}.weight" for name in weights.layers} | weights.parameters.keys()
    touched |= {f"{name}.bias" for name in only_biases.layers}
    assert touched == full_size.state_dict().keys()
    assert not weights.ignored
    assert not only_biases.ignored


def test_alpha_from_peft_configuration(model):
    down, up = torch.randn(4, 24), torch.randn(24, 4)
    tensors = {
        f"base_model.model.blocks.{i}.attn1.to_q.lora_{half}.weight": tensor
        for i in range(2)
        for half, tensor in (("A", down), ("B", up))
    }
    config = {"r": 4, "lora_alpha": 8, "alpha_pattern": {"blocks.1.attn1.to_q": 2}}
    layers = read_lora(tensors, model, "file", config).layers
    assert layers["blocks.0.attn1.to_q"].scaling == 2
    assert layers["blocks.1.attn1.to_q"].scaling == 0.5
    stabilised = read_lora(tensors, model, "file", {"lora_alpha": 8, "use_rslora": True}).layers
    assert stabilised["blocks.0.attn1.to_q"].scaling == 4
    with pytest.raises(PolytalkError, match="use_dora"):
        read_lora(tensors, model, "file", {"use_dora": True})


def test_bias_of_the_upper_matrix_is_scaled_like_it(model):
    tensors = {
        "transformer.proj_out.lora_A.weight": torch.ones(2, 24),
        "transformer.proj_out.lora_B.weight": torch.ones(64, 2),
        "transformer.proj_out.lora_B.bias": torch.ones(64),
    }
    delta = read_lora(tensors, model, "file", {"lora_alpha": 6}).layers["proj_out"]
    assert torch.equal(delta.bias, torch.full((64,), 3.0))


def test_text_to_video_patch_embedding_is_named_and_left_out(model):
    """Its network has no condition channels; the release leaves such a difference out, too."""
    tensors = {
        "diffusion_model.patch_embedding.diff": torch.randn(24, 16, 1, 2, 2),
        "diffusion_model.patch_embedding.diff_b": torch.randn(24),
        "diffusion_model.blocks.0.self_attn.q.diff_b": torch.randn(24),
    }
    weights = read_lora(tensors, model, "file")
    assert list(weights.ignored) == ["diffusion_model.patch_embedding.diff"]
    assert "(24, 16, 1, 2, 2)" in weights.ignored["diffusion_model.patch_embedding.diff"]
    assert weights.layers["patch_embedding"].weight is None
    assert torch.equal(weights.layers["patch_embedding"].bias, tensors["diffusion_model.patch_embedding.diff_b"])


def test_convolution_pair(model):
    down, up = torch.randn(3, 36, 1, 2, 2), torch.randn(24, 3, 1, 1, 1)
    stem = "diffusion_model.patch_embedding"
    tensors = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up, f"{stem}.alpha": torch.tensor(6.0)}
    change = changes(read_lora(tensors, model, "file"), model)["patch_embedding.weight"]
    x = torch.randn(1, 36, 2, 4, 4)
    conv = torch.nn.functional.conv3d
    wanted = 2 * conv(conv(x, down, stride=(1, 2, 2)), up)
    torch.testing.assert_close(conv(x, change, stride=(1, 2, 2)), wanted, rtol=1e-4, atol=1e-4)


def pair(stem, inputs=24, outputs=24, rank=2):
    return {f"{stem}.lora_A.weight": torch.zeros(rank, inputs), f"{stem}.lora_B.weight": torch.zeros(outputs, rank)}


Q = "diffusion_model.blocks.0.self_attn.q"
BAD = {
    "unet": (
        pair("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"),
        "tensor unet.down_blocks.0.*UNet",
    ),
    "kohya unet": (pair("lora_unet_input_blocks_4_1_proj_in"), "lora_unet_input_blocks_4_1_proj_in.*UNet"),
    "flux": (pair("transformer.single_transformer_blocks.0.attn.to_q"), "single_transformer_blocks.*Flux"),
    "text encoder": (pair("lora_te1_text_model_encoder_layers_0_mlp_fc1"), "lora_te1.*text encoder"),
    "sd3": (pair("transformer.transformer_blocks.0.attn.to_q"), "image or video transformer"),
    "vace": (pair("diffusion_model.vace_blocks.0.self_attn.q"), "VACE"),
    "1.3B": (pair(Q, 1536, 1536), r"1536 \(Wan 1.3B\); this network's is 24"),
    "too deep": (pair("diffusion_model.blocks.30.self_attn.q"), "block 30; this network has 2"),
    "unknown layer": (pair("diffusion_model.blocks.0.self_attn.z"), "blocks.0.self_attn.z.*no layer"),
    "half": ({f"{Q}.lora_A.weight": torch.zeros(2, 24)}, "lora_A.weight has no partner"),
    "ranks": ({f"{Q}.lora_A.weight": torch.zeros(2, 24), f"{Q}.lora_B.weight": torch.zeros(24, 3)}, "does not fit"),
    "lokr": ({f"{Q}.lokr_w1": torch.zeros(2, 2)}, "kind LoKr"),
    "dora": ({**pair(Q), f"{Q}.dora_scale": torch.zeros(24)}, "kind DoRA"),
    "whole model": ({"blocks.0.self_attn.q.weight": torch.zeros(24, 24)}, "whole weight"),
    "quantised model": ({"blocks.0.self_attn.q.weight._data": torch.zeros(24, 24)}, "quantised model"),
    "alpha": ({**pair(Q), f"{Q}.alpha": torch.tensor(float("nan"))}, "alpha.*finite"),
    "norm": ({"diffusion_model.blocks.0.norm3.diff": torch.zeros(25)}, "norm3.diff"),
    "modulation": ({"diffusion_model.blocks.0.diff_m": torch.zeros(1, 6, 25)}, r"diff_m.*\(1, 6, 24\)"),
    "twice": ({**pair(Q), **pair("transformer.blocks.0.attn1.to_q")}, "second time"),
    "two adapters": ({**pair(Q), f"{Q}.lora_A.other.weight": torch.zeros(2, 24)}, "several adapters"),
    "nothing": ({}, "changes nothing"),
    "strange": ({"conv.kernel": torch.zeros(2)}, "conv.kernel is of no kind"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused_naming_the_tensor(model, case):
    tensors, message = BAD[case]
    with pytest.raises(PolytalkError, match=message) as error:
        read_lora(tensors, model, "other.safetensors")
    assert error.value.field == "other.safetensors"


def test_small_wan_on_the_full_size(full_size):
    with pytest.raises(PolytalkError, match=r"Wan 1.3B.*Wan 14B"):
        read_lora(pair(Q, 1536, 1536), full_size, "file")


def test_lone_alpha_is_named(model):
    weights = read_lora({**pair(Q), "diffusion_model.blocks.0.self_attn.k.alpha": torch.tensor(2.0)}, model, "file")
    assert list(weights.ignored) == ["diffusion_model.blocks.0.self_attn.k.alpha"]
    assert list(weights.layers) == ["blocks.0.attn1.to_q"]
