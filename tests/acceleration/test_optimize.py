"""Each lever does what it is for: what memory holds, what runs, in which order hooks lie, what is refused."""

import copy

import pytest
import torch
from diffusers.hooks.group_offloading import LazyPrefetchGroupOffloadingHook
from diffusers.hooks.hooks import HookRegistry
from diffusers.models.attention_dispatch import _AttentionBackendRegistry
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import tiny_components

from polytalk import PolytalkError
from polytalk.acceleration.apply import NARROW, apply_options, set_attention_backend
from polytalk.acceleration.block_hooks import cast_blocks, compile_blocks, run_passes_in_turn
from polytalk.acceleration.offload import offload_blocks, offload_layers
from polytalk.acceleration.quantization import quantize
from polytalk.config.options import OFFLOADS, QUANTIZATIONS, STEP_CACHES, LoadOptions, LoraChoice, ParallelChoice
from polytalk.diffusion import Guidance
from polytalk.models.attention import ContextKeyValues
from polytalk.models.conditioning import Conditioning
from polytalk.models.library_internals import find_hook
from polytalk.pipeline.denoising import pass_conditioning
from polytalk.pipeline.multitalk import MultiTalkPipeline

CPU = torch.device("cpu")


@pytest.fixture
def transformer():
    return copy.deepcopy(tiny_components().transformer)


def inputs(transformer, people=(2, 2, 1)):
    """Arguments of one call for several predictions of a scene, the last of which hears one voice."""
    g = torch.Generator().manual_seed(2)
    draw = {
        "encoder_hidden_states": torch.randn(1, 5, 8, generator=g),
        "encoder_hidden_states_image": torch.randn(1, 4, 8, generator=g),
    }
    with torch.no_grad():
        parts = [
            transformer.prepare_conditioning(
                **draw, encoder_hidden_states_audio=torch.randn(1, count, 9, 5, 2, 6, generator=g)
            )
            for count in people
        ]
    size = len(people)
    masks = torch.zeros(size, max(people), 4, 6, dtype=torch.bool)
    for person in range(max(people)):
        masks[:, person, :, 3 * person : 3 * person + 2] = True
    return {
        "hidden_states": torch.randn(size, 36, 3, 4, 6, generator=g),
        "timestep": torch.full((size,), 700.0),
        "conditioning": Conditioning.concatenate(parts),
        "speaker_masks": masks if max(people) > 1 else None,
    }


@torch.no_grad()
def call(transformer, given):
    return transformer(**given).sample


def recorded(module, read):
    """What `read` makes of the arguments of every call of a module."""
    found = []
    module.register_forward_pre_hook(lambda _, args, kwargs: found.append(read(args, kwargs)), with_kwargs=True)
    return found


@pytest.mark.parametrize("people", [(1, 1), (2, 2, 1), (2, 1), (2, 2), (1, 2, 1)])
def test_passes_in_turn_change_nothing(transformer, people):
    given = inputs(transformer, people)
    wanted = call(transformer, given)
    run_passes_in_turn(transformer)
    torch.testing.assert_close(call(transformer, given), wanted, rtol=1e-5, atol=1e-5)


def test_passes_in_turn_pass_each_block_once_and_one_at_a_time_inside(transformer):
    given = inputs(transformer)
    run_passes_in_turn(transformer)
    outside = recorded(transformer.blocks[1], lambda args, _: len(args[0]))
    inside = recorded(transformer.blocks[1].ffn, lambda args, _: len(args[0]))
    maps = recorded(transformer.blocks[1].attn1, lambda _, kwargs: kwargs["reference_masks"] is not None)
    call(transformer, given)
    assert (outside, inside) == ([3], [1, 1, 1])
    assert maps == [True, True, False]  # who hears one voice is bound to nobody


def parts_of(given):
    """The predictions' own conditionings again."""
    whole = given["conditioning"]
    return [
        Conditioning(
            tuple(ContextKeyValues._make(tensor[index : index + 1] for tensor in block) for block in whole.blocks),
            whole.people,
            whole.binds[index : index + 1],
        )
        for index in range(len(given["hidden_states"]))
    ]


@torch.no_grad()
def test_passes_in_turn_need_no_stacked_keys_and_values(transformer):
    given = inputs(transformer)
    wanted = transformer(**given, return_reference_maps=True)
    run_passes_in_turn(transformer)
    given["conditioning"] = Conditioning.side_by_side(parts_of(given))
    found = transformer(**given, return_reference_maps=True)
    torch.testing.assert_close(found.sample, wanted.sample, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.reference_maps, wanted.reference_maps)
    torch.testing.assert_close(call(transformer, given), wanted.sample, rtol=1e-5, atol=1e-5)


def test_predictions_share_what_they_have_in_common(transformer):
    g = torch.Generator().manual_seed(1)
    text, image = torch.randn(2, 5, 8, generator=g), torch.randn(1, 4, 8, generator=g)
    passes = Guidance(5.0, 4.0).passes()
    with torch.no_grad():
        made = pass_conditioning(transformer, passes, text, image, torch.randn(2, 9, 5, 2, 6, generator=g), 3)
    full, drop_text, nothing = (part.blocks[1] for part in made)
    assert full.audio_key is drop_text.audio_key is not nothing.audio_key
    assert drop_text.text_value is nothing.text_value is not full.text_value
    assert full.image_key is drop_text.image_key is nothing.image_key
    assert not torch.equal(full.text_key, drop_text.text_key)


@torch.no_grad()
def test_passes_in_turn_give_maps_and_labels(transformer):
    given = inputs(transformer)
    wanted = transformer(**given, return_reference_maps=True, return_labels=True)
    run_passes_in_turn(transformer)
    found = transformer(**given, return_reference_maps=True, return_labels=True)
    torch.testing.assert_close(found.sample, wanted.sample, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.reference_maps, wanted.reference_maps)
    assert all(map(torch.equal, found.labels, wanted.labels))


def test_passes_in_turn_take_tokens_as_well_as_keys_and_values(transformer):
    given = inputs(transformer)
    del given["conditioning"]
    g = torch.Generator().manual_seed(4)
    given["encoder_hidden_states"] = torch.randn(3, 5, 8, generator=g)
    given["encoder_hidden_states_audio"] = torch.randn(3, 2, 9, 5, 2, 6, generator=g)
    wanted = call(transformer, given)
    run_passes_in_turn(transformer)
    torch.testing.assert_close(call(transformer, given), wanted, rtol=1e-5, atol=1e-5)


def test_blocks_share_one_graph_without_breaks(transformer):
    given = inputs(transformer)
    wanted = call(transformer, given)
    graphs = []

    def backend(graph, example_inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compile_blocks(transformer, backend)  # fullgraph: a break is an error
    cast_blocks(transformer, torch.float32, torch.float32)
    offload_blocks(transformer, CPU)
    for _ in range(2):
        torch.testing.assert_close(call(transformer, given), wanted, rtol=1e-5, atol=1e-5)
    assert len(graphs) == 1
    inputs(transformer)  # the context is projected without the compiler
    assert len(graphs) == 1


def test_casting_holds_narrow_weights_and_only_those(transformer):
    given = inputs(transformer)
    wanted = call(transformer, given)
    cast_blocks(transformer, NARROW, torch.float32)
    formats = {name: parameter.dtype for name, parameter in transformer.named_parameters()}
    narrow = {name for name, dtype in formats.items() if dtype is NARROW}
    assert {name.split(".", 2)[2] for name in narrow} >= {
        "attn1.to_q.weight",
        "ffn.net.2.weight",
        "audio_attn.to_k.weight",
    }
    assert all(name.startswith("blocks.") and name.endswith(".weight") and "norm" not in name for name in narrow)
    inside = recorded(transformer.blocks[1].ffn, lambda *_: transformer.blocks[1].ffn.net[2].weight.dtype)
    first, second = call(transformer, given), call(transformer, given)
    assert inside == [torch.float32] * 2
    assert {name: parameter.dtype for name, parameter in transformer.named_parameters()} == formats
    assert torch.equal(first, second)
    assert 0 < (first - wanted).norm() / wanted.norm() < 0.2


def test_casting_leaves_quantised_layers_alone(transformer):
    quantize(transformer, "int8")
    given = inputs(transformer)
    wanted = call(transformer, given)
    cast_blocks(transformer, NARROW, torch.float32)
    assert torch.equal(call(transformer, given), wanted)


@pytest.mark.parametrize("offload", [offload_blocks, offload_layers])
def test_offloaded_weights_give_the_same(transformer, offload):
    if offload is offload_layers:
        network, given = tiny_components().text_encoder, None
        ids = network.tokenize(["two people"])
        wanted = network(ids)
        offload(network, CPU)
        assert torch.equal(network(ids), wanted)
        return
    given = inputs(transformer)
    wanted = call(transformer, given)
    offload(transformer, CPU)
    assert transformer.device == CPU
    assert torch.equal(call(transformer, given), wanted)
    again = inputs(transformer)["conditioning"].blocks[0].text_key
    assert torch.equal(again, given["conditioning"].blocks[0].text_key)


def test_blocks_are_fetched_ahead_in_the_order_in_which_the_context_is_projected(transformer):
    """On GPUs, by diffusers' own hooks; they find the order out in the first pass, which is `prepare_conditioning`."""
    given = inputs(transformer)
    wanted = call(transformer, given)
    offload_blocks(transformer, CPU)
    registry = HookRegistry.check_if_exists_or_initialize(transformer)
    ahead = LazyPrefetchGroupOffloadingHook()
    registry.register_hook(ahead, "lazy_prefetch_group_offloading")
    again = inputs(transformer)
    assert [name for name, _ in ahead.execution_order] == ["blocks.0", "blocks.1"]
    first, second = (find_hook(block, "group_offloading") for block in transformer.blocks)
    assert first.next_group is second.group
    assert torch.equal(call(transformer, again), wanted)


def test_hooks_lie_in_the_order_that_composes():
    parts = tiny_components()
    options = LoadOptions(offload="group", layerwise_casting=True, compile=True)
    apply_options(parts, options, compile_backend="eager")
    order = parts.transformer.blocks[0]._diffusers_hook._hook_order
    assert [name.removeprefix("polytalk_") for name in order] == [
        "compiled_block",
        "passes_in_turn",
        "block_casting",
        "group_offloading",
    ]


@pytest.mark.parametrize("name", ["native", "_native_math", "matmul"])
def test_attention_backends(transformer, name):
    given = inputs(transformer)
    wanted = call(transformer, given)
    before = _AttentionBackendRegistry.get_active_backend()
    set_attention_backend(transformer, name, CPU)
    torch.testing.assert_close(call(transformer, given), wanted, rtol=1e-5, atol=1e-5)
    chosen = {str(getattr(b.attn1.processor.backend, "value", name)) for b in transformer.blocks}
    assert chosen == {name}
    assert _AttentionBackendRegistry.get_active_backend() == before  # other models keep theirs


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fast", "'fast' is unknown.*_native_cudnn"),
        ("flash", "'flash' does not work here"),
        ("_native_cudnn", "'_native_cudnn' does not work here"),
        ("sage", "'sage' does not work here .*sageattention"),
    ],
)
def test_attention_backends_that_are_not_there(transformer, name, message):
    with pytest.raises(PolytalkError, match=message) as error:
        set_attention_backend(transformer, name, CPU)
    assert error.value.field == "attention_backend"
    assert transformer.blocks[0].attn1.processor.backend is None


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"vae_tiling": True}, "vae_tiling"),
        ({"offload": "model"}, "offload"),
        ({"offload": "stream"}, "offload"),
        ({"loras": (LoraChoice("nowhere.safetensors"),)}, "nowhere"),
    ],
)
def test_levers_that_a_model_does_not_have(options, field):
    with pytest.raises(PolytalkError, match=field):
        apply_options(tiny_components(), LoadOptions(**options))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"quantization": "int3"}, "quantization"),
        ({"offload": "attic"}, "offload"),
        ({"step_cache": "coffee"}, "step_cache"),
        ({"step_cache_threshold": 0.2}, "step_cache_threshold"),
        ({"step_cache": "teacache", "step_cache_threshold": -1.0}, "step_cache_threshold"),
        ({"step_cache": "firstblock", "step_cache_numbers": (1.0,)}, "step_cache_numbers"),
        ({"vae_dtype": "int8"}, "vae_dtype"),
        ({"offload": "stream", "layerwise_casting": True}, "layerwise_casting"),
        ({"step_cache": "firstblock", "parallel": ParallelChoice(ulysses=2)}, "step_cache"),
        ({"offload": "group", "parallel": ParallelChoice(fsdp=True)}, "offload"),
    ],
)
def test_options_that_make_no_sense(options, field):
    with pytest.raises(PolytalkError) as error:
        LoadOptions(**options)
    assert error.value.field == field


@given(
    st.fixed_dictionaries(
        {
            "quantization": st.sampled_from((None, *QUANTIZATIONS)),
            "offload": st.sampled_from(OFFLOADS),
            "step_cache": st.sampled_from((None, *STEP_CACHES)),
            "branch_chunking": st.sampled_from((None, True, False)),
            "compile": st.booleans(),
            "vae_tiling": st.booleans(),
        }
    )
)
def test_levers_combine_freely(levers):
    options = LoadOptions(**levers)
    assert options.chunks_branches is (
        options.offload in ("group", "stream") if options.branch_chunking is None else options.branch_chunking
    )


def test_a_pipeline_keeps_the_options_it_was_loaded_with(tmp_path):
    MultiTalkPipeline(tiny_components(), MultiTalkPipeline.from_pretrained("mini").config).save_pretrained(tmp_path)
    options = LoadOptions(offload="group")
    pipe = MultiTalkPipeline.from_pretrained(tmp_path, "float32", "cpu", options=options)
    assert pipe.options == options
    order = pipe.components.transformer.blocks[0]._diffusers_hook._hook_order
    assert order == ["polytalk_passes_in_turn", "group_offloading"]
