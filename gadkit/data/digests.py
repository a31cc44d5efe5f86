"""What a pack is made of, as a hash: the content of the files, which is remembered, and how they are looked at."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from gadkit.data.index import FORMAT
from gadkit.folders import cache_folder as cache_folder
from gadkit.interfaces.dataset import Dataset, Source
from gadkit.video.geometry import Geometry

#: The database in the cache.
DATABASE = "digests.sqlite"
#: Seconds after a change within which another may leave the time of change as it is.
_FRESH = 3.0
_TIMEOUT = 5.0
_NOT_NOW = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)

Progress = Callable[[int, int, str], None]


def content_key(
    dataset: Dataset,
    sources: Sequence[Source],
    geometry: Geometry,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> str:
    """A hash of everything that the frames of a pack depend on, 32 hexadecimal digits.

    That is the dataset's class and settings (each in an attribute of the same name), the names and locators of the
    videos, the content of their files, and the geometry. Labels and the place of the files are not part of it. Where a
    video has no files, all attributes of the dataset are.

    Args:
        dataset: The dataset.
        sources: Its videos.
        geometry: Of the frames.
        cache: Where the digests of files are remembered; by default `cache_folder()`.
        progress: Called as `progress(done, total, name)` while files are read that are not remembered.
    """
    kind = type(dataset)
    missing = object()
    names = [
        parameter.name
        for parameter in inspect.signature(kind.__init__).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    settings: Mapping[str, Any] = {name: getattr(dataset, name, missing) for name in names}
    if missing in settings.values() or not all(source.files for source in sources):
        # What cannot be told from settings and files may hide in any attribute.
        settings = vars(dataset)
    identity = [
        FORMAT,
        geometry.to_dict(),
        f"{kind.__module__}:{kind.__qualname__}",
        sorted((name, _plain(value)) for name, value in settings.items()),
    ]
    contents = digests((file for source in sources for file in source.files), cache or cache_folder(), progress)
    whole = hashlib.sha256(json.dumps(identity).encode())
    for source in sources:
        # The ending, because readers look at it; the rest of a file's name stands in the video's, where it matters.
        files = [[file.suffix.lower(), contents[file]] for file in source.files]
        whole.update(json.dumps([source.name, source.locator, files]).encode() + b"\n")
    return whole.hexdigest()[:32]


def _plain(value: Any) -> str:
    """A value as text that is the same for equal values; of arrays, their content."""
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"array {value.shape} {value.dtype} {content}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(_plain, value))})"
    if isinstance(value, dict):
        return f"dict({', '.join(f'{key!r}: {_plain(item)}' for key, item in value.items())})"
    return repr(value)


def digests(files: Iterable[Path], cache: Path, progress: Progress | None = None) -> dict[Path, str]:
    """The SHA-256 of files, in hexadecimal; an empty text for what cannot be read.

    A digest is remembered under the file's place, size, time of change and inode, and not computed again while these
    stay as they are.

    Args:
        files: The files; each is looked at once.
        cache: Where they are remembered; without rights there, they are computed each time.
        progress: Called as `progress(done, total, name)` after each file that is read.
    """
    stamps = {file: _stamp(file) for file in dict.fromkeys(files)}
    with _Memory(cache) as memory:
        known = {file: memory.recall(file, stamp) for file, stamp in stamps.items()}
        unknown = [file for file, digest in known.items() if digest is None]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="gadkit-digest") as pool:
            try:
                for done, (file, digest) in enumerate(zip(unknown, pool.map(_digest, unknown), strict=True), 1):
                    known[file] = digest
                    memory.remember(file, stamps[file], digest)
                    if progress is not None:
                        progress(done, len(unknown), f"checking {file.name}")
            finally:
                pool.shutdown(cancel_futures=True)
    return {file: digest or "" for file, digest in known.items()}


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return ""


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Size, time of change and inode; `None` where the file cannot be looked at."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


class _Memory:
    """Digests in a small database, which processes share; forgetful where it cannot be used."""

    def __init__(self, cache: Path) -> None:
        self._path = cache / DATABASE
        self._database: sqlite3.Connection | None = None

    def __enter__(self) -> _Memory:
        for _ in range(2):
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._database = self._open()
                break
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", None) in _NOT_NOW:
                    break
                with contextlib.suppress(OSError):  # no database, a damaged one, or another one
                    self._path.unlink()
            except OSError:
                break
        return self

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_TIMEOUT, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous = OFF")  # what a power loss spoils is begun anew
            database.execute(
                "CREATE TABLE IF NOT EXISTS digests "
                "(path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, inode INTEGER, sha256 TEXT)"
            )
            database.execute("SELECT path, size, changed, inode, sha256 FROM digests LIMIT 1").fetchone()
        except BaseException:
            database.close()
            raise
        return database

    def __exit__(self, *_: object) -> None:
        if self._database is not None:
            self._database.close()

    def recall(self, file: Path, stamp: tuple[int, int, int] | None) -> str | None:
        """The digest of a file that did not change since it was computed; `None` where none is known."""
        if self._database is None or stamp is None:
            return None
        with _forgiving():
            row = self._database.execute(
                "SELECT sha256 FROM digests WHERE path = ? AND size = ? AND changed = ? AND inode = ?",
                (_name(file), *_signed(stamp)),
            ).fetchone()
            if row and isinstance(row[0], str) and len(row[0]) == 64:
                return row[0]
        return None

    def remember(self, file: Path, stamp: tuple[int, int, int] | None, digest: str) -> None:
        """Notes a digest, unless the file changed while it was read, or so lately that it may change unseen."""
        if self._database is None or stamp is None or not digest or _stamp(file) != stamp:
            return
        if abs(time.time() - stamp[1] / 1e9) < _FRESH:
            return
        with _forgiving():
            self._database.execute(
                "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)", (_name(file), *_signed(stamp), digest)
            )


@contextlib.contextmanager
def _forgiving() -> Iterator[None]:
    """What the database cannot do is not remembered."""
    with contextlib.suppress(sqlite3.Error):
        yield


def _name(file: Path) -> str:
    return os.fsencode(file.absolute()).decode("utf-8", "backslashreplace")


def _signed(stamp: tuple[int, int, int]) -> tuple[int, int, int]:
    """The numbers as 64-bit ones with a sign, which is what the database holds."""
    size, changed, inode = stamp
    return size, changed, (inode + (1 << 63)) % (1 << 64) - (1 << 63)
