"""MultiTalk's network: Wan2.1's image-to-video transformer with an audio branch that binds each voice to its person."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders.peft import PeftAdapterMixin
from diffusers.models.attention import AttentionMixin, FeedForward
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.embeddings import PixArtAlphaTextProjection, TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.normalization import FP32LayerNorm
from diffusers.utils.outputs import BaseOutput
from torch import Tensor, nn

from polytalk.errors import PolytalkError
from polytalk.models.attention import ContextKeyValues, ContextTokens, RotaryEmbedding3D, label_rotary, layer_norm
from polytalk.models.audio_adapter import AudioAdapter
from polytalk.models.block import BlockStack, MultiTalkTransformerBlock
from polytalk.models.conditioning import Conditioning, ContextPasses
from polytalk.models.label_rope import class_labels, class_masks, winning_class
from polytalk.models.library_internals import acts_like_forward, know_as_block

SMALLEST_SIGMA = 1e-3
"""Noise level below which a clean prediction is no longer turned into a velocity by division."""


@dataclass
class MultiTalkTransformerOutput(BaseOutput):
    """What one call of the network gives."""

    sample: Tensor
    """velocity, noise - data, (B, out_channels, F, H, W)"""
    reference_maps: list[Tensor] | None = None
    """per block asked for, (B, P + 1, L): mean attention to a token of each person and, last, of the background"""
    labels: list[Tensor] | None = None
    """per block, (B, F, H / 2, W / 2) int64: the class (person, or P for the background) read from the block's map"""


class ImageEmbedder(nn.Module):
    """Picture tokens to the width of the network."""

    def __init__(self, image_dim: int, dim: int) -> None:
        super().__init__()
        self.norm1 = FP32LayerNorm(image_dim)
        self.ff = FeedForward(image_dim, dim, mult=1, activation_fn="gelu")
        self.norm2 = FP32LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, tokens, image_dim) -> (B, tokens, D)."""
        return self.norm2(self.ff(self.norm1(tokens)))


class ConditionEmbedder(nn.Module):
    """What embeds timestep, text and picture, under the names of diffusers' `WanTimeTextImageEmbedding`."""

    def __init__(self, dim: int, freq_dim: int, text_dim: int, image_dim: int | None) -> None:
        super().__init__()
        self.timesteps_proj = Timesteps(freq_dim, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedder = TimestepEmbedding(freq_dim, dim)
        self.act_fn = nn.SiLU()
        self.time_proj = nn.Linear(dim, dim * 6)
        self.text_embedder = PixArtAlphaTextProjection(text_dim, dim, act_fn="gelu_tanh")
        self.image_embedder = None if image_dim is None else ImageEmbedder(image_dim, dim)

    def time(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Timestep (B,) -> the embedding (B, D) for the output layer and (B, 6, D) for the blocks."""
        sinusoid = self.timesteps_proj(timestep.float())
        temb = self.time_embedder(sinusoid.to(self.time_embedder.linear_1.weight.dtype))
        modulation = self.time_proj(self.act_fn(temb).to(self.time_proj.weight.dtype))
        return temb, modulation.unflatten(1, (6, -1))


class MultiTalkTransformer3DModel(ModelMixin, ConfigMixin, PeftAdapterMixin, CacheMixin, AttentionMixin):
    """The transformer of MultiTalk (arXiv 2505.22647). The defaults are the released 14B model.

    Args:
        patch_size: latent frames, rows and columns per token.
        num_attention_heads, attention_head_dim, num_layers, ffn_dim: size; D = heads * head_dim.
        in_channels: noisy latent, mask and condition latent together; the condition latent comes last.
        out_channels: of the latent.
        text_dim, text_len: width and number of the text tokens; shorter texts are padded with zeros. None = any number.
        freq_dim: width of the sinusoidal timestep embedding, even.
        image_dim: width of the picture tokens, of any number; None = no picture branch.
        audio_layers, audio_channels: of the speech features.
        audio_window: video frames in the window of speech features.
        audio_hidden_dim, audio_tokens, audio_dim: hidden width, tokens per latent frame and token width of the adapter.
        frames_per_latent: video frames in every latent frame but the first.
        pose_channels: of the signal that tells what people do besides speaking; 0, as released, for none.
        eps: of the norms.
        prediction_type: what the last layer predicts: "velocity" (noise - data, as released) or "reference_change" (the
            clean latent minus the condition latent; better for a small model, which then copies unseen texture). The
            sample is a velocity in either case.
    """

    _supports_gradient_checkpointing = True
    _skip_layerwise_casting_patterns = ["patch_embedding", "condition_embedder", "norm"]  # noqa: RUF012
    _no_split_modules = ["MultiTalkTransformerBlock"]  # noqa: RUF012
    _keep_in_fp32_modules = [  # noqa: RUF012
        "time_embedder", "time_proj", "scale_shift_table", "norm1", "norm2", "norm3", "norm_audio",
    ]  # fmt: skip
    _repeated_blocks = ["MultiTalkTransformerBlock"]  # noqa: RUF012

    @register_to_config
    def __init__(
        self,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        num_attention_heads: int = 40,
        attention_head_dim: int = 128,
        in_channels: int = 36,
        out_channels: int = 16,
        text_dim: int = 4096,
        text_len: int | None = 512,
        freq_dim: int = 256,
        ffn_dim: int = 13824,
        num_layers: int = 40,
        image_dim: int | None = 1280,
        audio_layers: int = 12,
        audio_channels: int = 768,
        audio_window: int = 5,
        audio_hidden_dim: int = 512,
        audio_tokens: int = 32,
        audio_dim: int = 768,
        frames_per_latent: int = 4,
        eps: float = 1e-6,
        prediction_type: Literal["velocity", "reference_change"] = "velocity",
        pose_channels: int = 0,
    ) -> None:
        super().__init__()
        if prediction_type not in ("velocity", "reference_change"):
            raise PolytalkError("prediction_type", f"is {prediction_type!r}", 'Use "velocity" or "reference_change".')
        dim = num_attention_heads * attention_head_dim
        frames, rows, columns = patch_size  # a list when read from JSON
        patch_size = (frames, rows, columns)
        self.rope = RotaryEmbedding3D(attention_head_dim, patch_size)
        self.patch_embedding = nn.Conv3d(in_channels, dim, kernel_size=patch_size, stride=patch_size)
        self.video_tokens = nn.Identity()
        """Passes on the tokens (B, L, D) of the whole video; context parallelism divides them here."""
        self.condition_embedder = ConditionEmbedder(dim, freq_dim, text_dim, image_dim)
        self.audio_adapter = AudioAdapter(
            audio_layers, audio_channels, audio_window, frames_per_latent, audio_hidden_dim, audio_tokens, audio_dim,
            pose_channels,
        )  # fmt: skip
        self.blocks = BlockStack(
            MultiTalkTransformerBlock(dim, ffn_dim, num_attention_heads, audio_dim, image_dim is not None, eps)
            for _ in range(num_layers)
        )
        self.norm_out = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.proj_out = nn.Linear(dim, out_channels * math.prod(patch_size))
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)
        if prediction_type == "reference_change":  # an untrained model shows the reference
            nn.init.zeros_(self.proj_out.weight)
            nn.init.zeros_(self.proj_out.bias)

    def enable_cache(self, config: Any) -> None:
        """Let one of diffusers' step caches leave out blocks."""
        know_as_block(type(self.blocks[0]))
        super().enable_cache(config)

    @acts_like_forward
    def prepare_conditioning(
        self,
        encoder_hidden_states: Tensor,
        encoder_hidden_states_image: Tensor | None,
        encoder_hidden_states_audio: Tensor | None,
        num_latent_frames: int | None = None,
        encoder_hidden_states_pose: Tensor | None = None,
    ) -> Conditioning:
        """Do all the work that does not depend on the noisy latent or the timestep; arguments as in `forward`.

        `num_latent_frames` (F) is needed when there is no sound.
        """
        tokens, people = self._context_tokens(
            encoder_hidden_states, encoder_hidden_states_image, encoder_hidden_states_audio,
            encoder_hidden_states_pose, num_latent_frames,
        )  # fmt: skip
        return Conditioning(tuple(block.project_context(tokens) for block in self.blocks), people)

    def _context_tokens(
        self, text: Tensor | None, image: Tensor | None, audio: Tensor | None, pose: Tensor | None,
        num_latent_frames: int | None,
    ) -> tuple[ContextTokens, int]:  # fmt: skip
        if text is None:
            raise PolytalkError("encoder_hidden_states", "is missing", "Give text tokens or a conditioning.")
        config: Any = self.config
        dtype = self.patch_embedding.weight.dtype
        if config.text_len is not None:
            if text.shape[1] > config.text_len:
                problem = f"has {text.shape[1]} tokens"
                raise PolytalkError("encoder_hidden_states", problem, f"Give at most {config.text_len}.")
            text = F.pad(text, (0, 0, 0, config.text_len - text.shape[1]))
        if audio is None:
            if num_latent_frames is None:
                raise PolytalkError("num_latent_frames", "is missing", "Without sound, give the latent frames.")
            frames = 1 + (num_latent_frames - 1) * config.frames_per_latent
            voices = 1 if pose is None else pose.shape[1]
            shape = (text.shape[0], voices, frames, config.audio_window, config.audio_layers, config.audio_channels)
            audio = torch.zeros(shape, device=text.device)
        people = audio.shape[1]
        rotary = None
        if people > 1:
            labels = class_labels(people, audio.device)[:-1].repeat_interleave(config.audio_tokens)
            rotary = label_rotary(labels, config.attention_head_dim)
        embed = self.condition_embedder
        tokens = ContextTokens(
            embed.text_embedder(text.to(dtype)),
            embed.image_embedder(image.to(dtype)) if image is not None and embed.image_embedder is not None else None,
            self.audio_adapter(audio.to(dtype), None if pose is None else pose.to(dtype)),
            rotary,
        )
        return tokens, people

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor | None = None,
        encoder_hidden_states_image: Tensor | None = None,
        encoder_hidden_states_audio: Tensor | None = None,
        speaker_masks: Tensor | None = None,
        *,
        conditioning: Conditioning | None = None,
        encoder_hidden_states_pose: Tensor | None = None,
        speaker_labels: Tensor | None = None,
        return_reference_maps: bool | Sequence[int] = False,
        return_labels: bool = False,
    ) -> MultiTalkTransformerOutput:
        """Predict the velocity.

        Args:
            hidden_states: (B, in_channels, F, H, W): noisy latent, mask and condition latent.
            timestep: (B,) in 0..1000.
            encoder_hidden_states: (B, text tokens, text_dim).
            encoder_hidden_states_image: (B, image tokens, image_dim) or None.
            encoder_hidden_states_audio: (B, P, T, window, layers, channels), T = frames_per_latent * (F - 1) + 1; None
                stands for zeros for one person.
            speaker_masks: (B, P, H, W) bool: who is where in the first latent frame; needed for two people or more.
            conditioning: replaces the three `encoder_hidden_states*`.
            encoder_hidden_states_pose: (B, P, T, pose_channels), for networks that have them: what each person does
                besides speaking. None stands for zeros. It may be given without sound, which is then zero for all P.
            speaker_labels: (B, F, H / 2, W / 2) int64: the true class of each token (person, or P for the background)
                in place of the map's; -1 keeps the map's.
            return_reference_maps: return the maps of all blocks, or of those listed, with gradient.
            return_labels: return every block's classes, read from its map.
        """
        grid = self.grid(hidden_states)
        contexts: Sequence[ContextTokens | ContextKeyValues | ContextPasses]
        if conditioning is None:
            tokens, people = self._context_tokens(
                encoder_hidden_states, encoder_hidden_states_image, encoder_hidden_states_audio,
                encoder_hidden_states_pose, hidden_states.shape[2],
            )  # fmt: skip
            contexts, frames, binds = [tokens] * len(self.blocks), tokens.audio.shape[1], None
        else:
            contexts, people, binds = conditioning.blocks, conditioning.people, conditioning.binds
            frames = conditioning.blocks[0].audio_key.shape[1]
        if frames != grid[0]:
            problem = f"has sound for {frames} latent frames"
            raise PolytalkError("encoder_hidden_states_audio", problem, f"The latent has {grid[0]}.")
        wanted = self._blocks_with_maps(return_reference_maps)
        labels = _given_labels(speaker_labels, people)
        masks = self._reference_masks(speaker_masks, people, labels, bool(wanted) or return_labels)

        rotary = self.rope(hidden_states)
        patches = self.patch_embedding(hidden_states.to(self.patch_embedding.weight.dtype))
        states = self.video_tokens(patches.flatten(2).transpose(1, 2).contiguous())
        temb, modulation = self.condition_embedder.time(timestep)
        map_blocks = set(range(len(self.blocks))) if return_labels else wanted
        states, maps = self.blocks(states, contexts, modulation, rotary, masks, labels, binds, map_blocks)
        classes = None
        if return_labels:
            classes = [] if masks is None else [winning_class(m, masks).unflatten(1, grid) for m in maps]
        sample = self._to_sample(states, temb, grid, hidden_states, timestep)
        chosen = [m for i, m in zip(sorted(map_blocks), maps, strict=True) if i in wanted] if wanted else None
        return MultiTalkTransformerOutput(sample, chosen, classes)

    def grid(self, hidden_states: Tensor) -> tuple[int, int, int]:
        """Frames, rows and columns of the tokens that a latent (B, in_channels, F, H, W) becomes.

        Raises:
            PolytalkError: of another number of channels, or sizes that do not divide into patches.
        """
        config: Any = self.config
        sizes, patch = hidden_states.shape[2:], config.patch_size
        if hidden_states.ndim != 5 or hidden_states.shape[1] != config.in_channels:
            problem = f"has shape {tuple(hidden_states.shape)}"
            raise PolytalkError("hidden_states", problem, f"Give (B, {config.in_channels}, F, H, W).")
        if any(size % step for size, step in zip(sizes, patch, strict=True)):
            problem = f"has frames, rows and columns {tuple(sizes)}"
            raise PolytalkError("hidden_states", problem, f"Give multiples of {tuple(patch)}.")
        frames, rows, columns = (size // step for size, step in zip(sizes, patch, strict=True))
        return frames, rows, columns

    def _blocks_with_maps(self, asked: bool | Sequence[int]) -> set[int]:
        if isinstance(asked, bool):
            return set(range(len(self.blocks))) if asked else set()
        return {index % len(self.blocks) for index in asked}

    def _reference_masks(
        self, masks: Tensor | None, people: int, labels: Tensor | None, map_wanted: bool
    ) -> Tensor | None:
        """Class masks (B, P + 1, L / F), or None where no map has to be computed."""
        binds_by_map = people > 1 and (labels is None or bool(labels.isnan().any()))
        if not (binds_by_map or map_wanted):
            return None
        if masks is None:
            raise PolytalkError("speaker_masks", f"is missing for {people} people", "Give (B, P, H, W), bool.")
        if masks.ndim != 4 or (people > 1 and masks.shape[1] != people):
            problem = f"has shape {tuple(masks.shape)} for {people} people"
            raise PolytalkError("speaker_masks", problem, "Give (B, P, H, W), bool.")
        return class_masks(masks, self.rope.patch_size)

    def _to_sample(
        self, states: Tensor, temb: Tensor, grid: tuple[int, int, int], model_input: Tensor, timestep: Tensor
    ) -> Tensor:
        """Video tokens (B, L, D) -> velocity (B, out_channels, F, H, W)."""
        config: Any = self.config
        shift, scale = (self.scale_shift_table.float() + temb.float()[:, None]).chunk(2, dim=1)
        states = (layer_norm(states, self.norm_out) * (1 + scale) + shift).to(states.dtype)
        patches = self.proj_out(states).unflatten(-1, (*config.patch_size, -1)).unflatten(1, grid)
        output = patches.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)
        if config.prediction_type == "velocity":
            return output.to(model_input.dtype)
        noisy = model_input[:, : config.out_channels].float()
        clean = model_input[:, -config.out_channels :].float() + output.float()
        sigma = (timestep.float() / 1000).clamp(min=SMALLEST_SIGMA).view(-1, 1, 1, 1, 1)
        return (noisy - clean) / sigma


def _given_labels(speaker_labels: Tensor | None, people: int) -> Tensor | None:
    """True classes (B, F, h, w) -> labels (B, L), NaN where the map decides; None for one person."""
    if speaker_labels is None or people == 1:
        return None
    flat = speaker_labels.flatten(1)
    labels = class_labels(people, flat.device)[flat.clamp(min=0)]
    return labels.masked_fill(flat < 0, torch.nan)
