"""A scene as tensors, between the reading of its files and the sampling of its clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from torch import Tensor

from polytalk.conditioning.activity import VoiceGate, frame_loudness, silent_features, track_gains, voice_activity
from polytalk.conditioning.conversation import Synthesiser
from polytalk.conditioning.masks import default_boxes, person_masks, scene_boxes
from polytalk.conditioning.opened import OpenedFiles
from polytalk.conditioning.picture import check_sides, choose_size, fit_picture, warn_of_cut_boxes
from polytalk.conditioning.speech import SpeechFeatures, conversation_tracks, encode_speech, num_feature_frames
from polytalk.config.pipeline import PipelineConfig
from polytalk.media.audio import Sound
from polytalk.models.components import Components
from polytalk.pipeline.clips import Clip
from polytalk.pipeline.dubbing import DubbingSource, dubbing_source
from polytalk.pipeline.resume.scene_inputs import scene_rows, source_rows
from polytalk.scene import Scene
from polytalk.scene.scene import check_boxes
from polytalk.scene.schedule import Schedule
from polytalk.units import FPS, Size


@dataclass(frozen=True, eq=False)
class ReferencePicture:
    """What is shown from a time on."""

    start: float
    """Seconds from the start of the video."""
    pixels: np.ndarray
    """uint8 (height, width, 3) at the network's size."""
    masks: Tensor
    """Who is where in it: bool (P, height / stride, width / stride)."""


@dataclass(frozen=True)
class PreparedScene:
    """A scene as tensors: all that does not depend on how it is sampled."""

    pixels: np.ndarray
    """The picture at the network's size, uint8 (height, width, 3)."""
    masks: Tensor
    """Who is where: bool (P, height / stride, width / stride)."""
    speech: SpeechFeatures
    """What everybody says."""
    sound: Sound
    """What the audience hears."""
    text: Tensor
    """(2, text_len, text_dim): prompt and negative prompt."""
    schedule: Schedule | None = None
    """Who speaks when, and what prompt holds when."""
    texts: Mapping[str, Tensor] = field(default_factory=dict)
    """As `text`, for every prompt in the schedule."""
    loudness: np.ndarray | None = None
    """How loud everybody is, 0 to 1: float (P, frames), so that clips can be cut in pauses."""
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Fingerprints of what each frame is made from, uint64 (frames,) by name; a work folder needs them."""
    activity: np.ndarray | None = None
    """Who speaks when: bool (P, frames); None: nothing is known of it."""
    gate: VoiceGate | None = None
    """Puts silence in the place of what is on a track while its speaker is silent."""

    source: DubbingSource | None = None
    """The video whose people speak anew, where the scene shows one."""
    pictures: Sequence[ReferencePicture] = ()
    """Pictures that take the first one's place, in order of time."""

    @property
    def num_frames(self) -> int:
        """Length of the video."""
        return self.speech.num_frames

    @property
    def first_picture(self) -> ReferencePicture:
        """The picture that the video begins with."""
        return ReferencePicture(0.0, self.pixels, self.masks)

    def text_for(self, clip: Clip) -> Tensor:
        """Prompt and negative prompt of a clip: of several the one that holds longest in its new frames."""
        if self.schedule is None:
            return self.text
        prompt = self.schedule.prompt(clip.new_start / FPS, clip.new_stop / FPS)
        return self.texts.get(prompt, self.text)

    def picture_for(self, clip: Clip) -> ReferencePicture:
        """The picture that a clip shows: the one that holds in the middle of its new frames."""
        middle = (clip.new_start + clip.new_stop) / 2 / FPS
        later = (picture for picture in reversed(self.pictures) if picture.start <= middle)
        return next(later, self.first_picture)

    def first_seconds(self, seconds: float | None) -> PreparedScene:
        """The scene cut off after so many seconds, but not before its first frame; None leaves it as it is."""
        if seconds is None:
            return self
        frames = max(1, round(seconds * FPS))
        if frames >= self.num_frames:
            return self
        seconds = frames / FPS
        sound = Sound(self.sound.samples[: round(seconds * self.sound.sample_rate)], self.sound.sample_rate)
        return dataclasses.replace(
            self,
            sound=sound,
            schedule=None if self.schedule is None else self.schedule.first_seconds(seconds),
            pictures=[picture for picture in self.pictures if picture.start < seconds],
            speech=SpeechFeatures(self.speech.features[:, :frames]),
            loudness=None if self.loudness is None else self.loudness[:, :frames],
            activity=None if self.activity is None else self.activity[:, :frames],
            gate=None if self.gate is None else self.gate.first(frames),
            rows={name: row[:frames] for name, row in self.rows.items()},
        )


def prepare_scene(
    components: Components,
    config: PipelineConfig,
    scene: Scene,
    size: Size | None,
    files: OpenedFiles,
    synthesise: Synthesiser | None = None,
) -> PreparedScene:
    """Read and check everything that a scene names, and encode prompt and voices.

    Args:
        components: encode.
        config: the model's defaults: size class and negative prompt.
        scene: what is wanted.
        size: (height, width) of the video, multiples of 16; None chooses by the picture's aspect.
        files: what has been opened already.
        synthesise: speaks texts; None: Polytalk's own synthesiser.

    Raises:
        PolytalkError: a file or a field of the scene is wrong.
    """
    picture = files.picture(scene.image)
    boxes = scene_boxes(scene, picture.width, picture.height)
    conversation = files.conversation(scene, synthesise)
    schedule = conversation.schedule
    target = check_sides(size) if size else choose_size(picture.width, picture.height, config.size_class)
    pixels, fit = fit_picture(picture, target)
    if scene.boxes:
        warn_of_cut_boxes(boxes, fit)
    masks = person_masks(boxes, fit, components.spatial_stride)
    source = dubbing_source(scene, schedule, boxes, fit, files)
    later = () if source is not None else _later_pictures(schedule, fit.target, components.spatial_stride, files)
    tracks, sound = conversation_tracks(conversation), conversation.mix()
    if source is not None:
        tracks, sound = source.fit_tracks(tracks), source.fit_sound(sound)

    def encode(samples: Tensor) -> Tensor:
        return components.encode_speech(samples[None], num_feature_frames(len(samples)))[0]

    speech = encode_speech(tracks, encode)
    negative = config.negative_prompt if scene.negative_prompt is None else scene.negative_prompt
    activity = voice_activity(tracks, speech.num_frames, gains=track_gains(conversation, tracks))
    activity &= schedule.speaking(speech.num_frames)
    prompts = dict.fromkeys([scene.prompt, *(span.prompt for span in schedule.prompts)])
    texts = {prompt: components.encode_text([prompt, negative]) for prompt in prompts}
    rows = scene_rows(scene, conversation, pixels, masks, negative, speech.num_frames)
    if source is not None:
        rows |= source_rows(scene.image, source.key_boxes, source.speaking, speech.num_frames)
    return PreparedScene(
        pixels,
        masks,
        speech,
        sound,
        texts[scene.prompt],
        schedule,
        texts,
        frame_loudness(tracks, speech.num_frames),
        rows,
        activity,
        # zero samples have their own features already
        VoiceGate.of(activity | ~tracks.any(axis=1, keepdims=True), silent_features(encode)),
        source,
        later,
    )


def _later_pictures(
    schedule: Schedule, target: Size, spatial_stride: int, files: OpenedFiles
) -> tuple[ReferencePicture, ...]:
    """Later pictures of a scene at the video's size."""
    found = []
    for before, setting in pairwise(schedule.settings):
        if setting.image is before.image and setting.boxes == before.boxes:
            continue
        picture = files.picture(setting.image, "cue.image")
        check_boxes(setting.boxes or (), picture.width, picture.height)
        boxes = setting.boxes or default_boxes(picture.width, picture.height, schedule.num_speakers)
        pixels, fit = fit_picture(picture, target)
        found.append(ReferencePicture(setting.start, pixels, person_masks(boxes, fit, spatial_stride)))
    return tuple(found)
