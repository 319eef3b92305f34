"""Finished stages to a model folder that `MultiTalkPipeline.from_pretrained` loads.

``python -m polytalk.training.export --out src/polytalk/assets/mini``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from polytalk.assets import model_folder
from polytalk.config.index import ModelIndex
from polytalk.config.pipeline import PipelineConfig
from polytalk.pipeline.components.mini import MiniComponents
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.training.loop import load_weights
from polytalk.training.stages.autoencoder import build_autoencoder
from polytalk.training.stages.mini_network import MiniNetwork
from polytalk.training.stages.speech import SpeechConfig, SpeechToMouth


def assemble(autoencoder: Path, speech: Path, network: Path, config: PipelineConfig | None = None) -> MultiTalkPipeline:
    """The pipeline of three stages' weights, in float32; run as mini is if nothing else is said."""
    video, sound, learned = build_autoencoder(), SpeechToMouth(SpeechConfig()), MiniNetwork()
    parts: tuple[nn.Module, ...] = (video, sound, learned)
    for part, path in zip(parts, (autoencoder, speech, network), strict=True):
        load_weights(part, path)
        part.eval().requires_grad_(False)
    components = MiniComponents(learned.transformer, video, sound.encoder, learned.text_encoder, learned.image_encoder)
    return MultiTalkPipeline(components, config or ModelIndex.read(model_folder("mini")).config)


def halve(file: Path) -> None:
    """Rewrite a file's tensors in bfloat16, those too that run in float32: they were trained as bfloat16 copies."""
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    tensors = {name: value.to(torch.bfloat16) for name, value in load_file(file).items()}
    save_file(tensors, file, metadata)


def main() -> None:
    """Command line of the export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--autoencoder", type=Path, default=Path("runs/mini/autoencoder/model.safetensors"))
    parser.add_argument("--speech", type=Path, default=Path("runs/mini/speech/model.safetensors"))
    parser.add_argument("--network", type=Path, default=Path("runs/mini/distillation/model.safetensors"))
    parser.add_argument("--out", type=Path, default=Path("src/polytalk/assets/mini"))
    arguments = parser.parse_args()
    pipeline = assemble(arguments.autoencoder, arguments.speech, arguments.network)
    assert isinstance(pipeline.components, MiniComponents)
    pipeline.components.to(torch.device("cpu"), torch.bfloat16)
    pipeline.save_pretrained(arguments.out)
    for file in arguments.out.rglob("*.safetensors"):
        halve(file)
    size = sum(file.stat().st_size for file in arguments.out.rglob("*.safetensors"))
    print(f"{arguments.out}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
