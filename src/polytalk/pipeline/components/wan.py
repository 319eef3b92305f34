"""The released model's parts: MultiTalk's transformer, Wan2.1's autoencoder, UMT5, CLIP's vision tower and wav2vec2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor
from transformers import CLIPVisionModel, UMT5EncoderModel, Wav2Vec2Model

from polytalk.acceleration.lazy_part import LazyPart
from polytalk.conditioning.clip import encode_picture
from polytalk.conditioning.text import encode_prompts
from polytalk.conditioning.wav2vec2 import Wav2Vec2SpeechEncoder
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.units import TEMPORAL_STRIDE


@dataclass
class WanComponents:
    """The released model's parts; see `Components`.

    Encoders are `LazyPart`s: text and sound are needed once per video, the picture once per clip. Set their
    `after_use` to "drop" or "host" where memory is short.
    """

    transformer: MultiTalkTransformer3DModel
    """Denoises."""
    vae: AutoencoderKLWan
    """Pixels and latents."""
    text_encoder: LazyPart[UMT5EncoderModel]
    """Prompt to tokens."""
    image_encoder: LazyPart[CLIPVisionModel]
    """Picture to tokens."""
    speech_encoder: LazyPart[Wav2Vec2Model]
    """Sound to features; float32 as in the release."""
    tokenizer: Any
    """google/umt5-xxl's, of transformers."""
    device: torch.device
    """Where the work is done, also while weights wait elsewhere."""
    dtype: torch.dtype
    """Format of the network's weights."""

    @property
    def spatial_stride(self) -> int:
        """Pixels in one row or column of the latent grid."""
        return self.vae.config.scale_factor_spatial  # type: ignore[attr-defined]

    def lazy_parts(self) -> dict[str, LazyPart]:
        """The encoders by name, which is also the name of their folder."""
        return {name: getattr(self, name) for name in ("text_encoder", "image_encoder", "speech_encoder")}

    def put_away(self, after_use: Any) -> None:
        """Choose what becomes of all encoders after use, see `AfterUse`."""
        for part in self.lazy_parts().values():
            part.after_use = after_use

    @torch.no_grad()
    def encode_text(self, prompts: list[str]) -> Tensor:
        """Prompts to (B, text_len, text_dim), zero behind each prompt's last token."""
        text_len = self.transformer.config.text_len or 512  # type: ignore[attr-defined]
        with self.text_encoder.use() as encoder:
            return encode_prompts(prompts, self.tokenizer, encoder, text_len, self.device)

    @torch.no_grad()
    def encode_image(self, picture: Tensor) -> Tensor:
        """Picture (B, 3, H, W) to tokens (B, 257, 1280)."""
        with self.image_encoder.use() as encoder:
            return encode_picture(picture.to(self.device), encoder, encoder.embeddings.patch_embedding.weight.dtype)

    @torch.no_grad()
    def encode_speech(self, samples: Tensor, num_frames: int) -> Tensor:
        """Normalised 16 kHz sound (P, n) to float32 features (P, num_frames, layers, channels).

        The whole track at once: its encoder attends to all of it, so that pieces would sound different.
        """
        with self.speech_encoder.use() as encoder:
            listen = Wav2Vec2SpeechEncoder(encoder)
            tracks = samples.to(self.device, torch.float32)
            return torch.stack([listen(track)[:num_frames] for track in tracks])

    @torch.no_grad()
    def encode_video(self, video: Tensor) -> Tensor:
        """Video (B, 3, 4n + 1, H, W) to float32 latents (B, 16, n + 1, H / 8, W / 8) of zero mean, unit deviation."""
        latents = self.vae.encode(video.to(self.device, self.vae.dtype)).latent_dist.mode().float()
        mean, std = self._statistics()
        return (latents - mean) / std

    @torch.no_grad()
    def decode_video(self, latents: Tensor) -> Tensor:
        """Latents (B, 16, n + 1, h, w) to video (B, 3, 4n + 1, 8h, 8w)."""
        mean, std = self._statistics()
        wide = latents.to(self.device, torch.float32) * std + mean
        return self.vae.decode(wide.to(self.vae.dtype)).sample

    def fill_latents(self, picture: Tensor, num_latent_frames: int, fill: str) -> Tensor:
        """Latents of the picture ("reference") or of mid grey ("zero") standing still."""
        shown = picture if fill == "reference" else torch.zeros_like(picture)
        frames = TEMPORAL_STRIDE * (num_latent_frames - 1) + 1
        return self.encode_video(shown[:, :, None].expand(-1, -1, frames, -1, -1))

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the latents, (1, 16, 1, 1, 1) each."""
        config: Any = self.vae.config
        mean, std = (torch.tensor(x, device=self.device) for x in (config.latents_mean, config.latents_std))
        return mean.view(1, -1, 1, 1, 1), std.view(1, -1, 1, 1, 1)
