"""How noise becomes a clip: flow matching as maths over callables; nothing here sees a file or a network."""

from polytalk.diffusion.adaptive import AdaptiveProjection, ProjectedDifference
from polytalk.diffusion.guidance import Guidance, GuidancePass, GuidedClip
from polytalk.diffusion.sampler import SourceLatents, StepCallback, Velocity, draw_noise, sample
from polytalk.diffusion.schedule import NUM_TRAIN_TIMESTEPS, FlowMatchingSchedule, add_noise

__all__ = [
    "NUM_TRAIN_TIMESTEPS",
    "AdaptiveProjection",
    "FlowMatchingSchedule",
    "Guidance",
    "GuidancePass",
    "GuidedClip",
    "ProjectedDifference",
    "SourceLatents",
    "StepCallback",
    "Velocity",
    "add_noise",
    "draw_noise",
    "sample",
]
