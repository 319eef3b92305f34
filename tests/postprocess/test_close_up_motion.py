"""Motion between a picture and what a model made of it."""

import pytest
import torch
import torch.nn.functional as F

from polytalk.postprocess.close_up_motion import blur, find_motion, move


def texture(height: int = 96, width: int = 80) -> torch.Tensor:
    """Soft blobs of several sizes, (3, h, w) in 0..1."""
    generator = torch.Generator().manual_seed(3)
    noise = sum(
        F.interpolate(
            torch.rand(1, 3, height // cell, width // cell, generator=generator), (height, width), mode="bicubic"
        )
        for cell in (8, 16)
    )
    return (noise[0] / 2).clamp(0, 1)


@pytest.mark.parametrize("step", [(0.0, 0.0), (1.5, -0.75), (-4.0, 3.0)])
def test_finds_how_far_all_has_moved(step):
    still = texture()
    true = torch.tensor(step).view(1, 2, 1, 1).expand(1, 2, *still.shape[-2:])
    found = find_motion(still, move(still, true))
    inside = (found - true)[..., 12:-12, 12:-12]
    assert inside.norm(dim=1).mean() < 0.15


def test_finds_a_head_that_moves_before_a_standing_background():
    still = texture()
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(80.0), indexing="ij")
    near = torch.exp(-((((x - 40) / 20) ** 2 + ((y - 48) / 24) ** 2) ** 2))
    true = torch.stack([3 * near, -2 * near])[None]
    found = find_motion(still, move(still, true))
    assert (found - true)[..., 40:56, 34:46].norm(dim=1).mean() < 0.5
    assert found[..., :6, :].norm(dim=1).mean() < 0.3


def test_what_changes_colour_in_place_hardly_moves():
    still = texture()
    changed = still.clone()
    changed[:, 50:60, 34:46] = torch.tensor([0.1, 0.0, 0.0]).view(3, 1, 1)  # a mouth opens
    found = find_motion(still, changed[None])
    assert found.norm(dim=1).max() < 2.0
    assert found[..., :30, :].norm(dim=1).mean() < 0.1


def test_frames_do_not_depend_on_one_another():
    still = texture()
    steps = torch.tensor([[2.0, 0.0], [0.0, -2.0], [1.0, 1.0]]).view(3, 2, 1, 1).expand(3, 2, *still.shape[-2:])
    frames = move(still, steps)
    together = find_motion(still, frames)
    torch.testing.assert_close(together[1:2], find_motion(still, frames[1:2]), atol=1e-4, rtol=0)


def test_move_shifts_whole_pixels_exactly():
    picture = torch.rand(2, 7, 9, generator=torch.Generator().manual_seed(0))
    moved = move(picture, torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 7, 9))[0]
    torch.testing.assert_close(moved[:, :-1, 2:], picture[:, 1:, :-2])


def test_blur_keeps_what_is_even_and_the_mean():
    torch.testing.assert_close(blur(torch.full((1, 2, 9, 9), 0.3), 2.0), torch.full((1, 2, 9, 9), 0.3))
    spot = torch.zeros(1, 1, 31, 31)
    spot[..., 15, 15] = 1
    soft = blur(spot, 2.0)
    assert soft.sum() == pytest.approx(1, abs=1e-4)
    row = soft[0, 0].sum(0)
    assert ((row * (torch.arange(31) - 15) ** 2).sum() ** 0.5).item() == pytest.approx(2.0, abs=0.15)
