"""Adapter files in the published formats, made from a known change of every layer."""

import re

import torch

from polytalk.models.official import transformer_state_dict

GOLDEN_LAYERS = ["patch_embedding", "head.head", "img_emb.proj.1", "img_emb.proj.3", "time_projection.1"]
FORMATS = ["kohya", "underscore", "double_underscore", "peft", "peft_model", "peft_named", "diffusers", "plain"]


def ours(name: str) -> list[str]:
    """Released parameter name -> ours, by the translation that loads whole checkpoints."""
    return list(transformer_state_dict({name: torch.zeros(2)}))


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
    import json

    from conftest import GOLDEN

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
