"""The finder of drawn people: squares with their truth, and that it learns."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from polytalk.casting.people.drawn_network import STRIDE, UNIT, DrawnFaceNetwork
from polytalk.evaluation.scenes.synthetic_heads import (
    EMPTY_HELD_OUT,
    EMPTY_TRAINING,
    empty_photos,
    scene_config,
    visible_heads,
)
from polytalk.synthetic.scenes import draw_clip
from polytalk.synthetic.seeds import SEEDS
from polytalk.training.readers.synthetic_faces import (
    CROP,
    FinderTraining,
    Scenes,
    cut_batch,
    draw_scenes,
    loss,
    train,
)

HEIGHT, WIDTH = 288, 512


@pytest.fixture(scope="module")
def blocks():
    """Frames with one grey-white block each, which is the head and all of the figure."""
    rng = np.random.default_rng(0)
    pixels = torch.full((12, 3, HEIGHT, WIDTH), 20, dtype=torch.uint8)
    owner, heads = torch.zeros(12, HEIGHT // 8, WIDTH // 8, dtype=torch.uint8), torch.zeros(12, 4, 4)
    for number in range(12):
        left, top = 8 * int(rng.integers(4, 40)), 8 * int(rng.integers(4, 20))
        right, bottom = left + 8 * int(rng.integers(5, 16)), top + 8 * int(rng.integers(6, 14))
        pixels[number, :, top:bottom, left:right] = 240
        owner[number, top // 8 : bottom // 8, left // 8 : right // 8] = 1
        heads[number, 0] = torch.tensor([left, top, right, bottom])
    seen = torch.zeros(12, 4)
    seen[:, 0] = 1
    return Scenes(pixels, owner, heads, seen)


def test_the_truth_of_a_square_lies_where_its_pixels_do(blocks):
    batch = cut_batch(blocks, [], FinderTraining(batch=48, empty=0.0), np.random.default_rng(3))
    checked = 0
    for number in range(48):
        centres = torch.nonzero(batch.heat[number] >= 0.999)
        outside = (batch.pixels[number] == 0).all(dim=0)
        grey = torch.where(outside, -1.0, batch.pixels[number].mean(dim=0))
        grey = torch.nn.functional.avg_pool2d(grey[None], 5, 1, 2)[0]
        bright = grey > grey.min() + 0.75 * (grey.max() - grey.min())
        if not len(centres) or grey.max() - grey.min() < 1:
            continue
        assert len(centres) == 1
        row, column = centres[0].tolist()
        left, top, right, bottom = (batch.reach[number, :, row, column].exp() * UNIT).tolist()
        x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
        rows, columns = torch.nonzero(bright.any(1)).flatten(), torch.nonzero(bright.any(0)).flatten()
        found = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        assert np.allclose((x - left, y - top, x + right, y + bottom), [float(edge) for edge in found], atol=4)
        inside = torch.nn.functional.avg_pool2d(bright[None, None].float(), 4)[0, 0]
        assert (batch.figure[number] - inside).abs().mean() < 0.05
        fine = torch.nonzero(batch.figure[number])
        votes = batch.vote[number][:, fine[:, 0], fine[:, 1]] * UNIT + (fine.T.flip(0) + 0.5) * 4
        assert votes[0].std() < 1
        assert abs(float(votes[0].mean()) - (x - left + x + right) / 2) < 3
        checked += 1
    assert checked >= 20


def test_photographs_of_nobody_give_squares_without_truth(blocks):
    photo = torch.randint(0, 256, (3, 200, 300), dtype=torch.uint8)
    batch = cut_batch(blocks, [photo], FinderTraining(batch=8, empty=1.0), np.random.default_rng(0))
    assert batch.heat.max() == 0
    assert batch.figure.max() == 0
    assert batch.known.all()
    assert batch.pixels.shape == (8, 3, CROP, CROP)
    assert batch.pixels.abs().max() <= 1


def test_a_short_training_learns_and_its_weights_survive_a_file(blocks, tmp_path, capsys):
    torch.set_num_threads(1)
    config = FinderTraining(steps=40, batch=4, empty=0.0)
    network = train(blocks, [], config)
    batch = cut_batch(blocks, [], FinderTraining(batch=16, empty=0.0), np.random.default_rng(99))
    with torch.no_grad():
        torch.manual_seed(0)
        before, after = (
            float(loss(DrawnFaceNetwork().eval()(batch.pixels), batch)),
            float(loss(network(batch.pixels), batch)),
        )
        assert after < 0.75 * before
        network.save_pretrained(tmp_path / "w.safetensors")
        assert (tmp_path / "w.safetensors").stat().st_size < 400_000
        again = DrawnFaceNetwork.from_pretrained(tmp_path / "w.safetensors")
        assert abs(float(loss(again(batch.pixels), batch)) - after) < 0.1 * before


def test_training_shows_no_photograph_that_is_measured_on():
    assert not set(EMPTY_TRAINING) & set(EMPTY_HELD_OUT)


def test_scenes_to_train_on_come_with_heads_and_owners(tmp_path):
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "wall.png")
    with empty_photos(EMPTY_TRAINING, [tmp_path]) as folder:
        assert (Path(folder) / "0_wall.png").is_file()
        scenes = draw_scenes(FinderTraining(scenes=2), folder)
        clip = draw_clip(SEEDS["finder"].start, scene_config(folder, num_frames=5))
    assert scenes.pixels.shape == (4, 3, HEIGHT, WIDTH)
    heads, seen = visible_heads(clip, 4)
    assert np.array_equal(scenes.heads[1, : len(heads)].numpy(), heads)
    assert ((seen >= 0) & (seen <= 1)).all()
    assert np.array_equal((scenes.owner[1] > 0).numpy(), clip.masks[4].any(axis=0))
