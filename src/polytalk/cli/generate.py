"""`polytalk generate` and `polytalk demo`: options to a scene, a scene to a file, with progress on the way."""

from __future__ import annotations

import dataclasses
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from polytalk.assets import asset
from polytalk.cli.show import CastWishes, recorded_scene
from polytalk.errors import PolytalkError
from polytalk.generation.request import CloseUpWishes, Wishes, describe
from polytalk.scene import Box, Scene, Speaker, pair_speakers

if TYPE_CHECKING:
    from polytalk.casting.found import FoundPerson
    from polytalk.config.options import LoadOptions
    from polytalk.generation.explain import Explainer
    from polytalk.media.audio import Sound
    from polytalk.pipeline.output import ClipOutput
    from polytalk.pipeline.resume.folder import WorkFolder

ASSETS = asset()
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Job:
    """One video to make."""

    scene: Scene
    """What is wanted."""
    output: Path
    """Where to."""
    wishes: Wishes = field(default_factory=Wishes)
    """Model, sampling and levers."""
    seed: int = 0
    """Of all noise."""
    fit: bool = False
    """Choose levers so that it fits the device."""
    vram: str | None = None
    """GPU memory to stay within."""
    save_masks: Path | None = None
    """Picture of who is where."""
    explain: Path | None = None
    """Folder for what the model sees."""
    live: bool = False
    """Write so that it can be watched meanwhile."""
    work: Path | None = None
    """Folder that keeps finished clips."""
    resume: bool = False
    """Go on with what is in it."""
    redo: bool = False
    """The same, and make again what has changed."""
    force: bool = False
    """Overwrite."""
    quiet: bool = False
    """Print errors only."""
    casting: CastWishes | None = None
    """Who is who; None takes the scene as it is."""
    close_ups: CloseUpWishes = field(default_factory=lambda: CloseUpWishes(False))
    """Heads cut out and laid into the picture."""
    people: Sequence[FoundPerson] = ()
    """Who was found in the picture."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MAX_SEED:
            raise PolytalkError("--seed", f"it is {self.seed}", f"Give a whole number from 0 to {MAX_SEED}.")
        if self.vram is not None and not self.fit:
            raise PolytalkError("--vram", "it says how much --fit may use", "Give --fit, too.")
        if self.work is None and (self.resume or self.redo):
            problem = "it goes on with the clips of a work folder, and there is none"
            raise PolytalkError("--resume" if self.resume else "--redo", problem, "Name it by --work.")


@dataclass(frozen=True)
class Told:
    """What is told of a conversation beside picture and prompts."""

    script: Path | None = None
    """Who says what and when, in a format of `polytalk.scene.formats.registry`."""
    recording: Path | None = None
    """The sound that its times count in."""
    voices: Sequence[str] = ()
    """Voices for texts: "Anna=heart"."""
    num_voices: int | None = None
    """How many speak in the recording, if there is no script."""
    find: bool = True
    """Look for people, who could speak in it."""
    separate_music: bool = False
    """Take the music out of the recording before that."""

    def read(self, image: Path | None, boxes: Sequence[Box], given: dict[str, Any]) -> Scene:
        """The scene of the script.

        Raises:
            PolytalkError: as `polytalk.scene.formats.registry.read`; a voice that names nobody.
        """
        from polytalk.scene.formats import registry as timeline

        assert self.script is not None
        pairs = [text.partition("=") for text in self.voices]
        for name, _, voice in pairs:
            if not name or not voice:
                raise PolytalkError("--voice", f"it is {name!r}", "Write it like Anna=heart.")
        voices = {name: voice for name, _, voice in pairs}
        return timeline.read(self.script, image=image, boxes=boxes, voices=voices, recording=self.recording, **given)


def build_scene(
    image: Path | None,
    speakers: Sequence[Path],
    boxes: Sequence[str],
    prompt: str | None,
    negative_prompt: str | None,
    scene_file: Path | None,
    arrangement: str | None,
    told: Told | None = None,
) -> Scene:
    """The scene that the options describe; prompts and arrangement may override those of a scene file.

    Raises:
        PolytalkError: options missing, contradicting each other or wrong.
    """
    wishes = {"prompt": prompt, "negative_prompt": negative_prompt, "arrangement": arrangement}
    given: dict[str, Any] = {name: value for name, value in wishes.items() if value is not None}
    told = told or Told()
    if told.script is None and told.voices:
        raise PolytalkError("--voice", "there is no --script", "Name one.")
    if told.num_voices is not None and (told.recording is None or told.script is not None):
        raise PolytalkError("--num-voices", "there is no --recording to find them in", "Name one, and no --script.")
    if told.separate_music and (told.recording is None or told.script is not None):
        raise PolytalkError(
            "--separate-music", "there is no --recording to take it out of", "Name one, and no --script."
        )
    if told.script is not None:
        unused = [("--scene", scene_file), ("--speaker", speakers), ("--arrangement", arrangement)]
        extra = [name for name, value in unused if value]
        if extra:
            raise PolytalkError(extra[0], "the script says this already", "Leave it out, or leave out --script.")
        return told.read(image, [Box.parse(box) for box in boxes], given)
    if scene_file is not None:
        given_too = (("--image", image), ("--speaker", speakers), ("--box", boxes), ("--recording", told.recording))
        extra = [name for name, value in given_too if value]
        if extra:
            raise PolytalkError(extra[0], "the scene file says this already", "Leave it out, or leave out --scene.")
        return dataclasses.replace(Scene.from_json(scene_file), **given)
    if image is None:
        raise PolytalkError("--image", "it is missing", "Name a picture of the people, or a scene file by --scene.")
    if told.recording is not None:
        extra = [name for name, value in (("--speaker", speakers), ("--arrangement", arrangement)) if value]
        if extra:
            raise PolytalkError(extra[0], "the recording says this already", "Leave it out, or leave out --recording.")
        places = [Box.parse(box) for box in boxes]
        wanted = {"find": told.find, "separate_music": told.separate_music}
        return recorded_scene(image, told.recording, told.num_voices, places, given, **wanted)
    if not speakers:
        raise PolytalkError("--speaker", "there is none", "Name a sound file for each person.")
    paired: tuple[Speaker, ...] = pair_speakers(speakers, [Box.parse(box) for box in boxes])
    return Scene(image=image, speakers=paired, **given)


def one_of(image: Path | None, video: Path | None) -> Path | None:
    """The picture or the video whose people are to speak.

    Raises:
        PolytalkError: both are given, or the video is none by its name.
    """
    if video is None:
        return image
    if image is not None:
        raise PolytalkError("--video", "there is --image, too", "Give one of the two.")
    from polytalk.media.source_video import VIDEO_SUFFIXES, is_video

    if not is_video(video):
        known = ", ".join(sorted(VIDEO_SUFFIXES))
        raise PolytalkError("--video", f"{video} has no video's ending", f"Known are {known}.")
    return video


def demo_scene() -> Scene:
    """Polytalk's own two people.

    Raises:
        PolytalkError: this installation lacks them.
    """
    return Scene.from_json(ASSETS / "demo.json")


def run(job: Job) -> None:
    """Make the video of a job; files appear when they are finished, and not before, a live video excepted.

    Raises:
        PolytalkError: bad input, or the result cannot be written.
    """
    from polytalk.media.output import check_target
    from polytalk.media.video import VideoWriter

    started, writes = time.monotonic(), _writes()
    VideoWriter(job.output)  # refuses names that are no video's
    work = _work_folder(job)
    asked = None if job.casting is None else job.casting.preview
    targets = [(job.output, _may_overwrite(job, work)), (job.save_masks, job.force), (asked, job.force)]
    for path, force in targets if job.casting is None or not job.casting.dry_run else targets[2:]:
        if path is not None and writes:
            check_target(path, force=force)
    console = Console(stderr=True, quiet=job.quiet or not writes)
    if job.casting is not None:
        job = _cast(job, job.casting, console)
        if job.casting is not None and job.casting.dry_run:
            return
    choices, options = job.wishes.choices(), job.wishes.options()
    if job.fit:
        with console.status("planning", spinner="dots"):
            options, choices = _fitted(job, options, choices, console)
    with console.status("loading PyTorch and the model", spinner="dots"):
        _check_explain(job)
        pipe = _load(job, options)
    console.print(_model_line(job, pipe))
    with console.status("reading picture and voices", spinner="dots"):
        size = job.wishes.frame_size(job.scene)
        near = job.close_ups.plan(job.scene, job.people, pipe.config.size_class, size)
        scene, size = (job.scene, size) if near is None else (near.scene, near.plan.frame)
        prepared = pipe.prepare(scene, size).first_seconds(job.wishes.max_seconds)
    if near is not None:
        console.print(describe(near))
    if job.save_masks is not None and writes:
        _save_masks(job, prepared)
    explainer = _explainer(job, prepared)
    observer = None if explainer is None else explainer.observer
    with _progress_bar(console) as progress:
        run_with = {"seed": job.seed, "work": work, "progress": progress, "observer": observer, **choices}
        follow = explainer.follow if explainer is not None and writes else None
        if near is not None:
            clips = near.stream(pipe, prepared, follow=follow, **run_with)
        else:
            clips = pipe.stream(prepared, **run_with)
            clips = clips if follow is None else follow(clips)
        if writes:
            _write(job, work, clips, prepared.sound)
        else:
            deque(clips, maxlen=0)
    height, width = prepared.pixels.shape[:2] if near is None else near.plan.picture
    seconds, spent = prepared.num_frames / 25, time.monotonic() - started
    made = f"{seconds:.1f} s of {width} × {height}"
    if explainer is not None and writes:
        explainer.report.print(console)
    console.print(f"[bold]{job.output}[/]: {made}, made in {spent:.0f} s ({spent / seconds:.1f} s per second)")


def _cast(job: Job, wishes: CastWishes, console: Console) -> Job:
    """The job with everybody's place and voice, after showing them."""
    from polytalk.cli.show import look_ahead, propose, show, write_preview

    preview = wishes.preview
    if preview is None and wishes.dry_run:
        preview = job.output.with_name(f"{job.output.stem}.preview.png")
    with console.status("looking who is who", spinner="dots"):
        proposal = propose(job.scene, wishes)
    if console.quiet and preview is None:
        return dataclasses.replace(job, scene=proposal.scene, people=proposal.people)
    shown = look_ahead(proposal, job.wishes, job.close_ups)
    show(shown, console)
    if preview is not None and _writes():
        write_preview(shown, preview, force=job.force or wishes.preview is None)
        console.print(f"[bold]{preview}[/] shows who is where")
    return dataclasses.replace(job, scene=shown.scene, people=proposal.people)


def _writes() -> bool:
    """Whether this process writes the files and shows progress; under torchrun rank 0 does."""
    return os.environ.get("RANK", "0") == "0"


def _work_folder(job: Job) -> WorkFolder | None:
    if job.work is None:
        return None
    from polytalk.pipeline.resume.folder import WorkFolder

    return WorkFolder(job.work, resume=job.resume, redo=job.redo)


def _may_overwrite(job: Job, work: WorkFolder | None) -> bool:
    """Whether the output may be there: the user says so, or it is this run's own, unfinished."""
    return job.force or (work is not None and work.resume and work.is_unfinished(job.output))


def _write(job: Job, work: WorkFolder | None, clips: Iterator[ClipOutput], sound: Sound) -> None:
    from polytalk.media.output import remove_leftovers
    from polytalk.media.video import VideoWriter

    force = _may_overwrite(job, work)
    writer = VideoWriter(job.output, 25, sound.samples, sound.sample_rate, force=force, live=job.live)
    if work is not None and work.resume:
        remove_leftovers(job.output)
    if work is not None and writer.live:
        work.note_unfinished(job.output)
    with writer:
        for clip in clips:
            for frame in clip.frames:
                writer.write(frame)
    if work is not None:
        work.note_unfinished(None)


def _model_line(job: Job, pipe: Any) -> str:
    number = str(pipe.components.dtype).removeprefix("torch.")
    return f"model {job.wishes.model} on {pipe.components.device}, {number}"


def _load(job: Job, options: LoadOptions):  # type: ignore[no-untyped-def]
    """The pipeline; brings in PyTorch, which takes seconds."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from polytalk.pipeline.multitalk import MultiTalkPipeline

    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    wishes = job.wishes
    pipe = MultiTalkPipeline.from_pretrained(
        wishes.model,
        torch_dtype=wishes.dtype,
        device=wishes.device,
        audio=wishes.audio_weights,
        speech=wishes.speech_weights,
        options=options,
    )
    pipe.config = wishes.model_config(pipe.config)
    return pipe


def _fitted(
    job: Job, options: LoadOptions, choices: dict[str, Any], console: Console
) -> tuple[LoadOptions, dict[str, Any]]:
    """Levers and choices with which the video fits, and a line that says which."""
    if options.parallel is not None:
        raise PolytalkError("--fit", "it plans for one process", "Give the levers yourself; see polytalk plan.")
    from polytalk.cli.plan import plan_for
    from polytalk.planning.plan import describe_options

    chosen = plan_for(job.scene, job.wishes, vram=job.vram).require()
    if chosen.shortened:
        choices = {**choices, "clip_frames": chosen.clip_frames}
    console.print(f"fits with: {describe_options(chosen.options)}, clips of {chosen.clip_frames} frames")
    return dataclasses.replace(options, **chosen.changes(options)), choices


def _check_explain(job: Job) -> None:
    """Refuse early where an explanation cannot be written."""
    if job.explain is not None:
        from polytalk.generation.explain import explain_folder

        explain_folder(job.explain, force=job.force)


def _explainer(job: Job, prepared) -> Explainer | None:  # type: ignore[no-untyped-def]
    """Every process has one, since the network's maps are gathered from all; only one of them writes."""
    if job.explain is None:
        return None
    from polytalk.generation.explain import Explainer

    return Explainer(prepared, job.explain, names=job.scene.names, force=job.force)


def _save_masks(job: Job, prepared) -> None:  # type: ignore[no-untyped-def]
    from polytalk.conditioning.masks import save_masks

    assert job.save_masks is not None
    save_masks(job.save_masks, prepared.pixels, prepared.masks, force=job.force)


@contextmanager
def _progress_bar(console: Console) -> Iterator:
    """A bar over all steps of all clips, with the time left; gives the callback that moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with ProgressBar(*columns, console=console) as bar:
        task = bar.add_task("starting", total=None)

        def show(event) -> None:  # type: ignore[no-untyped-def]
            name = event.stage.value if event.num_clips == 0 else f"clip {event.clip + 1}/{event.num_clips}"
            activity = "" if event.num_clips == 0 else f" {event.stage.value}"
            done, total = event.clip * event.num_steps + event.step, event.num_clips * event.num_steps
            bar.update(task, description=name + activity, completed=done, total=total or None)

        yield show
