"""Motion frames as latents: only the first one changes its place."""

import pytest
import torch
from tiny_model import SIZE, scene, tiny_components, tiny_pipeline
from tiny_wan import write_released

from polytalk import MultiTalkPipeline
from polytalk.pipeline.condition import carried_latents, with_carried
from polytalk.pipeline.resume.folder import WorkFolder


@pytest.fixture(scope="module", params=["mini", "wan"])
def components(request, tmp_path_factory):
    if request.param == "mini":
        return tiny_components()
    folder = write_released(tmp_path_factory.mktemp("wan"))
    return MultiTalkPipeline.from_pretrained(folder, torch_dtype="float32", device="cpu").components


def video(frames=13, seed=0):
    return torch.rand(1, 3, frames, *SIZE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@torch.no_grad()
@pytest.mark.parametrize("motion", [1, 5, 9])
def test_latents_stay_on_their_frames(components, motion):
    """Latent frame j holds frames 4j - 3 to 4j: those of the motion frames change with these and no earlier ones."""
    whole = video()
    latents = components.encode_video(whole)
    kept = (motion - 1) // 4
    carried = carried_latents(components, latents, whole[:, :, -motion:])
    assert carried.shape[2] == kept + 1
    torch.testing.assert_close(carried[:, :, :1], components.encode_video(whole[:, :, -motion : 13 - motion + 1]))
    if kept:
        torch.testing.assert_close(carried[:, :, 1:], latents[:, :, -kept:], atol=0, rtol=0)
        later = whole.clone()
        later[:, :, 13 - motion + 1 :] = video(13, 1)[:, :, 13 - motion + 1 :]
        changed = components.encode_video(later)
        moved = (changed - latents).abs().amax((0, 1, 3, 4)) > 1e-6
        assert moved.tolist() == [False] * (4 - kept) + [True] * kept, "no frame before the motion frames is in them"


@torch.no_grad()
def test_what_is_shown_otherwise_is_carried_otherwise(components):
    decoded = video()[:, :, -5:]
    shown = decoded * 0.8 + 0.1
    latents = components.encode_video(video())
    carried = carried_latents(components, latents, shown, decoded)
    change = components.encode_video(shown) - components.encode_video(decoded)
    torch.testing.assert_close(carried[:, :, 1:], latents[:, :, -1:] + change[:, :, 1:])
    torch.testing.assert_close(carried[:, :, :1], components.encode_video(shown[:, :, :1]))


def test_the_condition_takes_them_and_keeps_its_mask():
    condition, carried = torch.randn(1, 4 + 16, 4, 4, 6), torch.randn(1, 16, 2, 4, 6)
    out = with_carried(condition, carried)
    torch.testing.assert_close(out[:, 4:, :2], carried)
    torch.testing.assert_close(out[:, :4], condition[:, :4])
    torch.testing.assert_close(out[:, :, 2:], condition[:, :, 2:])
    assert with_carried(condition, None) is condition


def run(**choices):
    noise = torch.Generator().manual_seed(0)
    pipe = tiny_pipeline(motion_frames=5)
    return [clip.frames for clip in pipe.stream(scene(seconds=0.6), size=SIZE, generator=noise, **choices)]


def test_only_later_clips_differ():
    pixels, latent = run(), run(carry_over="latent")
    assert (pixels[0] == latent[0]).all()
    assert (pixels[1] != latent[1]).any()
    bright = run(carry_over="latent", colour_strength=1.0, colour_region="still")
    assert len(bright) == len(latent)


def test_a_work_folder_keeps_them(tmp_path):
    pipe = tiny_pipeline(motion_frames=5)
    choices = {"size": SIZE, "seed": 3, "carry_over": "latent"}
    whole = [clip.frames for clip in pipe.stream(scene(seconds=0.6), **choices)]
    begun = pipe.stream(scene(seconds=0.6), work=tmp_path / "work", **choices)
    next(begun), next(begun)
    begun.close()
    folder = WorkFolder(tmp_path / "work", resume=True)
    resumed = [clip.frames for clip in pipe.stream(scene(seconds=0.6), work=folder, **choices)]
    assert len(whole) > 2
    assert all((a == b).all() for a, b in zip(whole, resumed, strict=True))
