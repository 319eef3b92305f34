"""Close-ups: a small model spends its pixels on faces, and the rest of a large picture stays as it is.

Everybody's head is cut out of the picture with some room, the cuts are set side by side in one frame of the model, so
that it is one generation with several people still, and what comes back is laid into the picture at the picture's own
size. Clips stream, and a work folder keeps them, as without close-ups; nothing is known of more than one clip at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from polytalk.casting.cast import cast_scene
from polytalk.casting.people.mesh_points import mesh_points
from polytalk.casting.people.places import join_given
from polytalk.conditioning.masks import scene_boxes
from polytalk.conditioning.opened import OpenedFiles
from polytalk.conditioning.picture import SIZE_CLASSES, choose_size
from polytalk.config.pipeline import family_of
from polytalk.errors import PolytalkError
from polytalk.generation.request import GenerateRequest
from polytalk.media.source_video import shows_video
from polytalk.models.components import Components
from polytalk.pipeline.motion import MotionPlan, is_told
from polytalk.pipeline.observing import ClipObserver
from polytalk.pipeline.output import ClipOutput
from polytalk.pipeline.prepare import PreparedScene
from polytalk.pipeline.progress import Progress, ProgressCallback, Stage
from polytalk.pipeline.resume.folder import WorkFolder
from polytalk.pipeline.settings import RunSettings
from polytalk.postprocess.close_up_composite import CutComposite
from polytalk.postprocess.close_up_layout import Cut, compose_frame, lay_out
from polytalk.postprocess.face import Head
from polytalk.postprocess.puppet import Puppets
from polytalk.scene import Box, Scene
from polytalk.units import Size, to_network

if TYPE_CHECKING:
    from polytalk.casting.found import FoundPerson
    from polytalk.pipeline.multitalk import MultiTalkPipeline

LARGER = 2.0
"""A picture's height over the model's frame's from which on close-ups are made without being asked for."""
NEARER = 0.8
"""A head's size in its close-up over that in the whole picture, likewise: smaller ones speak worse."""
STILL_FRAMES = 17
"""Frames of a standing picture after which the autoencoder gives the same again and again."""


@dataclass(frozen=True)
class CloseUpPlan:
    """Who is cut out where, and how the cuts make one frame."""

    picture: Size
    """(height, width) of the picture, and of the video."""
    frame: Size
    """(height, width) of the model's frame."""
    cuts: tuple[Cut, ...]
    """Everybody's, in the order of the speakers."""

    @classmethod
    def of(cls, picture: Size, heads: Sequence[Box], frames: Iterable[Size]) -> CloseUpPlan:
        """Everybody's cut, and the frame that shows all heads largest.

        Args:
            picture: (height, width) in pixels.
            heads: everybody's, with hair, ears and chin, in pixels of the picture, in the order of the speakers.
            frames: (height, width) of the frames that the model knows.

        Raises:
            PolytalkError: no head, one outside the picture, or more than the frames can show.
        """
        frame, cuts = lay_out(picture, heads, frames)
        return cls(picture, frame, cuts)

    def compose(self, picture: Image.Image) -> np.ndarray:
        """The frame that the model is given, uint8 (height, width, 3), from the RGB picture.

        Raises:
            PolytalkError: the picture is not of the plan's size.
        """
        if (picture.height, picture.width) != self.picture:
            problem = (
                f"it has {picture.width} × {picture.height} pixels, the plan {self.picture[1]} × {self.picture[0]}"
            )
            raise PolytalkError("image", problem, "Plan for this picture.")
        return compose_frame(picture, self.frame, self.cuts)

    def scene(self, scene: Scene, picture: Image.Image) -> Scene:
        """The scene as the model makes it: its picture is the composed frame, its boxes are the heads in it.

        Raises:
            PolytalkError: another number of speakers, another size of the picture, a video, or later pictures.
        """
        _check_scene(scene)
        if len(scene.speakers) != len(self.cuts):
            problem = f"there are {len(scene.speakers)}, and {len(self.cuts)} cuts"
            raise PolytalkError("speakers", problem, "Plan with one head per speaker.")
        speakers = [
            dataclasses.replace(speaker, box=cut.head_in_frame(), point=None, mask=None)
            for speaker, cut in zip(scene.speakers, self.cuts, strict=True)
        ]
        return dataclasses.replace(scene, image=self.compose(picture), speakers=speakers)

    def is_worthwhile(self, whole: Size) -> bool:
        """Whether the picture is much larger than the model's frame for all of it, and every head gains by its cut."""
        height, width = self.picture
        scale = max(whole[0] / height, whole[1] / width)
        return height >= LARGER * whole[0] and min(cut.scale for cut in self.cuts) >= NEARER * scale


class CloseUpComposite:
    """Lays the model's clips into the picture, one after the other.

    Args:
        plan: who is where.
        picture: of the plan's size.
        components: the model's networks; the autoencoder tells how it shows the cuts where nothing moves.
    """

    def __init__(self, plan: CloseUpPlan, picture: Image.Image, components: Components) -> None:
        self.plan = plan
        frame = plan.compose(picture)
        self.pixels = np.asarray(picture)
        """uint8 (height, width, 3)."""
        whole, shown = _channels_first(self.pixels), _channels_first(frame)
        still = reconstruct(components, frame)
        self._cuts = []
        for cut in plan.cuts:
            others = [other for other in plan.cuts if other is not cut]
            self._cuts.append(CutComposite(cut, others, whole, _slot(shown, cut), _slot(still, cut)))

    @torch.no_grad()
    def composite(self, frames: np.ndarray) -> np.ndarray:
        """A clip's frames, uint8 (T, h, w, 3) of the plan's frame, as the picture's, uint8 (T, height, width, 3).

        Clips come in order: motion is smoothed across their borders.

        Raises:
            PolytalkError: the frames are not of the plan's size.
        """
        if frames.shape[1:] != (*self.plan.frame, 3):
            problem = f"they have the shape {frames.shape}"
            raise PolytalkError(
                "frames", problem, f"The plan's have {self.plan.frame[1]} × {self.plan.frame[0]} pixels."
            )
        result = np.repeat(self.pixels[None], len(frames), axis=0)
        made = _channels_first(frames)
        changes = [cut.changes(_slot(made, cut.cut)) for cut in self._cuts]
        for number in range(len(frames)):
            for cut, found in zip(self._cuts, changes, strict=True):
                shown = result[number, cut.rows, cut.columns]
                changed = torch.from_numpy(shown).float() + 255 * next(found).movedim(0, -1)
                shown[:] = changed.round().clamp(0, 255).to(torch.uint8).numpy()
        return result


Follow = Callable[[Iterator[ClipOutput]], Iterator[ClipOutput]]


@dataclass(frozen=True, eq=False)
class CloseUpRun:
    """A scene ready to be made in close-ups."""

    plan: CloseUpPlan
    """Who is cut out where."""
    picture: Image.Image
    """At the video's size."""
    scene: Scene
    """As the model makes it."""

    def motion(self, pipe: MultiTalkPipeline, scene: PreparedScene, seed: int, **choices: Any) -> MotionPlan | None:
        """What people do in the picture besides speaking; the model makes its clips with `move_heads=False` then.

        Args:
            pipe: the model.
            scene: the run's, prepared.
            seed: of the video.
            choices: as `MultiTalkPipeline.stream`.
        """
        settings = RunSettings.choose(pipe.config, **choices)
        if not settings.config.move_heads or not is_told(scene, settings, pipe.components.transformer):
            return None
        count = scene.num_frames + settings.planner.clip_frames
        return MotionPlan.of(scene, settings, seed, count, self._heads, self.plan.picture[1])

    def stream(
        self, pipe: MultiTalkPipeline, scene: PreparedScene, *, seed: int | None = 0,
        work: WorkFolder | str | Path | None = None, progress: ProgressCallback | None = None,
        observer: ClipObserver | None = None, follow: Follow | None = None, **choices: Any,
    ) -> Iterator[ClipOutput]:  # fmt: skip
        """The video, clip by clip, at the picture's size.

        Args:
            pipe: the model.
            scene: the run's, prepared.
            seed: of the noise, and of how people move.
            work: as `MultiTalkPipeline.stream`.
            progress: likewise.
            observer: likewise.
            follow: passes the model's clips on, and may look at them.
            choices: as `MultiTalkPipeline.stream`: num_inference_steps, ...
        """
        motion = self.motion(pipe, scene, seed or 0, **choices)
        choices["move_heads"] = False  # heads move in the picture, not in the model's frame
        clips = pipe.stream(scene, seed=seed, work=work, progress=progress, observer=observer, **choices)
        return self.composite(clips if follow is None else follow(clips), pipe.components, motion)

    @property
    def _heads(self) -> list[Head]:
        boxes = [cut.head for cut in self.plan.cuts]
        return [Head((b.left + b.right) / 2, (b.top + b.bottom) / 2, b.bottom - b.top) for b in boxes]

    def composite(
        self, clips: Iterable[ClipOutput], components: Components, motion: MotionPlan | None = None
    ) -> Iterator[ClipOutput]:
        """The model's clips at the picture's size, with heads that move if the plan of their motion is given."""
        composite = CloseUpComposite(self.plan, self.picture, components)
        people = Puppets(composite.pixels, self._heads, mesh_points)
        for clip in clips:
            frames = composite.composite(clip.frames)
            if motion is not None:
                frames = motion.play(frames, people, 0, clip.start)
            yield dataclasses.replace(clip, frames=frames)


def plan_close_ups(
    scene: Scene,
    size_class: str = "mini",
    *,
    size: Size | None = None,
    height: int | None = None,
    people: Sequence[FoundPerson] | None = None,
    files: OpenedFiles | None = None,
) -> CloseUpRun:
    """Find the heads of a scene, and plan their close-ups.

    Speakers' boxes may show heads, or heads and bodies: a head that is found in a box is taken, else the whole box.

    Args:
        scene: what is wanted.
        size_class: whose frames the model knows.
        size: (height, width) of the model's frame; None chooses among those.
        height: of the video in pixels; None keeps the picture's.
        people: who is in the picture; None looks for them.
        files: what has been opened already.

    Raises:
        PolytalkError: a video or later pictures, nobody found and no boxes, a height that is larger than the picture's.
    """
    _check_scene(scene)
    files = files or OpenedFiles()
    picture = files.picture(scene.image)
    proposal = cast_scene(scene, people=people, files=files)
    if proposal.places == "parts":
        remedy = "Give a box for each speaker, or leave close-ups out: `close_ups=False`."
        raise PolytalkError("close_ups", "the heads of all speakers are not found in the picture", remedy)
    scene = proposal.scene
    boxes = scene_boxes(scene, picture.width, picture.height)
    joined, places = join_given(boxes, scene.names, proposal.people)
    picture, heads = scaled_to_height(picture, [joined[place].head for place in places], height)
    frames = [size] if size else list(SIZE_CLASSES[size_class].values())
    plan = CloseUpPlan.of((picture.height, picture.width), heads, frames)
    return CloseUpRun(plan, picture, plan.scene(scene, picture))


def close_ups_of(
    request: GenerateRequest,
    scene: Scene,
    people: Sequence[FoundPerson],
    size_class: str,
    size: Size | None,
    files: OpenedFiles,
) -> CloseUpRun | None:
    """The close-ups that a request's video is made in; None where it is made without.

    Args:
        request: what is asked for.
        scene: its scene, cast.
        people: who is in the picture, as casting found.
        size_class: whose frames the model knows.
        size: (height, width) of the model's frame, if it was given.
        files: what has been opened already.

    Raises:
        PolytalkError: they were asked for, and cannot be made.
    """
    asked = request.close_ups or request.height is not None
    if request.close_ups is False or (not asked and (size is not None or family_of(size_class) != "mini")):
        return None
    # somebody without a score stands for a part of the picture in which nobody was found
    found = [person for person in people if person.score]
    try:
        run = plan_close_ups(scene, size_class, size=size, height=request.height, people=found, files=files)
    except PolytalkError as error:
        if asked or error.field != "close_ups":
            raise
        return None
    return run if asked or wants_close_ups(run, size_class) else None


def wants_close_ups(run: CloseUpRun, size_class: str) -> bool:
    """Whether close-ups are made although nobody asked: with a small model, of a large picture with small heads."""
    height, width = run.plan.picture
    return family_of(size_class) == "mini" and run.plan.is_worthwhile(choose_size(width, height, size_class))


def generate_with_close_ups(
    pipe: MultiTalkPipeline,
    scene: Scene,
    *,
    size: Size | None = None,
    height: int | None = None,
    people: Sequence[FoundPerson] | None = None,
    seed: int = 0,
    work: WorkFolder | str | Path | None = None,
    progress: ProgressCallback | None = None,
    **choices: Any,
) -> Iterator[ClipOutput]:
    """Make a scene's video in close-ups, clip by clip, at the picture's size.

    Args:
        pipe: the model.
        scene: what is wanted.
        size: as in `plan_close_ups`.
        height: likewise.
        people: likewise.
        seed: of the noise, and of how people move.
        work: as `MultiTalkPipeline.stream`.
        progress: likewise.
        choices: likewise: num_inference_steps, ...

    Raises:
        PolytalkError: as `plan_close_ups` and `MultiTalkPipeline.stream`, before any clip is made.
    """
    run = plan_close_ups(scene, pipe.config.size_class, size=size, height=height, people=people)
    if progress is not None:
        progress(Progress(Stage.PREPARE))
    prepared = pipe.prepare(run.scene, run.plan.frame)
    return run.stream(pipe, prepared, seed=seed, work=work, progress=progress, **choices)


def scaled_to_height(
    picture: Image.Image, boxes: Sequence[Box], height: int | None
) -> tuple[Image.Image, tuple[Box, ...]]:
    """A picture scaled down to a height, and boxes in it likewise; None leaves them as they are.

    Raises:
        PolytalkError: the height is odd, too small, or larger than the picture's.
    """
    if height is None or height == picture.height:
        return picture, tuple(boxes)
    if not 16 <= height <= picture.height or height % 2:
        problem = f"it is {height}, and the picture has {picture.height} rows"
        raise PolytalkError("height", problem, "Give an even number of pixels, at most the picture's.")
    width = max(16, round(picture.width * height / picture.height / 2) * 2)
    across, down = width / picture.width, height / picture.height
    scaled = []
    for box in boxes:
        left, top = min(int(box.left * across), width - 1), min(int(box.top * down), height - 1)
        right, bottom = max(left + 1, round(box.right * across)), max(top + 1, round(box.bottom * down))
        scaled.append(Box(left, top, min(right, width), min(bottom, height)))
    return picture.resize((width, height), Image.Resampling.LANCZOS), tuple(scaled)


@torch.no_grad()
def reconstruct(components: Components, frame: np.ndarray) -> torch.Tensor:
    """A standing frame, uint8 (height, width, 3), as the model's autoencoder shows it: (3, height, width) in 0..1."""
    video = to_network(frame).expand(-1, -1, STILL_FRAMES, -1, -1).to(components.device)
    decoded = components.decode_video(components.encode_video(video))[0, :, -4:]
    return (decoded.float().clamp(-1, 1).mean(dim=1) / 2 + 0.5).cpu()


def _check_scene(scene: Scene) -> None:
    remedy = "Leave close-ups out: `close_ups=False`."
    if shows_video(scene.image):
        raise PolytalkError("close_ups", "the scene shows a video", remedy)
    if any(cue.image is not None or cue.boxes is not None for cue in scene.cues):
        raise PolytalkError("close_ups", "another picture comes later in the scene", remedy)


def _channels_first(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (..., height, width, 3) to float32 (..., 3, height, width) in 0..1."""
    return torch.from_numpy(np.array(pixels)).movedim(-1, -3).float() / 255


def _slot(frames: torch.Tensor, cut: Cut) -> torch.Tensor:
    """A cut's slot of frames (..., 3, height, width)."""
    slot = cut.slot
    return frames[..., slot.top : slot.bottom, slot.left : slot.right]
