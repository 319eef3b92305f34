"""The measures of `polytalk evaluate report`, each with update() for scenes in one view and figures() for the table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from polytalk.evaluation.measures.actions import ActionRate, acting_person, camera_zoom, figures
from polytalk.evaluation.measures.identity import GALLERY, IdentityConfusion
from polytalk.evaluation.measures.liveliness import Liveliness
from polytalk.evaluation.measures.metrics import BackgroundPSNR, SyncMatrix
from polytalk.evaluation.measures.mouth_shapes import LipClosures
from polytalk.evaluation.measures.picture_measures import SharpnessOverTime, StillFlicker, around_people, still_pixels
from polytalk.evaluation.readers.identity_reader import IdentityReader
from polytalk.evaluation.readers.mouth_reader import MouthReader
from polytalk.evaluation.reports.binding import BindingReport
from polytalk.evaluation.scenes.generating import GIVEN_FRAMES
from polytalk.evaluation.scenes.renderings import VIEWS, SceneView
from polytalk.motion.gestures import CAMERA
from polytalk.synthetic.scenes import SyntheticClip

NOTHING = math.nan
Measure = TypeVar("Measure")


@dataclass(frozen=True)
class Goal:
    """What a figure of the generated video has to reach."""

    least: float = -math.inf
    most: float = math.inf
    of_truth: bool = False
    """Bounds are shares of what the truth scores."""

    def __str__(self) -> str:
        unit = " of truth" if self.of_truth else ""
        if math.isinf(self.most):
            return f"≥ {self.least:g}{unit}"
        if math.isinf(self.least):
            return f"≤ {self.most:g}{unit}"
        return f"{self.least:g} – {self.most:g}{unit}"

    def met(self, generated: float, truth: float) -> bool | None:
        """Whether it is reached; None where nothing was measured."""
        value = generated / truth if self.of_truth and truth else generated
        if not math.isfinite(value) or (self.of_truth and not truth):
            return None
        return self.least <= value <= self.most


@dataclass(frozen=True)
class Figure:
    """One line of the report; NaN where nothing was measured."""

    measure: str
    name: str
    generated: float
    truth: float = NOTHING
    """The drawn frames in place of generated ones."""
    reconstruction: float = NOTHING
    """The drawn frames through the autoencoder."""
    floor: float = NOTHING
    """What chance gives: other people's voices or pictures."""
    goal: Goal | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without a goal or a figure."""
        return self.goal.met(self.generated, self.truth) if self.goal else None


def _line(measure: str, name: str, views: Iterable[float], floor: float = NOTHING, goal: Goal | None = None) -> Figure:
    """A line of the values of the views, in the order of `VIEWS`."""
    generated, truth, reconstruction = views
    return Figure(measure, name, generated, truth, reconstruction, floor, goal)


APART = 0.8
"""People nearer to each other than this part of a face's width hide each other: such frames do not count."""


class ReportPart(Protocol):
    """A measure of scenes that were rendered as they are."""

    def update(self, view: str, scenes: Sequence[SceneView]) -> None:
        """Adds scenes with equally many people in one view."""

    def figures(self) -> list[Figure]:
        """What was found."""


BINDING_GOALS: dict[int, dict[str, Goal]] = {
    1: {"own": Goal(least=0.8, of_truth=True)},
    2: {"own": Goal(least=0.75, of_truth=True), "other": Goal(most=0.1), "diagonal": Goal(least=0.97),
        "swapped": Goal(least=0.95), "silence": Goal(most=0.15)},
    3: {"diagonal": Goal(least=0.9)},
    4: {"diagonal": Goal(least=0.85)},
}  # fmt: skip


def binding_figures(found: BindingReport, rebuilt: BindingReport) -> list[Figure]:
    """Lines of a report of binding; rebuilt: of the drawn frames through the autoencoder."""
    truth = {"own": found.floor_truth, **{n: found.detail[f"{n}_truth"] for n in ("other", "diagonal", "silence")}}
    floors = {"own": found.floor_shuffled, "diagonal": 1 / found.people, "swapped": 1 / found.people}
    names = ("own", "silence") if found.people == 1 else ("own", "other", "diagonal", "swapped", "silence")
    goals = BINDING_GOALS[found.people]
    people = ("one", "two", "three", "four")[found.people - 1]
    return [
        Figure(
            "binding",
            f"{people}: {name}",
            getattr(found, name),
            truth.get(name, NOTHING),
            NOTHING if name == "swapped" else getattr(rebuilt, name),
            floors.get(name, NOTHING),
            goals.get(name),
        )
        for name in names
    ]


def _views(make: Callable[[], Measure]) -> dict[str, Measure]:
    return {view: make() for view in VIEWS}


class Shapes:
    """Lips that close on p, b, m; width and rounding."""

    def __init__(self) -> None:
        self._lips, self._shape = _views(LipClosures), {n: _views(lambda: SyncMatrix(1)) for n in ("width", "rounding")}
        self._lips_floor, self._floor = LipClosures(), {n: SyncMatrix(1) for n in ("width", "rounding")}

    def update(self, view: str, scenes: Sequence[SceneView]) -> None:
        """Adds scenes with equally many people in one view."""
        for number, scene in enumerate(scenes):
            self._lips[view].update(scene.mouths.opening, scene.clip.mouth[..., 0], scene.talk.phonemes)
            self._add({name: views[view] for name, views in self._shape.items()}, scene, scene)
            if view == "generated" and len(scenes) > 1:
                other = scenes[(number + 1) % len(scenes)]
                self._lips_floor.update(scene.mouths.opening, other.clip.mouth[..., 0], other.talk.phonemes)
                self._add(self._floor, scene, other)

    @staticmethod
    def _add(measures: dict[str, SyncMatrix], read: SceneView, true: SceneView) -> None:
        frames = slice(GIVEN_FRAMES, min(len(read.frames), len(true.frames)))
        for channel, name in ((1, "width"), (2, "rounding")):
            track = getattr(read.mouths, name)
            for person in range(track.shape[1]):
                one = slice(person, person + 1)
                speaking = true.clip.speaking[frames, one]
                measures[name].update(track[frames, one], true.clip.mouth[frames, one, channel], speaking)

    def figures(self) -> list[Figure]:
        """Closed, and correlations of the shapes."""
        closed = [self._lips[view].compute() for view in VIEWS]
        lines = [_line("shapes", "closed on p, b, m", closed, _computed(self._lips_floor), Goal(least=0.8))]
        for name, views in self._shape.items():
            found = [_own(views[view]) for view in VIEWS]
            lines.append(_line("shapes", f"{name}: correlation", found, _own(self._floor[name]), Goal(least=0.4)))
        return lines


class Picture:
    """Sharp faces, still background, no flicker."""

    def __init__(self, num_frames: int) -> None:
        self._sharp = _views(lambda: SharpnessOverTime(num_frames))
        self._background, self._flicker = _views(BackgroundPSNR), _views(StillFlicker)

    def update(self, view: str, scenes: Sequence[SceneView]) -> None:
        """Adds scenes in one view."""
        for scene in scenes:
            clip = scene.clip
            self._sharp[view].update(scene.frames, scene.face_boxes, clip.reference, clip.face_boxes[0])
            still = still_pixels(clip)
            if still is not None:
                self._background[view].update(scene.frames, clip.reference, ~still)
                self._flicker[view].update(scene.frames, still)

    def figures(self) -> list[Figure]:
        """Sharpness on the whole and at the end, background, flicker."""
        sharp = [self._sharp[view].compute() for view in VIEWS]
        return [
            _line("picture", "sharpness of faces", (s["mean"] for s in sharp), goal=Goal(least=0.8)),
            _line("picture", "sharpness, last frames", (s["last"] for s in sharp), goal=Goal(least=0.8)),
            _line("picture", "still background, dB", _all(self._background), goal=Goal(least=27)),
            _line("picture", "flicker of still parts, /255", _all(self._flicker), goal=Goal(most=1)),
        ]

    def curve(self) -> list[float]:
        """Sharpness of the generated faces frame by frame."""
        return self._sharp["generated"].curve()


class Identity:
    """People stay themselves."""

    def __init__(self, reader: IdentityReader) -> None:
        self._views = _views(lambda: IdentityConfusion(reader))

    def update(self, view: str, scenes: Sequence[SceneView]) -> None:
        """Adds scenes in one view."""
        for scene in scenes:
            clip = scene.clip
            args = (scene.frames, scene.face_boxes, clip.reference, clip.face_boxes[0], clip.styles)
            self._views[view].update(*args)

    def figures(self) -> list[Figure]:
        """Confusion and likeness."""
        found = [self._views[view].compute() for view in VIEWS]
        group = min(GALLERY, found[0]["people"])
        chance = 1 - 1 / group if group else NOTHING
        return [
            _line("identity", "taken for others", (f["confused"] for f in found), chance, Goal(most=0.03)),
            _line("identity", "likeness to the own picture", (f["likeness"] for f in found), found[0]["others"]),
        ]


class Life:
    """Blinks, gaze and small motion that nobody asked for."""

    def __init__(self) -> None:
        self._views = _views(Liveliness)

    def update(self, view: str, scenes: Sequence[SceneView]) -> None:
        """Adds scenes in one view; people with an event, and all before a moving camera, are left out."""
        for scene in scenes:
            acting = [who for _, who, _, _ in scene.clip.events]
            asked = np.isin(np.arange(scene.clip.mouth.shape[1]), acting) | (-1 in acting)
            self._views[view].update(scene.faces, asked)

    def figures(self) -> list[Figure]:
        """Rates."""
        found = [self._views[view].compute() for view in VIEWS]
        names = {"blinks": "blinks a second", "gaze": "gaze shifts a second", "sway": "sway of heads, heights",
                 "turns": "turns of heads"}  # fmt: skip
        goal = Goal(0.5, 1.5, of_truth=True)
        return [_line("life", text, (f[name] for f in found), goal=goal) for name, text in names.items()]


class Actions:
    """Actions that the prompt names."""

    WAYS = ("named", "other words", "unnamed")

    def __init__(self) -> None:
        self._rates = {way: _views(ActionRate) for way in self.WAYS}

    def update(self, way: str, view: str, scenes: Sequence[SceneView]) -> None:
        """Adds scenes of one event each, rendered with prompts of one way.

        Of "unnamed" drawn frames, which show the event, the person is measured who does nothing.
        """
        for scene in scenes:
            action, who = scene.clip.events[0][0], acting_person(scene.clip)
            if way == "unnamed" and view != "generated":
                others = [p for p in range(scene.clip.mouth.shape[1]) if p != who]
                if action == CAMERA or not others:
                    continue
                who = others[0]
            found = figures(scene.faces, who, camera_zoom(scene.frames, around_people(scene.clip)))
            self._rates[way][view].update(action, found[action])

    def figures(self) -> list[Figure]:
        """SceneView when named, in other words, when not named; then each action by itself."""
        goals = {"named": Goal(least=0.8), "other words": Goal(least=0.8), "unnamed": Goal(most=0.2)}
        lines = []
        for way, views in self._rates.items():
            found = _all(views)
            if way == "other words":
                found[1:] = [NOTHING, NOTHING]  # the drawn frames do not depend on words
            lines.append(_line("actions", way, found, goal=goals[way]))
        each = {way: views["generated"].each() for way, views in self._rates.items()}
        truth = self._rates["named"]["truth"].each()
        for action, share in each["named"].items():
            floor = each["unnamed"].get(action, NOTHING)
            lines.append(Figure("actions", action, share, truth.get(action, NOTHING), NOTHING, floor))
        return lines


class Crossing:
    """People who change sides within the clip keep their voices."""

    def __init__(self, mouths: MouthReader, identities: IdentityReader) -> None:
        self._mouths, self._identities = mouths, identities
        self._sync, self._changed = _views(lambda: SyncMatrix(2)), {view: [0, 0] for view in VIEWS}

    def update(self, view: str, scenes: Sequence[SceneView]) -> None:
        """Adds scenes of two people who change sides."""
        for scene in scenes:
            clip = scene.clip
            changed = changed_sides(self._identities, scene.frames, clip)
            read, keep = scene.mouths.opening, np.ones(len(scene.frames), bool)
            if changed:
                read, keep = self._across(scene)
            keep[:GIVEN_FRAMES] = False
            self._sync[view].update(read[keep], clip.mouth[keep, :, 0], clip.speaking[keep])
            self._changed[view][0] += int(changed)
            self._changed[view][1] += 1

    def _across(self, scene: SceneView) -> tuple[np.ndarray, np.ndarray]:
        """Openings (T, P), followed from either end up to the encounter; frames (T,) in which nobody hides anybody."""
        clip = scene.clip
        (back,) = self._mouths.follow([scene.frames[::-1]], [clip.mouth_boxes[-1]])
        middle = (clip.face_boxes[..., 0] + clip.face_boxes[..., 2]) / 2
        apart = np.abs(middle[:, 0] - middle[:, 1])
        meet = int(apart.argmin())
        read = np.concatenate([scene.mouths.opening[:meet], back.opening[::-1][meet:]])
        return read, apart > APART * (clip.face_boxes[..., 2] - clip.face_boxes[..., 0]).mean()

    def figures(self) -> list[Figure]:
        """Share of scenes whose people have changed sides, and of mouths that follow their own voice."""
        changed = [seen / count if count else NOTHING for seen, count in (self._changed[view] for view in VIEWS)]
        sync = [self._sync[view].compute() for view in VIEWS]
        return [
            _line("crossing", "changed sides", changed),
            _line("crossing", "own", (found["own"] for found in sync)),
            _line("crossing", "diagonal", (found["diagonal"] for found in sync), 0.5, Goal(least=0.9)),
        ]


def changed_sides(reader: IdentityReader, frames: np.ndarray, clip: SyntheticClip) -> bool:
    """Whether the people of a drawn crossing are in the end where the drawn ones are, rather than where they began.

    Args:
        reader: compares the last frame's faces at either place with the picture's.
        frames: uint8 (T, H, W, 3) to look at.
        clip: the drawn crossing.
    """
    people = range(len(clip.face_boxes[0]))
    own = reader.embed_faces([clip.reference for _ in people], clip.face_boxes[0])
    there, here = (
        reader.embed_faces([frames[-1] for _ in people], boxes) for boxes in (clip.face_boxes[-1], clip.face_boxes[0])
    )
    return bool((own * there).sum() > (own * here).sum())


def _own(sync: SyncMatrix) -> float:
    return sync.compute()["own"] if sync.update_called else NOTHING


def _computed(measure: LipClosures) -> float:
    return measure.compute() if measure.update_called else NOTHING


def _all(views: dict) -> list[float]:
    return [float(views[view].compute()) if views[view].update_called else NOTHING for view in VIEWS]
