"""Peak memory of a run, on the device and in the host, for a choice of levers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from polytalk.config.options import LoadOptions
from polytalk.diffusion import GuidancePass
from polytalk.planning.activations import Activations, text_dtype
from polytalk.planning.cost import context_bytes, linear_bytes, network_parameters
from polytalk.planning.hardware import GIB
from polytalk.planning.model_sizes import ModelSizes

_PROGRAM = 1.5 * GIB
"""Python, PyTorch and the libraries in host memory."""
_LOADING = 2 * GIB
"""Room in host memory while weights are read, besides the largest shard."""
_BLOCKS_IN_FLIGHT = 2
"""Offloaded blocks on the device at once: the one that works and the one on its way."""
_SHORT_TEXT = 64
"""Text tokens of a network that takes any number (mini's encoder gives 48)."""
_LAYERS_IN_FLIGHT = 1.1
"""The text encoder's embedding and a little of what follows; every other layer is far smaller."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Most bytes at a time, by part of the work."""

    stages: dict[str, float]
    """What is done -> bytes of tensors on the device."""
    host: float
    """Bytes in host memory; on a CPU everything."""
    weights: float
    """Bytes of all weights together."""

    @property
    def device(self) -> float:
        """The peak on the device."""
        return max(self.stages.values())

    @property
    def stage(self) -> str:
        """Where the peak is."""
        return max(self.stages, key=lambda name: self.stages[name])


@dataclass(frozen=True)
class Workload:
    """What has to be held, apart from the levers."""

    model: ModelSizes
    """The networks."""
    activations: Activations
    """Their working memory, for the longest clip."""
    passes: tuple[GuidancePass, ...]
    """Predictions that guidance needs."""
    samples: int
    """Of the sound, at 16 kHz."""
    kind: str = "cuda"
    """"cuda" or "cpu"."""
    several_clips: bool = True
    """Whether there are several clips, each beginning with frames of the one before."""
    is_dubbed: bool = False
    """Whether clips start from a source video's frames and are laid over them."""

    def memory(self, options: LoadOptions) -> MemoryEstimate:
        """Peak memory with these levers."""
        weights = _Weights(self.model, self.activations, options)
        network, held = weights.network_resident, weights.autoencoder
        kept = sum(weights.encoders.values()) if options.offload == "none" else 0.0
        stages = {name: network + held + (kept or own) + run for name, own, run in self._encoder_stages(weights)}
        tiled, parts = options.vae_tiling, self.activations
        encode, decode = (parts.encode_tiled, parts.decode_tiled) if tiled else (parts.encode, parts.decode)
        base = network + held + kept + self._known_frames + self._guide
        context = self._context(options)
        # known frames and grey ones, and both joined; in the autoencoder's format besides
        wide, own = 4, parts.vae_dtype.itemsize
        video = self._pixels * (2 * wide + (own if own != wide else 0)) if self.model.encodes_whole_clips else 0
        stages["encoding the picture"] = base + video + encode.peak_bytes
        stages["preparing the clip"] = base + context.making
        stages["denoising"] = base + context.device + self._call_peak(options)
        # colours are matched frame by frame on what the autoencoder has given
        stages["decoding"] = base + max(decode.peak_bytes, parts.finish.peak_bytes + decode.result_bytes)
        host = self._host(weights, stages, options) + context.host
        return MemoryEstimate(stages, host, weights.total)

    @property
    def _pixels(self) -> float:
        """Numbers in a clip's frames."""
        size = self.activations.size
        return 3.0 * size.frames * size.height * size.width

    @property
    def _known_frames(self) -> float:
        """Bytes of the picture and of the clip before, whose last frames are needed."""
        frames = self.activations.size.frames
        return 4 * self._pixels * ((1 if self.several_clips else 0) + 1 / frames)

    @property
    def _guide(self) -> float:
        """Bytes of a source video's frames and of how far the new ones cover them."""
        return 4 * self._pixels * (1 + 1 / 3) if self.is_dubbed else 0.0

    def network_bytes(self, options: LoadOptions) -> float:
        """Bytes of the transformer's weights."""
        return _Weights(self.model, self.activations, options).network

    def _encoder_stages(self, weights: _Weights) -> list[tuple[str, float, float]]:
        """(what, its own weights, working memory) of the parts used once per video or clip."""
        parts, encoders = self.activations, weights.encoders
        return [
            ("reading the prompt", weights.text_resident, parts.text.peak_bytes),
            ("hearing the voices", encoders["speech_encoder"], parts.speech(self.samples).peak_bytes),
            ("seeing the picture", encoders["image_encoder"], parts.image.peak_bytes),
        ]

    def _context(self, options: LoadOptions) -> _Context:
        """Keys and values kept for all predictions of a clip; what they have in common they share."""
        parts, network = self.activations, self.model.network
        dtype = str(parts.dtype).removeprefix("torch.")

        def kept(text: bool, image: bool, voices: int) -> float:
            tokens = text_tokens if text else 0
            own = replace(network, text_len=None, image_dim=network.image_dim if image else None)
            return context_bytes(own, parts.size, voices, dtype, text_tokens=tokens)

        text_tokens = network.text_len or _SHORT_TEXT
        voices = [parts.people if each.has_audio else 1 for each in self.passes]
        shared, making = 0.0, 0.0
        for index, (each, own) in enumerate(zip(self.passes, voices, strict=True)):
            # all is made before what an earlier prediction has too is dropped
            making = max(making, shared + kept(True, True, own))
            before = self.passes[:index]
            new_text = all(other.has_text != each.has_text for other in before)
            new_sound = all(other.has_audio != each.has_audio for other in before)
            shared += kept(new_text, index == 0, own if new_sound else 0)
        if self.calls(options) > 1 or len(self.passes) == 1 or options.chunks_branches:
            elsewhere = self.kind != "cpu" and options.transformer_offloaded
            waits = elsewhere and options.chunks_branches and len(self.passes) > 1
            held = shared / network.num_layers if waits else shared
            return _Context(held, max(making, shared), shared if waits else 0.0)
        # in a batch everything is copied, and a voice repeated to the others' number
        stacked = len(voices) * kept(True, True, max(voices))
        return _Context(stacked, max(making, shared + stacked), 0.0)

    def scheme(self, options: LoadOptions) -> str | None:
        """Quantisation of the blocks: the files' own, or the one asked for."""
        return self.model.quantization or options.quantization

    def calls(self, options: LoadOptions) -> int:
        """Calls of the network in a step."""
        batched = self.model.config.batch_guidance or options.chunks_branches
        return 1 if batched else len(self.passes)

    def _call_peak(self, options: LoadOptions) -> float:
        passes = len(self.passes) // self.calls(options)
        in_turn = options.chunks_branches and passes > 1
        run = self.activations.network_call(passes, in_turn, self.scheme(options))
        frames, height, width = self.activations.size.latent
        latents = 4.0 * self.model.network.in_channels * frames * height * width
        # the latent, its noise, the condition and one velocity per prediction, in float32
        total = run.peak_bytes + latents * (1 + len(self.passes) / 2)
        return total * 2 if options.step_cache == "firstblock" and passes == 1 else total + self._cached(options)

    def _cached(self, options: LoadOptions) -> float:
        """What step caches keep: a residual per prediction."""
        if options.step_cache is None:
            return 0.0
        size, network = self.activations.size, self.model.network
        return len(self.passes) * size.tokens(network.patch_size) * network.dim * self.activations.dtype.itemsize

    def _host(self, weights: _Weights, stages: dict[str, float], options: LoadOptions) -> float:
        program = _PROGRAM + 2 * self._pixels  # a byte each: the clip that is written, and its encoder's frames
        if self.kind == "cpu":
            return program + max(stages.values())
        encoders = weights.encoders.values()
        waiting = {
            "none": 0.0,
            "model": sum(encoders),
            "group": sum(encoders) + weights.network,
            # encoders are read again whenever they are needed
            "stream": max(encoders) + _BLOCKS_IN_FLIGHT * weights.block,
        }
        return program + waiting[options.offload] + min(self.model.largest_shard, weights.network) + _LOADING


@dataclass(frozen=True)
class _Context:
    """Bytes of keys and values of text, picture and sound."""

    device: float
    """On the device while the network runs."""
    making: float
    """On the device while they are made."""
    host: float
    """In host memory while the network runs."""


@dataclass(frozen=True)
class _Weights:
    """Bytes of weights with a choice of levers."""

    model: ModelSizes
    activations: Activations
    options: LoadOptions

    @cached_property
    def encoders(self) -> dict[str, float]:
        """Text, speech and picture encoder."""
        dtype = self.activations.dtype
        formats = {
            "text_encoder": text_dtype(dtype),
            "speech_encoder": dtype if self.model.family == "mini" else torch.float32,
            "image_encoder": dtype,
        }
        return {name: self.model.part_bytes(name, number) for name, number in formats.items()}

    @cached_property
    def text_resident(self) -> float:
        """What of the text encoder is on the device at a time: its layers follow one another where blocks do."""
        if self.model.family == "mini" or not self.options.transformer_offloaded:
            return self.encoders["text_encoder"]
        return _LAYERS_IN_FLIGHT * self.model.largest_layer_bytes("text_encoder", text_dtype(self.activations.dtype))

    @cached_property
    def autoencoder(self) -> float:
        """The video autoencoder, which stays on the device."""
        name = "autoencoder" if self.model.family == "mini" else "vae"
        return self.model.part_bytes(name, self.activations.vae_dtype)

    @cached_property
    def network(self) -> float:
        """The whole transformer, adapters included."""
        return self._blocks + self._rest + self._adapters

    @cached_property
    def block(self) -> float:
        """One block of it."""
        return (self._blocks + self._adapters) / self.model.network.num_layers

    @cached_property
    def network_resident(self) -> float:
        """What of it is on the device at a time."""
        options, count = self.options, self.model.network.num_layers
        resident = self.network
        if options.transformer_offloaded and count > _BLOCKS_IN_FLIGHT:
            resident = self._rest + _BLOCKS_IN_FLIGHT * self.block
        if options.layerwise_casting and self._scheme is None:
            resident += self._linears / count * self.activations.dtype.itemsize  # one block in full
        return resident

    @property
    def total(self) -> float:
        """All parts."""
        return self.network + self.autoencoder + sum(self.encoders.values())

    @property
    def _scheme(self) -> str | None:
        return self.model.quantization or self.options.quantization

    @cached_property
    def _linears(self) -> int:
        parameters = network_parameters(self.model.network)
        return parameters.block_linears + parameters.context_linears

    @cached_property
    def _blocks(self) -> float:
        narrow = self.options.layerwise_casting and self._scheme is None
        dtype = str(self.activations.dtype).removeprefix("torch.")
        return self._linears * (1.0 if narrow else linear_bytes(dtype, self._scheme))

    @cached_property
    def _rest(self) -> float:
        parameters = network_parameters(self.model.network)
        return parameters.other * self.activations.dtype.itemsize + parameters.float32 * 4.0

    @cached_property
    def _adapters(self) -> float:
        paths = [Path(lora.path) for lora in self.options.loras]
        return float(sum(path.stat().st_size for path in paths if path.is_file()))
