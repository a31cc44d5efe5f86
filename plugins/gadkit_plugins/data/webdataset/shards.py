"""Where shards lie: a tar, a folder of tars, a pattern with braces or URLs; and how their bytes are read."""

from __future__ import annotations

import io
import itertools
import re
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from gadkit import DataError, UnavailableError
from gadkit_plugins.data import tree
from gadkit_plugins.data.archives.members import window
from gadkit_plugins.data.webdataset.remote import Version, Web, is_url, public

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")
_MOST = 1_000_000
#: Bodies up to this size are read before they are decoded, larger ones piece by piece.
_WHOLE = 64 << 20
_PIECE = 4 << 20


class Shard(ABC):
    """The bytes of one shard.

    Attributes:
        name: Its path below the place that all shards have in common, without `.tar`.
        chunks: The least and the most bytes to read at once while it is indexed.
        gap: Bytes between two reads that are better read than jumped over.
    """

    name: str
    chunks: tuple[int, int] = (1 << 14, 1 << 16)
    gap: int = 1 << 14

    @abstractmethod
    def identity(self) -> str:
        """What its index is kept under, together with its version: no password is in it."""

    @abstractmethod
    def version(self) -> Version:
        """What tells it from what it was or will be; raises `gadkit.UnavailableError` where it is not there."""

    @abstractmethod
    def read(self, offset: int, size: int, version: Version) -> bytes:
        """`size` bytes of a version; raises `gadkit.UnavailableError` where the shard has changed."""

    @abstractmethod
    def body(self, offset: int, size: int, version: Version) -> BinaryIO:
        """A member as a file; raises as `read`."""

    @abstractmethod
    def __str__(self) -> str:
        """Its place, for messages."""


class LocalShard(Shard):
    """A file.

    Args:
        name: Its name.
        path: The file.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def identity(self) -> str:
        """The path."""
        return str(self.path)

    def version(self) -> Version:
        """The size and the time of change."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise UnavailableError(f"{self} cannot be read: {error.strerror}; bring the shard back.") from error
        return Version(status.st_size, str(status.st_mtime_ns))

    def read(self, offset: int, size: int, version: Version) -> bytes:
        """Reads a part; that the file is what it was is for `body` to see."""
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise UnavailableError(f"{self} cannot be read: {error.strerror}; bring the shard back.") from error

    def body(self, offset: int, size: int, version: Version) -> BinaryIO:
        """The part of the file."""
        if self.version() != version:
            raise UnavailableError(f"{self} has changed since it was indexed; start again with the data as they are.")
        try:
            return window(self.path, offset, size)
        except OSError as error:
            raise UnavailableError(f"{self} cannot be read: {error.strerror}; bring the shard back.") from error


class RemoteShard(Shard):
    """An object on a web server.

    Args:
        name: Its name.
        url: Its URL.
        web: The connections.
    """

    chunks = (1 << 18, 1 << 22)
    gap = 1 << 20

    def __init__(self, name: str, url: str, web: Web) -> None:
        self.name = name
        self.url = url
        self._web = web

    def __str__(self) -> str:
        return public(self.url)

    def identity(self) -> str:
        """The URL with its query, which may tell objects apart, and without the user."""
        return f"{public(self.url)}?{urllib.parse.urlsplit(self.url).query}"

    def version(self) -> Version:
        """Asks the server, for the price of one byte."""
        return self._web.read(self.url, 0, 1)[1]

    def read(self, offset: int, size: int, version: Version) -> bytes:
        """Asks the server for a range."""
        return self._web.read(self.url, offset, size, version)[0]

    def body(self, offset: int, size: int, version: Version) -> BinaryIO:
        """A file in memory where it is small, and one that fetches its pieces where it is large."""
        if size <= _WHOLE:
            return io.BytesIO(self.read(offset, size, version) if size else b"")
        distant = Distant(lambda place, count: self.read(offset + place, count, version), size)
        return cast(BinaryIO, io.BufferedReader(distant, _PIECE))


class Distant(io.RawIOBase):
    """A file whose bytes are asked for when they are read.

    Args:
        fetch: Gives `count` bytes from a place.
        size: How many bytes there are.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self._fetch = fetch
        self._length = size
        self._at = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As every file does."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fetches as much as fits and is left."""
        count = min(len(buffer), self._length - self._at)
        if count <= 0:
            return 0
        piece = self._fetch(self._at, count)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class ReadAhead:
    """Reads a shard from front to back with few requests: chunks that grow while it reads on, and jumps.

    What lies between two reads is fetched along where it is small, since a request takes longer than it.

    Args:
        shard: The shard.
        version: Its version.
    """

    def __init__(self, shard: Shard, version: Version) -> None:
        self.size: int | None = version.size
        self._shard, self._version = shard, version
        self._start, self._held, self._chunk = 0, b"", shard.chunks[0]

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer at the end."""
        assert self.size is not None
        size = max(0, min(size, self.size - offset))
        end = self._start + len(self._held)
        if size and not self._start <= offset <= offset + size <= end:
            least, most = self._shard.chunks
            reads_on = self._held and offset - end <= self._shard.gap
            self._chunk = min(2 * self._chunk, most) if reads_on else least
            count = min(max(size, self._chunk), self.size - offset)
            self._start, self._held = offset, self._shard.read(offset, count, self._version)
        return self._held[offset - self._start : offset - self._start + size]


def is_text_of_shards(text: str) -> bool:
    """Whether a text is a URL of tars, or a pattern of local ones."""
    if "://" in text:  # those that are compressed are refused when they are read
        return is_url(text) and urllib.parse.urlsplit(text).path.lower().endswith((".tar", ".tar.gz", ".tgz"))
    return bool(_BRACES.search(text)) and text.lower().endswith(".tar")


def expand(pattern: str) -> list[str]:
    """The texts that a pattern stands for: `{000..099}` counts, with leading zeros kept, and `{a,b}` lists.

    Raises:
        DataError: A brace stands for nothing, or the pattern for too much.
    """
    choices: list[list[str]] = []
    place, total = 0, 1
    for match in _BRACES.finditer(pattern):
        found = _RANGE.fullmatch(match[1])
        if found:
            first, last = int(found[1]), int(found[2])
            count = last - first + 1
            digits = len(found[1]) if found[1].startswith("0") or len(found[1]) == len(found[2]) else 0
            each = [f"{number:0{digits}d}" for number in range(first, last + 1 if count <= _MOST else first)]
        else:
            each = match[1].split(",") if "," in match[1] else []
            count = len(each)
        if count < 1:
            raise DataError(
                f"{_shown(pattern)} has the brace {match[0]}, which stands for nothing; write a range such as "
                "{000..099}, or a list such as {train,test}."
            )
        total *= count
        if total > _MOST:
            raise DataError(f"{_shown(pattern)} stands for more than {_MOST} shards; narrow its ranges.")
        choices += [[pattern[place : match.start()]], each]
        place = match.end()
    return ["".join(parts) for parts in itertools.product(*choices, [pattern[place:]])]


def _shown(place: str) -> str:
    return public(place) if "://" in place else place


def shards_of(place: Path | str, web: Web) -> list[Shard]:
    """The shards at a place, in natural order of their names.

    Raises:
        DataError: There is none.
    """
    if isinstance(place, Path):
        paths = [place]
        if place.is_dir():
            paths = [file for _, files in tree.folders(place) for file in files if tree.ending(file) == ".tar"]
        if not paths:
            raise DataError(f"{place} holds no shards: found {tree.contents(place)}, expected .tar files.")
        texts = [path.as_posix() for path in paths]
    else:
        texts = expand(place)
    root = root_of(texts) if not (isinstance(place, Path) and place.is_dir()) else f"{place.as_posix().rstrip('/')}/"
    found: dict[str, Shard] = {}
    for text in texts:
        plain = urllib.parse.urlsplit(text).path if "://" in text else text
        name = plain[len(urllib.parse.urlsplit(root).path if "://" in root else root) :]
        name = urllib.parse.unquote(name) if "://" in text else name
        name = name[:-4] if name.lower().endswith(".tar") else name
        if name in found:
            raise DataError(f"{_shown(str(place))} names the shard {name} twice; name each once.")
        found[name] = RemoteShard(name, text, web) if "://" in text else LocalShard(name, Path(text).absolute())
    return [found[name] for name in sorted(found, key=tree.natural)]


def root_of(texts: list[str]) -> str:
    """The folder that all of some paths or URLs lie in, with a slash at its end; without a URL's query."""
    folders = []
    for text in texts:
        plain = text.partition("?")[0].partition("#")[0] if "://" in text else text
        folders.append(plain.split("/")[:-1])
    shared = [
        parts[0] for parts in itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
    ]
    return "".join(f"{part}/" for part in shared)


def document_of(place: Path | str, web: Web, name: str) -> str | None:
    """The text of a file that lies beside the shards; `None` where there is none.

    Only plain names are asked of a server, so that no path of this machine leaves it.
    """
    if isinstance(place, Path):
        root = place.as_posix() if place.is_dir() else place.parent.as_posix()
    else:
        root = root_of(expand(place)).rstrip("/")
    if "://" not in root:
        path = Path(root or ".") / name
        return path.read_text(encoding="utf-8-sig") if path.is_file() else None
    if PurePosixPath(name).name != name or "\\" in name:
        return None
    data = web.document(f"{root}/{urllib.parse.quote(name)}")
    return None if data is None else data.decode("utf-8-sig", "replace")
