"""What the user asks for: a picture, who speaks where and when with which sound, and a prompt. Validated when built.

Nothing here opens a picture or a sound; `polytalk.media` does. Boxes count pixels of the picture as shown, that is
after its EXIF rotation, whatever order the file they came from uses.
"""

from polytalk.scene.box import Box
from polytalk.scene.scene import ARRANGEMENTS, Scene, pair_speakers
from polytalk.scene.speaker import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, Speaker
from polytalk.scene.utterance import DEFAULT_PAUSE, MAX_SECONDS, Cue, Utterance

__all__ = [
    "ARRANGEMENTS",
    "DEFAULT_PAUSE",
    "MAX_SAMPLE_RATE",
    "MAX_SECONDS",
    "MIN_SAMPLE_RATE",
    "Box",
    "Cue",
    "Scene",
    "Speaker",
    "Utterance",
    "pair_speakers",
]
