"""Conversations in time: read from and written to files of several formats, and laid out when the sounds are known.

Example:
    scene = polytalk.timeline.read("talk.txt", image="cafe.png")
    scene = polytalk.timeline.read("talk.rttm", image="cafe.png", recording="talk.wav")
    polytalk.timeline.write(scene, "talk.json")
"""

from polytalk.timeline.draft import Beside
from polytalk.timeline.formats import FORMATS, Format, parse, read, schema, timed, write
from polytalk.timeline.schedule import PromptSpan, Schedule, Setting, Turn, lay_out

__all__ = [
    "FORMATS",
    "Beside",
    "Format",
    "PromptSpan",
    "Schedule",
    "Setting",
    "Turn",
    "lay_out",
    "parse",
    "read",
    "schema",
    "timed",
    "write",
]
