"""Shards: files of frames in the safetensors format, written as they come.

A shard is one uint8 tensor `frames` of shape `(F, H, W, C)`. The safetensors library writes tensors that it is given
whole; here the number of frames is known at the end, so a header of fixed size is kept free and filled in last.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gadkit.errors import DataError

_HEADER_BYTES = 256
_KEY = "frames"


class ShardWriter:
    """Writes frames into numbered shards of a folder; a context manager that closes and syncs the last one.

    Args:
        folder: An existing folder.
        height: H in pixels.
        width: W in pixels.
        channels: C.
        limit: A video that begins after this many bytes of a shard begins the next shard instead.
    """

    def __init__(self, folder: Path, height: int, width: int, channels: int, limit: int) -> None:
        self.folder = folder
        self._shape = (height, width, channels)
        self._limit = limit
        self._file: BinaryIO | None = None
        self._frames = 0
        self._count = 0

    def add(self, source: BinaryIO, frames: int) -> tuple[int, int]:
        """Appends `frames` frames read from `source`; returns the shard's number and the first frame's place in it."""
        size = self._shape[0] * self._shape[1] * self._shape[2]
        if self._file is not None and self._frames * size >= self._limit:
            self._close()
        if self._file is None:
            self._file = (self.folder / shard_name(self._count)).open("wb")
            self._file.write(bytes(_HEADER_BYTES))
            self._count += 1
            self._frames = 0
        start = self._frames
        shutil.copyfileobj(source, self._file, 1 << 20)
        self._frames += frames
        if self._file.tell() != _HEADER_BYTES + self._frames * size:
            raise AssertionError("a video's bytes do not match its number of frames")
        return self._count - 1, start

    def _close(self) -> None:
        if self._file is None:
            return
        shape = [self._frames, *self._shape]
        end = self._frames * self._shape[0] * self._shape[1] * self._shape[2]
        header = json.dumps({_KEY: {"dtype": "U8", "shape": shape, "data_offsets": [0, end]}}).encode()
        # The format allows trailing spaces in the header, which keep the data aligned.
        self._file.seek(0)
        self._file.write(struct.pack("<Q", _HEADER_BYTES - 8) + header.ljust(_HEADER_BYTES - 8))
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
            self._file.close()


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
    try:
        with safe_open(path, framework="pt") as file:
            frames: Tensor = file.get_tensor(_KEY)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path} is no whole shard of a pack: {error}; delete the pack, and it is made anew."
        ) from error
    if frames.dtype != torch.uint8 or tuple(frames.shape[1:]) != frame:
        raise DataError(
            f"{path} holds {tuple(frames.shape)} {frames.dtype}; a pack of {frame} frames needs uint8 of that size."
        )
    return frames
