"""Pictures read with Pillow: image files, and animated WebP, which libav does not decode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gadkit.errors import DataError
from gadkit.interfaces.dataset import Footage

_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def read_image(path: Path) -> np.ndarray:
    """An image file as one frame.

    Returns:
        uint8 `(H, W, 3)`, or `(H, W, 4)` with straight alpha; upright by its EXIF orientation; 16-bit greys are scaled.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with Image.open(path) as image:
            return _array(ImageOps.exif_transpose(image))
    except _ERRORS as error:
        raise DataError(f"{path} cannot be read as an image: {error}; repair or remove the file.") from error


def is_animated_webp(path: Path) -> bool:
    """Whether a file is a WebP animation, told from its first 21 bytes (the animation bit of the VP8X chunk)."""
    try:
        with path.open("rb") as file:
            head = file.read(21)
    except OSError:
        return False
    return len(head) == 21 and head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def open_webp(path: Path) -> Footage:
    """Opens an animated WebP; its frame rate is the mean one.

    Raises:
        DataError: The file cannot be read or is a still; or, while frames are read, it is damaged.
    """
    try:
        image = Image.open(path)
        count = getattr(image, "n_frames", 1)
        if count < 2:
            image.close()
            raise DataError(
                f"{path} is a still image; remove it, or put the frames of a video in a folder of their own."
            )
        total = 0
        for index in range(count):
            image.seek(index)
            image.load()
            total += image.info.get("duration", 0)
        image.seek(0)
    except _ERRORS as error:
        raise DataError(f"{path} cannot be opened as a video: {error}; repair or remove the file.") from error
    return Footage(fps=1000 * count / total if total > 0 else 25.0, frames=_webp_frames(image, path, count))


def _webp_frames(image: Image.Image, path: Path, count: int) -> Iterator[np.ndarray]:
    with image:
        for index in range(count):
            try:
                image.seek(index)
                array = _array(image)
            except _ERRORS as error:
                raise DataError(f"{path} is damaged at frame {index}: {error}; repair or remove the file.") from error
            yield array


def _array(image: Image.Image) -> np.ndarray:
    """RGB or RGBA bytes of an image of any mode."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = (np.asarray(image).astype(np.int64).clip(0, 65535) + 128) // 257
        return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
    transparent = image.has_transparency_data
    return np.array(image.convert("RGBA" if transparent else "RGB"))
