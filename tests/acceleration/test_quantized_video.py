"""From files that are quantised to a video: converted ones and optimum-quanto's, in memory and streamed."""

import numpy as np
import pytest
import torch
from quantized_models import write_lora, write_quanto
from tiny_model import scene
from tiny_wan import AUDIO, WAN, write_released

from polytalk import MultiTalkPipeline
from polytalk.acceleration.streaming import stream_of
from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.checkpoints.layouts import TRANSFORMER_INDEX, locate
from polytalk.config.options import LoadOptions, LoraChoice
from polytalk.models.quantized import Int4Linear, Int8Linear
from polytalk.weights.convert import convert

LAYERS = {"int8": Int8Linear, "int4": Int4Linear}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A tiny model as published, and converted."""
    root = tmp_path_factory.mktemp("quantized")
    write_released(root / "released")
    for scheme in LAYERS:
        convert(locate(root / "released"), root / scheme, dtype=torch.float32, quantization=scheme)
    return root


def load(folder, **choices):
    options = LoadOptions(**choices.pop("options", {}))
    return MultiTalkPipeline.from_pretrained(folder, torch_dtype="float32", device="cpu", options=options, **choices)


ROUNDING = 4
"""Levels by which a random network may answer another order of summation."""


def video(pipe, people):
    settings = {"size": (32, 32), "num_inference_steps": 2, "clip_frames": 5, "motion_frames": 1, "guidance_scale": 1.0}
    return pipe(scene(people, 0.3), generator=torch.Generator().manual_seed(0), **settings).frames.astype(int)


@pytest.mark.parametrize("people", [1, 2, 3])
@pytest.mark.parametrize("scheme", LAYERS)
def test_streamed_video_is_the_one_from_memory(folders, scheme, people):
    resident, streamed = load(folders / scheme), load(folders / scheme, options={"offload": "stream"})
    assert isinstance(resident.components.transformer.blocks[0].ffn.net[2], LAYERS[scheme])
    assert stream_of(streamed.components.transformer) is not None
    found, wanted = video(streamed, people), video(resident, people)
    assert np.abs(found - wanted).max() <= ROUNDING


def test_converted_while_loading(folders):
    found = video(load(folders / "released", options={"quantization": "int4"}), 2)
    assert np.abs(found - video(load(folders / "int4"), 2)).max() <= ROUNDING


def test_streamed_with_an_adapter(folders, tmp_path):
    resident = load(folders / "int8")
    path = write_lora(tmp_path / "adapter.safetensors", resident.components.transformer)
    options = {"loras": (LoraChoice(path),)}
    found = video(load(folders / "int8", options={**options, "offload": "stream"}), 2)
    assert np.abs(found - video(load(folders / "int8", options=options), 2)).max() <= ROUNDING
    assert np.abs(found - video(resident, 2)).max() > ROUNDING


def test_quanto_file_in_place_of_the_network(folders, tmp_path):
    """Base and audio branch quantised by optimum-quanto into one file, as published."""
    released = folders / "released"
    state = dict(Checkpoint.open(released / WAN / TRANSFORMER_INDEX))
    state |= dict(Checkpoint.open(released / AUDIO / "multitalk.safetensors"))
    path, mapping = write_quanto(tmp_path, {name: tensor.clone() for name, tensor in state.items()})
    mapping.rename(tmp_path / "quantization_map_int8.json")
    pipes = [load(released, audio=path, options={"offload": offload}) for offload in ("none", "stream")]
    assert isinstance(pipes[0].components.transformer.blocks[0].audio_attn.to_v, Int8Linear)
    plain = load(released)
    for people in (1, 3):
        wanted, resident, streamed = (video(pipe, people) for pipe in (plain, *pipes))
        assert np.abs(resident - streamed).max() <= ROUNDING
        assert np.abs(resident - wanted).mean() < 5 < np.abs(video(plain, 2) - wanted).mean()
