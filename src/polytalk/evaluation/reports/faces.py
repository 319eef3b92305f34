"""How well people are found: in held-out drawn scenes, whose truth is known, and in pictures with known numbers."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from polytalk.casting.found import FoundPerson
from polytalk.casting.people.find import find_people
from polytalk.casting.people.geometry import Rect, overlap
from polytalk.casting.preview import draw_people
from polytalk.errors import PolytalkError
from polytalk.evaluation.reports.output import plain
from polytalk.evaluation.scenes.synthetic_heads import EMPTY_HELD_OUT, HIDDEN, empty_photos, scene_config, visible_heads
from polytalk.media.image import load_image, save_image
from polytalk.synthetic.picture_io import ENDINGS, bundled_folder
from polytalk.synthetic.scenes import CELL, SyntheticClip, draw_clip
from polytalk.synthetic.seeds import FACES_TEST_SEED

MATCH = 0.5
"""A found head is the true one if they overlap by so much (intersection over union)."""
CARRIED = {"astronaut.png": 1, "camera.png": 1, **dict.fromkeys(EMPTY_HELD_OUT, 0)}
"""Photographs in scikit-image's package, and how many people they show."""


@dataclass
class FacesReport:
    """What was found, and what was there."""

    scenes: int = 0
    heads: int = 0
    """True heads of which at least `HIDDEN` is to be seen."""
    hits: int = 0
    """Of these, found with an overlap of `MATCH` or more."""
    false: int = 0
    """Found where there is no head; half-hidden heads may be found or not."""
    complete: int = 0
    """Scenes with everybody found and nobody else."""
    overlaps: list[float] = field(default_factory=list)
    """Intersection over union of each hit: head box found and true head box, both within the frame."""
    masks: list[float] = field(default_factory=list)
    """Intersection over union of each hit's mask and the true one, in cells of 8 × 8 pixels."""
    finders: Counter[str] = field(default_factory=Counter)
    """Who found the hits."""
    styles: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    """Art style -> found or not, for each true head."""
    seconds: list[float] = field(default_factory=list)
    """Processor time for each picture of either kind, models loaded."""
    pictures: list[tuple[str, int, int, tuple[int, int]]] = field(default_factory=list)
    """Name, people there, people found, (width, height)."""

    @property
    def recall(self) -> float:
        """Share of the true heads that were found."""
        return self.hits / max(1, self.heads)

    @property
    def precision(self) -> float:
        """Share of the finds that are true heads."""
        return self.hits / max(1, self.hits + self.false)

    @property
    def iou(self) -> float:
        """Mean overlap of the hits."""
        return float(np.mean(self.overlaps)) if self.overlaps else 0.0

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        pictures = (dict(zip(("name", "people", "found", "size"), picture, strict=True)) for picture in self.pictures)
        return plain({
            "scenes": self.scenes,
            "heads": self.heads,
            "recall": self.recall,
            "precision": self.precision,
            "iou": self.iou,
            "mask_iou": float(np.mean(self.masks)) if self.masks else None,
            "complete": self.complete,
            "recall_by_style": {style: float(np.mean(found)) for style, found in sorted(self.styles.items())},
            "heads_by_style": {style: len(found) for style, found in sorted(self.styles.items())},
            "finders": dict(self.finders),
            "seconds_a_picture": float(np.mean(self.seconds)) if self.seconds else None,
            "slowest_seconds": max(self.seconds, default=None),
            "pictures": list(pictures),
        })  # fmt: skip

    def print(self) -> None:
        """A table on the terminal."""
        if self.scenes:
            print(f"{self.scenes} drawn scenes, {self.heads} heads of which {HIDDEN:.0%} or more is to be seen")
            print(f"  recall     {self.recall:7.1%}   overlap of the head boxes {MATCH} or more")
            print(f"  precision  {self.precision:7.1%}   {self.false} finds are no heads")
            print(f"  IoU        {self.iou:7.2f}   head box found and true head box, mean of the hits")
            print(f"  mask IoU   {np.mean(self.masks) if self.masks else 0:7.2f}   head and body, cells of 8 pixels")
            print(f"  complete   {self.complete / self.scenes:7.1%}   scenes with everybody and nobody else")
            print("  found by   " + ", ".join(f"{name} {count}" for name, count in self.finders.most_common()))
            for style, hits in sorted(self.styles.items()):
                print(f"    {style:<18}{np.mean(hits):7.1%} of {len(hits)}")
        if self.pictures:
            right = sum(there == found for _, there, found, _ in self.pictures)
            print(f"{len(self.pictures)} pictures: the right number of people in {right}")
            missed = sum(max(0, there - found) for _, there, found, _ in self.pictures)
            more = sum(max(0, found - there) for _, there, found, _ in self.pictures)
            print(f"  {sum(there for _, there, _, _ in self.pictures)} people, {missed} missed, {more} too many")
            for name, there, found, (width, height) in self.pictures:
                mark = "" if there == found else "   <- wrong"
                print(f"    {name:<36} {width:>5} × {height:<5} people {there}, found {found}{mark}")
        if self.seconds:
            mean, most = np.mean(self.seconds), max(self.seconds)
            print(f"time: {mean:.3f} s a picture, at most {most:.3f} s (processor time, one thread)")


def run(
    scenes: int = 200,
    pictures: Mapping[Path, int] | None = None,
    seed: int = 0,
    carried: bool = True,
    sheet: Path | None = None,
) -> FacesReport:
    """Find people in drawn scenes and in pictures.

    Args:
        scenes: drawn scenes of one to four people of all sources, 512 × 288 pixels, seeds never trained on; the
            photographs behind some of them were never trained on either.
        pictures: files, and how many people they show.
        seed: which set of scenes.
        carried: also those of scikit-image's photographs that `CARRIED` names.
        sheet: picture file to write, the first 24 scenes with what was found.

    Raises:
        PolytalkError: a picture cannot be read, a package is missing, a model cannot be had.
    """
    torch.set_num_threads(1)
    report = FacesReport()
    find_people(np.asarray(load_image(_carried()[0][0])))  # loads the models
    shown = []
    with empty_photos(EMPTY_HELD_OUT) as photos:
        for number in range(scenes):
            clip = draw_clip(FACES_TEST_SEED + 100_000 * seed + number, scene_config(photos))
            people = _timed(clip.frames[0], report)
            _count(clip, people, report)
            if sheet is not None and number < 24:
                shown.append((clip.frames[0], people))
    if sheet is not None and shown:
        _save_sheet(shown, sheet)
    for path, there in [*(pictures or {}).items(), *(_carried() if carried else ())]:
        image = load_image(path)
        people = _timed(np.asarray(image), report)
        report.pictures.append((path.name, there, len(people), image.size))
    return report


def counted_pictures(given: Sequence[str]) -> dict[Path, int]:
    """Files and how many people they show, from FILE=PEOPLE; a folder stands for its pictures.

    Raises:
        PolytalkError: no such file, or no number.
    """
    counted: dict[Path, int] = {}
    for text in given:
        name, _, number = text.rpartition("=")
        path = Path(name)
        if not number.isdecimal() or not name:
            raise PolytalkError("picture", f"{text!r} says no number", "Give FILE=PEOPLE, e.g. us.png=2.")
        if not path.exists():
            raise PolytalkError("picture", f"there is no {path}", "Give FILE=PEOPLE, e.g. us.png=2.")
        files = sorted(f for f in path.iterdir() if f.suffix.lower() in ENDINGS) if path.is_dir() else [path]
        counted |= dict.fromkeys(files, int(number))
    return counted


def _timed(picture: np.ndarray, report: FacesReport) -> list[FoundPerson]:
    began = time.process_time()
    people = find_people(picture)
    report.seconds.append(time.process_time() - began)
    return people


def _count(clip: SyntheticClip, people: Sequence[FoundPerson], report: FacesReport) -> None:
    """Compare one scene's finds with the truth: pairs of greatest overlap first, each once."""
    heads, seen = visible_heads(clip, 0)
    found = [(float(p.head.left), float(p.head.top), float(p.head.right), float(p.head.bottom)) for p in people]
    true: list[Rect] = [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in heads]
    table = sorted(((overlap(f, t), i, j) for i, f in enumerate(found) for j, t in enumerate(true)), reverse=True)
    of_true: dict[int, int] = {}
    for value, i, j in table:
        if value >= MATCH and j not in of_true and i not in of_true.values():
            of_true[j] = i
    needed = [j for j in range(len(true)) if seen[j] >= HIDDEN]
    hits = [j for j in needed if j in of_true]
    # A find in the way of a half-hidden head is no error, even if the box is that of the part to be seen.
    free = [i for i in range(len(found)) if i not in of_true.values()]
    false = [i for i in free if not any(overlap(found[i], true[j]) > 0.1 for j in range(len(true)) if j not in needed)]
    report.scenes += 1
    report.heads += len(needed)
    report.hits += len(hits)
    report.false += len(false)
    report.complete += len(hits) == len(needed) and not false
    for j in needed:
        report.styles[clip.styles[j]].append(j in of_true)
    for j in hits:
        person = people[of_true[j]]
        report.overlaps.append(overlap(found[of_true[j]], true[j]))
        report.finders[person.finder] += 1
        if person.mask is not None:
            report.masks.append(_mask_overlap(person.mask, clip.masks[0, j]))


def _mask_overlap(mask: np.ndarray, cells: np.ndarray) -> float:
    rows, columns = cells.shape
    shares = mask[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).mean(axis=(1, 3))
    mine = shares >= 0.5
    return float((mine & cells).sum() / max(1, (mine | cells).sum()))


def _carried() -> list[tuple[Path, int]]:
    folder = bundled_folder()
    return [(folder / name, there) for name, there in CARRIED.items() if (folder / name).is_file()]


def _save_sheet(shown: Sequence[tuple[np.ndarray, list[FoundPerson]]], path: Path) -> None:
    height, width = shown[0][0].shape[:2]
    sheet = Image.new("RGB", (4 * width, -(-len(shown) // 4) * height))
    for number, (frame, people) in enumerate(shown):
        sheet.paste(draw_people(Image.fromarray(frame), people), (number % 4 * width, number // 4 * height))
    save_image(path, sheet, force=True)
