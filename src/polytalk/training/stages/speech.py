"""Stage "speech": the speech encoder and the audio adapter learn what sound has to do with mouths, before any video.

Targets are exact: opening, width and rounding per frame, read off the features and off the adapter's tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from polytalk.conditioning.speech import SpeechFeatures
from polytalk.models.audio_adapter import AudioAdapter
from polytalk.models.mini.encoders import MiniSpeechEncoder
from polytalk.synthetic.speech.bank import SpeechBank
from polytalk.synthetic.speech.conversation import draw_conversation
from polytalk.training.latents import standardised
from polytalk.training.loop import Loop, LoopConfig, save_weights


@dataclass(frozen=True)
class SpeechConfig:
    """Stage "speech"."""

    out: str = "runs/speech"
    """Folder of checkpoints, log and weights."""
    init: str | None = None
    """Weights to go on from."""
    voices: str = "runs/voices"
    """Folder of the speech bank."""
    batch: int = 16
    """Conversations per step; each gives one track per person."""
    people: int = 2
    """People in a conversation."""
    frames: int = 49
    """Frames per track, 4n+1."""
    tokens: int = 8
    """Audio tokens per latent frame."""
    hidden_dim: int = 192
    """Width inside the audio adapter."""
    output_dim: int = 128
    """Width of the audio tokens."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """See `LoopConfig`."""


class SpeechToMouth(nn.Module):
    """Encoder, adapter and the two readers that only this stage needs."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.encoder = MiniSpeechEncoder()
        layers, channels = self.encoder.config.layers, self.encoder.config.channels
        self.adapter = AudioAdapter(
            layers, channels, hidden_dim=config.hidden_dim, tokens=config.tokens, output_dim=config.output_dim
        )
        self.frame_reader = nn.Linear(layers * channels, 3)
        self.token_reader = nn.Linear(config.tokens * config.output_dim, 4 * 3)

    def forward(self, samples: Tensor, num_frames: int) -> tuple[Tensor, Tensor]:
        """Mouths (B, T, 3) read from features and from tokens; samples (B, n) as `MiniSpeechEncoder` wants them."""
        features = self.encoder(samples, num_frames)
        windows = SpeechFeatures(features).clip().unsqueeze(1)
        tokens = self.adapter(windows).squeeze(2).flatten(2)
        read = self.token_reader(tokens).unflatten(-1, (4, 3)).flatten(1, 2)[:, 3:]
        return self.frame_reader(features.flatten(2)), read


def mouth_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Squared error of opening, width and rounding; the opening counts three times, shapes only while open."""
    weight = torch.cat(
        [torch.full_like(true[..., :1], 3.0), (true[..., :1] > 0.02).float().expand_as(true[..., 1:])], -1
    )
    return ((predicted.float() - true).square() * weight).mean()


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson correlation over all elements."""
    a, b = first.flatten() - first.mean(), second.flatten() - second.mean()
    return (a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-6)


def draw_tracks(bank: SpeechBank, config: SpeechConfig, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Samples (B, n) and mouths (B, T, 3) of random conversations."""
    samples, mouths = [], []
    for _ in range(config.batch):
        talk = draw_conversation(bank, rng, config.people, config.frames, bool(rng.random() < 0.5))
        gain = 10 ** (rng.uniform(-6, 6, (config.people, 1)) / 20)
        samples.append(standardised(talk.audio) * gain)
        mouths.append(talk.mouth)
    return torch.from_numpy(np.concatenate(samples)).float(), torch.from_numpy(np.concatenate(mouths)).float()


def train(config: SpeechConfig) -> Path:
    """Run the stage; returns the file of the finished weights: `SpeechToMouth`, float32 safetensors."""
    bank, held_out = (SpeechBank(config.voices, held_out=kept) for kept in (False, True))
    model = SpeechToMouth(config)
    loop = Loop(model, Path(config.out), config.loop, Path(config.init) if config.init else None)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        samples, mouth = draw_tracks(bank, config, rng)
        with torch.autocast("cpu", torch.bfloat16):
            by_frame, by_token = model(samples, config.frames)
        total = mouth_loss(by_frame, mouth) + mouth_loss(by_token, mouth)
        return {"loss": total, "opening": correlation(by_token[..., 0].detach().float(), mouth[..., 0])}

    def validate(ema: nn.Module, step: int) -> dict[str, float]:
        rng = np.random.default_rng(10**9)
        with torch.no_grad():
            samples, mouth = draw_tracks(held_out, config, rng)
            _, read = ema(samples, config.frames)
        names = ("opening", "width", "rounding")
        spoken = mouth[..., 0] > 0
        return {name: float(correlation(read[..., i][spoken], mouth[..., i][spoken])) for i, name in enumerate(names)}

    loop.run(loss, validate, "speech")
    weights = Path(config.out) / "model.safetensors"
    save_weights(loop.ema, weights)
    return weights
