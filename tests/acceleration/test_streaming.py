"""Blocks read from disk: the same numbers as from memory, no more read than is needed, little memory."""

import gc
import threading

import psutil
import pytest
import torch
from quantized_models import SIZES, arguments, call, network, relative_error, save_plain, write_gguf, write_lora

from polytalk.acceleration.lora import load_loras
from polytalk.acceleration.quantization import quantize
from polytalk.acceleration.streaming import Need, load_streamed, stream_of
from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.config.options import LoraChoice
from polytalk.errors import PolytalkError
from polytalk.models import Conditioning, MultiTalkTransformer3DModel
from polytalk.models.library_internals import float32_names

KEEP = float32_names(MultiTalkTransformer3DModel)
BUILD = {"build": lambda: MultiTalkTransformer3DModel(**SIZES), "dtype": torch.float32, "keep_in_fp32": KEEP}


def stored(tmp_path, scheme=None, **changes):
    model = network(**changes)
    if scheme is not None:
        quantize(model, scheme)
    return model, Checkpoint.open(save_plain(model, tmp_path / "model.safetensors"))


def split_arguments(people):
    given = arguments(people)
    names = ("encoder_hidden_states", "encoder_hidden_states_image", "encoder_hidden_states_audio")
    return {name: given.pop(name) for name in names}, given


@pytest.mark.parametrize("people", [1, 2, 3])
@pytest.mark.parametrize("scheme", [None, "int8", "int4"])
def test_same_as_from_memory(scheme, people, tmp_path):
    model, checkpoint = stored(tmp_path, scheme)
    streamed = load_streamed(checkpoint=checkpoint, **BUILD)
    for seed in (0, 1):  # the second call begins with a block that was read ahead
        assert relative_error(call(streamed, people, seed), call(model, people, seed)) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("people", [1, 2, 3])
def test_only_what_a_call_needs_is_read(people, tmp_path):
    model, checkpoint = stored(tmp_path, "int8")
    streamed = load_streamed(checkpoint=checkpoint, **BUILD)
    stream = stream_of(streamed)
    sizes = {
        need: sum(piece.num_bytes for block in stream.blocks for piece in block if piece.need & need)
        for need in (Need.CONTEXT, Need.TOKENS, Need.ALL)
    }
    assert sizes[Need.CONTEXT] + sizes[Need.TOKENS] == sizes[Need.ALL]
    assert 0 < sizes[Need.CONTEXT] < sizes[Need.TOKENS]
    context, rest = split_arguments(people)
    conditioning = streamed.prepare_conditioning(**context)
    before = settled(stream)
    assert before <= sizes[Need.CONTEXT] * 4 / 3  # three blocks, and one read ahead
    wanted = model(**context, **rest).sample
    for calls in (1, 2, 3):
        assert relative_error(streamed(**rest, conditioning=conditioning).sample, wanted) < 1e-5
        assert settled(stream) - before <= sizes[Need.TOKENS] * (calls + 1 / 3)


def settled(stream):
    """Bytes read once the reading thread is idle."""
    stream._reader.submit(lambda: None).result()
    return stream.bytes_read


@torch.no_grad()
def test_passes_that_run_inside_each_block_read_it_once(tmp_path):
    """Several calls of a block in a row, as guidance's predictions make them, cost one reading."""
    model, checkpoint = stored(tmp_path, "int8")
    streamed = load_streamed(checkpoint=checkpoint, **BUILD)
    stream = stream_of(streamed)
    for index in range(SIZES["num_layers"]):
        stream.bring(index, Need.ALL)
        before = settled(stream)
        stream.bring(index, Need.TOKENS)
        stream.bring(index, Need.CONTEXT)
        assert settled(stream) == before
    assert relative_error(call(streamed, 2), call(model, 2)) < 1e-5


def test_model_holds_one_block_at_most(tmp_path):
    _, checkpoint = stored(tmp_path, "int8")
    streamed = load_streamed(checkpoint=checkpoint, **BUILD)
    call(streamed, 2)
    present = {
        name.split(".")[1]
        for name, parameter in streamed.named_parameters()
        if name.startswith("blocks.") and parameter.dtype == torch.int8 and parameter.device.type != "meta"
    }
    assert present == {str(SIZES["num_layers"] - 1)}
    stream = stream_of(streamed)
    stream.clear()
    settled(stream)
    largest = max(sum(piece.num_bytes + 64 for piece in block) for block in stream.blocks)
    assert sum(slot.host.numel() for slot in stream._free) + stream._next.result().slot.host.numel() <= 2 * largest
    assert all(parameter.device.type == "meta" for parameter in streamed.parameters() if parameter.dtype == torch.int8)
    biases = [parameter for name, parameter in streamed.named_parameters() if name.endswith("to_q.bias")]
    assert all(bias.device.type == "cpu" for bias in biases)


def test_one_block(tmp_path):
    model, checkpoint = stored(tmp_path, "int8", num_layers=1)
    build = {**BUILD, "build": lambda: MultiTalkTransformer3DModel(**{**SIZES, "num_layers": 1})}
    streamed = load_streamed(checkpoint=checkpoint, **build)
    assert relative_error(call(streamed, 2), call(model, 2)) < 1e-5


@torch.no_grad()
def test_bfloat16_from_float32_file(tmp_path):
    model, checkpoint = stored(tmp_path)
    streamed = load_streamed(checkpoint=checkpoint, **{**BUILD, "dtype": torch.bfloat16})
    context, rest = split_arguments(2)
    conditioning = streamed.prepare_conditioning(**context)
    passes = Conditioning.concatenate([conditioning, conditioning])
    twice = {name: torch.cat([tensor, tensor]) for name, tensor in rest.items()}
    out = streamed(**twice, conditioning=passes).sample
    assert relative_error(out[0], call(model, 2)[0]) < 0.03
    assert relative_error(out[0], out[1]) < 1e-5


def test_gguf(tmp_path):
    """From bytes in the middle of the file, also where one matrix becomes two layers."""
    model = network()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for index in range(SIZES["num_layers"]):
        for leaf in ("weight", "bias"):
            halves = [state.pop(f"blocks.{index}.audio_attn.{part}.{leaf}") for part in ("to_k", "to_v")]
            state[f"blocks.{index}.audio_attn.to_kv.{leaf}"] = torch.cat(halves)
    checkpoint = Checkpoint.open(write_gguf(tmp_path / "model.gguf", state, "Q8_0"))
    for name in list(checkpoint):
        if ".to_kv." in name:
            checkpoint = checkpoint.split(name, [name.replace("to_kv", part) for part in ("to_k", "to_v")])
    streamed = load_streamed(checkpoint=checkpoint, **BUILD)
    for people in (1, 2, 3):
        assert 0 < relative_error(call(streamed, people), call(model, people)) < 0.02


def test_damage(tmp_path):
    model, checkpoint = stored(tmp_path, "int8")
    lacking = checkpoint.selected([name for name in checkpoint if name != "blocks.1.attn1.to_q.weight"])
    with pytest.raises(PolytalkError, match=r"blocks\.1\.attn1\.to_q\.weight"):
        load_streamed(checkpoint=lacking, **BUILD)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    with pytest.raises(PolytalkError, match="convert"):
        load_streamed(checkpoint=Checkpoint.open(tmp_path / "model.pth"), **BUILD)


def test_file_cut_off_while_in_use(tmp_path):
    _, checkpoint = stored(tmp_path, "int8")
    streamed = load_streamed(checkpoint=checkpoint, **BUILD)
    path = tmp_path / "model.safetensors"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 4)
    for _ in range(4):  # more often than there are buffers
        with pytest.raises(PolytalkError, match="cut off while in use"):
            call(streamed, 2)


def test_nothing_is_left_behind(tmp_path):
    _, checkpoint = stored(tmp_path, "int8")
    gc.collect()
    files = psutil.Process().num_fds()
    streamed = load_streamed(checkpoint=checkpoint, **BUILD)
    call(streamed, 1)
    assert psutil.Process().num_fds() == files + 1
    assert any(thread.name.startswith("block-stream") for thread in threading.enumerate())
    del streamed
    gc.collect()
    assert psutil.Process().num_fds() == files
    assert not any(thread.name.startswith("block-stream") for thread in threading.enumerate())


def test_other_models_have_no_stream():
    assert stream_of(network()) is None


@pytest.mark.parametrize("people", [1, 2, 3])
@pytest.mark.parametrize("scheme", [None, "int8", "int4"])
def test_lora_lies_over_streamed_weights(scheme, people, tmp_path):
    model, checkpoint = stored(tmp_path, scheme)
    path = write_lora(tmp_path / "adapter.safetensors", model)
    streamed = load_streamed(checkpoint=checkpoint, **BUILD)
    before = call(streamed, people)
    for each in (model, streamed):
        load_loras(each, [LoraChoice(path, 0.7)])
    assert relative_error(call(streamed, people), before) > 0.01
    assert relative_error(call(streamed, people), call(model, people)) < 1e-5
