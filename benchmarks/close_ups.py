"""What close-ups gain: `python benchmarks/close_ups.py [--image PICTURE --speaker SOUND --box BOX ...]`.

Of a picture given, or of held-out drawn scenes of 1280 × 720, the model makes a video twice: of the whole picture,
scaled up to its size, and in close-ups. A sheet shows every face at several times, both ways, below the picture.
Printed are

    sharpness   gradients in the faces over the picture's
    outside     PSNR in dB of what belongs to nobody's head, against the picture
    seam        steps across the rectangle that a close-up may change, over the picture's own there (1: no seam)
    fade        gradients between head and rectangle over the picture's (1: neither blurred nor doubled)
    sync, other correlation of mouths with their own and with the other voices (drawn scenes: the truth is known)
    core_seconds  processor time to lay one frame into the picture

and for drawn scenes the composite alone, as if the model were perfect: the drawn frames through its autoencoder, pasted
with a feather, or laid in as close-ups are; PSNR of heads and mouths against the drawn frames.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from polytalk.evaluation.measures.metrics import SyncMatrix, face_region, gradient_energy
from polytalk.evaluation.readers.mouth_reader import MouthReader
from polytalk.evaluation.reports.contact_sheet import contact_sheet
from polytalk.generation.close_ups import CloseUpComposite, CloseUpRun, plan_close_ups
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.postprocess.close_up_composite import CutComposite
from polytalk.scene import Box, Scene, Speaker
from polytalk.units import SAMPLE_RATE

FACE_ROWS = 300
"""Pixels of a face's height on the sheet."""


@dataclass
class Row:
    """What is measured of one way to make a video."""

    name: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **values: float) -> None:
        """Another video's measures."""
        for name, value in values.items():
            self.values.setdefault(name, []).append(float(value))

    def means(self) -> dict[str, float]:
        """By name; what is not known is left out."""
        known = {name: [v for v in values if np.isfinite(v)] for name, values in self.values.items()}
        return {name: round(float(np.mean(values)), 3) for name, values in known.items() if values}


def main() -> None:
    """Print the table and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, help="a picture; without it scenes are drawn")
    parser.add_argument("--speaker", type=Path, action="append", default=[])
    parser.add_argument("--box", action="append", default=[], help="left,top,right,bottom of each speaker")
    parser.add_argument("--arrangement", default="turns")
    parser.add_argument("--height", type=int, help="of the video; the picture's by default")
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--scenes", type=int, default=2)
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--only-composite", action="store_true", help="drawn scenes: leave the model out")
    parser.add_argument("--sheet", type=Path, help="PNG to write")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    pipe = MultiTalkPipeline.from_pretrained(arguments.model)
    rows, strips, labels = given(pipe, arguments) if arguments.image else drawn(pipe, arguments)
    if arguments.sheet:
        contact_sheet(strips, arguments.sheet, columns=6, labels=labels, height=FACE_ROWS)
    table = {row.name: row.means() for row in rows if row.values}
    if arguments.json:
        print(json.dumps(table))
    for name, means in {} if arguments.json else table.items():
        print(f"{name:28}" + "  ".join(f"{key} {value:.2f}" for key, value in means.items()))


def given(pipe: MultiTalkPipeline, arguments: argparse.Namespace) -> tuple[list[Row], list[np.ndarray], list[str]]:
    """A picture of the user's."""
    boxes = [Box.parse(text) for text in arguments.box] or [None] * len(arguments.speaker)
    speakers = [Speaker(sound, box=box) for sound, box in zip(arguments.speaker, boxes, strict=True)]
    scene = Scene(arguments.image, speakers=speakers, arrangement=arguments.arrangement)
    run = plan_close_ups(scene, pipe.config.size_class, height=arguments.height)
    whole, near = both_ways(pipe, scene, run, arguments.seconds, arguments.seed)
    rows = [Row("whole picture"), Row("close-ups")]
    for row, frames in zip(rows, (whole, near), strict=True):
        row.add(**looks(frames, run, [cut.head for cut in run.plan.cuts]))
    return rows, *faces(run, {"whole picture": whole, "close-ups": near})


def drawn(pipe: MultiTalkPipeline, arguments: argparse.Namespace) -> tuple[list[Row], list[np.ndarray], list[str]]:
    """Held-out scenes, whose truth is known."""
    from polytalk.evaluation.scenes.held_out import held_out_clips
    from polytalk.synthetic.scene_config import SceneConfig

    config = SceneConfig(height=720, width=1280, head_size=(0.3, 0.45), camera_motion=0.0, event_probability=0.0)
    length = round(arguments.seconds * 25 / 4) * 4 + 1
    names = (
        "whole picture",
        "close-ups",
        "standing picture",
        "perfect model, pasted",
        "perfect model, close-ups",
    )
    rows = {name: Row(name) for name in names}
    strips, labels, reader = [], [], MouthReader.from_pretrained()
    for number in range(arguments.scenes):
        seed = arguments.seed + number
        clip = held_out_clips(1, people=arguments.people, seed=seed, num_frames=length, config=config)[0]
        heads = [inside(box, clip.reference) for box in clip.face_boxes[0]]
        speakers = [Speaker(sound, SAMPLE_RATE, box) for sound, box in zip(clip.audio, heads, strict=True)]
        scene = Scene(clip.reference, clip.prompt, speakers)
        run = plan_close_ups(scene, pipe.config.size_class, people=())
        perfect = through_autoencoder(pipe, run, clip.frames)
        ways = {
            "standing picture": np.repeat(clip.reference[None], length, axis=0),
            "perfect model, pasted": pasted(pipe, run, perfect),
        }
        composite, began = CloseUpComposite(run.plan, run.picture, pipe.components), time.process_time()
        ways["perfect model, close-ups"] = composite.composite(perfect)
        rows["perfect model, close-ups"].add(core_seconds=(time.process_time() - began) / length)
        for name, frames in ways.items():
            mouths = [inside(box, clip.reference) for box in clip.mouth_boxes[0]]
            rows[name].add(heads=psnr(frames, clip.frames, heads), mouths=psnr(frames, clip.frames, mouths))
            rows[name].add(**looks(frames, run, heads), **follows(reader, frames, clip))
        if not arguments.only_composite:
            made = both_ways(pipe, scene, run, arguments.seconds, seed)
            for name, frames in zip(names[:2], made, strict=True):
                rows[name].add(**looks(frames, run, heads), **follows(reader, frames, clip))
                ways[name] = frames
        del ways["standing picture"]
        shown, told = faces(run, {"drawn": clip.frames, **ways})
        strips, labels = strips + shown, labels + told
        print(f"{number + 1}/{arguments.scenes} scenes", file=sys.stderr, flush=True)
    return list(rows.values()), strips, labels


def both_ways(
    pipe: MultiTalkPipeline, scene: Scene, run: CloseUpRun, seconds: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The whole picture's video scaled up, and the one in close-ups; uint8 (T, height, width, 3)."""
    prepared = pipe.prepare(scene).first_seconds(seconds)
    height, width = run.plan.picture
    whole = np.concatenate([clip.frames for clip in pipe.stream(prepared, seed=seed)])
    # the frame shows a little less than the picture where their aspects differ
    scale = max(prepared.pixels.shape[0] / height, prepared.pixels.shape[1] / width)
    rows, columns = (round(side / scale) for side in prepared.pixels.shape[:2])
    top, left = (height - rows) // 2, (width - columns) // 2
    large = np.repeat(np.asarray(run.picture)[None], len(whole), axis=0)
    for frame, small in zip(large, whole, strict=True):
        frame[top : top + rows, left : left + columns] = Image.fromarray(small).resize((columns, rows), Image.BICUBIC)
    composed = pipe.prepare(run.scene, run.plan.frame).first_seconds(seconds)
    return large, np.concatenate([clip.frames for clip in run.stream(pipe, composed, seed=seed)])


def looks(frames: np.ndarray, run: CloseUpRun, heads: Sequence[Box]) -> dict[str, float]:
    """Sharpness of the heads, what is left of the rest, and whether seams show."""
    picture = np.asarray(run.picture)
    nobody = np.ones(picture.shape[:2], bool)
    sharp, seams, fades = [], [], []
    some = frames[:: max(1, len(frames) // 12)]
    for cut, head in zip(run.plan.cuts, heads, strict=True):
        edges = np.array([head.left, head.top, head.right, head.bottom])
        base = gradient_energy(face_region(picture, edges))
        sharp.append(np.mean([gradient_energy(face_region(frame, edges)) for frame in some]) / base)
        nobody[max(0, cut.top) : cut.bottom, max(0, cut.left) : cut.right] &= ~near_head(cut, head)
        seams.append(max(seam(frame, picture, cut) for frame in some))
        fades += [fade(frame, picture, cut, head) for frame in some]
    error = np.mean((some[:, nobody].astype(np.float32) - picture[nobody]) ** 2)
    outside = min(60.0, 10 * np.log10(255**2 / max(float(error), 1e-9)))
    return {"sharpness": np.mean(sharp), "outside": outside, "seam": max(seams), "fade": np.mean(fades)}


def near_head(cut, head: Box) -> np.ndarray:
    """Of the inside part of a cut's rectangle: what is the head, with a tenth of its size around."""
    rows, columns = np.mgrid[max(0, cut.top) : cut.bottom, max(0, cut.left) : cut.right]
    across, down = 0.1 * head.width, 0.1 * head.height
    inside_x = (columns >= head.left - across) & (columns < head.right + across)
    return inside_x & (rows >= head.top - down) & (rows < head.bottom + down)


def seam(frame: np.ndarray, picture: np.ndarray, cut) -> float:
    """Steps across a rectangle's four sides over the picture's own there; the picture's edges are none."""
    found, own = 0.0, 0.0
    height, width = picture.shape[:2]
    for axis, at, whole in ((0, cut.top, height), (0, cut.bottom, height), (1, cut.left, width), (1, cut.right, width)):
        if not 0 < at < whole:
            continue
        line = slice(max(0, cut.left), cut.right) if axis == 0 else slice(max(0, cut.top), cut.bottom)
        for pixels, first in ((frame, True), (picture, False)):
            pair = pixels[at - 1 : at + 1, line] if axis == 0 else pixels[line, at - 1 : at + 1].swapaxes(0, 1)
            step = float(np.abs(pair[1].astype(np.float32) - pair[0]).mean())
            found, own = (found + step, own) if first else (found, own + step)
    return (found + 0.1) / (own + 0.1)


def fade(frame: np.ndarray, picture: np.ndarray, cut, head: Box) -> float:
    """Gradients between a head and its rectangle's sides over the picture's own."""
    place = np.s_[max(0, cut.top) : cut.bottom, max(0, cut.left) : cut.right]
    around = ~near_head(cut, head)[: picture.shape[0] - place[0].start, : picture.shape[1] - place[1].start]
    energies = []
    for pixels in (frame, picture):
        part = pixels[place].astype(np.float32)
        across, down = np.abs(np.diff(part, axis=1))[:-1], np.abs(np.diff(part, axis=0))[:, :-1]
        energies.append(float((across + down)[around[:-1, :-1]].mean()))
    return (energies[0] + 0.1) / (energies[1] + 0.1)


def follows(reader: MouthReader, frames: np.ndarray, clip) -> dict[str, float]:
    """Whether mouths follow their voices."""
    length = min(len(frames), len(clip.mouth))
    (track,) = reader.follow([frames[:length]], [clip.mouth_boxes[0]])
    sync = SyncMatrix(clip.mouth.shape[1])
    sync.update(track.opening[1:], clip.mouth[1:length, :, 0], clip.speaking[1:length])
    found = sync.compute()
    return {"sync": found["own"], "other": found["other"]}


def through_autoencoder(pipe: MultiTalkPipeline, run: CloseUpRun, frames: np.ndarray) -> np.ndarray:
    """A model's best: the composed frames of a drawn truth, encoded and decoded; uint8 (T, h, w, 3)."""
    composed = np.stack([run.plan.compose(Image.fromarray(frame)) for frame in frames])
    video = torch.from_numpy(composed).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    decoded = pipe.components.decode_video(pipe.components.encode_video(video))[0].float().clamp(-1, 1)
    return ((decoded.permute(1, 2, 3, 0) + 1) * 127.5).round().to(torch.uint8).numpy()


def pasted(pipe: MultiTalkPipeline, run: CloseUpRun, frames: np.ndarray) -> np.ndarray:
    """The simple way: what the model gives, scaled up and feathered into the picture."""
    result = np.repeat(np.asarray(run.picture)[None], len(frames), axis=0)
    whole = torch.from_numpy(result[0].copy()).movedim(-1, 0).float() / 255
    for cut in run.plan.cuts:
        slot = np.s_[:, cut.slot.top : cut.slot.bottom, cut.slot.left : cut.slot.right]
        small = torch.from_numpy(frames[slot].copy()).movedim(-1, 1).float() / 255
        others = [other for other in run.plan.cuts if other is not cut]
        part = CutComposite(cut, others, whole, small[0], small[0])
        share = part.scaled_up(part.head[None] * part.around)
        for frame, made in zip(result, small, strict=True):
            mixed = torch.lerp(part.base, part.scaled_up(made), share).clamp(0, 1)
            frame[part.rows, part.columns] = (255 * mixed).round().to(torch.uint8).movedim(0, -1).numpy()
    return result


def psnr(frames: np.ndarray, truth: np.ndarray, boxes: Sequence[Box]) -> float:
    """dB inside boxes, mean over them."""
    values = []
    for box in boxes:
        place = np.s_[:, box.top : box.bottom, box.left : box.right]
        error = np.mean((frames[place].astype(np.float32) - truth[place]) ** 2)
        values.append(10 * np.log10(255**2 / max(float(error), 1e-9)))
    return float(np.mean(values))


def inside(edges: np.ndarray, picture: np.ndarray) -> Box:
    """Left, top, right, bottom as a box that does not leave the picture."""
    low = np.floor(edges[:2]).clip(0).astype(int)
    high = np.minimum(np.ceil(edges[2:]), picture.shape[1::-1]).astype(int)
    return Box(*map(int, (*low, *high)))


def faces(run: CloseUpRun, ways: dict[str, np.ndarray]) -> tuple[list[np.ndarray], list[str]]:
    """Everybody's part of every video, for the sheet."""
    strips, labels = [], []
    for number, cut in enumerate(run.plan.cuts, start=1):
        place = np.s_[max(0, cut.top) : cut.bottom, max(0, cut.left) : cut.right]
        strips.append(np.asarray(run.picture)[None][:, place[0], place[1]])
        labels.append(f"speaker {number}: the picture")
        for name, frames in ways.items():
            strips.append(np.ascontiguousarray(frames[:, place[0], place[1]]))
            labels.append(f"speaker {number}: {name}")
    return strips, labels


if __name__ == "__main__":
    main()
