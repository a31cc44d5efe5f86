"""Colour: a decoded frame, in whatever layout, matrix, range and transfer, to bytes in sRGB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from gadkit.errors import DataError
from gadkit.video import hdr
from gadkit.video.draft import Draft, current
from gadkit.video.limits import check_size

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
_FLAGS = Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT
_EXACT = Interpolation.BILINEAR | _FLAGS
_SHRUNK = Interpolation.LANCZOS | _FLAGS


class Converter:
    """Makes the frames of one stream upright, square in their pixels and sRGB.

    What the tags of a frame ask for is worked out once and kept until they change.

    Args:
        path: The file, for messages.
        aspect: Width of a pixel by its height.
    """

    def __init__(self, path: Path, aspect: float) -> None:
        self._path = path
        self._aspect = aspect
        self._scaler = VideoReformatter()  # it keeps its tables between frames
        self._tags: tuple[Any, ...] = ()
        self._rotation: float | None = None
        self._turn: tuple[bool, bool, bool] | None = None

    def __call__(self, frame: Any) -> np.ndarray:
        """uint8 `(H, W, 3)`, or `(H, W, 4)` with straight alpha, of a decoded frame.

        Raises:
            DataError: The frame is too large, or its matrix is unknown.
        """
        # PyAV's side data keep a frame alive until the garbage collector runs, so they are read once, and again where
        # the angle, which costs nothing, says that they changed.
        if frame.rotation != self._rotation:
            self._rotation, self._turn = frame.rotation, _turn(frame)
        layout, turn, draft = frame.format, self._turn, current()
        tags = (
            layout.name, frame.width, frame.height, frame.colorspace, frame.color_trc, frame.color_primaries,
            frame.interlaced_frame, turn, draft,
        )  # fmt: skip
        if tags != self._tags:
            self._prepare(frame, layout)
            self._shrink(frame, draft, turned=turn is not None and turn[0])
            self._tags = tags
        if self._transfer is not None:
            array = self._high_range(frame)
        else:
            converted = self._scaler.reformat(frame, **self._wanted)
            array = _interleaved(converted) if self._planar else np.asarray(converted.to_ndarray())
            if self._wide:
                array = _opaque_part(array, hdr.wide_to_srgb(array[:, :, :3], self._primaries))
        return array if turn is None else _turned(array, *turn)

    def _prepare(self, frame: Any, layout: Any) -> None:
        self._alpha = layout.name == "pal8" or any(component.is_alpha for component in layout.components)
        self._width = max(1, round(frame.width * self._aspect))
        check_size(self._path, frame.height, self._width)
        self._matrix: int | None = None
        if not layout.is_rgb and layout.name != "pal8":
            self._matrix = self._known_matrix(frame)
        self._transfer = _TRANSFERS.get(int(frame.color_trc))
        self._primaries = int(frame.color_primaries)
        self._wide = self._transfer is None and self._primaries in hdr.WIDE
        # Planes are the same bytes as pixels, and libswscale makes them in half the time.
        self._planar = not self._alpha and self._matrix is not None
        self._wanted = {
            "width": self._width,
            "height": frame.height,
            "format": "rgba" if self._alpha else "gbrp" if self._planar else "rgb24",
            # libswscale's number for a matrix is H.273's but for the second name of BT.601.
            "src_colorspace": int(Colorspace.ITU601) if self._matrix == 6 else self._matrix,
            "dst_color_range": ColorRange.JPEG,
            "interpolation": _EXACT,
            "threads": 1,
        }

    def _shrink(self, frame: Any, draft: Draft | None, turned: bool) -> None:
        """Takes up the wish for a smaller size, but where it would change more than the size.

        Alpha is laid over a colour before anything is scaled, the fields of interlaced frames would be mixed, and RGB
        would lose half of its colours' detail.
        """
        if draft is None:
            return
        draft.source = None
        if self._alpha or self._matrix is None or frame.interlaced_frame:
            return
        size = frame.height, self._width
        small = draft.shrink(*(size[::-1] if turned else size))
        if small is None:
            return
        draft.source = size[::-1] if turned else size
        height, self._width = small[::-1] if turned else small
        self._wanted |= {"width": self._width, "height": height, "interpolation": _SHRUNK}

    def _known_matrix(self, frame: Any) -> int:
        matrix = int(frame.colorspace)
        if matrix in _UNSPECIFIED:
            return int(Colorspace.ITU709) if frame.height >= 720 else int(Colorspace.ITU601)
        if matrix not in _MATRICES:
            raise DataError(
                f"{self._path} has colour matrix {matrix} of ITU-T H.273, which is not supported; convert it to BT.709."
            )
        return matrix

    def _high_range(self, frame: Any) -> np.ndarray:
        """A PQ or HLG frame. The matrix is applied here, in floating point: libswscale is one level off."""
        assert self._transfer is not None
        if self._matrix is None:
            deep: Any = self._deep(frame, "rgba64le" if self._alpha else "rgb48le").to_ndarray()
            signal = deep[:, :, :3].astype(np.float32) / 65535
            opacity = deep[:, :, 3:]
        else:
            deep = self._deep(frame, "yuva444p16le" if self._alpha else "yuv444p16le")
            planes = [_plane16(plane, self._width) for plane in deep.planes]
            signal = _from_planes(planes[:3], self._matrix, full=int(frame.color_range) == ColorRange.JPEG)
            opacity = np.stack(planes[3:], axis=2) if self._alpha else np.empty(0)
        colour = hdr.to_srgb(signal, self._transfer, self._primaries)
        return np.concatenate([colour, (opacity >> 8).astype(np.uint8)], axis=2) if self._alpha else colour

    def _deep(self, frame: Any, layout: str) -> Any:
        size = {name: self._wanted[name] for name in ("width", "height", "interpolation")}
        return self._scaler.reformat(frame, format=layout, threads=1, **size)


def _interleaved(frame: Any) -> np.ndarray:
    """uint8 `(H, W, 3)` of a frame whose planes are green, blue and red."""
    height, width = frame.height, frame.width
    array = np.empty((height, width, 3), np.uint8)
    for channel, plane in zip((1, 2, 0), frame.planes, strict=True):
        array[:, :, channel] = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)[:, :width]
    return array


def _turn(frame: Any) -> tuple[bool, bool, bool] | None:
    """How a frame is laid upright: whether it is transposed, then flipped left to right and upside down.

    The display matrix (libavutil/display.h) sends the pixel (x, y) to (a x + c y, b x + d y), y pointing down; it is
    rounded to the nearest of the eight ways to lay a rectangle.
    """
    side = frame.side_data.get(SideData.DISPLAYMATRIX)
    if side is None:
        return None
    a, b, _, c, d = np.frombuffer(bytes(side), "<i4")[:5].tolist()
    return (True, c < 0, b < 0) if abs(b) + abs(c) > abs(a) + abs(d) else (False, a < 0, d < 0)


def _turned(array: np.ndarray, transposed: bool, flip_x: bool, flip_y: bool) -> np.ndarray:
    array = array.swapaxes(0, 1) if transposed else array
    return np.ascontiguousarray(array[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def _from_planes(planes: list[np.ndarray], matrix: int, *, full: bool) -> np.ndarray:
    """R'G'B' `(H, W, 3)`, float32, nominally in [0, 1], of 16-bit Y', C_B and C_R, by the definition of H.273."""
    black, luma, chroma = (0, 65535, 65535) if full else (4096, 219 * 256, 224 * 256)
    y, u, v = (plane.astype(np.float32) for plane in planes)
    y -= black
    y /= luma
    for difference in (u, v):
        difference -= 32768
        difference /= chroma
    k_r, k_b = _MATRICES[matrix]
    signal = np.empty((*y.shape, 3), np.float32)
    signal[:, :, 0] = y + np.float32(2 * (1 - k_r)) * v
    signal[:, :, 2] = y + np.float32(2 * (1 - k_b)) * u
    scale = 1 / (1 - k_r - k_b)
    signal[:, :, 1] = (
        y * np.float32(scale) - np.float32(k_r * scale) * signal[:, :, 0] - np.float32(k_b * scale) * signal[:, :, 2]
    )
    return signal


def _plane16(plane: Any, width: int) -> np.ndarray:
    """One plane of 16-bit samples, `(H, W)`, without the padding of its lines."""
    return np.frombuffer(plane, "<u2").reshape(plane.height, plane.line_size // 2)[:, :width]


def _opaque_part(array: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """`array` with its first three channels replaced."""
    return np.concatenate([colour, array[:, :, 3:]], axis=2) if array.shape[2] == 4 else colour
