"""`gadkit doctor`: what this machine can do, what is missing, and the line that installs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gadkit.doctor import Check

_MARKS = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[bold red]fail[/]"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Check this machine: versions, plugins, devices, codecs, and one double-backward step on each device."""
    from gadkit.doctor import examine

    if as_json:
        checks = list(examine())
        _print_json(checks)
    elif sys.stdout.isatty():
        checks = _print_rich(examine())
    else:
        checks = _print_plain(examine())
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


def _summary(checks: list[Check]) -> str:
    failed, warned = (sum(check.status == status for check in checks) for status in ("fail", "warn"))
    if failed:
        return f"{failed} of {len(checks)} checks failed: do what stands behind the arrows."
    if warned:
        return f"gadkit works here; {warned} of {len(checks)} checks have something to say."
    return f"gadkit works here: all {len(checks)} checks passed."


def _print_json(checks: list[Check]) -> None:
    import dataclasses

    ok = all(check.status != "fail" for check in checks)
    print(json.dumps({"ok": ok, "checks": [dataclasses.asdict(check) for check in checks]}, indent=2))


def _print_plain(checks: Iterable[Check]) -> list[Check]:
    done = []
    for check in checks:
        done.append(check)
        print(f"{check.status:4}  {check.group}  {check.name}: {check.text}")
        if check.remedy:
            print(f"      -> {check.remedy}")
    print(_summary(done))
    return done


def _print_rich(checks: Iterable[Check]) -> list[Check]:
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding

    console = Console(highlight=False)
    done: list[Check] = []
    for check in checks:
        if not done or done[-1].group != check.group:
            console.print(f"[bold]{check.group}[/]")
        done.append(check)
        line = f"{_MARKS[check.status]} {escape(check.name)}  [dim]{escape(check.text)}[/]"
        console.print(Padding(line, (0, 0, 0, 2)))
        if check.remedy:  # printed whole and unwrapped, so that it can be copied
            console.print(f"       → [cyan]{escape(check.remedy)}[/]", soft_wrap=True)
    console.print(_summary(done))
    return done
