"""Low-rank adapters in the formats they are published in -> what they add to each of our layers.

An adapter changes a layer's weight W (out, in) to W + scale · (alpha / r · up @ down + diff) and its bias to
b + scale · diff_b (LoRA: arXiv 2106.09685). Read are

- kohya: `NAME.lora_down.weight`, `NAME.lora_up.weight`, `NAME.alpha`; the step-distilled lightx2v files and CausVid add
  `NAME.diff` and `NAME.diff_b` (whole differences of weight and bias, also of norms and of the patch embedding) and
  `blocks.N.diff_m` (of the modulation);
- PEFT and diffusers: `NAME.lora_A.weight`, `NAME.lora_B.weight`, perhaps with an adapter's name before `.weight`, alpha
  in the adapter's configuration.

For names and prefixes see `polytalk.checkpoints.lora_names`.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.checkpoints.lora_names import Target, describe_unknown, name_index, strip_prefixes
from polytalk.errors import PolytalkError

DOWN, UP, UP_BIAS, ALPHA, DIFF, DIFF_B, DIFF_M = "down", "up", "up_bias", "alpha", "diff", "diff_b", "diff_m"

_KINDS = [
    (DOWN, re.compile(r"\.(?:lora_down|lora_A|lora\.down)(?:\.(?!weight$|bias$)[\w-]+)?(?:\.weight)?$")),
    (UP_BIAS, re.compile(r"\.(?:lora_up|lora_B|lora\.up)(?:\.(?!weight$|bias$)[\w-]+)?\.bias$")),
    (UP, re.compile(r"\.(?:lora_up|lora_B|lora\.up)(?:\.(?!weight$|bias$)[\w-]+)?(?:\.weight)?$")),
    (ALPHA, re.compile(r"\.(?:alpha|network_alpha|lora_alpha)$")),
    (DIFF, re.compile(r"\.diff$")),
    (DIFF_B, re.compile(r"\.diff_b$")),
    (DIFF_M, re.compile(r"\.diff_m$")),
]
_FOREIGN_METHODS = [
    (r"\.(dora_scale|lora_magnitude_vector)", "DoRA"),
    (r"\.lokr_", "LoKr"),
    (r"\.hada_", "LoHa"),
    (r"\.oft_|\.boft_", "OFT"),
    (r"\.lora_mid", "LoCon with a Tucker core"),
]
_KNOWN_WIDTHS = {1536: "Wan 1.3B", 3072: "Wan 2.2 5B", 5120: "Wan 14B"}
REMEDY = "Use an adapter made for Wan2.1 14B (image-to-video or text-to-video), or for the model at hand."


@dataclass(frozen=True)
class LayerDelta:
    """What one adapter adds to one layer at scale 1."""

    down: Tensor | None = None
    """(r, in), or (r, in, *kernel) for a convolution"""
    up: Tensor | None = None
    """(out, r), or (out, r, 1, ...) for a convolution"""
    scaling: float = 1.0
    """alpha / r"""
    weight: Tensor | None = None
    """whole difference, in the weight's shape"""
    bias: Tensor | None = None
    """(out,)"""

    def add_to(self, weight: Tensor, scale: float) -> None:
        """weight += scale · (scaling · up @ down + the whole difference), in place; `weight` is float32."""
        if self.down is not None and self.up is not None:
            down, up = (part.to(weight.device, torch.float32).flatten(1) for part in (self.down, self.up))
            weight.view(len(weight), -1).addmm_(up, down, alpha=scale * self.scaling)
        if self.weight is not None:
            weight.add_(self.weight.to(weight.device, torch.float32), alpha=scale)


@dataclass(frozen=True)
class LoraWeights:
    """One adapter in our names."""

    source: str
    """File it was read from."""
    layers: dict[str, LayerDelta] = field(default_factory=dict)
    """Our layer -> what is added to it."""
    parameters: dict[str, Tensor] = field(default_factory=dict)
    """Our parameter that belongs to no layer -> what is added to it."""
    ignored: dict[str, str] = field(default_factory=dict)
    """Tensor of the file that has no effect -> why."""

    @property
    def rank(self) -> int:
        """The largest rank."""
        return max((delta.down.shape[0] for delta in self.layers.values() if delta.down is not None), default=0)


@dataclass(frozen=True)
class _Found:
    """A tensor of the file and its name there."""

    name: str
    tensor: Tensor


def read_lora(
    tensors: Mapping[str, Tensor], model: nn.Module, source: str, config: Mapping[str, Any] | None = None
) -> LoraWeights:
    """Translate an adapter file for `model`.

    Args:
        tensors: the file's.
        model: a `MultiTalkTransformer3DModel`; shapes and names are checked against it. It may be on the meta device.
        source: names the file in messages.
        config: PEFT's `adapter_config.json` (lora_alpha, r, use_rslora, ...); without it and without alpha in the file,
            alpha is the rank.

    Raises:
        PolytalkError: for another architecture or of an unknown kind, naming the first tensor that does not fit.
    """
    blocks = len(getattr(model, "blocks", ()))
    index = name_index(model, blocks)
    grouped: dict[str, dict[str, _Found]] = defaultdict(dict)
    for name in tensors:
        path, kind = _split(name, source)
        if kind in grouped[path]:
            problem = f"tensors {grouped[path][kind].name} and {name} say the same"
            raise PolytalkError(source, problem, "The file holds several adapters; give one at a time.")
        grouped[path][kind] = _Found(name, tensors[name])
    result = LoraWeights(source)
    for path, parts in grouped.items():
        target = index.get(path)
        if target is None:
            first = next(iter(parts.values()))
            raise PolytalkError(source, f"tensor {first.name} {describe_unknown(path, blocks)}", REMEDY)
        _read_target(result, model, target, path, parts, config or {})
    if not result.layers and not result.parameters:
        raise PolytalkError(source, "it changes nothing in this network", REMEDY)
    return result


def read_lora_file(path: str | Path, transformer: nn.Module) -> LoraWeights:
    """Read and translate one adapter: a safetensors file, a pickle of plain weights, or a folder in PEFT's layout.

    Raises:
        PolytalkError: damaged, or not for this transformer.
    """
    path = Path(path)
    tensors = Checkpoint.open(path)
    return read_lora(tensors, transformer, str(path), _peft_config(path, tensors.metadata))


def _peft_config(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """PEFT's configuration: beside the weights, or in their header as diffusers writes it."""
    folder = path if path.is_dir() else path.parent
    file = folder / "adapter_config.json"
    if file.is_file() and (path.is_dir() or path.stem == "adapter_model"):
        try:
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise PolytalkError(str(file), f"cannot be read ({error})", "Download the adapter again.") from None
    try:
        config = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        config = {}
    return (
        {key.removeprefix("transformer."): value for key, value in config.items()} if isinstance(config, dict) else {}
    )


def _split(name: str, source: str) -> tuple[str, str]:
    """A tensor's name -> the layer's, without prefixes, and the kind of tensor."""
    for kind, pattern in _KINDS:
        if pattern.search(name):
            return strip_prefixes(pattern.sub("", name)), kind
    for expression, method in _FOREIGN_METHODS:
        if re.search(expression, name):
            raise PolytalkError(source, f"tensor {name} is of the kind {method}", "Only plain LoRA files can be read.")
    if re.search(r"\.(_data|_scale|input_scale|output_scale|weight_scale)$|\.weight\._", name):
        problem = f"tensor {name} belongs to a whole quantised model, not to a LoRA"
        raise PolytalkError(source, problem, "Give the file as the model instead.")
    if name.endswith((".weight", ".bias", ".modulation")):
        problem = f"tensor {name} is a whole weight, not a low-rank difference"
        raise PolytalkError(source, problem, "Give a LoRA file here; whole models are loaded by their folder.")
    raise PolytalkError(source, f"tensor {name} is of no kind known in LoRA files", REMEDY)


def _read_target(
    result: LoraWeights,
    model: nn.Module,
    target: Target,
    path: str,
    parts: dict[str, _Found],
    config: Mapping[str, Any],
) -> None:
    """Enter what the file holds for one of its layers into `result`."""
    if target.is_parameter:
        _read_parameter(result, model, target.names[0], parts)
        return
    if DIFF_M in parts:
        _refuse(result.source, parts[DIFF_M], "is no modulation")
    for lone, partner in ((DOWN, UP), (UP, DOWN)):
        if lone in parts and partner not in parts:
            problem = f"tensor {parts[lone].name} has no partner"
            raise PolytalkError(result.source, problem, "The file is incomplete; download it again.")
    if ALPHA in parts and DOWN not in parts:
        result.ignored[parts[ALPHA].name] = "there is no low-rank pair that it scales"
        del parts[ALPHA]
        if not parts:
            return
    delta = _delta(result.source, path, parts, config)
    count = len(target.names)
    for number, name in enumerate(target.names):
        part = _share(delta, number, count, result.source, parts)
        module = model.get_submodule(name)
        offender = _misfit(module, part, parts)
        if name in result.layers:
            _refuse(result.source, next(iter(parts.values())), f"changes {name} a second time, under another name")
        if offender is None:
            result.layers[name] = part
        elif name == "patch_embedding" and layer_shape(module)[0] == _outputs(part):
            # text-to-video adapters; the released code, too, leaves their patch embedding out
            shape = tuple(offender.tensor.shape)
            reason = f"has shape {shape}: it is made for a network with another number of input channels"
            result.ignored.update(
                {parts[kind].name: reason for kind in (DOWN, UP, ALPHA, UP_BIAS, DIFF) if kind in parts}
            )
            if part.bias is not None and UP_BIAS not in parts:
                result.layers[name] = LayerDelta(bias=part.bias)
        else:
            _refuse(result.source, offender, _wrong_size(module, part))


def _read_parameter(result: LoraWeights, model: nn.Module, name: str, parts: dict[str, _Found]) -> None:
    wanted = model.get_parameter(name).shape
    for kind, found in parts.items():
        if kind not in (DIFF, DIFF_M):
            _refuse(result.source, found, "is not a difference of the modulation")
        if found.tensor.numel() != wanted.numel() or found.tensor.shape[-1] != wanted[-1]:
            _refuse(result.source, found, f"should have shape {tuple(wanted)}")
        result.parameters[name] = found.tensor.view(wanted)


def _delta(source: str, path: str, parts: dict[str, _Found], config: Mapping[str, Any]) -> LayerDelta:
    tensors: dict[str, Tensor] = {kind: found.tensor for kind, found in parts.items()}
    scaling = 1.0
    if DOWN in parts:
        down, up = tensors[DOWN], tensors[UP]
        if down.ndim < 2 or up.ndim < 2 or up.shape[1] != down.shape[0]:
            _refuse(source, parts[UP], f"does not fit {parts[DOWN].name} of shape {tuple(down.shape)}")
        scaling = _scaling(source, path, parts, config)
    bias = tensors.get(DIFF_B)
    if UP_BIAS in tensors:
        scaled = tensors[UP_BIAS] * scaling
        bias = scaled if bias is None else bias + scaled
    return LayerDelta(tensors.get(DOWN), tensors.get(UP), scaling, tensors.get(DIFF), bias)


def _scaling(source: str, path: str, parts: dict[str, _Found], config: Mapping[str, Any]) -> float:
    """alpha / r; for PEFT's rank-stabilised kind alpha / √r."""
    rank = parts[DOWN].tensor.shape[0]
    if ALPHA in parts:
        given = parts[ALPHA].tensor
        if given.numel() != 1 or not math.isfinite(float(given)):
            _refuse(source, parts[ALPHA], "is not one finite number")
        return float(given) / rank
    if config.get("use_dora"):
        raise PolytalkError(source, "its configuration says use_dora", "Only plain LoRA files can be read.")
    alpha = config.get("lora_alpha")
    for layer, own in (config.get("alpha_pattern") or {}).items():
        if f".{path}".endswith(f".{strip_prefixes(layer.lstrip('^'))}"):
            alpha = own
    if alpha is None:
        return 1.0
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _share(delta: LayerDelta, number: int, count: int, source: str, parts: dict[str, _Found]) -> LayerDelta:
    """The part of a joint layer's change that concerns one of the `count` layers we hold it in."""
    if count == 1:
        return delta
    split = {}
    for name in ("up", "weight", "bias"):
        tensor = getattr(delta, name)
        if tensor is not None:
            if tensor.shape[0] % count:
                _refuse(source, next(iter(parts.values())), f"does not fall into {count} parts")
            split[name] = tensor.chunk(count)[number]
    return replace(delta, **split)


def _misfit(module: nn.Module, delta: LayerDelta, parts: dict[str, _Found]) -> _Found | None:
    """The first tensor of the file that does not fit the layer."""
    shape = layer_shape(module)
    if delta.down is not None and delta.up is not None:
        if len(shape) < 2 or delta.down.shape[1:].numel() != shape[1:].numel():
            return parts[DOWN]
        if delta.up.shape[0] != shape[0] or delta.up.shape[2:].numel() != 1:
            return parts[UP]
    if delta.weight is not None and delta.weight.shape != shape:
        return parts[DIFF]
    biased = isinstance(module, nn.Linear) or getattr(module, "bias", None) is not None
    if delta.bias is not None and (not biased or delta.bias.shape != shape[:1]):
        return parts.get(DIFF_B, parts.get(UP_BIAS))
    return None


def layer_shape(module: nn.Module) -> torch.Size:
    """Shape of the layer's weight, also where it is stored packed."""
    if isinstance(module, nn.Linear):
        return torch.Size((module.out_features, module.in_features))
    weight: Any = module.weight
    return weight.shape


def _outputs(delta: LayerDelta) -> int:
    tensor = next(t for t in (delta.up, delta.weight, delta.bias) if t is not None)
    return tensor.shape[0]


def _wrong_size(module: nn.Module, delta: LayerDelta) -> str:
    theirs, ours = _outputs(delta), layer_shape(module)[0]
    if theirs == ours and delta.down is not None:
        theirs, ours = delta.down.shape[1], layer_shape(module)[-1]
    found = f" ({_KNOWN_WIDTHS[theirs]})" if theirs in _KNOWN_WIDTHS else ""
    wanted = f" ({_KNOWN_WIDTHS[ours]})" if ours in _KNOWN_WIDTHS else ""
    return f"is for a layer of width {theirs}{found}; this network's is {ours}{wanted}"


def _refuse(source: str, found: _Found, problem: str) -> None:
    raise PolytalkError(source, f"tensor {found.name} of shape {tuple(found.tensor.shape)} {problem}", REMEDY)
