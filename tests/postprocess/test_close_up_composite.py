"""Cuts laid back into the picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from polytalk.postprocess.close_up_composite import CutComposite
from polytalk.postprocess.close_up_layout import cut_out, lay_out
from polytalk.scene import Box

SIZE = (360, 640)
FRAMES = ((96, 96), (96, 160))


def drawn(offset: tuple[float, float] = (0, 0), mouth: float = 0.0, heads=((200, 170),)) -> np.ndarray:
    """Faces before fine stripes, float (height, width, 3) in 0..255; heads may sway and open their mouths."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)
    canvas = np.stack([120 + 50 * np.sin(x / 40), 110 + 40 * np.cos(y / 50), 90 + 0 * x], -1)
    canvas += 12 * np.sin(1.3 * x)[..., None]
    for at_x, at_y in heads:
        u, v = x - at_x - offset[0], y - at_y - offset[1]
        skin = np.array([210, 165, 140]) + 25 * np.sin(0.9 * u + 0.4 * v)[..., None]  # fine texture
        inside = 1 / (1 + np.exp(3 * (np.hypot(u / 60, v / 80) - 1) * 20))
        canvas = canvas + inside[..., None] * (skin - canvas)
        for eye in (-24, 24):
            canvas[np.hypot(u - eye, v + 20) < 9] = (40, 30, 30)
        canvas[np.hypot(u / 22, (v - 38) / (3 + 14 * mouth)) < 1] = (90, 20, 30)
    return canvas.clip(0, 255)


def picture(**what) -> Image.Image:
    return Image.fromarray(drawn(**what).round().astype(np.uint8))


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(pixels)).movedim(-1, -3).float() / 255


def head_at(x: int, y: int) -> Box:
    return Box(x - 62, y - 82, x + 62, y + 82)


def soft(shown: torch.Tensor) -> torch.Tensor:
    """What an autoencoder leaves of a cut."""
    from polytalk.postprocess.close_up_motion import blur

    return blur(shown[None] if shown.ndim == 3 else shown, 0.8).view(shown.shape)


def composite(frames: list[Image.Image], before: Image.Image, heads=((200, 170),)) -> list[np.ndarray]:
    """A model that draws the truth, but softly, through `CutComposite`."""
    _, cuts = lay_out(SIZE, [head_at(*head) for head in heads], FRAMES)
    result = [tensor(np.asarray(before)) for _ in frames]
    for cut in cuts:
        others = [other for other in cuts if other is not cut]
        shown = tensor(cut_out(before, cut))
        part = CutComposite(cut, others, tensor(np.asarray(before)), shown, soft(shown))
        made = soft(torch.stack([tensor(cut_out(frame, cut)) for frame in frames]))
        for whole, change in zip(result, part.changes(made), strict=True):
            whole[:, part.rows, part.columns] += change
    return [(255 * whole).movedim(0, -1).numpy() for whole in result]


def error(result: np.ndarray, truth: np.ndarray, box: Box) -> float:
    place = np.s_[box.top : box.bottom, box.left : box.right]
    return float(np.sqrt(np.mean((result[place] - truth[place]) ** 2)))


def test_where_nothing_changes_the_picture_stays_to_the_last_bit():
    before = picture()
    (result,) = composite([before], before)
    assert np.array_equal(result.round(), np.asarray(before))


def test_a_head_that_moves_takes_its_detail_along():
    before, after = picture(), picture(offset=(9, -5))
    (result,) = composite([after], before)
    truth = np.asarray(after).astype(float)
    face = Box(160, 100, 260, 180)
    assert error(result, truth, face) < 0.35 * error(np.asarray(before).astype(float), truth, face)
    # pasting what the model made would lose the fine texture
    _, (cut,) = lay_out(SIZE, [head_at(200, 170)], FRAMES)
    made = soft(tensor(cut_out(after, cut)))
    large = torch.nn.functional.interpolate(made[None], (cut.height, cut.width), mode="bicubic")[0]
    pasted = truth.copy()
    pasted[cut.top : cut.bottom, cut.left : cut.right] = (255 * large).movedim(0, -1).numpy()
    assert error(result, truth, face) < 0.8 * error(pasted, truth, face)


def test_a_mouth_that_opens_is_seen():
    before, after = picture(), picture(mouth=1.0)
    (result,) = composite([after], before)
    truth, mouth = np.asarray(after).astype(float), Box(184, 195, 216, 222)
    assert error(result, truth, mouth) < 0.45 * error(np.asarray(before).astype(float), truth, mouth)


def test_what_is_far_from_the_head_is_untouched_whatever_the_model_does():
    before = picture()
    _, (cut,) = lay_out(SIZE, [head_at(200, 170)], FRAMES)
    shown = tensor(cut_out(before, cut))
    noise = torch.rand(2, *shown.shape, generator=torch.Generator().manual_seed(1))
    part = CutComposite(cut, [], tensor(np.asarray(before)), shown, soft(shown))
    for change in part.changes(noise):
        assert change.abs().max() > 0.05
        for edge in (change[:, 0], change[:, -1], change[:, :, 0], change[:, :, -1]):
            assert edge.abs().max() < 1e-5
    rows, columns = part.rows, part.columns
    assert cut.top <= rows.start < rows.stop <= cut.bottom
    assert cut.left <= columns.start < columns.stop <= cut.right


def test_a_drift_of_all_colours_is_left_out():
    before = picture()
    _, (cut,) = lay_out(SIZE, [head_at(200, 170)], FRAMES)
    shown = tensor(cut_out(before, cut))
    part = CutComposite(cut, [], tensor(np.asarray(before)), shown, soft(shown))
    ramp = torch.linspace(-0.02, 0.05, shown.shape[-1]) + torch.tensor([0.04, 0.0, -0.04]).view(3, 1, 1)
    (change,) = part.changes((soft(shown) + ramp)[None])
    assert change.abs().mean() < 0.1 * ramp.abs().mean()


def test_no_seam_shows_where_a_wandering_head_ends():
    before, after = picture(), picture(offset=(6, 4))
    (result,) = composite([after], before)
    change = np.abs(result - np.asarray(before).astype(float)).max(axis=-1)
    _, (cut,) = lay_out(SIZE, [head_at(200, 170)], FRAMES)
    place = np.s_[cut.top : cut.bottom, cut.left : cut.right]
    steps = np.abs(np.diff(result, axis=1)).max(axis=-1)[place]
    own = np.abs(np.diff(np.asarray(before).astype(float), axis=1)).max(axis=-1)[place]
    assert change.max() > 30
    ring = np.ones_like(steps, bool)
    ring[30:-30, 30:-30] = False
    assert steps[ring].max() < 1.3 * own[ring].max()


def test_neighbours_change_only_their_own_heads():
    heads = ((250, 170), (376, 170))
    before = picture(heads=heads)
    # the right one's cut shows the left one's face, too; nothing of it may come from there
    _, cuts = lay_out(SIZE, [head_at(*head) for head in heads], FRAMES)
    left, right = cuts
    assert right.left < left.head.right
    shown = tensor(cut_out(before, right))
    part = CutComposite(right, [left], tensor(np.asarray(before)), shown, soft(shown))
    seen = right.in_slot(left.head)[2]
    changed = soft(shown)
    changed[..., : int(seen) - 4] = 0.0
    (change,) = part.changes(changed[None])
    whole = torch.zeros(3, *SIZE)
    whole[:, part.rows, part.columns] = change
    assert whole[:, :, : left.head.right - 25].abs().max() < 0.02


def test_a_head_at_the_picture_s_edge_changes_up_to_the_edge():
    before, after = picture(heads=((40, 170),)), picture(heads=((40, 170),), mouth=0.0, offset=(0, 8))
    _, (cut,) = lay_out(SIZE, [Box(0, 88, 102, 252)], FRAMES)
    shown = tensor(cut_out(before, cut))
    part = CutComposite(cut, [], tensor(np.asarray(before)), shown, soft(shown))
    (change,) = part.changes(soft(tensor(cut_out(after, cut)))[None])
    assert part.columns.start == 0
    assert change[:, :, 0].abs().max() > 0.05


def test_clips_join_smoothly():
    before = picture()
    swaying = [picture(offset=(3 * np.sin(t / 2), 0)) for t in range(6)]
    whole = composite(swaying, before)
    _, (cut,) = lay_out(SIZE, [head_at(200, 170)], FRAMES)
    shown = tensor(cut_out(before, cut))
    part = CutComposite(cut, [], tensor(np.asarray(before)), shown, soft(shown))
    made = soft(torch.stack([tensor(cut_out(frame, cut)) for frame in swaying]))
    changes = [*part.changes(made[:3]), *part.changes(made[3:])]
    for number, change in enumerate(changes):
        result = tensor(np.asarray(before))
        result[:, part.rows, part.columns] += change
        difference = np.abs((255 * result).movedim(0, -1).numpy() - whole[number])
        # the last frame before the border knows nothing of the next one
        assert difference.mean() < (0.5 if number == 2 else 0.05), number


@pytest.mark.parametrize("times", [1, 4])
def test_small_and_large_pictures_alike(times):
    before = picture().resize((SIZE[1] * times // 2, SIZE[0] * times // 2))
    head = head_at(200, 170)
    box = Box(*(v * times // 2 for v in (head.left, head.top, head.right, head.bottom)))
    _, (cut,) = lay_out((before.height, before.width), [box], FRAMES)
    shown = tensor(cut_out(before, cut))
    part = CutComposite(cut, [], tensor(np.asarray(before)), shown, soft(shown))
    (change,) = part.changes(soft(shown)[None])
    assert change.abs().max() < 1e-4
