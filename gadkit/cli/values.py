"""Values that flags take: sizes, durations and numbers of clips."""

from __future__ import annotations

import re

from gadkit.errors import ConfigError
from gadkit.words import parse_duration


def parse_time(text: str | None, flag: str = "--max-time") -> float | None:
    """Seconds from `90`, `90s`, `30m`, `1.5h` or `2d`."""
    if text is None:
        return None
    seconds = parse_duration(text)
    if not seconds:
        raise ConfigError(f"{flag}: found {text!r}, expected a time such as 90s, 30m or 2h.")
    return seconds


def parse_often(text: str | None) -> int | str | None:
    """A number of steps, or a time that the configuration knows how to read."""
    return int(text) if text is not None and text.strip().isdecimal() else text


def parse_size(text: str | None) -> tuple[int, int] | None:
    """(width, height) in pixels from `64` or `96x64`."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text.strip())
    if match is None or int(match[1]) == 0 or match[2] == "0":
        raise ConfigError(f"--resolution: found {text!r}, expected a side such as 64, or width x height such as 96x64.")
    return int(match[1]), int(match[2] or match[1])


def parse_clips(text: str | None) -> int | str | None:
    """A number of clips, or a word that the configuration knows."""
    return int(text) if text is not None and text.strip().isdecimal() else text
