"""`gadkit recipes`: which recipes there are, and what each of them chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gadkit.cli.completion import complete

if TYPE_CHECKING:
    from gadkit.registry import Registry
    from gadkit.registry.entry import Entry

recipes_app = typer.Typer(no_args_is_help=True, help="List the recipes, and show what one of them chooses.")

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def _registry() -> Registry:
    from gadkit.cli.console import warn_failures
    from gadkit.registry import get_registry

    registry = get_registry()
    warn_failures(registry)
    return registry


@recipes_app.command("list")
def list_(as_json: _Json = False) -> None:
    """List every recipe with what it is for, its provider and its parts."""
    from gadkit.cli.plugins_show import record
    from gadkit.cli.printing import print_json, print_table
    from gadkit.errors import GadkitError

    registry = _registry()
    documents: list[dict[str, Any]] = []
    rows: list[tuple[str, str, str, str]] = []
    for name, entry in zip(registry.names("recipe"), registry.entries("recipe"), strict=True):
        try:
            parts, trackers = _choice(entry)
            documents.append({**record(entry), "parts": parts, "trackers": trackers})
            told = " · ".join(_bare(use) for use in (*parts.values(), *trackers) if use != "none")
        except GadkitError as error:  # a broken recipe costs only itself
            documents.append({**record(entry), "parts": {}, "trackers": [], "failure": str(error)})
            told = f"failed: {error}"
        rows.append((name, entry.component.summary, entry.provider, told))
    if as_json:
        print_json({"recipes": documents})
        return
    print_table(("recipe", "summary", "provider", "parts"), rows)


@recipes_app.command("show")
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Such as gad, or acme-gan:gad.", autocompletion=complete("recipe"), show_default=False
        ),
    ],
    as_json: _Json = False,
) -> None:
    """Show one recipe: its file with what it says of itself, its source, and which parts it chooses."""
    from gadkit.cli.plugins_show import print_head, record
    from gadkit.cli.printing import print_json, print_table
    from gadkit.errors import PluginError

    registry = _registry()
    entry = registry.find("recipe", name)
    (parts, trackers), text = _choice(entry), entry.text()
    if as_json:
        print_json({**record(entry), "parts": parts, "trackers": trackers, "text": text})
        return
    print_head(entry)
    typer.echo()
    rows = []
    for kind, use in (*parts.items(), *(("tracker", name) for name in trackers)):
        if use == "none":
            rows.append((kind, use, "", "left out"))
            continue
        try:
            part = registry.find(kind, use)
            rows.append((kind, _bare(use), part.provider, part.component.summary))
        except PluginError:
            rows.append((kind, use, "", "is not installed"))
    print_table(("part", "name", "provider", "summary"), rows)
    typer.echo(f"\n{text.rstrip()}")


def _choice(entry: Entry) -> tuple[dict[str, str], list[str]]:
    """The components that a recipe names, by kind, and its trackers."""
    from gadkit.layers import PARTS, TRACKER, from_text

    sections = from_text(f"Recipe {entry.qualified!r}", entry.text().encode()).sections
    parts = {kind: str(sections[kind]["use"]) for kind in PARTS if "use" in sections.get(kind, {})}
    return parts, list(sections.get(TRACKER, {}).get("use", ()))


def _bare(use: str) -> str:
    return use.removeprefix("gadkit:")
