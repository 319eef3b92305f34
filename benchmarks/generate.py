"""How long a video takes, and where the time goes: `python benchmarks/generate.py [--model mini] [--frames PNG]`.

Measures what a user waits for: a fresh process that imports PyTorch, loads the model, reads the demo's picture and
voices, makes the video and writes the file. Prints seconds, and seconds per second of video.
"""

from __future__ import annotations

import argparse
import platform
import resource
import tempfile
import time
from collections import defaultdict
from pathlib import Path

START = time.perf_counter()


class Stopwatch:
    """Adds up the seconds between `lap` calls under the name of what went on since the last one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._since, self._activity = START, "importing PyTorch and Polytalk"

    def lap(self, activity: str) -> None:
        """What went on ends now; `activity` begins."""
        now = time.perf_counter()
        self.seconds[self._activity] += now - self._since
        self._since, self._activity = now, activity


def main() -> None:
    """Run once and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--seconds", type=float, default=3.0, help="of video")
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--dtype", default=None)
    parser.add_argument("--device", default=None)
    parser.add_argument("--frames", type=Path, help="PNG: the picture, and every eighth frame of the video")
    arguments = parser.parse_args()

    watch = Stopwatch()
    import numpy as np
    import torch

    from polytalk import Scene
    from polytalk.assets import asset
    from polytalk.cli.info import processor_name
    from polytalk.evaluation.reports.contact_sheet import contact_sheet
    from polytalk.media.video import VideoWriter
    from polytalk.pipeline.multitalk import MultiTalkPipeline

    watch.lap("loading the model")
    pipe = MultiTalkPipeline.from_pretrained(arguments.model, torch_dtype=arguments.dtype, device=arguments.device)
    watch.lap("reading picture and voices")
    prepared = pipe.prepare(Scene.from_json(asset("demo.json"))).first_seconds(arguments.seconds)
    events = 0

    def progress(event) -> None:
        nonlocal events
        events = max(events, event.num_clips)
        watch.lap(event.stage.value)

    made: list[np.ndarray] = []
    clips = pipe.stream(
        prepared,
        generator=torch.Generator().manual_seed(0),
        progress=progress,
        num_inference_steps=arguments.steps,
    )
    with tempfile.TemporaryDirectory() as folder:
        sound = prepared.sound
        with VideoWriter(Path(folder, "talk.mp4"), 25, sound.samples, sound.sample_rate) as writer:
            for clip in clips:
                watch.lap("writing the file")
                made.extend(clip.frames)
                for frame in clip.frames:
                    writer.write(frame)
    watch.lap("done")
    if arguments.frames is not None:
        cells = [prepared.pixels, *made[7::8]]
        contact_sheet(
            [np.stack(cells[first : first + 4]) for first in range(0, len(cells), 4)], arguments.frames, columns=4
        )

    components, video = pipe.components, prepared.num_frames / 25
    height, width = prepared.pixels.shape[:2]
    dtype = str(components.dtype).removeprefix("torch.")
    steps = arguments.steps or pipe.config.num_inference_steps
    software = f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}"
    print(f"machine   {platform.node()}: {processor_name()}, {software}")
    print(f"model     {arguments.model} on {components.device}, {dtype}, {steps} steps, {events} clips")
    print(f"video     {video:.2f} s of {width} × {height}, {len(prepared.masks)} people")
    total = sum(watch.seconds.values())
    for activity, seconds in watch.seconds.items():
        print(f"{seconds:8.2f} s {seconds / total:5.0%} {activity}")
    print(f"{total:8.2f} s in all, {total / video:.1f} s per second of video")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:8.2f} GB peak memory")


if __name__ == "__main__":
    main()
