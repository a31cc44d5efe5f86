"""`gadkit plugins check`: the conformance kit on the command line."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from gadkit.cli import console
from gadkit.cli.completion import complete_kind

if TYPE_CHECKING:
    from gadkit.testing.kit import Check

_MARKS = {"kept": "ok", "broken": "fail", "skipped": "skip"}
_COLOURS = {"kept": "green", "broken": "bold red", "skipped": "yellow"}
_INDENT = 6
_LABELS = 10


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a check.

    Attributes:
        kind: Of the component.
        name: Of the component.
        aspect: What was checked.
        status: `kept`, `broken`, or `skipped` where it could not be tried here.
        seconds: How long it took.
        promised: For a broken promise, what it was.
        found: What was found.
        mend: What to do.
        reason: For what was not tried, why.
    """

    kind: str
    name: str
    aspect: str
    status: Literal["kept", "broken", "skipped"]
    seconds: float
    promised: str = ""
    found: str = ""
    mend: str = ""
    reason: str = ""


def _complete(incomplete: str) -> list[tuple[str, str]]:
    from gadkit.errors import GadkitError
    from gadkit.registry import get_registry

    try:
        entries = get_registry().entries()
    except GadkitError:  # a shell cannot show it; the command itself will
        return []
    named = {entry.distribution: entry.provider for entry in entries}
    named |= {entry.name: entry.component.summary for entry in entries}
    return [(name, told) for name, told in named.items() if name.startswith(incomplete)]


def check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|DIST|PATH",
            help="A component (sparkle, acme-gan:sparkle), a distribution (gadkit-sparkle), a plugin file (my.py), or "
            "the folder of a package.",
            autocompletion=_complete,
            show_default=False,
        ),
    ],
    kind: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--kind", help="Only components of this kind.", autocompletion=complete_kind),
    ] = None,
    sets: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="What a component is built with, such as width=8; of several components, generator.width=8.",
        ),
    ] = None,
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--data", metavar="PATH", help="What a dataset is tried on."),
    ] = None,
    only: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--only", metavar="TEXT", help="Only checks with this in their names, such as training."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Check that components keep every promise of their interfaces: contracts, devices, a short training, and more.

    Exit code 0: all is kept; 1: a promise is broken; 2: there is nothing of that name.
    """
    from gadkit.testing.kit import conformance

    checks = _chosen(conformance(what, kind=kind, data=data, **_settings(sets or [])), only)
    if as_json:
        from gadkit.cli.printing import print_json

        done = list(_run(checks))
        print_json({"ok": not any(each.status == "broken" for each in done), "checks": [asdict(each) for each in done]})
    elif sys.stdout.isatty():
        done = _print_rich(checks)
    else:
        done = []
        for each in _run(checks):
            done.append(each)
            print("\n".join(_lines(each)), flush=True)
        print(_summary(done))
    if any(each.status == "broken" for each in done):
        raise typer.Exit(1)


def _settings(sets: list[str]) -> dict[str, Any]:
    from gadkit.errors import ConfigError
    from gadkit.layers import toml_value

    settings = {}
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {text!r}: expected key=value, such as width=8.")
        settings[key.strip()] = toml_value(value.strip())
    return settings


def _chosen(checks: list[Check], only: str | None) -> list[Check]:
    from gadkit.errors import ConfigError

    if only is None:
        return checks
    chosen = [each for each in checks if only.lower() in str(each).lower()]
    if not chosen:
        aspects = ", ".join(dict.fromkeys(each.aspect for each in checks))
        raise ConfigError(f"--only {only!r}: no check has this in its name; they are about: {aspects}.")
    return chosen


def _run(
    checks: list[Check], watched: Callable[[Check], AbstractContextManager[Any]] = lambda check: nullcontext()
) -> Iterator[Outcome]:
    """Makes the checks one after another; what components print goes to standard error.

    Args:
        checks: The checks.
        watched: Makes a context in which a check runs.
    """
    from unittest import SkipTest

    from gadkit.registry.importing import quiet
    from gadkit.testing.kit import Broken

    for each in checks:
        began = time.perf_counter()
        told: dict[str, str] = {}
        status: Literal["kept", "broken", "skipped"] = "kept"
        try:
            with watched(each), quiet(), warnings.catch_warnings():
                if not console.verbose:
                    warnings.simplefilter("ignore")
                each()
        except SkipTest as reason:
            status, told = "skipped", {"reason": str(reason)}
        except Broken as broken:
            status = "broken"
            told = {"promised": broken.promised, "found": broken.found, "mend": broken.mend}
            if console.verbose:
                _print_traceback(broken)
        seconds = round(time.perf_counter() - began, 3)
        yield Outcome(kind=each.kind, name=each.name, aspect=each.aspect, status=status, seconds=seconds, **told)


def _print_traceback(error: BaseException) -> None:
    import traceback

    console.say("".join(traceback.format_exception(error)).rstrip())


def _lines(done: Outcome, width: int | None = None) -> list[str]:
    """The lines of an outcome, wrapped to a width where there is one."""
    lines = [f"{_MARKS[done.status]:{_INDENT - 2}}  {done.kind} {done.name}: {done.aspect}  {done.seconds:.1f} s"]
    for label, text in _told(done):
        head = " " * _INDENT + f"{label:{_LABELS}}"
        if width is None:
            lines.append(head + " ".join(text.split()))
        else:
            rest = " " * len(head)
            wrapped = textwrap.wrap(
                text, max(width, len(head) + 20), initial_indent=head, subsequent_indent=rest, break_on_hyphens=False
            )
            lines += wrapped or [head]
    return lines


def _told(done: Outcome) -> list[tuple[str, str]]:
    from gadkit.words import printable

    several = {"promised": done.promised, "found": done.found, "to mend": done.mend, "because": done.reason}
    return [(label, printable(" ".join(text.split()))) for label, text in several.items() if text]


def _print_rich(checks: list[Check]) -> list[Outcome]:
    from rich.console import Console
    from rich.text import Text

    out, status = Console(highlight=False), Console(stderr=True)
    width = min(shutil.get_terminal_size().columns, 110)
    done = []
    for each in _run(checks, lambda check: status.status(Text(f"{check}"), spinner="dots")):
        done.append(each)
        first, *rest = _lines(each, width)
        mark, name = first[:_INDENT], first[_INDENT:]
        what, _, seconds = name.rpartition("  ")
        out.print(Text.assemble((mark, _COLOURS[each.status]), what, "  ", (seconds, "dim")), soft_wrap=True)
        for line in rest:
            label, text = line[: _INDENT + _LABELS], line[_INDENT + _LABELS :]
            out.print(Text.assemble((label, "dim"), text), soft_wrap=True)
    out.print(Text(_summary(done), "bold red" if any(each.status == "broken" for each in done) else "bold"))
    return done


def _summary(done: list[Outcome]) -> str:
    counts = {status: sum(each.status == status for each in done) for status in _MARKS}
    words = [f"{counts['kept']} kept", f"{counts['broken']} broken"]
    if counts["skipped"]:
        words.append(f"{counts['skipped']} not tried")
    return f"{', '.join(words)}, in {sum(each.seconds for each in done):.1f} s"
