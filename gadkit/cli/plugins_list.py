"""`gadkit plugins list`: every component with its provider, and what became of every plugin."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from gadkit.cli.completion import complete_kind
from gadkit.cli.printing import print_json, print_table

if TYPE_CHECKING:
    from gadkit.registry import Plugin, Registry
    from gadkit.registry.entry import Entry

#: Columns of a terminal from which on one line tells everything of a component.
_WIDE = 120


def list_(
    text: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="[TEXT]", help="Only what has these words in its name or summary.", show_default=False),
    ] = None,
    kind: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--kind", help="Only this kind, such as generator; may be repeated.", autocompletion=complete_kind
        ),
    ] = None,
    provider: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--provider", help="Only this distribution's, such as gadkit-sparkle."),
    ] = None,
    status: Annotated[
        Optional[Literal["ready", "failed", "disabled"]],  # noqa: UP045
        typer.Option("--status", help="Only plugins that can be used, that failed, or that are switched off."),
    ] = None,
    grep: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--grep", metavar="TEXT", help="The same as TEXT."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """List every component with its kind, its provider and what it does, and the plugins that failed."""
    from gadkit.cli.console import warn_failures
    from gadkit.registry import get_registry

    registry = get_registry()
    warn_failures(registry)
    words = f"{text or ''} {grep or ''}".casefold().split()
    owner = None if provider is None else _distribution(registry, provider)
    entries = _entries(registry, kind or ()) if status in (None, "ready") else []
    entries = [
        entry
        for entry in entries
        if owner in (None, entry.distribution)
        and _has(words, entry.kind, entry.name, entry.distribution, entry.component.summary)
    ]
    plugins = [
        plugin
        for plugin in registry.plugins
        if owner in (None, plugin.distribution) and status in (None, plugin.status)
    ]
    if words or kind:  # a plugin that failed may be the very one that is looked for
        offering = {(entry.distribution, entry.plugin) for entry in entries}
        plugins = [
            plugin
            for plugin in plugins
            if (plugin.distribution, plugin.name) in offering
            or (plugin.status != "ready" and (not words or _has(words, plugin.name, plugin.distribution)))
        ]
    if as_json:
        _print_json(registry, entries, plugins)
        return
    _print_entries(registry, entries)
    _print_plugins(plugins)
    if not entries and all(plugin.status == "ready" for plugin in plugins):
        typer.echo("Nothing here is like that.")


def _distribution(registry: Registry, text: str) -> str:
    from gadkit.errors import PluginError, nearest
    from gadkit.registry.switches import canonical

    known = sorted({plugin.distribution for plugin in registry.plugins})
    if (name := canonical(text)) not in known:
        raise PluginError(
            f"--provider: nothing called {text!r} offers plugins here.{nearest(name, known)} There are: "
            f"{', '.join(known)}."
        )
    return name


def _entries(registry: Registry, kinds: Sequence[str]) -> list[Entry]:
    return [entry for kind in dict.fromkeys(kinds) for entry in registry.entries(kind)] if kinds else registry.entries()


def _has(words: Iterable[str], *texts: str) -> bool:
    """Whether every word stands somewhere in the texts."""
    told = " ".join(texts).casefold()
    return all(word in told for word in words)


def _print_json(registry: Registry, entries: Sequence[Entry], plugins: Sequence[Plugin]) -> None:
    from gadkit.cli.plugins_show import record

    chosen = {(plugin.distribution, plugin.name) for plugin in plugins}
    failures: list[dict[str, Any]] = [
        {"plugin": each.plugin, "distribution": each.distribution, "version": each.version, "reason": each.reason}
        for each in registry.failures
        if (each.distribution, each.plugin) in chosen
    ]
    disabled = [
        {"plugin": plugin, "distribution": owner} for plugin, owner in registry.disabled if (owner, plugin) in chosen
    ]
    components = [record(entry) for entry in entries]
    told = [dataclasses.asdict(plugin) for plugin in plugins]
    print_json({"components": components, "failures": failures, "disabled": disabled, "plugins": told})


def _print_entries(registry: Registry, entries: Sequence[Entry]) -> None:
    """On a narrow terminal one table for each provider, in whose head stands what its components have in common."""
    if not entries:
        return
    if not sys.stdout.isatty() or _columns() >= _WIDE:
        head = ("kind", "name", "provider", "api", "status", "summary")
        rows = [
            (entry.kind, entry.name, entry.provider, str(entry.component.api), "ready", entry.component.summary)
            for entry in entries
        ]
        print_table(head, rows, whole=head[:-1])
        return
    narrow = ("kind", "name", "summary")
    for place, provider in enumerate(dict.fromkeys(entry.provider for entry in entries)):
        own = [entry for entry in entries if entry.provider == provider]
        versions = ", ".join(str(version) for version in sorted({entry.component.api for entry in own}))
        if place:
            typer.echo()
        typer.secho(f"{provider}, ready, API {versions}", bold=True)
        told = [(entry.kind, entry.name, entry.component.summary) for entry in own]
        print_table(narrow, told, whole=narrow[:-1])


def _columns() -> int:
    from rich.console import Console

    return Console().width


def _print_plugins(plugins: Sequence[Plugin]) -> None:
    from gadkit.words import duration_text, printable

    for plugin in plugins:
        label = f"plugin {plugin.name!r} of {plugin.provider}"
        if plugin.status == "disabled":
            typer.echo(printable(f"switched off: {label}: {plugin.reason.removeprefix('switched off: ')}."))
        elif plugin.status == "failed":
            typer.echo(printable(f"failed: {label} is left out: {plugin.reason}."))
        if plugin.is_slow:
            typer.echo(printable(f"slow: {label} took {duration_text(plugin.seconds)} to import."))
