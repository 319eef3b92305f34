"""How well and how fast mini's autoencoder is: `python benchmarks/autoencoder.py [PICTURE ...]`.

Prints PSNR in dB over held-out drawn scenes and of each picture given (standing still, all frames), at mini's size, and
decoded frames a second.
"""

from __future__ import annotations

import argparse
import os
import platform
import time

import numpy as np
import torch

from polytalk.conditioning.picture import choose_size, fit_picture
from polytalk.evaluation.held_out import HELD_OUT_SEED, draw_clips
from polytalk.media.image import load_image
from polytalk.models.mini_autoencoder import MiniAutoencoder
from polytalk.pipelines import MultiTalkPipeline
from polytalk.pipelines.components import MiniComponents


@torch.no_grad()
def psnr(model: MiniAutoencoder, frames: np.ndarray) -> tuple[float, float]:
    """PSNR in dB of frames uint8 (T, H, W, 3) as 8-bit pixels, and decoded frames a second."""
    video = torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    dtype = model.decoder_out.weight.dtype
    latents = model.encode(video.to(dtype))
    began = time.perf_counter()
    decoded = model.decode(latents)
    seconds = time.perf_counter() - began
    pixels = ((decoded.float().clamp(-1, 1) + 1) * 127.5).round()
    error = (pixels - (video + 1) * 127.5).square().mean()
    return float(10 * torch.log10(255**2 / error)), len(frames) / seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="*")
    parser.add_argument("--scenes", type=int, default=32)
    parser.add_argument("--model", default="mini")
    arguments = parser.parse_args()
    pipeline = MultiTalkPipeline.from_pretrained(arguments.model)
    assert isinstance(pipeline.components, MiniComponents)
    model = pipeline.components.autoencoder
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {model.decoder_out.weight.dtype}")
    people = [1 + i % 3 for i in range(arguments.scenes)]
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + arguments.scenes)
    measured = [psnr(model, clip.frames) for clip in draw_clips(seeds, people)]
    values, speeds = zip(*measured, strict=True)
    print(f"drawn scenes ({arguments.scenes}, 33 frames): {np.mean(values):.2f} dB, lowest {min(values):.2f}")
    print(f"decoding: {np.median(speeds):.0f} frames a second")
    for path in arguments.pictures:
        picture = load_image(path)
        pixels, _ = fit_picture(picture, choose_size(picture.width, picture.height, "mini"))
        value, _ = psnr(model, np.repeat(pixels[None], 33, axis=0))
        print(f"{path}: {value:.2f} dB")


if __name__ == "__main__":
    main()
