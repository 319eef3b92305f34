"""Videos come out whole, playable and tagged, or not at all."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk.errors import PolytalkError
from polytalk.media.audio import load_audio
from polytalk.media.video import GENERATED, VideoWriter, read_video, write_video


def stripes(count=10, height=64, width=96):
    """Broad stripes of strong colours, one step further in each frame."""
    colours = np.array([[200, 30, 40], [20, 180, 60], [30, 60, 220], [235, 235, 235]], np.uint8)
    steps = (np.arange(width)[None] + 4 * np.arange(count)[:, None]) // 24 % 4
    return np.broadcast_to(colours[steps][:, None], (count, height, width, 3)).copy()


def tone(seconds, rate):
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_what_is_written_is_read(tmp_path):
    frames = stripes()
    write_video(tmp_path / "a.mp4", frames, 25, tone(0.4, 16_000), 16_000)
    read, fps = read_video(tmp_path / "a.mp4")
    assert fps == 25
    assert read.shape == frames.shape
    # Colours survive subsampling and the standard's range; a wrong matrix would shift them by 10 and more.
    inner = (np.arange(96) + 0) // 24 * 24 + 12
    assert np.abs(read[0][:, inner].astype(int) - frames[0][:, inner]).mean() < 3


def test_the_file_is_what_players_and_pages_expect(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, stripes(25), 25, tone(1.0, 22_050), 22_050)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert video.codec_context.colorspace == 1  # BT.709, as tagged
        assert audio.codec_context.name == "aac"
        assert float(video.average_rate) == 25
        assert container.metadata["comment"] == GENERATED
        assert container.metadata["description"] == GENERATED
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # the index comes first: playable while loading


@settings(deadline=None, max_examples=12)
@given(height=st.integers(16, 70), width=st.integers(16, 70), count=st.integers(1, 4))
def test_sizes_of_any_parity(tmp_path_factory, height, width, count):
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    frames = np.full((count, height, width, 3), (180, 60, 20), np.uint8)
    write_video(path, frames)
    read, _ = read_video(path)
    assert read.shape == (count, height + height % 2, width + width % 2, 3)
    assert np.abs(read.astype(int) - (180, 60, 20)).max() <= 4  # the added row and column too


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 96_000, 192_000, 12_345])
@pytest.mark.parametrize("seconds", [0.3, 0.72, 1.1])
def test_the_sound_is_as_long_as_the_picture(tmp_path, rate, seconds):
    path = tmp_path / "a.mp4"
    frames = stripes(18)  # 0.72 s
    write_video(path, frames, 25, tone(seconds, rate), rate)
    sound = load_audio(path)
    assert sound.seconds == pytest.approx(0.72, abs=0.01)
    with av.open(str(path)) as container:
        assert container.duration / av.time_base == pytest.approx(0.72, abs=0.04)
    heard = sound.samples[: round(min(seconds, 0.72) * sound.sample_rate)]
    expected = tone(min(seconds, 0.72), sound.sample_rate)
    inner = slice(round(0.05 * sound.sample_rate), round(0.25 * sound.sample_rate))
    assert np.corrcoef(heard[inner], expected[inner])[0, 1] > 0.98  # in place to a fraction of a millisecond
    after = sound.samples[round((seconds + 0.05) * sound.sample_rate) :]
    assert np.abs(after).max(initial=0) < 0.01  # silence once the sound has ended


def test_long_enough_for_the_sound_to_lie_beside_the_picture(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, stripes(100, 16, 32), 25, tone(4, 16_000), 16_000)
    with av.open(str(path)) as container:
        places = {"video": [], "audio": []}
        for packet in container.demux():
            if packet.pos is not None and packet.size:
                places[packet.stream.type].append(packet.pos)
    assert min(places["audio"]) < max(places["video"])
    assert min(places["video"]) < max(places["audio"])


def leftovers(folder: Path):
    return sorted(file.name for file in folder.iterdir())


def test_an_existing_file_is_kept(tmp_path):
    (tmp_path / "a.mp4").write_text("mine")
    with pytest.raises(PolytalkError, match="`force`"):
        write_video(tmp_path / "a.mp4", stripes())
    assert (tmp_path / "a.mp4").read_text() == "mine"
    write_video(tmp_path / "a.mp4", stripes(), force=True)
    assert read_video(tmp_path / "a.mp4")[0].shape[0] == 10
    assert leftovers(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
@pytest.mark.parametrize("after", [0, 3])
def test_an_interrupted_video_leaves_nothing(tmp_path, error, after):
    (tmp_path / "a.mp4").write_text("mine")

    def frames():
        yield from stripes(after)
        raise error

    with pytest.raises(error):
        write_video(tmp_path / "a.mp4", frames(), 25, tone(1, 16_000), 16_000, force=True)
    assert (tmp_path / "a.mp4").read_text() == "mine"
    assert leftovers(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "at least one frame"),
        ([np.zeros((32, 32), np.uint8)], "frame"),
        ([np.zeros((32, 32, 3), np.float32)], "frame"),
        ([np.zeros((32, 32, 3), np.uint8), np.zeros((32, 48, 3), np.uint8)], "one size"),
    ],
)
def test_frames_that_are_no_video(tmp_path, frames, message):
    with pytest.raises(PolytalkError, match=message):
        write_video(tmp_path / "a.mp4", frames)
    assert leftovers(tmp_path) == []


def test_places_that_take_no_file(tmp_path):
    with pytest.raises(PolytalkError, match="no folder"):
        write_video(tmp_path / "missing" / "a.mp4", stripes())
    with pytest.raises(PolytalkError, match=r"not \.mp4"):
        write_video(tmp_path / "a.avi", stripes())
    (tmp_path / "b.mp4").mkdir()
    with pytest.raises(PolytalkError, match="folder"):
        write_video(tmp_path / "b.mp4", stripes(), force=True)


def test_no_permission_is_said_before_any_work(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    # Root may write anywhere but into the kernel's own tree.
    target = (Path("/proc/self") if os.geteuid() == 0 else folder) / "a.mp4"
    worked = []

    def frames():
        worked.append(True)
        yield from stripes(1)

    with pytest.raises(PolytalkError, match=r"permission|writing failed"):
        write_video(target, frames())
    assert not worked


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    # A limit on file size makes the system refuse writes in the same way, at a size of our choosing.
    code = textwrap.dedent("""
        import resource, sys
        import numpy as np
        from polytalk.errors import PolytalkError
        from polytalk.media.video import write_video
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        noise = np.random.default_rng(0).integers(0, 255, (12, 128, 128, 3), dtype=np.uint8)
        try:
            write_video(sys.argv[1], noise)
        except PolytalkError as error:
            print(error)
    """)
    for limit in (20_000, 100_000):
        arguments = [sys.executable, "-c", code, str(tmp_path / "a.mp4"), str(limit)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        assert "the disk is full. Free some space" in done.stdout
        assert leftovers(tmp_path) == []


def test_sound_that_is_none():
    for samples, rate in ((np.array([np.nan]), 16_000), (np.zeros((2, 9)), 16_000), (np.zeros(9), None)):
        with pytest.raises(PolytalkError, match=r"audio|sample_rate"):
            VideoWriter("a.mp4", 25, samples, rate)


def test_reading_what_is_no_video(tmp_path):
    (tmp_path / "a.mp4").write_text("no video\n" * 50)
    for path, message in ((tmp_path / "a.mp4", "cannot be decoded"), (tmp_path / "b.mp4", "there is no file")):
        with pytest.raises(PolytalkError, match=message):
            read_video(path)
