"""How long a run takes on a device: operations by its rates, weights by its links, whichever is slower."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from polytalk.config.options import LoadOptions
from polytalk.pipeline.clips import Clip
from polytalk.planning.cost import VideoSize, call_flops, context_bytes
from polytalk.planning.hardware import EIGHT_BIT_GAIN, Device
from polytalk.planning.memory import Workload

_PASSES = 60
"""Times that a block reads or writes all video tokens outside of matrix products (norms, modulation, rotation)."""
_PASSES_COMPILED = 25
_CONVOLUTION_SHARE = 0.35
"""Of a device's rate of products that the autoencoder's convolutions reach."""
_CPU_SHARE = 0.6
"""Of a processor's measured rate that the products of a network of mini's width reach."""
_DISK = 2e9
"""Bytes a second from an NVMe disk."""
_PLAIN_QUANTIZED = 1.15
"""Time of products with weights that are widened first."""
_STEP_CACHES = {"teacache": 0.6, "magcache": 0.55, "firstblock": 0.7}
"""Share of a run's steps that remain with a step cache at its default threshold."""
_WARMUP_COMPILE = 60.0
"""Seconds that compiling takes."""


@dataclass(frozen=True)
class Duration:
    """Seconds by part of the work, loading left out."""

    prepare: float
    """Prompt, voices and pictures."""
    denoise: float
    """The transformer."""
    autoencoder: float
    """Encoding and decoding."""
    call: float
    """One step of the longest clip, all of guidance's predictions."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.prepare + self.denoise + self.autoencoder


def estimate(
    work: Workload, device: Device, options: LoadOptions, clips: list[Clip], height: int, width: int, steps: int
) -> Duration:
    """Seconds for a video.

    Args:
        work: networks and guidance.
        device: with its rates.
        options: the levers.
        clips: of the video.
        height, width: pixels.
        steps: of the sampler.
    """
    rate = device.matmul_rate * (_CPU_SHARE if device.kind == "cpu" else 1.0)
    run = steps
    if options.step_cache is not None and steps > 1:
        run = max(1, round(steps * _STEP_CACHES[options.step_cache]))
    stride = work.activations.size.spatial_stride
    sizes = [VideoSize(clip.num_frames, height, width, stride) for clip in clips]
    calls = [_step_seconds(work, device, options, size, rate) for size in sizes]
    context = sum(_context_seconds(work, device, size, rate) for size in sizes)
    scale = sum(size.frames for size in sizes) / work.activations.size.frames
    denoise = run * sum(calls) + context + (_WARMUP_COMPILE if options.compile else 0.0)
    parts = work.activations
    encoders = parts.text.flops / rate + len(clips) * parts.image.flops / rate
    encoders += parts.people * parts.speech(work.samples).flops / rate
    return Duration(encoders, denoise, scale * _autoencoder_seconds(work, options, rate), max(calls))


def _step_seconds(work: Workload, device: Device, options: LoadOptions, size: VideoSize, rate: float) -> float:
    """One step: all predictions."""
    network, parts = work.model.network, work.activations
    linear_rate, batched = rate, work.calls(options) == 1 and not options.chunks_branches
    scheme = work.scheme(options)
    if scheme == "fp8" and device.has_fp8:
        linear_rate *= EIGHT_BIT_GAIN
    elif scheme is not None or options.layerwise_casting:
        linear_rate /= _PLAIN_QUANTIZED
    passes = _PASSES_COMPILED if options.compile else _PASSES
    tokens = size.tokens(network.patch_size)
    moved = passes * network.num_layers * tokens * network.dim * parts.dtype.itemsize
    seconds = 0.0
    for each in work.passes:
        # in a batch, the map is computed for all predictions; else not for those without sound
        people = parts.people if each.has_audio or batched else 1
        flops = call_flops(network, size, people, text_tokens=64)
        attention_rate = device.attention_rate / device.matmul_rate * rate
        seconds += flops.linears / linear_rate + flops.attention / attention_rate + moved / device.bandwidth
    bringing = _bringing_seconds(work, device, options)
    return max(seconds, bringing)


def _bringing_seconds(work: Workload, device: Device, options: LoadOptions) -> float:
    """Seconds in which the blocks' weights come to the device in one step."""
    if not options.transformer_offloaded:
        return 0.0
    weights = work.network_bytes(options)
    times = work.calls(options)
    link = device.link if options.offload == "group" else min(device.link, _DISK)
    if device.kind == "cpu" and options.offload == "group":
        return 0.0
    return times * weights / link


def _context_seconds(work: Workload, device: Device, size: VideoSize, rate: float) -> float:
    """Keys and values of text, picture and sound, once per clip."""
    network, people = work.model.network, work.activations.people
    flops = call_flops(network, size, people, text_tokens=64).context * len(work.passes)
    number = str(work.activations.dtype).removeprefix("torch.")
    written = context_bytes(network, size, people, number, text_tokens=64) * len(work.passes)
    return flops / rate + 4 * written / device.bandwidth


def _autoencoder_seconds(work: Workload, options: LoadOptions, rate: float) -> float:
    """Encoding the longest clip's condition, and its source where it has one, and decoding it."""
    parts = work.activations
    encode, decode = (parts.encode_tiled, parts.decode_tiled) if options.vae_tiling else (parts.encode, parts.decode)
    # a condition that is not a whole clip takes next to nothing; it is counted as one, or the source in its place
    encodings = 2 if work.is_dubbed and work.model.encodes_whole_clips else 1
    flops = encodings * encode.flops + decode.flops
    slow = 2.0 if parts.vae_dtype is torch.float32 and parts.dtype is not torch.float32 else 1.0
    return slow * flops / (rate * _CONVOLUTION_SHARE)
