"""The conductor: one picture, one voice per person and a prompt to a talking video of any length."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from polytalk.acceleration.precision import choose_device, choose_dtype
from polytalk.conditioning.conversation import Synthesiser
from polytalk.conditioning.opened import OpenedFiles
from polytalk.config.options import LoadOptions
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.models.components import Components
from polytalk.pipeline.clip_loop import ClipLoop
from polytalk.pipeline.clip_plan import planner_for
from polytalk.pipeline.components.mini import MiniComponents, save_mini
from polytalk.pipeline.components.wan import WanComponents, save_components
from polytalk.pipeline.loading import load_components, locate_model
from polytalk.pipeline.observing import ClipObserver
from polytalk.pipeline.output import ClipOutput, TalkOutput
from polytalk.pipeline.prepare import PreparedScene, prepare_scene
from polytalk.pipeline.progress import Progress, ProgressCallback, Stage
from polytalk.pipeline.resume.folder import WorkFolder, WorkRun
from polytalk.pipeline.resume.inputs import Inputs
from polytalk.pipeline.resume.scene_inputs import run_inputs
from polytalk.pipeline.settings import RunSettings
from polytalk.scene import Scene
from polytalk.units import FPS, Size


class MultiTalkPipeline:
    """MultiTalk (arXiv 2505.22647) from files to frames.

    Args:
        components: the model's networks.
        config: the model's defaults.
        options: levers that have been applied to the components; step caches and the like work at run time.

    Example:
        pipe = MultiTalkPipeline.from_pretrained("mini")
        pipe(Scene(image="a.png", speakers=[Speaker("left.wav"), Speaker("right.wav")])).save("talk.mp4")
    """

    def __init__(self, components: Components, config: PipelineConfig, options: LoadOptions | None = None) -> None:
        self.components, self.config, self.options = components, config, options or LoadOptions()

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        torch_dtype: torch.dtype | str | None = None,
        device: torch.device | str | None = None,
        *,
        audio: str | Path | None = None,
        speech: str | Path | None = None,
        options: LoadOptions | None = None,
    ) -> MultiTalkPipeline:
        """Load a model.

        Args:
            model: "mini"; a folder written by `save_pretrained`; Wan2.1-I2V-14B-480P or -720P as published or in the
                Diffusers layout, or a folder that holds it; or a hub id "owner/name".
            torch_dtype: number format; None takes bfloat16 where it is fast, else float32.
            device: None takes the best there is.
            audio: folder or file of MeiGen-MultiTalk's multitalk.safetensors, needed for Wan2.1's folders; None looks
                inside `model` and beside it.
            speech: folder of chinese-wav2vec2-base; likewise.
            options: how weights are held: quantisation, LoRAs, offload and the like.

        Raises:
            PolytalkError: unknown model, missing or damaged file, another kind of checkpoint, unknown device or format.
        """
        if options is not None and options.parallel is not None:
            from polytalk.acceleration.parallel.launch import agree, join

            device = join(device)
            torch_dtype = agree(choose_dtype(torch_dtype, device))
        chosen_device = choose_device(device)
        dtype = choose_dtype(torch_dtype, chosen_device)
        components, config = load_components(locate_model(model, audio, speech), chosen_device, dtype, options)
        return cls(components, config, options)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write index and weights into one folder so that `from_pretrained(folder)` loads them.

        Raises:
            PolytalkError: the folder cannot be written, or the weights are quantised.
        """
        folder = Path(folder)
        parts = self.components
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if isinstance(parts, WanComponents):
                save_components(parts, self.config, folder)
            elif isinstance(parts, MiniComponents):
                save_mini(parts, self.config, folder)
            else:
                raise PolytalkError("model", f"{type(parts).__name__} cannot be written", "Save its parts one by one.")
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            remedy = "Choose a folder that is yours, on a disk with room."
            raise PolytalkError(str(folder), f"cannot be written ({reason})", remedy) from error

    @torch.no_grad()
    def prepare(
        self,
        scene: Scene,
        size: Size | None = None,
        *,
        synthesise: Synthesiser | None = None,
        files: OpenedFiles | None = None,
    ) -> PreparedScene:
        """Read and check everything that the scene names, and encode prompt and voices.

        Args:
            scene: what is wanted.
            size: (height, width) of the video, multiples of 16; None chooses by the picture's aspect.
            synthesise: speaks the utterances that have only a text: (text, name of a voice or None) to a `Sound`;
                None: Polytalk's own synthesiser.
            files: what has been opened already.

        Raises:
            PolytalkError: a file or a field of the scene is wrong.
        """
        return prepare_scene(self.components, self.config, scene, size, files or OpenedFiles(), synthesise)

    def stream(
        self,
        scene: Scene | PreparedScene,
        *,
        size: Size | None = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
        work: WorkFolder | str | Path | None = None,
        progress: ProgressCallback | None = None,
        observer: ClipObserver | None = None,
        **choices: Any,
    ) -> Iterator[ClipOutput]:
        """Make the video clip by clip; each is given out as soon as it is finished.

        Args:
            scene: what is wanted, or what `prepare` made of it.
            size: (height, width) as in `prepare`.
            generator: source of all noise, drawn from by one clip after the other.
            seed: instead of `generator`: each clip has a generator of its own, made from the seed and its number. The
                first clip is the one that `torch.Generator().manual_seed(seed)` gives.
            work: folder that keeps every finished clip, so that the run can be taken up after it was stopped in
                whatever way, and an edited scene need not be made anew; see `WorkFolder`. Needs a seed; None is 0.
            progress: told what happens.
            observer: shown what the network sees in each clip (see `polytalk.pipeline.observing`).
            choices: `preset` and the knobs of `PipelineConfig`: num_inference_steps, guidance_scale, ...

        Raises:
            PolytalkError: at once, before any clip is made, when the scene or a choice is wrong, or the work folder is
                another video's, damaged or in use.
        """
        settings = RunSettings.choose(self.config, **choices)
        if generator is not None and (seed is not None or work is not None):
            problem = "a generator that all clips draw from cannot be taken up in the middle"
            raise PolytalkError("generator", problem, "Give a seed instead.")
        report = progress or _ignore
        prepared = self._prepared(scene, size, report)
        run = None if work is None else self._open(WorkFolder.of(work), prepared, settings, seed or 0)
        loop = ClipLoop(
            self.components,
            settings,
            prepared,
            generator,
            report,
            self.options,
            seed=seed if run is None else seed or 0,
            store=run,
            observer=observer,
        )
        return _closing(loop, run)

    def _open(self, work: WorkFolder, scene: PreparedScene, settings: RunSettings, seed: int) -> WorkRun:
        if not scene.rows:
            raise PolytalkError("work", "this scene was not prepared by the pipeline", "Use what `prepare` gives.")
        if self.options.parallel is not None:
            raise PolytalkError(
                "work", "several processes cannot share a work folder", "Use one process, or no folder."
            )
        inputs = Inputs(run_inputs(self.components, settings, self.options), scene.rows)
        speaking = None if self.options.compile else scene.loudness
        planner = planner_for(scene, settings, self.options, self.config.trained_voices)
        return work.open(inputs, planner, scene.num_frames, seed=seed, speaking=speaking)

    def __call__(
        self,
        scene: Scene | PreparedScene,
        *,
        size: Size | None = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
        work: WorkFolder | str | Path | None = None,
        progress: ProgressCallback | None = None,
        **choices: Any,
    ) -> TalkOutput:
        """Make the whole video; arguments and errors as in `stream`."""
        RunSettings.choose(self.config, **choices)  # refuse wrong choices before the scene is read
        prepared = self._prepared(scene, size, progress or _ignore)
        clips = self.stream(prepared, generator=generator, seed=seed, work=work, progress=progress, **choices)
        frames = np.concatenate([clip.frames for clip in clips])
        return TalkOutput(frames, FPS, prepared.sound.samples, prepared.sound.sample_rate)

    def _prepared(self, scene: Scene | PreparedScene, size: Size | None, report: ProgressCallback) -> PreparedScene:
        if isinstance(scene, PreparedScene):
            return scene
        report(Progress(Stage.PREPARE))
        if len(scene.speakers) > 1 and not any(speaker.has_place for speaker in scene.speakers):
            message = "nobody said who is where: the picture is divided evenly; polytalk.cast(scene) finds the people"
            warnings.warn(message, UserWarning, stacklevel=4)
        return self.prepare(scene, size)


def _closing(loop: ClipLoop, run: WorkRun | None) -> Iterator[ClipOutput]:
    """The loop's clips; the work folder is let go with the last, or when the caller drops the iterator."""
    with run or nullcontext():
        yield from loop


def _ignore(event: Progress) -> None:
    """No progress is shown."""
