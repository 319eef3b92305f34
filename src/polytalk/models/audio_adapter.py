"""The audio adapter: windows of speech features per video frame -> audio tokens per latent frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polytalk.errors import PolytalkError

POSE_HIDDEN = 64
"""Width between the two layers of the pose signal."""


def group_windows(features: Tensor, frames_per_latent: int) -> tuple[Tensor, Tensor]:
    """Arrange per-frame windows by the latent frame that they will drive.

    Args:
        features: (N, T, window, layers, channels), T = 1 + frames_per_latent * n.
        frames_per_latent: video frames in every latent frame but the first.

    Returns:
        The first frame's window (N, 1, window, layers, channels), and for each later latent frame its own sound without
        overlaps (N, n, frames_per_latent + window - 1, layers, channels): the first frame's window up to its centre,
        the middle frames' centres, the last frame's window from its centre.
    """
    centre = features.shape[2] // 2
    groups = features[:, 1:].unflatten(1, (-1, frames_per_latent))
    later = [groups[:, :, 0, : centre + 1], groups[:, :, 1:-1, centre], groups[:, :, -1, centre:]]
    return features[:, :1], torch.cat(later, dim=2)


class AudioAdapter(nn.Module):
    """Speech features -> audio tokens, per person and latent frame.

    Args:
        layers, channels: of the speech features.
        window: video frames per window.
        frames_per_latent: video frames in every latent frame but the first, at least 2.
        hidden_dim: width between the linear layers.
        tokens, output_dim: number and width of the tokens of one latent frame.
        pose_channels: of a signal per video frame that tells what else the person does; 0, as released, for none. What
            it says is added to the tokens.
    """

    def __init__(
        self,
        layers: int,
        channels: int,
        window: int = 5,
        frames_per_latent: int = 4,
        hidden_dim: int = 512,
        tokens: int = 32,
        output_dim: int = 768,
        pose_channels: int = 0,
    ) -> None:
        super().__init__()
        self.features = (window, layers, channels)
        self.frames_per_latent, self.tokens = frames_per_latent, tokens
        self.first_frame = nn.Linear(window * layers * channels, hidden_dim)
        self.later_frames = nn.Linear((frames_per_latent + window - 1) * layers * channels, hidden_dim)
        self.shared = nn.Linear(hidden_dim, hidden_dim)
        self.to_tokens = nn.Linear(hidden_dim, tokens * output_dim)
        self.norm = nn.LayerNorm(output_dim)
        self.pose_channels = pose_channels
        if pose_channels:
            self.pose_in = nn.Linear(frames_per_latent * pose_channels, POSE_HIDDEN)
            self.pose_out = nn.Linear(POSE_HIDDEN, tokens * output_dim)
            nn.init.zeros_(self.pose_out.weight)
            nn.init.zeros_(self.pose_out.bias)

    def forward(self, features: Tensor, pose: Tensor | None = None) -> Tensor:
        """Tokens (B, F, P, tokens, output_dim), F = 1 + (T - 1) / frames_per_latent.

        Args:
            features: (B, P, T, window, layers, channels).
            pose: (B, P, T, pose_channels); None stands for zeros.
        """
        if features.ndim != 6 or tuple(features.shape[3:]) != self.features:
            found, wanted = tuple(features.shape), ", ".join(map(str, self.features))
            raise PolytalkError("encoder_hidden_states_audio", f"has shape {found}", f"Give (B, P, T, {wanted}).")
        if (features.shape[2] - 1) % self.frames_per_latent:
            problem, step = f"has {features.shape[2]} frames", self.frames_per_latent
            raise PolytalkError("encoder_hidden_states_audio", problem, f"Give {step} n + 1 frames.")
        first, later = group_windows(features.flatten(0, 1), self.frames_per_latent)
        hidden = torch.cat([self.first_frame(first.flatten(2)), self.later_frames(later.flatten(2))], dim=1)
        hidden = F.relu(self.shared(F.relu(hidden)))
        tokens = self.norm(self.to_tokens(hidden).unflatten(-1, (self.tokens, -1)))
        if self.pose_channels:
            tokens = tokens + self._pose_tokens(features, pose)
        return tokens.unflatten(0, features.shape[:2]).transpose(1, 2)

    def _pose_tokens(self, features: Tensor, pose: Tensor | None) -> Tensor:
        """What the signal adds to tokens (B·P, F, tokens, output_dim); the first frame stands for its whole group."""
        shape = (*features.shape[:3], self.pose_channels)
        if pose is None:
            pose = features.new_zeros(shape)
        if pose.shape != shape:
            raise PolytalkError("encoder_hidden_states_pose", f"has shape {tuple(pose.shape)}", f"Give {shape}.")
        pose = pose.flatten(0, 1)
        padded = torch.cat([pose[:, :1].expand(-1, self.frames_per_latent - 1, -1), pose], dim=1)
        groups = padded.unflatten(1, (-1, self.frames_per_latent)).flatten(2)
        return self.pose_out(F.gelu(self.pose_in(groups))).unflatten(-1, (self.tokens, -1))
