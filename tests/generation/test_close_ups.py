"""Close-ups from a scene to clips at the picture's size, with a tiny model."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from tiny_model import TINY, tiny_components, tiny_pipeline, voice

from polytalk import Box, MultiTalkPipeline, Scene, Speaker
from polytalk.casting.found import FoundPerson
from polytalk.errors import PolytalkError
from polytalk.generation.close_ups import (
    CloseUpPlan,
    generate_with_close_ups,
    plan_close_ups,
    reconstruct,
    scaled_to_height,
    wants_close_ups,
)
from polytalk.pipeline.progress import Stage
from polytalk.pipeline.resume.folder import WorkFolder
from polytalk.scene import Cue, Utterance

FRAME = (32, 64)
HEADS = (Box(60, 40, 140, 140), Box(250, 60, 320, 150))


def photo(height: int = 200, width: int = 400) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    smooth = np.stack([rows * 200 / height, columns * 200 / width, 100 + 0 * rows], axis=-1)
    return (smooth + noise).astype(np.uint8)


def wanted(boxes=HEADS, seconds: float = 0.6, **changes) -> Scene:
    speakers = [Speaker(voice(seconds, seed=i), 16_000, box) for i, box in enumerate(boxes)]
    return Scene(**{"image": photo(), "speakers": speakers, **changes})


def made(scene: Scene, **choices) -> list:
    return list(generate_with_close_ups(tiny_pipeline(), scene, size=FRAME, people=(), **choices))


def outside(run) -> np.ndarray:
    """Which pixels no cut reaches."""
    free = np.ones(run.plan.picture, bool)
    for cut in run.plan.cuts:
        free[max(0, cut.top) : cut.bottom, max(0, cut.left) : cut.right] = False
    return free


def test_clips_have_the_picture_s_size_and_leave_it_alone_outside_the_cuts():
    scene = wanted()
    clips = made(scene, seed=3)
    assert [clip.start for clip in clips] == [0, 9]
    frames = np.concatenate([clip.frames for clip in clips])
    assert frames.shape == (15, 200, 400, 3)
    assert frames.dtype == np.uint8
    free = outside(plan_close_ups(scene, size=FRAME, people=()))
    assert free.any()
    assert (frames[:, free] == photo()[free]).all()
    heads = frames[:, HEADS[0].top : HEADS[0].bottom, HEADS[0].left : HEADS[0].right]
    assert np.abs(heads[1:].astype(int) - heads[0]).max() > 0  # random weights do something


def test_they_are_what_the_model_made_of_the_composed_frame():
    scene, pipe = wanted(), tiny_pipeline()
    run = plan_close_ups(scene, size=FRAME, people=())
    assert run.scene.image.shape == (*FRAME, 3)
    assert run.scene.boxes == tuple(cut.head_in_frame() for cut in run.plan.cuts)
    assert all(np.array_equal(a.audio, b.audio) for a, b in zip(run.scene.speakers, scene.speakers, strict=True))
    clips = pipe.stream(run.scene, size=FRAME, seed=3)
    again = [clip.frames for clip in run.composite(clips, pipe.components)]
    for one, other in zip(again, made(scene, seed=3), strict=True):
        assert np.array_equal(one, other.frames)


def test_a_frame_that_stands_still_gives_the_picture_back():
    scene, pipe = wanted(), tiny_pipeline()
    run = plan_close_ups(scene, size=FRAME, people=())
    still = reconstruct(pipe.components, run.scene.image)
    frame = (255 * still).round().byte().movedim(0, -1).numpy()
    clip = next(iter(pipe.stream(run.scene, size=FRAME)))
    standing = dataclasses.replace(clip, frames=np.repeat(frame[None], 3, axis=0))
    (result,) = run.composite([standing], pipe.components)
    assert np.abs(result.frames.astype(int) - photo()).max() <= 1


def test_heads_move_in_the_picture_not_in_the_model_s_frame():
    pipe = MultiTalkPipeline(tiny_components(pose_channels=17), dataclasses.replace(TINY, idle_motion=0.8))
    standing, moving = (
        np.concatenate([
            clip.frames for clip in generate_with_close_ups(
                pipe, wanted(prompt="The one on the left leans in."), size=FRAME, people=(), seed=3, move_heads=moves
            )
        ])
        for moves in (False, True)
    )  # fmt: skip
    assert np.array_equal(moving[0], standing[0])
    moved = (moving != standing).any(axis=(0, 3))
    for head in HEADS:
        assert moved[head.top : head.bottom, head.left : head.right].mean() > 0.5
    assert not moved[:, 195:215].any()


def test_a_work_folder_gives_the_same_frames_again(tmp_path):
    first = made(wanted(), seed=3, work=tmp_path / "work")
    told = []
    work = WorkFolder(tmp_path / "work", resume=True)
    again = made(wanted(), seed=3, work=work, progress=lambda event: told.append(event.stage))
    assert Stage.RESUME in told
    assert Stage.DENOISE not in told
    for one, other in zip(first, again, strict=True):
        # sums differ in their last bit by where arrays lie in memory
        assert np.abs(one.frames.astype(int) - other.frames).max() <= 1


def test_height_scales_picture_and_video():
    clips = made(wanted(), height=100)
    assert clips[0].frames.shape[1:] == (100, 200, 3)
    picture, (box,) = scaled_to_height(Image.fromarray(photo()), HEADS[:1], 100)
    assert picture.size == (200, 100)
    assert box == Box(30, 20, 70, 70)


@pytest.mark.parametrize("height", [0, 99, 202, -2])
def test_heights_that_cannot_be(height):
    with pytest.raises(PolytalkError, match="height"):
        scaled_to_height(Image.fromarray(photo()), HEADS, height)


def test_heads_found_in_the_boxes_are_taken():
    bodies = (Box(20, 20, 190, 200), Box(210, 30, 380, 200))
    people = [
        FoundPerson(f"person {i + 1}", head, head, body, 0.9, "photograph")
        for i, (head, body) in enumerate(zip(HEADS, bodies, strict=True))
    ]
    given = plan_close_ups(wanted(bodies), size=FRAME, people=people)
    assert [cut.head for cut in given.plan.cuts] == list(HEADS)
    turned = plan_close_ups(wanted(bodies[::-1]), size=FRAME, people=people)
    assert [cut.head for cut in turned.plan.cuts] == list(HEADS[::-1])
    found = plan_close_ups(wanted((None, None)), size=FRAME, people=people)
    assert [cut.head for cut in found.plan.cuts] == list(HEADS)
    unseen = plan_close_ups(wanted(bodies), size=FRAME, people=())
    assert [cut.head for cut in unseen.plan.cuts] == list(bodies)


def test_nobody_found_is_said():
    with pytest.raises(PolytalkError, match="not found"):
        plan_close_ups(wanted((None, None)), people=())


@pytest.mark.parametrize("boxes", [HEADS[:1], (*HEADS, Box(150, 40, 230, 140)), (*HEADS, *HEADS)])
def test_any_number_of_people(boxes):
    run = plan_close_ups(wanted(boxes), people=())
    assert len(run.plan.cuts) == len(run.scene.speakers) == len(boxes)
    scene = wanted(boxes, seconds=0.3)
    clips = list(generate_with_close_ups(tiny_pipeline(), scene, size=(64, 64), people=()))
    assert clips[0].frames.shape[1:] == (200, 400, 3)


def test_worth_it_for_small_heads_in_large_pictures_and_small_models():
    large = np.zeros((1440, 2560, 3), np.uint8)
    small_heads = (Box(300, 100, 800, 700), Box(1800, 200, 2300, 800))
    run = plan_close_ups(wanted(small_heads, image=large), people=())
    assert wants_close_ups(run, "mini")
    assert not wants_close_ups(run, "480p")
    filling = plan_close_ups(wanted((Box(100, 0, 1200, 1300), Box(1300, 50, 2400, 1400)), image=large), people=())
    assert not wants_close_ups(filling, "mini")
    tiny = plan_close_ups(wanted(image=photo(200, 356)), people=())
    assert not wants_close_ups(tiny, "mini")


def test_videos_and_later_pictures_are_refused(tmp_path):
    from polytalk.media.video import write_video

    path = tmp_path / "people.mp4"
    write_video(path, np.repeat(photo()[None], 3, axis=0))
    cues = [Cue(start=0.2, image=photo())]
    for scene in (wanted(image=path), wanted(cues=cues)):
        with pytest.raises(PolytalkError, match="close_ups=False"):
            plan_close_ups(scene, people=())


def test_utterances_keep_their_speakers():
    speakers = [Speaker(box=box, name=name) for box, name in zip(HEADS, ("Anna", "Ben"), strict=True)]
    said = [
        Utterance("Ben", audio=voice(0.3), sample_rate=16_000),
        Utterance("Anna", audio=voice(0.3), sample_rate=16_000),
    ]
    run = plan_close_ups(Scene(image=photo(), speakers=speakers, utterances=said), people=())
    assert [said.speaker for said in run.scene.utterances] == ["Ben", "Anna"]
    assert run.scene.names == ("Anna", "Ben")


def test_wrong_sizes_are_refused():
    plan = CloseUpPlan.of((200, 400), HEADS, [FRAME])
    with pytest.raises(PolytalkError, match="400 × 200"):
        plan.compose(Image.fromarray(photo(100, 100)))
    run = plan_close_ups(wanted(), size=FRAME, people=())
    pipe = tiny_pipeline()
    clip = next(iter(pipe.stream(run.scene, size=(48, 96))))
    with pytest.raises(PolytalkError, match="64 × 32"):
        list(run.composite([clip], pipe.components))
    with pytest.raises(PolytalkError, match="speakers"):
        plan.scene(wanted(HEADS[:1]), Image.fromarray(photo()))
