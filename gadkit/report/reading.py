"""What lies in a run's folder, read within bounds: its files may come from anywhere, and may be hurt."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from gadkit import tables
from gadkit.checkpoints.documents import LONGEST, parse
from gadkit.words import size_text

_TROUBLES = 20


class Files:
    """Reads the files of a folder; what cannot be read is told and left out.

    Args:
        folder: The run's folder.

    Attributes:
        folder: The same.
        troubles: Sentences about what could not be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.troubles: list[str] = []
        self._untold = 0
        self._home = os.path.realpath(folder)

    def told(self) -> list[str]:
        """The sentences, with how many more there would be."""
        return self.troubles + ([f"and {self._untold:,} more files like these"] if self._untold else [])

    def trouble(self, path: Path, what: str) -> None:
        """Notes what is wrong with a file."""
        if len(self.troubles) < _TROUBLES:
            self.troubles.append(f"{path.relative_to(self.folder).as_posix()}: {what}")
        else:
            self._untold += 1

    def matching(self, folder: str, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
        """What lies in a folder of the run under such names, in their order; nothing where there is none."""
        path = self.folder / folder
        try:
            names = os.listdir(path) if self._is_own(path, stat.S_ISDIR) else []
        except OSError as error:
            self.trouble(path, f"cannot be read ({error.strerror or error})")
            return []
        return [(path / name, match) for name in sorted(names) if (match := pattern.fullmatch(name))]

    def size(self, path: Path) -> int | None:
        """Bytes of a file; `None` where it is none, or none of the run's own."""
        try:
            return path.stat().st_size if self._is_own(path, stat.S_ISREG) else None
        except OSError:
            return None

    def changed(self, path: Path) -> float | None:
        """When a file was written last, in seconds since the epoch."""
        try:
            return path.stat().st_mtime
        except OSError:
            return None

    def read(self, path: Path, most: int) -> bytes | None:
        """A file's content; `None` where there is none, or where it is larger than `most` bytes, which is told."""
        try:
            if not self._is_own(path, stat.S_ISREG):
                return None
            with path.open("rb") as file:
                content = file.read(most + 1)
        except OSError as error:
            self.trouble(path, f"cannot be read ({error.strerror or error})")
            return None
        if len(content) > most:
            self.trouble(path, f"has more than {size_text(most)} and is left out")
            return None
        return content

    def json(self, path: Path) -> dict[str, Any]:
        """An object from a JSON file; empty where there is none."""
        content = self.read(path, LONGEST)
        if content is None:
            return {}
        try:
            found = parse(content)
        except ValueError as error:
            self.trouble(path, f"cannot be read ({error})")
            return {}
        if not isinstance(found, dict):
            self.trouble(path, "is no JSON object")
            return {}
        return found

    def toml(self, path: Path) -> dict[str, Any]:
        """The tables of a TOML file; empty where there is none."""
        content = self.read(path, tables.LONGEST)
        if content is None:
            return {}
        try:
            return tables.parse_toml(content)
        except ValueError as error:
            self.trouble(path, str(error))
            return {}

    def _is_own(self, path: Path, kind: Any) -> bool:
        """Whether something is there, of that kind, and lies in the run's folder, also by links."""
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return False
        if os.path.commonpath([self._home, os.path.realpath(path)]) != self._home:
            self.trouble(path, "is a link that leads out of the run's folder, and is left out")
            return False
        if not kind(mode):
            self.trouble(path, "is no file" if kind is stat.S_ISREG else "is no folder")
            return False
        return True


def lines_of(files: Files, path: Path, most: int, block: int = 1 << 20) -> Iterator[list[bytes]]:
    """The whole lines of a file, block by block; of a larger one than `most` bytes some blocks, spread evenly.

    A last line that has no end yet is left out: it is being written. One that goes on beyond its block is left out too.
    """
    size = files.size(path)
    if size is None:
        return
    starts: Iterable[int] = range(0, size, block)
    if size > most:
        count = max(2, most // block)
        starts = [round(number * (size - block) / (count - 1)) for number in range(count)]
        files.trouble(path, f"has {size_text(size)}; {size_text(most)} of it are shown, spread over the whole")
    whole = size <= most
    rest = b""
    try:
        with path.open("rb") as file:
            for start in starts:
                file.seek(start)
                content = rest + file.read(block)
                if not whole and start:
                    content = content.partition(b"\n")[2]
                content, _, rest = content.rpartition(b"\n")
                if not whole or len(rest) > 4 * block:
                    rest = b""
                yield content.splitlines()
    except OSError as error:
        files.trouble(path, f"cannot be read ({error.strerror or error})")


def objects_of(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """The object that each line of JSON is; an empty one for a line that is none."""
    if all(line.startswith(b'{"') and line.endswith(b"}") for line in lines):
        try:  # all at once, because each alone takes half as much again
            found = json.loads(b"[" + b",".join(lines) + b"]")
        except (ValueError, RecursionError):
            found = []
        if len(found) == len(lines) and all(type(each) is dict for each in found):
            return cast("list[dict[str, Any]]", found)
    return [_object_of(line) for line in lines]


def _object_of(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line) if line else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
