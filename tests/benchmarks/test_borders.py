"""The table of borders: what it counts, and that pauses win."""

import sys
from pathlib import Path

import numpy as np
import pytest

from polytalk.pipeline.clips import ClipPlanner

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import borders


def test_speech_at_borders_counts_the_frames_around_each_border():
    clips = ClipPlanner(33, 5).plan(61)
    speaking = np.zeros(61, bool)
    assert borders.speech_at_borders(clips, speaking) == 0
    speaking[clips[0].new_stop] = True
    assert borders.speech_at_borders(clips, speaking) == pytest.approx(0.25)


def test_prints_a_table_in_which_pauses_win(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["borders.py", "--conversations", "5", "--seconds", "20"])
    borders.main()
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()[2:]]
    assert len(rows) == len(borders.PLANNERS)
    assert all(float(row[3]) < float(row[2]) for row in rows)
