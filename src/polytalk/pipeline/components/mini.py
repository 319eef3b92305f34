"""The parts of a model as the pipeline sees them: text, picture, sound and video in, features and latents out.

`MiniComponents` are the embedded model's. Another family of encoders (the released ones) is another class with the
same methods.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from polytalk.acceleration.quantization import quantize
from polytalk.acceleration.streaming import load_streamed
from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.config.index import ModelIndex
from polytalk.config.options import LoadOptions
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.models.library_internals import float32_names
from polytalk.models.mini.autoencoder import MiniAutoencoder
from polytalk.models.mini.encoders import MiniImageEncoder, MiniSpeechEncoder, MiniTextEncoder
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.units import FPS, SAMPLES_PER_FRAME, SPATIAL_STRIDE

_SPEECH_CHUNK = 60 * FPS
"""Video frames of sound encoded at once (a minute)."""
_SPEECH_MARGIN = FPS
"""Video frames of sound added on either side: more than the speech encoder sees, so that seams leave no trace."""


@dataclass
class MiniComponents:
    """The embedded model's parts."""

    transformer: MultiTalkTransformer3DModel
    """Denoises."""
    autoencoder: MiniAutoencoder
    """Pixels and latents."""
    speech_encoder: MiniSpeechEncoder
    """Sound to features."""
    text_encoder: MiniTextEncoder
    """Prompt to tokens."""
    image_encoder: MiniImageEncoder
    """Picture to tokens."""

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.transformer.device

    @property
    def dtype(self) -> torch.dtype:
        """Format of the weights."""
        return self.autoencoder.decoder_out.weight.dtype

    @property
    def spatial_stride(self) -> int:
        """Pixels in one row or column of the latent grid."""
        return SPATIAL_STRIDE

    def to(self, device: torch.device, dtype: torch.dtype) -> MiniComponents:
        """Move every part; returns self.

        Norms and modulation of the transformer stay float32, and so do tables (mel filters, latent statistics).
        """
        for part in self.parts().values():
            nn.Module.to(part, device)
            keep = float32_names(part)
            for name, parameter in part.named_parameters():
                kept = any(word in keep for word in name.split("."))
                parameter.data = parameter.data.to(torch.float32 if kept else dtype)
        return self

    def parts(self) -> dict[str, ModelMixin]:
        """The networks by name, which is also the name of their folder."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def encode_text(self, prompts: list[str]) -> Tensor:
        """Prompts to (B, text_len, text_dim)."""
        return self.text_encoder(self.text_encoder.tokenize(prompts).to(self.device))

    def encode_image(self, picture: Tensor) -> Tensor:
        """Picture (B, 3, H, W) to tokens (B, tokens, image_dim)."""
        return self.image_encoder(picture.to(self.device, self.dtype))

    def encode_speech(self, samples: Tensor, num_frames: int) -> Tensor:
        """Normalised 16 kHz sound (P, n) to features (P, num_frames, layers, channels), a minute at a time."""
        parts = []
        for start in range(0, num_frames, _SPEECH_CHUNK):
            stop = min(start + _SPEECH_CHUNK, num_frames)
            first, last = max(0, start - _SPEECH_MARGIN), min(stop + _SPEECH_MARGIN, num_frames)
            sound = samples[:, first * SAMPLES_PER_FRAME : last * SAMPLES_PER_FRAME].to(self.device)
            features = self.speech_encoder(sound, last - first)
            parts.append(features[:, start - first : stop - first])
        return torch.cat(parts, dim=1)

    def encode_video(self, video: Tensor) -> Tensor:
        """Video (B, 3, 4n + 1, H, W) to latents (B, C, n + 1, H / 8, W / 8)."""
        return self.autoencoder.encode(video.to(self.device, self.dtype))

    def decode_video(self, latents: Tensor) -> Tensor:
        """Latents (B, C, n + 1, h, w) to video (B, 3, 4n + 1, 8h, 8w)."""
        return self.autoencoder.decode(latents.to(self.device, self.dtype))

    def fill_latents(self, picture: Tensor, num_latent_frames: int, fill: str) -> Tensor:
        """Latents of the picture ("reference") or of mid grey ("zero") standing still."""
        still = picture if fill == "reference" else torch.zeros_like(picture)
        return self.autoencoder.still(still.to(self.device, self.dtype), num_latent_frames)


MINI_CLASSES: dict[str, type] = {
    "transformer": MultiTalkTransformer3DModel,
    "autoencoder": MiniAutoencoder,
    "speech_encoder": MiniSpeechEncoder,
    "text_encoder": MiniTextEncoder,
    "image_encoder": MiniImageEncoder,
}
"""A folder names classes; only those listed here are ever built."""


def load_mini(
    folder: Path,
    listed: dict[str, str],
    device: torch.device,
    dtype: torch.dtype,
    options: LoadOptions | None = None,
) -> MiniComponents:
    """Load every component of a model of mini's family.

    Args:
        folder: holds one folder per component, written by diffusers' `save_pretrained`.
        listed: component -> class name, from the folder's index.
        device: where to.
        dtype: format of the weights.
        options: the transformer may be quantised, or streamed from disk.

    Raises:
        PolytalkError: a component is missing, unknown or damaged.
    """
    wanted = {name: cls.__name__ for name, cls in MINI_CLASSES.items()}
    if wanted != listed:
        problem = f"the components of {folder} are {', '.join(listed.values()) or 'none'}"
        raise PolytalkError("model", problem, f"Known are {', '.join(wanted.values())}, and those of the 14B model.")
    parts: dict[str, Any] = {name: _load_part(cls, folder / name) for name, cls in MINI_CLASSES.items()}
    components = MiniComponents(**parts).to(device, dtype)
    if options is not None and options.quantization is not None:
        quantize(components.transformer, options.quantization)
    if options is not None and options.offload == "stream":
        components.transformer = _streamed(folder / "transformer", device, dtype)
    return components


def _streamed(folder: Path, device: torch.device, dtype: torch.dtype) -> MultiTalkTransformer3DModel:
    config = MultiTalkTransformer3DModel.load_config(str(folder))
    wide = float32_names(MultiTalkTransformer3DModel)
    build = partial(MultiTalkTransformer3DModel.from_config, config)
    return load_streamed(build, Checkpoint.open(folder), device=device, dtype=dtype, keep_in_fp32=wide)


def save_mini(components: MiniComponents, config: PipelineConfig, folder: Path) -> None:
    """Write every component into a folder of its own, and the index."""
    parts = components.parts()
    for name, part in parts.items():
        part.save_pretrained(str(folder / name))
    ModelIndex({name: type(part).__name__ for name, part in parts.items()}, config).write(folder)


def _load_part(cls: Any, folder: Path) -> ModelMixin:
    try:
        return (
            cls.from_pretrained(str(folder), torch_dtype=torch.float32, local_files_only=True)
            .eval()
            .requires_grad_(False)
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0][:200]
        remedy = f"{cls.__name__} needs config.json and diffusion_pytorch_model.safetensors there."
        raise PolytalkError("model", f"{folder} cannot be loaded ({reason})", remedy) from error
