"""What people do without being asked: blinks, gaze shifts, sway and turns of the head, as comparable rates."""

from __future__ import annotations

import numpy as np
import torch
from torchmetrics import Metric

from polytalk.evaluation.readers.face_reader import FaceTrack
from polytalk.evaluation.scenes.synthetic_faces import READ
from polytalk.units import FPS

SHUT, OPEN = 0.55, 0.35
"""Eyelids read as this far down have shut, and as this far up have opened again."""
LONGEST_BLINK = 12
"""Eyes that stay shut for more frames are not blinking."""
GAZE_STEP = 0.3
"""A gaze that moves by so much (eye's half range is 1) from its mean of three frames to the mean of the next three."""


def blinks(eyelids: np.ndarray) -> int:
    """How often eyes (T,), 0 open to 1 shut, blink: shut, and open again soon, or not before the clip ends."""
    count, began = 0, -1
    for t, value in enumerate(eyelids):
        if began < 0 and value > SHUT:
            began = t
        elif began >= 0 and value < OPEN:
            count += int(t - began <= LONGEST_BLINK)
            began = -1
    return count + int(began >= 0 and len(eyelids) - began <= LONGEST_BLINK)


def gaze_shifts(gaze: np.ndarray, eyelids: np.ndarray) -> int:
    """How often a gaze (T, 2) jumps while the eyes (T,) are open."""
    step = np.zeros(len(gaze))
    for t in range(3, len(gaze) - 2):
        before, after = gaze[t - 3 : t], gaze[t : t + 3]
        if eyelids[t - 3 : t + 3].max() < OPEN:
            step[t] = np.abs(np.median(after, axis=0) - np.median(before, axis=0)).max()
    count, last = 0, -len(step)
    for t, size in enumerate(step):  # one jump shows in several steps: its largest, or the first of equals
        if size > GAZE_STEP and size == step[max(t - 3, 0) : t + 4].max() and t - last > 3:
            count, last = count + 1, t
    return count


class Liveliness(Metric):
    """Rates over all people that were added."""

    full_state_update = False
    sums: torch.Tensor
    seconds: torch.Tensor
    people: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(4, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("seconds", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("people", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, track: FaceTrack, asked: np.ndarray | None = None) -> None:
        """Adds the faces of one clip but those in asked (P,) bool, who were asked to do something."""
        names = [READ.index(name) for name in ("yaw", "pitch", "roll")]
        for person in range(track.pose.shape[1]):
            if asked is not None and asked[person]:
                continue
            eyelids = track.of("blink")[:, person]
            gaze = np.stack([track.of("gaze_x")[:, person], track.of("gaze_y")[:, person]], axis=1)
            sway = track.centre[:, person] / track.size[:, person].mean()
            turns = track.pose[:, person, names]
            found = [
                blinks(eyelids),
                gaze_shifts(gaze, eyelids),
                float(np.linalg.norm(smooth(sway).std(axis=0))),
                float(np.linalg.norm(smooth(turns).std(axis=0))),
            ]
            self.sums += torch.tensor(found, dtype=torch.float64)
            self.seconds += len(eyelids) / FPS
            self.people += 1

    def compute(self) -> dict[str, float]:
        """blinks and gaze shifts a second and person; sway of heads (deviation, heights of the face box); turns.

        turns is the deviation of yaw, pitch and roll together, in their own units.
        """
        names, seconds, people = ("blinks", "gaze", "sway", "turns"), float(self.seconds), int(self.people)
        if not people:
            return dict.fromkeys(names, float("nan"))
        totals = self.sums.tolist()
        return dict(
            zip(names, [totals[0] / seconds, totals[1] / seconds, totals[2] / people, totals[3] / people], strict=True)
        )


def smooth(track: np.ndarray) -> np.ndarray:
    """Means over three frames of a track (T, n), so that the reader's noise counts less: (T - 2, n)."""
    return (track[:-2] + track[1:-1] + track[2:]) / 3
