"""What a tar archive holds, from its headers alone: ustar, GNU and PAX, with every damage named.

Only regular files count. Links, devices, sparse files and names that lead out of the archive are passed over, and
nothing is ever written. Format: POSIX.1-2001 (pax), and GNU's extensions for long names.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from gadkit import DataError

_BLOCK = 512
_NO_DATA = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_LONGEST_NAME = 1 << 16
_LONGEST_PAX = 1 << 20
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class Reader(Protocol):
    """Bytes by their place."""

    size: int | None  #: The length, `None` where it is not known.

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer at the end. A pipe's offsets never fall."""


class DamageError(Exception):
    """An archive cannot be read further; the message says why, as what follows "the archive"."""


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive.

    Attributes:
        name: Its path, without a leading `./`.
        offset: Where its bytes begin.
        size: How many there are.
    """

    name: str
    offset: int
    size: int


def members(reader: Reader, refused: list[str]) -> Iterator[Member]:
    """The regular files of a tar, in its order, without hidden ones.

    Args:
        reader: Its bytes.
        refused: Takes the names that lead out of the archive or cannot be printed; their members are left out.

    Raises:
        DamageError: The archive is cut or damaged here; what came before is good.
        DataError: It is compressed, so that none of its members can be read alone.
    """
    offset = 0
    long_name: str | None = None
    common: dict[str, str] = {}
    own: dict[str, str] = {}
    while True:
        block = reader.read(offset, _BLOCK)
        if offset == 0:
            _refuse_compressed(block)
        if len(block) == _BLOCK and not any(block):
            return
        if not block:
            raise DamageError("ends without its end mark, so that more may be missing" if offset else "is empty")
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            cut = len(block) < _BLOCK
            raise DamageError(f"{'ends in' if cut else 'has no'} header at byte {offset}, {error}") from error
        data = offset + _BLOCK
        if header.type == tarfile.GNUTYPE_SPARSE:
            data = _after_sparse_map(reader, block, data)
        size = 0 if header.type in _NO_DATA else header.size
        if header.type == tarfile.GNUTYPE_LONGNAME:
            raw = _body(reader, data, size, _LONGEST_NAME)
            long_name = raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        elif header.type in _PAX:
            records = _pax(_body(reader, data, size, _LONGEST_PAX), offset)
            (common if header.type == tarfile.XGLTYPE else own).update(records)
        elif header.type != tarfile.GNUTYPE_LONGLINK:
            known = common | own
            if header.type not in _NO_DATA and "size" in known:
                size = _number(known["size"], offset)
            name = known.get("path") or long_name or header.name
            sparse = any(key.startswith("GNU.sparse.") for key in known)
            long_name, own = None, {}
            _check_end(reader, data, size, name, offset)
            if header.type in _REGULAR and not sparse:
                if inside := _inside(name):
                    yield Member(inside, data, size)
                elif inside is None:
                    refused.append(ascii(name))
        if size < 0:
            raise DamageError(f"has a header of negative size at byte {offset}")
        offset = data + -(-size // _BLOCK) * _BLOCK


def _refuse_compressed(block: bytes) -> None:
    for magic, name in _COMPRESSED.items():
        if block.startswith(magic):
            raise DataError(f"is compressed with {name}, so that its members cannot be read alone; unpack it to a .tar")


def _check_end(reader: Reader, data: int, size: int, name: str, offset: int) -> None:
    if size < 0:
        raise DamageError(f"has a header of negative size at byte {offset}")
    if reader.size is not None and data + size > reader.size:
        raise DamageError(f"ends early: {name} lacks {data + size - reader.size} of its {size} bytes")


def _after_sparse_map(reader: Reader, block: bytes, data: int) -> int:
    """Where the data of a sparse file begin: after the blocks by which its map is continued."""
    continued = block[482]
    while continued:
        block = reader.read(data, _BLOCK)
        if len(block) < _BLOCK:
            raise DamageError(f"ends in the map of a sparse file at byte {data}")
        continued = block[504]
        data += _BLOCK
    return data


def _body(reader: Reader, data: int, size: int, most: int) -> bytes:
    """The body of a member that describes the next."""
    if not 0 <= size <= most:
        raise DamageError(f"has a name of {size} bytes at byte {data}")
    body = reader.read(data, size) if size else b""
    if len(body) < size:
        raise DamageError(f"ends early, in a name at byte {data}")
    return body


def _pax(body: bytes, offset: int) -> dict[str, str]:
    """The records of a PAX header, each `LENGTH KEY=VALUE\\n`."""
    records = {}
    while body.rstrip(b"\0"):
        digits, _, rest = body.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        key, equals, value = rest[: length - len(digits) - 1].partition(b"=")
        if not equals or not value.endswith(b"\n") or length > len(body):
            raise DamageError(f"has a PAX header that makes no sense at byte {offset}")
        records[key.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
        body = body[length:]
    return records


def _number(text: str, offset: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise DamageError(f"has a PAX header with the size {text[:20]!r} at byte {offset}")
    return int(text)


def _inside(name: str) -> str | None:
    """A member's path within the archive; empty where it is hidden, `None` where it leads out or cannot be printed."""
    parts = PurePosixPath(name).parts
    if not name.isprintable() or name.startswith("/") or "\\" in name or ".." in parts:
        return None
    return "" if any(part.startswith(".") for part in parts) else "/".join(parts)
