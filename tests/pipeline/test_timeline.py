"""Conversations in time through the whole pipeline, on a tiny model."""

import numpy as np
import pytest
from tiny_model import SIZE, picture, tiny_pipeline

from polytalk import Box, Cue, PolytalkError, Scene, Speaker, Utterance
from polytalk.media.audio import Sound
from polytalk.scene.formats import registry as timeline

RATE = 16_000


def noise(seconds, seed=0, rate=RATE):
    return (np.random.default_rng(seed).standard_normal(round(seconds * rate)) * 0.1).astype(np.float32)


def speaks(text, voice):
    """Tenths of a second by the length of the text."""
    return Sound(noise(len(text) / 10, len(voice or "")), RATE)


def talk(*said, **values):
    people = [Speaker(name=name) for name in ("Anna", "Ben", "Carl")]
    return Scene(**{"image": picture(), "prompt": "They talk.", "speakers": people, "utterances": said, **values})


def test_a_script_becomes_a_video():
    script = "Anna: Hello.\nBen: [smiling] Hi.\nCarl:\n(overlap 0.2s)\nAnna: So."
    scene = timeline.parse(script, "script", image=picture())
    pipe = tiny_pipeline()
    prepared = pipe.prepare(scene, SIZE, synthesise=speaks)
    out = pipe(prepared, seed=0)
    assert len(out.frames) == prepared.num_frames == round((0.6 + 0.2 + 0.3 - 0.2 + 0.3) * 25)
    assert len(out.audio) == round(1.2 * RATE)
    assert prepared.masks.shape[0] == 3
    speaking = prepared.activity
    assert speaking[0, :15].any()
    assert speaking[1, 20:27].any()
    assert not speaking[1, :20].any()
    assert not speaking[2].any()


def test_utterances_at_the_start_are_whole_tracks():
    tracks = [noise(0.8), noise(0.6, 1)]
    whole = Scene(picture(), "a", [Speaker(track, RATE) for track in tracks])
    said = [Utterance(i, audio=track, sample_rate=RATE, start=0) for i, track in enumerate(tracks)]
    parts = Scene(picture(), "a", [Speaker(), Speaker()], utterances=said)
    first, second = (tiny_pipeline()(scene, size=SIZE, seed=0) for scene in (whole, parts))
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.audio, second.audio)


def clips_of(scene, pipe=None, **choices):
    pipe = pipe or tiny_pipeline()
    prepared = pipe.prepare(scene, SIZE, synthesise=speaks)
    return prepared, list(pipe.stream(prepared, seed=0, clip_frames=9, motion_frames=5, **choices))


def test_each_clip_has_the_prompt_of_its_time():
    said = [Utterance("Anna", "0123456789", start=0)]
    plain = talk(*said)
    changed = talk(*said, cues=[Cue(0.5, "It rains.")])
    (before, first), (after, second) = clips_of(plain), clips_of(changed)
    assert set(before.texts) == {"They talk."}
    assert set(after.texts) == {"They talk.", "It rains."}
    differ = [not np.array_equal(a.frames, b.frames) for a, b in zip(first, second, strict=True)]
    late = [(clip.start + len(clip.frames) / 2) / 25 > 0.5 for clip in first]
    assert differ == late
    assert any(late)
    assert not all(late)


def test_the_picture_changes_where_a_cue_says():
    said = [Utterance("Anna", "0123456789", start=0)]
    dark = np.zeros_like(np.asarray(picture()))
    boxes = [Box(i * 20, 0, i * 20 + 20, 30) for i in range(3)]
    plain, other = talk(*said), talk(*said, cues=[Cue(0.5, image=dark, boxes=boxes)])
    (_, first), (prepared, second) = clips_of(plain), clips_of(other)
    (change,) = prepared.pictures
    assert change.start == 0.5
    assert change.pixels.max() == 0
    assert not np.array_equal(change.masks, prepared.masks)
    for mine, theirs in zip(first, second, strict=True):
        late = (mine.start + len(mine.frames) / 2) / 25 > 0.5
        assert np.array_equal(mine.frames, theirs.frames) != late


def test_a_video_of_changing_pictures_can_be_taken_up(tmp_path):
    dark = np.zeros_like(np.asarray(picture()))
    scene = talk(Utterance("Anna", "0123456789", start=0), cues=[Cue(0.5, image=dark)])
    _, whole = clips_of(scene)
    pipe = tiny_pipeline()
    prepared = pipe.prepare(scene, SIZE, synthesise=speaks)
    choices = {"seed": 0, "clip_frames": 9, "motion_frames": 5}
    stopped = pipe.stream(prepared, work=tmp_path / "work", **choices)
    for _ in range(4):
        next(stopped)
    stopped.close()
    from polytalk.pipeline.resume.folder import WorkFolder

    rest = list(pipe.stream(prepared, work=WorkFolder(tmp_path / "work", resume=True), **choices))
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(whole, rest, strict=True))


def test_a_later_picture_must_be_one():
    said = [Utterance("Anna", "0123", start=0)]
    with pytest.raises(PolytalkError, match=r"cue\.image"):
        tiny_pipeline().prepare(talk(*said, cues=[Cue(0.1, image="none.png")]), SIZE, synthesise=speaks)
    boxes = [Box(0, 0, 9999, 9)] * 3
    with pytest.raises(PolytalkError, match="leaves the picture"):
        tiny_pipeline().prepare(talk(*said, cues=[Cue(0.1, image=picture(), boxes=boxes)]), SIZE, synthesise=speaks)
