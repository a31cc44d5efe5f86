"""What a run's files say, as text on a page: bounded, without secrets, and harmless."""

from __future__ import annotations

import re
from typing import Any

from gadkit.pages.document import plain
from gadkit.pages.numbers import number_text

_SECRET = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{0,30}://)(?:[^/\s?#@]*@)?(?P<rest>[^\s?\"'<>]*)(?P<query>\?\S*)?"
)


def told(value: object, most: int = 300) -> str:
    """HTML of any value as text of at most `most` letters; of addresses neither names and passwords nor queries."""
    text = value if isinstance(value, str) else scalar_text(value)
    text = _SECRET.sub(_without_secrets, text[: 20 * most + 2000])
    return plain(text if len(text) <= most else f"{text[:most]} ... ({len(text):,} letters or more)")


def _without_secrets(found: re.Match[str]) -> str:
    return found["scheme"] + found["rest"] + ("?..." if found["query"] else "")


def scalar_text(value: Any) -> str:
    """A value as text: numbers short, texts as they are, lists with commas."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return number_text(value, 6)
    if isinstance(value, int):
        return str(value) if value.bit_length() < 200 else "a very large number"
    if isinstance(value, list | tuple):
        shown = ", ".join(scalar_text(each) if not isinstance(each, dict | list) else "..." for each in value[:50])
        return shown + (f" and {len(value) - 50:,} more" if len(value) > 50 else "")
    return str(value)[:10_000]


def nested(values: Any, most: int = 1000) -> str:
    """HTML of nested tables as one table of dotted names and values, at most so many rows.

    Args:
        values: Plain values, as JSON or TOML has them.
        most: The most rows.
    """
    rows: list[str] = []
    waiting: list[tuple[str, Any]] = [("", values)]
    left_out = 0
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, list) and any(isinstance(each, dict) for each in value):
            value = {str(number): each for number, each in enumerate(value)}
        if isinstance(value, dict) and (value or not name):
            inner = [(f"{name}.{key}"[:2000] if name else str(key), each) for key, each in value.items()]
            waiting += reversed(inner)
        elif len(rows) < most:
            rows.append(f'<tr><td class="name">{told(name)}</td><td class="value">{told(value, 1000)}</td></tr>')
        else:
            left_out += 1
    rest = f'<p class="soft">and {left_out:,} more</p>' if left_out else ""
    return f'<table class="values">{"".join(rows)}</table>{rest}' if rows else ""


def folded(summary: str, content: str, opened: bool = False) -> str:
    """HTML that is shown on demand; `summary` is any text, `content` is HTML."""
    if not content:
        return ""
    return f"<details{' open' if opened else ''}><summary>{told(summary)}</summary>{content}</details>"
