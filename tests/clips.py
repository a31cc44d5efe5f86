"""Small videos for tests, written with PyAV so that every pixel, tag and matrix is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

#: K_R and K_B of the matrices of ITU-T H.273.
MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}

#: Codecs that lose nothing: what `encode` takes for them.
LOSSLESS = {
    "x264": {"codec": "libx264rgb", "pix_fmt": "rgb24", "options": {"qp": "0"}},
    "ffv1": {"codec": "ffv1", "pix_fmt": "bgr0"},
}


def moving(count: int = 12, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Frames `(T, H, W, 3)` of smooth colours that move, no two alike."""
    y, x = np.mgrid[:height, :width] / 32
    frames = []
    for t in range(count):
        waves = [np.sin(2 * x + 0.37 * t + seed), np.cos(2 * y - 0.23 * t), np.sin(x + y + 0.61 * t)]
        frames.append(np.stack(waves, axis=2) * 0.5 + 0.5)
    return np.round(255 * np.stack(frames)).astype(np.uint8)


def encode(
    path: Path,
    frames: Any,
    *,
    codec: str = "libx264rgb",
    pix_fmt: str = "rgb24",
    options: dict[str, str] | None = None,
    rate: Any = 25,
    container: dict[str, str] | None = None,
    rotation: tuple[int, bool, bool] | None = None,
    aspect: Any = None,
    tags: dict[str, int] | None = None,
) -> Path:
    """Writes frames: arrays, converted by libswscale, or `av.VideoFrame`s, written as they are."""
    frames = list(frames)
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=rate, options={"qp": "0"} if options is None else options)
        stream.pix_fmt = pix_fmt
        first = frames[0]
        stream.height, stream.width = (
            (first.height, first.width) if isinstance(first, av.VideoFrame) else first.shape[:2]
        )
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(*rotation)
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        for frame in frames:
            if not isinstance(frame, av.VideoFrame):
                frame = av.VideoFrame.from_ndarray(frame, format="rgba" if frame.shape[2] == 4 else "rgb24")
                frame = frame.reformat(format=pix_fmt)
            for name, value in (tags or {}).items():
                setattr(frame, name, value)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def picture(planes: list[np.ndarray], pix_fmt: str) -> av.VideoFrame:
    """A frame whose planes hold these samples, uint8 or uint16."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, samples in zip(frame.planes, planes, strict=True):
        lines = np.zeros((plane.height, plane.line_size // samples.itemsize), samples.dtype)
        lines[:, : samples.shape[1]] = samples
        plane.update(lines.tobytes())
    return frame


def to_yuv(rgb: np.ndarray, matrix: int, full: bool, bits: int = 8) -> list[np.ndarray]:
    """Y', C_B, C_R samples of R'G'B' in [0, 1], `(H, W, 3)`, by the definition of H.273."""
    k_r, k_b = MATRICES[matrix]
    red, green, blue = np.moveaxis(rgb, 2, 0)
    y = k_r * red + (1 - k_r - k_b) * green + k_b * blue
    differences = ((blue - y) / (2 * (1 - k_b)), (red - y) / (2 * (1 - k_r)))
    top, scale = 2**bits - 1, 2 ** (bits - 8)
    if full:
        samples = [y * top, *(top * difference + 128 * scale for difference in differences)]
    else:
        samples = [(219 * y + 16) * scale, *((224 * difference + 128) * scale for difference in differences)]
    return [np.clip(np.round(sample), 0, top).astype(np.uint8 if bits == 8 else np.uint16) for sample in samples]


def patches(colours: list[tuple[float, ...]], size: int = 16) -> np.ndarray:
    """A row of squares of plain colour, `(size, len * size, C)`."""
    return np.repeat(np.repeat(np.array(colours)[None], size, axis=0), size, axis=1)
