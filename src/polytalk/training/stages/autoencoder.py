"""Stage "autoencoder": video in, the same video out through 16 channels at 1/8 of the resolution."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from polytalk.errors import PolytalkError
from polytalk.models.mini.autoencoder import MiniAutoencoder
from polytalk.training.loop import Loop, LoopConfig, load_weights, save_weights
from polytalk.training.photographs import Photographs
from polytalk.training.pool import PixelPool, PoolConfig


@dataclass(frozen=True)
class AutoencoderConfig:
    """Stage "autoencoder"."""

    out: str = "runs/autoencoder"
    """Folder of checkpoints, log and weights."""
    init: str | None = None
    """Weights to go on from."""
    pool: PoolConfig = field(default_factory=PoolConfig)
    """Drawn clips."""
    photographs: tuple[str, ...] = ()
    """Folders of pictures besides scikit-image's own."""
    photograph_share: float = 0.4
    """Share of clips that are photographs with a slow camera move."""
    batch: int = 8
    """Clips per step."""
    size: int = 128
    """Side of the square crops, pixels."""
    frames: int = 9
    """Frames per clip, 4n+1."""
    latent_noise: float = 0.06
    """Deviation of the noise added to latents, so that the decoder forgives small errors of the network."""
    face_weight: float = 2.0
    """Weight of faces in the loss; the background has 1."""
    mouth_weight: float = 6.0
    """Weight of mouths in the loss."""
    at_mouth: float = 0.0
    """Share of the drawn crops that are placed where a mouth is."""
    change_weight: float = 0.0
    """Weight of the error of differences from frame to frame."""
    anchor_weight: float = 0.0
    """Weight of the squared distance of the latents to those of ``init``, so that a network trained on those can go on
    from where it is. Their statistics stay."""
    decoder_only: bool = False
    """Leave the encoder as it is, so that a network trained on its latents stays valid."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """See `LoopConfig`."""


def build_autoencoder() -> MiniAutoencoder:
    """The autoencoder at mini's size."""
    return MiniAutoencoder(encoder_blocks=(2, 2), decoder_blocks=(3, 3))


def gradients(video: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the right and lower neighbours of (..., H, W)."""
    return video[..., 1:] - video[..., :-1], video[..., 1:, :] - video[..., :-1, :]


def autoencoder_loss(
    model: MiniAutoencoder, video: Tensor, weight: Tensor, config: AutoencoderConfig, generator: torch.Generator,
    anchor: MiniAutoencoder | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Absolute and squared error, errors of gradients and changes, and a pull of the latents towards unit deviation.

    Args:
        model: is trained.
        video: (B, 3, T, H, W) in -1..1.
        weight: (B, 1, T, H, W), larger on faces and mouths.
        config: weights of the parts.
        generator: of the noise on latents.
        anchor: to whose latents the model's are held.
    """
    device = "cuda" if video.is_cuda else "cpu"
    with torch.autocast(device, torch.bfloat16):
        latents = model.encode_raw(video)
        disturbed = latents + config.latent_noise * torch.randn(latents.shape, generator=generator).to(latents)
        decoded = model.decode_raw(disturbed).float()
    error = decoded - video
    weight = weight / weight.mean()
    absolute = (error.abs() * weight).mean()
    squared = (error.square() * weight).mean()
    across, down = gradients(error)
    edges = (across.abs() * weight[..., 1:]).mean() + (down.abs() * weight[..., 1:, :]).mean()
    latents = latents.float()
    mean, deviation = latents.mean(dim=(0, 2, 3, 4)), latents.std(dim=(0, 2, 3, 4))
    pull = (mean.square() + (deviation - 1).square()).mean()
    loss = absolute + 4 * squared + 0.5 * edges + 0.02 * pull
    if config.change_weight:
        change = ((error[:, :, 1:] - error[:, :, :-1]).abs() * weight[:, :, 1:]).mean()
        loss = loss + config.change_weight * change
    figures = {"absolute": absolute, "edges": edges, "pull": pull}
    if anchor is not None:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            before = anchor.encode_raw(video).float()
        figures["moved"] = ((latents - before).square()).mean()
        loss = loss + config.anchor_weight * figures["moved"]
    psnr = -10 * torch.log10(error.detach().square().mean() / 4)
    return {"loss": loss, **figures, "psnr": psnr}


def set_latent_statistics(model: MiniAutoencoder, videos: list[Tensor]) -> None:
    """Measure mean and deviation of every latent channel and keep them with the weights."""
    with torch.no_grad():
        raw = torch.cat([model.encode_raw(v).transpose(0, 1).flatten(1) for v in videos], dim=1).float()
    model.latents_mean.copy_(raw.mean(dim=1))
    model.latents_std.copy_(raw.std(dim=1))


def train(config: AutoencoderConfig) -> Path:
    """Run the stage; returns the file of the finished weights (float32 safetensors)."""
    torch.manual_seed(config.loop.seed)
    model = build_autoencoder().to(memory_format=torch.channels_last)
    pool = PixelPool(config.pool)
    photographs = Photographs(config.photographs)
    rng = np.random.default_rng(config.loop.seed)
    if config.init is None:
        model.start_from_components(torch.cat([draw_batch(config, pool, photographs, rng)[0] for _ in range(12)]))
    if config.decoder_only:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(("decoder", "linear_out")))
    anchor = None
    if config.anchor_weight:
        if config.init is None:
            raise PolytalkError("anchor_weight", "there is no init", "Give init, whose latents are to be kept.")
        anchor = build_autoencoder().to(memory_format=torch.channels_last).requires_grad_(False)
        load_weights(anchor, Path(config.init))
    loop = Loop(model, Path(config.out), config.loop, Path(config.init) if config.init else None)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        video, weight = draw_batch(config, pool, photographs, rng)
        return autoencoder_loss(model, video, weight, config, generator, anchor)

    def validate(ema: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(ema, MiniAutoencoder)
        return {name: psnr(ema, video) for name, video in validation_videos(config, pool, photographs).items()}

    loop.run(loss, validate, "autoencoder")
    if not config.decoder_only and anchor is None:
        assert isinstance(loop.ema, MiniAutoencoder)
        set_latent_statistics(loop.ema, [draw_batch(config, pool, photographs, rng)[0] for _ in range(16)])
    weights = Path(config.out) / "model.safetensors"
    save_weights(loop.ema, weights)
    return weights


def psnr(model: MiniAutoencoder, video: Tensor) -> float:
    """PSNR in dB of one video (B, 3, T, H, W) in -1..1 through the autoencoder, as 8-bit pixels."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        decoded = model.decode_raw(model.encode_raw(video)).float().clamp(-1, 1)
    return float(-10 * torch.log10(((decoded - video) / 2).square().mean()))


def draw_batch(
    config: AutoencoderConfig, pool: PixelPool, photographs: Photographs, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Clips (B, 3, T, S, S) in -1..1 and weights (B, 1, T, S, S): drawn scenes and moving photographs."""
    videos, weights = [], []
    for _ in range(config.batch):
        if len(pool) == 0 or rng.random() < config.photograph_share:
            frames = photographs.clip(rng, config.frames, config.size)
            weight = np.ones(frames.shape[:3], np.float32)
        else:
            weights_of = (config.face_weight, config.mouth_weight)
            frames, weight = pool.crop(rng, config.frames, config.size, *weights_of, at_mouth=config.at_mouth)
        videos.append(frames)
        weights.append(weight)
    video = torch.from_numpy(np.stack(videos)).permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1)
    return video, torch.from_numpy(np.stack(weights)).unsqueeze(1)


def validation_videos(config: AutoencoderConfig, pool: PixelPool, photographs: Photographs) -> dict[str, Tensor]:
    """One fixed batch of each kind."""
    rng = np.random.default_rng(10**9)
    photos = np.stack([photographs.clip(rng, config.frames, config.size) for _ in range(8)])
    kinds = {"photographs_psnr": photos}
    if len(pool):
        kinds["drawn_psnr"] = np.stack([pool.crop(rng, config.frames, config.size)[0] for _ in range(8)])
    return {n: torch.from_numpy(v).permute(0, 4, 1, 2, 3).float().div(127.5).sub(1) for n, v in kinds.items()}
