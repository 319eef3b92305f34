"""Frames of a video file at 25 a second, whatever the file's own rate is."""

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polytalk.errors import PolytalkError
from polytalk.media.source_video import ArrayFrames, VideoFile, first_picture, open_frames
from polytalk.media.video import write_video


def shades(count, height=32, width=48):
    """Frame i is of one grey, 4 i + 8."""
    grey = (4 * np.arange(count) + 8).astype(np.uint8)
    return np.broadcast_to(grey[:, None, None, None], (count, height, width, 3)).copy()


def numbers(frames):
    return np.round((frames.mean(axis=(1, 2, 3)) - 8) / 4).astype(int).tolist()


def write_at(path, milliseconds, **shape):
    """A Matroska file whose frame i is shown at milliseconds[i]."""
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=25)
        frames = shades(len(milliseconds), **shape)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for time, pixels in zip(milliseconds, frames, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_file_at_25_is_read_as_it_is(tmp_path):
    write_video(tmp_path / "a.mp4", shades(12), 25)
    source = VideoFile(tmp_path / "a.mp4")
    assert (source.num_frames, source.height, source.width) == (12, 32, 48)
    assert numbers(source.frames(0, 12)) == list(range(12))
    assert numbers(source.frames(5, 3)) == [5, 6, 7]
    assert numbers(source.frames(1, 2)) == [1, 2], "going back begins anew"
    assert numbers(source.frames(10, 5)) == [10, 11, 11, 11, 11], "the last frame stands still"
    assert np.asarray(first_picture(source)).mean() == pytest.approx(8, abs=2)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(5, 200), min_size=0, max_size=20), st.integers(0, 500))
@example([5, 5, 5, 167, 200, 200, 200, 200, 39], 0)
def test_a_variable_rate_is_resampled_by_its_time_stamps(tmp_path_factory, gaps, offset):
    path = tmp_path_factory.mktemp("rate") / "a.mkv"
    times = (np.cumsum([0, *gaps])).tolist()
    write_at(path, [offset + time for time in times])
    source = VideoFile(path)
    stays = gaps[-1] if gaps else 40
    assert abs(source.num_frames - max(1.0, (times[-1] + stays) / 40)) < 0.501  # a half may go either way
    shown = [max(i for i, time in enumerate(times) if time <= 40 * n) for n in range(source.num_frames)]
    assert numbers(source.frames(0, source.num_frames)) == shown


def test_long_files_do_not_stay_in_memory(tmp_path, monkeypatch):
    write_at(tmp_path / "a.mkv", [(40 * i) for i in range(60)])
    source = VideoFile(tmp_path / "a.mkv")
    monkeypatch.setattr("polytalk.media.source_video._REMEMBERED", 10)
    for start in range(0, 50, 4):
        assert numbers(source.frames(start, 9)) == list(range(start, start + 9))
        assert len(source._near) <= 20


def test_what_is_no_video_is_refused_by_name(tmp_path):
    with pytest.raises(PolytalkError, match=r"no file .*none\.mp4"):
        VideoFile(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("this is no video")
    with pytest.raises(PolytalkError, match=r"text\.mp4 cannot be decoded"):
        VideoFile(tmp_path / "text.mp4")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(PolytalkError, match=r"sound\.mp4 contains no pictures"):
        VideoFile(tmp_path / "sound.mp4")
    write_at(tmp_path / "small.mkv", [0], height=8, width=8)
    with pytest.raises(PolytalkError, match="8 × 8"):
        VideoFile(tmp_path / "small.mkv")


def test_a_file_cut_off_in_the_middle_is_read_as_far_as_it_goes(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (20, 32, 48, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", frames, 25)
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    source = VideoFile(tmp_path / "cut.mp4")
    assert source.frames(0, 20).shape == (20, 32, 48, 3)


def test_a_rotated_video_is_shown_upright(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv420p"
        pixels = np.zeros((32, 64, 3), np.uint8)
        pixels[:, :32] = 255
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    # the matrix of a quarter turn in the track's header, as telephones write it
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    place = content.index(b"tkhd") + 4 + 4 + 8 + 4 + 4 + 4 + 8 + 8
    matrix = np.array([0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000], ">i4").tobytes()
    content[place : place + 36] = matrix
    (tmp_path / "b.mp4").write_bytes(content)
    source = VideoFile(tmp_path / "b.mp4")
    assert (source.height, source.width) == (64, 32)
    frame = source.frames(0, 1)[0]
    assert frame[:30].mean() > 200 > 50 > frame[34:].mean(), "a quarter turn clockwise: left comes up"


def test_arrays():
    source = open_frames(shades(3))
    assert isinstance(source, ArrayFrames)
    assert numbers(source.frames(1, 4)) == [1, 2, 2, 2]
    for wrong in (np.zeros((2, 32, 32, 3)), np.zeros((32, 32, 3), np.uint8), np.zeros((0, 32, 32, 3), np.uint8)):
        with pytest.raises(PolytalkError, match="video"):
            open_frames(wrong)
