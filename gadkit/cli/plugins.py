"""`gadkit plugins`: which components there are, who offers them, and what their settings mean."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from gadkit.cli.completion import complete_kind
from gadkit.component import KINDS

if TYPE_CHECKING:
    from gadkit.entry import Entry
    from gadkit.registry import Registry
    from gadkit.signature import Setting

plugins_app = typer.Typer(no_args_is_help=True, help="List the components, and show what one of them does.")

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def _complete_name(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    from gadkit.cli.completion import complete

    kind = ctx.params.get("kind")
    return complete(kind)(incomplete) if kind in KINDS else []


def _registry() -> Registry:
    from gadkit.cli.console import warn_failures
    from gadkit.registry import get_registry

    registry = get_registry()
    warn_failures(registry)
    return registry


@plugins_app.command("list")
def list_(
    kind: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--kind", help="Only this kind, such as generator.", autocompletion=complete_kind),
    ] = None,
    as_json: _Json = False,
) -> None:
    """List every component with its kind, its provider and what it does, and the plugins that failed."""
    registry = _registry()
    entries = registry.entries(kind)
    if as_json:
        failures = [
            {"plugin": each.plugin, "distribution": each.distribution, "version": each.version, "reason": each.reason}
            for each in registry.failures
        ]
        disabled = [{"plugin": plugin, "distribution": owner} for plugin, owner in registry.disabled]
        components = [record(entry) for entry in entries]
        print_json({"components": components, "failures": failures, "disabled": disabled})
        return
    rows = [(entry.kind, entry.name, entry.provider, entry.component.summary) for entry in entries]
    print_table(("kind", "name", "provider", "summary"), rows)
    for plugin, owner in registry.disabled:
        typer.echo(f"switched off: plugin {plugin!r} of {owner}")
    for failure in registry.failures:
        typer.echo(f"failed: {failure}.")


@plugins_app.command("show")
def show(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="Such as generator.", autocompletion=complete_kind, show_default=False)
    ],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Such as dcgan, or acme-gan:dcgan.", autocompletion=_complete_name)
    ],
    as_json: _Json = False,
) -> None:
    """Show one component: what it does, where it comes from, and its settings."""
    entry = _registry().find(kind, name)
    if KINDS[entry.kind].is_file:
        text = entry.text()
        if as_json:
            print_json({**record(entry), "text": text})
        else:
            print_head(entry)
            typer.echo(f"\n{text.rstrip()}")
        return
    from gadkit.signature import settings_of

    cls = entry.load()
    documentation = inspect.cleandoc(cls.__doc__ or "")
    settings = list(settings_of(cls).values())
    if as_json:
        print_json(
            {**record(entry), "documentation": documentation, "settings": [_described(each) for each in settings]}
        )
        return
    print_head(entry)
    if told := _without_arguments(documentation):
        typer.echo(f"\n{told}")
    typer.echo("\nsettings:" if settings else "\nno settings")
    rows = [(each.name, each.type, _default(each), each.range, each.description) for each in settings]
    if rows:
        print_table(("setting", "type", "default", "range", "meaning"), rows)
    if kind != "refiner" and any(each.scheduled for each in settings):
        typer.echo(
            "\nA schedulable number may change during a run: {start = 1.0, end = 0.1}, where steps, after and shape "
            "('linear', 'cosine', 'exponential') may be added."
        )


def record(entry: Entry) -> dict[str, Any]:
    """A component and its provenance in plain values."""
    return {
        "kind": entry.kind,
        "name": entry.name,
        "qualified": entry.qualified,
        "distribution": entry.distribution,
        "version": entry.version,
        "plugin": entry.plugin,
        "summary": entry.component.summary,
        "source": entry.component.source,
        "target": entry.component.target,
    }


def _described(setting: Setting) -> dict[str, Any]:
    from gadkit.config import plain

    return {
        "name": setting.name,
        "type": setting.type,
        "required": setting.required,
        "default": plain(setting.default, setting.name),
        "range": setting.range,
        "scheduled": setting.scheduled,
        "meaning": setting.description,
    }


def _without_arguments(documentation: str) -> str:
    """A docstring without its `Args:`, which the table of settings tells better."""
    kept, inside = [], False
    for line in documentation.splitlines():
        if line and not line.startswith(" "):
            inside = line.rstrip() == "Args:"
        if not inside:
            kept.append(line)
    return "\n".join(kept).strip()


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    if isinstance(setting.default, bool) or setting.default is None:
        return str(setting.default).lower()
    return str(setting.default)


def print_head(entry: Entry) -> None:
    """What a component is and where it comes from."""
    component = entry.component
    lines = [
        ("summary", component.summary),
        ("provider", entry.provider),
        ("source", component.source),
        ("target", component.target),
    ]
    typer.echo(f"{entry.kind} {entry.qualified}")
    for name, value in lines:
        if value:
            typer.echo(f"  {name:9} {value}")


def print_json(document: dict[str, Any]) -> None:
    """One JSON object."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table on a terminal; on a pipe plain columns, two spaces between them."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*head, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*map(Text, row))  # plain text: a summary may hold [brackets]
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        typer.echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
