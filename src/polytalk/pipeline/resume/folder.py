"""The work folder: seed, plan, fingerprints of the inputs and every finished clip of one video.

    plan.json       what was asked for, and how the video is cut into clips
    inputs-*.npz    fingerprints of picture, prompt and voices for every frame
    clips/00000...  finished clips, one file each
    unfinished      name of a live video that is being written
    lock            held by the run at work; the system frees it when that ends in whatever way

Files are written beside their place and moved there when they are whole, so that a run may be killed at any moment. A
clip's file carries a key: the fingerprint of all that the clip was made from, the last frames of the clip before
included. A clip is taken over only if its key is what it would be made from now. That alone decides; `plan.json` is
there to notice, before anything is made, that the folder belongs to something else.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from polytalk.errors import PolytalkError
from polytalk.media.output import write_error
from polytalk.pipeline.clips import Clip, ClipPlanner
from polytalk.pipeline.resume.clip_file import SavedClip, read_clip, read_key, write_clip, write_whole
from polytalk.pipeline.resume.inputs import Inputs, digest, tensors_digest
from polytalk.units import FPS

PLAN, CLIPS, LOCK, UNFINISHED = "plan.json", "clips", "lock", "unfinished"
_ROWS = "inputs-{}.npz"
_LEFTOVER = ".part"


@dataclass(frozen=True)
class WorkFolder:
    """Where a video's clips are kept, and what may be done with those that are there."""

    path: str | Path
    """The folder; made if it is not there."""
    resume: bool = False
    """Go on with what the folder holds. Without it, a folder that holds something is refused."""
    redo: bool = False
    """Where the inputs have changed since, make again the clips that this touches, which is refused otherwise. Implies
    `resume`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self.redo and not self.resume:
            object.__setattr__(self, "resume", True)

    @classmethod
    def of(cls, work: WorkFolder | str | Path) -> WorkFolder:
        """A folder that must be new or empty, if only its path is given."""
        return work if isinstance(work, cls) else cls(work)  # type: ignore[arg-type]

    def open(
        self,
        inputs: Inputs,
        planner: ClipPlanner,
        num_frames: int,
        *,
        seed: int = 0,
        speaking: np.ndarray | None = None,
    ) -> WorkRun:
        """Begin, or take up, the video made from these inputs; close what is returned.

        Args:
            inputs: fingerprints of all it is made from, the seed and the lengths of clips left out.
            planner: cuts the video into clips.
            num_frames: length of the video.
            seed: of its noise.
            speaking: see `ClipPlanner.plan`.

        Raises:
            PolytalkError: the folder is another video's, damaged, in use, or cannot be written.
        """
        return WorkRun.open(self, inputs, planner, num_frames, seed, speaking)

    def is_unfinished(self, output: Path) -> bool:
        """Whether a run of this folder was writing this video, live, when it ended."""
        try:
            return (self.folder / UNFINISHED).read_text(encoding="utf-8") == str(output.absolute())
        except (OSError, UnicodeError):
            return False

    def number_format(self) -> str | None:
        """The number format of the clips that are there, e.g. "bfloat16"; None where nothing is said of it."""
        try:
            plan = _PlanFile.model_validate_json((self.folder / PLAN).read_bytes())
        except (OSError, ValueError):
            return None
        return plan.inputs.get("number format", "").removeprefix("torch.") or None

    def note_unfinished(self, output: Path | None) -> None:
        """Remember that a video is seen before it is finished; None when it is."""
        note = self.folder / UNFINISHED
        if output is None:
            note.unlink(missing_ok=True)
        else:
            write_whole(note, str(output.absolute()).encode())

    @property
    def folder(self) -> Path:
        """The folder."""
        return Path(self.path)


@dataclass(frozen=True)
class _Plan:
    """What the folder's plan says."""

    inputs: Inputs
    num_frames: int
    clips: list[Clip]


class WorkRun:
    """A work folder while a video is made in it. Only one run at a time can hold it."""

    def __init__(self, folder: Path, lock: BinaryIO) -> None:
        self.folder, self._lock = folder, lock
        self.clips: list[Clip] = []
        """The plan."""
        self.inputs = Inputs()
        self._redo = False

    @classmethod
    def open(
        cls,
        wanted: WorkFolder,
        inputs: Inputs,
        planner: ClipPlanner,
        num_frames: int,
        seed: int,
        speaking: np.ndarray | None,
    ) -> WorkRun:
        """See `WorkFolder.open`."""
        folder = wanted.folder
        _check_folder(folder, wanted)
        run = cls(folder, _acquire(folder))
        try:
            lengths = f"{planner.clip_frames} with {planner.motion_frames} shared"
            named = {**inputs.named, "seed": str(seed), "length of clips": lengths}
            run.inputs = Inputs(named, inputs.rows)
            run._plan(wanted, planner, num_frames, speaking)
        except BaseException:
            run.close()
            raise
        return run

    def _plan(self, wanted: WorkFolder, planner: ClipPlanner, num_frames: int, speaking: np.ndarray | None) -> None:
        self._redo = wanted.redo
        _clean(self.folder)
        earlier = _read_plan(self.folder, wanted)
        if earlier is None:
            self.clips = planner.plan(num_frames, speaking)
            self._write_plan(num_frames)
            return
        changes = self.inputs.changes(earlier.inputs)
        if not changes and num_frames == earlier.num_frames:
            self.clips = earlier.clips
            return
        if not wanted.redo:
            raise _refusal(self.folder, changes, self.inputs)
        self.clips = self._new_plan(earlier, planner, num_frames, speaking)
        self._write_plan(num_frames)
        for path in sorted((self.folder / CLIPS).glob("*.safetensors"))[len(self.clips) :]:
            path.unlink(missing_ok=True)

    def _new_plan(
        self, earlier: _Plan, planner: ClipPlanner, num_frames: int, speaking: np.ndarray | None
    ) -> list[Clip]:
        """Clips before the first change stay as they are; if only a part has changed, the others keep their places."""
        changed = self.inputs.named.get("length of clips") != earlier.inputs.named.get("length of clips")
        if changed:
            return planner.plan(num_frames, speaking)
        if num_frames == earlier.num_frames:
            return earlier.clips
        keep = []
        for clip in earlier.clips:
            if self._window(clip) != self._window(clip, earlier.inputs):
                break
            keep.append(clip)
        return planner.plan(num_frames, speaking, keep=keep)

    def load(self, clip: Clip, entering: Mapping[str, Tensor]) -> SavedClip | None:
        """The finished clip, if it was made from what it would be made from now.

        Args:
            clip: of the plan.
            entering: what the clip before has left behind.

        Raises:
            PolytalkError: its file is damaged, and nothing was said of `redo`.
        """
        path = self._path(clip)
        try:
            return read_clip(path) if read_key(path) == self._key(clip, entering) else None
        except PolytalkError:
            if self._redo:
                return None
            raise

    def save(self, clip: Clip, entering: Mapping[str, Tensor], frames: np.ndarray, leaving: dict[str, Tensor]) -> None:
        """Keep a finished clip.

        Args:
            clip: of the plan.
            entering: what the clip before has left behind.
            frames: uint8 (T, height, width, 3), motion frames left out.
            leaving: what the next clip needs.

        Raises:
            PolytalkError: the disk is full, or must not be written to; clips finished before are kept.
        """
        write_clip(self._path(clip), self._key(clip, entering), frames, leaving)

    def close(self) -> None:
        """Let others use the folder."""
        self._lock.close()

    def __enter__(self) -> WorkRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _path(self, clip: Clip) -> Path:
        return self.folder / CLIPS / f"{clip.index:05d}.safetensors"

    def _window(self, clip: Clip, inputs: Inputs | None = None) -> str:
        return (inputs or self.inputs).window(clip.start, clip.start + clip.num_frames)

    def _key(self, clip: Clip, entering: Mapping[str, Tensor]) -> str:
        place = json.dumps([clip.index, clip.start, clip.num_frames, clip.motion_frames, clip.num_new])
        return digest(self._window(clip).encode(), place.encode(), tensors_digest(entering).encode())

    def _write_plan(self, num_frames: int) -> None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.inputs.rows)  # type: ignore[arg-type]
        rows = _ROWS.format(digest(buffer.getvalue()))
        plan = _PlanFile(
            inputs=dict(self.inputs.named),
            rows=rows,
            num_frames=num_frames,
            clips=[(clip.start, clip.num_frames, clip.motion_frames, clip.num_new) for clip in self.clips],
        )
        # the old plan names its own rows, so that there is no moment at which the two do not belong together
        write_whole(self.folder / rows, buffer.getvalue())
        write_whole(self.folder / PLAN, (plan.model_dump_json(indent=1) + "\n").encode())
        for path in self.folder.glob(_ROWS.format("*")):
            if path.name != rows:
                path.unlink(missing_ok=True)


class _PlanFile(BaseModel):
    """What `plan.json` holds."""

    model_config = ConfigDict(extra="forbid")

    polytalk_work_folder: Literal[1] = 1
    """The format's number."""
    inputs: dict[str, str]
    rows: str = Field(pattern=r"^inputs-[0-9a-f]+\.npz$")
    num_frames: int = Field(ge=1)
    clips: list[tuple[int, int, int, int]] = Field(min_length=1)


def _read_plan(folder: Path, wanted: WorkFolder) -> _Plan | None:
    """What the folder says; None if nothing was planned there, or what it says is damaged and may be made again."""
    path = folder / PLAN
    if not path.exists():
        return None
    try:
        content = _PlanFile.model_validate_json(path.read_bytes())
        with np.load(folder / content.rows, allow_pickle=False) as arrays:
            rows = {name: np.asarray(arrays[name], np.uint64) for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        if wanted.redo:
            return None
        reason = str(error).splitlines()[0]
        remedy = "Add `redo` to plan anew; finished clips that fit are kept."
        raise PolytalkError(str(path), f"the plan of this work folder is damaged ({reason})", remedy) from None
    clips = [Clip(index, *numbers) for index, numbers in enumerate(content.clips)]
    return _Plan(Inputs(content.inputs, rows), content.num_frames, clips)


def _check_folder(folder: Path, wanted: WorkFolder) -> None:
    """Make the folder, or see that it is a work folder that may be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strangers = sorted(path.name for path in folder.iterdir() if not _belongs(path))
    except FileExistsError:
        raise PolytalkError(str(folder), "this is a file", "Name a folder.") from None
    except OSError as error:
        raise write_error(folder, error) from None
    if strangers and not (folder / PLAN).exists():
        problem = f"it holds other things ({strangers[0]})"
        raise PolytalkError(str(folder), problem, "Name a new or an empty folder for the clips.")
    if (folder / PLAN).exists() and not wanted.resume:
        remedy = "Go on with it by `resume`, or name another folder."
        raise PolytalkError(str(folder), "a video has been begun here", remedy)
    (folder / CLIPS).mkdir(exist_ok=True)


def _belongs(path: Path) -> bool:
    return path.name in (PLAN, CLIPS, LOCK, UNFINISHED) or path.match(_ROWS.format("*")) or _LEFTOVER in path.suffixes


def _acquire(folder: Path) -> BinaryIO:
    """Hold the folder until the file returned is closed, or the process ends.

    Raises:
        PolytalkError: another run holds it.
    """
    try:
        file = (folder / LOCK).open("ab")
    except OSError as error:
        raise write_error(folder, error) from None
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # no such locks there; whole files are still whole
        pass
    except OSError:
        file.close()
        problem = "another run is making a video in this folder"
        raise PolytalkError(str(folder), problem, "Wait for it, stop it, or name another folder.") from None
    return file


def _clean(folder: Path) -> None:
    """Remove what a killed run was just writing."""
    for place in (folder, folder / CLIPS):
        for path in place.glob(f".*{_LEFTOVER}*"):
            path.unlink(missing_ok=True)


def _refusal(folder: Path, changes: Mapping[str, int], inputs: Inputs) -> PolytalkError:
    """What has changed, and from when on."""
    told = []
    for name, frame in changes.items():
        told.append(name if name in inputs.named or frame == 0 else f"{name} from {frame / FPS:.2f} s on")
    problem = f"this work folder is of something else: different are {', '.join(told)}"
    remedy = "Name another folder, or add `redo` to make again the clips that this touches."
    return PolytalkError(str(folder), problem, remedy)
