"""Stage "distillation": one prediction a step instead of two or three, in the few steps of the sampler.

The student learns to give, by a single prediction, what guidance over sound makes of the teacher's two (Meng et al.,
arXiv 2210.03142, stage one), at the noise levels that the sampler visits, partly in the states that the student's own
steps lead to.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from polytalk.diffusion import FlowMatchingSchedule
from polytalk.errors import PolytalkError
from polytalk.models.mini.autoencoder import MiniAutoencoder
from polytalk.training.loop import Loop, load_weights
from polytalk.training.stages.clip_loss import ClipLoss, alike, noised
from polytalk.training.stages.mini_network import Conditions, MiniNetwork, NetworkStageConfig, predict
from polytalk.training.stages.network import Mixture, compile_blocks, load_parts, save_finished


@dataclass(frozen=True)
class DistillationConfig(NetworkStageConfig):
    """Stage "distillation": the fields of stage "network", and these."""

    teacher: str = "runs/network/model.safetensors"
    """Weights of the teacher; the student starts from them unless ``init`` names others."""
    audio_guidance: tuple[float, ...] = (3.0, 3.0, 3.0)
    """Guidance over sound at each step of the sampler; its length is the number of steps."""
    text_guidance: float = 1.0
    """Guidance over the prompt at every step; 1 is off and saves a prediction of the teacher."""
    guidance_limit: float | None = None
    """Guidance changes no latent by more (a soft limit): what it adds to wide open mouths would go beyond them."""
    guide_pose: bool = False
    """The prediction without sound does not know what people do either, so that guidance makes more of that, too."""
    only_speak: bool = False
    """Teacher and student take people to do nothing but speak, as in use."""
    sampler_shift: float = 3.0
    """The sampler's timestep shift; its spacing is "trailing"."""
    drop_audio: float = 0.0
    """Guidance needs the sound."""
    own_states: float = 0.5
    """Share of steps in states that the student itself has come to; the rest are noised clips."""

    def __post_init__(self) -> None:
        if not self.audio_guidance or min(self.audio_guidance) < 1:
            raise PolytalkError("audio_guidance", f"it is {self.audio_guidance}", "Give 1 or more for each step.")
        if self.text_guidance < 1:
            raise PolytalkError("text_guidance", f"it is {self.text_guidance}", "Give 1 or more.")
        if self.guidance_limit is not None and self.guidance_limit <= 0:
            raise PolytalkError("guidance_limit", f"it is {self.guidance_limit}", "Give more than 0, or leave it out.")
        if self.only_speak and self.drop_pose:
            raise PolytalkError("drop_pose", f"it is {self.drop_pose}", "Give 0 with only_speak.")
        if not 0 <= self.own_states <= 1:
            raise PolytalkError("own_states", f"it is {self.own_states}", "Give a share from 0 to 1.")
        if self.drop_audio != 0:
            raise PolytalkError("drop_audio", f"it is {self.drop_audio}", "Give 0: guidance needs the sound.")

    @property
    def sigmas(self) -> Tensor:
        """Noise levels of the sampler's steps (n + 1,), from 1 to 0."""
        steps = len(self.audio_guidance)
        return FlowMatchingSchedule(steps, self.sampler_shift, spacing="trailing").timesteps() / 1000


class DistillationLoss(ClipLoss):
    """Distance of the student's prediction from the teacher's guided one."""

    config: DistillationConfig

    def __init__(
        self, config: DistillationConfig, teacher: MiniNetwork, autoencoder: MiniAutoencoder | None = None
    ) -> None:
        super().__init__(config, autoencoder)
        self.teacher = teacher.requires_grad_(False).eval()

    def __call__(
        self, model: MiniNetwork, batch: dict[str, Tensor], true_share: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Weighted squared error of the clean latent against the teacher's, and of the reference map."""
        config, twins = self.config, "twins" in batch
        if config.only_speak:
            pose = torch.zeros_like(batch["pose"])
            pose[..., 0] = 1
            batch = {**batch, "pose": pose}
        known = alike(self.known_frames(len(batch["latents"]), batch["latents"].shape[2], generator), twins)
        clean = batch["latents"].float()
        same = torch.Generator()
        same.set_state(generator.get_state())
        with torch.no_grad():
            given = self.conditions(self.teacher, batch, true_share, same)
        conditions = self.conditions(model, batch, true_share, generator)
        step = int(torch.randint(len(config.audio_guidance), (), generator=generator))
        sigma = config.sigmas[step].expand(len(clean))
        # each shape would be compiled thrice more; without gradients that gains little
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            noisy = self._state(model, batch, step, known, conditions, generator)
            inputs = self.inputs(batch, noisy, known, generator)
            wanted = self._guided(inputs, sigma, given, config.audio_guidance[step])
        return self.compare(model, inputs, wanted, batch, sigma, known, conditions, generator)

    def _guided(self, inputs: Tensor, sigma: Tensor, given: Conditions, audio_scale: float) -> Tensor:
        """The teacher's clean latents under guidance; predictions, and without a limit the formula, as in
        `polytalk.diffusion.Guidance`."""
        text_scale = self.config.text_guidance
        full, _ = predict(self.teacher, inputs, sigma, given)
        empty = self.teacher.text_encoder.tokenize([""]).expand(len(inputs), -1, -1)
        wordless = given if text_scale == 1 else dataclasses.replace(given, text=self.teacher.text_encoder(empty))
        pose = wordless.pose
        if pose is not None and self.config.guide_pose:
            pose = torch.zeros_like(pose)
        silent, _ = predict(self.teacher, inputs, sigma, dataclasses.replace(wordless, audio=None, pose=pose))
        if text_scale in (1, audio_scale):
            added = (audio_scale - 1) * (full - silent)
        else:
            heard, _ = predict(self.teacher, inputs, sigma, wordless)
            added = (text_scale - 1) * (full - heard) + (audio_scale - 1) * (heard - silent)
        limit = self.config.guidance_limit
        return full + (added if limit is None else limit * torch.tanh(added / limit))

    def _state(
        self, model: MiniNetwork, batch: dict[str, Tensor], step: int, known: Tensor, conditions: Conditions,
        generator: torch.Generator,
    ) -> Tensor:  # fmt: skip
        """Noisy latents (B, C, F, h, w) before a step: a noised clip, or where the student has come to."""
        sigmas, clean, twins = self.config.sigmas, batch["latents"].float(), "twins" in batch
        if torch.rand((), generator=generator) >= self.config.own_states:
            return noised(clean, sigmas[step].expand(len(clean)), generator, twins)
        frames = torch.arange(clean.shape[2]).view(1, 1, -1, 1, 1)
        is_known = frames < known.view(-1, 1, 1, 1, 1)
        state = alike(torch.randn(clean.shape, generator=generator), twins)
        for index in range(step):
            level = sigmas[index].expand(len(clean))
            inputs = self.inputs(batch, state, known, generator)
            found, _ = predict(model, inputs, level, conditions)
            state = found + sigmas[index + 1] / sigmas[index] * (state - found)
            state = torch.where(is_known, noised(clean, sigmas[index + 1].expand(len(clean)), generator, twins), state)
        return state


def train(config: DistillationConfig) -> Path:
    """Run the stage; returns the file of the finished weights: `MiniNetwork`, float32 safetensors."""
    autoencoder, encoder, _ = load_parts(config)
    torch.manual_seed(config.loop.seed)
    model = MiniNetwork()
    load_weights(model, Path(config.teacher))
    teacher = copy.deepcopy(model).to(torch.bfloat16)
    loop = Loop(model, Path(config.out), config.loop, Path(config.init or config.teacher), dtype=torch.bfloat16)
    worker = loop.worker
    assert isinstance(worker, MiniNetwork)
    if config.compile:
        compile_blocks(worker)
    mixture = Mixture(config.tasks, autoencoder, encoder, model.text_encoder)
    distillation_loss = DistillationLoss(config, teacher, autoencoder)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        return distillation_loss(worker, mixture.draw(generator), config.true_labels[1], generator)

    loop.run(loss, None, "distillation")
    return save_finished(loop)
