"""Video of any length as a chain of clips, each starting with the last frames of the one before (its motion frames)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polytalk.errors import PolytalkError
from polytalk.units import TEMPORAL_STRIDE, latent_frames, round_up_frames

_PAUSE_REACH = 4
"""Frames on either side of a border that should be quiet (a sixth of a second)."""
_PAUSE_WORTH = 0.5
"""How much work, in longest clips, a border in a pause rather than in speech is worth."""
_BORDER_WORTH = 0.1
"""How much work, in longest clips, one border less is worth: each is a chance to drift."""
_WANTED_WORTH = 3.0
"""How much work, in longest clips, a border where one is wanted is worth."""
_EVENNESS = 0.05
"""Weight of the clips' squared lengths, which makes them alike where nothing else decides."""


@dataclass(frozen=True)
class Clip:
    """One run of the sampler. Frame numbers count from the start of the whole video."""

    index: int
    """Place in the chain, from 0."""
    start: int
    """First frame that the network sees; for a later clip its first motion frame."""
    num_frames: int
    """Frames that the network makes, 4n + 1, motion frames included."""
    motion_frames: int
    """Frames at the start taken over from the clip before; 0 in the first clip."""
    num_new: int
    """Frames after the motion frames that become part of the video; at the very end up to 3 more are thrown away."""

    @property
    def new_start(self) -> int:
        """First frame that this clip adds to the video."""
        return self.start + self.motion_frames

    @property
    def new_stop(self) -> int:
        """One past the last frame that this clip adds."""
        return self.new_start + self.num_new

    @property
    def num_latent_frames(self) -> int:
        """Latent frames of the clip."""
        return latent_frames(self.num_frames)


@dataclass(frozen=True)
class ClipPlanner:
    """Cuts a video into clips of about equal length.

    The release makes every clip full and fills up the last one with repeated sound; a video one frame longer than a
    clip then costs two whole clips, and its end is invented. Here all clips of a video shrink together to what its
    length needs, so that none is a stub and no frame is made in vain except up to three at the end.

    Borders lie on a grid of four frames (a latent frame). Told who speaks when, the planner puts them into pauses.

    Raises:
        PolytalkError: when a clip is not longer than its motion frames, or either is not 4n + 1.
    """

    clip_frames: int = 81
    """Longest clip, motion frames included, 4n + 1."""
    motion_frames: int = 25
    """Frames shared by neighbouring clips, 4k + 1."""
    wanted: tuple[int, ...] = ()
    """Frames at which something changes that a clip is made from: there, or at most two frames away, a clip should end,
    however short it gets."""

    def __post_init__(self) -> None:
        for field, frames in (("clip_frames", self.clip_frames), ("motion_frames", self.motion_frames)):
            if frames < 1 or frames != round_up_frames(frames):
                nearest = round_up_frames(max(frames, 1))
                raise PolytalkError(field, f"{frames} is not 4n + 1", f"Give e.g. {nearest}.")
        if self.motion_frames >= self.clip_frames:
            problem = f"{self.motion_frames} leave nothing of a clip of {self.clip_frames} frames"
            raise PolytalkError("motion_frames", problem, "Give fewer motion frames or longer clips.")

    def plan(self, num_frames: int, speaking: np.ndarray | None = None, *, keep: Sequence[Clip] = ()) -> list[Clip]:
        """Clips that together make `num_frames` frames (at least 1), without a gap and without an overlap.

        With `speaking`, borders move into pauses: shorter clips, and now and then one more, are traded for borders at
        which nobody is in the middle of a word. Every clip but the only one then adds at least half of what a full
        one adds.

        Args:
            num_frames: length of the video.
            speaking: (P, frames) or (frames,), bool or a loudness from 0 to 1: who makes a sound when. Frames beyond
                its end are silent.
            keep: clips of an earlier plan that the new one begins with (an edited video's untouched part); those that
                reach beyond the end, or up to it without ending there, are planned anew.

        Raises:
            PolytalkError: no frame is wanted.
        """
        if num_frames < 1:
            raise PolytalkError("video length", f"{num_frames} frames", "Give at least one frame.")
        clips = [clip for clip in keep if self._can_precede(clip, num_frames)]
        done = clips[-1].new_stop if clips else 0
        wanted = any(done < frame < num_frames for frame in self.wanted)
        if not wanted and (speaking is None or num_frames - done <= self._most_new(bool(clips))):
            lengths = self._even_lengths(num_frames, done)
        else:
            lengths = self._lengths_by_pauses(num_frames, done, np.zeros(1) if speaking is None else speaking)
        for frames in lengths:
            motion = self.motion_frames if clips else 0
            clips.append(Clip(len(clips), done - motion, frames, motion, min(frames - motion, num_frames - done)))
            done = clips[-1].new_stop
        return clips

    def _can_precede(self, clip: Clip, num_frames: int) -> bool:
        """Whether a clip of an earlier plan can stay, with another after it."""
        whole = clip.num_new == clip.num_frames - clip.motion_frames
        return whole and self.motion_frames <= clip.new_stop < num_frames

    def _most_new(self, has_motion: bool) -> int:
        """Most frames that a clip can add."""
        return self.clip_frames - (self.motion_frames if has_motion else 0)

    def _even_lengths(self, num_frames: int, done: int) -> list[int]:
        """As few clips as possible, all alike, from frame `done` on."""
        left, extra = num_frames - done, self.motion_frames if done else 0
        count = 1 + max(0, -(-(left + extra - self.clip_frames) // (self.clip_frames - self.motion_frames)))
        even_share = -(-(left + extra + (count - 1) * self.motion_frames) // count)
        length = round_up_frames(max(even_share, 1))
        lengths: list[int] = []
        while left > 0:
            motion = self.motion_frames if done or lengths else 0
            lengths.append(min(length, round_up_frames(motion + left)))
            left -= lengths[-1] - motion
        return lengths

    def _lengths_by_pauses(self, num_frames: int, done: int, speaking: np.ndarray) -> list[int]:
        """The cheapest way to cut, by dynamic programming over borders every four frames.

        The first clip of a video is treated as if the motion frames had been there before: its borders, too, then lie
        a whole number of latent frames after them.
        """
        offset = done or self.motion_frames
        end = -(-(num_frames - offset) // TEMPORAL_STRIDE)  # in latent frames after `offset`
        most = (self.clip_frames - self.motion_frames) // TEMPORAL_STRIDE
        if end < 1:
            return self._even_lengths(num_frames, done)
        parts = np.arange(1 if self.wanted else max(1, most // 2), most + 1)
        lengths = self.motion_frames + TEMPORAL_STRIDE * parts
        work = self.motion_frames + _BORDER_WORTH * self.clip_frames + _EVENNESS * lengths**2 / self.clip_frames
        borders = offset + TEMPORAL_STRIDE * np.arange(end)
        toll = np.append(_PAUSE_WORTH * self.clip_frames * _loudness_at(borders, speaking), 0.0)
        for frame in self.wanted:
            nearest = round((frame - offset) / TEMPORAL_STRIDE)
            if 0 < nearest < end:
                toll[nearest] = -_WANTED_WORTH * self.clip_frames

        cost, best = np.full(end + 1, np.inf), np.zeros(end + 1, int)
        cost[0] = 0.0
        for border in range(parts[0], end + 1):
            usable = parts[parts <= border]
            costs = cost[border - usable] + work[: len(usable)]
            choice = int(np.argmin(costs))
            cost[border], best[border] = costs[choice] + toll[border], usable[choice]
        if not np.isfinite(cost[end]):  # less is left than the shortest clip adds
            return self._even_lengths(num_frames, done)
        chosen: list[int] = []
        while end > 0:
            chosen.append(self.motion_frames + TEMPORAL_STRIDE * int(best[end]))
            end -= int(best[end])
        return chosen[::-1]


def _loudness_at(borders: np.ndarray, speaking: np.ndarray) -> np.ndarray:
    """How much of the time around each border somebody speaks, 0 to 1."""
    anyone = np.atleast_2d(np.asarray(speaking, np.float64)).max(axis=0).clip(0, 1)
    after = max(0, int(borders.max(initial=0)) + _PAUSE_REACH - len(anyone))
    total = np.cumsum(np.concatenate([[0.0], anyone, np.zeros(after)]))
    first, last = np.maximum(borders - _PAUSE_REACH, 0), borders + _PAUSE_REACH
    return (total[last] - total[first]) / (last - first)
