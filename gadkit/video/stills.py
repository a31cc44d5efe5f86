"""Pictures read with Pillow: image files, and animations, whose transparency and timing libav does not keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from gadkit.errors import DataError
from gadkit.interfaces.dataset import Footage
from gadkit.video import delays
from gadkit.video.limits import check_size

# Pillow tells the format by the content, and knows some that start other programs.
_STILLS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_ANIMATIONS = ("GIF", "PNG", "WEBP")


def read_image(path: Path, file: BinaryIO | None = None) -> np.ndarray:
    """An image file as one frame.

    Args:
        path: The file.
        file: Read in place of the path, which then only names it: an open seekable file. It stays open.

    Returns:
        uint8 `(H, W, 3)`, or `(H, W, 4)` with straight alpha; upright by its EXIF orientation; 16-bit greys are scaled.

    Raises:
        DataError: The file cannot be read, or is too large (`gadkit.video.limits`).
    """
    try:
        with Image.open(path if file is None else file, formats=_STILLS) as image:
            check_size(path, image.height, image.width)
            return _array(ImageOps.exif_transpose(image))
    except DataError:
        raise
    except Exception as error:  # a damaged file makes Pillow raise almost anything
        raise DataError(f"{path} cannot be read as an image: {_reason(error)}; repair or remove the file.") from error


def is_animation(path: Path, file: BinaryIO | None = None) -> bool:
    """Whether a file is a GIF, an animated WebP or an animated PNG, told from its first bytes, whatever its ending.

    Args:
        path: The file; one that cannot be read is no animation.
        file: Read in place of the path: an open seekable file, left at its start.
    """
    try:
        if file is None:
            with path.open("rb") as opened:
                return delays.is_animation(opened)
        file.seek(0)
        found = delays.is_animation(file)
        file.seek(0)
        return found
    except OSError:
        return False


def open_animation(path: Path, file: BinaryIO | None = None) -> Footage:
    """Opens a GIF, an animated WebP or an animated PNG.

    Each frame's duration gives the time of the next (`gadkit.video.delays`: 0 counts as 100 ms); the frame rate is the
    mean one. Frames are composed as the format says, with transparency as straight alpha, and come one by one.

    Args:
        path: The file.
        file: Read in place of the path, which then only names it: an open seekable file, which stays open.

    Raises:
        DataError: The file cannot be read, is a still or is cut short; or, while frames are read, it is damaged.
    """
    with ExitStack() as stack:
        try:
            source = stack.enter_context(path.open("rb")) if file is None else file
            source.seek(0)
            durations = delays.delays(source)
            source.seek(0)
            if len(durations) > 1:
                image = stack.enter_context(Image.open(source, formats=_ANIMATIONS))
                check_size(path, image.height, image.width)
        except DataError:
            raise
        except Exception as error:  # a damaged file makes Pillow raise almost anything
            raise DataError(
                f"{path} cannot be opened as a video: {_reason(error)}; repair or remove the file."
            ) from error
        if len(durations) < 2:
            raise DataError(
                f"{path} is a still image; remove it, or put the frames of a video in a folder of their own."
            )
        return Footage(fps=len(durations) / sum(durations), timed=_frames(image, path, durations, stack.pop_all()))


def _frames(
    image: Image.Image, path: Path, durations: list[float], resources: ExitStack
) -> Iterator[tuple[float, np.ndarray]]:
    """Each frame with its time; closes what was opened."""
    first = int(bool(getattr(image, "default_image", False)))
    with resources:
        for index, time in enumerate(accumulate(durations[:-1], initial=0.0)):
            try:
                image.seek(first + index)
                array = _array(image)
            except Exception as error:  # a damaged file makes Pillow raise almost anything
                raise DataError(
                    f"{path} is damaged at frame {index}: {_reason(error)}; repair or remove the file."
                ) from error
            yield time, array


def _array(image: Image.Image) -> np.ndarray:
    """RGB or RGBA bytes of an image of any mode."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = (np.asarray(image).astype(np.int64).clip(0, 65535) + 128) // 257
        return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
    transparent = image.has_transparency_data
    return np.array(image.convert("RGBA" if transparent else "RGB"))


def _reason(error: Exception) -> str:
    """An error in words, on one line and without the full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
