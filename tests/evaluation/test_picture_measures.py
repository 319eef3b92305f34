"""Sharpness frame by frame and flicker of still parts: the truth, blur that comes late, noise, a moving camera."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from polytalk.evaluation.measures.metrics import BackgroundPSNR
from polytalk.evaluation.measures.picture_measures import SharpnessOverTime, StillFlicker, still_pixels
from polytalk.evaluation.scenes.held_out import held_out_clips
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import SyntheticClip

STILL = SceneConfig(camera_motion=0.0, event_probability=0.0, head_size=(0.4, 0.5))


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return held_out_clips(1, people=1, seed=91, num_frames=17, config=STILL)[0]


def sharpness(clip: SyntheticClip, frames: np.ndarray) -> dict[str, float]:
    measure = SharpnessOverTime(len(clip.frames))
    measure.update(frames, clip.face_boxes, clip.reference, clip.face_boxes[0])
    return measure.compute()


def blurred(frames: np.ndarray, radius: float) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(f).filter(ImageFilter.GaussianBlur(radius))) for f in frames])


def test_drawn_faces_stay_sharp(clip):
    assert sharpness(clip, clip.frames) == pytest.approx({"mean": 1.0, "last": 1.0}, abs=0.15)


def test_blur_at_the_end_shows_in_the_last_frames(clip):
    frames = np.concatenate([clip.frames[:13], blurred(clip.frames[13:], 2)])
    found = sharpness(clip, frames)
    assert found["last"] < 0.7
    assert found["mean"] > found["last"] + 0.15


def test_curve_has_a_value_for_every_frame(clip):
    measure = SharpnessOverTime(20)
    measure.update(clip.frames, clip.face_boxes, clip.reference, clip.face_boxes[0])
    curve = measure.curve()
    assert np.isfinite(curve[:17]).all()
    assert np.isnan(curve[17:]).all()


def test_still_background_does_not_flicker_and_noise_does(clip):
    still = still_pixels(clip)
    assert still is not None
    assert not still[clip.masks.any(axis=(0, 1)).repeat(8, 0).repeat(8, 1)].any()
    quiet, noisy, background = StillFlicker(), StillFlicker(), BackgroundPSNR()
    quiet.update(clip.frames, still)
    background.update(clip.frames, clip.reference, ~still)
    noise = np.random.default_rng(0).normal(0, 4, clip.frames.shape)
    noisy.update((clip.frames + noise).clip(0, 255).astype(np.uint8), still)
    assert quiet.compute() < 0.05
    assert background.compute() > 45
    assert noisy.compute() > 2


def test_a_moving_camera_leaves_nothing_still(clip):
    shift = np.stack([np.roll(frame, 3 * t, axis=1) for t, frame in enumerate(clip.frames)])
    moved = SyntheticClip(**{**vars(clip), "frames": shift})
    found = still_pixels(moved)
    assert found is None or found.mean() < still_pixels(clip).mean()
