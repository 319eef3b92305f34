"""The measures of long conversations, on videos whose sync and background are known."""

import dataclasses
import json
import math

import numpy as np
import pytest
from tiny_model import tiny_pipeline

from polytalk import PolytalkError
from polytalk.evaluation.measures.metrics import SyncMatrix
from polytalk.evaluation.readers.mouth_reader import MouthReader
from polytalk.evaluation.reports.conversation import (
    ConversationMeter,
    ConversationReport,
    EndReport,
    evaluate_conversation,
)
from polytalk.evaluation.reports.length import LengthCost, LengthReport, measure_lengths
from polytalk.evaluation.scenes.conversation_scenes import conversation_scene, prepare, stream
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import draw_clip

SECONDS = 4.84
QUIET = SceneConfig(num_frames=121, people=(2, 2), camera_motion=0.0, event_probability=0.0, reference_lead=1,
                    reference_lead_probability=1.0)  # fmt: skip


@pytest.fixture(scope="module")
def scene():
    return conversation_scene(0, SECONDS)


@pytest.fixture(scope="module")
def truth(scene):
    """The same conversation, all of it drawn."""
    return dataclasses.replace(scene, clip=draw_clip(scene.seed, QUIET, scene.talk))


@pytest.fixture(scope="module")
def reader():
    return MouthReader.from_pretrained()


def measured(scene, frames, reader, cuts=(33, 61, 89)):
    meter = ConversationMeter(2, reader)
    meter.update(scene, np.split(frames, cuts))
    return meter


def test_scenes_are_the_same_again_and_everybody_speaks(scene):
    assert (scene.num_frames, scene.talk.audio.shape) == (121, (2, 121 * 640))
    again = conversation_scene(0, SECONDS)
    assert np.array_equal(again.talk.audio, scene.talk.audio)
    assert np.array_equal(again.clip.reference, scene.clip.reference)
    assert (scene.talk.speaking.sum(axis=1) > 8).all()
    assert (scene.talk.speaking.sum(axis=0) <= 1).mean() > 0.9  # in turns
    four = conversation_scene(1, 12.0, people=4)
    assert (four.talk.speaking.sum(axis=1) > 8).sum() >= 3


def test_the_drawn_truth_keeps_its_sync_and_its_background(truth, reader):
    meter = measured(truth, truth.clip.frames, reader)
    ends = {name: EndReport.of(sync) for name, sync in meter.syncs.items()}
    for name in ("first seconds", "last seconds"):
        assert ends[name].mean_own > 0.7
        assert ends[name].right == 1.0
        assert ends[name].rows >= 1
        assert np.nanmax(ends[name].other) < 0.4
    curve = meter.curve()
    assert len(curve) == 4
    assert min(curve) > 30


def test_what_is_lost_at_the_end_shows_there_alone(truth, reader):
    frames = truth.clip.frames
    worn = frames.copy()
    noise = np.random.default_rng(0).normal(0, 40, worn[89:].shape)
    worn[89:] = (worn[89:] + noise).clip(0, 255).astype(np.uint8)
    before, after = measured(truth, frames, reader).curve(), measured(truth, worn, reader).curve()
    assert after[:3] == pytest.approx(before[:3])
    assert after[3] < before[3] - 8
    still = frames.copy()
    still[60:] = still[60]
    meter = measured(truth, still, reader, cuts=(33, 60))
    first, last = (EndReport.of(meter.syncs[name]) for name in ("first clip", "last clip"))
    assert last.rows > 0
    assert last.right == 0.0
    assert first.right == 1.0


def end(own, right):
    return EndReport([own, own], [0.0, 0.0], right, 8)


def report(
    last_own=0.6,
    last_right=0.9,
    last_background=33.0,
    first_backgrounds=(33.0, 33.5),
    peaks=(700, 701, 702),
    times=(10.0, 20.0, 40.0),
):
    ends = {"first seconds": end(0.6, 0.9), "last seconds": end(last_own, last_right)}
    ends |= {"first clip": end(0.6, 0.9), "last clip": end(last_own, last_right)}
    costs = [LengthCost(s, 3, t, t, p * 2**20) for s, t, p in zip((5.0, 10, 20), times, peaks, strict=True)]
    return ConversationReport(ends, [*first_backgrounds, last_background], 20.0, 2, 4, 0, lengths=LengthReport(costs))


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, []),
        ({"last_own": 0.55}, []),
        ({"last_own": 0.5}, [0]),
        ({"last_right": 0.84}, [1, 2]),
        ({"last_background": 31.0}, [3]),
        ({"last_background": 60.0}, [3]),
        ({"first_backgrounds": (55.0, 41.0), "last_background": 38.5}, []),
        ({"peaks": (700, 900, 1100)}, [4]),
        ({"times": (10.0, 30.0, 90.0)}, [5]),
        ({"last_own": math.nan}, [0]),
    ],
)
def test_goals(change, missed):
    goals = report(**change).goals()
    assert [number for number, (*_, met) in enumerate(goals) if not met] == missed
    assert (goals[0][-1] is None) == (change.get("last_own", 0) != change.get("last_own", 0))


def test_costs_along_a_line():
    lengths = report().lengths
    assert lengths.seconds_per_second == pytest.approx(2.0)
    assert lengths.deviation == pytest.approx(0.0, abs=1e-9)
    assert lengths.memory_growth == pytest.approx(702 / 700)
    assert math.isnan(LengthReport(lengths.costs[:2]).deviation)


def test_the_report_as_json_tables_and_picture(tmp_path):
    pytest.importorskip("matplotlib")
    from rich.console import Console

    whole = report(last_own=math.nan)
    told = json.loads(whole.to_json())
    assert told["ends"]["last clip"]["own"] == [None, None]
    assert told["goals"][0]["met"] is None
    console = Console(record=True, width=120)
    whole.print(console)
    assert "2.00 s of processor time" in console.export_text()
    whole.plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(PolytalkError, match="cannot be written"):
        whole.plot(tmp_path / "none" / "a.png")


def test_somebody_who_cannot_be_measured():
    sync = SyncMatrix(2)
    sync.update(np.zeros((20, 2)), np.zeros((20, 2)), np.zeros((20, 2), bool))
    found = EndReport.of(sync)
    assert found.rows == 0
    assert math.isnan(found.mean_own)
    assert math.isnan(found.right)


def test_a_pipeline_streams_it_and_bad_numbers_are_refused(reader):
    pipe = tiny_pipeline(clip_frames=33, motion_frames=5)
    scenes = [conversation_scene(number, 2.0) for number in range(2)]
    seen = []
    found = evaluate_conversation(
        pipe, scenes, reader=reader, on_clip=lambda scene, clip, frames: seen.append((scene, clip, len(frames)))
    )
    assert (found.scenes, found.people, found.seconds) == (2, 2, 2.0)
    assert [sum(length for scene, _, length in seen if scene == number) for number in (0, 1)] == [50, 50]
    assert len(found.background) == max(clip for _, clip, _ in seen) + 1
    once = list(stream(pipe, scenes[0], prepare(pipe, scenes[0])))
    assert sum(map(len, once)) == 50
    with pytest.raises(PolytalkError, match="at least one"):
        evaluate_conversation(pipe, [], reader=reader)
    for wrong in ({"seconds": 0.5}, {"people": 5}, {"seed": -1}):
        with pytest.raises(PolytalkError):
            conversation_scene(0, **{"seconds": 2.0, **wrong})


@pytest.mark.slow
def test_lengths_are_measured_in_processes_of_their_own(tmp_path):
    tiny_pipeline(clip_frames=33, motion_frames=5).save_pretrained(tmp_path)
    found = measure_lengths([2.0, 1.0], model=str(tmp_path))
    assert [cost.seconds for cost in found.costs] == [1.0, 2.0]
    assert found.costs[1].clips > found.costs[0].clips >= 1
    assert 0.9 < found.memory_growth < 1.2
    with pytest.raises(PolytalkError, match=r"video of 1 s: .*no model|video of 1 s"):
        measure_lengths([1.0], model=str(tmp_path / "none"))
