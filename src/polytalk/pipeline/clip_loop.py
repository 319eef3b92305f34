"""One run of the pipeline: clip after clip, each handing its last frames and its people's places to the next."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polytalk.acceleration.offload import HOST
from polytalk.acceleration.step_cache import StepCache
from polytalk.config.options import LoadOptions
from polytalk.config.pipeline import PipelineConfig, RunSettings
from polytalk.diffusion import draw_noise, sample
from polytalk.models.components import Components
from polytalk.pipeline.clips import Clip, ClipPlanner
from polytalk.pipeline.condition import build_condition, carried_latents, with_carried
from polytalk.pipeline.denoising import GuidedVelocity, branch_conditioning
from polytalk.pipeline.dubbing import ClipGuide
from polytalk.pipeline.following import Appearance, follow, have_moved
from polytalk.pipeline.motion import MotionPlan, heads
from polytalk.pipeline.observing import ClipObserver, SeenClip
from polytalk.pipeline.output import ClipOutput
from polytalk.pipeline.prepare import PreparedScene
from polytalk.pipeline.progress import Progress, ProgressCallback, Stage
from polytalk.pipeline.resume.clip_file import SavedClip
from polytalk.pipeline.turns import Cast, cast_clip, entrances, warn_of_silenced
from polytalk.postprocess.colour import match_colour
from polytalk.postprocess.puppet import Puppets
from polytalk.postprocess.stillness import AREA as STILL_AREA
from polytalk.postprocess.stillness import hold_still
from polytalk.units import FPS, TEMPORAL_STRIDE, latent_frames, to_network, to_pixels

_MASK_CHANNELS = 4


class ClipStore(Protocol):
    """Keeps finished clips; `polytalk.pipeline.resume.folder.WorkRun` does in a folder."""

    clips: list[Clip]
    """The plan."""

    def load(self, clip: Clip, entering: Mapping[str, Tensor]) -> SavedClip | None:
        """The clip, if it was made from what it would be made from now."""

    def save(self, clip: Clip, entering: Mapping[str, Tensor], frames: np.ndarray, leaving: dict[str, Tensor]) -> None:
        """Keep the clip."""


class ClipChain:
    """The clips of one video. Iterate once; what passes from clip to clip lives here.

    Args:
        components: the model's networks.
        config: how the model wants to be run.
        settings: this run's choices.
        scene: what is wanted.
        generator: source of all noise.
        report: told what happens.
        options: levers of which some work at run time.
        seed: of the noise, instead of `generator`: each clip then has a generator of its own, so that it can be made
            again without those before it.
        store: where finished clips are kept, and found again; it also has the plan. Needs a seed.
        observer: shown what the network sees.
    """

    def __init__(
        self,
        components: Components,
        config: PipelineConfig,
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
        self.options = options or LoadOptions()
        settings = settings if scene.source is None else settings.for_source()
        self.components, self.config, self.settings = components, config, settings
        self.scene, self.generator, self.report = scene, generator, report
        self.seed, self.store, self.observer = seed, store, observer
        self.clips = (
            store.clips if store is not None else plan_clips(scene, settings, self.options, config.trained_voices)
        )
        self.picture = to_network(scene.pixels).to(components.device)
        """(1, 3, 1, H, W) in -1..1."""
        self.reference: tuple[np.ndarray, Tensor] | None = None
        """Pixels and masks that stand for the picture after people have moved away from their places in it."""
        self.known: Tensor
        """(1, 3, M, H, W): frames that the next clip starts with; the picture, later the motion frames."""
        self._know(scene.pixels[None])
        self.carried: Tensor | None = None
        """(1, C, k + 1, h, w): latents of `known`, where they are taken over as they are."""
        self.masks = scene.masks.to(components.device)
        """(P, h, w) bool: who is where in the first of them."""
        self.home = scene.masks
        """Who is where in the picture."""
        self.cast = Cast(())
        """Who has a voice of their own in the clip that is being made, or was made last."""
        self._puppets: Puppets | None = None
        """The people of the picture that was shown last."""
        self._guide: ClipGuide | None = None
        """What the clip takes from a source video."""
        self._labels: Tensor | None = None
        """(h / 2, w / 2): whom the network sees where in the frame that the next clip begins with."""

    def __iter__(self) -> Iterator[ClipOutput]:
        for clip in self.clips:
            frames = self._kept(clip)
            if frames is None:
                entering = self.state()
                frames = self._advance(clip)
                if self.store is not None:
                    self.store.save(clip, entering, frames, self.state())
            if clip is self.clips[-1]:
                self._report(Stage.DONE, clip, self.settings.schedule.num_steps)
            yield ClipOutput(clip.index, clip.new_start, frames, FPS)

    def state(self) -> dict[str, Tensor]:
        """All that the next clip takes over from those before."""
        cast = torch.tensor(self.cast.people, dtype=torch.int64)
        state = {"known": self._known_pixels, "masks": self.masks.cpu(), "cast": cast}
        if self.carried is not None:
            state["carried"] = self.carried.cpu()
        if self.reference is not None:
            pixels, masks = self.reference
            state |= {"reference": torch.from_numpy(np.array(pixels)), "reference_masks": masks}
        return state

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on as if the clip that left this state had just been made."""
        self._know(state["known"].numpy())
        self.masks = state["masks"].to(self.components.device)
        self.cast = Cast(tuple(state["cast"].tolist()))
        moved = state.get("reference")
        self.reference = None if moved is None else (moved.numpy(), state["reference_masks"])
        carried = state.get("carried")
        self.carried = None if carried is None else carried.to(self.components.device)

    def _know(self, pixels: np.ndarray) -> None:
        """Begin the next clip with these frames, uint8 (M, height, width, 3).

        They are rounded to pixels, as the audience sees them, whether or not they come from a file.
        """
        self._known_pixels = torch.from_numpy(np.array(pixels))
        self.known = to_network(self._known_pixels).to(self.components.device)

    def _kept(self, clip: Clip) -> np.ndarray | None:
        """The frames of a clip that has been made before, whose state is taken over; None if there is none."""
        saved = self.store.load(clip, self.state()) if self.store is not None else None
        if saved is None:
            return None
        self._restore(saved.state)
        self._report(Stage.RESUME, clip, self.settings.schedule.num_steps)
        return saved.frames

    def _advance(self, clip: Clip) -> np.ndarray:
        """Make a clip, and get ready for the next; its new frames, uint8 (T, height, width, 3)."""
        video = self._make(clip)
        self._know(to_pixels(video[0, :, -self.settings.planner.motion_frames :]))
        self._follow(clip)
        return self._played(clip, to_pixels(video[0, :, clip.motion_frames : clip.motion_frames + clip.num_new]))

    def _played(self, clip: Clip, frames: np.ndarray) -> np.ndarray:
        """A clip's new frames, uint8 (T, height, width, 3), with all that people do besides speaking."""
        if self._motion is None or not self.settings.move_heads:
            return frames
        since = round(self.scene.picture_for(clip).start * FPS)
        return self._motion.play(frames, self._people(clip), since, clip.new_start)

    def _people(self, clip: Clip) -> Puppets:
        """The people of the picture that a clip shows."""
        shown = self.scene.picture_for(clip)
        if self._puppets is None or self._puppets.picture is not shown.pixels:
            self._puppets = Puppets(shown.pixels, heads(shown.masks))
        return self._puppets

    @cached_property
    def _appearance(self) -> Appearance:
        """What everybody looks like in the scene's picture."""
        return Appearance.of(self.picture[0, :, 0], self.home)

    def _follow(self, clip: Clip) -> None:
        """Find everybody in the frame that the next clip begins with."""
        if self._labels is not None:
            frame = self.known[0, :, 0]
            self.masks = follow(self._labels, frame, self.masks, self._appearance, self.cast.people).masks
            _, where = self.reference or (None, self.home)
            if self.config.fill_condition == "reference" and have_moved(where, self.masks.cpu()):
                # a condition that shows them where they were would draw them back there
                self.reference = self._known_pixels[-1].numpy(), self.masks.cpu().clone()

    def _reference_picture(self) -> Tensor:
        """What the condition shows where no frame is known, (1, 3, H, W) in -1..1."""
        if self.reference is None:
            return self.picture[:, :, 0]
        return to_network(self.reference[0]).to(self.picture)[:, :, 0]

    def _choose_picture(self, clip: Clip) -> None:
        """Take the picture that a clip shows; where it is another than before, the clip begins with it: a cut.

        The motion frames, which nobody will see, then lead in from the picture instead of from the clip before.
        """
        if not self.scene.pictures:
            return
        shown = self.scene.picture_for(clip)
        before = self.scene.picture_for(self.clips[clip.index - 1]).start if clip.index else 0.0
        self.picture, self.home = to_network(shown.pixels).to(self.components.device), shown.masks
        self.__dict__.pop("_appearance", None)
        if shown.start != before:
            self._know(shown.pixels[None])
            self.masks, self.reference, self.carried = shown.masks.to(self.components.device), None, None

    def _choose_cast(self, clip: Clip) -> None:
        """Decide who has a voice of their own in a clip."""
        spoken = self.scene.activity
        if spoken is None:
            spoken = np.ones((len(self.masks), self.scene.num_frames), bool)
        spoken = spoken[:, clip.new_start : clip.new_stop]
        self.cast = cast_clip(spoken, self.config.trained_voices, self.cast.people)
        if self.scene.activity is not None:
            warn_of_silenced(spoken, self.cast, clip.new_start)

    def _heard(self, clip: Clip) -> Tensor:
        """Windowed features of the cast's voices, (people, T, window, layers, channels)."""
        windows = self.scene.speech.clip(clip.start, clip.num_frames)
        if self.settings.gate_silence and self.scene.gate is not None:
            windows = self.scene.gate(windows, clip.start)
        return windows[list(self.cast.people)]

    @cached_property
    def _motion(self) -> MotionPlan | None:
        """How everybody moves in the whole video; None where the network decides, or a source video."""
        seed = self.seed if self.generator is None else self.generator.initial_seed()
        count = max(clip.start + clip.num_frames for clip in self.clips)
        return MotionPlan.of(self.scene, self.settings, self.components.transformer, seed or 0, count)

    def _told(self, clip: Clip) -> Tensor | None:
        """That the cast does nothing but speak, (people, T, channels), if the network can be told."""
        if self._motion is None:
            return None
        told = torch.zeros(len(self.cast.people), clip.num_frames, self.components.transformer.config["pose_channels"])
        told[..., 0] = 1
        return told.to(self.components.device)

    @torch.no_grad()
    def _make(self, clip: Clip) -> Tensor:
        """One clip's frames (1, 3, T, H, W) in -1..1, motion frames included."""
        latents = self._sample(clip)
        self._report(Stage.DECODE, clip, self.settings.schedule.num_steps)
        video = self.components.decode_video(latents).float().clamp(-1, 1)
        shown = self._shown(clip, video)
        if self.settings.carry_over == "latent":
            motion, decoded = (frames[:, :, -self.settings.planner.motion_frames :] for frames in (shown, video))
            self.carried = carried_latents(self.components, latents, motion, None if shown is video else decoded)
        return shown

    def _sample(self, clip: Clip) -> Tensor:
        """One clip's clean latents (1, C, F, h, w). Keys, values and the condition (gigabytes at 14B) end with it."""
        self._report(Stage.ENCODE, clip)
        self._choose_picture(clip)
        self._choose_cast(clip)
        if self.scene.source is not None:
            self._guide = self.scene.source.guide(self.components, clip)
            self.masks = self._guide.masks.to(self.components.device)
        condition = build_condition(
            self.components, self.known, self._reference_picture(), clip.num_frames, self.config.fill_condition
        )
        if self._guide is not None and self.config.fill_condition == "reference":
            condition = self._guide.fill(condition, latent_frames(self.known.shape[2]))
        condition = with_carried(condition, self.carried)
        step_cache = self._step_cache(clip)
        velocity = self._guided_velocity(clip, condition, step_cache)
        self._report(Stage.DENOISE, clip)
        with step_cache or nullcontext():
            return self._denoise(clip, velocity, condition)

    def _shown(self, clip: Clip, video: Tensor) -> Tensor:
        """A clip (1, 3, T, H, W) in -1..1 as the audience sees it; itself if that is as decoded."""
        if self._guide is not None:
            return self._guide.composite(video)  # its colours are held by what is around them
        still_only = self.settings.colour_region == "still"
        matched = match_colour(video, self.picture, self.settings.colour_strength, still_only=still_only)
        strength, near = self.settings.hold_still, self._near_people(video.shape[-2:])
        if self._motion is None or not strength:
            return hold_still(matched, self.picture, strength, near)
        # people only speak: nothing but their faces can differ from the picture
        speaking = torch.from_numpy(self._people(clip).speaking).to(matched)
        part = (..., *_extent(speaking > 0, STILL_AREA))
        shown = self.picture.expand_as(matched).clone()
        still = hold_still(matched[part], self.picture[part], strength, near[part])
        shown[part] += speaking[part] * (still - shown[part])
        return shown

    def _near_people(self, size: Sequence[int]) -> Tensor:
        """(H, W) bool: where somebody is at the clip's beginning or in the picture, and a cell around."""
        somebody = (self.masks | self.home.to(self.masks.device)).any(dim=0)
        near = F.max_pool2d(somebody[None, None].float(), 3, 1, 1)
        return F.interpolate(near, size=tuple(size))[0, 0] > 0

    def _step_cache(self, clip: Clip) -> StepCache | None:
        """A cache for the steps of this clip alone."""
        kind = self.options.step_cache
        if kind is None or (self.observer is not None and self.observer.every_step):
            return None
        return StepCache(
            self.components.transformer,
            kind,
            self.settings.schedule.timesteps()[:-1],
            threshold=self.options.step_cache_threshold,
            numbers=self.options.step_cache_numbers,
            size_class=self.config.size_class,
            keep_last=self._reads_labels(clip) or self.observer is not None,
        )

    def _reads_labels(self, clip: Clip) -> bool:
        """Whether the clip's last step tells where the people are in the next clip."""
        if self.scene.source is not None:
            return False
        known = self._guide is not None  # a source video's boxes follow the faces themselves
        return self.settings.carry_masks and not known and len(self.cast.people) > 1 and clip is not self.clips[-1]

    def _guided_velocity(self, clip: Clip, condition: Tensor, step_cache: StepCache | None) -> GuidedVelocity:
        parts, guidance = self.components, self.settings.guidance
        conditioning = branch_conditioning(
            parts.transformer,
            guidance.branches(),
            self.scene.text_for(clip),
            parts.encode_image(self.known[:, :, -1]),
            self._heard(clip).to(parts.device),
            clip.num_latent_frames,
            self._told(clip),
        )
        masks = self.masks[list(self.cast.people)] if len(self.cast.people) > 1 else None
        parallel = self.options.parallel
        # where blocks divide the predictions themselves, or ranks do, the network is called once for all
        ranks_divide = parallel is not None and parallel.guidance > 1
        in_turn = self.options.chunks_branches and not ranks_divide
        return GuidedVelocity(
            parts.transformer,
            guidance,
            conditioning,
            condition,
            masks,
            batched=self.config.batch_guidance or in_turn or ranks_divide,
            step_cache=step_cache,
            in_turn=in_turn,
            home=HOST if self.options.transformer_offloaded else None,
        )

    def _denoise(self, clip: Clip, velocity: GuidedVelocity, condition: Tensor) -> Tensor:
        """Clean latents (1, C, F, h, w)."""
        shown, schedule = condition[:, _MASK_CHANNELS:], self.settings.schedule
        num_known = latent_frames(self.known.shape[2])
        known = shown[:, :, :num_known] if clip.index or self.config.keep_picture else None
        reads_labels = self._reads_labels(clip)

        def before_step(index: int) -> None:
            last = index == schedule.num_steps - 1
            velocity.watch_labels = reads_labels and last
            velocity.watch_maps = self.observer is not None and (last or self.observer.every_step)

        def after_step(index: int, timestep: Tensor, latents: Tensor) -> None:
            self._show_maps(clip, velocity, index)
            before_step(index + 1)
            self._report(Stage.DENOISE, clip, index + 1)

        before_step(0)
        generator = self.generator if self.seed is None else clip_generator(self.seed, clip.index)
        noise = draw_noise(tuple(shown.shape), generator, shown.device)
        source = None if self._guide is None else self._guide.source
        clean = sample(velocity, noise, schedule, known=known, source=source, generator=generator, callback=after_step)
        self._labels = None
        if reads_labels and velocity.labels is not None:
            block = self.config.label_block
            labels = velocity.labels[len(velocity.labels) // 2 if block is None else block]
            begins = (clip.num_frames - self.settings.planner.motion_frames) // TEMPORAL_STRIDE
            self._labels = labels[begins]
        return clean

    def _show_maps(self, clip: Clip, velocity: GuidedVelocity, step: int) -> None:
        """Hand on what the network saw in a step, if it was looked at."""
        if self.observer is None or not velocity.maps or velocity.labels is None:
            return
        people, masks = self.cast.people, self.masks[list(self.cast.people)]
        steps = self.settings.schedule.num_steps
        self.observer.see(SeenClip.of(clip, step, steps, people, masks, velocity.maps, velocity.labels))

    def _report(self, stage: Stage, clip: Clip, step: int = 0) -> None:
        self.report(Progress(stage, clip.index, len(self.clips), step, self.settings.schedule.num_steps))


def plan_clips(
    scene: PreparedScene, settings: RunSettings, options: LoadOptions, trained_voices: int | None
) -> list[Clip]:
    """The clips of a video, cut in pauses; of even lengths where each length would be compiled anew."""
    planner = planner_for(scene, settings, options, trained_voices)
    return planner.plan(scene.num_frames, None if options.compile else scene.loudness)


def planner_for(
    scene: PreparedScene, settings: RunSettings, options: LoadOptions, trained_voices: int | None
) -> ClipPlanner:
    """The run's planner, told where picture, prompt or, with weights that know few voices, the cast changes."""
    wanted: set[int] = set()
    if scene.schedule is not None:
        wanted |= {round(setting.start * FPS) for setting in scene.schedule.settings[1:]}
    if scene.activity is not None:
        wanted |= entrances(scene.activity, trained_voices)
    if not wanted or options.compile:
        return settings.planner
    return dataclasses.replace(settings.planner, wanted=tuple(sorted(wanted)))


def clip_generator(seed: int, clip: int) -> torch.Generator:
    """The source of one clip's noise: of the first clip that of the seed itself, of the others seeds made from it."""
    if clip:
        named = hashlib.blake2b(f"{seed} {clip}".encode(), digest_size=8).digest()
        seed = int.from_bytes(named, "little") >> 1
    return torch.Generator().manual_seed(seed)


def _extent(where: Tensor, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold all places (H, W) that are, and so many pixels around them."""
    found = []
    for seen in (where.any(dim=1), where.any(dim=0)):
        places = seen.nonzero()
        first, last = (int(places[0]), int(places[-1])) if len(places) else (0, 0)
        found.append(slice(max(0, first - margin), last + margin + 1))
    return found[0], found[1]
