"""What each part of the work takes besides weights, in memory and operations: fake-tensor traces of its code."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch

from polytalk.acceleration.block_hooks import run_passes_in_turn
from polytalk.acceleration.quantization import quantize
from polytalk.models.library_internals import float32_names
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.planning.cost import VideoSize
from polytalk.planning.fake_tensor_trace import TracedCall, fake_network, fake_tensors, measure
from polytalk.planning.model_sizes import ModelSizes
from polytalk.postprocess.colour import match_colour
from polytalk.units import latent_frames

_LAYERS = 2
"""Blocks of a network that is traced; in inference more of them need no more room."""
_TILE, _TILE_STRIDE = 256, 192
"""Pixels of the autoencoder's tiles and of the way from one to the next (diffusers' defaults)."""
MOST_TEXT_TOKENS = 512
"""Of a prompt; what lies beyond is cut off."""
_SHORT_CLIP = 4000
"""Tokens up to which attention on the CPU is traced as it is."""
_PLAIN_SCHEMES = ("int8", "int4")
"""Quantisations that are code of ours; torchao's multiply narrow weights as they are."""
_FRAMES = (9, 13)
"""Lengths that the released autoencoder is traced at; it works through a video in groups, so that all else follows."""


class Activations:
    """The parts of one clip's work, each traced when first asked for.

    Args:
        model: what is traced.
        size: of the clip.
        people: voices.
        kind: "cuda" or "cpu".
        dtype: format of the weights.
        vae_dtype: of the autoencoder's; None is `dtype`.
        text_tokens: of the longer prompt.
        traced: what of this model has been traced already, to be shared among clips, devices and plans.
    """

    def __init__(
        self,
        model: ModelSizes,
        size: VideoSize,
        people: int,
        kind: str,
        dtype: torch.dtype,
        vae_dtype: torch.dtype | None = None,
        text_tokens: int = MOST_TEXT_TOKENS,
        traced: dict[tuple[Any, ...], TracedCall] | None = None,
    ) -> None:
        self.model, self.size, self.people, self.kind = model, size, people, kind
        self.dtype, self.vae_dtype = dtype, vae_dtype or dtype
        self.text_tokens = min(text_tokens, MOST_TEXT_TOKENS)
        self._traced = {} if traced is None else traced

    def _once(self, key: tuple[Any, ...], trace: Callable[[], TracedCall]) -> TracedCall:
        key = (*key, self.dtype, self.vae_dtype, self.kind)
        if key not in self._traced:
            self._traced[key] = trace()
        return self._traced[key]

    def network_call(self, passes: int, in_turn: bool = False, quantization: str | None = None) -> TracedCall:
        """One call of the network with conditioning prepared; operations are those of two blocks only.

        Args:
            passes: predictions in the batch.
            in_turn: run one after the other inside each block.
            quantization: of the blocks, whose products may need weights in full for a moment.
        """
        scheme = quantization if quantization in _PLAIN_SCHEMES else None
        key = ("network", self.size, self.people, passes, in_turn, scheme)
        return self._once(key, lambda: self._trace_network(passes, in_turn, scheme))

    def _trace_network(self, passes: int, in_turn: bool, quantization: str | None) -> TracedCall:
        network, config = self.model.network, self.model.transformer_config
        frames, height, width = self.size.latent
        layers = min(_LAYERS, network.num_layers)
        with fake_tensors(self._network_kind) as device:
            keep = float32_names(MultiTalkTransformer3DModel)
            model: Any = fake_network(lambda: self.model.build_transformer(layers), device, self.dtype, keep)
            if quantization is not None:
                quantize(model, quantization)
            text = torch.empty(passes, network.text_len or 64, network.text_dim, device=device, dtype=self.dtype)
            image = None
            if network.image_dim is not None:
                image = torch.empty(passes, 257, network.image_dim, device=device, dtype=self.dtype)
            features = (network.audio_window, network.audio_layers, network.audio_channels)
            sound = torch.empty(passes, self.people, self.size.frames, *features, device=device)
            conditioning = model.prepare_conditioning(text, image, sound, frames)
            latent = torch.empty(passes, config["in_channels"], frames, height, width, device=device)
            masks = None
            if self.people > 1:
                masks = torch.empty(passes, self.people, height, width, dtype=torch.bool, device=device)
            if in_turn:
                run_passes_in_turn(model)
            time = torch.empty(passes, device=device)
            return measure(lambda: model(latent, time, conditioning=conditioning, speaker_masks=masks))

    @property
    def _network_kind(self) -> str:
        """On a CPU attention goes piece by piece, each of bounded size; those of a long clip would take minutes."""
        tokens = self.size.tokens(self.model.network.patch_size)
        return self.kind if tokens <= _SHORT_CLIP else "cuda"

    @cached_property
    def encode(self) -> TracedCall:
        """Encoding a clip's condition."""
        return self._autoencoder(encode=True)

    @cached_property
    def decode(self) -> TracedCall:
        """Decoding a clip."""
        return self._autoencoder(encode=False)

    @cached_property
    def encode_tiled(self) -> TracedCall:
        """As `encode`, in tiles."""
        return self._tiled(encode=True)

    @cached_property
    def decode_tiled(self) -> TracedCall:
        """As `decode`, in tiles."""
        return self._tiled(encode=False)

    def _autoencoder(self, encode: bool) -> TracedCall:
        size = self.size
        if self.model.family == "mini":
            return self._code("autoencoder", size.frames, size.height, size.width, encode)
        return self._released_code(size.height, size.width, encode)

    def _released_code(self, height: int, width: int, encode: bool) -> TracedCall:
        """Traced at two lengths and extended to the clip's."""
        first, second = (self._code("vae", frames, height, width, encode) for frames in _FRAMES)
        steps = (self.size.frames - _FRAMES[0]) / (_FRAMES[1] - _FRAMES[0])

        def extended(one: int, two: int) -> int:
            return round(max(one + (two - one) * steps, 0))

        return TracedCall(
            extended(first.peak_bytes, second.peak_bytes),
            extended(first.flops, second.flops),
            extended(first.result_bytes, second.result_bytes),
        )

    def _code(self, part: str, frames: int, height: int, width: int, encode: bool) -> TracedCall:
        key = (part, frames, height, width, encode)
        return self._once(key, lambda: self._trace_code(part, frames, height, width, encode))

    def _trace_code(self, part: str, frames: int, height: int, width: int, encode: bool) -> TracedCall:
        stride, channels = self.size.spatial_stride, self.model.network.out_channels
        with fake_tensors("cuda") as device:  # its code is the same everywhere
            coder: Any = fake_network(self.model.builders[part], device, self.vae_dtype)
            if encode:
                video = torch.empty(1, 3, frames, height, width, device=device, dtype=self.vae_dtype)
                return measure(lambda: _plain(coder.encode(video)))
            shape = (1, channels, latent_frames(frames), height // stride, width // stride)
            latents = torch.empty(shape, device=device, dtype=self.vae_dtype)
            return measure(lambda: _plain(coder.decode(latents)))

    def _tiled(self, encode: bool) -> TracedCall:
        """One tile's trace, and what is gathered of all tiles before they are joined."""
        size, whole = self.size, self.encode if encode else self.decode
        rows, columns = (_tile_sides(side) for side in (size.height, size.width))
        if self.model.family == "mini" or len(rows) * len(columns) == 1:
            return whole
        largest = max(rows) * max(columns)
        tile = self._released_code(max(rows), max(columns), encode)
        peak = gathered = 0.0
        for area in (row * column / largest for row in rows for column in columns):
            peak = max(peak, gathered + tile.peak_bytes * area)
            gathered += tile.result_bytes * area
        # rows of tiles are joined, then the rows
        peak = max(peak, gathered + 2 * whole.result_bytes)
        flops = tile.flops * sum(rows) * sum(columns) / largest
        return TracedCall(round(peak), round(flops), whole.result_bytes)

    @cached_property
    def finish(self) -> TracedCall:
        """Bringing decoded frames to float32 and matching their colours."""
        size = self.size
        with fake_tensors("cuda") as device:
            video = torch.empty(1, 3, size.frames, size.height, size.width, device=device, dtype=self.vae_dtype)
            picture = video[:, :, :1].float()
            if self.model.config.colour_strength == 0:
                return measure(lambda: video.float().clamp(-1, 1))
            return measure(lambda: match_colour(video.float().clamp(-1, 1), picture))

    @cached_property
    def text(self) -> TracedCall:
        """Encoding prompt and negative prompt, in operations of the whole encoder."""
        if self.model.family == "mini":
            return TracedCall(0, 0, 0)

        def call(encoder: Any, device: torch.device) -> Callable[[], Any]:
            ids = torch.empty(2, self.text_tokens, dtype=torch.long, device=device)
            return lambda: encoder(input_ids=ids).last_hidden_state

        return self._once(
            ("text", self.text_tokens), lambda: self._encoder("text_encoder", text_dtype(self.dtype), call)
        )

    @cached_property
    def image(self) -> TracedCall:
        """Encoding the picture."""
        if self.model.family == "mini":
            return TracedCall(0, 0, 0)

        def call(encoder: Any, device: torch.device) -> Callable[[], Any]:
            side = encoder.config.image_size
            pixels = torch.empty(1, 3, side, side, dtype=self.dtype, device=device)
            return lambda: encoder(pixels, output_hidden_states=True).hidden_states[-2]

        return self._once(("image",), lambda: self._encoder("image_encoder", self.dtype, call))

    def speech(self, samples: int) -> TracedCall:
        """Encoding one person's whole sound, so many samples at 16 kHz, at once."""
        if self.model.family == "mini":
            return TracedCall(0, 0, 0)

        def call(encoder: Any, device: torch.device) -> Callable[[], Any]:
            sound = torch.empty(1, samples, device=device)
            return lambda: encoder.feature_extractor(sound)

        return self._once(("speech", samples), lambda: self._encoder("speech_encoder", torch.float32, call))

    def _encoder(
        self, part: str, dtype: torch.dtype, make: Callable[[Any, torch.device], Callable[[], Any]]
    ) -> TracedCall:
        with fake_tensors("cuda") as device:
            encoder = fake_network(self.model.builders[part], device, dtype)
            return measure(make(encoder, device))


def text_dtype(dtype: torch.dtype) -> torch.dtype:
    """Format of the text encoder, whose range float16 does not hold."""
    return torch.bfloat16 if dtype is torch.float16 else dtype


def _plain(result: Any) -> Any:
    """The tensor in what diffusers' autoencoder returns; the mini autoencoder returns it as it is."""
    if hasattr(result, "latent_dist"):
        return result.latent_dist.mode()
    return getattr(result, "sample", result)


def _tile_sides(side: int) -> list[int]:
    """Lengths of the tiles along a side; the last ones are cut off by the edge."""
    if side <= _TILE:
        return [side]
    return [min(_TILE, side - start) for start in range(0, side, _TILE_STRIDE)]
