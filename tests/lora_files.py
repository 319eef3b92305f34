"""Adapter files in the published formats, made from a known change of every layer, and networks to lay them over."""

import json
import re

import torch
from conftest import GOLDEN
from safetensors.torch import save_file
from tiny_model import tiny_components

from polytalk.checkpoints.names import transformer_plan
from polytalk.models import MultiTalkTransformer3DModel

FORMATS = ["kohya", "underscore", "double_underscore", "peft", "peft_model", "peft_named", "diffusers", "plain"]


def ours(name: str) -> list[str]:
    """Released parameter name -> ours, by the translation that loads whole checkpoints."""
    return list(transformer_plan([name]))


def linear_layers(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, int]]:
    """Released names of all linear layers, by the shapes of all tensors."""
    return {name.removesuffix(".weight"): tuple(s) for name, s in shapes.items() if len(s) == 2}


def random_pair(shape: tuple[int, int], rank: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """down (r, in) and up (out, r)."""
    down = torch.randn(rank, shape[1], generator=generator) / shape[1] ** 0.5
    return down, torch.randn(shape[0], rank, generator=generator) / rank


def tensor_names(layer: str, style: str) -> tuple[str, str, str | None]:
    """Names of down, up and alpha of a layer (released name) in a format; None = the format has no alpha."""
    match style:
        case "kohya":
            stem = f"diffusion_model.{layer}"
            return f"{stem}.lora_down.weight", f"{stem}.lora_up.weight", f"{stem}.alpha"
        case "underscore" | "double_underscore":
            stem = "lora_unet_" + "_" * (style == "double_underscore") + layer.replace(".", "_")
            return f"{stem}.lora_down.weight", f"{stem}.lora_up.weight", f"{stem}.alpha"
        case "peft":
            stem = f"diffusion_model.{layer}"
        case "peft_model":
            stem = f"base_model.model.{layer}"
        case "diffusers":
            (name,) = ours(f"{layer}.weight")
            stem = "transformer." + name.removesuffix(".weight")
        case "peft_named":
            stem = f"base_model.model.diffusion_model.{layer}"
            return f"{stem}.lora_A.default.weight", f"{stem}.lora_B.default.weight", None
        case _:
            stem = layer
    return f"{stem}.lora_A.weight", f"{stem}.lora_B.weight", None


def released_shapes(model) -> dict[str, tuple[int, ...]]:
    """Released names and shapes of a model of ours: the inverse of loading, found by trying the 14B list's names."""
    published = json.loads((GOLDEN / "keys_multitalk_14b.json").read_text())
    state = model.state_dict()
    shapes = {}
    for name in published:
        block = re.match(r"blocks\.(\d+)\.", name)
        if block and int(block[1]) >= len(model.blocks):
            continue
        names = ours(name)
        if all(each in state for each in names):
            first = state[names[0]].shape
            shapes[name] = (first[0] * len(names), *first[1:])
    return shapes


def tiny_transformer(dtype=torch.float32):
    """The tests' smallest network."""
    return tiny_components().transformer.to(dtype)


def wide_transformer():
    """Wide enough for formats that pack weights in groups."""
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
