"""Adapters beside and inside the weights, against W + scale · alpha / r · up @ down computed plainly."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_files import linear_layers, ours, random_pair, released_shapes, tensor_names
from safetensors.torch import save_file
from tiny_model import tiny_components

from polytalk.errors import PolytalkError
from polytalk.pipelines.block_hooks import cast_blocks, compile_blocks, run_branches_in_turn
from polytalk.pipelines.checkpoint import Checkpoint
from polytalk.pipelines.lora import LoraSet, load_loras, loras_of
from polytalk.pipelines.offload import offload_blocks
from polytalk.pipelines.options import LoraChoice
from polytalk.pipelines.quantization import quantize, quantizer
from polytalk.pipelines.streaming import load_streamed


def tiny_transformer(dtype=torch.float32):
    return tiny_components().transformer.to(dtype)


def call(transformer, people=2):
    """One prediction for fixed inputs."""
    generator = torch.Generator().manual_seed(5)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    masks = torch.zeros(1, people, 4, 6, dtype=torch.bool)
    for person in range(people):
        masks[0, person, :, person * 6 // people : person * 6 // people + 2] = True
    with torch.no_grad():
        return transformer(
            draw(1, 36, 2, 4, 6).to(transformer.dtype),
            torch.tensor([700.0]),
            draw(1, 6, 8),
            draw(1, 5, 8),
            draw(1, people, 5, 5, 2, 6),
            masks if people > 1 else None,
        ).sample


def state(transformer):
    return {name: tensor.clone() for name, tensor in transformer.state_dict().items()}


def make_adapter(transformer, folder, name, seed, rank=3, alpha=2.0, whole=False, size=0.3):
    """A file in kohya's format that changes every linear layer (with `whole` norms and all else, too), and its effect.

    Returns the path and our parameter -> change at scale 1.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = released_shapes(transformer)
    tensors, changes = {}, {}
    for layer, shape in linear_layers(shapes).items():
        down, up = random_pair(shape, rank, generator)
        down_name, up_name, alpha_name = tensor_names(layer, "kohya")
        tensors |= {down_name: down, up_name: up * size, alpha_name: torch.tensor(alpha)}
        names = ours(f"{layer}.weight")
        changes |= dict(zip(names, (size * alpha / rank * up @ down).chunk(len(names)), strict=True))
    if whole:
        for parameter, shape in shapes.items():
            path, _, kind = parameter.rpartition(".")
            if len(shape) == 2 and path != "head.head":
                continue
            change = 0.1 * torch.randn(shape, generator=generator)
            suffix = {"weight": "diff", "bias": "diff_b", "modulation": "diff_m"}[kind]
            tensors[f"diffusion_model.{path}.{suffix}"] = change
            names = ours(parameter)
            for each, part in zip(names, change.chunk(len(names)), strict=True):
                changes[each] = changes.get(each, 0) + part
    path = folder / f"{name}.safetensors"
    save_file(tensors, path)
    return path, changes


def add_plainly(transformer, *terms):
    """The reference: every change added to its weight."""
    with torch.no_grad():
        for scale, changes in terms:
            for name, change in changes.items():
                parameter = transformer.get_parameter(name)
                parameter.copy_((parameter.float() + scale * change).to(parameter.dtype))
    return transformer


def assert_close(found, wanted, tolerance=1e-4):
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


def assert_identical(transformer, saved):
    found = transformer.state_dict()
    assert found.keys() == saved.keys()
    for name, tensor in saved.items():
        assert torch.equal(found[name], tensor), name


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


@pytest.mark.parametrize("scheme", ["int8", "int4", "fp8"])
def test_on_quantised_weights(tmp_path, scheme):
    """Fusing would round the change away: it stays beside, and the norms change in place."""

    def quantised():
        transformer = wide_transformer()
        convert = quantizer(scheme)
        for index, block in enumerate(transformer.blocks):
            convert(f"blocks.{index}", block)
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
    for name, tensor in transformer.state_dict().items():
        if type(tensor) is torch.Tensor:
            assert torch.equal(tensor, saved[name]), name


def wide_transformer():
    from polytalk.models import MultiTalkTransformer3DModel

    with torch.random.fork_rng():
        torch.manual_seed(3)
        return MultiTalkTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            text_dim=8,
            text_len=6,
            freq_dim=16,
            ffn_dim=64,
            num_layers=2,
            image_dim=8,
            audio_layers=2,
            audio_channels=6,
            audio_hidden_dim=16,
            audio_tokens=2,
            audio_dim=32,
        ).eval()


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
            run_branches_in_turn(transformer)
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


def test_a_transformer_knows_its_adapters(tmp_path):
    transformer = tiny_transformer()
    path, changes = make_adapter(transformer, tmp_path, "a", 1)
    assert loras_of(transformer) is None
    loras = load_loras(transformer, [LoraChoice(path, 0.5)])
    assert loras_of(transformer) is loras is load_loras(transformer, [LoraChoice(path, 0.25)])
    assert_close(call(transformer), call(add_plainly(tiny_transformer(), (0.75, changes))))


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


def test_only_biases_and_lone_alphas(tmp_path):
    transformer = tiny_transformer()
    shift = torch.randn(24)
    tensors = {
        "diffusion_model.blocks.0.self_attn.q.diff_b": shift,
        "diffusion_model.blocks.0.self_attn.k.alpha": torch.tensor(2.0),
    }
    save_file(tensors, tmp_path / "a.safetensors")
    loras = load_loras(transformer, [LoraChoice(tmp_path / "a.safetensors", 0.5)])
    assert list(loras.ignored["a"]) == ["diffusion_model.blocks.0.self_attn.k.alpha"]
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
