"""WebDataset shards that come through a pipe: standard input or a FIFO, read once."""

from __future__ import annotations

import contextlib
import io
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal

from gadkit import DataError, Dataset, Footage, Source
from gadkit.video.decode import open_video
from gadkit.video.stills import is_animation, open_animation
from gadkit_plugins.data.webdataset import samples

#: Videos of more bytes are left out, since a pipe's are held whole.
_MOST = 1 << 30
_PIECE = 1 << 20


class WebDatasetPipe(Dataset):
    """A tar that comes through a pipe, whose consecutive members with one key are a sample, as WebDataset writes them.

    What comes is read once, in its own order, by one process: such a run can be neither repeated nor resumed exactly.
    Several tars may follow each other.

    Args:
        path: `-` for standard input, or a FIFO.
        class_names: The classes, where samples have labels; a pipe cannot be searched for them first.
    """

    access: ClassVar[Literal["pack", "stream", "pipe"]] = "pipe"
    remote: ClassVar[bool] = True

    def __init__(self, path: Path | str, *, class_names: tuple[str, ...] = ()) -> None:
        if not self.accepts(path):
            raise DataError(f"{path} is no pipe; expected - for standard input, or a FIFO.")
        self.path = path
        self.class_names = class_names
        self._faults: list[tuple[str, str]] = []

    @classmethod
    def accepts(cls, path: Path | str) -> bool:
        """`-`, or a FIFO."""
        if isinstance(path, str):
            return path == "-"
        try:
            return stat.S_ISFIFO(path.stat().st_mode)
        except OSError:
            return False

    def sources(self) -> Sequence[Source]:
        """There is no list."""
        raise DataError(
            f"{self.path} is a pipe, whose videos are not known before they come; it can be trained on only."
        )

    def open(self, source: Source) -> Footage:
        """Nothing in a pipe can be opened again."""
        raise DataError(f"{source.name} came through a pipe and is gone; read the shards from files instead.")

    def classes(self) -> Sequence[str]:
        """The classes of the settings."""
        return self.class_names

    def document(self, name: str) -> str | None:
        """Nothing lies beside a pipe."""
        return None

    def faults(self) -> Sequence[tuple[str, str]]:
        """What was found damaged so far."""
        return self._faults

    def read(self) -> Iterator[tuple[Source, Footage]]:
        """The videos as they come."""
        with self._pipe() as file:
            number = 0
            head = file.read(1)
            while head:
                reader = Forward(file, head)
                name = "the pipe" if number == 0 else f"tar {number + 1} of the pipe"
                faults: list[tuple[str, str]] = []
                yield from _videos(reader, name, f"{number}/" * (number > 0), faults)
                self._faults += [(f"{name}: {member}" if member else name, reason) for member, reason in faults]
                if any(not member for member, _ in faults):
                    return  # where the next tar begins is not known
                head = reader.skip_padding()
                number += 1

    @contextlib.contextmanager
    def _pipe(self) -> Iterator[BinaryIO]:
        if isinstance(self.path, str):
            yield sys.stdin.buffer
            return
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}; check the rights of the pipe.") from error
        with file:
            yield file


class Forward:
    """A pipe as the reader of a tar.

    Args:
        file: The pipe.
        head: What was read of it already.
    """

    size: int | None = None

    def __init__(self, file: BinaryIO, head: bytes = b"") -> None:
        self._file, self._head, self._at = file, head, 0

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, which never falls; fewer at the end."""
        while self._at < offset and self._take(min(_PIECE, offset - self._at)):
            pass
        found = bytearray()
        while len(found) < size and (piece := self._take(min(_PIECE, size - len(found)))):
            found += piece
        return bytes(found)

    def skip_padding(self) -> bytes:
        """The first bytes of the next tar, if any: a tar ends with blocks of zeros, as many as its writer likes."""
        block = self._take(512)
        while block and not any(block):
            block = self._take(512)
        return block

    def _take(self, size: int) -> bytes:
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
        else:
            piece = self._file.read(size)
        self._at += len(piece)
        return piece


def _videos(reader: Forward, name: str, prefix: str, faults: list[tuple[str, str]]) -> Iterator[tuple[Source, Footage]]:
    """The videos of one tar; those of a sample come when its last member has."""
    key = ""
    note: dict[str, bytes] = {}
    held: list[tuple[str, bytes]] = []
    try:
        for member in samples.walk(reader, faults):
            if samples.split(member.name)[0] != key:
                yield from _sample(key, prefix, note, held, faults)
                key, note, held = samples.split(member.name)[0], {}, []
            kind = samples.spoken(member.name, member.size)
            if not kind and not samples.is_video(member.name):
                continue
            if member.size > _MOST:
                faults.append((member.name, f"it has {member.size} bytes, and a pipe's videos have at most {_MOST}."))
                continue
            data = reader.read(member.offset, member.size)
            if len(data) < member.size:
                faults.append((member.name, f"it ends after {len(data)} of its {member.size} bytes."))
            elif kind:
                note[kind] = data
            elif samples.is_moving(member.name, data):
                held.append((member.name, data))
        yield from _sample(key, prefix, note, held, faults)
    except DataError as error:
        raise DataError(f"{name} {error}.") from error


def _sample(
    key: str, prefix: str, note: dict[str, bytes], held: list[tuple[str, bytes]], faults: list[tuple[str, str]]
) -> Iterator[tuple[Source, Footage]]:
    label, columns, problem = samples.describe(note)
    if problem:
        faults.append((f"{key}.json", problem))
    for member, data in held:
        path, file = Path(member), io.BytesIO(data)
        source = Source(name=prefix + member, label=label, columns=columns)
        try:
            footage = open_animation(path, file) if is_animation(path, file) else open_video(path, file)
        except DataError as error:
            faults.append((source.name, str(error)))
        else:
            yield source, footage
