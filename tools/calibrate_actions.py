"""Finds the thresholds of `polytalk.evaluation.measures.actions`: `python tools/calibrate_actions.py`.

Scenes with one event each are drawn from seeds of their own, neither trained on nor measured. For every action the
threshold is put where the shares of people who act and are seen, and of people who do not and are not,
add up to most; among equals in the middle.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from polytalk.evaluation.measures.actions import MEASURED, camera_zoom, figures
from polytalk.evaluation.measures.picture_measures import around_people
from polytalk.evaluation.readers.face_reader import FaceReader
from polytalk.evaluation.scenes.held_out import evaluation_voices
from polytalk.evaluation.scenes.renderings import ACTION_SCENES
from polytalk.synthetic.scenes import SyntheticClip, draw_clip
from polytalk.synthetic.seeds import seeds_of
from polytalk.synthetic.speech.conversation import draw_conversation


def acting_clips(scenes: int, num_frames: int = 33) -> Iterable[SyntheticClip]:
    """Drawn scenes of one and two people with one event each, and voices."""
    for number, seed in enumerate(seeds_of("calibration", scenes)):
        people = 1 + number % 2
        config = replace(ACTION_SCENES, num_frames=num_frames, people=(people, people))
        talk = draw_conversation(evaluation_voices(), np.random.default_rng(seed), people, num_frames, False)
        clip = draw_clip(seed, config, talk)
        if clip.events:
            yield clip


def collect(clips: Iterable[SyntheticClip], reader: FaceReader) -> dict[str, tuple[list[float], list[float]]]:
    """Action -> figures of people who do it, and of people who do nothing."""
    found: dict[str, tuple[list[float], list[float]]] = {action: ([], []) for action in MEASURED}
    for clip in clips:
        (track,) = reader.follow([clip.frames], [clip.face_boxes[0]])
        zoom = camera_zoom(clip.frames, around_people(clip))
        done, who = clip.events[0][:2]
        for person in range(clip.mouth.shape[1]):
            for action, figure in figures(track, person, zoom).items():
                if action == done and who in (-1, person):
                    found[action][0].append(figure)
                elif who not in (-1, person):
                    found[action][1].append(figure)
                elif {action, done} <= {"waves", "raises a hand"} or who == -1:
                    continue  # who waves raises a hand; who is seen nearer is not leaning
                elif action == MEASURED[-1]:
                    found[action][1].append(figure)
    return found


def best_threshold(acting: list[float], idle: list[float]) -> tuple[float, float, float]:
    """Threshold, share of acting figures at or above it, share of idle ones."""
    both = np.unique(np.round([*acting, *idle], 3))
    middles = (both[1:] + both[:-1]) / 2
    gain = np.array([np.mean(np.array(acting) >= m) - np.mean(np.array(idle) >= m) for m in middles])
    best = middles[gain >= gain.max() - 1e-9]
    threshold = float(best[len(best) // 2])
    return threshold, float(np.mean(np.array(acting) >= threshold)), float(np.mean(np.array(idle) >= threshold))


def main() -> None:
    """Print a table and the thresholds as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=300)
    options = parser.parse_args()
    found = collect(acting_clips(options.scenes), FaceReader.from_pretrained())
    thresholds = {}
    print(f"{'action':24}{'threshold':>10}{'seen':>8}{'idle':>8}{'cases':>12}")
    for action, (acting, idle) in found.items():
        if acting and idle:
            threshold, seen, wrong = best_threshold(acting, idle)
            thresholds[action] = round(threshold, 3)
            print(f"{action:24}{threshold:10.3f}{seen:8.0%}{wrong:8.0%}{len(acting):6}/{len(idle)}")
    print(json.dumps(thresholds))


if __name__ == "__main__":
    main()
