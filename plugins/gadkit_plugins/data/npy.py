"""Arrays of NumPy's files, mapped where they are not compressed; nothing in them is ever unpickled."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from gadkit import DataError
from gadkit_plugins.data.archives.zips import Zip

#: Larger compressed arrays are refused.
MAX_COMPRESSED = 1 << 30
_LABELS = ("labels", "label")


def read_npy(path: Path) -> np.ndarray:
    """The array of a `.npy` file, mapped."""
    try:
        with path.open("rb") as file:
            return _mapped(path, 0, path.stat().st_size, *_header(file), file.tell())
    except Exception as error:  # a damaged header makes NumPy raise almost anything
        raise _unreadable(path, error) from error


class Npz:
    """The arrays of a `.npz` file. Safe to use from several threads.

    Args:
        path: The file.

    Raises:
        DataError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = Zip(path)
        self.shapes: dict[str, tuple[int, ...]] = {}
        for member in self._zip.sizes:
            if member.endswith(".npy"):
                self.shapes[member.removesuffix(".npy")] = self._shape(member)

    def _shape(self, member: str) -> tuple[int, ...]:
        with self._zip.head(member) as file:
            try:
                return _header(file)[0]
            except Exception as error:  # damage makes NumPy raise almost anything
                raise _unreadable(self.path, f"{member}: {error}") from error

    def videos(self, key: str) -> str:
        """The key of the array of videos: `key` where one is given, or else the only array of many dimensions."""
        found = ", ".join(f"{name} {shape}" for name, shape in self.shapes.items()) or "no arrays"
        if key and key not in self.shapes:
            raise DataError(f"{self.path} has no array {key}; it holds {found}.")
        many = [name for name, shape in self.shapes.items() if len(shape) == 5]
        many = many or [name for name, shape in self.shapes.items() if len(shape) == 4]
        if not key and len(many) != 1:
            raise DataError(
                f"{self.path} holds {found}; expected one array (N, T, H, W, C), or set data.key to the array to take."
            )
        return key or many[0]

    def labels(self, count: int) -> list[str] | None:
        """The names of the classes of `count` videos, from an array `labels` of numbers or text."""
        key = next((name for name in _LABELS if name in self.shapes), None)
        if key is None:
            return None
        array = self.read(key)
        if array.shape != (count,) or array.dtype.kind not in "iuSU":
            raise DataError(
                f"{self.path} has {key} of shape {array.shape} and type {array.dtype}; expected {count} whole numbers "
                "or names, one a video."
            )
        values = array.astype(np.str_) if array.dtype.kind != "S" else np.char.decode(array, "utf-8", "replace")
        return [str(value) for value in values]

    def read(self, key: str) -> np.ndarray:
        """An array: mapped where it is stored, loaded where it is compressed."""
        member = key + ".npy"
        try:
            place = self._zip.place(member)
            if place is None:
                data = self._zip.read(member, MAX_COMPRESSED)
                file: BinaryIO = io.BytesIO(data)
                shape, fortran, dtype = _header(file)
                flat: np.ndarray = np.frombuffer(data, dtype, math.prod(shape), file.tell())
                return flat.reshape(shape, order="F" if fortran else "C")
            with self._zip.open(member) as file:
                return _mapped(self.path, place, self._zip.sizes[member], *_header(file), file.tell())
        except DataError:
            raise
        except Exception as error:  # damage makes NumPy raise almost anything
            raise _unreadable(self.path, error) from error


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and type; the file stands at the data afterwards."""
    read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not loaded, and plain numbers are expected")
    if any(side < 0 for side in shape):
        raise ValueError(f"it declares the shape {shape}")
    return shape, fortran, dtype


def _mapped(
    path: Path, start: int, size: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any], header: int
) -> np.ndarray:
    """The array that `size` bytes of a file from `start` on hold after a header."""
    if header + math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"it ends before the data of its shape {shape}")
    if not math.prod(shape):
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start + header, shape, "F" if fortran else "C")


def _unreadable(path: Path, reason: object) -> DataError:
    words = " ".join(str(reason).split()).rstrip(".")
    return DataError(f"{path} cannot be read as a NumPy file: {words}; save it again with numpy.save or numpy.savez.")
