"""Who is where and who is who in a request's scene, as `generate` and `cast` decide it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from polytalk.casting.cast import CastProposal, cast_scene
from polytalk.conditioning.opened import OpenedFiles
from polytalk.errors import PolytalkError
from polytalk.generation.request import GenerateRequest
from polytalk.scene import Scene


def propose(request: GenerateRequest, scene: Scene, files: OpenedFiles) -> CastProposal:
    """Who is where and who is who, with the user's corrections.

    Args:
        request: what is asked for.
        scene: its scene, as `scene_of` gives it.
        files: what has been opened already.

    Raises:
        PolytalkError: as `cast_scene`.
    """
    if request.masks:
        scene = _with_masks(scene, request.masks)
    corrections: dict[str, Any] = {"assign": request.assigned(), "points": request.points, "swap": request.swap}
    return cast_scene(scene, find=request.find, files=files, **corrections)


def cast(scene: Scene) -> Scene:
    """The scene with everybody's place: people are found in its picture, and each voice gets its person.

    Raises:
        PolytalkError: as `cast_scene`.
    """
    return cast_scene(scene).scene


def _with_masks(scene: Scene, masks: Sequence[Any]) -> Scene:
    files = list(masks) * len(scene.speakers) if len(masks) == 1 else list(masks)
    if len(files) != len(scene.speakers):
        problem = f"there are {len(masks)} and {len(scene.speakers)} speakers"
        raise PolytalkError("masks", problem, "Give one for each, or one picture with a colour for each.")
    speakers = [
        dataclasses.replace(speaker, mask=mask, box=None, point=None)
        for speaker, mask in zip(scene.speakers, files, strict=True)
    ]
    return dataclasses.replace(scene, speakers=speakers)
