"""Zip archives."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from gadkit import DataError
from gadkit_plugins.data.archives.members import MAX_BYTES, MAX_MEMBERS, Archive, damaged, too_many, window

_ERRORS = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
_LOCAL = struct.Struct("<4s22sHH")
#: The directory at the end of an archive is held in memory.
_MAX_DIRECTORY = 256 << 20
_ENCRYPTED = 1


class Zip(Archive):
    """A zip archive. Members stored without compression are parts of the file; others are unpacked in memory."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        try:
            with path.open("rb") as file:
                if _directory_size(file) > _MAX_DIRECTORY:
                    raise too_many(path)
            self._zip = zipfile.ZipFile(path)
        except _ERRORS as error:
            raise damaged(path, "zip", error) from error
        members = self._zip.infolist()
        if len(members) > MAX_MEMBERS:
            raise too_many(path)
        for member in members:
            if member.is_dir() or (name := self.usable(member.filename)) is None:
                continue
            if stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG):
                self.sizes[name], self._members[name] = member.file_size, member
            else:
                self.refuse(member.filename, "is a link or a device")

    def read(self, name: str, limit: int = MAX_BYTES) -> bytes:
        """The content of a member of at most `limit` bytes, checked by its CRC."""
        self.check_size(name, limit)
        member = self._checked(name)
        try:
            with self._zip.open(member) as file:
                # Without a number, zipfile unpacks 2 GiB at once before it looks at what was declared.
                return file.read(member.file_size + 1)
        except _ERRORS as error:
            raise self._unreadable(name, error) from error

    def open(self, name: str) -> BinaryIO:
        """A member as a file."""
        # zipfile would read a stored member from its beginning at every step back.
        start = self.place(name)
        return io.BytesIO(self.read(name)) if start is None else window(self.path, start, self.sizes[name])

    def place(self, name: str) -> int | None:
        """Where a member's bytes begin in the archive; `None` where they are compressed."""
        member = self._checked(name)
        if member.compress_type != zipfile.ZIP_STORED:
            return None
        with self.path.open("rb") as file:
            file.seek(member.header_offset)
            head = file.read(_LOCAL.size)
        if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4") or member.file_size != member.compress_size:
            raise self._unreadable(name, "its header is damaged")
        _, _, name_length, extra_length = _LOCAL.unpack(head)
        return int(member.header_offset + _LOCAL.size + name_length + extra_length)

    def head(self, name: str) -> BinaryIO:
        """A member to look at the beginning of, of which no more is unpacked."""
        try:
            with self._zip.open(self._checked(name)) as file:
                return io.BytesIO(file.read(1 << 16))
        except _ERRORS as error:
            raise self._unreadable(name, error) from error

    def _checked(self, name: str) -> zipfile.ZipInfo:
        member = self._members[name]
        if member.flag_bits & _ENCRYPTED:
            raise DataError(f"{self.path} holds {name} encrypted; unpack the archive with its password.")
        return member

    def _unreadable(self, name: str, reason: object) -> DataError:
        words = " ".join(str(reason).split()).rstrip(".")
        return DataError(f"{name} in {self.path} cannot be read: {words}; fetch or make the archive again.")


def _directory_size(file: BinaryIO) -> int:
    """Bytes of an archive's directory as its last record tells them (APPNOTE 4.3.14, 4.3.16); 0 where none is found."""
    end = file.seek(0, 2)
    start = max(0, end - (1 << 16) - 22 - 20)
    file.seek(start)
    tail = file.read()
    place = tail.rfind(b"PK\5\6")
    if place < 0 or len(tail) < place + 20:
        return 0
    size = int.from_bytes(tail[place + 12 : place + 16], "little")
    if tail[place - 20 : place - 16] == b"PK\6\7" and place >= 20:
        file.seek(int.from_bytes(tail[place - 12 : place - 4], "little"))
        record = file.read(48)
        if record.startswith(b"PK\6\6"):
            size = int.from_bytes(record[40:48], "little")
    return size
