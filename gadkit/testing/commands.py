"""Is a command one that `gadkit` can call: an application or a function, with help?"""

from __future__ import annotations

import inspect

import typer

from gadkit.registry.entry import Entry
from gadkit.testing.outside import check_help
from gadkit.testing.promises import promise


def check_command(entry: Entry) -> None:
    """Checks a command: its target loads, says what it does, and `gadkit NAME --help` works in a fresh process.

    Args:
        entry: The command.

    Raises:
        AssertionError: A broken promise.
    """
    target = entry.load()
    application = isinstance(target, typer.Typer)
    promise(
        application or callable(target),
        f"command {entry.qualified} is a Typer application or a function",
        f"{entry.component.target!r} is a {type(target).__name__}",
        "let the record's target name the application, or the function that does it",
    )
    promise(
        application or bool(inspect.getdoc(target)),
        f"command {entry.qualified} says what it does",
        "its function has no docstring",
        "write one: it is shown by --help",
    )
    check_help(entry)
