"""How often somebody is in the middle of a word where a long video is cut, and what avoiding that costs.

    python benchmarks/borders.py [--conversations 200] [--seconds 60] [--seed 0]

Simulated conversations: turns of 0.5 to 3 s, pauses of 0.16 to 0.8 s between them, evenly distributed.
"""

from __future__ import annotations

import argparse

import numpy as np

from polytalk.pipeline.clips import Clip, ClipPlanner

FPS = 25
NEAR = 2
"""Frames on either side of a border that count."""
PLANNERS = ((81, 5), (81, 25), (33, 5))
"""Frames of a clip, and those shared with its neighbour."""


def conversation(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """(frames,) bool: whether somebody speaks."""
    frames = np.zeros(round(seconds * FPS), bool)
    time = 0.0
    while time < seconds:
        turn, pause = rng.uniform(0.5, 3), rng.uniform(0.16, 0.8)
        frames[round(time * FPS) : round((time + turn) * FPS)] = True
        time += turn + pause
    return frames


def speech_at_borders(clips: list[Clip], speaking: np.ndarray) -> float:
    """Share of the frames around borders in which somebody speaks."""
    around = [speaking[clip.new_stop - NEAR : clip.new_stop + NEAR] for clip in clips[:-1]]
    return float(np.concatenate(around).mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    talks = [conversation(rng, args.seconds) for _ in range(args.conversations)]
    print("| frames of a clip, shared | even clips | cut in pauses | work |\n| --- | --- | --- | --- |")
    for clip_frames, motion_frames in PLANNERS:
        planner = ClipPlanner(clip_frames, motion_frames)
        plans = [(talk, planner.plan(len(talk)), planner.plan(len(talk), talk)) for talk in talks]
        even = np.mean([speech_at_borders(clips, talk) for talk, clips, _ in plans])
        paused = np.mean([speech_at_borders(clips, talk) for talk, _, clips in plans])
        work = [sum(c.num_frames for c in moved) / sum(c.num_frames for c in fixed) for _, fixed, moved in plans]
        more = 100 * (np.mean(work) - 1)
        print(f"| {clip_frames}, {motion_frames} | {even:.2f} | {paused:.2f} | {more:+.1f}% |")


if __name__ == "__main__":
    main()
