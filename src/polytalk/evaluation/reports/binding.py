"""Does each mouth follow its own voice? `polytalk evaluate binding` renders held-out scenes and reads the mouths back.

For every scene the generator gets what a user would give: the picture, who is where in it, and the voices. The mouth
reader reads each person's opening from the frames that come out; its correlation with the true opening of each voice,
over the frames in which that voice speaks, fills a matrix person x voice. The same scenes are rendered again with the
voices handed on by one person. Two floors show what the measure itself can do: the drawn truth in place of generated
frames, and generated frames against the voices of another scene.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from rich.console import Console
from rich.table import Table

from polytalk.errors import PolytalkError
from polytalk.evaluation.measures.metrics import (
    BackgroundPSNR,
    FaceAppearanceDistance,
    FaceSharpness,
    Flicker,
    SilentMotion,
    SyncMatrix,
    pearson,
)
from polytalk.evaluation.readers.mouth_reader import MouthFollower, MouthReader, Track
from polytalk.evaluation.reports.output import cell, plain
from polytalk.evaluation.scenes.generating import GIVEN_FRAMES, Generate, Regions, Request, pipeline_generator
from polytalk.evaluation.scenes.held_out import held_out_clips
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.synthetic.scenes import CELL, SyntheticClip


@dataclass(frozen=True)
class BindingReport:
    """What `evaluate_binding` found. NaN where nothing could be measured (None in JSON)."""

    own: float
    """Mean correlation of a mouth with its own voice."""
    other: float
    """Mean correlation of a mouth with somebody else's voice."""
    diagonal: float
    """Share of people whose mouth follows the own voice more than any other."""
    swapped: float
    """The same share when everybody was given the next person's voice; the voice given counts as the own one."""
    silence: float
    """Mouth motion while silent over mouth motion while speaking."""
    reader: float
    """Mean correlation of read with true openings on the drawn truth, per person and scene over all frames."""
    floor_truth: float
    """`own` with the drawn truth in place of generated frames: the most that can be reached."""
    floor_shuffled: float
    """Mean correlation of the generated mouths with voices of another scene: what chance gives."""
    scenes: int
    """Scenes rendered (twice each)."""
    seed: int
    """Of the scenes."""
    people: int = 2
    """In every scene."""
    frames: int = 0
    """Of every scene, at 25 a second."""
    matrix: list[list[float]] = field(default_factory=list)
    """Person x voice, mean over the scenes."""
    matrix_swapped: list[list[float]] = field(default_factory=list)
    """The same with the voices handed on; column p is the voice that person p was given."""
    detail: dict[str, float] = field(default_factory=dict)
    """Further figures, see `evaluate_binding`."""

    def to_json(self) -> str:
        """One object; NaN becomes null."""
        return json.dumps(plain(asdict(self)))

    def print(self, console: Console | None = None) -> None:
        """The matrix and the figures as tables."""
        console = console or Console()
        matrix = Table(title=f"mouth x voice, {self.scenes} scenes of {self.people} people, {self.frames} frames")
        matrix.add_column("")
        for voice in range(self.people):
            matrix.add_column(f"voice {voice + 1}", justify="right")
        for person, row in enumerate(self.matrix):
            matrix.add_row(f"person {person + 1}", *(_figure(v) for v in row))
        console.print(matrix)
        figures = Table(show_header=False)
        for name, text in _MEANING.items():
            figures.add_row(name, _figure(getattr(self, name)), text)
        for name, value in self.detail.items():
            figures.add_row(name, _figure(value), "")
        console.print(figures)


_MEANING = {
    "own": "correlation with the own voice",
    "other": "with the others' voices",
    "diagonal": "share of mouths that follow the own voice most",
    "swapped": "the same after the voices were exchanged",
    "silence": "mouth motion, silent over speaking",
    "reader": "the mouth reader on drawn frames, all frames",
    "floor_truth": "own, drawn frames in place of generated ones",
    "floor_shuffled": "own, voices of another scene",
}


def _figure(value: float) -> str:
    return cell(value, ".0f" if float(value).is_integer() and abs(value) > 1 else ".3f")


def evaluate_binding(
    generate: Generate,
    clips: Sequence[SyntheticClip],
    *,
    seed: int = 0,
    reader: MouthFollower | None = None,
    batch: int = 8,
    swap: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> BindingReport:
    """Renders scenes and measures whose mouth follows whose voice.

    Args:
        generate: renders requests; of a scene it may use the picture, who is where in it, and the prompt.
        clips: drawn scenes with the same number of people, of seeds never trained on (`held_out_clips`).
        seed: noted in the report.
        reader: the shipped one by default.
        batch: requests handed to `generate` at a time.
        swap: also render with the voices handed on (one person: nothing to swap, never done).
        progress: called with (requests done, requests in all).

    Returns:
        The report. Its `detail` holds rows (people measured), left_out (people whose voice speaks for fewer than 8
        frames or hardly opens the mouth), own_overlap and own_turns (own by kind of scene), other_truth, diagonal_truth
        and silence_truth (the drawn frames), reader_pooled (one correlation over all people and scenes), follows_given
        and follows_old (correlations after the swap), and of the picture sharpness, background_psnr, face_distance,
        flicker.
    """
    people = _common_people(clips)
    reader = reader or MouthReader.from_pretrained()
    swap = swap and people > 1
    total = len(clips) * (2 if swap else 1)
    tell = progress or (lambda done, total: None)
    boxes = [clip.mouth_boxes[0] for clip in clips]
    frames = _render(generate, [(clip, clip.audio) for clip in clips], batch, lambda done: tell(done, total))
    tracks = reader.follow(frames, boxes)
    truth = reader.follow([clip.frames for clip in clips], boxes)
    normal, drawn, swapped = _Scores.of(clips, tracks), _Scores.of(clips, truth), _Scores(people)
    if swap:
        order = np.roll(np.arange(people), -1)  # person p gets the voice of person p + 1
        exchanged = [(clip, clip.audio[order]) for clip in clips]
        handed_on = _render(generate, exchanged, batch, lambda done: tell(len(clips) + done, total))
        swapped = _Scores.of(clips, reader.follow(handed_on, boxes), order)
    found, floor = normal.means(), drawn.means()
    per_person, pooled = _reader_correlation(clips, truth)
    return BindingReport(
        own=found["own"],
        other=found["other"],
        diagonal=found["diagonal"],
        swapped=swapped.means()["diagonal"],
        silence=normal.silence.compute(),
        reader=per_person,
        floor_truth=floor["own"],
        floor_shuffled=_shuffled(clips, tracks),
        scenes=len(clips),
        seed=seed,
        people=people,
        frames=len(clips[0].frames),
        matrix=normal.sync.matrix().tolist(),
        matrix_swapped=swapped.sync.matrix().tolist() if swap else [],
        detail={**_detail(normal, drawn, swapped, pooled), **_picture(clips, frames, tracks)},
    )


def _render(
    generate: Generate, requests: Sequence[Request], batch: int, tell: Callable[[int], None]
) -> list[np.ndarray]:
    """Frames of all requests, so many at a time; tells how many are done."""
    out: list[np.ndarray] = []
    for start in range(0, len(requests), batch):
        part = requests[start : start + batch]
        frames = list(generate(part))
        _check_frames(frames, part)
        out += frames
        tell(len(out))
    return out


class _Scores:
    """The measures of one rendering of the scenes."""

    def __init__(self, people: int) -> None:
        self.sync, self.overlap, self.turns = SyncMatrix(people), SyncMatrix(people), SyncMatrix(people)
        self.silence = SilentMotion()

    @classmethod
    def of(cls, clips: Sequence[SyntheticClip], tracks: Sequence[Track], order: np.ndarray | None = None) -> _Scores:
        """Of all scenes; ``order`` says whose voice each person was given."""
        scores = cls(clips[0].mouth.shape[1])
        for clip, track in zip(clips, tracks, strict=True):
            scores.add(clip, track, order)
        return scores

    def add(self, clip: SyntheticClip, track: Track, order: np.ndarray | None = None) -> None:
        order = np.arange(clip.mouth.shape[1]) if order is None else order
        length = min(len(track.opening), len(clip.mouth))
        seen = slice(GIVEN_FRAMES, length)
        read, true, speaking = track.opening[seen], clip.mouth[seen][:, order, 0], clip.speaking[seen][:, order]
        self.sync.update(read, true, speaking)
        (self.overlap if overlaps(clip) else self.turns).update(read, true, speaking)
        self.silence.update(read, speaking)

    def means(self) -> dict[str, float]:
        """As `SyncMatrix.compute`; NaN where nothing was added."""
        if self.sync.update_called:
            return self.sync.compute()
        return dict.fromkeys(("own", "other", "diagonal"), math.nan)

    @staticmethod
    def of_kind(sync: SyncMatrix) -> float:
        return sync.compute()["own"] if sync.update_called else math.nan


def _detail(normal: _Scores, drawn: _Scores, swapped: _Scores, pooled: float) -> dict[str, float]:
    found, floor, other_way = normal.means(), drawn.means(), swapped.means()
    return {
        "rows": found["rows"],
        "left_out": found["left_out"],
        "own_overlap": normal.of_kind(normal.overlap),
        "own_turns": normal.of_kind(normal.turns),
        "other_truth": floor["other"],
        "diagonal_truth": floor["diagonal"],
        "silence_truth": drawn.silence.compute(),
        "reader_pooled": pooled,
        "follows_given": other_way["own"],
        "follows_old": other_way["other"],
    }


def overlaps(clip: SyntheticClip) -> bool:
    """Whether two voices speak at the same time for at least a fifth of a second."""
    return int((clip.speaking.sum(axis=1) > 1).sum()) >= 5


def _common_people(clips: Sequence[SyntheticClip]) -> int:
    people = {clip.mouth.shape[1] for clip in clips}
    if len(people) != 1:
        raise PolytalkError("clips", f"{len(clips)} scenes with {sorted(people)} people", "give scenes of one size")
    return people.pop()


def _check_frames(frames: list[np.ndarray], requests: Sequence[Request]) -> None:
    if len(frames) != len(requests):
        raise PolytalkError("generate", f"{len(frames)} videos for {len(requests)} requests", "return one for each")
    for video, (clip, _) in zip(frames, requests, strict=True):
        if video.dtype != np.uint8 or video.shape[1:] != clip.frames.shape[1:] or not len(video):
            raise PolytalkError(
                "generate",
                f"frames {video.dtype} {video.shape}",
                f"return uint8 (T, {', '.join(map(str, clip.frames.shape[1:]))})",
            )


def _reader_correlation(clips: Sequence[SyntheticClip], truth: Sequence[Track]) -> tuple[float, float]:
    """Read against true openings on drawn frames: mean over people and scenes, and pooled; hidden mouths skipped."""
    each, reads, trues = [], [], []
    for clip, track in zip(clips, truth, strict=True):
        for person in range(clip.mouth.shape[1]):
            seen = visible_mouths(clip)[:, person]
            read, true = track.opening[seen, person], clip.mouth[seen, person, 0]
            each.append(pearson(read, true))
            reads.append(read)
            trues.append(true)
    known = [value for value in each if not math.isnan(value)]
    pooled = pearson(np.concatenate(reads), np.concatenate(trues))
    return (float(np.mean(known)) if known else math.nan), pooled


def visible_mouths(clip: SyntheticClip) -> np.ndarray:
    """(T, P) bool: the mouth's centre lies in the picture and belongs to the person's mask there."""
    length, people, rows, columns = clip.masks.shape
    centre = (clip.mouth_boxes[..., :2] + clip.mouth_boxes[..., 2:]) / 2
    place = np.floor(centre / CELL).astype(int)
    inside = (place >= 0).all(axis=-1) & (place[..., 0] < columns) & (place[..., 1] < rows)
    x, y = place[..., 0].clip(0, columns - 1), place[..., 1].clip(0, rows - 1)
    t, p = np.ogrid[:length, :people]
    return inside & clip.masks[t, p, y, x]


def _shuffled(clips: Sequence[SyntheticClip], tracks: Sequence[Track]) -> float:
    """Generated mouths against the same person's voice in the next scene. NaN for a single scene."""
    if len(clips) < 2:
        return math.nan
    sync = SyncMatrix(1)
    for number, track in enumerate(tracks):
        foreign = clips[(number + 1) % len(clips)]
        length = min(len(track.opening), len(foreign.mouth))
        for person in range(foreign.mouth.shape[1]):
            one = slice(person, person + 1)
            seen = slice(GIVEN_FRAMES, length)
            sync.update(track.opening[seen, one], foreign.mouth[seen, one, 0], foreign.speaking[seen, one])
    return sync.compute()["own"]


def _picture(clips: Sequence[SyntheticClip], frames: Sequence[np.ndarray], tracks: Sequence[Track]) -> dict[str, float]:
    sharpness, distance, background, flicker = FaceSharpness(), FaceAppearanceDistance(), BackgroundPSNR(), Flicker()
    for clip, video, track in zip(clips, frames, tracks, strict=True):
        moved = track.centre - (clip.mouth_boxes[0, :, :2] + clip.mouth_boxes[0, :, 2:]) / 2
        faces = clip.face_boxes[0] + np.concatenate([moved, moved], axis=-1)  # the first face, carried by its mouth
        people = clip.masks.any(axis=(0, 1)).repeat(CELL, axis=0).repeat(CELL, axis=1)
        people = people[: video.shape[1], : video.shape[2]]
        sharpness.update(video, clip.reference, faces)
        distance.update(video, clip.reference, faces)
        background.update(video, clip.reference, people)
        if len(video) > 2:
            flicker.update(video)
    return {
        "sharpness": sharpness.compute(),
        "background_psnr": background.compute(),
        "face_distance": distance.compute(),
        "flicker": flicker.compute(),
    }


def run_binding(
    *,
    people: int = 2,
    scenes: int = 32,
    seed: int = 0,
    json: bool = False,
    model: str = "mini",
    frames: int = 33,
    steps: int | None = None,
    overlap: float = 0.5,
    regions: Regions = "boxes",
    caught: bool = False,
) -> BindingReport:
    """`polytalk evaluate binding`: loads a pipeline, evaluates it, prints tables or one JSON object.

    Args:
        people: in every scene, 1 to 4.
        scenes: how many.
        seed: of the scenes and the noise.
        json: print one object; progress goes to standard error either way.
        model: what `MultiTalkPipeline.from_pretrained` takes.
        frames: of every scene, 4n+1.
        steps: sampling steps, the pipeline's default when None.
        overlap: share of scenes in which voices overlap.
        regions: as in `pipeline_generator`.
        caught: the pictures have caught mouths as they were, open ones too.
    """
    clips = held_out_clips(scenes, people=people, seed=seed, overlap_share=overlap, num_frames=frames, caught=caught)
    choices = {} if steps is None else {"num_inference_steps": steps}
    pipeline = MultiTalkPipeline.from_pretrained(model)
    generate = pipeline_generator(pipeline, seed=seed, regions=regions, **choices)
    began = time.monotonic()

    def progress(done: int, total: int) -> None:
        spent = time.monotonic() - began
        print(f"{done}/{total} videos, {spent:.0f} s, {spent / done * (total - done):.0f} s left", file=sys.stderr)

    report = evaluate_binding(generate, clips, seed=seed, progress=progress)
    if json:
        print(report.to_json())
    else:
        report.print()
    return report
