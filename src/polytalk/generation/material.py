"""The scene of a request: from a scene file, a script, a recording, or a picture and a sound for each person."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from polytalk.casting.cast import look_for_people
from polytalk.casting.recording import scene_of_recording, voices_of
from polytalk.casting.voices.music import separate_voice
from polytalk.conditioning.opened import OpenedFiles
from polytalk.errors import PolytalkError
from polytalk.generation.request import GenerateRequest
from polytalk.media.source_video import VIDEO_SUFFIXES, is_video
from polytalk.scene import Scene, Speaker, pair_speakers
from polytalk.scene.formats import registry


def scene_of(request: GenerateRequest, files: OpenedFiles) -> Scene:
    """What a request shows and lets be heard; prompts and arrangement may override those of a scene file.

    Args:
        request: what is asked for.
        files: what has been opened already.

    Raises:
        PolytalkError: fields missing, contradicting each other or wrong.
    """
    _check_dependents(request)
    image = _shown(request)
    wanted = ("prompt", "negative_prompt", "arrangement")
    given = {name: value for name in wanted if (value := getattr(request, name)) is not None}
    if request.script is not None:
        return _of_script(request, image, given)
    if isinstance(request.scene, Scene):
        return dataclasses.replace(request.scene, **given)
    if request.scene is not None:
        beside = {"image": image, "speakers": request.speakers, "boxes": request.boxes, "recording": request.recording}
        _refuse(beside, "the scene file says this already", "`scene`")
        return dataclasses.replace(Scene.from_json(request.scene), **given)
    if image is None:
        raise PolytalkError("image", "it is missing", "Name a picture of the people, or a scene file by `scene`.")
    if request.recording is not None:
        beside = {"speakers": request.speakers, "arrangement": request.arrangement}
        _refuse(beside, "the recording says this already", "`recording`")
        return _of_recording(request, image, given, files)
    if not request.speakers:
        raise PolytalkError("speakers", "there is none", "Name a sound file for each person.")
    if all(isinstance(speaker, Speaker) for speaker in request.speakers):
        return Scene(image=image, speakers=tuple(request.speakers), **given)
    return Scene(image=image, speakers=pair_speakers(request.speakers, request.boxes), **given)


def _check_dependents(request: GenerateRequest) -> None:
    """Refuse what only makes sense beside something that is not there."""
    if request.script is None and request.voices:
        raise PolytalkError("voices", "there is no script", "Name one by `script`.")
    alone = request.recording is None or request.script is not None
    if request.num_voices is not None and alone:
        problem = "there is no recording to find them in"
        raise PolytalkError("num_voices", problem, "Name one by `recording`, and no `script`.")
    if request.separate_music and alone:
        problem = "there is no recording to take it out of"
        raise PolytalkError("separate_music", problem, "Name one by `recording`, and no `script`.")


def _refuse(beside: dict[str, Any], problem: str, by: str) -> None:
    extra = [name for name, value in beside.items() if value is not None and not _is_empty(value)]
    if extra:
        raise PolytalkError(extra[0], problem, f"Leave it out, or leave out {by}.")


def _is_empty(value: Any) -> bool:
    return isinstance(value, tuple | list | str) and not value


def _shown(request: GenerateRequest) -> Any:
    """The picture or the video whose people are to speak."""
    if request.video is None:
        return request.image
    if request.image is not None:
        raise PolytalkError("video", "there is `image`, too", "Give one of the two.")
    if not isinstance(request.video, np.ndarray) and not is_video(request.video):
        known = ", ".join(sorted(VIDEO_SUFFIXES))
        raise PolytalkError("video", f"{request.video} has no video's ending", f"Known are {known}.")
    return request.video


def _of_script(request: GenerateRequest, image: Any, given: dict[str, Any]) -> Scene:
    beside = {"scene": request.scene, "speakers": request.speakers, "arrangement": request.arrangement}
    _refuse(beside, "the script says this already", "`script`")
    assert request.script is not None
    return registry.read(
        request.script,
        image=image,
        boxes=request.boxes,
        voices=request.voice_names(),
        recording=request.recording,
        **given,
    )


def _of_recording(request: GenerateRequest, image: Any, given: dict[str, Any], files: OpenedFiles) -> Scene:
    """A picture and one recording: the voices in it are found, no more than boxes are given or people are there."""
    boxes, recording = request.boxes, request.recording
    assert recording is not None
    known = request.num_voices or len(boxes) or None
    sound = files.sound(recording, None, "recording")
    picture = files.picture(image)
    people = len(look_for_people(np.asarray(picture))) if request.find and not known else 0
    source: dict[str, Any] = {"recording": recording}
    if request.separate_music:
        sound = separate_voice(sound)
        source = {"recording": sound.samples, "sample_rate": sound.sample_rate}
    scene = scene_of_recording(image, found=voices_of(sound, known, people), **source, **given)
    if request.separate_music:
        scene = dataclasses.replace(scene, soundtrack=recording)
    if not boxes:
        return scene
    if len(boxes) != len(scene.speakers):
        problem = f"there are {len(boxes)} boxes and {len(scene.speakers)} voices in the recording"
        raise PolytalkError("boxes", problem, "Give one box per voice, in the order of first speech, or none at all.")
    speakers = [dataclasses.replace(one, box=box) for one, box in zip(scene.speakers, boxes, strict=True)]
    return dataclasses.replace(scene, speakers=speakers)
