"""All ranks see the same: rank 0 encodes and decodes, the others get its results.

Ranks that computed them on their own would agree almost, which is not enough: GPUs choose kernels by measurement, and a
difference in the last digit of a latent grows over the steps until the shards of one video no longer fit together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from diffusers.hooks import HookRegistry, ModelHook
from torch import Tensor

from polytalk.models.components import Components
from polytalk.models.transformer import MultiTalkTransformer3DModel


def share_latents(transformer: MultiTalkTransformer3DModel) -> None:
    """At every call of the network all ranks take rank 0's latents, whatever noise they have drawn."""
    HookRegistry.check_if_exists_or_initialize(transformer).register_hook(_RankZeroLatents(), "polytalk_latents")


class _RankZeroLatents(ModelHook):
    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (_from_rank_zero(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": _from_rank_zero(kwargs["hidden_states"])}


def _from_rank_zero(own: Tensor | None) -> Tensor | None:
    if own is None:
        return None
    # guidance's predictions start from one latent, expanded: send it once
    repeated = own.shape[0] > 1 and own.stride(0) == 0
    latents = (own[:1] if repeated else own).clone(memory_format=torch.contiguous_format)
    dist.broadcast(latents, src=0)
    return latents.expand(own.shape) if repeated else latents


class SharedComponents:
    """`Components` of which rank 0 alone does the encoding and decoding, and tells the results to the others.

    Args:
        components: a model's parts, the same on every rank.
        text_on_all_ranks: the text encoder's weights are shared out, so all ranks have to run it.
    """

    def __init__(self, components: Components, *, text_on_all_ranks: bool = False) -> None:
        self._components = components
        self._text_on_all_ranks = text_on_all_ranks

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_components"], name)

    @property
    def transformer(self) -> MultiTalkTransformer3DModel:
        """The network, which runs on all ranks."""
        return self._components.transformer

    @transformer.setter
    def transformer(self, network: MultiTalkTransformer3DModel) -> None:
        self._components.transformer = network

    def encode_text(self, prompts: list[str]) -> Tensor:
        """Prompts to (B, text_len, text_dim)."""
        return self._from_rank_zero(lambda: self._components.encode_text(prompts), everywhere=self._text_on_all_ranks)

    def encode_image(self, picture: Tensor) -> Tensor:
        """Picture (B, 3, H, W) to tokens (B, tokens, image_dim)."""
        return self._from_rank_zero(lambda: self._components.encode_image(picture))

    def encode_speech(self, samples: Tensor, num_frames: int) -> Tensor:
        """Normalised 16 kHz sound (P, n) to features (P, num_frames, layers, channels)."""
        return self._from_rank_zero(lambda: self._components.encode_speech(samples, num_frames))

    def encode_video(self, video: Tensor) -> Tensor:
        """Video (B, 3, 4n + 1, H, W) to latents (B, C, n + 1, H / stride, W / stride)."""
        return self._from_rank_zero(lambda: self._components.encode_video(video))

    def decode_video(self, latents: Tensor) -> Tensor:
        """The inverse of `encode_video`."""
        return self._from_rank_zero(lambda: self._components.decode_video(latents))

    def fill_latents(self, picture: Tensor, num_latent_frames: int, fill: str) -> Tensor:
        """Condition latents (B, C, F, h, w) of frames that are not known, by `PipelineConfig.fill_condition`."""
        return self._from_rank_zero(lambda: self._components.fill_latents(picture, num_latent_frames, fill))

    def _from_rank_zero(self, compute: Callable[[], Tensor], *, everywhere: bool = False) -> Tensor:
        main = dist.get_rank() == 0
        own = compute() if main or everywhere else None
        kind: list[Any] = [(tuple(own.shape), own.dtype) if main and own is not None else None]
        dist.broadcast_object_list(kind, src=0, device=torch.device("cpu"))
        shape, dtype = kind[0]
        if main and own is not None:
            result = own.to(self._components.device).contiguous()
        else:
            result = torch.empty(shape, dtype=dtype, device=self._components.device)
        dist.broadcast(result, src=0)
        return result
