"""Shards: files of frames in the safetensors format, written as they come.

A shard is one uint8 tensor `frames` of shape `(F, H, W, C)`. The safetensors library writes tensors that it is given
whole; here the number of frames is known at the end, so a header of fixed size is kept free and filled in last.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Literal

from gadkit.errors import DataError

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
    """The file name of a shard."""
    return f"shard-{number:05d}.safetensors"


def map_shard(path: Path, frame: tuple[int, int, int]) -> Tensor:
    """A shard mapped into memory: opening reads no frame, and a frame's pages are read when it is used.

    Args:
        path: The file.
        frame: `(H, W, C)` that its frames must have.

    Returns:
        uint8 `(F, H, W, C)`.

    Raises:
        DataError: The file is missing, is damaged or has other frames.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            frames: Tensor = file.get_tensor(_KEY)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is no whole shard of a pack: {error}; delete the pack, and make it anew.") from error
    if frames.dtype != torch.uint8 or tuple(frames.shape[1:]) != frame:
        raise DataError(
            f"{path} holds {tuple(frames.shape)} {frames.dtype}, and the pack's frames are uint8 {frame}; delete the "
            "pack, and make it anew."
        )
    return frames
