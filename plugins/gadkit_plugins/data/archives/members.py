"""Archives read in place: nothing is ever unpacked to disk, so no name in them can lead anywhere."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from gadkit import DataError

#: Larger pictures and documents, and larger compressed videos, are refused before they are read.
MAX_BYTES = 256 << 20
#: An archive of more members is refused.
MAX_MEMBERS = 4_000_000
_MOST_FAULTS = 1000


class Archive(ABC):
    """The files of an archive by name. Safe to use from several threads.

    Attributes:
        path: The archive.
        sizes: The bytes of every member by its name, as the archive declares them.
        faults: What is left out because it is damaged or would lead elsewhere: names, each with the reason.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[str, int] = {}
        self.faults: list[tuple[str, str]] = []

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a member of at most `MAX_BYTES`; raises `gadkit.DataError` where it cannot be read."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """A member as a file that can seek; raises `gadkit.DataError` where it cannot be opened."""

    def check_size(self, name: str, limit: int = MAX_BYTES) -> None:
        """Raises `gadkit.DataError` where a member declares more than `limit` bytes."""
        if self.sizes[name] > limit:
            raise DataError(
                f"{self.path} declares {self.sizes[name]} bytes for {name}, and at most {limit} are read into memory; "
                "store it without compression, unpack the archive, or leave that member out."
            )

    def usable(self, name: str) -> str | None:
        """A member's name with plain slashes; `None` for one to leave out.

        Left out are hidden files and macOS's copies of attributes, in silence, and names that lead out of the archive:
        absolute ones, drives, and those with `..`.
        """
        plain = name.replace("\\", "/")
        parts = PurePosixPath(plain).parts
        if not parts or plain.startswith("/") or ".." in parts or "\0" in plain or parts[0].endswith(":"):
            self.refuse(name, "has a name that leads out of the archive")
            return None
        if any(part.startswith(".") or part == "__MACOSX" for part in parts):
            return None
        return "/".join(parts)

    def refuse(self, name: str, reason: str) -> None:
        """Notes a member that is left out."""
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append((name, f"{name!r} in {self.path} {reason}; it is left out."))

    def head(self, name: str) -> BinaryIO:
        """A member to look at the beginning of."""
        return self.open(name)


class Window(io.RawIOBase):
    """A part of a file as a file of its own.

    Args:
        path: The file, opened anew.
        start: The part's first byte.
        size: Its bytes.
    """

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._file = path.open("rb")
        self._start, self._size, self._place = start, size, 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As every file does."""
        self._place = max(0, (0, self._place, self._size)[whence] + offset)
        return self._place

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Reads as much as fits and is left."""
        wanted = max(0, min(len(buffer), self._size - self._place))
        self._file.seek(self._start + self._place)
        count = self._file.readinto(memoryview(buffer)[:wanted])
        self._place += count
        return count

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()


def window(path: Path, start: int, size: int) -> BinaryIO:
    """A part of a file as a buffered file of its own."""
    return io.BufferedReader(Window(path, start, size), 1 << 16)


def damaged(path: Path, kind: str, reason: object) -> DataError:
    """The error for an archive that cannot be read."""
    words = " ".join(str(reason).split()).rstrip(".")
    return DataError(f"{path} cannot be read as a {kind} archive: {words}; fetch or make the archive again.")


def too_many(path: Path) -> DataError:
    """The error for an archive with more than `MAX_MEMBERS` members."""
    return DataError(f"{path} has more than {MAX_MEMBERS} members; unpack the archive, or split it.")
