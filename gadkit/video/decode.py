"""Decoding: a video file to upright frames in sRGB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from gadkit.errors import DataError
from gadkit.interfaces.dataset import Footage
from gadkit.video import hdr, stills

#: Frame rate in Hz of a file that tells none.
DEFAULT_FPS = 25.0

# AVColorSpace of ITU-T H.273 that the conversion knows, with K_R and K_B. 2 and 3 are "unspecified" and "reserved".
_MATRICES = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
_UNSPECIFIED = (0, 2, 3)
_TRANSFERS = {16: "pq", 18: "hlg"}
# The quick conversion of libswscale is 1 to 2 levels too dark on average for 4:2:0; these flags cost a few
# milliseconds for a large frame, are exact to the rounding, and give the same bytes on every processor.
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_LARGE = 1280 * 720


def open_video(path: Path) -> Footage:
    """Opens a video file: anything that libav decodes, and animated WebP.

    Frames are upright (the display matrix is applied), in square pixels, in sRGB: matrix and range are the stream's,
    BT.709 from 720 lines on and BT.601 below where it names none, HDR is tone-mapped (`gadkit.video.hdr`). Alpha is
    kept. Frames come one by one, so memory does not grow with the length; sound is left out.

    Args:
        path: The file.

    Raises:
        DataError: The file cannot be opened or holds no video. Reading the frames raises it where the file is damaged
            or ends before its declared end.
    """
    if path.suffix.lower() == ".webp":
        return stills.open_webp(path)
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be opened as a video: {_reason(error)}; repair or remove the file.") from error
    pictures = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not pictures:
        container.close()
        raise DataError(f"{path} holds no video stream; remove the file.")
    stream = pictures[0]
    if stream.codec_context is None:
        container.close()
        raise DataError(f"{path} is in a format without a decoder here; convert it, to H.264 for example.")
    return Footage(fps=_frame_rate(stream), frames=_frames(container, stream, path))


def _frames(container: Any, stream: Any, path: Path) -> Iterator[np.ndarray]:
    """The frames of `stream`, converted; closes `container`."""
    count = 0
    aspect = float(stream.sample_aspect_ratio or 1)
    aspect = aspect if 1 / 8 < aspect < 8 else 1.0
    scaler = VideoReformatter()  # it keeps its tables between frames
    try:
        with container:
            for frame in _decoded(container, stream, path):
                if frame.is_corrupt:
                    raise DataError(f"{path} is damaged at frame {count}; repair or remove the file.")
                yield _upright(_convert(scaler, frame, aspect, path), frame)
                count += 1
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DataError(
            f"{path} is damaged or ends early: {_reason(error)} after {count} frames; repair or remove the file."
        ) from error
    if count == 0:
        raise DataError(f"{path} holds a video stream without frames; remove the file.")


def _decoded(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Decodes, and raises `DataError` where the file ends before what its header declares."""
    context = _decoder(stream)
    # Threads within a file pay for large pictures; files are decoded side by side as well.
    context.thread_type = "AUTO"
    context.thread_count = 0 if stream.width * stream.height >= _LARGE else 1
    matroska = "matroska" in container.format.name
    packets, end = 0, 0.0
    # Matroska declares its length for all streams together, so the end of every one counts.
    for packet in container.demux() if matroska else container.demux(stream):
        if packet.size == 0:
            continue
        if packet.pts is not None and packet.time_base:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream.index != stream.index:
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


def _convert(scaler: VideoReformatter, frame: Any, aspect: float, path: Path) -> np.ndarray:
    """uint8 `(H, W, 3)` or `(H, W, 4)` of a decoded frame, as it is stored, with square pixels."""
    layout = frame.format
    alpha = layout.name == "pal8" or any(component.is_alpha for component in layout.components)
    width = max(1, round(frame.width * aspect))
    matrix = None
    if not layout.is_rgb and layout.name != "pal8":
        matrix = int(frame.colorspace)
        if matrix in _UNSPECIFIED:
            matrix = int(Colorspace.ITU709) if frame.height >= 720 else int(Colorspace.ITU601)
        elif matrix not in _MATRICES:
            raise DataError(
                f"{path} has colour matrix {matrix} of ITU-T H.273, which is not supported; convert it to BT.709."
            )
    transfer = _TRANSFERS.get(int(frame.color_trc))
    if transfer is not None:
        return _from_hdr(scaler, frame, width, matrix, alpha, transfer)
    converted = scaler.reformat(
        frame,
        width=width,
        format="rgba" if alpha else "rgb24",
        src_colorspace=None if matrix is None else _swscale(matrix),
        dst_color_range=ColorRange.JPEG,
        interpolation=_EXACT,
        threads=1,
    )
    return np.asarray(converted.to_ndarray())


def _from_hdr(
    scaler: VideoReformatter, frame: Any, width: int, matrix: int | None, alpha: bool, transfer: str
) -> np.ndarray:
    """A PQ or HLG frame in sRGB. The matrix is applied here, in floating point: libswscale is one level off."""
    if matrix is None:
        layout = "rgba64le" if alpha else "rgb48le"
        deep: Any = scaler.reformat(frame, width=width, format=layout, interpolation=_EXACT, threads=1).to_ndarray()
        signal = deep[:, :, :3].astype(np.float32) / 65535
        opacity = deep[:, :, 3:]
    else:
        layout = "yuva444p16le" if alpha else "yuv444p16le"
        deep = scaler.reformat(frame, width=width, format=layout, interpolation=_EXACT, threads=1)
        planes = [_plane16(plane, width) for plane in deep.planes]
        samples: list[np.ndarray] = [plane.astype(np.float32) for plane in planes[:3]]
        y, u, v = samples
        if int(frame.color_range) == ColorRange.JPEG:
            y, u, v = y / 65535, (u - 32768) / 65535, (v - 32768) / 65535
        else:
            y, u, v = (y - 4096) / (219 * 256), (u - 32768) / (224 * 256), (v - 32768) / (224 * 256)
        k_r, k_b = _MATRICES[matrix]
        red, blue = y + 2 * (1 - k_r) * v, y + 2 * (1 - k_b) * u
        signal = np.stack([red, (y - k_r * red - k_b * blue) / (1 - k_r - k_b), blue], axis=2)
        opacity = np.stack(planes[3:], axis=2) if alpha else np.empty(0)
    colour = hdr.to_srgb(signal, transfer)
    return np.concatenate([colour, (opacity >> 8).astype(np.uint8)], axis=2) if alpha else colour


def _plane16(plane: Any, width: int) -> np.ndarray:
    """One plane of 16-bit samples, `(H, W)`, without the padding of its lines."""
    return np.frombuffer(plane, "<u2").reshape(plane.height, plane.line_size // 2)[:, :width]


def _swscale(matrix: int) -> int:
    """libswscale's number for a matrix of H.273: the two agree but for the second name of BT.601."""
    return int(Colorspace.ITU601) if matrix == 6 else matrix


def _upright(array: np.ndarray, frame: Any) -> np.ndarray:
    """Applies the display matrix, rounded to the nearest of the eight ways to lay a rectangle.

    The matrix (libavutil/display.h) sends the pixel (x, y) to (a x + c y, b x + d y), y pointing down.
    """
    side = frame.side_data.get(SideData.DISPLAYMATRIX)
    if side is None:
        return array
    a, b, _, c, d = np.frombuffer(bytes(side), "<i4")[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        array, flip_x, flip_y = array.swapaxes(0, 1), c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    return np.ascontiguousarray(array[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


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
