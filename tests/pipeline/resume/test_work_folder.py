"""Runs that are stopped, taken up, edited, and given the wrong folder."""

import contextlib
import dataclasses
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import SIZE, picture, tiny_pipeline, voice

from polytalk import PolytalkError, Scene, Speaker, Utterance
from polytalk.pipeline.progress import Stage
from polytalk.pipeline.resume.folder import WorkFolder

CLIPS = 5
"""Of the scene below, with the tiny model's 9 frames a clip and 5 shared."""


def conversation(changed: int | None = None, seconds: float = 0.3, count: int = 4, **changes) -> Scene:
    """Two people who take turns, one utterance every 0.3 s; one of the utterances may be another."""
    sounds = [voice(seconds, seed=100 if place == changed else place) for place in range(count)]
    said = [
        Utterance(place % 2, audio=sound, sample_rate=16_000, start=seconds * place)
        for place, sound in enumerate(sounds)
    ]
    speakers = [Speaker(None, name="Anna"), Speaker(None, name="Ben")]
    return Scene(**{"image": picture(), "prompt": "they talk", "speakers": speakers, "utterances": said, **changes})


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline(motion_frames=5)


def make(pipe, scene=None, work=None, seed=3, made=None, **choices):
    """The video's frames; `made` gets the numbers of the clips that were computed."""

    def note(event):
        if made is not None and event.stage is Stage.ENCODE:
            made.append(event.clip)

    out = pipe(scene or conversation(), size=SIZE, seed=seed, work=work, progress=note, **choices)
    return out.frames


def stop_after(pipe, folder, clips, scene=None, **wishes):
    """A run that ends in the middle of a clip."""

    def stop(event):
        if event.stage is Stage.DECODE and event.clip == clips:
            raise KeyboardInterrupt

    work = WorkFolder(folder, **wishes)
    with pytest.raises(KeyboardInterrupt):
        list(pipe.stream(scene or conversation(), size=SIZE, seed=3, work=work, progress=stop))


def contents(folder: Path):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_seed_gives_each_clip_its_own_noise(pipe):
    plain = pipe(conversation(), size=SIZE, generator=torch.Generator().manual_seed(3)).frames
    seeded = make(pipe)
    np.testing.assert_array_equal(seeded, make(pipe))
    np.testing.assert_array_equal(seeded[:9], plain[:9])  # the first clip is the generator's
    assert (seeded[9:] != plain[9:]).any()
    assert (make(pipe, seed=4) != seeded).any()
    with pytest.raises(PolytalkError, match="generator"):
        pipe(conversation(), size=SIZE, seed=3, generator=torch.Generator())


def test_keeping_clips_changes_nothing(pipe, tmp_path):
    np.testing.assert_array_equal(make(pipe, work=tmp_path / "w"), make(pipe))
    assert len(list((tmp_path / "w" / "clips").iterdir())) >= CLIPS


@pytest.mark.parametrize("stopped", [0, 1, CLIPS - 1])
def test_a_stopped_run_goes_on(pipe, tmp_path, stopped):
    stop_after(pipe, tmp_path, stopped)
    kept = contents(tmp_path / "clips")
    assert len(kept) == stopped
    made = []
    frames = make(pipe, work=WorkFolder(tmp_path, resume=True), made=made)
    np.testing.assert_array_equal(frames, make(pipe))
    assert made[0] == stopped
    assert contents(tmp_path / "clips").items() >= kept.items()
    made.clear()
    make(pipe, work=WorkFolder(tmp_path, resume=True), made=made)
    assert made == []


def test_progress_tells_what_was_taken_over(pipe, tmp_path):
    stop_after(pipe, tmp_path, 2)
    events = []
    pipe(conversation(), size=SIZE, seed=3, work=WorkFolder(tmp_path, resume=True), progress=events.append)
    assert [event.clip for event in events if event.stage is Stage.RESUME] == [0, 1]
    assert all(event.step == event.num_steps for event in events if event.stage is Stage.RESUME)
    assert events[-1].stage is Stage.DONE


def test_masks_that_were_carried_are_taken_up(tmp_path):
    pipe = tiny_pipeline(motion_frames=5, carry_masks=True)
    stop_after(pipe, tmp_path, 3)
    np.testing.assert_array_equal(make(pipe, work=WorkFolder(tmp_path, resume=True)), make(pipe))


def test_a_used_folder_needs_a_word(pipe, tmp_path):
    stop_after(pipe, tmp_path, 1)
    before = contents(tmp_path)
    with pytest.raises(PolytalkError, match="`resume`"):
        make(pipe, work=tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"image": picture()[:, ::-1].copy()}, "picture"),
        ({"prompt": "they wave"}, "prompt"),
        ({"negative_prompt": "dull"}, "negative prompt"),
        ({"changed": 2}, r"voice of Anna from 0\.60 s on"),
        ({"changed": 3}, r"voice of Ben from 0\.8\d s on"),
        ({"count": 5}, "voice of Anna"),
    ],
)
def test_a_changed_scene_is_refused(pipe, tmp_path, change, name):
    stop_after(pipe, tmp_path, 2)
    before = contents(tmp_path)
    with pytest.raises(PolytalkError, match=name) as error:
        make(pipe, conversation(**change), work=WorkFolder(tmp_path, resume=True))
    assert "`redo`" in error.value.remedy
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ({"seed": 4}, "seed"),
        ({"num_inference_steps": 3}, "settings"),
        ({"guidance_scale": 2.0}, "settings"),
        ({"clip_frames": 13}, "length of clips"),
    ],
)
def test_changed_choices_are_refused_and_redone(pipe, tmp_path, choice, name):
    stop_after(pipe, tmp_path, 2)
    with pytest.raises(PolytalkError, match=name):
        make(pipe, work=WorkFolder(tmp_path, resume=True), **choice)
    frames = make(pipe, work=WorkFolder(tmp_path, redo=True), **choice)
    np.testing.assert_array_equal(frames, make(pipe, **choice))


def test_another_model_is_refused(pipe, tmp_path):
    stop_after(pipe, tmp_path, 1)
    with torch.no_grad():
        other = tiny_pipeline(motion_frames=5)
        other.components.transformer.blocks[1].ffn.net[0].proj.weight.mul_(1.01)
    with pytest.raises(PolytalkError, match="model"):
        make(other, work=WorkFolder(tmp_path, resume=True))


def test_an_edited_utterance_makes_again_what_it_touches(pipe, tmp_path):
    prepared = pipe.prepare(conversation(count=12), SIZE)
    before, again = [], []
    old = make(pipe, prepared, work=tmp_path, made=before)
    edited = conversation(changed=9, count=12)
    new = make(pipe, edited, work=WorkFolder(tmp_path, redo=True), made=again)
    assert before == list(range(len(before)))
    assert again == list(range(again[0], len(before)))
    first = round(9 * 0.3 * 25)
    assert again[0] > 5
    same = (old == new).all(axis=(1, 2, 3))
    kept = int(np.argmin(same))
    assert first - 12 - 9 <= kept <= first + 4  # up to half a second before the edit, and to the clip's start
    made = []
    np.testing.assert_array_equal(make(pipe, edited, work=WorkFolder(tmp_path, resume=True), made=made), new)
    assert made == []


def test_a_redo_may_be_stopped_too(pipe, tmp_path):
    make(pipe, work=tmp_path / "a")
    make(pipe, work=tmp_path / "b")
    edited = conversation(changed=2)
    whole = make(pipe, edited, work=WorkFolder(tmp_path / "a", redo=True))
    stop_after(pipe, tmp_path / "b", 4, edited, redo=True)
    np.testing.assert_array_equal(make(pipe, edited, work=WorkFolder(tmp_path / "b", resume=True)), whole)


@pytest.mark.parametrize("count", [3, 5])
def test_a_longer_or_shorter_conversation_keeps_what_came_before(pipe, tmp_path, count):
    make(pipe, work=tmp_path)
    made = []
    frames = make(pipe, conversation(count=count), work=WorkFolder(tmp_path, redo=True), made=made)
    assert len(frames) == int(count * 0.3 * 25)
    assert made[0] >= 1
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert len(list((tmp_path / "clips").iterdir())) == len(plan["clips"])
    again = []
    make(pipe, conversation(count=count), work=WorkFolder(tmp_path, resume=True), made=again)
    assert again == []


def test_a_clip_that_is_missing_or_damaged(pipe, tmp_path):
    whole = make(pipe, work=tmp_path)
    clip = tmp_path / "clips" / "00002.safetensors"
    content = clip.read_bytes()
    clip.unlink()
    made = []
    np.testing.assert_array_equal(make(pipe, work=WorkFolder(tmp_path, resume=True), made=made), whole)
    assert made == [2]  # those after it start from the same frames, and are kept
    assert clip.read_bytes() == content
    for damaged in (content[:-9], content[:-400] + b"x" * 400, b"", content[: len(content) // 2]):
        clip.write_bytes(damaged)
        with pytest.raises(PolytalkError, match=r"00002.*damaged"):
            make(pipe, work=WorkFolder(tmp_path, resume=True))
        assert clip.read_bytes() == damaged
    np.testing.assert_array_equal(make(pipe, work=WorkFolder(tmp_path, redo=True)), whole)


@pytest.mark.parametrize("damage", ["{", "[]", '{"polytalk_work_folder": 2}', "null"])
def test_a_damaged_plan(pipe, tmp_path, damage):
    stop_after(pipe, tmp_path, 3)
    (tmp_path / "plan.json").write_text(damage)
    with pytest.raises(PolytalkError, match=r"plan\.json.*damaged"):
        make(pipe, work=WorkFolder(tmp_path, resume=True))
    made = []
    np.testing.assert_array_equal(make(pipe, work=WorkFolder(tmp_path, redo=True), made=made), make(pipe))
    assert made[0] == 3  # finished clips are known by what they were made from, not by the plan


def test_folders_that_are_no_work_folders(pipe, tmp_path):
    (tmp_path / "holiday.jpg").write_text("mine")
    with pytest.raises(PolytalkError, match=r"holiday\.jpg"):
        make(pipe, work=tmp_path)
    with pytest.raises(PolytalkError, match="file"):
        make(pipe, work=tmp_path / "holiday.jpg")
    assert os.listdir(tmp_path) == ["holiday.jpg"]


def test_two_runs_cannot_share_a_folder(pipe, tmp_path):
    clips = pipe.stream(conversation(), size=SIZE, work=tmp_path)
    next(clips)
    with pytest.raises(PolytalkError, match="another run"):
        make(pipe, work=WorkFolder(tmp_path, resume=True))
    clips.close()
    make(pipe, work=WorkFolder(tmp_path, resume=True), seed=0)


def test_a_full_disk_loses_nothing(pipe, tmp_path, monkeypatch):
    from polytalk.pipeline.resume import clip_file

    real, calls = os.fsync, itertools.count()

    def full(descriptor):
        if next(calls) >= 6:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(clip_file.os, "fsync", full)
    with pytest.raises(PolytalkError, match="disk is full"):
        make(pipe, work=tmp_path)
    monkeypatch.undo()
    kept = len(list((tmp_path / "clips").glob("*.safetensors")))
    assert 0 < kept < CLIPS
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]
    made = []
    np.testing.assert_array_equal(make(pipe, work=WorkFolder(tmp_path, resume=True), made=made), make(pipe))
    assert made[0] == kept


def test_what_a_killed_run_was_writing_is_removed(pipe, tmp_path):
    stop_after(pipe, tmp_path, 1)
    for name in (".plan.1a2b3c4d.part.json", "clips/.00001.1a2b3c4d.part.safetensors"):
        (tmp_path / name).write_text("half")
    np.testing.assert_array_equal(make(pipe, work=WorkFolder(tmp_path, resume=True)), make(pipe))
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]


def test_scenes_from_elsewhere_are_refused(pipe, tmp_path):
    prepared = dataclasses.replace(pipe.prepare(conversation(), SIZE), rows={})
    with pytest.raises(PolytalkError, match="prepare"):
        make(pipe, prepared, work=tmp_path)
    with contextlib.suppress(FileNotFoundError):
        assert os.listdir(tmp_path) == []
