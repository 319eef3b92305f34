"""How well and how fast mini's autoencoder is: `python benchmarks/autoencoder.py [PICTURE ...]`.

Prints PSNR in dB over held-out drawn scenes and of each picture given (standing still, all frames), at mini's size,
decoded frames a second, and how well the mouths of drawn talks follow their voices when they have been through the
autoencoder: the most that any network on its latents could reach.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch

from polytalk.conditioning.picture import choose_size, fit_picture
from polytalk.evaluation.measures.metrics import SyncMatrix
from polytalk.evaluation.readers.mouth_reader import MouthReader
from polytalk.evaluation.scenes.held_out import held_out_clips
from polytalk.evaluation.scenes.renderings import scene_config
from polytalk.media.image import load_image
from polytalk.models.mini.autoencoder import MiniAutoencoder
from polytalk.pipeline.components.mini import MiniComponents
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.synthetic.scenes import draw_clips
from polytalk.synthetic.seeds import HELD_OUT_SEED
from polytalk.training.loop import load_weights


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


def mouths(model: MiniAutoencoder, people: int, scenes: int) -> tuple[float, float]:
    """Correlation of mouths with their own voices in drawn talks: as they are, and through the autoencoder."""
    reader, drawn = MouthReader.from_pretrained(), held_out_clips(scenes, people=people, config=scene_config())
    found = []
    for rebuilt in (False, True):
        measure = SyncMatrix(people)
        for clip in drawn:
            frames = through(model, clip.frames) if rebuilt else clip.frames
            (track,) = reader.follow([frames], [clip.mouth_boxes[0]])
            measure.update(track.opening, clip.mouth[..., 0], clip.speaking)
        found.append(measure.compute()["own"])
    return found[0], found[1]


@torch.no_grad()
def through(model: MiniAutoencoder, frames: np.ndarray) -> np.ndarray:
    """Frames uint8 (T, H, W, 3) encoded and decoded."""
    video = torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    decoded = model.decode(model.encode(video.to(model.decoder_out.weight.dtype)))[0].float().clamp(-1, 1)
    return ((decoded.permute(1, 2, 3, 0) + 1) * 127.5).round().to(torch.uint8).numpy()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="*")
    parser.add_argument("--scenes", type=int, default=32)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--weights", type=Path, help="of stage autoencoder, instead of the model's")
    arguments = parser.parse_args()
    pipeline = MultiTalkPipeline.from_pretrained(arguments.model)
    assert isinstance(pipeline.components, MiniComponents)
    model = pipeline.components.autoencoder
    if arguments.weights is not None:
        load_weights(model, arguments.weights)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {model.decoder_out.weight.dtype}")
    counts = [1 + i % 3 for i in range(arguments.scenes)]
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + arguments.scenes)
    measured = [psnr(model, clip.frames) for clip in draw_clips(seeds, counts)]
    values, speeds = zip(*measured, strict=True)
    print(f"drawn scenes ({arguments.scenes}, 33 frames): {np.mean(values):.2f} dB, lowest {min(values):.2f}")
    print(f"decoding: {np.median(speeds):.0f} frames a second")
    for people in (1, 2):
        true, rebuilt = mouths(model, people, arguments.scenes)
        print(f"mouths of {people}: follow their voices by {true:.3f}, rebuilt by {rebuilt:.3f}")
    for path in arguments.pictures:
        picture = load_image(path)
        pixels, _ = fit_picture(picture, choose_size(picture.width, picture.height, "mini"))
        value, _ = psnr(model, np.repeat(pixels[None], 33, axis=0))
        print(f"{path}: {value:.2f} dB")


if __name__ == "__main__":
    main()
