"""Every file of the user's opened once a run: pictures, videos, sounds, and texts once they are spoken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from polytalk.conditioning.conversation import Conversation, Synthesiser, hear
from polytalk.media.audio import Sound, sound_of
from polytalk.media.image import load_image
from polytalk.media.source_video import FrameSource, first_picture, open_frames, shows_video
from polytalk.scene import Scene


class OpenedFiles:
    """What has been read in this run. Everything that looks at a scene's files is given the same one.

    Arrays and pictures in memory are remembered, too, as the objects that they are.
    """

    def __init__(self) -> None:
        self._pictures: dict[Any, tuple[Any, Image.Image]] = {}
        self._videos: dict[Any, tuple[Any, FrameSource]] = {}
        self._sounds: dict[Any, tuple[Any, Sound]] = {}
        self._spoken: dict[tuple[str, str | None], Sound] = {}

    def picture(self, image: Any, field: str = "image") -> Image.Image:
        """A picture, or a video's first frame, RGB and upright; not to be changed.

        Raises:
            PolytalkError: as `load_image`.
        """
        key = _key(image)
        if key not in self._pictures:
            shown = first_picture(self.frames(image, field)) if shows_video(image) else load_image(image, field)
            self._pictures[key] = image, shown
        return self._pictures[key][1]

    def frames(self, video: Any, field: str = "video") -> FrameSource:
        """A video's frames.

        Raises:
            PolytalkError: as `open_frames`.
        """
        key = _key(video)
        if key not in self._videos:
            self._videos[key] = video, open_frames(video, field)
        return self._videos[key][1]

    def sound(self, audio: str | Path | np.ndarray, sample_rate: int | None = None, field: str = "audio") -> Sound:
        """A sound; not to be changed.

        Raises:
            PolytalkError: as `sound_of`.
        """
        key = (_key(audio), sample_rate)
        if key not in self._sounds:
            self._sounds[key] = audio, sound_of(audio, sample_rate, field)
        return self._sounds[key][1]

    def conversation(self, scene: Scene, synthesise: Synthesiser | None = None) -> Conversation:
        """Every sound of a scene at its time.

        Raises:
            PolytalkError: as `hear`.
        """
        return hear(scene, synthesise, read=self.sound, spoken=self._spoken)


def _key(source: Any) -> Any:
    return str(Path(source).absolute()) if isinstance(source, str | Path) else id(source)
