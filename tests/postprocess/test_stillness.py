"""What has not moved shows the picture, what has moved does not."""

import pytest
import torch

from polytalk.errors import PolytalkError
from polytalk.postprocess.stillness import hold_still


def _picture(seed: int = 0) -> torch.Tensor:
    coarse = torch.rand(1, 3, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 1.2 - 0.6
    return torch.nn.functional.interpolate(coarse, size=(1, 64, 64), mode="nearest")


def _video(picture: torch.Tensor, frames: int = 9) -> torch.Tensor:
    noise = torch.randn(1, 3, frames, 64, 64, generator=torch.Generator().manual_seed(1))
    return (picture + 0.02 * noise).clone()


def test_small_wear_is_undone_and_movement_is_kept():
    picture = _picture()
    video = _video(picture)
    video[:, :, 3:, 20:36, 20:36] = 0.95
    held = hold_still(video, picture)
    torch.testing.assert_close(held[:, :, 0, 50:, 50:], picture[:, :, 0, 50:, 50:])
    torch.testing.assert_close(held[:, :, 6, 26:30, 26:30], video[:, :, 6, 26:30, 26:30])
    assert (held - picture)[:, :, :, 50:].abs().max() < (video - picture)[:, :, :, 50:].abs().max() / 10


def test_lost_texture_counts_as_still_and_another_colour_does_not():
    texture = torch.randn(1, 3, 1, 64, 64, generator=torch.Generator().manual_seed(2)) * 0.05
    picture = _picture() + texture
    smooth = (picture - texture).expand(-1, -1, 5, -1, -1)
    assert (hold_still(smooth, picture) - picture).abs().mean() < (smooth - picture).abs().mean() / 5
    other = smooth + 0.2
    torch.testing.assert_close(hold_still(other, picture), other)


def test_a_place_that_moves_once_is_let_go_for_its_neighbours_in_time_too():
    picture = _picture()
    video = picture.expand(-1, -1, 9, -1, -1).clone()
    video[:, :, 4, 20:44, 20:44] = 0.95
    video[:, :, 3, 31, 31] = picture[:, :, 0, 31, 31] + 0.01
    held = hold_still(video, picture)
    torch.testing.assert_close(held[:, :, 3, 31, 31], video[:, :, 3, 31, 31])
    assert not torch.equal(held[:, :, 0, 31, 31], held[:, :, 3, 31, 31])


def test_strength():
    picture = _picture()
    video = _video(picture)
    assert hold_still(video, picture, 0.0) is video
    half, full = (hold_still(video, picture, strength) for strength in (0.5, 1.0))
    torch.testing.assert_close(half, (video + full) / 2)
    with pytest.raises(PolytalkError, match="hold_still"):
        hold_still(video, picture, 1.5)


def test_surroundings_that_slip_by_a_pixel_are_still_and_people_are_not():
    texture = torch.randn(1, 3, 1, 64, 64, generator=torch.Generator().manual_seed(3)).clamp(-1, 1) * 0.4
    picture = torch.nn.functional.avg_pool3d(texture, (1, 3, 3), 1, (0, 1, 1)) * 2
    video = picture.roll(2, dims=-1).expand(-1, -1, 5, -1, -1).clone()
    people = torch.zeros(64, 64, dtype=torch.bool)
    people[:, :24] = True
    held = hold_still(video, picture, 1.0, people)
    torch.testing.assert_close(held[..., 32:60], picture.expand_as(video)[..., 32:60])
    assert (held - video)[..., :16].abs().max() < (held - video)[..., 32:60].abs().max()
    far = picture.roll(12, dims=-1).expand(-1, -1, 5, -1, -1).clone()
    torch.testing.assert_close(hold_still(far, picture, 1.0, people), hold_still(far, picture))
