"""What a model is made of, from its configurations and the headers of its files alone; no weight is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel, Wav2Vec2Config, Wav2Vec2Model

from polytalk.assets import INDEX_NAME, embedded_models, model_folder
from polytalk.checkpoints import names as official
from polytalk.checkpoints.checkpoint import SAFETENSORS, Checkpoint
from polytalk.checkpoints.layouts import HUB_ID, Layout, ModelLocation, layout_of, locate, only_model_in, read_json
from polytalk.checkpoints.names import diffusers_transformer_config
from polytalk.checkpoints.packed import is_quantized
from polytalk.checkpoints.wan import open_files, part_openers, run_config
from polytalk.config.index import ModelIndex
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.models.quantized import Int4Linear, Int8Linear
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.pipeline.components.mini import MINI_CLASSES
from polytalk.planning.cost import NetworkConfig, network_parameters
from polytalk.planning.model_sizes import ModelSizes
from polytalk.weights.download import fetch_configurations

BUILT_IN = "14B"
"""Name of the released model's description, for planning before it is downloaded."""
_CHANNELS = 36
"""Of an image-to-video network: noisy latent, mask and condition."""


def describe_model(model: str | Path, audio: str | Path | None = None, speech: str | Path | None = None) -> ModelSizes:
    """Sizes of a model: an embedded one, a folder, a hub id, or "14B" for the released one before it is there.

    Of what lies on the hub configurations alone are fetched.

    Args:
        model: as for `MultiTalkPipeline.from_pretrained`, or "14B".
        audio, speech: as there.

    Raises:
        PolytalkError: no such model, or a damaged or wrong file.
    """
    if str(model) == BUILT_IN:
        return _released()
    if str(model) in embedded_models():
        return _mini(str(model), model_folder(str(model)))
    if any(_is_on_hub(place) for place in (model, audio, speech)):
        return _unfetched(model, audio, speech)
    location = locate(model, audio, speech)
    if _is_mini(location):
        return _mini(str(model), location.root)
    files = open_files(location)
    parts = files.parts()
    with torch.device("meta"):
        network: Any = parts.pop("transformer").build()
    config, layers = network.config, {type(module) for module in network.blocks.modules()}
    shards = {files.transformer.tensors.file_of(name) for name in files.transformer.tensors}
    return ModelSizes(
        str(model),
        NetworkConfig.from_config(config),
        _own_keys(config),
        {name: part.build for name, part in parts.items()},
        files.config,
        max((Path(shard).stat().st_size for shard in shards), default=0),
        "int8" if Int8Linear in layers else "int4" if Int4Linear in layers else None,
    )


def _is_mini(location: ModelLocation) -> bool:
    return location.layout is Layout.OWN and "autoencoder" in ModelIndex.read(location.root).components


def _own_keys(config: Any) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not key.startswith("_")}


def _released() -> ModelSizes:
    """Wan2.1-I2V-14B with MultiTalk's audio branch and its encoders, as published."""
    return ModelSizes(
        BUILT_IN, NetworkConfig(), _complete({}), _released_parts(), PipelineConfig(batch_guidance=False), 5e9
    )


def _released_parts() -> dict[str, Callable[[], nn.Module]]:
    umt5, clip = official.text_encoder_config({}), official.image_encoder_config({})
    return {
        "vae": AutoencoderKLWan,
        "text_encoder": lambda: UMT5EncoderModel(umt5),
        "image_encoder": lambda: CLIPVisionModel(clip),
        "speech_encoder": lambda: Wav2Vec2Model(Wav2Vec2Config()),  # whose defaults are wav2vec2-base
    }


def _mini(name: str, folder: Path) -> ModelSizes:
    """A model of the embedded family."""
    transformer = _own_keys(read_json(folder / "transformer" / "config.json"))
    return ModelSizes(
        name,
        NetworkConfig.from_config(transformer),
        transformer,
        {part: _builder(MINI_CLASSES[part], folder / part) for part in MINI_CLASSES if part != "transformer"},
        ModelIndex.read(folder).config,
    )


def _builder(make: Callable[..., nn.Module], folder: Path) -> Callable[[], nn.Module]:
    """What builds a part from the `config.json` in its folder, given its keys by name."""
    config = _own_keys(read_json(folder / "config.json"))

    def build() -> nn.Module:
        try:
            return make(**config)
        except PolytalkError:
            raise
        except Exception as error:  # the libraries' validators have errors of their own
            problem = f"does not describe a model ({' '.join(str(error).split())[:200]})"
            raise PolytalkError(str(folder / "config.json"), problem, "Restore the file.") from error

    return build


def _is_on_hub(place: str | Path | None) -> bool:
    """Whether a name is that of a repository, and nothing here has it."""
    return isinstance(place, str) and HUB_ID.fullmatch(place) is not None and not Path(place).expanduser().exists()


def _unfetched(model: str | Path, audio: str | Path | None, speech: str | Path | None) -> ModelSizes:
    """A model of which something lies on the hub, described by configurations, and by the release where it has none."""
    root = Path(model).expanduser()
    sizes = {path.relative_to(root).as_posix(): path.stat().st_size for path in root.rglob(f"*{SAFETENSORS}")}
    is_here = root.is_dir()
    if not is_here:
        remote = fetch_configurations(str(model))
        root, sizes = remote.folder, dict(remote.sizes)
    root = only_model_in(root) if is_here and layout_of(root) is None else root
    layout = layout_of(root) or (Layout.RELEASED if (root / "config.json").is_file() else None)
    if layout is None:
        problem = f"{model} is neither Wan2.1's folder (released or Diffusers layout) nor one of save_pretrained"
        raise PolytalkError("model", problem, f"It should hold {INDEX_NAME}, or Wan2.1's config.json.")
    location = ModelLocation(layout, root, str(model))
    if _is_mini(location):
        return _mini(str(model), root)
    parts = _released_parts()
    if layout is Layout.RELEASED and is_here:
        parts |= {name: part_openers(location)[name]().build for name in ("vae", "text_encoder", "image_encoder")}
    if layout is not Layout.RELEASED:
        parts |= {name: _builder(make, root / name) for name, make in _LIBRARY_PARTS.items()}
    heard = root / "speech_encoder" if layout is Layout.OWN else _speech_folder(speech)
    if heard is not None:
        parts["speech_encoder"] = _builder(_wav2vec2, heard)
    transformer = _complete(_transformer_sizes(location, heard))
    network = NetworkConfig.from_config(transformer)
    folder = "" if layout is Layout.RELEASED else "transformer/"
    shards = [
        size for path, size in sizes.items() if path.startswith(f"{folder}diffusion_") and path.endswith(SAFETENSORS)
    ]
    stored = _stored_as(network, sum(shards)) if layout is Layout.OWN else None
    if audio is not None and Path(audio).is_file() and is_quantized(Checkpoint.open(audio)):
        stored = "int8"  # the whole network, as MultiTalk publishes it
    return ModelSizes(
        str(model), network, transformer, parts, run_config(location), float(max(shards, default=0)), stored
    )


def _wav2vec2(**config: Any) -> nn.Module:
    return Wav2Vec2Model(Wav2Vec2Config.from_dict(config))


_LIBRARY_PARTS: dict[str, Callable[..., nn.Module]] = {
    "vae": lambda **config: AutoencoderKLWan.from_config(config),
    "text_encoder": lambda **config: UMT5EncoderModel(UMT5Config.from_dict(config)),
    "image_encoder": lambda **config: CLIPVisionModel(CLIPVisionConfig.from_dict(config)),
}
"""What diffusers and transformers build from a `config.json`."""


def _speech_folder(speech: str | Path | None) -> Path | None:
    """Where the speech encoder's configuration is; None is the release's."""
    if speech is None:
        return None
    return fetch_configurations(str(speech), "speech").folder if _is_on_hub(speech) else Path(speech).expanduser()


def _transformer_sizes(location: ModelLocation, heard: Path | None) -> dict[str, Any]:
    """What the base network's configuration says, in our names; the audio branch is the release's."""
    path = location.root / ("" if location.layout is Layout.RELEASED else "transformer") / "config.json"
    config = read_json(path)
    if location.layout is Layout.OWN:
        return _own_keys(config)
    if location.layout is Layout.DIFFUSERS:
        names = {entry.name for entry in fields(NetworkConfig)}
        sizes = {name: config[name] for name in names & set(config)} | diffusers_transformer_config(config, str(path))
    else:
        sizes = official.transformer_config(config)
    if sizes.get("in_channels") != _CHANNELS:
        problem = f"it reads {sizes.get('in_channels')} channels: no image-to-video model of Wan2.1"
        raise PolytalkError(str(path), problem, "MultiTalk needs Wan2.1-I2V-14B-480P or -720P.")
    if heard is not None:
        speech = read_json(heard / "config.json")
        known = {"num_hidden_layers": "audio_layers", "hidden_size": "audio_channels"}
        sizes |= {ours: speech[theirs] for theirs, ours in known.items() if theirs in speech}
    return sizes


def _complete(sizes: dict[str, Any]) -> dict[str, Any]:
    """All that a transformer is built from, where some is given."""
    with torch.device("meta"):
        config: Any = MultiTalkTransformer3DModel(**{**sizes, "num_layers": 1}).config
    return {**_own_keys(config), "num_layers": sizes.get("num_layers", NetworkConfig().num_layers)}


def _stored_as(network: NetworkConfig, num_bytes: int) -> str | None:
    """Number format of the blocks' weights, told from what the transformer's files weigh: None is a plain one."""
    parameters, schemes = network_parameters(network), (None, "int8", "int4")
    if not num_bytes:
        return None
    return min(schemes, key=lambda scheme: abs(math.log(parameters.bytes(quantization=scheme) / num_bytes)))
