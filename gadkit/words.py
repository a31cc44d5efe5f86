"""Numbers and names as people read them."""

from __future__ import annotations

import math
import re

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def size_text(count: float) -> str:
    """Bytes: `"1.5 GiB"`."""
    if count < 1:
        return "0 B"
    power = min(int(math.log(count, 1024)), 4)
    value = count / 1024**power
    return f"{value:.{3 if value < 999.5 else 4}g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def duration_text(seconds: float) -> str:
    """Seconds: `"0.64 s"`, `"3 min 20 s"`, `"2 h 5 min"`, `"3 days 4 h"`."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 0.1:
        return f"{seconds:.2g} s"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for big, small, big_name, small_name in ((86400, 3600, "day", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= big:
            count, rest = whole // big, whole % big // small
            name = "days" if big_name == "day" and count > 1 else big_name
            return f"{count} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"


def parse_duration(text: str) -> float | None:
    """Seconds from `90`, `90s`, `30m`, `1.5h` or `2d`; `None` where it is no such text."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    return float(match[1]) * _UNITS[match[2]] if match else None


def rate_text(fps: float) -> str:
    """A frame rate: `"29.97 Hz"`."""
    return f"{round(fps, 3):.7g} Hz"


def count_text(count: int, one: str, several: str = "") -> str:
    """A count with its noun: `"1 video"`, `"1,200 videos"`."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def printable(text: str) -> str:
    """Text that any terminal, file or page can take: what does not print is spelled as its escape.

    Names of files may hold control characters, bytes that are no UTF-8, and marks that turn the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "backslashreplace").decode("ascii")
        for letter in text
    )
