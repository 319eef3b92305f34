"""What the model sees: figures and overlay of videos whose bindings are known."""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny_model import SIZE, scene, tiny_pipeline

from polytalk import Box, PolytalkError
from polytalk.evaluation.scenes.generating import scene_of
from polytalk.evaluation.scenes.held_out import held_out_clips
from polytalk.generation.explain import FIGURES, VIDEO, Explainer, face_boxes
from polytalk.generation.explain_drawing import OverlayPainter, Sight
from polytalk.generation.preflight import COLOURS
from polytalk.media.video import read_video
from polytalk.pipeline.clips import Clip
from polytalk.pipeline.following import masks_to_tokens
from polytalk.pipeline.observing import SeenClip
from polytalk.pipeline.output import ClipOutput
from polytalk.units import round_up_frames

FRAMES = 73


@pytest.fixture(scope="module")
def drawn():
    """Two people who take turns, with the truth about their mouths."""
    return held_out_clips(1, seed=0, overlap_share=0.0, num_frames=FRAMES)[0]


@pytest.fixture(scope="module")
def prepared(drawn):
    pipe = tiny_pipeline()
    return pipe.prepare(scene_of(drawn, drawn.audio), drawn.reference.shape[:2]).first_seconds(FRAMES / 25)


def faces_of(drawn):
    return [Box(*(int(edge) for edge in box.round())) for box in drawn.face_boxes[0]]


def explain(prepared, drawn, folder, seen=None, cuts=(0, 33, FRAMES)):
    """The explanation of the drawn frames, cut in clips."""
    explainer = Explainer(prepared, folder, names=("Anna", "Ben"), faces=faces_of(drawn))

    def clips():
        for index, (start, stop) in enumerate(pairwise(cuts)):
            if seen is not None:
                explainer.observer.see(seen(Clip(index, start, round_up_frames(stop - start), 0, stop - start)))
            yield ClipOutput(index, start, drawn.frames[start:stop], 25)

    assert sum(len(clip.frames) for clip in explainer.follow(clips())) == cuts[-1]
    return explainer.report


def exchanged(prepared):
    swap = {"loudness": prepared.loudness[::-1], "activity": prepared.activity[::-1]}
    return dataclasses.replace(prepared, **{name: value.copy() for name, value in swap.items()})


def test_mouths_that_follow_their_own_voices(prepared, drawn, tmp_path):
    report = explain(prepared, drawn, tmp_path / "why")
    binding = np.array(report.binding)
    assert binding.shape == (2, 2)
    assert (binding.diagonal() > 0.4).all()
    assert (binding.diagonal() > binding[:, ::-1].diagonal() + 0.4).all()
    assert report.warnings == []
    assert [clip.warnings for clip in report.clips] == [[], []]
    frames, fps = read_video(tmp_path / "why" / VIDEO)
    assert (len(frames), fps) == (FRAMES, 25)


def test_mouths_that_follow_the_others_voice_are_told_of(prepared, drawn, tmp_path):
    report = explain(exchanged(prepared), drawn, tmp_path)
    told = [warning for clip in report.clips for warning in clip.warnings] + report.warnings
    assert any(text.startswith("over the whole video Anna's mouth follows Ben's voice (0.") for text in told)
    assert any("Ben's mouth follows Anna's voice" in text for text in told)
    console = Console(record=True, width=140)
    report.print(console)
    printed = console.export_text()
    assert "follows Anna" in printed
    assert "warning: over the whole video Anna's mouth" in printed


def seen_as(owner):
    """Maps that give the places of person p to person owner[p], in four blocks of which one knows nothing."""

    def see(clip, masks):
        tokens = masks_to_tokens(masks)
        maps, labels = [], []
        for block in range(4):
            reference = torch.full((3, clip.num_latent_frames, *tokens.shape[1:]), 0.1)
            reference[2] = 0.15
            for person, place in enumerate(tokens):
                reference[owner[person] if block else 2, :, place] = 0.8
            maps.append(reference.flatten(1))
            labels.append(reference.argmax(0))
        return SeenClip.of(clip, 3, 4, (0, 1), masks, maps, labels)

    return see


@pytest.mark.parametrize("owner", [(0, 1), (1, 0), (0, 0)])
def test_whom_places_are_bound_to(prepared, drawn, tmp_path, owner):
    see = seen_as(owner)
    report = explain(prepared, drawn, tmp_path, lambda clip: see(clip, prepared.masks), cuts=(0, 5, 8))
    figures = json.loads((tmp_path / FIGURES).read_text())
    assert (figures["format"], figures["version"], figures["names"]) == ("polytalk.explain", 1, ["Anna", "Ben"])
    for clip in figures["clips"]:
        for person, told in enumerate(clip["people"]):
            assert told["own_mask"] == pytest.approx(float(owner[person] == person), abs=0.01)
            assert told["mask_bound_to"][owner[person]] == pytest.approx(1, abs=0.01)
            assert told["confidence"] == (pytest.approx(0.75, abs=0.01) if person in owner else None)
            assert len(told["binding"]) == 2
        wrong = [person for person in (0, 1) if owner[person] != person]
        found = [text for text in clip["warnings"] if "places are bound" in text]
        assert len(found) == len(wrong)
        for person, text in zip(wrong, found, strict=True):
            assert f"only 0% of {report.names[person]}'s places" in text
            assert f"100% are bound to {report.names[owner[person]]}" in text
    assert figures["clips"][1]["own_mask_by_step"] == [[float(owner[0] == 0), float(owner[1] == 1)]]


@pytest.mark.parametrize("people", [1, 2, 3])
def test_a_run_of_the_pipeline_is_the_same_and_explained(people, tmp_path):
    pipe = tiny_pipeline()
    prepared = pipe.prepare(scene(people, seconds=0.6), SIZE)
    plain = [clip.frames for clip in pipe.stream(prepared, seed=0)]
    explainer = Explainer(prepared, tmp_path, every_step=True)
    clips = [clip.frames for clip in explainer.follow(pipe.stream(prepared, seed=0, observer=explainer.observer))]
    for one, other in zip(plain, clips, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 4  # numbers may lie elsewhere in memory
    assert read_video(tmp_path / VIDEO)[0].shape[0] == 15
    for clip in explainer.report.clips:
        assert len(clip.own_mask_by_step) == (2 if people > 1 else 0)
        for person in clip.people:
            assert (person.own_mask is None) == (people == 1)
            assert person.binding == [None] * people  # too short to say


def test_people_without_a_voice_in_a_clip_have_no_map(tmp_path):
    pipe = tiny_pipeline(trained_voices=2)
    prepared = pipe.prepare(scene(3, seconds=0.6), SIZE)
    explainer = Explainer(prepared, tmp_path)
    with pytest.warns(UserWarning, match="trained on 2 voices"):
        list(explainer.follow(pipe.stream(prepared, seed=0, observer=explainer.observer)))
    for clip in explainer.report.clips:
        silenced = [person for person, told in enumerate(clip.people) if told.own_mask is None]
        assert len(silenced) == 1
        heard = next(told for told in clip.people if told.mask_bound_to is not None)
        assert len(heard.mask_bound_to) == 4
        assert heard.mask_bound_to[silenced[0]] == 0
        assert sum(heard.mask_bound_to) == pytest.approx(1, abs=1e-3)


def test_a_new_picture_begins_with_new_mouths(prepared, drawn, tmp_path):
    from polytalk.pipeline.prepare import ReferencePicture

    mirrored = np.ascontiguousarray(drawn.frames[:, :, ::-1])
    later = ReferencePicture(33 / 25, mirrored[33], prepared.masks.flip(-1))
    explainer = Explainer(dataclasses.replace(prepared, pictures=[later]), tmp_path)
    shown = [ClipOutput(0, 0, drawn.frames[:33], 25), ClipOutput(1, 33, mirrored[33:], 25)]
    list(explainer.follow(shown))
    assert explainer._motion[:, 33].max() < 0.1  # not the difference of two pictures
    binding = np.array(explainer.report.binding)
    assert (binding.diagonal() > binding[:, ::-1].diagonal()).all()


def test_files_are_whole_or_not_there(prepared, drawn, tmp_path):
    explainer = Explainer(prepared, tmp_path / "new" / "why", faces=faces_of(drawn))
    clips = explainer.follow(iter([ClipOutput(0, 0, drawn.frames[:9], 25)]))
    next(clips)
    clips.close()
    assert list((tmp_path / "new" / "why").iterdir()) == []
    (tmp_path / FIGURES).write_text("{}")
    with pytest.raises(PolytalkError, match="exists"):
        Explainer(prepared, tmp_path)
    Explainer(prepared, tmp_path, force=True)
    with pytest.raises(PolytalkError, match="this is a file"):
        Explainer(prepared, tmp_path / FIGURES)


def test_without_found_faces_a_place_is_a_head():
    masks = np.zeros((2, 8, 16), bool)
    masks[0, 2:6, 1:5] = True
    boxes = face_boxes(np.zeros((64, 128, 3), np.uint8), masks)
    assert boxes[0].left >= 8
    assert boxes[0].right <= 40
    assert boxes[0].top > 16
    assert 40 <= boxes[0].bottom <= 48
    assert (boxes[1].right, boxes[1].bottom) <= (128, 64)  # an empty place is the whole picture


def test_the_overlay_tints_and_outlines_what_is_bound():
    grey = np.full((96, 160, 3), 128, np.uint8)
    heat, labels, given = np.zeros((2, 6, 10), np.float32), np.full((6, 10), 2), np.zeros((2, 6, 10), bool)
    heat[0, 1:5, 1:4], heat[1, 1:5, 6:9] = 1, 1
    labels[1:5, 1:4], labels[1:5, 6:9] = 0, 1
    painter = OverlayPainter((96, 160), ["Anna", "Ben"], np.ones((2, 50), np.float32))
    scores = np.array([[0.9, -0.5], [np.nan, 0.2]])
    motion = np.zeros((2, 10), np.float32)
    painted = painter.paint(grey, 9, Sight(heat, labels, given), motion, scores, "clip 1")
    assert painted.shape == (*painter.size, 3)
    assert [side % 2 for side in painter.size] == [0, 0]
    scale = painter.picture[0] / 96
    for person, column in ((0, 2.5), (1, 7.5)):
        middle = painted[int(3 * 16 * scale), int(column * 16 * scale)].astype(int)
        towards = np.array(COLOURS[person]) - 128
        assert ((middle - 128) @ towards) / (np.linalg.norm(middle - 128) * np.linalg.norm(towards)) > 0.98
        edge = painted[int(3 * 16 * scale), int((column - 1.5) * 16 * scale) + 1]
        assert np.abs(edge.astype(int) - COLOURS[person]).max() < 3
    assert np.array_equal(painted[int(3 * 16 * scale), int(5 * 16 * scale)], [128] * 3)
    later = painter.paint(grey, 9, Sight(heat, labels, given), motion + 0.2, scores, "clip 1")
    assert np.array_equal(later[: painter.picture[0]], painted[: painter.picture[0]])
    assert not np.array_equal(later[painter.picture[0] :], painted[painter.picture[0] :])
