"""The mouth reader on drawn frames, sharp and soft."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from polytalk.errors import PolytalkError
from polytalk.evaluation.measures.metrics import pearson
from polytalk.evaluation.readers.mouth_reader import CROP, MouthReader, cut_square
from polytalk.evaluation.scenes.held_out import held_out_clips
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import SyntheticClip, draw_clips
from polytalk.training.readers.mouth import STORED, Squares, augment, cut_squares, loss


@pytest.fixture(scope="module")
def reader() -> MouthReader:
    return MouthReader.from_pretrained()


@pytest.fixture(scope="module")
def clips() -> list[SyntheticClip]:
    return held_out_clips(8, seed=50, overlap_share=1.0)


def correlations(reader: MouthReader, clips: list[SyntheticClip], frames: list[np.ndarray]) -> np.ndarray:
    tracks = reader.follow(frames, [c.mouth_boxes[0] for c in clips])
    found = [
        pearson(track.opening[:, p], clip.mouth[:, p, 0])
        for clip, track in zip(clips, tracks, strict=True)
        for p in range(clip.mouth.shape[1])
    ]
    return np.array([value for value in found if not np.isnan(value)])


def test_reads_openings_of_held_out_clips(reader, clips):
    found = correlations(reader, clips, [c.frames for c in clips])
    assert len(found) >= 12
    assert found.mean() >= 0.95


def test_reads_soft_frames(reader, clips):
    def soften(frame: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(1.5)))

    found = correlations(reader, clips, [np.stack([soften(f) for f in c.frames]) for c in clips])
    assert found.mean() >= 0.85


def test_follows_mouths_across_the_frame(reader, clips):
    """A window sliding over the clip moves every mouth; what the reader finds must move along."""
    clip = clips[0]
    window = np.stack([np.roll(frame, -2 * t, axis=1) for t, frame in enumerate(clip.frames)])
    (track,) = reader.follow([window], [clip.mouth_boxes[0]])
    true = (clip.mouth_boxes[:, 0, :2] + clip.mouth_boxes[:, 0, 2:]) / 2 - np.stack(
        [2.0 * np.arange(len(window)), np.zeros(len(window))], axis=1
    )
    inside = true[:, 0] > 20
    assert inside.sum() > 8
    assert np.abs(track.centre[inside, 0] - true[inside]).mean() < 4.0


def test_clips_of_different_lengths_are_read_as_if_alone(reader, clips):
    short = clips[1].frames[:5]
    together = reader.follow([clips[0].frames, short], [c.mouth_boxes[0] for c in clips[:2]])
    (alone,) = reader.follow([short], [clips[1].mouth_boxes[0]])
    assert together[1].opening.shape == (5, 2)
    np.testing.assert_allclose(together[1].opening, alone.opening, atol=1e-5)


def test_square_is_cut_to_scale_and_repeats_edges():
    frame = np.zeros((40, 60, 3), np.uint8)
    frame[:, 30:] = 255
    square = cut_square(frame, np.array([30.0, 20.0]), 16.0)
    assert square.shape == (3, CROP, CROP)
    assert square[0, 5, : CROP // 2 - 3].max() == 0
    assert square[0, 5, CROP // 2 + 3 :].min() == 1
    assert cut_square(frame, np.array([-100.0, -100.0]), 16.0).max() == 0
    assert cut_square(frame, np.array([500.0, 20.0]), 300.0)[..., -1].min() == 1


def test_unknown_weights_are_named(tmp_path):
    with pytest.raises(PolytalkError, match=r"nothing\.safetensors"):
        MouthReader.from_pretrained(tmp_path / "nothing.safetensors")


def test_weights_are_small_and_survive_saving(reader, tmp_path):
    path = tmp_path / "reader.safetensors"
    reader.save_pretrained(path)
    assert path.stat().st_size < 1_500_000
    squares = torch.rand(2, 3, CROP, CROP)
    assert torch.equal(MouthReader.from_pretrained(path)(squares).shape, reader(squares).shape)


def test_augmented_mouths_are_where_the_batch_says():
    """A dark dot in place of the mouth is found again at the position that the augmentation reports."""
    dot = torch.full((1, 3, STORED, STORED), 200, dtype=torch.uint8)
    middle = slice(STORED // 2 - 3, STORED // 2 + 3)
    dot[:, :, middle, middle] = 0
    squares = Squares(dot.repeat(64, 1, 1, 1), torch.zeros(64, 3), torch.ones(64, dtype=torch.bool))
    batch = augment(squares, torch.arange(64), torch.Generator().manual_seed(0))
    grey = batch.pixels.mean(1)
    darkness = (grey.amax((1, 2), keepdim=True) - grey) ** 4
    centres = (torch.arange(CROP) + 0.5) * 2 / CROP - 1
    found = torch.stack([(darkness * centres).sum((1, 2)), (darkness * centres[:, None]).sum((1, 2))], dim=1)
    error = (found / darkness.sum((1, 2))[:, None] - batch.position).abs()
    assert error.median() < 0.01
    assert error.max() < 0.15
    assert batch.position.abs().max() > 0.3


def test_training_reduces_the_loss():
    torch.manual_seed(0)
    config = SceneConfig(num_frames=5, people=(1, 1), event_probability=0.0)
    squares = cut_squares(draw_clips(range(4), [1] * 4, config), 5, np.random.default_rng(0))
    reader, generator = MouthReader(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(reader.parameters(), 2e-3)
    values = []
    for _ in range(30):
        index = torch.randint(len(squares.pixels), (16,), generator=generator)
        value = loss(reader, augment(squares, index, generator))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert np.mean(values[-8:]) < 0.8 * np.mean(values[:4])
