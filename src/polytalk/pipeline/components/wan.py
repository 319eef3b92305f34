"""The released model's parts: MultiTalk's transformer, Wan2.1's autoencoder, UMT5, CLIP's vision tower and wav2vec2.

They are read into memory, used, and written as one folder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from polytalk.acceleration.offload import AfterUse, LazyPart
from polytalk.acceleration.quantization import quantizer
from polytalk.acceleration.streaming import load_streamed
from polytalk.checkpoints.fill import load_into
from polytalk.checkpoints.layouts import DOWNLOAD, existing
from polytalk.checkpoints.wan import WAN_CLASSES, Part, WanFiles
from polytalk.conditioning.clip import encode_picture
from polytalk.conditioning.text import encode_prompts
from polytalk.conditioning.wav2vec2 import Wav2Vec2SpeechEncoder
from polytalk.config.index import ModelIndex
from polytalk.config.options import LoadOptions
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.models.library_internals import float32_names
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.units import TEMPORAL_STRIDE, torch_dtype

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan
    from transformers import CLIPVisionModel, UMT5EncoderModel, Wav2Vec2Model


_log = logging.getLogger(__name__)
_AFTER_USE: dict[str, AfterUse] = {"none": "keep", "model": "host", "group": "host", "stream": "drop"}
"""`LoadOptions.offload` -> what becomes of encoders after use."""
_SHARD = "5GB"
"""Largest weight file that is written."""


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
        config: Any = self.vae.config
        return config.scale_factor_spatial

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
        config: Any = self.transformer.config
        with self.text_encoder.use() as encoder:
            return encode_prompts(prompts, self.tokenizer, encoder, config.text_len or 512, self.device)

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
        still = picture if fill == "reference" else torch.zeros_like(picture)
        frames = TEMPORAL_STRIDE * (num_latent_frames - 1) + 1
        return self.encode_video(still[:, :, None].expand(-1, -1, frames, -1, -1))

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the latents, (1, 16, 1, 1, 1) each."""
        config: Any = self.vae.config
        mean, std = (torch.tensor(x, device=self.device) for x in (config.latents_mean, config.latents_std))
        return mean.view(1, -1, 1, 1, 1), std.view(1, -1, 1, 1, 1)


def load_components(
    files: WanFiles, device: torch.device, dtype: torch.dtype, options: LoadOptions | None = None
) -> WanComponents:
    """Read transformer and autoencoder; the encoders are read when first used.

    Args:
        files: from `open_files`.
        device: where the work is done.
        dtype: format of the weights. Norms and the timestep's arithmetic stay float32, and so does wav2vec2; UMT5 is
            bfloat16 where its file is, as in the release (11 GB), or where float16, whose range it exceeds, is asked
            for.
        options: how weights are held; the transformer's stay in host memory where blocks come to the device one by one.

    Raises:
        PolytalkError: a tensor is missing, left over or of another shape.
    """
    choices = options or LoadOptions()
    for name, part in files.parts().items():
        if part.unused:
            _log.info("%s: %d tensors are not needed, e.g. %s", name, len(part.unused), part.unused[0])
    vae_dtype = torch_dtype(choices.vae_dtype) if choices.vae_dtype else dtype
    narrow_text = dtype is torch.float16 or torch.bfloat16 in files.text_encoder.tensors.dtypes.values()
    text_dtype = torch.bfloat16 if narrow_text else dtype
    after_use = _AFTER_USE[choices.offload]
    return WanComponents(
        load_transformer(files.transformer, device, dtype, choices),
        load_into(files.vae.build, files.vae.tensors, device=device, dtype=vae_dtype).requires_grad_(False),
        LazyPart(_reader(files.text_encoder, text_dtype), device, after_use),
        LazyPart(_reader(files.image_encoder, dtype), device, after_use),
        LazyPart(_reader(files.speech_encoder, torch.float32), device, after_use),
        load_tokenizer(files.tokenizer),
        device,
        dtype,
    )


def load_transformer(
    part: Part, device: torch.device, dtype: torch.dtype, options: LoadOptions
) -> MultiTalkTransformer3DModel:
    """The network as `options` ask: streamed from disk, or read whole and quantised block by block meanwhile."""
    wide = float32_names(MultiTalkTransformer3DModel)
    network: Any
    if options.offload == "stream":
        network = load_streamed(part.build, part.tensors, device=device, dtype=dtype, keep_in_fp32=wide)
    else:
        steps = []
        if options.quantization is not None:
            steps.append(quantizer(options.quantization))
        sharded = options.parallel is not None and options.parallel.fsdp
        if sharded and not options.loras:
            from polytalk.acceleration.parallel.apply import block_sharder  # as in acceleration.apply

            steps.append(block_sharder(device))

        def on_module(name: str, module: nn.Module) -> None:
            for step in steps:
                step(name, module)

        # LoRAs are laid over whole weights, so sharing these out has to wait
        waits = options.transformer_offloaded or (sharded and options.loras)
        place = torch.device("cpu") if waits else device
        network = load_into(part.build, part.tensors, device=place, dtype=dtype, keep_in_fp32=wide, on_module=on_module)
    return network.requires_grad_(False)


def load_tokenizer(folder: Path) -> Any:
    """google/umt5-xxl's tokenizer exactly as its tokenizer.json describes it.

    The library's own class for T5, which its other files name, would rebuild it without its normaliser and its
    fallback to bytes: prompts with, say, Chinese punctuation would be cut into other pieces than in the release.

    Raises:
        PolytalkError: the folder holds none.
    """
    from transformers import PreTrainedTokenizerFast

    path = existing(folder / "tokenizer.json")
    try:
        return PreTrainedTokenizerFast(
            tokenizer_file=str(path), pad_token="<pad>", eos_token="</s>", unk_token="<unk>", padding_side="right"
        )
    except Exception as error:  # the library's parser raises bare Exceptions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise PolytalkError(str(path), f"is no tokenizer ({reason})", DOWNLOAD) from error


def save_components(components: WanComponents, config: PipelineConfig, folder: Path) -> None:
    """Write everything into one folder, in our own layout; encoders are read one at a time.

    Raises:
        PolytalkError: the transformer is quantised, which its files would not show.
        OSError: the folder cannot be written.
    """
    refuse_unusual_weights(components.transformer)
    components.transformer.save_pretrained(str(folder / "transformer"), max_shard_size=_SHARD)
    components.vae.save_pretrained(str(folder / "vae"))
    components.tokenizer.save_pretrained(str(folder / "tokenizer"))
    for name, part in components.lazy_parts().items():
        with part.use() as network:
            network.save_pretrained(str(folder / name), max_shard_size=_SHARD)
    ModelIndex(dict(WAN_CLASSES), config).write(folder)


def refuse_unusual_weights(network: nn.Module) -> None:
    """Raise PolytalkError when a weight is not a plain floating-point tensor in memory."""
    remedy = 'Load it without `quantization` and with `offload="none"`, or use `polytalk weights convert`.'
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_meta:
            raise PolytalkError("model", f"{name} is streamed from disk", remedy)
        plain = type(tensor.data) is torch.Tensor and tensor.is_floating_point()
        if name.endswith("weight") and not plain:
            raise PolytalkError("model", f"{name} is quantised", remedy)


def _reader(part: Part, dtype: torch.dtype) -> Callable[[torch.device], Any]:
    def read(device: torch.device) -> nn.Module:
        return load_into(part.build, part.tensors, device=device, dtype=dtype).requires_grad_(False)

    return read
