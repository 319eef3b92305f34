"""One clip's latents: conditioning, guidance, step cache and sampler brought together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from polytalk.acceleration.offload import HOST
from polytalk.acceleration.step_cache import StepCache
from polytalk.config.options import LoadOptions
from polytalk.diffusion import SourceLatents, draw_noise, sample
from polytalk.models.components import Components
from polytalk.pipeline.clips import Clip
from polytalk.pipeline.denoising import GuidedVelocity, pass_conditioning
from polytalk.pipeline.observing import ClipObserver, SeenClip
from polytalk.pipeline.progress import Progress, ProgressCallback, Stage
from polytalk.pipeline.settings import RunSettings
from polytalk.units import latent_frames

_MASK_CHANNELS = 4


@dataclass(frozen=True, eq=False)
class ClipInputs:
    """What one clip is sampled from."""

    clip: Clip
    """Its place and length."""
    num_clips: int
    """In the video."""
    condition: Tensor
    """(1, 4 + C, F, h, w): mask and condition latents."""
    known: Tensor
    """(1, 3, M, H, W): frames that it starts with."""
    text: Tensor
    """(2, text_len, text_dim): prompt and negative prompt."""
    speech: Tensor
    """(people, T, window, layers, channels): windowed features of those who have a voice."""
    pose: Tensor | None
    """(people, T, channels): what they do besides speaking, if the network can be told."""
    people: tuple[int, ...]
    """Who has a voice."""
    masks: Tensor
    """bool (people, h, w): where they are in the first frame."""
    source: SourceLatents | None
    """A source video's latents."""
    reads_labels: bool
    """Whether the last step is to tell where the people are."""


class ClipSampler:
    """Samples clips, one by one.

    Args:
        components: the model's networks.
        settings: the run's.
        options: levers of which some work at run time.
        report: told what happens.
        observer: shown what the network sees.
    """

    def __init__(
        self,
        components: Components,
        settings: RunSettings,
        options: LoadOptions,
        report: ProgressCallback,
        observer: ClipObserver | None = None,
    ) -> None:
        self.components, self.settings, self.options = components, settings, options
        self.report, self.observer = report, observer

    def __call__(self, inputs: ClipInputs, generator: torch.Generator | None) -> tuple[Tensor, Sequence[Tensor] | None]:
        """Clean latents (1, C, F, h, w); per block (F, h / 2, w / 2) whom each token belongs to, if it was asked for.

        Keys, values and the condition (gigabytes at 14B) end with it.
        """
        step_cache = self._step_cache(inputs)
        velocity = self._velocity(inputs, step_cache)
        self._report(inputs, 0)
        with step_cache or nullcontext():
            clean = self._denoise(inputs, velocity, generator)
        return clean, velocity.labels if inputs.reads_labels else None

    def _step_cache(self, inputs: ClipInputs) -> StepCache | None:
        """A cache for the steps of this clip alone."""
        kind = self.options.step_cache
        if kind is None or (self.observer is not None and self.observer.every_step):
            return None
        return StepCache(
            self.components.transformer,
            kind,
            self.settings.schedule.timesteps()[:-1],
            threshold=self.options.step_cache_threshold,
            numbers=self.options.step_cache_numbers,
            size_class=self.settings.config.size_class,
            keep_last=inputs.reads_labels or self.observer is not None,
        )

    def _velocity(self, inputs: ClipInputs, step_cache: StepCache | None) -> GuidedVelocity:
        parts, guidance = self.components, self.settings.guidance
        conditioning = pass_conditioning(
            parts.transformer,
            guidance.passes(),
            inputs.text,
            parts.encode_image(inputs.known[:, :, -1]),
            inputs.speech.to(parts.device),
            inputs.clip.num_latent_frames,
            inputs.pose,
        )
        parallel = self.options.parallel
        # where blocks divide the predictions themselves, or ranks do, the network is called once for all
        ranks_divide = parallel is not None and parallel.guidance > 1
        in_turn = self.options.chunks_branches and not ranks_divide
        return GuidedVelocity(
            parts.transformer,
            guidance,
            conditioning,
            inputs.condition,
            inputs.masks if len(inputs.people) > 1 else None,
            batched=self.settings.config.batch_guidance or in_turn or ranks_divide,
            step_cache=step_cache,
            in_turn=in_turn,
            home=HOST if self.options.transformer_offloaded else None,
        )

    def _denoise(self, inputs: ClipInputs, velocity: GuidedVelocity, generator: torch.Generator | None) -> Tensor:
        shown, schedule = inputs.condition[:, _MASK_CHANNELS:], self.settings.schedule
        num_known = latent_frames(inputs.known.shape[2])
        known = shown[:, :, :num_known] if inputs.clip.index or self.settings.config.keep_picture else None

        def before_step(index: int) -> None:
            last = index == schedule.num_steps - 1
            velocity.watch_labels = inputs.reads_labels and last
            velocity.watch_maps = self.observer is not None and (last or self.observer.every_step)

        def after_step(index: int, timestep: Tensor, latents: Tensor) -> None:
            self._show_maps(inputs, velocity, index)
            before_step(index + 1)
            self._report(inputs, index + 1)

        before_step(0)
        noise = draw_noise(tuple(shown.shape), generator, shown.device)
        return sample(
            velocity, noise, schedule, known=known, source=inputs.source, generator=generator, callback=after_step
        )

    def _show_maps(self, inputs: ClipInputs, velocity: GuidedVelocity, step: int) -> None:
        """Hand on what the network saw in a step, if it was looked at."""
        if self.observer is None or not velocity.maps or velocity.labels is None:
            return
        steps = self.settings.schedule.num_steps
        seen = SeenClip.of(inputs.clip, step, steps, inputs.people, inputs.masks, velocity.maps, velocity.labels)
        self.observer.see(seen)

    def _report(self, inputs: ClipInputs, step: int) -> None:
        steps = self.settings.schedule.num_steps
        self.report(Progress(Stage.DENOISE, inputs.clip.index, inputs.num_clips, step, steps))
