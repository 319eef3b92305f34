"""Frames of videos side by side in one picture, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from polytalk.errors import PolytalkError
from polytalk.media.video import read_video

GAP = 2
"""Pixels between cells."""
LABEL_HEIGHT = 12
"""Pixels above a row that has a label."""


def pick_frames(video: np.ndarray | str | Path, count: int) -> np.ndarray:
    """`count` frames evenly spaced from the first to the last one: (n, H, W, 3) uint8, n = min(count, T).

    Args:
        video: frames uint8 (T, H, W, 3), or a video file.
    """
    frames = video if isinstance(video, np.ndarray) else read_video(Path(video))[0]
    if frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise PolytalkError("video", f"an array of shape {frames.shape}", "give frames (T, H, W, 3)")
    index = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return frames[index]


def contact_sheet(
    videos: Sequence[np.ndarray | str | Path],
    path: str | Path | None = None,
    *,
    columns: int = 8,
    labels: Sequence[str] | None = None,
    height: int | None = None,
) -> np.ndarray:
    """One row per video, `columns` evenly spaced frames each.

    Args:
        videos: arrays (T, H, W, 3) uint8 or video files; sizes may differ.
        path: where to write the PNG; nothing is written when None.
        labels: one line above each row.
        height: frames are scaled to this height in pixels; by default they keep their own.

    Returns:
        The sheet (H, W, 3) uint8.
    """
    if not videos or columns < 1:
        raise PolytalkError("videos", f"{len(videos)} videos, {columns} columns", "give at least one of each")
    if labels is not None and len(labels) != len(videos):
        raise PolytalkError("labels", f"{len(labels)} labels for {len(videos)} videos", "give one per video")
    rows = []
    for number, video in enumerate(videos):
        cells = [Image.fromarray(frame) for frame in pick_frames(video, columns)]
        if height is not None:
            cells = [
                c.resize((max(1, round(c.width * height / c.height)), height), Image.Resampling.LANCZOS) for c in cells
            ]
        rows.append(_row(cells, labels[number] if labels else None))
    sheet = Image.new("RGB", (max(r.width for r in rows), sum(r.height + GAP for r in rows) - GAP), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height + GAP
    if path is not None:
        sheet.save(path, format="PNG")
    return np.asarray(sheet)


def _row(cells: list[Image.Image], label: str | None) -> Image.Image:
    above = LABEL_HEIGHT if label else 0
    width = sum(c.width + GAP for c in cells) - GAP
    row = Image.new("RGB", (width, cells[0].height + above), "white")
    if label:
        ImageDraw.Draw(row).text((2, 0), label, fill="black")
    left = 0
    for cell in cells:
        row.paste(cell, (left, above))
        left += cell.width + GAP
    return row
