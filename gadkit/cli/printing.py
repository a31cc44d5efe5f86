"""Tables and JSON, for a terminal and for a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import typer


def print_json(document: Any) -> None:
    """One JSON object; what does not print is spelled as an escape, so that a terminal can take it."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    typer.echo("".join(letter if letter.isprintable() or letter == "\n" else _escape(letter) for letter in text))


def _escape(letter: str) -> str:
    return json.dumps(letter)[1:-1] if letter != "\x7f" else "\\u007f"


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], whole: Sequence[str] = ()) -> None:
    """A table on a terminal; on a pipe plain columns, two spaces between them.

    Args:
        head: The names of the columns.
        rows: Their cells.
        whole: The columns that a narrow terminal does not fold.
    """
    from gadkit.words import printable

    rows = [tuple(map(printable, row)) for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in head:
            table.add_column(name, no_wrap=name in whole, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))  # plain text: a summary may hold [brackets]
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        typer.echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
