"""`generate`: a request in, a video out, for every door alike."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polytalk.acceleration.parallel.launch import is_main_process
from polytalk.casting.cast import CastProposal
from polytalk.casting.voices.music import has_music
from polytalk.conditioning.masks import save_masks
from polytalk.conditioning.opened import OpenedFiles
from polytalk.config.options import LoadOptions
from polytalk.errors import PolytalkError
from polytalk.generation.cast import propose
from polytalk.generation.close_ups import CloseUpRun, close_ups_of
from polytalk.generation.events import (
    Begins,
    CloseUpsPlanned,
    Event,
    EventCallback,
    Explained,
    Fitted,
    Loaded,
    WhoIsWho,
)
from polytalk.generation.explain import Explainer, ExplainReport, explain_folder
from polytalk.generation.material import scene_of
from polytalk.generation.model import asked_size, config_of, frame_size, load, with_processes
from polytalk.generation.plan import plan_scene
from polytalk.generation.preflight import Preflight, preflight
from polytalk.generation.request import GenerateRequest
from polytalk.media.audio import Sound
from polytalk.media.image import save_image
from polytalk.media.output import check_target, remove_leftovers
from polytalk.media.video import VideoWriter, check_video_name
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.pipeline.output import ClipOutput
from polytalk.pipeline.prepare import PreparedScene
from polytalk.pipeline.resume.folder import WorkFolder
from polytalk.planning.describe import describe_model
from polytalk.units import FPS, Size


@dataclass(frozen=True)
class GenerateResult:
    """What was made, and why so."""

    output: Path | None
    """The video; None after a dry run."""
    size: Size
    """(height, width) of the video."""
    num_frames: int
    """Its length."""
    preflight: Preflight
    """Who is where and who is who, and what may go wrong."""
    settings: dict[str, Any] = field(default_factory=dict)
    """How it was made: model, device, dtype, seed, levers, and close-ups."""
    explanation: ExplainReport | None = None
    """What the model saw, if it was asked for."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.num_frames / FPS

    @property
    def casting(self) -> CastProposal:
        """Who is who, and the reasons."""
        return self.preflight.proposal


def generate(request: GenerateRequest, progress: EventCallback | None = None) -> GenerateResult:
    """Make the video of a request; files appear when they are finished, and not before, a live video excepted.

    Under torchrun every process calls it alike; rank 0 writes the files.

    Args:
        request: what is asked for.
        progress: told what happens (see `polytalk.generation.events`).

    Raises:
        PolytalkError: bad input, or a result cannot be written.
    """
    tell = progress or _ignore
    run = _Run(request, tell)
    run.check_targets()
    files = OpenedFiles()
    shown = look_ahead(request, files, tell)
    preview = run.write_preview(shown)
    tell(WhoIsWho(shown, preview))
    if request.dry_run:
        return GenerateResult(None, shown.size, round(shown.seconds * FPS), shown)
    options, choices = run.levers(shown, files)
    pipe = run.load(options)
    prepared, near = run.prepare(pipe, shown, files)
    return run.make(pipe, prepared, near, choices, shown)


def look_ahead(request: GenerateRequest, files: OpenedFiles, tell: EventCallback | None = None) -> Preflight:
    """Who is who in a request, and what is known before the video is made.

    Raises:
        PolytalkError: no such model, or picture and sounds cannot be read.
    """
    (tell or _ignore)(Begins("looking who is who"))
    proposal = propose(request, scene_of(request, files), files)
    model = describe_model(request.model, request.audio_weights, request.speech_weights)
    size_class = config_of(request, model.config).size_class
    size = asked_size(request, proposal.scene, files)
    near = close_ups_of(request, proposal.scene, proposal.people, size_class, size, files)
    whole = frame_size(request, proposal.scene, size_class, files)
    return preflight(proposal, whole, files, music=has_music, max_seconds=request.max_seconds, close_ups=near)


class _Run:
    """One run of `generate`."""

    def __init__(self, request: GenerateRequest, tell: EventCallback) -> None:
        if request.output is None:
            raise PolytalkError("output", "it is missing", "Name the video, like talk.mp4.")
        self.request, self.tell, self.writes = request, tell, is_main_process()
        self.output: Path = request.output
        check_video_name(self.output)
        folder = request.work
        self.work = None if folder is None else WorkFolder(folder, resume=request.resume, redo=request.redo)
        if request.explain is not None:
            explain_folder(request.explain, force=request.force)
        if request.fit and request.options().parallel is not None:
            raise PolytalkError("fit", "it plans for one process", "Give the levers yourself; see polytalk plan.")

    def check_targets(self) -> None:
        """Refuse early what could not be written at the end."""
        request = self.request
        targets = [(request.preview, request.force)]
        if not request.dry_run:
            targets += [(self.output, self._may_overwrite()), (request.save_masks, request.force)]
        for path, force in targets:
            if path is not None and self.writes:
                check_target(path, force=force)

    def write_preview(self, shown: Preflight) -> Path | None:
        """The picture of who is where, if it was asked for."""
        path, force = self.request.preview, self.request.force
        if path is None and self.request.dry_run:
            path, force = self.output.with_name(f"{self.output.stem}.preview.png"), True
        if path is None or not self.writes:
            return None
        save_image(path, shown.picture(), force=force)
        return path

    def levers(self, shown: Preflight, files: OpenedFiles) -> tuple[LoadOptions, dict[str, Any]]:
        """Levers and the run's choices; with `fit` those with which the video fits."""
        options, choices = with_processes(self.request.options()), self.request.choices()
        if not self.request.fit:
            return options, choices
        self.tell(Begins("planning"))
        chosen = plan_scene(self.request, shown.scene, files).require()
        if chosen.shortened:
            choices["clip_frames"] = chosen.clip_frames
        self.tell(Fitted(chosen.options, chosen.clip_frames))
        return dataclasses.replace(options, **chosen.changes(options)), choices

    def load(self, options: LoadOptions) -> MultiTalkPipeline:
        """The model; in the number format of the clips that are there, where a run is taken up."""
        self.tell(Begins("loading PyTorch and the model"))
        dtype = self.request.dtype
        if dtype is None and self.work is not None and self.work.resume:
            dtype = self.work.number_format()
        pipe = load(self.request, options, dtype)
        parts = pipe.components
        self.tell(Loaded(str(self.request.model), str(parts.device), str(parts.dtype).removeprefix("torch.")))
        return pipe

    def prepare(
        self, pipe: MultiTalkPipeline, shown: Preflight, files: OpenedFiles
    ) -> tuple[PreparedScene, CloseUpRun | None]:
        """The scene as tensors, in close-ups where they are made."""
        self.tell(Begins("reading picture and voices"))
        near = shown.close_ups
        scene = shown.scene if near is None else near.scene
        size = asked_size(self.request, shown.scene, files) if near is None else near.plan.frame
        prepared = pipe.prepare(scene, size, files=files).first_seconds(self.request.max_seconds)
        if near is not None:
            self.tell(CloseUpsPlanned(len(near.plan.cuts), near.plan.frame, near.plan.picture))
        if self.request.save_masks is not None and self.writes:
            save_masks(self.request.save_masks, prepared.pixels, prepared.masks, force=self.request.force)
        return prepared, near

    def make(
        self,
        pipe: MultiTalkPipeline,
        prepared: PreparedScene,
        near: CloseUpRun | None,
        choices: dict[str, Any],
        shown: Preflight,
    ) -> GenerateResult:
        """Clip after clip into the file."""
        explainer = self._explainer(prepared, shown)
        observer = None if explainer is None else explainer.observer
        follow = explainer.follow if explainer is not None and self.writes else None
        seed = self.request.seed
        run: dict[str, Any] = {"seed": seed, "work": self.work, "progress": self.tell, "observer": observer, **choices}
        if near is not None:
            clips = near.stream(pipe, prepared, follow=follow, **run)
        else:
            clips = pipe.stream(prepared, **run)
            clips = clips if follow is None else follow(clips)
        if self.writes:
            self._write(clips, prepared.sound)
        else:
            deque(clips, maxlen=0)
        if explainer is not None and self.writes:
            self.tell(Explained(explainer.report))
        height, width = prepared.pixels.shape[:2] if near is None else near.plan.picture
        parts = pipe.components
        settings = {
            "model": str(self.request.model),
            "device": str(parts.device),
            "dtype": str(parts.dtype).removeprefix("torch."),
            "seed": seed,
            "levers": pipe.options,
            "close_ups": near is not None,
        }
        explained = None if explainer is None else explainer.report
        return GenerateResult(self.output, (height, width), prepared.num_frames, shown, settings, explained)

    def _explainer(self, prepared: PreparedScene, shown: Preflight) -> Explainer | None:
        """Every process has one, since the network's maps are gathered from all; only one of them writes."""
        if self.request.explain is None:
            return None
        return Explainer(prepared, self.request.explain, names=shown.scene.names, force=self.request.force)

    def _may_overwrite(self) -> bool:
        """Whether the output may be there: the user says so, or it is this run's own, unfinished."""
        return self.request.force or (
            self.work is not None and self.work.resume and self.work.is_unfinished(self.output)
        )

    def _write(self, clips: Iterator[ClipOutput], sound: Sound) -> None:
        force, work = self._may_overwrite(), self.work
        writer = VideoWriter(self.output, FPS, sound.samples, sound.sample_rate, force=force, live=self.request.live)
        if work is not None and work.resume:
            remove_leftovers(self.output)
        if work is not None and writer.live:
            work.note_unfinished(self.output)
        with writer:
            for clip in clips:
                for frame in clip.frames:
                    writer.write(frame)
        if work is not None:
            work.note_unfinished(None)


def _ignore(event: Event) -> None:
    """Nobody is told."""
