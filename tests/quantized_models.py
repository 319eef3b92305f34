"""A small random network, inputs for any number of people, and its weights in the published formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from polytalk.models import MultiTalkTransformer3DModel
from polytalk.models.quantized import SCALE_SUFFIX

FRAMES, ROWS, COLUMNS = 2, 4, 12
SIZES = {
    "num_attention_heads": 2,
    "attention_head_dim": 32,
    "text_dim": 32,
    "text_len": None,
    "freq_dim": 16,
    "ffn_dim": 128,
    "num_layers": 3,
    "image_dim": 32,
    "audio_layers": 2,
    "audio_channels": 6,
    "audio_hidden_dim": 16,
    "audio_tokens": 3,
    "audio_dim": 32,
}
LINEARS_PER_BLOCK = 16
"""q, k, v, o; q, k, v, k_img, v_img, o; q, k, v, o of the sound; two of the feed-forward."""


def network(**changes) -> MultiTalkTransformer3DModel:
    torch.manual_seed(3)
    return MultiTalkTransformer3DModel(**{**SIZES, **changes}).eval().requires_grad_(False)


def arguments(people: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Arguments of a call: people stand side by side, each in an equal share of the width."""
    g = torch.Generator().manual_seed(seed)
    masks = torch.zeros(1, people, ROWS, COLUMNS, dtype=torch.bool)
    for person in range(people):
        width = COLUMNS // people
        masks[:, person, :, person * width : (person + 1) * width - 2] = True
    return {
        "hidden_states": torch.randn(1, 36, FRAMES, ROWS, COLUMNS, generator=g),
        "timestep": torch.tensor([600.0]),
        "encoder_hidden_states": torch.randn(1, 5, 32, generator=g),
        "encoder_hidden_states_image": torch.randn(1, 4, 32, generator=g),
        "encoder_hidden_states_audio": torch.randn(1, people, 1 + 4 * (FRAMES - 1), 5, 2, 6, generator=g),
        "speaker_masks": masks,
    }


@torch.no_grad()
def call(model, people: int, seed: int = 0) -> torch.Tensor:
    return model(**arguments(people, seed)).sample


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return ((found.float() - wanted.float()).norm() / wanted.float().norm()).item()


def released_state(golden, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """The golden three-block network in released names."""
    return {name: tensor.to(dtype) for name, tensor in golden["transformer_weights"].items()}


def write_quanto(folder: Path, state: dict[str, torch.Tensor]) -> tuple[Path, Path]:
    """All matrices of a state dict quantised by optimum-quanto itself: the weights and the map, as it saves them."""
    quanto = pytest.importorskip("optimum.quanto", reason="needs optimum-quanto and its toolchain (ninja, a compiler)")
    root = torch.nn.Module()
    rest = {}
    for name, tensor in state.items():
        if tensor.ndim != 2 or not name.endswith(".weight"):
            rest[name] = tensor
            continue
        *path, leaf = name.removesuffix(".weight").split(".")
        owner = root
        for part in path:
            if not hasattr(owner, part):
                owner.add_module(part, torch.nn.Module())
            owner = getattr(owner, part)
        bias = state.get(name.removesuffix("weight") + "bias")
        linear = torch.nn.Linear(tensor.shape[1], tensor.shape[0], bias=bias is not None, dtype=tensor.dtype)
        linear.weight.data = tensor
        if bias is not None:
            linear.bias.data = bias
        owner.add_module(leaf, linear)
    quanto.quantize(root, weights=quanto.qint8)
    quanto.freeze(root)
    saved = {**rest, **root.state_dict()}
    weights, mapping = folder / "dit_int8.safetensors", folder / "dit_map.json"
    save_file({name: tensor.contiguous() for name, tensor in saved.items()}, weights)
    mapping.write_text(json.dumps(quanto.quantization_map(root)))
    return weights, mapping


def write_gguf(path: Path, state: dict[str, torch.Tensor], kind: str) -> Path:
    """A state dict as ComfyUI's tools write it: matrices quantised, 5-D weights flattened with a note."""
    gguf = pytest.importorskip("gguf", reason="needs the package gguf")
    quant_type = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(str(path), "wan")
    block = gguf.GGML_QUANT_SIZES[quant_type][0]
    for name, tensor in state.items():
        array = tensor.float().numpy()
        if array.ndim > 4:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", list(array.shape))
            array = array.reshape(array.shape[0], -1)
        if array.ndim == 2 and name.endswith(".weight") and array.shape[1] % block == 0:
            writer.add_tensor(name, gguf.quantize(array, quant_type), raw_dtype=quant_type)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def save_plain(model, path: Path) -> Path:
    """A model's state dict in one file, scales included."""
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    assert not any(name.endswith(SCALE_SUFFIX) and tensor is None for name, tensor in state.items())
    save_file(state, path)
    return path


def write_lora(path: Path, model, rank: int = 4) -> Path:
    """An adapter of all linear layers of the blocks, in diffusers' names."""
    generator = torch.Generator().manual_seed(7)
    state = {}
    for name, module in model.named_modules():
        if name.startswith("blocks.") and isinstance(module, torch.nn.Linear):
            down = torch.randn(rank, module.in_features, generator=generator) / module.in_features**0.5
            state[f"transformer.{name}.lora_A.weight"] = down
            state[f"transformer.{name}.lora_B.weight"] = 0.2 * torch.randn(
                module.out_features, rank, generator=generator
            )
    save_file(state, path)
    return path
