"""Euler steps along the flow from noise to data, over any velocity function."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polytalk.diffusion.schedule import NUM_TRAIN_TIMESTEPS, FlowMatchingSchedule, add_noise
from polytalk.errors import PolytalkError

Velocity = Callable[[Tensor, Tensor], Tensor]
"""(latents (B, C, F, H, W), timestep ()) -> predicted noise - data, the same shape as the latents."""
StepCallback = Callable[[int, Tensor, Tensor], None]
"""(index of the finished step, its timestep, latents after it); raise from it to stop sampling."""


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
        generator: draws the noise put on `known`.
        callback: called after every step.

    Returns:
        Clean latents, float32, the shape of `noise`.

    Raises:
        PolytalkError: when `known` does not fit onto `noise`.
    """
    if known is not None:
        fits = known.ndim == noise.ndim and known.shape[:2] == noise.shape[:2] and known.shape[3:] == noise.shape[3:]
        if not fits or known.shape[2] > noise.shape[2]:
            raise PolytalkError(
                "motion frames",
                f"latents of shape {tuple(known.shape)} cannot begin a clip of shape {tuple(noise.shape)}",
                "Encode them at the clip's size, and no more than it holds.",
            )
    timesteps = schedule.timesteps().to(noise.device)
    latents = _overwrite(noise, known, timesteps[0], generator)
    for index in range(schedule.num_steps):
        now, following = timesteps[index], timesteps[index + 1]
        step = (now - following) / NUM_TRAIN_TIMESTEPS
        latents = latents - step * velocity(latents, now).to(latents.dtype)
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
