"""The journal of a pack that is being made: which videos stand in its shards, so that a broken pack is gone on with.

Each line begins with a checksum of the rest. The first says what pack it is; each later one is about the next video of
the dataset: where its frames lie, with their hash, or why there are none. What the journal says of frames is compared
with the shards before it is trusted, because after a power loss they may not have reached the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gadkit.data.index import CHANNELS, PackedVideo, parse_geometry, parse_video, text
from gadkit.data.shards import HEADER_BYTES, shard_name

NAME = "journal.jsonl"

Entry = PackedVideo | tuple[str, str]


class Journal:
    """Appends to a journal; a context manager.

    Args:
        folder: The unfinished pack.
        head: What the first line must say.
        names: The names of the dataset's videos, in order.

    Attributes:
        entries: What stands in it: videos, and `(name, reason)` of those that were skipped.
    """

    def __init__(self, folder: Path, head: Mapping[str, Any], names: Sequence[str]) -> None:
        self.path = folder / NAME
        found, entries, ends = read_journal(self.path)
        if found != head:
            entries, ends = [], [0]
        good = _verified(folder, head, entries, names)
        self.entries = entries[:good]
        self._file = self.path.open("ab")
        self._file.truncate(ends[good])
        if ends[good] == 0:
            self._write(dict(head))

    def add(self, entry: Entry) -> None:
        """Notes the next video, whose frames stand in the shard."""
        self.entries.append(entry)
        self._write(_plain(entry))

    def _write(self, values: dict[str, Any]) -> None:
        self._file.write(_line(values))
        self._file.flush()

    def filled(self) -> list[int]:
        """How many frames each shard holds."""
        frames: list[int] = []
        for entry in self.entries:
            if isinstance(entry, PackedVideo):
                frames += [0] * (entry.shard + 1 - len(frames))
                frames[entry.shard] += entry.length
        return frames

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def read_journal(path: Path) -> tuple[dict[str, Any] | None, list[Entry], list[int]]:
    """What can be read of a journal, up to the first line that is damaged.

    Returns:
        The first line, `None` where there is none; the entries; and the bytes up to the end of the first line and of
        each entry, 0 alone where there is no first line.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return None, [], [0]
    head: dict[str, Any] | None = None
    entries: list[Entry] = []
    ends: list[int] = [0]
    for line in lines:
        try:
            values = json.loads(line[9:])
            if line != _line(values):
                break
            if head is None:
                parse_geometry(values["geometry"])
                head, ends = values, [len(line)]
                continue
            entries.append(
                parse_video(values) if "sha256" in values else (text(values, "name"), text(values, "reason"))
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            break
        ends.append(ends[-1] + len(line))
    return head, entries, ends


def _line(values: dict[str, Any]) -> bytes:
    content = json.dumps(values).encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _plain(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, PackedVideo):
        return {name: value for name, value in asdict(entry).items() if name not in ("label", "columns")}
    return {"name": entry[0], "reason": entry[1]}


def _verified(folder: Path, head: Mapping[str, Any], entries: Sequence[Entry], names: Sequence[str]) -> int:
    """How many entries, from the first, are about the dataset's videos and have their frames in the shards."""
    size = head["geometry"]["height"] * head["geometry"]["width"] * CHANNELS
    shard, end = 0, 0
    for position, entry in enumerate(entries):
        name = entry.name if isinstance(entry, PackedVideo) else entry[0]
        if position >= len(names) or name != names[position]:
            return position
        if not isinstance(entry, PackedVideo):
            continue
        if entry.shard == shard + 1 and end > 0:
            shard, end = shard + 1, 0
        if (entry.shard, entry.start) != (shard, end):
            return position
        end += entry.length
        if _hash(folder / shard_name(shard), HEADER_BYTES + entry.start * size, entry.length * size) != entry.sha256:
            return position
    return len(entries)


def _hash(path: Path, start: int, count: int) -> str:
    """The hash of a part of a file; of less where it ends before."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            os.lseek(file.fileno(), start, os.SEEK_SET)
            while count > 0 and (block := os.read(file.fileno(), min(count, 1 << 20))):
                digest.update(block)
                count -= len(block)
    except OSError:
        return ""
    return digest.hexdigest()
