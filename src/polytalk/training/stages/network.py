"""Stage "network": the transformer learns to move what the voices move (paper, section 3.4; DESIGN of the small model).

Stage 1 shows one person, stage 2 several; both mix sound-and-picture-to-video with picture-to-video without sound.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polytalk.evaluation.reports.binding import evaluate_binding, pipeline_generator
from polytalk.evaluation.scenes.held_out import held_out_clips
from polytalk.models.mini.autoencoder import MiniAutoencoder
from polytalk.models.mini.image_encoder import MiniImageEncoder
from polytalk.models.mini.speech_encoder import MiniSpeechEncoder
from polytalk.models.mini.text_encoder import MiniTextEncoder
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.motion.idle import CHANNELS
from polytalk.pipeline.components.mini import MiniComponents
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.training.decoded import DecodedFaces
from polytalk.training.latents import EYES, FACE, MARGIN, MOUTH, LatentPool, LatentPoolConfig
from polytalk.training.loop import Loop, LoopConfig, load_weights, save_weights
from polytalk.training.mini import MINI
from polytalk.training.stages.autoencoder import build_autoencoder
from polytalk.training.stages.speech import SpeechConfig, SpeechToMouth


@dataclass(frozen=True)
class TaskConfig:
    """A pool and how often it is drawn from."""

    pool: LatentPoolConfig
    """The clips."""
    weight: float = 1.0
    """Relative number of steps."""
    batch: int = 8
    """Clips per step."""


@dataclass(frozen=True)
class NetworkConfig:
    """Stage "network"."""

    tasks: tuple[TaskConfig, ...]
    """Pools mixed in training."""
    out: str = "runs/network"
    """Folder of checkpoints, log and weights."""
    init: str | None = None
    """Weights of an earlier stage to go on from."""
    autoencoder: str = "runs/autoencoder/model.safetensors"
    """Weights of stage "autoencoder"."""
    speech: str = "runs/speech/model.safetensors"
    """Weights of stage "speech"."""
    true_labels: tuple[float, float] = (1.0, 0.0)
    """Share of clips that get true labels in place of the map's: at the start, and from `anneal` on."""
    anneal: float = 0.6
    """Share of the steps after which the second value of true_labels holds."""
    mouth_weight: float = 15.0
    """Weight of mouths in the loss; the background has 1."""
    face_weight: float = 2.0
    """Weight of faces in the loss."""
    eye_weight: float | None = None
    """Weight of eyes in the loss; None: that of faces."""
    change_weight: float = 0.0
    """Further weight, at most, of what differs from what the condition shows: eyelids, the edges of heads that move."""
    channel_power: float = 0.0
    """How far each latent channel counts by what an error in it does to the pixels: 0 not at all, 1 in proportion."""
    decoded_weight: float = 0.0
    """Weight of the error of decoded mouths and eyes, see `polytalk.training.decoded`."""
    decoded_eyes: float = 0.0
    """Share of clips of which eyes are decoded in place of a mouth."""
    twin_weight: float = 0.0
    """Further weight of the difference between twins: what the sound alone makes of a scene."""
    map_weight: float = 0.1
    """Weight of the cross-entropy from the reference maps to the true classes."""
    drop_text: float = 0.1
    """Share of clips without prompt."""
    drop_audio: float = 0.08
    """Share of steps without sound, as the guidance's unconditional branch sees them."""
    motion_frames: tuple[float, ...] = (0.7, 0.2, 0.1)
    """Shares of clips whose first 1, 2, ... latent frames are known."""
    motion_noise: float = 0.05
    """Largest deviation of the noise on motion frames, drawn per clip. This and the next two are the wear of earlier
    clips, so that the network trusts the reference picture more than its own output."""
    motion_blur: float = 0.0
    """Largest share of motion frames that is replaced by the mean of 3 x 3 latent pixels, drawn per clip."""
    motion_offset: float = 0.0
    """Deviation of a constant per clip and channel added to motion frames: a drift of colour."""
    own_wear: float = 0.0
    """Share of steps whose motion frames bear the network's own errors, of a prediction from noise, besides."""
    drop_pose: float = 0.15
    """Share of clips that are not told what people do unasked."""
    drop_fill: float = 0.03
    """Share of clips whose later condition frames are zero instead of the reference picture."""
    shift: float = 2.0
    """Shift of the noise levels drawn in training towards noise."""
    validation_scenes: int = 8
    """Held-out scenes of one and of two people rendered at every validation (`loop.validate_every`)."""
    compile: bool = False
    """Compile the blocks (needs a C++ compiler on CPU)."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """See `LoopConfig`."""


class MiniNetwork(nn.Module):
    """All that this stage trains: the transformer and the two small encoders that learn with it."""

    def __init__(self) -> None:
        super().__init__()
        self.text_encoder = MiniTextEncoder()
        self.image_encoder = MiniImageEncoder()
        self.transformer = build_transformer()


def build_transformer() -> MultiTalkTransformer3DModel:
    """The transformer at mini's size."""
    speech = SpeechConfig()
    return MultiTalkTransformer3DModel(
        num_attention_heads=6,
        attention_head_dim=32,
        text_dim=128,
        text_len=None,
        freq_dim=128,
        ffn_dim=768,
        num_layers=6,
        image_dim=128,
        audio_layers=4,
        audio_channels=96,
        audio_hidden_dim=speech.hidden_dim,
        audio_tokens=speech.tokens,
        audio_dim=speech.output_dim,
        prediction_type="reference_change",
        pose_channels=len(CHANNELS),
    )


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


@dataclass(frozen=True)
class Conditions:
    """What the network is told about B clips of P people, besides the picture in its input."""

    text: Tensor
    """Tokens of the prompts."""
    image: Tensor
    """Tokens of the reference pictures."""
    audio: Tensor | None = None
    """(B, P, T, 5, layers, channels); zeros without sound."""
    pose: Tensor | None = None
    """(B, P, T, channels): what everybody does unasked, see `polytalk.motion.idle`."""
    masks: Tensor | None = None
    """(B, P, h, w) of several people."""
    labels: Tensor | None = None
    """True classes (B, F, h/2, w/2), -1 where the network's own map decides."""


def predict(
    model: MiniNetwork, inputs: Tensor, sigma: Tensor, told: Conditions, maps: Sequence[int] = ()
) -> tuple[Tensor, list[Tensor]]:
    """Clean latents (B, 16, F, h, w) and the reference maps of the named blocks.

    Args:
        model: the network.
        inputs: (B, 36, F, h, w), see `ClipLoss.inputs`.
        sigma: noise levels (B,).
        told: the conditions.
        maps: blocks whose reference maps are wanted.
    """
    output = model.transformer(
        inputs.to(model.transformer.dtype), sigma * 1000, told.text, told.image, told.audio, told.masks,
        encoder_hidden_states_pose=told.pose, speaker_labels=told.labels, return_reference_maps=list(maps),
    )  # fmt: skip
    return inputs[:, :16] - sigma.view(-1, 1, 1, 1, 1) * output.sample.float(), output.reference_maps


class ClipLoss:
    """Losses of one batch of a latent pool."""

    def __init__(self, config: NetworkConfig, autoencoder: MiniAutoencoder | None = None) -> None:
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
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    for block in model.transformer.blocks:
        block.compile(dynamic=False)


def load_parts(config: NetworkConfig) -> tuple[MiniAutoencoder, MiniSpeechEncoder, SpeechToMouth]:
    """The frozen parts, finished by earlier stages."""
    autoencoder = build_autoencoder()
    load_weights(autoencoder, Path(config.autoencoder))
    speech = SpeechToMouth(SpeechConfig())
    load_weights(speech, Path(config.speech))
    half = autoencoder.to(torch.bfloat16).to(memory_format=torch.channels_last).eval()
    return half, speech.encoder.eval(), speech


def train(config: NetworkConfig) -> Path:
    """Run the stage; returns the file of the finished weights: `MiniNetwork`, float32 safetensors."""
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

    def validate(ema: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(ema, MiniNetwork)
        return binding_figures(MiniComponents(
            ema.transformer, autoencoder.float(), encoder, ema.text_encoder, ema.image_encoder
        ), config.validation_scenes)  # fmt: skip

    loop.run(loss, validate, "network")
    return save_finished(loop)


def save_finished(loop: Loop) -> Path:
    """Write the weights as they are, to go on from, and their average, which is used; the file of the latter."""
    save_weights(loop.module, loop.out / "raw.safetensors")
    weights = loop.out / "model.safetensors"
    save_weights(loop.ema, weights)
    return weights


def binding_figures(components: MiniComponents, scenes: int) -> dict[str, float]:
    """The measures of `polytalk evaluate binding` on a few held-out scenes of one and of two people."""
    generate = pipeline_generator(MultiTalkPipeline(components, MINI))
    figures = {}
    for people in (1, 2):
        report = evaluate_binding(generate, held_out_clips(scenes, people=people), swap=False)
        for name in ("own", "other", "diagonal"):
            figures[f"{name}_{people}"] = getattr(report, name)
    return {name: value for name, value in figures.items() if value == value}
