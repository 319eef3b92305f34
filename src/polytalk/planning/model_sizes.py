"""What a model is made of, from its configurations and the headers of its files alone; no weight is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import nn
from transformers import CLIPVisionModel, UMT5EncoderModel, Wav2Vec2Config, Wav2Vec2Model

from polytalk.assets import EMBEDDED, embedded_models
from polytalk.checkpoints import released_names as official
from polytalk.checkpoints.layouts import Layout, locate, read_json
from polytalk.checkpoints.wan import open_files
from polytalk.config.index import ModelIndex
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.models.quantized import Int4Linear, Int8Linear
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.pipeline.components.mini import MINI_CLASSES
from polytalk.planning.cost import NetworkConfig

BUILT_IN = "14B"
"""Name of the released model's description, for planning before it is downloaded."""


@dataclass(frozen=True)
class ModelSizes:
    """A model's networks, not built, and how it wants to be run."""

    name: str
    """What the user called it."""
    network: NetworkConfig
    """Sizes of the transformer."""
    transformer_config: dict[str, Any]
    """All that the transformer is built from."""
    builders: dict[str, Callable[[], nn.Module]]
    """Component -> what builds it, the transformer apart."""
    config: PipelineConfig
    """The model's defaults."""
    largest_shard: float = 0.0
    """Bytes of the largest weight file; 0 when not known."""
    quantization: str | None = None
    """Number format of the blocks' weights in the files, "int8" or "int4"; None is the run's."""

    @property
    def is_mini(self) -> bool:
        """Whether the parts are the embedded model's, which know no tiling and stay on their device."""
        return "autoencoder" in self.builders

    @property
    def encodes_whole_clips(self) -> bool:
        """Whether the condition is a whole clip, grey where nothing is known, and not just the frames known."""
        return self.config.fill_condition == "zero"

    def build_transformer(self, num_layers: int | None = None) -> MultiTalkTransformer3DModel:
        """The transformer, or one with fewer blocks."""
        changes = {} if num_layers is None else {"num_layers": num_layers}
        return MultiTalkTransformer3DModel(**{**self.transformer_config, **changes})

    def part_bytes(self, name: str, dtype: torch.dtype) -> float:
        """Bytes of a component's weights in a number format."""
        return float(self._counts[name][0] * dtype.itemsize)

    def largest_layer_bytes(self, name: str, dtype: torch.dtype) -> float:
        """Bytes of a component's largest tensor."""
        return float(self._counts[name][1] * dtype.itemsize)

    @cached_property
    def _counts(self) -> dict[str, tuple[int, int]]:
        """Component -> numbers in all its tensors, and in the largest."""
        counts = {}
        for name, build in self.builders.items():
            with torch.device("meta"):
                part = build()
            sizes = [tensor.numel() for tensor in (*part.parameters(), *part.buffers())]
            counts[name] = (sum(sizes), max(sizes))
        return counts


def describe_model(model: str | Path, audio: str | Path | None = None, speech: str | Path | None = None) -> ModelSizes:
    """Sizes of a model: an embedded one, a folder, a hub id, or "14B" for the released one before it is there.

    Args:
        model: as for `MultiTalkPipeline.from_pretrained`, or "14B".
        audio, speech: as there.

    Raises:
        PolytalkError: no such model, or a damaged or wrong file.
    """
    if str(model) == BUILT_IN:
        return _released()
    if str(model) in embedded_models():
        return _mini(str(model), EMBEDDED / str(model))
    location = locate(model, audio, speech)
    if location.layout is Layout.OWN and "autoencoder" in ModelIndex.read(location.root).components:
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


def _own_keys(config: Any) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not key.startswith("_")}


def _released() -> ModelSizes:
    """Wan2.1-I2V-14B with MultiTalk's audio branch and its encoders, as published."""
    with torch.device("meta"):
        config: Any = MultiTalkTransformer3DModel(num_layers=1).config
    umt5, clip = official.text_encoder_config({}), official.image_encoder_config({})
    builders: dict[str, Callable[[], nn.Module]] = {
        "vae": AutoencoderKLWan,
        "text_encoder": lambda: UMT5EncoderModel(umt5),
        "image_encoder": lambda: CLIPVisionModel(clip),
        "speech_encoder": lambda: Wav2Vec2Model(Wav2Vec2Config()),  # whose defaults are wav2vec2-base
    }
    return ModelSizes(
        BUILT_IN,
        NetworkConfig(),
        {**_own_keys(config), "num_layers": NetworkConfig().num_layers},
        builders,
        PipelineConfig(batch_guidance=False),
        5e9,
    )


def _mini(name: str, folder: Path) -> ModelSizes:
    """A model of the embedded family."""
    configs = {part: _own_keys(read_json(folder / part / "config.json")) for part in MINI_CLASSES}
    transformer = configs.pop("transformer")

    def builder(part: str) -> Callable[[], nn.Module]:
        def build() -> nn.Module:
            try:
                return MINI_CLASSES[part](**configs[part])
            except TypeError as error:
                path = str(folder / part / "config.json")
                raise PolytalkError(path, f"does not describe a model ({error})", "Restore the file.") from error

        return build

    return ModelSizes(
        name,
        NetworkConfig.from_config(transformer),
        transformer,
        {part: builder(part) for part in configs},
        ModelIndex.read(folder).config,
    )
