"""Tar archives: plain ones are read at their members' places, small compressed ones are unpacked in memory."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from gadkit import DataError
from gadkit_plugins.data import tree
from gadkit_plugins.data.archives.members import MAX_MEMBERS, Archive, damaged, too_many, window

_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_COMPRESSIONS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
#: A compressed archive of more bytes than this, unpacked, is refused.
_MAX_UNPACKED = 256 << 20
_ERRORS = (OSError, EOFError, ValueError, tarfile.TarError, zlib.error, lzma.LZMAError)
_FIRST_FILES = 32


def is_tar(path: Path) -> bool:
    """Whether a name ends as a tar archive's does, compressed or not."""
    return path.name.lower().endswith(_ENDINGS)


def holds_samples(path: Path) -> bool:
    """Whether a plain tar is a WebDataset shard: a video is among its first 32 files, hidden ones not counted.

    What cannot be read is none.
    """
    if tree.ending(path) != ".tar" or not path.is_file():
        return False
    try:
        with tarfile.open(path, "r:") as archive:
            files = (member.name for member in _members(archive) if member.isreg())
            shown = (name for name in files if not PurePosixPath(name).name.startswith("."))
            return any(tree.ending(name) in tree.VIDEO_ENDINGS for name in itertools.islice(shown, _FIRST_FILES))
    except _ERRORS:
        return False


class Tar(Archive):
    """A tar archive: every member is a part of the file, or of the unpacked bytes where the file is compressed.

    Compression leaves no way to a member but through everything before it, so a large compressed archive is refused.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._places: dict[str, int] = {}
        try:
            self._data = _unpacked(path)
            source = None if self._data is None else io.BytesIO(self._data)
            with tarfile.open(path, "r:", source) as archive:
                for count, member in enumerate(_members(archive)):
                    if count == MAX_MEMBERS:
                        raise too_many(path)
                    self._add(member)
        except _ERRORS as error:
            if not self.sizes:
                raise damaged(path, "tar", error) from error
            self.faults.append((path.name, str(damaged(path, "tar", f"{error} after {len(self.sizes)} files"))))

    def read(self, name: str) -> bytes:
        """The content of a member."""
        self.check_size(name)
        with self.open(name) as file:
            data = file.read()
        if len(data) < self.sizes[name]:
            raise DataError(f"{self.path} ends in the middle of {name}; fetch or make the archive again.")
        return data

    def open(self, name: str) -> BinaryIO:
        """A member as a file."""
        start, size = self._places[name], self.sizes[name]
        if self._data is not None:
            return io.BytesIO(self._data[start : start + size])
        return window(self.path, start, size)

    def _add(self, member: tarfile.TarInfo) -> None:
        """Notes where a regular file lies."""
        if member.isdir() or (name := self.usable(member.name)) is None:
            return
        if member.isreg() and not member.issparse():
            self.sizes[name], self._places[name] = member.size, member.offset_data
        else:
            self.refuse(member.name, "is a link, a device or a sparse file")


def _unpacked(path: Path) -> bytes | None:
    """The bytes of a compressed archive; `None` for another file."""
    with path.open("rb") as file:
        head = file.read(6)
    opened = next((function for magic, function in _COMPRESSIONS.items() if head.startswith(magic)), None)
    if opened is None:
        return None
    with opened(path) as file:
        data = bytes(file.read(_MAX_UNPACKED + 1))
    if len(data) > _MAX_UNPACKED:
        raise DataError(
            f"{path} holds more than {_MAX_UNPACKED >> 20} MiB, and a compressed tar is read from its beginning only; "
            "unpack it, or make it a zip or an uncompressed tar."
        )
    return data


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members, which the archive forgets again; raises one of `_ERRORS` where it is damaged."""
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # otherwise it keeps every one
        yield member
    # tarfile takes damage and a cut after the first member for the end, which is a block of zeros.
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it is damaged or cut")
