"""How long each frame of an animation is shown, read from the file without decoding a pixel.

Pillow tells a frame's duration once it has decoded it; what is needed before the first frame is their number and mean.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

_PNG = b"\x89PNG\r\n\x1a\n"
#: What players show for a duration of 0, and for GIF's 0 and 1 hundredths.
_INSTEAD_OF_ZERO = 0.1
#: A PNG with more chunks before its pixels is none that an encoder wrote.
_PNG_CHUNKS = 1000


def is_animation(file: BinaryIO) -> bool:
    """Whether a file is a GIF, an animated WebP (by the bit of its header) or an animated PNG (`acTL` before `IDAT`).

    Args:
        file: Open at its start, seekable; some of its first bytes are read.
    """
    head = file.read(21)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return True
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 21:
        return bool(head[20] & 2)
    if not head.startswith(_PNG):
        return False
    file.seek(len(_PNG))
    for number, (kind, _) in enumerate(_png_chunks(file)):
        if kind in (b"acTL", b"IDAT", b"IEND") or number > _PNG_CHUNKS:
            return kind == b"acTL"
    return False


def delays(file: BinaryIO) -> list[float]:
    """The seconds for which each frame of a GIF, WebP or PNG animation is shown, as players show it.

    A duration of 0 becomes 100 ms, and so do GIF's 0 and 1 hundredths of a second: so do all browsers, and files are
    made to look right there. The still that an animated PNG may carry for other viewers is no frame.

    Args:
        file: Open at its start, seekable; read to its end.

    Returns:
        One number a frame; empty for what is no animation.

    Raises:
        ValueError: The file ends in the middle of a frame, or before the frames that it declares.
    """
    head = file.read(12)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        file.seek(6)
        return [_INSTEAD_OF_ZERO if hundredths <= 1 else hundredths / 100 for hundredths in _gif(file)]
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        found = _webp(file, 8 + int.from_bytes(head[4:8], "little"))
    elif head.startswith(_PNG):
        file.seek(len(_PNG))
        found = _png(file)
    else:
        return []
    return [seconds or _INSTEAD_OF_ZERO for seconds in found]


def _gif(file: BinaryIO) -> Iterator[int]:
    """Hundredths of a second a frame (GIF89a §§18-26)."""
    _skip_table(file, _exactly(file, 7)[4])
    delay = 0
    while (introducer := file.read(1)) not in (b"", b";"):
        if introducer == b"!":
            control = _exactly(file, 1) == b"\xf9"
            first = _block(file)
            if control and len(first) >= 3:
                delay = int.from_bytes(first[1:3], "little")
            while first:
                first = _block(file)
        elif introducer == b",":
            _skip_table(file, _exactly(file, 9)[8])
            _exactly(file, 1)
            while _block(file):
                pass
            yield delay
            delay = 0


def _skip_table(file: BinaryIO, flags: int) -> None:
    """Passes over a colour table where the flags announce one."""
    if flags & 0x80:
        _exactly(file, 3 << ((flags & 7) + 1))


def _block(file: BinaryIO) -> bytes:
    """The next block of data; empty at the end of a sequence of blocks."""
    return _exactly(file, _exactly(file, 1)[0])


def _webp(file: BinaryIO, end: int) -> list[float]:
    """Seconds a frame (the `ANMF` chunks of the WebP container)."""
    found, place = [], 12
    while place + 8 <= end:
        file.seek(place)
        kind, size = struct.unpack("<4sI", _exactly(file, 8))
        if kind == b"ANMF":
            found.append(int.from_bytes(_exactly(file, 15)[12:], "little") / 1000)
        place += 8 + size + size % 2
    if end and file.seek(0, 2) < end - 1:  # some encoders leave the last byte of padding out
        raise ValueError(f"it ends after {file.tell()} of its {end} bytes")
    return found


def _png(file: BinaryIO) -> list[float]:
    """Seconds a frame (the `fcTL` chunks of the third edition of PNG)."""
    declared, found, ended = 0, [], False
    for kind, size in _png_chunks(file):
        if kind == b"acTL" and size == 8:
            declared = int.from_bytes(_exactly(file, 4), "big")
        elif kind == b"fcTL" and size == 26:
            numerator, denominator = struct.unpack(">HH", _exactly(file, 24)[20:])
            found.append(numerator / (denominator or 100))
        elif kind == b"IEND":
            ended = True
            break
    if not ended or len(found) < declared:
        raise ValueError(f"it ends after {len(found)} of its {declared} frames")
    return found[:declared]


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and size of one chunk after the other, the file standing at its data."""
    place = len(_PNG)
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[:4], "big")
        yield head[4:], size
        place += 12 + size
        file.seek(place)


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError("it ends in the middle of a frame")
    return data
