"""Euler steps along the flow from noise to data, over any velocity function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from polytalk.diffusion.schedule import NUM_TRAIN_TIMESTEPS, FlowMatchingSchedule, add_noise
from polytalk.errors import PolytalkError

Velocity = Callable[[Tensor, Tensor], Tensor]
"""(latents (B, C, F, H, W), timestep ()) -> predicted noise - data, the same shape as the latents."""
StepCallback = Callable[[int, Tensor, Tensor], None]
"""(index of the finished step, its timestep, latents after it); raise from it to stop sampling."""


@dataclass(frozen=True)
class SourceLatents:
    """A video that sampling starts from and keeps in part: video-to-video with masked blending (RePaint, arXiv
    2201.09865, and Blended Latent Diffusion, arXiv 2206.02779, without their resampling)."""

    latents: Tensor
    """Clean latents (B, C, F, H, W)."""
    keep: Tensor | None = None
    """Share of the source in the result, 0 to 1, broadcasts to the latents; None keeps nothing. At every step the
    latents are blended with the source at that step's noise, so that values between 0 and 1 (a feathered edge) pull
    towards the source more strongly the more steps there are."""

    def begin(self, noise: Tensor, timestep: Tensor) -> Tensor:
        """Where the path starts: the source at the first step's noise."""
        return add_noise(self.latents.to(noise), noise, timestep)

    def blend(self, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Latents with what is kept put back, at the timestep's noise level.

        The noise is that of the start, so that what is kept runs along one straight path.
        """
        if self.keep is None:
            return latents
        return torch.lerp(latents, self.begin(noise, timestep), self.keep.to(latents))


def draw_noise(shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device | str = "cpu") -> Tensor:
    """Unit normal noise, float32, drawn on the generator's own device so that a seed means the same everywhere."""
    source = generator.device if generator is not None else torch.device("cpu")
    return torch.randn(shape, generator=generator, device=source, dtype=torch.float32).to(device)


def sample(
    velocity: Velocity,
    noise: Tensor,
    schedule: FlowMatchingSchedule,
    *,
    known: Tensor | None = None,
    source: SourceLatents | None = None,
    generator: torch.Generator | None = None,
    callback: StepCallback | None = None,
) -> Tensor:
    """Integrate from noise to clean latents: x ← x - (t_i - t_{i+1}) / 1000 · v(x, t_i).

    Args:
        velocity: predicts noise - data.
        noise: (B, C, F, H, W) float32 unit normal; where the path starts.
        schedule: the timesteps.
        known: clean latents of the first frames, (B, C, M, H, W) with M ≤ F (a clip's motion frames). Before every step
            these frames are overwritten by `known`, noised to that step's level with fresh noise; in the result they
            are `known` itself.
        source: what the path starts from, noised to the schedule's first timestep, and what of it is kept; where
            `keep` is 1 the result is the source itself.
        generator: draws the noise put on `known`.
        callback: called after every step.

    Returns:
        Clean latents, float32, the shape of `noise`.

    Raises:
        PolytalkError: when `known` or `source` does not fit onto `noise`, or the schedule starts from a noised source
            and there is none.
    """
    _check_source(source, noise, schedule)
    if known is not None:
        fits = known.ndim == noise.ndim and known.shape[:2] == noise.shape[:2] and known.shape[3:] == noise.shape[3:]
        if not fits or known.shape[2] > noise.shape[2]:
            raise PolytalkError(
                "motion_frames",
                f"latents of shape {tuple(known.shape)} cannot begin a clip of shape {tuple(noise.shape)}",
                "Encode them at the clip's size, and no more than it holds.",
            )
    timesteps = schedule.timesteps().to(noise.device)
    latents = noise if source is None else source.begin(noise, timesteps[0])
    latents = _overwrite(latents, known, timesteps[0], generator)
    for index in range(schedule.num_steps):
        now, following = timesteps[index], timesteps[index + 1]
        step = (now - following) / NUM_TRAIN_TIMESTEPS
        latents = latents - step * velocity(latents, now).to(latents.dtype)
        if source is not None:
            latents = source.blend(latents, noise, following)
        latents = _overwrite(latents, known, following, generator)
        if callback is not None:
            callback(index, now, latents)
    return latents


def _overwrite(latents: Tensor, known: Tensor | None, timestep: Tensor, generator: torch.Generator | None) -> Tensor:
    """Latents whose first frames are `known` at the timestep's noise level."""
    if known is None:
        return latents
    known = known.to(latents)
    noise = draw_noise(tuple(known.shape), generator, latents.device)
    return torch.cat([add_noise(known, noise, timestep), latents[:, :, known.shape[2] :]], dim=2)


def _check_source(source: SourceLatents | None, noise: Tensor, schedule: FlowMatchingSchedule) -> None:
    if source is None:
        if schedule.strength < 1:
            problem = f"{schedule.strength} leaves part of a source, and there is none"
            raise PolytalkError("strength", problem, "Leave it at 1, or give a source video.")
    elif source.latents.shape != noise.shape:
        problem = f"latents of shape {tuple(source.latents.shape)} are no source of a clip of {tuple(noise.shape)}"
        raise PolytalkError("source", problem, "Encode it at the clip's size and length.")
