"""Time and memory of a conversation against its length, each length in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from polytalk.errors import PolytalkError
from polytalk.evaluation.scenes.conversation_scenes import conversation_scene, prepare, stream
from polytalk.media.video import VideoWriter
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.units import FPS


@dataclass(frozen=True)
class LengthCost:
    """One length."""

    seconds: float
    """Of video."""
    clips: int
    """That it took."""
    wall: float
    """Seconds from the prepared scene to the finished file."""
    processor: float
    """Seconds of processor time of all threads in that while; what others do on the machine hardly touches it."""
    peak: int
    """Most bytes of resident memory of the process, libraries and weights included."""


@dataclass(frozen=True)
class LengthReport:
    """All lengths."""

    costs: list[LengthCost]
    """From the shortest to the longest."""

    @property
    def memory_growth(self) -> float:
        """Peak memory of the longest over that of the shortest."""
        return self.costs[-1].peak / self.costs[0].peak

    @property
    def seconds_per_second(self) -> float:
        """Slope of the straight line through the processor times: seconds per second of video."""
        return float(self._line()[0])

    @property
    def deviation(self) -> float:
        """Largest distance of a processor time from that line, as a share of the line there; NaN for two lengths or
        fewer."""
        if len(self.costs) < 3:
            return float("nan")
        times = np.array([cost.processor for cost in self.costs])
        line = np.polyval(self._line(), [cost.seconds for cost in self.costs])
        return float(np.max(np.abs(times - line) / line))

    def _line(self) -> np.ndarray:
        lengths, times = [cost.seconds for cost in self.costs], [cost.processor for cost in self.costs]
        if len(self.costs) < 2:
            return np.array([times[0] / lengths[0], 0.0])
        return np.polyfit(lengths, times, 1, w=1 / np.array(times))


def measure_lengths(
    lengths: Sequence[float],
    *,
    people: int = 2,
    seed: int = 0,
    model: str = "mini",
    steps: int | None = None,
    progress: Callable[[LengthCost], None] | None = None,
) -> LengthReport:
    """Make one conversation of each length, streamed into a file, in a fresh process.

    Args:
        lengths: seconds.
        people: who talk.
        seed: of scene and noise.
        model: what `MultiTalkPipeline.from_pretrained` takes.
        steps: of the sampler; None is the model's default.
        progress: told of each length that is done.

    Raises:
        PolytalkError: no length, or a process failed.
    """
    if not lengths or min(lengths) <= 0:
        raise PolytalkError("lengths", f"they are {list(lengths)}", "Give seconds, more than 0.")
    costs = []
    for seconds in sorted(lengths):
        command = [sys.executable, "-m", "polytalk.evaluation.reports.length", "--seconds", str(seconds)]
        command += ["--model", model, "--people", str(people), "--seed", str(seed)]
        command += [] if steps is None else ["--steps", str(steps)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
        if done.returncode:
            raise PolytalkError(f"a video of {seconds:g} s", done.stderr.strip()[-400:], "Try it with generate.")
        costs.append(LengthCost(**json.loads(done.stdout.splitlines()[-1])))
        if progress:
            progress(costs[-1])
    return LengthReport(costs)


def make_one(seconds: float, people: int, seed: int, model: str, steps: int | None) -> LengthCost:
    """Make a conversation of a length in this process, and say what it took."""
    pipeline = MultiTalkPipeline.from_pretrained(model)
    scene = conversation_scene(0, seconds, people=people, seed=seed)
    prepared = prepare(pipeline, scene)
    choices = {} if steps is None else {"num_inference_steps": steps}
    began, used, clips = time.perf_counter(), time.process_time(), 0
    with tempfile.TemporaryDirectory(prefix="polytalk-") as folder:
        sound = prepared.sound
        with VideoWriter(Path(folder, "talk.mp4"), FPS, sound.samples, sound.sample_rate) as writer:
            for frames in stream(pipeline, scene, prepared, seed=seed, **choices):
                clips += 1
                for frame in frames:
                    writer.write(frame)
    wall, processor = time.perf_counter() - began, time.process_time() - used
    return LengthCost(prepared.num_frames / FPS, clips, wall, processor, peak_resident())


def peak_resident() -> int:
    """Most bytes of memory that this process has held so far."""
    try:
        import resource
    except ImportError:  # Windows
        return int(psutil.Process().memory_info().peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Make one conversation and print what it took as JSON."""
    parser = argparse.ArgumentParser(description="Time and memory of one conversation.")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    try:
        cost = make_one(given.seconds, given.people, given.seed, given.model, given.steps)
    except PolytalkError as error:
        sys.exit(str(error))
    print(json.dumps(asdict(cost)))


if __name__ == "__main__":
    main()
