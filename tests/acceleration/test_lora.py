"""Adapters beside and inside the weights, against W + scale · alpha / r · up @ down computed plainly."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_files import add_plainly, assert_close, assert_identical, call, make_adapter, state, tiny_transformer
from safetensors.torch import save_file

from polytalk.acceleration.lora import LoraSet, fuse, load_loras, loras_of, set_scales, unfuse
from polytalk.config.options import LoraChoice
from polytalk.errors import PolytalkError


@settings(max_examples=4, deadline=None)
@given(
    rank=st.integers(1, 6),
    alpha=st.floats(0.5, 8),
    scale=st.floats(-1.5, 1.5),
    whole=st.booleans(),
    people=st.integers(1, 3),
)
def test_beside_and_fused_equal_the_plain_sum(tmp_path_factory, rank, alpha, scale, whole, people):
    transformer = tiny_transformer()
    path, changes = make_adapter(transformer, tmp_path_factory.mktemp("lora"), "a", 1, rank, alpha, whole)
    wanted = call(add_plainly(tiny_transformer(), (scale, changes)), people)
    loras = load_loras(transformer, [LoraChoice(path, scale)])
    assert_close(call(transformer, people), wanted)
    assert loras.fuse() == []
    assert_close(call(transformer, people), wanted)
    for name, parameter in add_plainly(tiny_transformer(), (scale, changes)).named_parameters():
        torch.testing.assert_close(transformer.get_parameter(name), parameter, rtol=1e-5, atol=1e-6)


def test_adapters_matter(tmp_path):
    """Guards the tests above: the adapter changes the output by far more than their tolerance."""
    transformer = tiny_transformer()
    before = call(transformer)
    path, _ = make_adapter(transformer, tmp_path, "a", 1)
    load_loras(transformer, [LoraChoice(path)])
    assert (call(transformer) - before).abs().max() > 0.02 * before.abs().max()


@pytest.mark.parametrize("fused", [False, True])
def test_several_with_scales_of_their_own(tmp_path, fused):
    transformer = tiny_transformer()
    first, one = make_adapter(transformer, tmp_path, "first", 1, rank=2, whole=True)
    second, two = make_adapter(transformer, tmp_path, "second", 2, rank=5, alpha=7.0, whole=True)
    before, untouched = state(transformer), call(transformer)
    loras = load_loras(transformer, [LoraChoice(first, 0.8), LoraChoice(second, -0.3)])
    assert loras.scales == {"first": 0.8, "second": -0.3}
    if fused:
        loras.fuse()
    assert_close(call(transformer), call(add_plainly(tiny_transformer(), (0.8, one), (-0.3, two))))
    loras.set_scales({"second": 0.5})
    assert_close(call(transformer), call(add_plainly(tiny_transformer(), (0.8, one), (0.5, two))))
    loras.remove("first")
    assert_close(call(transformer), call(add_plainly(tiny_transformer(), (0.5, two))))
    assert loras.load(first, 0.8) == "first"
    assert_close(call(transformer), call(add_plainly(tiny_transformer(), (0.8, one), (0.5, two))))
    loras.remove()
    assert loras.scales == {}
    assert_identical(transformer, before)
    assert torch.equal(call(transformer), untouched)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unfuse_restores_every_bit(tmp_path, dtype):
    transformer = tiny_transformer(dtype)
    path, _ = make_adapter(transformer, tmp_path, "a", 1, whole=True)
    loras = load_loras(transformer, [LoraChoice(path, 0.7)])
    beside, saved = call(transformer), state(transformer)
    for _ in range(3):
        loras.fuse()
        assert not torch.equal(transformer.blocks[0].attn1.to_q.weight, saved["blocks.0.attn1.to_q.weight"])
        loras.set_scales({"a": 0.2})
        loras.set_scales({"a": 0.7})
        loras.unfuse()
        assert_identical(transformer, saved)
        assert torch.equal(call(transformer), beside)


def test_state_dict_and_checkpoint_know_nothing_of_the_side_path(tmp_path):
    transformer = tiny_transformer()
    saved = state(transformer)
    path, _ = make_adapter(transformer, tmp_path, "a", 1)
    load_loras(transformer, [LoraChoice(path)])
    assert_identical(transformer, saved)
    transformer.save_pretrained(tmp_path / "model")
    assert_identical(type(transformer).from_pretrained(tmp_path / "model"), saved)


def test_fused_for_good(tmp_path):
    transformer = tiny_transformer()
    path, changes = make_adapter(transformer, tmp_path, "a", 1, whole=True)
    loras = load_loras(transformer, [LoraChoice(path)])
    loras.fuse(reversible=False)
    assert_close(call(transformer), call(add_plainly(tiny_transformer(), (1.0, changes))))
    for action in (loras.unfuse, loras.remove, lambda: loras.set_scales({"a": 0.5}), lambda: loras.load(path)):
        with pytest.raises(PolytalkError, match="impossible after"):
            action()


def test_same_file_twice_adds_up(tmp_path):
    transformer = tiny_transformer()
    path, changes = make_adapter(transformer, tmp_path, "a", 1)
    loras = load_loras(transformer, [LoraChoice(path, 0.5), LoraChoice(path, 0.25)])
    assert list(loras.scales) == ["a", "a_2"]
    assert_close(call(transformer), call(add_plainly(tiny_transformer(), (0.75, changes))))


def test_folder_of_peft(tmp_path):
    """adapter_model.safetensors with adapter_config.json, where alpha stands."""
    transformer = tiny_transformer()
    down, up = torch.randn(2, 24), torch.randn(24, 2)
    stem = "base_model.model.blocks.1.attn2.add_k_proj"
    save_file({f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 3}))
    wanted = call(add_plainly(tiny_transformer(), (0.5, {"blocks.1.attn2.add_k_proj.weight": 1.5 * up @ down})))
    for path in (tmp_path, tmp_path / "adapter_model.safetensors"):
        loras = load_loras(transformer, [LoraChoice(path, 0.5)])
        assert_close(call(transformer), wanted)
        loras.remove()


def test_metadata_of_diffusers(tmp_path):
    transformer = tiny_transformer()
    down, up = torch.randn(2, 24), torch.randn(24, 2)
    tensors = {
        "transformer.blocks.0.attn1.to_v.lora_A.weight": down,
        "transformer.blocks.0.attn1.to_v.lora_B.weight": up,
    }
    metadata = {"lora_adapter_metadata": json.dumps({"transformer.lora_alpha": 8, "transformer.r": 2})}
    save_file(tensors, tmp_path / "a.safetensors", metadata)
    load_loras(transformer, [LoraChoice(tmp_path / "a.safetensors")])
    wanted = add_plainly(tiny_transformer(), (4.0, {"blocks.0.attn1.to_v.weight": up @ down}))
    assert_close(call(transformer), call(wanted))


def test_a_transformer_knows_its_adapters(tmp_path):
    transformer = tiny_transformer()
    path, changes = make_adapter(transformer, tmp_path, "a", 1)
    assert loras_of(transformer) is None
    loras = load_loras(transformer, [LoraChoice(path, 0.5)])
    assert loras_of(transformer) is loras is load_loras(transformer, [LoraChoice(path, 0.25)])
    assert_close(call(transformer), call(add_plainly(tiny_transformer(), (0.75, changes))))


def test_by_transformer(tmp_path):
    transformer = tiny_transformer()
    for action in (lambda: fuse(transformer), lambda: unfuse(transformer), lambda: set_scales(transformer, {})):
        with pytest.raises(PolytalkError, match="has no LoRAs"):
            action()
    path, changes = make_adapter(transformer, tmp_path, "a", 1)
    saved = state(transformer)
    load_loras(transformer, [LoraChoice(path)])
    set_scales(transformer, {"a": 0.5})
    assert fuse(transformer) == []
    assert_close(call(transformer), call(add_plainly(tiny_transformer(), (0.5, changes))))
    unfuse(transformer)
    assert_identical(transformer, saved)


def test_choice_from_text():
    assert LoraChoice.parse("a/b.safetensors:0.8") == LoraChoice("a/b.safetensors", 0.8)
    assert LoraChoice.parse("a/b.safetensors") == LoraChoice("a/b.safetensors", 1.0)
    assert LoraChoice.parse("C:\\loras\\b.safetensors") == LoraChoice("C:\\loras\\b.safetensors", 1.0)
    assert LoraChoice.parse("C:\\b.safetensors:-1") == LoraChoice("C:\\b.safetensors", -1.0)
    for text, message in (
        ("b.safetensors:strong", "'strong' is not a number"),
        ("b:nan", "scale of nan"),
        (":1", "names no file"),
    ):
        with pytest.raises(PolytalkError, match=message):
            LoraChoice.parse(text)


def test_choice_of_a_file_with_a_colon(tmp_path):
    path = tmp_path / "style:soft"
    path.touch()
    assert LoraChoice.parse(str(path)) == LoraChoice(str(path), 1.0)


def test_only_biases_and_lone_alphas(tmp_path, caplog):
    transformer = tiny_transformer()
    shift = torch.randn(24)
    tensors = {
        "diffusion_model.blocks.0.self_attn.q.diff_b": shift,
        "diffusion_model.blocks.0.self_attn.k.alpha": torch.tensor(2.0),
    }
    save_file(tensors, tmp_path / "a.safetensors")
    loras = load_loras(transformer, [LoraChoice(tmp_path / "a.safetensors", 0.5)])
    assert list(loras.ignored["a"]) == ["diffusion_model.blocks.0.self_attn.k.alpha"]
    assert "a.safetensors: tensor diffusion_model.blocks.0.self_attn.k.alpha has no effect" in caplog.text
    wanted = add_plainly(tiny_transformer(), (0.5, {"blocks.0.attn1.to_q.bias": shift}))
    assert_close(call(transformer), call(wanted))


def test_refused(tmp_path):
    transformer = tiny_transformer()
    path, _ = make_adapter(transformer, tmp_path, "a", 1)
    loras = load_loras(transformer, [LoraChoice(path)])
    with pytest.raises(PolytalkError, match=r"'b' is not loaded.*Loaded: a"):
        loras.set_scales({"b": 1.0})
    with pytest.raises(PolytalkError, match="'b' is not loaded"):
        loras.remove("b")
    for scale in (float("nan"), float("inf")):
        with pytest.raises(PolytalkError, match="scale of"):
            loras.set_scales({"a": scale})
        with pytest.raises(PolytalkError, match="scale of"):
            loras.load(path, scale)
    with pytest.raises(PolytalkError, match="has a set"):
        LoraSet(transformer)
    with pytest.raises(PolytalkError, match="no such file"):
        loras.load(tmp_path / "missing.safetensors")
    assert loras.scales == {"a": 1.0}


def test_nothing_is_changed_by_a_file_that_does_not_fit(tmp_path):
    transformer = tiny_transformer()
    saved, before = state(transformer), call(transformer)
    good, _ = make_adapter(transformer, tmp_path, "good", 1, whole=True)
    bad = {"diffusion_model.blocks.0.self_attn.q.diff_b": torch.zeros(1536)}
    save_file(bad, tmp_path / "bad.safetensors")
    with pytest.raises(PolytalkError, match=r"bad.safetensors: tensor .*q.diff_b.*Wan 1.3B"):
        load_loras(transformer, [LoraChoice(good), LoraChoice(tmp_path / "bad.safetensors")])
    assert_identical(transformer, saved)
    assert torch.equal(call(transformer), before)


def test_cut_off_file(tmp_path):
    path, _ = make_adapter(tiny_transformer(), tmp_path, "a", 1)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PolytalkError, match=r"a\.safetensors"):
        load_loras(tiny_transformer(), [LoraChoice(path)])


def test_fused_projections(tmp_path):
    path, _ = make_adapter(tiny_transformer(), tmp_path, "a", 1)
    transformer = tiny_transformer()
    transformer.fuse_qkv_projections()
    with pytest.raises(PolytalkError, match="fused projections"):
        load_loras(transformer, [LoraChoice(path)])


def test_adapters_of_peft_are_not_mixed_with_ours(tmp_path):
    transformer = tiny_transformer()
    stem = "transformer.blocks.0.attn1.to_q"
    tensors = {f"{stem}.lora_A.weight": torch.randn(2, 24), f"{stem}.lora_B.weight": torch.randn(24, 2)}
    transformer.load_lora_adapter(dict(tensors))
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(PolytalkError, match="loaded by PEFT"):
        load_loras(transformer, [LoraChoice(tmp_path / "a.safetensors")])
    transformer.unload_lora()
    load_loras(transformer, [LoraChoice(tmp_path / "a.safetensors")])
