"""Video of any length as a chain of clips, each starting with the last frames of the one before (its motion frames)."""

from __future__ import annotations

from dataclasses import dataclass

from polytalk.errors import PolytalkError

TEMPORAL_STRIDE = 4
"""Frames in one latent frame; the first latent frame holds a single frame, so clips have 4n + 1."""


def round_up_frames(frames: int) -> int:
    """The smallest 4n + 1 that is at least `frames`."""
    return max(0, -(-(frames - 1) // TEMPORAL_STRIDE)) * TEMPORAL_STRIDE + 1


def latent_frames(frames: int) -> int:
    """Latent frames of a clip of 4n + 1 frames: n + 1."""
    return (frames - 1) // TEMPORAL_STRIDE + 1


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

    Raises:
        PolytalkError: when a clip is not longer than its motion frames, or either is not 4n + 1.
    """

    clip_frames: int = 81
    """Longest clip, motion frames included, 4n + 1."""
    motion_frames: int = 25
    """Frames shared by neighbouring clips, 4k + 1."""

    def __post_init__(self) -> None:
        for field, frames in (("clip frames", self.clip_frames), ("motion frames", self.motion_frames)):
            if frames < 1 or frames != round_up_frames(frames):
                nearest = round_up_frames(max(frames, 1))
                raise PolytalkError(field, f"{frames} is not 4n + 1", f"Give e.g. {nearest}.")
        if self.motion_frames >= self.clip_frames:
            problem = f"{self.motion_frames} leave nothing of a clip of {self.clip_frames} frames"
            raise PolytalkError("motion frames", problem, "Give fewer motion frames or longer clips.")

    def plan(self, num_frames: int) -> list[Clip]:
        """Clips that together make `num_frames` frames (at least 1), without a gap and without an overlap."""
        if num_frames < 1:
            raise PolytalkError("video length", f"{num_frames} frames", "Give at least one frame.")
        gain = self.clip_frames - self.motion_frames
        count = 1 + max(0, -(-(num_frames - self.clip_frames) // gain))
        even_share = -(-(num_frames + (count - 1) * self.motion_frames) // count)
        length = round_up_frames(max(even_share, 1))
        clips, done = [], 0
        for index in range(count):
            motion = self.motion_frames if index else 0
            left = num_frames - done
            frames = min(length, round_up_frames(motion + left))
            clips.append(Clip(index, done - motion, frames, motion, min(frames - motion, left)))
            done += clips[-1].num_new
        return clips
