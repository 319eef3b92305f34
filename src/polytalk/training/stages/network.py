"""Stage "network": the transformer learns to move what the voices move (MultiTalk, arXiv 2505.22647, section 3.4).

The first phases show one person, later ones several; all mix sound-and-picture-to-video with picture-to-video without
sound. What each phase brought is in docs/training.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from polytalk.models.mini.autoencoder import MiniAutoencoder
from polytalk.models.mini.encoders import MiniSpeechEncoder, MiniTextEncoder
from polytalk.pipeline.components.mini import MiniComponents
from polytalk.training.latents import LatentPool
from polytalk.training.loop import Loop, load_weights, save_weights
from polytalk.training.stages.autoencoder import build_autoencoder
from polytalk.training.stages.clip_loss import ClipLoss
from polytalk.training.stages.mini_network import MiniNetwork, NetworkStageConfig, TaskConfig
from polytalk.training.stages.speech import SpeechConfig, SpeechToMouth


class Mixture:
    """Batches of several pools, each drawn as often as its task's weight says."""

    def __init__(
        self, tasks: Sequence[TaskConfig], autoencoder: MiniAutoencoder, speech: MiniSpeechEncoder,
        text: MiniTextEncoder,
    ) -> None:  # fmt: skip
        self.tasks = tasks
        self.pools = [LatentPool(task.pool, autoencoder, speech, text) for task in tasks]
        self.shares = torch.tensor([task.weight for task in tasks])

    def draw(self, generator: torch.Generator) -> dict[str, Tensor]:
        """One batch, all of one pool (see `LatentPool.batch`)."""
        choice = int(torch.multinomial(self.shares, 1, generator=generator))
        return self.pools[choice].draw(self.tasks[choice].batch, generator)


def compile_blocks(model: MiniNetwork) -> None:
    """Compile the transformer's blocks, a graph for every size and task."""
    torch.compiler.config.recompile_limit = max(64, torch.compiler.config.recompile_limit)
    for block in model.transformer.blocks:
        block.compile(dynamic=False)


def load_parts(config: NetworkStageConfig) -> tuple[MiniAutoencoder, MiniSpeechEncoder, SpeechToMouth]:
    """The frozen parts, finished by earlier stages."""
    autoencoder = build_autoencoder()
    load_weights(autoencoder, Path(config.autoencoder))
    speech = SpeechToMouth(SpeechConfig())
    load_weights(speech, Path(config.speech))
    half = autoencoder.to(torch.bfloat16).to(memory_format=torch.channels_last).eval()
    return half, speech.encoder.eval(), speech


Validate = Callable[[MiniComponents, int], Mapping[str, float]]
"""Figures of a network, of so many scenes of each kind."""


def train(config: NetworkStageConfig, validate: Validate | None = None) -> Path:
    """Run the stage; returns the file of the finished weights: `MiniNetwork`, float32 safetensors.

    Args:
        config: see `NetworkStageConfig`.
        validate: called with the averaged weights every `loop.validate_every` steps.
    """
    autoencoder, encoder, speech = load_parts(config)
    torch.manual_seed(config.loop.seed)
    model = MiniNetwork()
    model.transformer.audio_adapter.load_state_dict(speech.adapter.state_dict(), strict=False)
    init = Path(config.init) if config.init else None
    loop = Loop(model, Path(config.out), config.loop, init, torch.bfloat16, ("transformer.audio_adapter.pose_",))
    worker = loop.worker
    assert isinstance(worker, MiniNetwork)
    if config.compile:
        compile_blocks(worker)
    mixture = Mixture(config.tasks, autoencoder, encoder, model.text_encoder)
    clip_loss = ClipLoss(config, autoencoder)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        start, end = config.true_labels
        share = start + (end - start) * min(1.0, step / max(1.0, config.anneal * config.loop.steps))
        return clip_loss(worker, mixture.draw(generator), share, generator)

    def figures(ema: nn.Module, step: int) -> Mapping[str, float]:
        assert isinstance(ema, MiniNetwork)
        assert validate is not None
        parts = (ema.transformer, autoencoder.float(), encoder, ema.text_encoder, ema.image_encoder)
        return validate(MiniComponents(*parts), config.validation_scenes)

    loop.run(loss, figures if validate else None, "network")
    return save_finished(loop)


def save_finished(loop: Loop) -> Path:
    """Write the weights as they are, to go on from, and their average, which is used; the file of the latter."""
    save_weights(loop.module, loop.out / "raw.safetensors")
    weights = loop.out / "model.safetensors"
    save_weights(loop.ema, weights)
    return weights
