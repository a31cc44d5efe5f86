"""Encoding: frames to a video file, in constant memory where the format can be written so."""

from __future__ import annotations

import contextlib
import itertools
import math
import uuid
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from einops import rearrange
from numpy.typing import ArrayLike
from PIL import Image

from gadkit.errors import ConfigError, DataError, RunError

#: The most frames of the formats that are held in memory: the other formats have no limit.
WEBP_FRAMES = 1000
STRIP_FRAMES = 256
#: GIF counts in hundredths of a second, and players take less than two for ten.
GIF_FPS = 50.0

_UNLIMITED = ".mp4, .webm and .gif"
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INP

Frames = Iterable[np.ndarray]


def write_video(
    path: Path | str, frames: ArrayLike | Iterable[ArrayLike], fps: float, *, length: int | None = None
) -> None:
    """Writes a video; the ending says as what.

    `.mp4` (H.264, nearly lossless but for the halved colour resolution; an odd size gains a line or a column that
    repeats the last), `.webm` (VP9, likewise), `.gif` (256 colours a frame), `.webp` (animated) and `.png` (the
    frames side by side, left to right). MP4, WebM and GIF are written as the frames come, in constant memory. The
    file appears when it is whole, replacing an older one; a failure leaves nothing behind.

    Args:
        path: The file.
        frames: uint8 chunks `(n, H, W, C)`, C 3 for sRGB or 1 for grey, tensors on any device or arrays; or one such.
        fps: Frame rate in Hz.
        length: How many frames there will be, where it is known: what is too long is refused before it is made.

    Raises:
        ConfigError: The ending is unknown, or the frame rate is out of range.
        DataError: There are no frames, more than the format's limit, or frames of the wrong shape or type.
        RunError: The file cannot be written.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in _WRITERS:
        raise ConfigError(f"{path}: the ending {ending!r} is unknown; use one of {', '.join(_WRITERS)}.")
    if not (math.isfinite(fps) and 0 < fps <= 1000):
        raise ConfigError(f"fps is {fps}; it must lie in (0, 1000].")
    if ending == ".gif" and fps > GIF_FPS:
        raise ConfigError(
            f"{path}: GIF plays at most {GIF_FPS:g} frames a second, not {fps:g}; use .mp4, .webm or .webp."
        )
    write, limit = _WRITERS[ending]
    if length is not None:
        _check_length(path, length, limit)
    if not path.parent.is_dir():
        raise RunError(f"{path} cannot be written: there is no folder {path.parent}; make it first.")
    # The temporary file keeps the ending, by which the format is chosen.
    with _replaced(path) as temporary:
        write(temporary, _limited(path, _single(path, frames), limit), Fraction(fps).limit_denominator(1001))


def tile(videos: ArrayLike, columns: int | None = None) -> np.ndarray:
    """Lays videos side by side, row by row, in a grid that is nearly square; what stays empty is black.

    Args:
        videos: uint8 `(V, n, H, W, C)`, a tensor on any device or an array.
        columns: How many stand in a row; by default the square root of V, rounded up.

    Returns:
        uint8 `(n, rows * H, columns * W, C)`.
    """
    array = _array(videos)
    count, n, height, width, channels = array.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    full = np.zeros((rows * columns, n, height, width, channels), np.uint8)
    full[:count] = array
    return rearrange(full, "(row column) n h w c -> n (row h) (column w) c", row=rows)


def write_strip(path: Path | str, frames: ArrayLike | Iterable[ArrayLike]) -> None:
    """Writes the frames side by side as one PNG: `write_video` without a frame rate.

    Args:
        path: The file; ends in `.png`.
        frames: As for `write_video`.

    Raises:
        ConfigError: The ending is another.
    """
    if Path(path).suffix.lower() != ".png":
        raise ConfigError(f"{path}: a strip of frames is written as .png; change the ending.")
    write_video(path, frames, 1.0)


# --- frames ----------------------------------------------------------------------------------------------------------


def _array(values: Any) -> np.ndarray:
    """A tensor on any device, or an array, as an array."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _single(path: Path, frames: Any) -> Iterator[np.ndarray]:
    """Frame by frame: uint8 `(H, W, 3)`, contiguous, all of one size."""
    size = None
    for chunk in [frames] if hasattr(frames, "shape") else frames:
        array = _array(chunk)
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] not in (1, 3):
            raise DataError(
                f"{path}: frames come as uint8 (n, H, W, C) with C 3 or 1, but {array.dtype} {array.shape} came; "
                "convert them with gadkit.video.pixels.to_uint8 and move the channels last."
            )
        size = size or array.shape[1:3]
        if array.shape[1:3] != size:
            raise DataError(
                f"{path}: the first frame is {size[0]}×{size[1]}, a later one {array.shape[1]}×{array.shape[2]}."
            )
        for frame in array:
            yield np.ascontiguousarray(frame if frame.shape[2] == 3 else np.repeat(frame, 3, axis=2))


def _limited(path: Path, frames: Frames, limit: int | None) -> Iterator[np.ndarray]:
    """Passes frames on; raises where there are none, or too many."""
    count = 0
    for count, frame in enumerate(frames, 1):
        _check_length(path, count, limit)
        yield frame
    _check_length(path, count, limit)


def _check_length(path: Path, length: int, limit: int | None) -> None:
    if length < 1:
        raise DataError(f"{path}: there are no frames to write.")
    if limit is not None and length > limit:
        raise DataError(
            f"{path}: {path.suffix.lower()} is limited to {limit} frames, and there are {length} or more; "
            f"{_UNLIMITED} have no limit."
        )


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place at the end, or is removed after a failure."""
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{path.suffix.lower()}")
    try:
        yield temporary
        temporary.replace(path)
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(
            f"{path} cannot be written: {reason}; check the free space and the rights of its folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


# --- formats ---------------------------------------------------------------------------------------------------------


def _write_mp4(path: Path, frames: Frames, rate: Fraction) -> None:
    _encode(path, frames, rate, "libx264", {"crf": "12", "preset": "medium"}, {"movflags": "+faststart"})


def _write_webm(path: Path, frames: Frames, rate: Fraction) -> None:
    _encode(
        path,
        frames,
        rate,
        "libvpx-vp9",
        {"crf": "15", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
        {},
    )


def _encode(
    path: Path, frames: Frames, rate: Fraction, codec: str, options: dict[str, str], container_options: dict[str, str]
) -> None:
    """4:2:0 video, limited range, BT.709, and tagged so."""
    frames = iter(frames)
    first = next(frames)
    pad = [(0, first.shape[0] % 2), (0, first.shape[1] % 2), (0, 0)]
    scaler = VideoReformatter()
    # Without random identifiers and times of writing.
    with av.open(str(path), "w", options={"fflags": "+bitexact", **container_options}) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = (size + extra for size, (_, extra) in zip(first.shape, pad[:2], strict=False))
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace = Colorspace.ITU709
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        for number, frame in enumerate(itertools.chain([first], frames)):
            even = np.pad(frame, pad, mode="edge") if pad[0][1] or pad[1][1] else frame
            picture = scaler.reformat(
                av.VideoFrame.from_ndarray(even, format="rgb24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                interpolation=_EXACT,
                threads=1,
            )
            picture.pts = number
            picture.time_base = 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _write_gif(path: Path, frames: Frames, rate: Fraction) -> None:
    """Every frame with the best 256 colours of its own; repeated frames are kept."""
    frames = iter(frames)
    first = next(frames)
    with av.open(str(path), "w", format="gif") as container:
        stream: Any = container.add_stream("gif", rate=rate)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "pal8"
        for number, frame in enumerate(itertools.chain([first], frames)):
            reduced = Image.fromarray(frame).quantize(256, method=Image.Quantize.MEDIANCUT)
            colours = np.array(reduced.getpalette("RGB"), np.uint8).reshape(-1, 3)
            palette = np.full((256, 4), 255, np.uint8)  # alpha first
            palette[: len(colours), 1:] = colours
            pair: Any = (np.array(reduced), palette)
            picture = av.VideoFrame.from_ndarray(pair, format="pal8")
            picture.pts = number
            picture.time_base = 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _write_webp(path: Path, frames: Frames, rate: Fraction) -> None:
    """Quality 90; equal frames in a row are joined by the encoder. Times are whole milliseconds that do not drift."""
    images = [Image.fromarray(frame) for frame in frames]
    ends = [round(1000 * number / rate) for number in range(len(images) + 1)]
    durations = [end - start for start, end in itertools.pairwise(ends)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, quality=90, method=4)


def _write_strip(path: Path, frames: Frames, rate: Fraction) -> None:
    Image.fromarray(np.concatenate(list(frames), axis=1)).save(path)


_WRITERS: dict[str, tuple[Callable[[Path, Frames, Fraction], None], int | None]] = {
    ".mp4": (_write_mp4, None),
    ".webm": (_write_webm, None),
    ".gif": (_write_gif, None),
    ".webp": (_write_webp, WEBP_FRAMES),
    ".png": (_write_strip, STRIP_FRAMES),
}
