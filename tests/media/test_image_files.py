"""Whatever Pillow reads becomes upright 8-bit RGB, and what is no usable picture an error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.media.image import load_image, save_image


def drawn(width=24, height=20):
    """A different colour in each corner, so that every turn and flip shows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (250, 10, 20)
    pixels[: height // 2, width // 2 :] = (10, 240, 30)
    pixels[height // 2 :, : width // 2] = (20, 30, 230)
    return pixels


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "webp", "gif", "ppm", "jpg"])
def test_formats(tmp_path, ending):
    best = {"webp": {"lossless": True}, "jpg": {"quality": 98, "subsampling": 0}}
    Image.fromarray(drawn()).save(tmp_path / f"a.{ending}", **best.get(ending, {}))
    picture = load_image(tmp_path / f"a.{ending}")
    assert picture.mode == "RGB"
    tolerance = 40 if ending == "jpg" else 0
    assert np.abs(np.asarray(picture).astype(int) - drawn()).max() <= tolerance


# What a camera stores when held so: applying the EXIF rotation must give back the drawn picture.
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_exif_rotation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation](drawn()))).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(load_image(tmp_path / "a.png")), drawn())


def test_transparency_lies_over_mid_grey(tmp_path):
    alpha = np.full((20, 24, 1), 255, np.uint8)
    alpha[:5], alpha[5:10] = 0, 128
    Image.fromarray(np.concatenate([drawn(), alpha], axis=2)).save(tmp_path / "a.png")
    pixels = np.asarray(load_image(tmp_path / "a.png")).astype(int)
    assert (pixels[:5] == 128).all()
    assert np.abs(pixels[5:10] - (drawn()[5:10] * 128.0 + 128 * 127) / 255).max() <= 1
    assert np.array_equal(pixels[10:], drawn()[10:])


def test_transparent_palette_and_grey_with_alpha(tmp_path):
    palette = Image.fromarray(drawn()).quantize(4)
    corner = palette.getpixel((0, 0))
    palette.save(tmp_path / "a.gif", transparency=corner)
    assert load_image(tmp_path / "a.gif").getpixel((0, 0)) == (128, 128, 128)
    assert load_image(tmp_path / "a.gif").getpixel((20, 2)) == (10, 240, 30)
    Image.new("LA", (20, 20), (200, 0)).save(tmp_path / "b.png")
    assert load_image(tmp_path / "b.png").getpixel((3, 3)) == (128, 128, 128)


def test_16_bits_keep_their_range(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (16, 1))
    Image.fromarray(ramp).save(tmp_path / "a.png")
    pixels = np.asarray(load_image(tmp_path / "a.png"))
    assert np.array_equal(pixels[..., 0], np.rint(ramp / 257).astype(np.uint8))
    assert np.array_equal(pixels, np.asarray(load_image(ramp)))


def test_cmyk_float_and_bilevel(tmp_path):
    Image.fromarray(drawn()).convert("CMYK").save(tmp_path / "a.tiff")
    assert np.abs(np.asarray(load_image(tmp_path / "a.tiff")).astype(int) - drawn()).max() <= 2
    Image.fromarray(np.full((16, 16), 0.5, np.float32)).save(tmp_path / "b.tiff")
    assert load_image(tmp_path / "b.tiff").getpixel((0, 0)) == (128, 128, 128)
    Image.new("1", (16, 16), 1).save(tmp_path / "c.png")
    assert load_image(tmp_path / "c.png").getpixel((0, 0)) == (255, 255, 255)


@settings(deadline=None)
@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16, np.float32, np.float64]),
        st.tuples(st.integers(16, 20), st.integers(16, 20), st.sampled_from([1, 3, 4])),
        elements={"min_value": 0, "max_value": 1},
    )
)
def test_arrays_of_any_kind(array):
    picture = load_image(array)
    assert picture.mode == "RGB"
    assert picture.size == array.shape[1::-1]


def test_arrays_keep_their_values():
    assert np.array_equal(np.asarray(load_image(drawn())), drawn())
    assert np.array_equal(np.asarray(load_image(drawn() / 255)), drawn())
    assert np.array_equal(np.asarray(load_image(Image.fromarray(drawn()))), drawn())


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((20, 20, 2), np.uint8),
        np.zeros(20, np.uint8),
        np.zeros((20, 20), np.int64),
        np.full((20, 20, 3), np.nan),
        np.full((20, 20, 3), 200.0),
        np.zeros((0, 0, 3)),
    ],
)
def test_arrays_that_are_no_picture(array):
    with pytest.raises(PolytalkError, match="image"):
        load_image(array)


def test_too_small(tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "a.png")
    with pytest.raises(PolytalkError, match=r"1 × 1 pixels\. Use one of at least 16 × 16"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(10_000, 10_000), (20_000, 10_000)])
def test_too_large_is_refused_from_the_header(tmp_path, size):
    Image.new("1", size).save(tmp_path / "a.png")  # one bit a pixel: a small file, large once decoded
    with pytest.raises(PolytalkError, match="megapixels"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "message"), [(b"hello, this is text\n" * 20, "not a picture"), (b"", "not a picture")]
)
def test_text_is_no_picture(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PolytalkError, match=message):
        load_image(tmp_path / "a.png")


def test_damaged_and_missing_files(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PolytalkError, match="damaged"):
        load_image(tmp_path / "a.png")
    with pytest.raises(PolytalkError, match="there is no file"):
        load_image(tmp_path / "b.png")
    with pytest.raises(PolytalkError, match="not a file"):
        load_image(tmp_path)


def test_saving_is_all_or_nothing(tmp_path):
    save_image(tmp_path / "a.png", drawn())
    assert np.array_equal(np.asarray(load_image(tmp_path / "a.png")), drawn())
    with pytest.raises(PolytalkError, match="exists"):
        save_image(tmp_path / "a.png", drawn())
    save_image(tmp_path / "a.png", drawn()[::-1], force=True)
    with pytest.raises(PolytalkError, match="no picture format"):
        save_image(tmp_path / "a.txt", drawn())
    with pytest.raises(PolytalkError, match="no folder"):
        save_image(tmp_path / "missing" / "a.png", drawn())
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
