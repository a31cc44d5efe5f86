"""NumPy arrays of videos."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from gadkit import DataError, Dataset, Footage, Source
from gadkit_plugins.data import tree
from gadkit_plugins.data.npy import Npz, read_npy

ENDINGS = (".npy", ".npz")
#: How far beyond their range rounding may carry floating-point values.
_SLACK = 0.01


class Arrays(Dataset):
    """Arrays `(N, T, H, W, C)` of N videos or `(T, H, W, C)` of one, in a `.npy` or `.npz` file or a tree of them.

    C is 1 (grey), 3 (sRGB) or 4 (with straight alpha). `.npy` files, and `.npz` files that `numpy.savez` wrote, are
    mapped into memory and never loaded whole; compressed ones are, up to 1 GiB. An array `labels` of N numbers or names
    beside the videos in a `.npz` names their classes. Python objects are never loaded.

    Args:
        path: The file, or the folder.
        fps: Frame rate in Hz.
        values: What the numbers mean: `bytes` are uint8 from 0 to 255; `0..1` and `-1..1` are floating-point numbers of
            that range.
        key: The name of the array in a `.npz`; empty for the only one with five dimensions, or else with four.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        fps: Annotated[float, Field(gt=0, le=1000)] = 25.0,
        values: Literal["bytes", "0..1", "-1..1"] = "bytes",
        key: str = "",
    ) -> None:
        self.path = tree.existing(path)
        self.fps = fps
        self.values = values
        self.key = key
        self._lock = threading.Lock()
        self._opened: dict[Path, np.ndarray] = {}

    @classmethod
    def accepts(cls, path: Path | str) -> bool:
        """A `.npy` or `.npz` file, or a folder that shows one, and neither video nor image, on a short look."""
        if not isinstance(path, Path):
            return False
        if not path.is_dir():
            return path.is_file() and tree.ending(path) in ENDINGS
        found = False
        for file in tree.glimpse(path):
            if tree.ending(file) in tree.VIDEO_ENDINGS | tree.IMAGE_ENDINGS:
                return False
            found = found or tree.ending(file) in ENDINGS
        return found

    def sources(self) -> Sequence[Source]:
        """The videos in natural order of files, then of rows; named by row where there is one file."""
        if self.path.is_file():
            return self._videos(self.path, "")
        sources = []
        for _, files in tree.folders(self.path):
            for file in files:
                if tree.ending(file) in ENDINGS:
                    sources += self._videos_of_tree(file)
        if not sources:
            raise DataError(
                f"{self.path} holds no arrays: found {tree.contents(self.path)}, expected .npy or .npz files of videos."
            )
        return sorted(sources, key=lambda source: tree.natural(source.name))

    def open(self, source: Source) -> Footage:
        """The frames of one array, read one by one."""
        array = self._array(source.files[0])
        if source.locator:
            array = array[int(source.locator)]
        return Footage(fps=self.fps, frames=self._frames(array, source))

    def _videos_of_tree(self, file: Path) -> list[Source]:
        """The videos of a file; where it cannot be read, one whose opening says why."""
        name = file.relative_to(self.path).as_posix()
        try:
            return self._videos(file, name)
        except DataError:
            return [Source(name=name, files=(file,))]

    def _videos(self, file: Path, name: str) -> list[Source]:
        array = self._array(file)
        if array.ndim == 4:
            return [Source(name=name or file.name, files=(file,))]
        labels = Npz(file).labels(len(array)) if tree.ending(file) == ".npz" else None
        if not len(array):
            raise DataError(f"{file} has shape {array.shape}, which is no video at all; save at least one.")
        return [
            Source(
                name=f"{name}/{row}" if name else str(row),
                label=labels[row] if labels else None,
                files=(file,),
                locator=str(row),
            )
            for row in range(len(array))
        ]

    def _array(self, file: Path) -> np.ndarray:
        """The array of a file, checked. One that had to be loaded is kept until another file is asked for."""
        with self._lock:
            if file not in self._opened:
                array = self._read(file)
                self._check(file, array)
                self._opened = {file: array}
            return self._opened[file]

    def _read(self, file: Path) -> np.ndarray:
        if tree.ending(file) == ".npy":
            return read_npy(file)
        if tree.ending(file) == ".npz":
            archive = Npz(file)
            return archive.read(archive.videos(self.key))
        raise DataError(f"{file} is no NumPy file; expected a .npy or .npz.")

    def _check(self, file: Path, array: np.ndarray) -> None:
        shape = array.shape
        if len(shape) not in (4, 5) or shape[-1] not in (1, 3, 4):
            hint = "; move the channels to the end" if len(shape) in (4, 5) and shape[-3] in (1, 3, 4) else ""
            raise DataError(
                f"{file} has shape {shape}; expected (N, T, H, W, C), or (T, H, W, C) for one video, with C 1, 3 or "
                f"4{hint}."
            )
        if 0 in shape[-4:]:
            raise DataError(f"{file} has shape {shape}, which is empty; save at least one frame of one pixel.")
        if self.values == "bytes" and array.dtype != np.uint8:
            raise DataError(
                f"{file} holds {array.dtype.name}; expected uint8, or set data.values to 0..1 or -1..1 for "
                "floating-point numbers of that range."
            )
        if self.values != "bytes" and array.dtype.kind != "f":
            raise DataError(
                f"{file} holds {array.dtype.name}, and data.values is {self.values}, which means floating-point "
                "numbers; leave the setting out for uint8."
            )

    def _frames(self, array: np.ndarray, source: Source) -> Iterator[np.ndarray]:
        for number, frame in enumerate(array):
            pixels = np.asarray(frame)
            if self.values != "bytes":
                pixels = self._quantised(pixels, number, source)
            yield np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else np.array(pixels)

    def _quantised(self, frame: np.ndarray, number: int, source: Source) -> np.ndarray:
        """Floating-point values of the declared range as uint8, rounded to the nearest."""
        low = 0.0 if self.values == "0..1" else -1.0
        least, most = float(frame.min()), float(frame.max())
        if not (least >= low - _SLACK and most <= 1 + _SLACK):
            raise DataError(
                f"{source.files[0]}, video {source.name}, has values from {least:g} to {most:g} in frame {number}; "
                f"data.values says {self.values}."
            )
        unit = (frame.astype(np.float64) - low) / (1 - low)
        pixels: np.ndarray = np.rint(255 * unit.clip(0, 1)).astype(np.uint8)
        return pixels
