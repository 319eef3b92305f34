"""Close-ups on the command line: whether they are made, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from polytalk.errors import PolytalkError
from polytalk.scene import Scene

if TYPE_CHECKING:
    from polytalk.casting.found import FoundPerson
    from polytalk.conditioning.picture import Size
    from polytalk.pipelines.close_ups import CloseUpRun


@dataclass(frozen=True)
class CloseUpWishes:
    """Options about close-ups, as they were given.

    Raises:
        PolytalkError: a height of the video without close-ups.
    """

    wanted: bool | None = None
    """Make them; None: where they gain much."""
    height: int | None = None
    """Of the video, pixels."""

    def __post_init__(self) -> None:
        if self.wanted is False and self.height is not None:
            problem = "it is the height to which close-ups are laid into the picture"
            raise PolytalkError("--height", problem, "Leave out one of --height and --no-close-ups; or give --size.")

    def plan(
        self, scene: Scene, people: Sequence[FoundPerson], size_class: str, size: Size | None
    ) -> CloseUpRun | None:
        """The scene in close-ups; None where they are not made.

        Args:
            scene: what is wanted.
            people: who is in the picture, as casting found.
            size_class: whose frames the model knows.
            size: (height, width) of the model's frame, if it was given.

        Raises:
            PolytalkError: they were asked for, and cannot be made.
        """
        from polytalk.pipelines.close_ups import plan_close_ups, wants_close_ups

        asked = self.wanted or self.height is not None
        if self.wanted is False or (not asked and (size is not None or size_class != "mini")):
            return None
        # somebody without a score stands for a part of the picture in which nobody was found
        found = [person for person in people if person.score]
        try:
            run = plan_close_ups(scene, size_class, size=size, height=self.height, people=found)
        except PolytalkError:
            if asked:
                raise
            return None
        return run if asked or wants_close_ups(run, size_class) else None


def describe(run: CloseUpRun) -> str:
    """One line about what is going to be made."""
    (height, width), (rows, columns) = run.plan.picture, run.plan.frame
    heads = "a head" if len(run.plan.cuts) == 1 else f"{len(run.plan.cuts)} heads side by side"
    return f"close-ups: {heads} in {columns} × {rows}, laid into {width} × {height}; --no-close-ups leaves them out"
