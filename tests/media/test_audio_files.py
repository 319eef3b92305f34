"""Whatever PyAV decodes becomes one clean track; arrangements keep every sample in its place."""

import struct
import wave

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from polytalk.conditioning.conversation import arrange, load_voices
from polytalk.errors import PolytalkError
from polytalk.media.audio import Sound, load_audio, mix, resample, sound_of
from polytalk.scene import Scene, Speaker


def tone(seconds=0.5, rate=16_000, pitch=440.0, level=0.5):
    return (level * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_sound(path, samples, rate, codec, layout="mono", sample_format=None, with_picture=False, **options):
    """Encode (channels, n) by PyAV."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout, options=options)
        if sample_format:
            stream.codec_context.format = sample_format
        if with_picture:
            video = container.add_stream("libx264", rate=25)
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
            for _ in range(5):
                frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            stream.codec_context.format, layout, rate, stream.codec_context.frame_size or None
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def test_ogg_vorbis(tmp_path):
    sent = tone(rate=44_100)
    write_sound(tmp_path / "a.ogg", np.stack([sent, sent]), 44_100, "vorbis", "stereo", strict="experimental")
    sound = load_audio(tmp_path / "a.ogg")
    assert sound.sample_rate == 44_100
    assert np.std(sound.samples[4410:17_640]) == pytest.approx(np.std(sent), abs=0.05)


def write_wav(path, samples, rate, tag=3, bits=32):
    """A float WAV written by hand, since no encoder would write what is not a number."""
    data = np.asarray(samples, "<f4").tobytes()
    header = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, tag, 1, rate, rate * 4, 4, bits, b"data", len(data))
    path.write_bytes(struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + header + data)


FORMATS = [
    ("wav", "pcm_s16le", {}, 1e-3),
    ("flac", "flac", {"sample_format": "s16"}, 1e-3),
    ("mp3", "mp3", {}, 0.05),
    ("m4a", "aac", {}, 0.05),
    ("ogg", "libopus", {}, 0.1),
    ("aiff", "pcm_s16be", {}, 1e-3),
    ("mp4", "aac", {"with_picture": True}, 0.05),
    ("mkv", "pcm_s16le", {"with_picture": True}, 1e-3),
]


@pytest.mark.parametrize(("ending", "codec", "options", "tolerance"), FORMATS)
def test_formats(tmp_path, ending, codec, options, tolerance):
    path = tmp_path / f"a.{ending}"
    sent = tone(rate=48_000)
    write_sound(path, sent[None], 48_000, codec, **options)
    sound = load_audio(path)
    assert sound.sample_rate == 48_000
    assert sound.samples.dtype == np.float32
    assert sound.seconds == pytest.approx(0.5, abs=0.04)
    middle = slice(4800, 19_200)
    # Lossy formats may shift the sound by part of a frame; the level must be right all the same.
    assert np.std(sound.samples[middle]) == pytest.approx(np.std(sent[middle]), abs=tolerance)
    if tolerance <= 1e-3:
        assert np.abs(sound.samples - sent).max() <= tolerance


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 96_000, 192_000, 12_345])
@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 6)])
def test_rates_and_channels(tmp_path, rate, layout, channels):
    levels = np.linspace(0.1, 0.6, channels)[:, None]
    write_sound(tmp_path / "a.wav", levels * tone(0.1, rate, level=1), rate, "pcm_s24le", layout)
    sound = load_audio(tmp_path / "a.wav")
    assert sound.sample_rate == rate
    assert np.abs(sound.samples - levels.mean() * tone(0.1, rate, level=1)).max() < 1e-4


def test_no_sound_at_all(tmp_path):
    (tmp_path / "text.wav").write_text("This is a letter, not a sound.\n" * 50)
    (tmp_path / "empty.wav").touch()
    write_wav(tmp_path / "nothing.wav", [], 16_000)
    write_wav(tmp_path / "nan.wav", [0.1, np.nan, 0.2] * 2000, 16_000)
    write_wav(tmp_path / "inf.wav", [0.1, np.inf, 0.2] * 2000, 16_000)
    Image.new("RGB", (32, 32)).save(tmp_path / "picture.png")
    for name, message in {
        "text.wav": "cannot be decoded as sound",
        "empty.wav": "is empty",
        "nothing.wav": "no samples",
        "nan.wav": "not numbers",
        "inf.wav": "not numbers",
        "picture.png": "contains no sound",
        "missing.wav": "there is no file",
        ".": "not a file",
    }.items():
        with pytest.raises(PolytalkError, match=message) as caught:
            load_audio(tmp_path / name, "speaker 1")
        assert caught.value.field == "speaker 1"


def test_a_playlist_is_not_followed(tmp_path):
    (tmp_path / "a.wav").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n")
    with pytest.raises(PolytalkError, match=r"cannot be decoded|no sound"):
        load_audio(tmp_path / "a.wav")


def test_twenty_hours_are_refused_by_the_header(tmp_path):
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
    with path.open("r+b") as file:  # a sparse file: it says 20 hours and takes no room on the disk
        samples = 20 * 3600 * 8000
        file.seek(40)
        file.write(struct.pack("<I", samples))
        file.truncate(44 + samples)
    with pytest.raises(PolytalkError, match=r"20\.0 hours or more. Cut it to at most 2 hours"):
        load_audio(path)


def test_a_length_that_the_header_hides_is_found_while_decoding(tmp_path):
    path = tmp_path / "a.aac"  # raw AAC frames: no header states a length
    write_sound(path, tone(3.0)[None], 16_000, "aac")
    with pytest.raises(PolytalkError, match=r"at most 1 seconds"):
        load_audio(path, max_seconds=1)
    assert load_audio(path, max_seconds=4).seconds == pytest.approx(3.0, abs=0.2)


def test_samples_of_every_kind():
    wanted = tone(0.1)
    for audio in (
        wanted,
        wanted.astype(np.float64),
        np.stack([wanted, wanted]),
        np.round(wanted * 2**15).astype(np.int16),
    ):
        assert np.abs(sound_of(audio, 16_000).samples - wanted).max() < 1e-4
    assert np.abs(sound_of(np.round(wanted * 128 + 128).astype(np.uint8), 16_000).samples - wanted).max() < 0.005
    for bad in (np.zeros(0), np.zeros((4, 2)), np.zeros((1, 2, 3)), np.array([1.0, np.nan]), np.array(["a", "b"])):
        with pytest.raises(PolytalkError, match="audio"):
            sound_of(bad, 16_000)
    with pytest.raises(PolytalkError, match="sample_rate"):
        sound_of(wanted)


def test_voices_of_a_scene_are_named_by_number(tmp_path):
    write_sound(tmp_path / "a.wav", tone()[None], 16_000, "pcm_s16le")
    speakers = [Speaker(tmp_path / "a.wav"), Speaker(None), Speaker(np.zeros(0), 16_000)]
    with pytest.raises(PolytalkError, match="speaker 3"):
        load_voices(Scene("a.png", speakers=speakers))
    first, second = load_voices(Scene("a.png", speakers=speakers[:2]))
    assert first.seconds == 0.5
    assert second is None


rates = st.sampled_from([8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000])


@settings(deadline=None, max_examples=30)
@given(source=rates, target=rates, length=st.integers(0, 3000))
def test_resampling_gives_the_rounded_length(source, target, length):
    out = resample(np.zeros(length, np.float32), source, target)
    assert out.dtype == np.float32
    assert len(out) == (max(1, round(length * target / source)) if length else 0)


def test_resampling_keeps_the_tone():
    out = resample(tone(0.5, 44_100), 44_100, 16_000)
    assert np.abs(out - tone(0.5, 16_000))[200:-200].max() < 1e-3


sounds = st.lists(
    st.one_of(st.none(), st.builds(lambda n, rate: Sound(np.ones(n, np.float32), rate), st.integers(40, 4000), rates)),
    min_size=1,
    max_size=4,
).filter(lambda sounds: any(sounds))


@settings(deadline=None, max_examples=60)
@given(sounds, st.data(), st.sampled_from(["together", "turns"]))
def test_arrangements_of_any_sounds(sounds, data, arrangement):
    offsets = data.draw(st.lists(st.floats(0, 2), min_size=len(sounds), max_size=len(sounds)))
    rate = 16_000
    tracks = arrange(sounds, rate, arrangement, offsets)
    assert tracks.shape[0] == len(sounds)
    assert tracks.shape[1] >= round(0.2 * rate)
    assert np.isfinite(tracks).all()
    expected_start, ends = 0.0, [0.2]
    for track, sound, offset in zip(tracks, sounds, offsets, strict=True):
        if sound is None:
            assert not track.any()
            continue
        start = offset + (expected_start if arrangement == "turns" else 0)
        expected_start = start + sound.seconds
        ends.append(expected_start)
        assert not track[: round(start * rate)].any()
        assert not track[round(expected_start * rate) + 2 :].any()
        assert track[round(start * rate) : round(expected_start * rate) + 1].any()
    assert tracks.shape[1] == pytest.approx(max(ends) * rate, abs=2)


def test_turns_are_what_the_release_calls_add():
    first, second = Sound(np.ones(4000, np.float32), 16_000), Sound(np.ones(6000, np.float32), 16_000)
    tracks = arrange([first, second], 16_000, "turns")
    assert np.array_equal(tracks[0], np.r_[np.ones(4000), np.zeros(6000)])
    assert np.array_equal(tracks[1], np.r_[np.zeros(4000), np.ones(6000)])
    together = arrange([first, second], 16_000, "together")
    assert np.array_equal(together[0], np.r_[np.ones(4000), np.zeros(2000)])  # filled with silence


def test_sound_shorter_than_a_group_of_frames_ends_in_silence():
    tracks = arrange([Sound(np.ones(10, np.float32), 16_000)], 16_000)
    assert tracks.shape == (1, 3200)  # five frames
    assert tracks.sum() == 10


def test_arrangements_that_cannot_be():
    hour = Sound(np.zeros(3600 * 1000, np.float32), 1000)
    with pytest.raises(PolytalkError, match="nobody"):
        arrange([None, None], 16_000)
    with pytest.raises(PolytalkError, match="chorus"):
        arrange([hour], 16_000, "chorus")
    with pytest.raises(PolytalkError, match="the whole arrangement lasts 3"):
        arrange([hour] * 3, 1000, "turns")


def test_the_mix_never_clips():
    tracks = arrange([Sound(tone(level=0.9), 16_000), Sound(tone(0.3, 44_100, level=0.9), 44_100), None], 44_100)
    mixed = mix(tracks)
    assert len(mixed) / 44_100 == pytest.approx(0.5, abs=1e-3)
    assert np.abs(mixed).max() <= 1
    quiet = np.stack([tone(), tone(pitch=300)]) / 4
    assert np.array_equal(mix(quiet), quiet.sum(axis=0))  # nothing is changed without need
