"""`SceneFields`: what the JSON formats know of a scene, which reads and writes itself with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from polytalk.scene.box import Box
from polytalk.scene.speaker import Speaker
from polytalk.scene.utterance import Cue, Utterance


class SceneFields(Protocol):
    """The fields of a `Scene` that a writer reads; a reader calls the class with them in this order.

    `Scene` imports its readers and writers, so that these cannot import it.
    """

    @property
    def image(self) -> Any: ...
    @property
    def prompt(self) -> str: ...
    @property
    def speakers(self) -> Sequence[Speaker]: ...
    @property
    def arrangement(self) -> str: ...
    @property
    def negative_prompt(self) -> str | None: ...
    @property
    def utterances(self) -> Sequence[Utterance]: ...
    @property
    def cues(self) -> Sequence[Cue]: ...
    @property
    def soundtrack(self) -> Any: ...
    @property
    def boxes(self) -> tuple[Box, ...] | None: ...
    def index_of(self, utterance: Utterance) -> int: ...
