"""Frames and sound to MP4 files and back, by PyAV."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from polytalk.errors import PolytalkError
from polytalk.media.audio import resample
from polytalk.media.output import check_target, replace_when_done, write_error
from polytalk.units import FPS

GENERATED = "AI-generated with Polytalk"
"""Written to the file's metadata (comment and description), so that nobody takes it for a recording."""
PLAYLIST = ".m3u8"
"""Ending of a video that is written as HLS: a playlist, and pieces of a second beside it."""
_PIECE_SECONDS = 1
_AAC_RATES = (32_000, 44_100, 48_000, 88_200, 96_000)
_BT709 = 1


def check_video_name(path: Path) -> None:
    """Refuse a name that is no video's.

    Raises:
        PolytalkError: another ending than .mp4 and .m3u8.
    """
    if path.suffix.lower() not in (".mp4", PLAYLIST):
        raise PolytalkError(str(path), "the ending is not .mp4", "Name the video like talk.mp4, or talk.m3u8.")


class VideoWriter:
    """Writes H.264 (yuv420p, BT.709) and AAC to an MP4 whose index comes first, frame by frame.

    The file takes its name when the writer closes without an error; until then, and after an error or Ctrl-C, there
    is none. Sides of odd length get one more row or column, a copy of the last. The sound is cut, or filled with
    silence, to the length of the frames.

    A live video is there from the start, grows by a second at a time and can be watched meanwhile: as a fragmented MP4,
    or, if its name ends in .m3u8, as HLS (version 7, fragmented MP4 pieces beside the playlist). After an error it
    stays as far as it got. It is somewhat larger, since the encoder may not look ahead.

    Example:
        with VideoWriter("talk.mp4", 25, audio, 16_000) as writer:
            for frame in frames:
                writer.write(frame)

    Args:
        path: where to; must end in .mp4, or in .m3u8 for a live video.
        fps: frames a second.
        audio: float (samples,) in ±1, or None for a silent film.
        sample_rate: Hz of `audio`. Rates that MP4 players do not expect become 44.1 or 48 kHz.
        force: overwrite an existing file.
        comment: metadata.
        crf: H.264 quality, 0 (exact) to 51.
        live: write so that the video can be watched while it grows; always so for .m3u8.

    Raises:
        PolytalkError: on entering: the file exists, the folder is missing or not writable; on writing: frames
            differ in size; on closing: no frame was written, the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float = FPS,
        audio: np.ndarray | None = None,
        sample_rate: int | None = None,
        *,
        force: bool = False,
        comment: str = GENERATED,
        crf: int = 17,
        live: bool = False,
    ) -> None:
        self.path, self.force, self.crf, self.comment = Path(path), force, crf, comment
        self.fps = Fraction(fps).limit_denominator(1001)
        check_video_name(self.path)
        self.live = live or self.path.suffix.lower() == PLAYLIST
        if self.fps <= 0:
            raise PolytalkError("fps", f"it is {fps}", "Use a positive number, e.g. 25.")
        self._samples, self._rate = _for_aac(audio, sample_rate)
        self._stack = ExitStack()
        self._size: tuple[int, int] | None = None
        self.frames_written = 0

    def __enter__(self) -> VideoWriter:
        with ExitStack() as stack:
            self._container = self._open(stack)
            self._container.metadata.update(comment=self.comment, description=self.comment)
            options = {"crf": str(self.crf)}
            if self.live:
                # a keyframe a second for the pieces to begin with, and each frame out as soon as it is in
                options |= {"tune": "zerolatency", "sc_threshold": "0"}
            self._video = self._container.add_stream("libx264", rate=self.fps, options=options)
            if self.live:
                self._video.codec_context.gop_size = max(1, round(_PIECE_SECONDS * self.fps))
            self._audio = None
            if self._samples is not None:
                self._audio = self._container.add_stream("aac", rate=self._rate, layout="mono")
                self._audio.bit_rate = 128_000
            self._samples_written = 0
            self._stack = stack.pop_all()
        return self

    def _open(self, stack: ExitStack) -> av.container.OutputContainer:
        """The file or files, closed by the stack."""
        if not self.live:
            temporary = stack.enter_context(replace_when_done(self.path, force=self.force))
            options = {"movflags": "+faststart"}
            return stack.enter_context(av.open(str(temporary), "w", format="mp4", options=options))
        check_target(self.path, force=self.force)
        path = self.path.absolute()
        if path.suffix.lower() == PLAYLIST:
            for piece in live_pieces(path):
                piece.unlink(missing_ok=True)
            form, options = "hls", _hls_options(path)
        else:
            form = "mp4"
            options = {
                "movflags": "frag_keyframe+empty_moov+default_base_moof",
                "frag_duration": str(round(_PIECE_SECONDS * 1e6)),
                "flush_packets": "1",
            }
        try:
            return stack.enter_context(av.open(str(path), "w", format=form, options=options))
        except (av.FFmpegError, OSError) as error:
            raise _as_user_error(self.path, error) from error

    def write(self, frame: np.ndarray) -> None:
        """Append one frame, uint8 (height, width, 3); all of one size."""
        frame = np.asarray(frame)
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            problem = f"it is {frame.dtype} of shape {frame.shape}"
            raise PolytalkError("frame", problem, "Use uint8 (height, width, 3).")
        if self._size is None:
            self._begin(*frame.shape[:2])
        if frame.shape[:2] != self._size:
            problem = f"this one is {frame.shape[:2]}, the first was {self._size}"
            raise PolytalkError("frame", problem, "Use frames of one size.")
        even = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        picture.pts, picture.time_base = self.frames_written, 1 / self.fps
        self._mux(self._video, picture)
        self.frames_written += 1
        self._write_sound()

    def _begin(self, height: int, width: int) -> None:
        self._size = (height, width)
        codec = self._video.codec_context
        codec.height, codec.width, codec.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
        codec.color_primaries = codec.color_trc = codec.colorspace = _BT709
        codec.color_range = ColorRange.MPEG

    def _write_sound(self) -> None:
        """Keep the sound beside the picture in the file: send what belongs to the frames so far."""
        if self._audio is None or self._samples is None:
            return
        end = round(self.frames_written / self.fps * self._rate)
        part = self._samples[self._samples_written : end]
        part = np.pad(part, (0, end - self._samples_written - len(part)))
        chunk = av.AudioFrame.from_ndarray(np.ascontiguousarray(part[None]), format="fltp", layout="mono")
        chunk.sample_rate, chunk.pts, chunk.time_base = self._rate, self._samples_written, Fraction(1, self._rate)
        self._mux(self._audio, chunk)
        self._samples_written = end

    def _mux(self, stream: Any, frame: av.VideoFrame | av.AudioFrame | None) -> None:
        """Encode a frame of a stream, None for what it holds back, and write what comes of it."""
        try:
            for packet in stream.encode(frame):
                self._container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            raise _as_user_error(self.path, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self.frames_written:
            value = PolytalkError("frames", "there is none", "A video needs at least one frame.")
            self._abandon(value)
            if self.live:
                self.path.unlink(missing_ok=True)
            raise value
        try:
            if kind is None:
                self._mux(self._video, None)
                if self._audio is not None:
                    self._mux(self._audio, None)
                self._stack.close()
        except (av.FFmpegError, OSError) as error:
            raise _as_user_error(self.path, error) from error
        except BaseException as error:
            self._abandon(error)
            raise
        if value is not None:
            self._abandon(value)

    def _abandon(self, error: BaseException) -> None:
        """Unwind so that the temporary file goes."""
        try:
            self._stack.__exit__(type(error), error, error.__traceback__)
        except (av.FFmpegError, OSError, PolytalkError):
            return  # The first error is the one to report; closing a broken file adds nothing.
        except BaseException as raised:
            if raised is not error:
                raise


def live_pieces(playlist: Path) -> list[Path]:
    """The files that lie beside a playlist and belong to it, as far as they are there."""
    stem = glob.escape(playlist.stem)
    return sorted([*playlist.parent.glob(f"{stem}_init.mp4"), *playlist.parent.glob(f"{stem}_[0-9]*.m4s")])


def _hls_options(playlist: Path) -> dict[str, str]:
    """FFmpeg's, for a list that only grows and pieces that appear when they are whole."""
    stem = playlist.stem.replace("%", "%%")
    return {
        "hls_time": str(_PIECE_SECONDS),
        "hls_list_size": "0",
        "hls_playlist_type": "event",
        "hls_flags": "independent_segments+temp_file",
        "hls_segment_type": "fmp4",
        "hls_fmp4_init_filename": f"{playlist.stem}_init.mp4",
        "hls_segment_filename": str(playlist.parent).replace("%", "%%") + f"/{stem}_%05d.m4s",
    }


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float = FPS,
    audio: np.ndarray | None = None,
    sample_rate: int | None = None,
    *,
    force: bool = False,
    comment: str = GENERATED,
    crf: int = 17,
) -> None:
    """Write all of `frames`, uint8 (height, width, 3) each, with their sound; see `VideoWriter`."""
    with VideoWriter(path, fps, audio, sample_rate, force=force, comment=comment, crf=crf) as writer:
        for frame in frames:
            writer.write(frame)


def read_video(path: str | Path, max_frames: int | None = None) -> tuple[np.ndarray, float]:
    """Decode a video: frames uint8 (T, height, width, 3), and frames a second.

    Raises:
        PolytalkError: missing, damaged or without pictures.
    """
    path = Path(path)
    if not path.is_file():
        raise PolytalkError("video", f"there is no file {path}", "Name a video file.")
    frames = []
    try:
        with av.open(str(path.absolute()), options={"protocol_whitelist": "file"}) as container:
            if not container.streams.video:
                raise PolytalkError("video", f"{path} contains no pictures", "Use a video file.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            fps = float(stream.average_rate or stream.guessed_rate or FPS)
            for frame in container.decode(stream):
                frames.append(frame.to_ndarray(format="rgb24"))
                if max_frames is not None and len(frames) >= max_frames:
                    break
    except (av.FFmpegError, OSError) as error:
        raise PolytalkError("video", f"{path} cannot be decoded ({error.strerror})", "Use a video file.") from None
    if not frames:
        raise PolytalkError("video", f"{path} contains no pictures", "Use a video file.")
    return np.stack(frames), fps


def _for_aac(audio: np.ndarray | None, sample_rate: int | None) -> tuple[np.ndarray | None, int]:
    if audio is None:
        return None, 0
    samples = np.asarray(audio, np.float32)
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise PolytalkError("audio", "it is not one channel of numbers", "Use finite samples of shape (n,).")
    if not sample_rate:
        raise PolytalkError("sample_rate", "it is missing", "Give the sound's rate in Hz.")
    rate = int(sample_rate)
    if rate not in _AAC_RATES:
        rate = 44_100 if 44_100 % rate == 0 or rate % 44_100 == 0 else 48_000
    return resample(samples, int(sample_rate), rate), rate


def _as_user_error(path: Path, error: Exception) -> PolytalkError:
    if isinstance(error, OSError):
        return write_error(path, error)
    return PolytalkError(str(path), f"encoding failed ({error})", "Report this with the command that led to it.")
