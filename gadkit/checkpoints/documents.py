"""JSON that others may have written: bounded in size and depth before it is parsed."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

#: Bytes of the longest document, and its most lists and objects, each of which takes a parser eighty bytes and more.
LONGEST = 16 << 20
MOST = 1 << 20
#: How deep lists and objects may be nested.
DEEPEST = 100

#: Strings, and runs of anything else that opens and closes nothing. Possessive: no length of text needs a stack.
_FLAT = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[^][{}"]++', re.DOTALL)
_RISE = [0] * 256
for _mark, _rise in ((b"[", 1), (b"{", 1), (b"]", -1), (b"}", -1)):
    _RISE[_mark[0]] = _rise


def dump(document: Any) -> bytes:
    """The text of a document, which `parse` reads again.

    Raises:
        ValueError: It is too large or too deep.
    """
    try:
        text = json.dumps(document, indent=1)
    except RecursionError:
        raise ValueError(_too_deep()) from None
    data = text.encode() + b"\n"  # ASCII: json escapes the rest
    _check(data)
    return data


def parse(data: bytes) -> Any:
    """What a text says.

    Raises:
        ValueError: It is too large, too deep, or no JSON.
    """
    _check(data)
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 at byte {error.start}") from error
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    except RecursionError:  # where the stack is nearly spent already
        raise ValueError(_too_deep()) from None


def check_length(size: int) -> None:
    """Refuses a document by its size in bytes, before it is read."""
    if size > LONGEST:
        raise ValueError(f"it has {size} bytes of JSON, more than {LONGEST}")


def _check(data: bytes) -> None:
    check_length(len(data))
    opened = data.count(b"[") + data.count(b"{")
    if opened > MOST:
        raise ValueError(f"its JSON has {opened} brackets that open, more than {MOST}")
    if opened > DEEPEST:  # else it cannot be deeper
        depths = itertools.accumulate(map(_RISE.__getitem__, _FLAT.sub(b"", data)))
        if any(map(DEEPEST.__lt__, depths)):
            raise ValueError(_too_deep())


def _too_deep() -> str:
    return f"its JSON is nested deeper than {DEEPEST} levels"
