"""The clip loop: clip after clip, each handing its last frames and its people's places to the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from polytalk.config.options import LoadOptions
from polytalk.models.components import Components
from polytalk.pipeline.clip_plan import clip_generator, plan_clips
from polytalk.pipeline.clip_state import ClipState, ShownPicture
from polytalk.pipeline.clips import Clip
from polytalk.pipeline.condition import build_condition, carried_latents, with_carried
from polytalk.pipeline.dubbing import ClipGuide
from polytalk.pipeline.finish import Finish
from polytalk.pipeline.following import follow, have_moved
from polytalk.pipeline.motion import MotionPlan, is_told
from polytalk.pipeline.observing import ClipObserver
from polytalk.pipeline.output import ClipOutput
from polytalk.pipeline.prepare import PreparedScene
from polytalk.pipeline.progress import Progress, ProgressCallback, Stage
from polytalk.pipeline.resume.clip_file import SavedClip
from polytalk.pipeline.sample_clip import ClipInputs, ClipSampler
from polytalk.pipeline.settings import RunSettings
from polytalk.pipeline.turns import cast_clip, warn_of_silenced
from polytalk.units import FPS, TEMPORAL_STRIDE, to_network, to_pixels


class ClipStore(Protocol):
    """Keeps finished clips; `polytalk.pipeline.resume.folder.WorkRun` does in a folder."""

    clips: list[Clip]
    """The plan."""

    def load(self, clip: Clip, entering: Mapping[str, Tensor]) -> SavedClip | None:
        """The clip, if it was made from what it would be made from now."""

    def save(self, clip: Clip, entering: Mapping[str, Tensor], frames: np.ndarray, leaving: dict[str, Tensor]) -> None:
        """Keep the clip."""


class ClipLoop:
    """The clips of one video. Iterate once.

    Args:
        components: the model's networks.
        settings: this run's.
        scene: what is wanted.
        generator: source of all noise.
        report: told what happens.
        options: levers of which some work at run time.
        seed: of the noise, instead of `generator`: each clip then has a generator of its own, so that it can be made
            again without those before it.
        store: where finished clips are kept, and found again; it also has the plan. Needs a seed. What is played with
            the frames is left out of what is kept, since it may change without them.
        observer: shown what the network sees.
    """

    def __init__(
        self,
        components: Components,
        settings: RunSettings,
        scene: PreparedScene,
        generator: torch.Generator | None,
        report: ProgressCallback,
        options: LoadOptions | None = None,
        *,
        seed: int | None = None,
        store: ClipStore | None = None,
        observer: ClipObserver | None = None,
    ) -> None:
        options = options or LoadOptions()
        settings = settings if scene.source is None else settings.for_source()
        self.components, self.settings, self.config, self.scene = components, settings, settings.config, scene
        self.generator, self.seed, self.report, self.store = generator, seed, report, store
        self.clips = plan_clips(scene, settings, options, self.config.trained_voices) if store is None else store.clips
        self.picture = ShownPicture(scene.first_picture, components.device)
        self.state = ClipState(scene.pixels, scene.masks, components.device)
        self.is_told = is_told(scene, settings, components.transformer)
        self.sampler = ClipSampler(components, settings, options, report, observer)
        self.finish = Finish(scene, settings, is_told=self.is_told, motion=self._motion())

    def __iter__(self) -> Iterator[ClipOutput]:
        for clip in self.clips:
            frames = self._kept(clip)
            if frames is None:
                entering = self.state.to_tensors()
                frames = self.advance(clip)
                if self.store is not None:
                    self.store.save(clip, entering, frames, self.state.to_tensors())
            played = self.finish.play(clip, frames)
            if clip is self.clips[-1]:
                self._report(Stage.DONE, clip, self.settings.schedule.num_steps)
            yield ClipOutput(clip.index, clip.new_start, played, FPS)

    def advance(self, clip: Clip) -> np.ndarray:
        """Make a clip, and get ready for the next; its new frames, uint8 (T, height, width, 3), before people move."""
        video, labels = self._make(clip)
        self.state.know(to_pixels(video[0, :, -self.settings.planner.motion_frames :]))
        if labels is not None:
            self.find_people(labels)
        return to_pixels(video[0, :, clip.motion_frames : clip.motion_frames + clip.num_new])

    def find_people(self, labels: Tensor) -> None:
        """Find everybody in the frame that the next clip begins with.

        Args:
            labels: (h / 2, w / 2): whom the network sees where in it.
        """
        state = self.state
        state.masks = follow(
            labels, state.known[0, :, 0], state.masks, self.picture.appearance, state.cast.people
        ).masks
        _, where = state.reference or (None, self.picture.masks)
        if self.config.fill_condition == "reference" and have_moved(where, state.masks.cpu()):
            # a condition that shows them where they were would draw them back there
            state.reference = state.known_pixels[-1], state.masks.cpu().clone()

    def reference_picture(self) -> Tensor:
        """What the condition shows where no frame is known, (1, 3, H, W) in -1..1."""
        if self.state.reference is None:
            return self.picture.pixels[:, :, 0]
        return to_network(self.state.reference[0]).to(self.picture.pixels)[:, :, 0]

    def _motion(self) -> MotionPlan | None:
        """What everybody does besides speaking in the whole video."""
        if not self.is_told or not self.config.move_heads:
            return None
        seed = self.seed if self.generator is None else self.generator.initial_seed()
        count = max(clip.start + clip.num_frames for clip in self.clips)
        return MotionPlan.of(self.scene, self.settings, seed or 0, count)

    def _kept(self, clip: Clip) -> np.ndarray | None:
        """The frames of a clip that has been made before, whose state is taken over; None if there is none."""
        saved = self.store.load(clip, self.state.to_tensors()) if self.store is not None else None
        if saved is None:
            return None
        self.state.restore(saved.state)
        self._report(Stage.RESUME, clip, self.settings.schedule.num_steps)
        return saved.frames

    @torch.no_grad()
    def _make(self, clip: Clip) -> tuple[Tensor, Tensor | None]:
        """One clip's frames (1, 3, T, H, W) in -1..1, motion frames included; whom the network saw at their start."""
        self._report(Stage.ENCODE, clip)
        self._choose_picture(clip)
        self._choose_cast(clip)
        guide = None
        if self.scene.source is not None:
            guide = self.scene.source.guide(self.components, clip)
            self.state.masks = guide.masks.to(self.components.device)
        generator = self.generator if self.seed is None else clip_generator(self.seed, clip.index)
        latents, labels = self.sampler(self._inputs(clip, guide), generator)
        self._report(Stage.DECODE, clip, self.settings.schedule.num_steps)
        video = self.components.decode_video(latents).float().clamp(-1, 1)
        somebody = (self.state.masks | self.picture.masks.to(self.state.masks.device)).any(dim=0)
        shown = self.finish.show(clip, video, self.picture.pixels, somebody, guide)
        count = self.settings.planner.motion_frames
        if self.config.carry_over == "latent":
            decoded = None if shown is video else video[:, :, -count:]
            self.state.carried = carried_latents(self.components, latents, shown[:, :, -count:], decoded)
        if labels is None:
            return shown, None
        block = self.config.label_block
        seen = labels[len(labels) // 2 if block is None else block]
        return shown, seen[(clip.num_frames - count) // TEMPORAL_STRIDE]

    def _inputs(self, clip: Clip, guide: ClipGuide | None) -> ClipInputs:
        state, people = self.state, self.state.cast.people
        condition = build_condition(
            self.components, state.known, self.reference_picture(), clip.num_frames, self.config.fill_condition
        )
        # a source video's boxes follow the faces themselves
        reads_labels = self.config.carry_masks and guide is None and len(people) > 1 and clip is not self.clips[-1]
        return ClipInputs(
            clip,
            len(self.clips),
            with_carried(condition, state.carried),
            state.known,
            self.scene.text_for(clip),
            self._heard(clip),
            self._pose(clip),
            people,
            state.masks[list(people)],
            None if guide is None else guide.source,
            reads_labels,
        )

    def _choose_picture(self, clip: Clip) -> None:
        """Take the picture that a clip shows; where it is another than before, the clip begins with it: a cut.

        The motion frames, which nobody will see, then lead in from the picture instead of from the clip before.
        """
        if not self.scene.pictures:
            return
        shown = self.scene.picture_for(clip)
        before = self.scene.picture_for(self.clips[clip.index - 1]).start if clip.index else 0.0
        self.picture = ShownPicture(shown, self.components.device)
        if shown.start != before:
            self.state.begin_with(shown.pixels, shown.masks)

    def _choose_cast(self, clip: Clip) -> None:
        """Decide who has a voice of their own in a clip."""
        spoken = self.scene.activity
        if spoken is None:
            spoken = np.ones((len(self.state.masks), self.scene.num_frames), bool)
        spoken = spoken[:, clip.new_start : clip.new_stop]
        self.state.cast = cast_clip(spoken, self.config.trained_voices, self.state.cast.people)
        if self.scene.activity is not None:
            warn_of_silenced(spoken, self.state.cast, clip.new_start)

    def _heard(self, clip: Clip) -> Tensor:
        """Windowed features of the cast's voices, (people, T, window, layers, channels)."""
        windows = self.scene.speech.clip(clip.start, clip.num_frames)
        if self.config.gate_silence and self.scene.gate is not None:
            windows = self.scene.gate(windows, clip.start)
        return windows[list(self.state.cast.people)]

    def _pose(self, clip: Clip) -> Tensor | None:
        """That the cast does nothing but speak, (people, T, channels), if the network can be told."""
        if not self.is_told:
            return None
        channels = self.components.transformer.config["pose_channels"]
        pose = torch.zeros(len(self.state.cast.people), clip.num_frames, channels)
        pose[..., 0] = 1
        return pose.to(self.components.device)

    def _report(self, stage: Stage, clip: Clip, step: int = 0) -> None:
        self.report(Progress(stage, clip.index, len(self.clips), step, self.settings.schedule.num_steps))
