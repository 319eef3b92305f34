"""Videos that can be watched while they grow."""

import io
import os
import subprocess
import sys
import textwrap

import av
import numpy as np
import pytest

from polytalk.errors import PolytalkError
from polytalk.media.lossless import pack_frames, unpack_frames
from polytalk.media.video import GENERATED, VideoWriter, read_video


def moving(count, height=48, width=80):
    """A bright column that moves by two pixels a frame."""
    frames = np.full((count, height, width, 3), 40, np.uint8)
    for number, frame in enumerate(frames):
        frame[:, (2 * number) % (width - 8) :][:, :8] = (220, 180, 60)
    return frames


def tone(seconds, rate=48_000):
    return (0.4 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def watch(path):
    """Frames that a player gets to see at this moment, and seconds of sound."""
    with av.open(so_far(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(so_far(path)) as container:
        sound = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    return frames, sound


def decoded(path):
    """All frames that there are."""
    with av.open(so_far(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def so_far(path):
    """The bytes that a player can have by now; FFmpeg's own would wait for the rest of a playlist."""
    if path.suffix == ".mp4":
        return io.BytesIO(path.read_bytes())
    lines = path.read_text().splitlines()
    first = next(line for line in lines if line.startswith("#EXT-X-MAP:URI=")).split('"')[1]
    names = [first, *(line for line in lines if not line.startswith("#"))]
    return io.BytesIO(b"".join((path.parent / name).read_bytes() for name in names))


@pytest.mark.parametrize("name", ["talk.mp4", "talk.m3u8", "50% of it.m3u8", "it's [1].m3u8"])
def test_it_can_be_watched_while_it_grows(tmp_path, name):
    path, frames = tmp_path / name, moving(110)
    seen = []
    with VideoWriter(path, 25, tone(4.4), 48_000, live=True) as writer:
        for number, frame in enumerate(frames, start=1):
            writer.write(frame)
            if number in (60, 90):
                seen.append(watch(path))
    for number, (pictures, sound) in zip((60, 90), seen, strict=True):
        assert number - 30 <= pictures <= number
        assert sound == pytest.approx(pictures / 25, abs=0.15)
    assert watch(path) == (110, pytest.approx(4.4, abs=0.05))
    assert np.abs(decoded(path).astype(int) - frames).mean() < 3
    assert read_video(path)[0].shape == frames.shape  # a finished playlist is read by FFmpeg, too


def test_it_is_tagged_and_complete(tmp_path):
    path = tmp_path / "talk.m3u8"
    with VideoWriter(path, 25, tone(2), 48_000) as writer:
        for frame in moving(50):
            writer.write(frame)
    playlist = path.read_text()
    assert playlist.count("#EXTINF") == 2
    assert playlist.rstrip().endswith("#EXT-X-ENDLIST")
    listed = [line for line in playlist.splitlines() if not line.startswith("#")]
    assert sorted(os.listdir(tmp_path)) == sorted(["talk.m3u8", "talk_init.mp4", *listed])
    with av.open(str(tmp_path / "talk_init.mp4")) as container:
        assert container.metadata["comment"] == GENERATED
    with VideoWriter(tmp_path / "talk.mp4", 25, live=True) as writer:
        writer.write(moving(1)[0])
    with av.open(str(tmp_path / "talk.mp4")) as container:
        assert container.metadata["comment"] == GENERATED


@pytest.mark.parametrize("name", ["talk.mp4", "talk.m3u8"])
def test_an_existing_one_is_kept_or_replaced_whole(tmp_path, name):
    path = tmp_path / name

    def write(count, **options):
        with VideoWriter(path, 25, live=True, **options) as writer:
            for frame in moving(count):
                writer.write(frame)

    write(110)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(PolytalkError, match="`force`"):
        write(30)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    write(30, force=True)
    assert len(decoded(path)) == 30
    assert len(list(tmp_path.iterdir())) == (1 if name == "talk.mp4" else 4)


@pytest.mark.parametrize("name", ["talk.mp4", "talk.m3u8"])
def test_after_an_error_it_stays_as_far_as_it_got(tmp_path, name):
    def stop():
        with VideoWriter(tmp_path / name, 25, live=True) as writer:
            for frame in moving(60):
                writer.write(frame)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert len(decoded(tmp_path / name)) >= 50


@pytest.mark.parametrize("name", ["talk.mp4", "talk.m3u8"])
def test_after_a_kill_it_can_still_be_watched(tmp_path, name):
    code = textwrap.dedent("""
        import os, signal, sys
        from test_live_video import moving, tone
        from polytalk.media.video import VideoWriter
        with VideoWriter(sys.argv[1], 25, tone(4), 48_000, live=True) as writer:
            for frame in moving(80):
                writer.write(frame)
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    folder = os.path.dirname(__file__)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / name)], env={**os.environ, "PYTHONPATH": folder}, check=False
    )
    assert done.returncode == -9
    pictures, sound = watch(tmp_path / name)
    assert pictures >= 50
    assert sound > 1.8


def test_without_frames_there_is_none(tmp_path):
    for name in ("talk.mp4", "talk.m3u8"):
        with pytest.raises(PolytalkError, match="at least one"), VideoWriter(tmp_path / name, 25, live=True):
            pass
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".mp4", ".m3u8")]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(PolytalkError, match="no folder"), VideoWriter(tmp_path / "no" / "talk.m3u8"):
        pass


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 31), (48, 80)])
def test_packed_frames_come_back_exactly(height, width):
    frames = np.random.default_rng(0).integers(0, 256, (5, height, width, 3), np.uint8)
    packed = pack_frames(frames)
    np.testing.assert_array_equal(unpack_frames(packed), frames)
    smooth = moving(5)
    assert len(pack_frames(smooth)) < smooth.nbytes / 4
    for damaged in (packed[:9], packed[: len(packed) // 4], b""):
        with pytest.raises(PolytalkError, match=r"damaged|no frames"):
            unpack_frames(damaged)
