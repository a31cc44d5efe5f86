"""Tables: TOML that others may have written, bounded in size and depth before it is parsed; and dotted keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

#: Bytes of the longest document.
LONGEST = 1 << 20
#: How many parts a dotted key may have. A parser keeps every beginning of a key, so its work grows with their square.
DEEPEST = 32

_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
# Possessive, and begun only where a word begins: no text makes it slow. In a text or comment it would count as well.
_DEEP = re.compile(rf"(?<![\w-]){_PART}(?:\.[ \t]*+{_PART}){{{DEEPEST}}}")


def parse_toml(data: bytes) -> dict[str, Any]:
    """What a text says.

    Raises:
        ValueError: It is too large, too deep, no UTF-8, or no TOML; the message is the end of a sentence, and names the
            line where it can.
    """
    if len(data) > LONGEST:
        raise ValueError(f"is longer than {LONGEST:,} bytes, the most that are read as TOML")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"is not UTF-8 (at line {line}): save it as UTF-8") from error
    if (found := _DEEP.search(text)) is not None:
        raise ValueError(
            f"has a key of more than {DEEPEST} parts (at line {text.count(chr(10), 0, found.start()) + 1})"
        )
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # what is no TOML, or a number or a list beyond Python's limits
        raise ValueError(f"is not TOML: {error}") from error


def flattened(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables, each with its dotted key."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
