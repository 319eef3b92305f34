"""What a scene holds in memory only, saved to files beside its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from polytalk.media.audio import Sound, save_sound, sound_of
from polytalk.media.image import load_image, save_image
from polytalk.scene import Scene


def with_files(scene: Scene, path: Path, *, force: bool = False) -> Scene:
    """The same scene, every picture and sound of which lies in a file.

    Args:
        scene: any.
        path: of the scene file that is about to be written, e.g. cast.json: sounds become cast.voice-1.wav and so on.
        force: overwrite.

    Raises:
        PolytalkError: a file exists and `force` is off, or cannot be written.
    """
    files = _Files(path, force)
    speakers = [
        dataclasses.replace(speaker, **files.sound(speaker.audio, speaker.sample_rate), mask=files.mask(speaker.mask))
        for speaker in scene.speakers
    ]
    utterances = [dataclasses.replace(said, **files.sound(said.audio, said.sample_rate)) for said in scene.utterances]
    cues = [dataclasses.replace(cue, image=files.picture(cue.image)) for cue in scene.cues]
    soundtrack = scene.soundtrack
    if isinstance(soundtrack, tuple):
        soundtrack = files.sound(*soundtrack)["audio"]
    return dataclasses.replace(
        scene,
        image=files.picture(scene.image),
        speakers=speakers,
        utterances=utterances,
        cues=cues,
        soundtrack=soundtrack,
    )


class _Files:
    """Names for what is written beside a scene file."""

    def __init__(self, path: Path, force: bool) -> None:
        self.path, self.force = path, force
        self.sounds = self.pictures = self.masks = 0

    def sound(self, audio: Any, rate: int | None) -> dict[str, Any]:
        if not isinstance(audio, np.ndarray):
            return {"audio": audio, "sample_rate": rate}
        self.sounds += 1
        target = self.path.with_name(f"{self.path.stem}.voice-{self.sounds}.wav")
        sound = sound_of(audio, rate)
        save_sound(target, Sound(sound.samples, sound.sample_rate), force=self.force)
        return {"audio": target, "sample_rate": None}

    def mask(self, mask: Any) -> Any:
        if not isinstance(mask, np.ndarray):
            return mask
        self.masks += 1
        target = self.path.with_name(f"{self.path.stem}.mask-{self.masks}.png")
        save_image(target, np.repeat(np.uint8(255) * mask[..., None].astype(bool), 3, axis=2), force=self.force)
        return target

    def picture(self, image: Any) -> Any:
        if image is None or isinstance(image, Path):
            return image
        self.pictures += 1
        number = "" if self.pictures == 1 else f"-{self.pictures}"
        target = self.path.with_name(f"{self.path.stem}{number}.png")
        save_image(target, load_image(image), force=self.force)
        return target
