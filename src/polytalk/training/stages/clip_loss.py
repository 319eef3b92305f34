"""Losses of one batch of clips: of the clean latents, of what is decoded of them, and of the reference maps."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from polytalk.models.mini.autoencoder import MiniAutoencoder
from polytalk.training.decoded import DecodedFaces
from polytalk.training.latents import EYES, FACE, MARGIN, MOUTH
from polytalk.training.stages.mini_network import Conditions, MiniNetwork, NetworkStageConfig, predict


def alike(values: Tensor, twins: bool) -> Tensor:
    """Random values (B, ...), of twins the same for both of a pair."""
    return values[: len(values) // 2].repeat_interleave(2, dim=0) if twins else values


def sample_sigmas(count: int, shift: float, generator: torch.Generator) -> Tensor:
    """Noise levels (count,): stratified uniform, moved towards 1 by the sampler's shift."""
    uniform = (torch.rand(count, generator=generator) + torch.randperm(count, generator=generator)) / count
    return (shift * uniform / (1 + (shift - 1) * uniform)).clamp(0.02, 1.0)


def noised(clean: Tensor, sigma: Tensor, generator: torch.Generator, twins: bool = False) -> Tensor:
    """Latents (B, C, F, h, w) at noise levels (B,)."""
    level = sigma.view(-1, 1, 1, 1, 1)
    return (1 - level) * clean + level * alike(torch.randn(clean.shape, generator=generator), twins)


def windows(features: Tensor) -> Tensor:
    """Features (B, P, T+4, layers, channels) with margins to windows (B, P, T, 5, layers, channels)."""
    return features.unfold(2, 2 * MARGIN + 1, 1).movedim(-1, 3)


class ClipLoss:
    """Losses of one batch of a latent pool."""

    def __init__(self, config: NetworkStageConfig, autoencoder: MiniAutoencoder | None = None) -> None:
        self.config = config
        self.channels = torch.ones(16)
        """Weights of the latents' channels, 1 on average."""
        if config.channel_power and autoencoder is not None:
            self.channels = channel_effects(autoencoder) ** config.channel_power
            self.channels = self.channels / self.channels.mean()
        self.decoded = None
        if config.decoded_weight and autoencoder is not None:
            self.decoded = DecodedFaces(autoencoder, config.decoded_eyes)

    def __call__(
        self, model: MiniNetwork, batch: dict[str, Tensor], true_share: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Weighted squared error of the clean latent, and the cross-entropy of one block's reference map."""
        config, twins = self.config, "twins" in batch
        size = len(batch["latents"])
        sigma = alike(sample_sigmas(size, config.shift, generator), twins)
        known = alike(self.known_frames(size, batch["latents"].shape[2], generator), twins)
        clean = batch["latents"].float()
        conditions = self.conditions(model, batch, true_share, generator)
        error = None
        if torch.rand((), generator=generator) < config.own_wear:
            high = alike(0.6 + 0.4 * torch.rand(size, generator=generator), twins)
            worn = self.inputs(batch, noised(clean, high, generator, twins), torch.ones_like(known), generator)
            # with gradients on: the same compiled graph
            error = predict(model, worn, high, conditions)[0].detach() - clean
        inputs = self.inputs(batch, noised(clean, sigma, generator, twins), known, generator, error)
        return self.compare(model, inputs, clean, batch, sigma, known, conditions, generator)

    def compare(
        self, model: MiniNetwork, inputs: Tensor, wanted: Tensor, batch: dict[str, Tensor], sigma: Tensor,
        known: Tensor, conditions: Conditions, generator: torch.Generator,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Losses of a prediction against the latents wanted, and of one random block's reference map."""
        maps = []
        if conditions.masks is not None:
            maps = [int(torch.randint(len(model.transformer.blocks), (), generator=generator))]
        predicted, reference_maps = predict(model, inputs, sigma, conditions, maps)
        losses = self.errors(predicted, wanted, batch, sigma, known)
        if self.decoded is not None:
            is_known = torch.arange(wanted.shape[2]) < known[:, None]
            seen = torch.where(is_known[:, None, :, None, None], wanted, predicted)
            error = self.decoded(seen, wanted, batch["flags"], generator) / sigma.clamp(min=0.3)
            losses["decoded"] = error.mean()
            losses["loss"] = losses["loss"] + self.config.decoded_weight * losses["decoded"]
        if maps:
            losses["map"] = map_loss(reference_maps[0], batch["classes"].long())
            losses["loss"] = losses["loss"] + self.config.map_weight * losses["map"]
        return losses

    def conditions(
        self, model: MiniNetwork, batch: dict[str, Tensor], true_share: float, generator: torch.Generator
    ) -> Conditions:
        """What the network is told of a batch; prompts, what people do, and now and then all sound, are dropped."""
        config, dtype, twins = self.config, model.transformer.dtype, "twins" in batch
        ids = batch["ids"].long()
        size, people = len(ids), batch["masks"].shape[1]
        dropped = alike(torch.rand(size, generator=generator) < config.drop_text, twins)
        ids = torch.where(dropped[:, None, None], model.text_encoder.tokenize([""]), ids)
        picture = batch["picture"].permute(0, 3, 1, 2).to(dtype).div(127.5).sub(1)
        text, image = model.text_encoder(ids), model.image_encoder(picture)
        is_told = alike(torch.rand(size, generator=generator) >= config.drop_pose, twins)
        pose = (batch["pose"] * is_told.view(-1, 1, 1, 1)).to(dtype)
        audio = windows(batch["features"].to(dtype))
        if torch.rand((), generator=generator) < config.drop_audio:
            audio = torch.zeros_like(audio)
        if people == 1:
            return Conditions(text, image, audio, pose)
        use_true = alike(torch.rand(size, generator=generator) < true_share, twins)
        labels = torch.where(use_true[:, None, None, None], batch["classes"].long(), -1)
        return Conditions(text, image, audio, pose, batch["masks"], labels)

    def known_frames(self, size: int, frames: int, generator: torch.Generator) -> Tensor:
        """Latent frames (B,) that are known at a clip's beginning."""
        shares = torch.tensor(self.config.motion_frames[: frames - 1])
        return 1 + torch.multinomial(shares, size, replacement=True, generator=generator)

    def inputs(
        self, batch: dict[str, Tensor], noisy: Tensor, known: Tensor, generator: torch.Generator,
        error: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Network input (B, 36, F, h, w): noisy latent, mask, condition latent; ``error`` is the network's own."""
        config = self.config
        clean = batch["latents"].float()
        size, _, frames, height, width = clean.shape
        is_known = (torch.arange(frames) < known[:, None]).view(size, 1, frames, 1, 1)
        shown = _shown(batch)
        twins = "twins" in batch
        filled = alike(torch.rand(size, generator=generator) >= config.drop_fill, twins).view(-1, 1, 1, 1, 1)
        worn = torch.where((known > 1).view(-1, 1, 1, 1, 1), self._wear(clean, known, generator, error, twins), clean)
        condition = torch.where(is_known, worn, shown * filled)
        mask = is_known.float().expand(-1, 4, -1, height, width)
        return torch.cat([noisy, mask, condition], dim=1)

    def _wear(
        self, clean: Tensor, known: Tensor, generator: torch.Generator, error: Tensor | None, twins: bool
    ) -> Tensor:
        """Latents (B, C, F, h, w) as the end of an earlier, imperfect clip might show them."""
        config = self.config
        per_clip = (len(clean), 1, 1, 1, 1)
        mean = F.avg_pool3d(clean, (1, 3, 3), 1, (0, 1, 1), count_include_pad=False)
        worn = torch.lerp(clean, mean, config.motion_blur * alike(torch.rand(per_clip, generator=generator), twins))
        noise = torch.rand(per_clip, generator=generator) * torch.randn(clean.shape, generator=generator)
        noise, offset = alike(noise, twins), torch.randn((*clean.shape[:2], 1, 1, 1), generator=generator)
        offset = alike(offset, twins)
        worn = worn + config.motion_noise * noise + config.motion_offset * offset
        if error is None:
            return worn
        # a clip's last frames are the next one's motion frames
        moved = torch.stack([each.roll(int(count), dims=1) for each, count in zip(error, known, strict=True)])
        return worn + 1.2 * alike(torch.rand(per_clip, generator=generator), twins) * moved

    def errors(
        self, predicted: Tensor, clean: Tensor, batch: dict[str, Tensor], sigma: Tensor, known: Tensor
    ) -> dict[str, Tensor]:
        """Weighted squared error of predicted latents against those wanted, and its plain means over regions."""
        flags = batch["flags"]
        change = (clean - _shown(batch)).square().mean(dim=1)
        config = self.config
        squared = (predicted - clean).square()
        error = squared.mean(dim=1)
        eye_weight = config.face_weight if config.eye_weight is None else config.eye_weight
        values = torch.tensor([1.0, config.face_weight, config.mouth_weight, eye_weight])
        weight = values[flags.long()] + config.change_weight * change.sqrt().tanh()
        unknown = (torch.arange(clean.shape[2]) >= known[:, None]).float()[:, :, None, None]
        weight = weight * unknown
        level = 1 / sigma.clamp(min=0.3)
        weighted = (squared * self.channels.view(-1, 1, 1, 1)).mean(dim=1)
        if "twins" in batch:
            apart = 0.5 * (pairs_apart(predicted) - pairs_apart(clean)).square()
            apart = (apart * self.channels.view(-1, 1, 1, 1)).mean(dim=1).repeat_interleave(2, dim=0)
            weighted = weighted + config.twin_weight * apart
        per_clip = (weighted * weight).mean(dim=(1, 2, 3)) * level
        mouths = (flags == MOUTH) * unknown
        faces = (flags == FACE) * unknown
        high = (sigma > 0.7).float()[:, None, None, None]
        heard = {"heard": _heard(predicted, clean, mouths)} if "twins" in batch else {}
        return {
            "loss": per_clip.mean(),
            **heard,
            "mouth": _mean_where(error, mouths),
            "mouth_noisy": _mean_where(error, mouths * high),
            "eyes": _mean_where(error, (flags == EYES) * unknown),
            "face": _mean_where(error, faces),
            "all": _mean_where(error, unknown.expand_as(error)),
        }


def pairs_apart(values: Tensor) -> Tensor:
    """Differences (B / 2, ...) between twins (B, ...)."""
    return values[0::2] - values[1::2]


@torch.no_grad()
def _heard(predicted: Tensor, clean: Tensor, mouths: Tensor) -> Tensor:
    """Share of the difference between twins' mouths that is predicted."""
    where = (mouths[0::2] + mouths[1::2]).clamp(max=1)[:, None]
    true = pairs_apart(clean)
    missed = ((pairs_apart(predicted) - true).square() * where).sum()
    return 1 - missed / (true.square() * where).sum().clamp(min=1e-6)


@torch.no_grad()
def channel_effects(autoencoder: MiniAutoencoder) -> Tensor:
    """(16,): squared change of the pixels by a small error in each latent channel, at random latents."""
    model = copy.deepcopy(autoencoder).float()
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn((4, 16, 3, 8, 8), generator=generator)
    before, error = model.decode(latents), 0.3 * torch.randn((4, 3, 8, 8), generator=generator)
    effects = []
    for channel in range(latents.shape[1]):
        disturbed = latents.clone()
        disturbed[:, channel] += error
        effects.append((model.decode(disturbed) - before).square().mean())
    return torch.stack(effects)


def _shown(batch: dict[str, Tensor]) -> Tensor:
    """What the condition shows where no frame is known, (B, C, F, h, w)."""
    return frames_of(batch["still"].float(), batch["latents"].shape[2])


def frames_of(still: Tensor, frames: int) -> Tensor:
    """Latents (B, C, S, h, w) of a still picture, their last frame repeated until there are ``frames``."""
    return torch.cat([still, still[:, :, -1:].expand(-1, -1, frames - still.shape[2], -1, -1)], dim=2)


def _mean_where(values: Tensor, where: Tensor) -> Tensor:
    return (values.detach() * where).sum() / where.sum().clamp(min=1)


def map_loss(reference_map: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of a reference map (B, P+1, L), normalised over classes, against true classes (B, F, h/2, w/2)."""
    share = reference_map.float() / reference_map.float().sum(dim=1, keepdim=True).clamp(min=1e-8)
    return F.nll_loss(share.clamp(min=1e-4).log(), classes.flatten(1))
