"""Contact sheets hold the right frames in the right places."""

import numpy as np
import pytest
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.evaluation.reports.contact_sheet import GAP, LABEL_HEIGHT, contact_sheet, pick_frames


def grey_video(frames: int, height: int = 8, width: int = 10) -> np.ndarray:
    return np.stack([np.full((height, width, 3), 10 * t, np.uint8) for t in range(frames)])


def test_picks_the_first_and_the_last_frame():
    assert pick_frames(grey_video(9), 3)[:, 0, 0, 0].tolist() == [0, 40, 80]
    assert len(pick_frames(grey_video(2), 8)) == 2


def test_sheet_is_written_as_it_is_returned(tmp_path):
    path = tmp_path / "sheet.png"
    sheet = contact_sheet([grey_video(5), grey_video(5)[::-1].copy()], path, columns=2, labels=["a", "b"])
    assert (np.asarray(Image.open(path)) == sheet).all()
    assert sheet.shape == (2 * (8 + LABEL_HEIGHT) + GAP, 2 * 10 + GAP, 3)
    second = 8 + 2 * LABEL_HEIGHT + GAP
    assert [sheet[LABEL_HEIGHT, 0, 0], sheet[LABEL_HEIGHT, 10 + GAP, 0]] == [0, 40]
    assert [sheet[second, 0, 0], sheet[second, 10 + GAP, 0]] == [40, 0]


def test_videos_of_different_sizes_share_a_height():
    sheet = contact_sheet([grey_video(3), grey_video(3, 16, 16)], columns=3, height=8)
    assert sheet.shape[0] == 2 * 8 + GAP


def test_bad_input_is_named():
    with pytest.raises(PolytalkError, match="labels"):
        contact_sheet([grey_video(3)], labels=["a", "b"])
    with pytest.raises(PolytalkError, match="video"):
        contact_sheet([np.zeros((3, 8, 8), np.uint8)])
