"""Lab statistics, against the released implementation's output and scikit-image."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from skimage import color

from polytalk.errors import PolytalkError
from polytalk.postprocess.colour import lab_to_rgb, match_colour, rgb_to_lab

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize(("name", "strength"), [("out_full", 1.0), ("out_half", 0.5)])
def test_matches_the_release(name, strength):
    golden = {key: value.float() for key, value in load_file(GOLDEN / "color_match.safetensors").items()}
    out = match_colour(golden["source"], golden["reference"], strength)
    assert (out - golden[name]).abs().max() <= 1e-4 * golden[name].abs().max()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_lab_is_scikit_images(seed):
    rgb = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    expected = torch.from_numpy(color.rgb2lab(rgb[0].permute(1, 2, 0).numpy())).permute(2, 0, 1)
    assert torch.allclose(rgb_to_lab(rgb)[0], expected.float(), atol=2e-3)
    assert torch.allclose(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=1e-4)


def test_each_frame_takes_the_reference_statistics():
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(2, 3, 3, 12, 16, generator=generator) * 0.4 - 0.2
    reference = torch.rand(2, 3, 1, 20, 10, generator=generator) * 0.4  # need not be of one size
    out = match_colour(frames, reference)
    lab, wanted = rgb_to_lab((out + 1) / 2), rgb_to_lab((reference + 1) / 2)
    assert torch.allclose(lab.mean((-2, -1)), wanted.mean((-2, -1)).expand(2, 3, 3), atol=0.05)
    assert torch.allclose(lab.std((-2, -1)), wanted.std((-2, -1)).expand(2, 3, 3), atol=0.1)


def test_no_strength_and_flat_frames():
    frames = torch.full((1, 3, 2, 8, 8), 0.25)
    reference = torch.full((1, 3, 1, 8, 8), -0.5)
    assert match_colour(frames, reference, 0) is frames
    assert torch.allclose(match_colour(frames, reference), torch.full_like(frames, -0.5), atol=1e-3)
    with pytest.raises(PolytalkError, match="strength"):
        match_colour(frames, reference, 1.5)


def picture_with_a_person(column):
    """A colourful wall with a dark figure before it, in -1..1."""
    generator = torch.Generator().manual_seed(3)
    wall = torch.rand(1, 3, 1, 4, 8, generator=generator).repeat_interleave(8, -1).repeat_interleave(8, -2) * 0.8 + 0.1
    wall[..., 8:, column : column + 20] = torch.tensor([0.05, 0.05, 0.3])[:, None, None, None]
    return wall * 2 - 1


def test_what_moves_does_not_count_when_only_the_still_is_compared():
    reference, moved = picture_with_a_person(4), picture_with_a_person(40)
    wider = moved.clone()
    wider[..., 8:, 30:] = wider[..., 8:9, 45:46]  # the figure has come closer
    everything, still = match_colour(wider, reference), match_colour(wider, reference, still_only=True)
    assert (still - wider).abs().max() < 0.01
    assert (everything - wider).abs().max() > 0.1
    # a true drift is undone, also under the figure that has moved
    lab = rgb_to_lab((wider + 1) / 2)
    drifted = lab_to_rgb((lab - 40) * 0.95 + 40 + torch.tensor([2.0, -3.0, 2.0])[:, None, None, None]) * 2 - 1
    undone = match_colour(drifted, reference, still_only=True)
    assert (undone - wider).abs().mean() < 0.25 * (drifted - wider).abs().mean()


def test_nothing_still_leaves_the_frame_alone():
    generator = torch.Generator().manual_seed(1)
    frames, reference = torch.rand(2, 1, 3, 1, 16, 16, generator=generator) * 2 - 1
    torch.testing.assert_close(match_colour(frames, reference, still_only=True), frames)
    with pytest.raises(PolytalkError, match="16 × 16"):
        match_colour(frames, reference[..., :8], still_only=True)
