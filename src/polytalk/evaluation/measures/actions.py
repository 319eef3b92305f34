"""Are actions that the prompt names seen? Each action has a figure that is read from the faces, and a threshold.

The thresholds are what best tells drawn people who do something from drawn people who do not; found by
`python tools/calibrate_actions.py`.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torchmetrics import Metric

from polytalk.errors import PolytalkError
from polytalk.evaluation.readers.face_reader import FaceTrack
from polytalk.motion.gestures import ACTIONS, CAMERA
from polytalk.synthetic.prompts import EVENT_WORDS
from polytalk.synthetic.scenes import SyntheticClip

MEASURED = (*ACTIONS, CAMERA)
"""Actions that are measured; walking is `report`'s measure "crossing"."""
PARAPHRASES: dict[str, tuple[str, ...]] = {
    "nods": (
        "keeps nodding along to what is being said",
        "signals yes with a small motion of the head",
        "answers with two quick nods",
        "inclines his head respectfully in acknowledgement",
        'lowers and lifts the head as if to say "of course"',
        "agrees with a nod of the head",
    ),
    "shakes the head": (
        "swings her head back and forth in refusal",
        "turns the head left, then right, then left again in denial",
        "responds with a sad little headshake",
        "keeps shaking the head while talking",
        "disapprovingly shakes their head",
        "rejects the idea with a firm shake of his head",
    ),
    "waves": (
        "swings a hand back and forth in greeting",
        "is waving at the camera like an old friend",
        "flaps a hand at us to say bye-bye",
        "bids farewell with a friendly wave",
        "moves his open palm from side to side to greet everyone",
        "says hi with her hand",
    ),
    "raises a hand": (
        "throws an arm up to get attention",
        "brings his left hand up beside his face",
        "has one hand raised as if taking an oath",
        "slowly stretches an arm upwards",
        "shoots her hand up before answering",
        "hoists a hand above his head to volunteer",
    ),
    "smiles": (
        "lets the corners of her mouth curl upwards",
        "smirks a little",
        "is smiling warmly throughout",
        "lights up with a happy smile",
        "can't help grinning while he talks",
        "puts on a friendly, smiling face",
    ),
    "looks to the other": (
        "turns his head towards his partner while he speaks",
        "casts a quick glance at the one beside her",
        "peers over at the man on the right",
        "swivels round to see what his co-host is doing",
        "directs his eyes to the person sitting by his side",
        "exchanges a look with her companion",
    ),
    "leans in": (
        "brings her face right up to the camera",
        "hunches forward over the table conspiratorially",
        "edges a bit closer to the viewer",
        "is leaning forward with great interest",
        "pushes his shoulders forward and gets close to the screen",
        "draws near to the microphone and the lens",
    ),
    "closes the eyes": (
        "rests her eyes for a second",
        "closes the eyes and breathes out",
        "has their eyes shut as they listen to the music",
        "drops his lids dreamily",
        "speaks with closed eyes",
        "screws up her eyes until they are completely shut",
    ),
    "tilts the head": (
        "angles her head quizzically",
        "bends the neck to one side",
        "listens with a tilted head",
        "holds her head at a slant",
        "gives a small, puzzled tilt of the head",
        "rests his ear almost on his shoulder",
    ),
    "raises the brows": (
        "lets his eyebrows jump",
        "waggles her eyebrows playfully",
        "wrinkles his forehead and pulls the eyebrows up",
        "quirks a brow",
        "reacts with a raised eyebrow",
        "moves the brows upwards as if asking a question",
    ),
    CAMERA: (
        "The lens closes in on the old man",
        "A slow zoom draws the viewer towards the couple",
        "The picture gradually gets closer to his face",
        "The camera tracks forward to the table",
        "The frame narrows steadily around the woman on the right",
        "Our viewpoint glides forward and stops just in front of them",
    ),
}
"""Other words for the events, by an author who knew neither the training's words nor the patterns of
`polytalk.motion.action_words`; neither may learn from them."""
THRESHOLDS: dict[str, float] = {
    "nods": 0.95,
    "shakes the head": 1.467,
    "waves": 0.059,
    "raises a hand": 0.308,
    "smiles": 0.17,
    "looks to the other": 0.199,
    "leans in": 0.063,
    "closes the eyes": 0.641,
    "tilts the head": 0.116,
    "raises the brows": 0.28,
    CAMERA: 0.11,
}
"""Action -> least figure at which it counts as seen."""
_SMALL = (72, 128)
"""Size at which first and last frames are compared."""
_PLAIN = 1.5
"""Grey levels by which a background varies at least that tells of a camera's move."""
_BLINK_FREE = 9
"""Eyes shut for so many frames (of 25 a second) are closed, not blinking."""


def figures(track: FaceTrack, person: int, zoom: float) -> dict[str, float]:
    """How much of each action is seen in one person's face over a clip of at least 9 frames.

    Args:
        track: the clip's faces.
        person: whose.
        zoom: of the camera from the first frame to the last (`camera_zoom`).
    """

    def of(name: str) -> np.ndarray:
        return moving(track.of(name)[:, person].astype(np.float64), 3)

    def later(values: np.ndarray) -> float:
        third = max(1, len(values) // 3)
        return float(values[-third:].mean() - values[:3].mean())

    yaw, pitch, hand, brow = of("yaw"), of("pitch"), of("hand"), of("brow")
    height = moving(track.centre[:, person, 1].astype(np.float64) / float(track.size[:, person].mean()), 3)
    swing = np.abs(np.diff(of("hand_angle"))) * (hand[1:] > 0.5)
    raised = float(np.quantile(hand, 0.75))
    shut = np.lib.stride_tricks.sliding_window_view(of("blink"), min(_BLINK_FREE, len(hand))).min(axis=1)
    return {
        "nods": spread(pitch) + 8 * spread(height - moving(height, 13)),
        "shakes the head": float(np.abs(np.diff(yaw)).sum()) * 24 / len(yaw) - abs(later(yaw)),
        "waves": raised * float(swing.sum()) * 24 / len(swing),
        "raises a hand": raised,
        "smiles": later(of("smile")),
        "looks to the other": abs(later(yaw)),
        "leans in": float(np.log(track.size[-3:, person].mean() / track.size[:3, person].mean())) - np.log(zoom),
        "closes the eyes": float(shut.max()),
        "tilts the head": abs(later(of("roll"))),
        "raises the brows": float(np.quantile(brow, 0.8) - np.minimum(brow[:3].mean(), np.quantile(brow, 0.2))),
        CAMERA: zoom - 1,
    }


def moving(values: np.ndarray, count: int) -> np.ndarray:
    """Moving mean over `count` frames, ends repeated."""
    padded = np.pad(values, count // 2, mode="edge")
    return np.convolve(padded, np.ones(count) / count, mode="valid")[: len(values)]


def spread(values: np.ndarray) -> float:
    """From the 5th to the 95th hundredth."""
    return float(np.quantile(values, 0.95) - np.quantile(values, 0.05))


def camera_zoom(frames: np.ndarray, people: np.ndarray | None = None, most: float = 1.3) -> float:
    """By how much the last frames show the picture larger than the first: 1 for a camera that stands still.

    Args:
        frames: (T, H, W, 3).
        people: (H, W) bool: where somebody is, who may come nearer while the camera stands still. Only the rest is
            looked at, unless it is as good as plain.
        most: largest zoom looked for.
    """
    ends = [ends.astype(np.float32).mean(axis=(0, 3)) for ends in (frames[:2], frames[-2:])]
    small = [F.interpolate(torch.from_numpy(end)[None, None], size=_SMALL, mode="area") for end in ends]
    first, last = (each - F.avg_pool2d(each, 15, 1, 7, count_include_pad=False) for each in small)
    seen = torch.ones_like(first)
    if people is not None:
        free = F.interpolate(torch.from_numpy(~people)[None, None].float(), size=_SMALL, mode="area")
        if float((last.square() * free).sum()) > _PLAIN**2 * max(float(free.sum()), 0.1 * free.numel()):
            seen = free
    zooms = 1 + torch.arange(round((most - 1) / 0.02) + 1) * 0.02
    shifts = torch.linspace(-0.08, 0.08, 5)
    z, dx, dy = (each.flatten() for each in torch.meshgrid(zooms, shifts, shifts, indexing="ij"))
    matrix = torch.zeros(len(z), 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 0, 2], matrix[:, 1, 2] = 1 / z, 1 / z, dx, dy
    grid = F.affine_grid(matrix, [len(z), 1, *_SMALL], align_corners=False)
    both = F.grid_sample(torch.cat([first, seen], 1).expand(len(z), -1, -1, -1), grid, align_corners=False)
    shown, weight = both[:, 0, 6:-6, 6:-6], both[:, 1, 6:-6, 6:-6] * seen[0, 0, 6:-6, 6:-6]
    target = last[0, 0, 6:-6, 6:-6]
    power = ((shown.square() * weight).sum((1, 2)) * (target.square() * weight).sum((1, 2))).sqrt()
    likeness = (shown * target * weight).sum((1, 2)) / power.clamp(min=1e-6)
    best = likeness + 1e-3 * (1 - z)  # of equals the smaller zoom
    return float(z[best.argmax()])


class ActionRate(Metric):
    """Share of actions seen: action by action, and over all that were added."""

    full_state_update = False
    hits: torch.Tensor
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("hits", "count"):
            self.add_state(name, torch.zeros(len(MEASURED), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, action: str, figure: float) -> None:
        """Adds one action and the figure that was read for it."""
        place = MEASURED.index(action)
        self.hits[place] += int(figure >= THRESHOLDS[action])
        self.count[place] += 1

    def each(self) -> dict[str, float]:
        """Share of every action that was added."""
        shares = (self.hits / self.count).tolist()
        return {name: share for name, share, count in zip(MEASURED, shares, self.count.tolist(), strict=True) if count}

    def compute(self) -> float:
        """The share of all; NaN when there was none."""
        return int(self.hits.sum()) / int(self.count.sum()) if self.count.sum() else float("nan")


def without_action(prompt: str) -> str:
    """A prompt of a scene with one event, without the event: all but its last sentence."""
    end = prompt.rstrip(".").rfind(". ")
    return prompt[: end + 1] if end >= 0 else ""


def in_other_words(clip: SyntheticClip, rng: np.random.Generator) -> str:
    """The prompt of a scene with one event, which is told in words that no training run uses.

    Raises:
        PolytalkError: the prompt does not end with the event.
    """
    action = clip.events[0][0]
    other = PARAPHRASES[action][rng.integers(len(PARAPHRASES[action]))]
    for words in sorted(EVENT_WORDS[action], key=len, reverse=True):
        if clip.prompt.endswith(f"{words}."):
            return clip.prompt.removesuffix(f"{words}.") + f"{other}."
    raise PolytalkError("prompt", f"{clip.prompt!r} does not end with {action!r}", "Draw scenes with one event.")


def acting_person(clip: SyntheticClip) -> int:
    """Who is to do what the scene's one event says; of the camera the first person."""
    return max(clip.events[0][1], 0)
