"""Shards: files of frames in the safetensors format, written as they come.

A shard is one uint8 tensor `frames` of shape `(F, H, W, C)`. The safetensors library writes tensors that it is given
whole; here the number of frames is known at the end, so a header of fixed size is kept free and filled in last.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Literal

from gadkit.data.reach import ADVICE, patiently, words
from gadkit.errors import DataError, UnavailableError

if TYPE_CHECKING:
    from torch import Tensor

#: Bytes before the first frame of a shard.
HEADER_BYTES = 256
_KEY = "frames"
_PIECE = 1 << 20


class ShardWriter:
    """Writes frames into numbered shards of a folder; a context manager that closes and syncs the last one.

    Args:
        folder: An existing folder.
        frame: `(H, W, C)`.
        limit: A video that begins after this many bytes of a shard begins the next shard instead.
        filled: How many frames of each shard are there already and stay; what comes after them is overwritten.
    """

    def __init__(self, folder: Path, frame: tuple[int, int, int], limit: int, filled: list[int] | None = None) -> None:
        self.folder = folder
        self.frames = list(filled or [])
        self._frame = frame
        self._size = frame[0] * frame[1] * frame[2]
        self._limit = limit
        self._file: BinaryIO | None = None
        self._number = -1
        for number in range(len(self.frames)):
            self._close()
            self._open(number, "r+b")

    def add(self, source: BinaryIO, frames: int) -> tuple[int, int]:
        """Appends the next `frames` frames of `source`; returns the shard's number and the first's place in it."""
        if self._file is not None and self.frames[-1] * self._size >= self._limit:
            self._close()
        if self._file is None:
            self.frames.append(0)
            self._open(len(self.frames) - 1, "wb")
        assert self._file is not None
        start = self.frames[-1]
        self._file.seek(HEADER_BYTES + start * self._size)
        left = frames * self._size
        while left:
            piece = source.read(min(left, _PIECE))
            if not piece:
                raise AssertionError("a video's bytes do not match its number of frames")
            self._file.write(piece)
            left -= len(piece)
        self._file.flush()
        self.frames[-1] += frames
        return self._number, start

    def _open(self, number: int, mode: Literal["wb", "r+b"]) -> None:
        self._number = number
        self._file = (self.folder / shard_name(number)).open(mode)

    def _close(self) -> None:
        """Writes the header of the shard that is open, syncs and closes it."""
        if self._file is None:
            return
        count = self.frames[self._number]
        self._file.truncate(HEADER_BYTES + count * self._size)
        self._file.seek(0)
        self._file.write(header(count, self._frame))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._close()
        elif self._file is not None:
            with contextlib.suppress(OSError):  # a full disk is told already
                self._file.close()


def header(count: int, frame: tuple[int, int, int]) -> bytes:
    """The first bytes of a shard of `count` frames of shape `(H, W, C)`."""
    end = count * frame[0] * frame[1] * frame[2]
    text = json.dumps({_KEY: {"dtype": "U8", "shape": [count, *frame], "data_offsets": [0, end]}}).encode()
    # The format allows trailing spaces in the header, which keep the data aligned.
    return struct.pack("<Q", HEADER_BYTES - 8) + text.ljust(HEADER_BYTES - 8)


def shard_name(number: int) -> str:
    """The file name of the shard of a number."""
    return f"shard-{number:05d}.safetensors"


class Shard:
    """The frames of a shard, read where they are used. Safe to use from several threads.

    A file on a disk of this machine is mapped into memory. To touch a page that is not there any more kills a process
    (SIGBUS), so before frames are taken the file is looked at: that is one system call, a microsecond. Between the
    look and the end of the copy, some milliseconds, the file can still be cut, and a disk can fail to read a page that
    it has: against that there is nothing but the traceback that `faulthandler` prints. A file on a network share goes
    away more often than that, and as a whole; there frames are read by system calls, which fail with an error.

    A file that is deleted or replaced while it is mapped stays readable, so that is no error.

    Attributes:
        path: The file.
        shape: `(F, H, W, C)`.
        device: The CPU.

    Args:
        path: The file.
        frames: The file's frames, mapped.
        keep: Whether a descriptor is kept, of which a process has some hundreds; without it, the file is looked at by
            its path.
        mapped: Whether frames are taken from the mapping, and not by system calls.
    """

    def __init__(self, path: Path, frames: Tensor, *, keep: bool = True, mapped: bool = True) -> None:
        self.path = path
        self.shape, self.device = frames.shape, frames.device
        self._keep, self._file = keep, _Descriptor(path) if keep else None
        status = path.stat() if self._file is None else os.fstat(self._file.number)
        self._size, self._identity = status.st_size, (status.st_dev, status.st_ino)
        self._frame_bytes = frames[:1].numel()
        self._frames = frames if mapped or not hasattr(os, "preadv") else None

    def __len__(self) -> int:
        """F."""
        return self.shape[0]

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Frames by number, as of a tensor, where `dim` is 0.

        Args:
            dim: 0.
            index: int64 `(n,)`.

        Returns:
            uint8 `(n, H, W, C)`.

        Raises:
            UnavailableError: The file is not what it was, or cannot be reached.
        """
        if self._frames is not None:
            self.check()
            return self._frames.index_select(dim, index)
        import torch

        out = torch.empty((len(index), *self.shape[1:]), dtype=torch.uint8)
        view = out.numpy().data.cast("B") if len(index) else memoryview(b"")
        for row, first, count in _runs(index.tolist()):
            target = view[row * self._frame_bytes : (row + count) * self._frame_bytes]
            patiently(lambda first=first, target=target: self._read(first, target), str(self.path))  # type: ignore[misc]
        return out

    def __getitem__(self, part: slice) -> Tensor:
        """Consecutive frames, as of a tensor."""
        if self._frames is not None:
            self.check()
            return self._frames[part]
        import torch

        return self.index_select(0, torch.arange(*part.indices(len(self))))

    def check(self) -> None:
        """Raises `gadkit.UnavailableError` where frames cannot be taken from the mapping."""
        try:
            status = os.stat(self.path) if self._file is None else os.fstat(self._file.number)
        except OSError as error:
            if self._file is None and error.errno == errno.ENOENT:
                return  # deleted, and mapped still
            raise UnavailableError(f"{self.path} cannot be reached any more: {words(error)}; {ADVICE}.") from error
        if status.st_size < self._size and (status.st_dev, status.st_ino) == self._identity:
            raise self._short(status.st_size)

    def _short(self, found: int) -> UnavailableError:
        return UnavailableError(
            f"{self.path} was cut while it was in use: found {found} bytes, expected {self._size}; {ADVICE} (where it "
            "lies in gadkit's cache, it is made anew then)."
        )

    def _read(self, first: int, target: memoryview) -> None:
        """Reads frames from the file; after a fault the file is opened again, for a share may be mounted anew."""
        offset, done = self._size - len(self) * self._frame_bytes + first * self._frame_bytes, 0
        try:
            file = self._file or _Descriptor(self.path)
            self._file = file if self._keep else None
            while done < len(target):
                count = os.preadv(file.number, [target[done:]], offset + done)
                if not count:
                    raise self._short(os.fstat(file.number).st_size)
                done += count
        except OSError:
            self._file = None
            raise


class _Descriptor:
    """An open file, closed when nobody reads from it any more: its number may be another file's then."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self.number)


def _runs(numbers: list[int]) -> Iterator[tuple[int, int, int]]:
    """Runs of consecutive numbers: the place of each in the list, its first number and its length."""
    begin = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
            yield begin, numbers[begin], end - begin
            begin = end


def map_shard(path: Path, frame: tuple[int, int, int], *, keep: bool = True, mapped: bool = True) -> Shard:
    """Opens a shard: that reads no frame.

    Args:
        path: The file.
        frame: `(H, W, C)` that its frames must have.
        keep: See `Shard`.
        mapped: See `Shard`.

    Returns:
        Its frames, uint8 `(F, H, W, C)`.

    Raises:
        DataError: The file is missing, is damaged or has other frames.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            frames: Tensor = file.get_tensor(_KEY)
        if frames.dtype == torch.uint8 and tuple(frames.shape[1:]) == frame:
            return Shard(path, frames, keep=keep, mapped=mapped)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is no whole shard of a pack: {error}; delete the pack, and make it anew.") from error
    raise DataError(
        f"{path} holds {tuple(frames.shape)} {frames.dtype}, and the pack's frames are uint8 {frame}; delete the pack, "
        "and make it anew."
    )
