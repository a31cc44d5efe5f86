"""Decoding: a video file to upright frames in sRGB."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from gadkit.errors import DataError
from gadkit.interfaces.dataset import Footage
from gadkit.video import stills
from gadkit.video.colour import Converter
from gadkit.video.limits import MAX_PIXELS, check_size

#: Frame rate in Hz of a file that tells none.
DEFAULT_FPS = 25.0

# Formats that name other files or devices, and those that draw any text as a picture.
# fmt: off
_REFUSED_FORMATS = frozenset(
    [
        "adf", "alsa", "applehttp", "avisynth", "bin", "concat", "dash", "data", "fbdev", "hls", "idf", "image2",
        "image2pipe", "imf", "kmsgrab", "lavfi", "oss", "rtp", "rtsp", "sap", "sdp", "tedcaptions", "tty",
        "video4linux2,v4l2", "vobsub", "webm_dash_manifest", "x11grab", "xbin",
    ]
)
# fmt: on
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_LARGE = 1280 * 720


def open_video(path: Path, file: BinaryIO | None = None) -> Footage:
    """Opens a video file: anything that libav decodes, and GIF, animated WebP and animated PNG
    (`gadkit.video.stills`).

    Frames are upright (the display matrix is applied), in square pixels, in sRGB: matrix and range are the stream's,
    BT.709 from 720 lines on and BT.601 below where it names none, HDR is tone-mapped (`gadkit.video.hdr`). Alpha is
    kept. Frames come one by one, so memory does not grow with the length; sound is left out.

    Every frame has the time in seconds at which it is presented, as the file tells it: the first may be later than 0.
    A frame without a time, or whose time does not rise, comes `1 / fps` after the one before.

    Args:
        path: The file.
        file: An open binary file that can seek, which is read in place of `path`; `path` then only names it. It stays
            open.

    Returns:
        Its frames, decoded as they are asked for.

    Raises:
        DataError: The file cannot be opened or holds no video. Reading the frames raises it where the file is damaged
            or ends before its declared end.
    """
    if file is None and path.exists() and not path.is_file():
        raise DataError(f"{path} is no file; expected a video file.")
    if stills.is_animation(path, file):
        return stills.open_animation(path, file)
    try:
        # "file:" keeps a colon in a name from being read as a protocol's.
        container = av.open(file if file is not None else f"file:{path}", options=_options())
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be opened as a video: {_reason(error)}; repair or remove the file.") from error
    try:
        stream = _video_stream(container, path)
    except DataError:
        container.close()
        raise
    return Footage(fps=_frame_rate(stream), timed=_frames(container, stream, path))


@cache
def _options() -> dict[str, str]:
    """What libav is told: to open nothing but the file itself, and to refuse a size before memory is taken for it."""
    return {
        "format_whitelist": ",".join(sorted(av.formats_available - _REFUSED_FORMATS)),
        "protocol_whitelist": "file",
        "max_pixels": str(MAX_PIXELS),
    }


def _video_stream(container: Any, path: Path) -> Any:
    """The first stream of moving pictures with a decoder; covers of music, sound and data are passed over."""
    pictures = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not pictures:
        raise DataError(f"{path} holds no video stream; remove the file.")
    stream = next((stream for stream in pictures if stream.codec_context is not None), None)
    if stream is None:
        raise DataError(f"{path} is in a format without a decoder here; convert it, to H.264 for example.")
    check_size(path, stream.height, stream.width)
    if container.format.name.endswith("_pipe"):
        raise DataError(f"{path} is a still image; remove it, or put the frames of a video in a folder of their own.")
    return stream


def _frames(container: Any, stream: Any, path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """The times and frames of `stream`, converted; closes `container`."""
    count, time, period = 0, -math.inf, 1 / _frame_rate(stream)
    base = stream.time_base  # frames that come when the decoder is emptied know no other
    tick, ticks = base.numerator, base.denominator
    aspect = float(stream.sample_aspect_ratio or 1)
    convert = Converter(path, aspect if 1 / 8 < aspect < 8 else 1.0)
    try:
        with container:
            for frame in _decoded(container, stream, path):
                if frame.is_corrupt:
                    raise DataError(f"{path} is damaged at frame {count}; repair or remove the file.")
                told = -math.inf if frame.pts is None else frame.pts * tick / ticks
                if told <= time:
                    told = time + period if count else 0.0
                time = told
                yield time, convert(frame)
                count += 1
    except (av.FFmpegError, OSError, ValueError) as error:
        if count == 0 and not stream.width:  # libav forgets a size that it refused
            raise DataError(
                f"{path} has no frame size that can be used; expected frames of 1 to {MAX_PIXELS:,} pixels; repair or "
                "remove the file."
            ) from error
        raise DataError(
            f"{path} is damaged or ends early: {_reason(error)} after {count} frames; repair or remove the file."
        ) from error
    if count == 0:
        raise DataError(f"{path} holds a video stream without frames; remove the file.")


def _decoded(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Decodes, and raises `DataError` where the file ends before what its header declares."""
    context = _decoder(stream)
    # Threads within a file pay for large pictures; files are decoded side by side as well.
    context.options = {"max_pixels": str(MAX_PIXELS)}
    context.thread_type = "AUTO"
    context.thread_count = 0 if stream.width * stream.height >= _LARGE else 1
    matroska = "matroska" in container.format.name
    packets, end = 0, 0.0
    # Matroska declares its length for all streams together, so the end of every one counts.
    for packet in container.demux() if matroska else container.demux(stream):
        if packet.size == 0:
            continue
        if matroska and packet.pts is not None and packet.time_base:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if matroska and packet.stream.index != stream.index:
            continue
        if packet.is_corrupt:
            raise DataError(f"{path} ends in the middle of frame {packets}; repair or remove the file.")
        packets += 1
        yield from context.decode(packet)
    yield from context.decode(None)
    if "mp4" in container.format.name and packets < stream.frames:
        raise DataError(f"{path} ends after {packets} of its {stream.frames} frames; repair or remove the file.")
    if matroska and container.duration:
        declared = container.duration / av.time_base
        if end < declared - min(0.5, max(0.1 * declared, 3 / _frame_rate(stream))):
            raise DataError(f"{path} ends after {end:.2f} of its {declared:.2f} s; repair or remove the file.")


def _decoder(stream: Any) -> Any:
    """The stream's decoder, or libvpx's where VP8 or VP9 has alpha, which libav's own decoders leave out."""
    name = _ALPHA_DECODERS.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return stream.codec_context
    try:
        return av.CodecContext.create(name, "r")
    except av.FFmpegError:
        return stream.codec_context


def _frame_rate(stream: Any) -> float:
    """The stream's average frame rate in Hz, or the first sane guess."""
    guesses: Iterable[Fraction | None] = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    return next((float(rate) for rate in guesses if rate and Fraction(1, 10) <= rate <= 1000), DEFAULT_FPS)


def _is_cover(stream: Any) -> bool:
    """Whether a stream is the cover picture of a piece of music."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _reason(error: Exception) -> str:
    """libav's words for an error, without the number and the function."""
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".")
