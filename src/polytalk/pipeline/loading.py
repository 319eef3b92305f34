"""From a model's name to its networks and settings."""

from __future__ import annotations

from pathlib import Path

import torch

from polytalk.assets import embedded_models, model_folder
from polytalk.checkpoints.layouts import Layout, ModelLocation, locate
from polytalk.checkpoints.wan import WAN_CLASSES, open_files
from polytalk.config.index import ModelIndex
from polytalk.config.options import LoadOptions
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.models.components import Components
from polytalk.pipeline.components import wan
from polytalk.pipeline.components.mini import load_mini


def locate_model(model: str | Path, audio: str | Path | None, speech: str | Path | None) -> ModelLocation:
    """A model's files; a name of an embedded one goes before a folder of that name."""
    if str(model) in embedded_models():
        return ModelLocation(Layout.OWN, model_folder(str(model)), str(model))
    try:
        return locate(model, audio, speech)
    except PolytalkError as error:
        if error.field != "model":
            raise
        raise PolytalkError(
            "model", error.problem, f"{error.remedy} Embedded here: {', '.join(embedded_models()) or 'none'}."
        ) from error


def load_components(
    location: ModelLocation, device: torch.device, dtype: torch.dtype, options: LoadOptions | None
) -> tuple[Components, PipelineConfig]:
    """Components of whichever family the files are, with what `options` ask for applied."""
    if options is not None and options.offload == "stream" and options.quantization is not None:
        problem = "blocks that are streamed from disk cannot be converted on the way"
        remedy = "Write them in that format first, with `polytalk weights convert`; it is recognised then."
        raise PolytalkError("quantization", problem, remedy)
    components: Components
    index = ModelIndex.read(location.root) if location.layout is Layout.OWN else None
    if index is not None and index.components != WAN_CLASSES:
        components, config = load_mini(location.root, index.components, device, dtype, options), index.config
    else:
        files = open_files(location)
        components, config = wan.load_components(files, device, dtype, options), files.config
    if options is not None:
        from polytalk.acceleration.apply import apply_options

        components = apply_options(components, options, device)
    return components, config
