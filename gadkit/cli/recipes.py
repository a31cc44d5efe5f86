"""`gadkit recipes`: which recipes there are, and what each of them chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gadkit.cli.completion import complete

if TYPE_CHECKING:
    from gadkit.entry import Entry
    from gadkit.registry import Registry

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
    from gadkit.cli.plugins import print_json, print_table, record
    from gadkit.errors import GadkitError

    registry = _registry()
    documents: list[dict[str, Any]] = []
    rows: list[tuple[str, str, str, str]] = []
    for name, entry in zip(registry.names("recipe"), registry.entries("recipe"), strict=True):
        try:
            parts = _parts(entry)
            documents.append({**record(entry), "parts": parts})
            told = " · ".join(_bare(use) for use in parts.values() if use != "none")
        except GadkitError as error:  # a broken recipe costs only itself
            documents.append({**record(entry), "parts": {}, "failure": str(error)})
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
    from gadkit.cli.plugins import print_head, print_json, print_table, record
    from gadkit.errors import PluginError

    registry = _registry()
    entry = registry.find("recipe", name)
    parts, text = _parts(entry), entry.text()
    if as_json:
        print_json({**record(entry), "parts": parts, "text": text})
        return
    print_head(entry)
    typer.echo()
    rows = []
    for kind, use in parts.items():
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


def _parts(entry: Entry) -> dict[str, str]:
    """The components that a recipe names, by kind."""
    from gadkit.layers import PARTS, from_text

    sections = from_text(f"Recipe {entry.qualified!r}", entry.text().encode()).sections
    return {kind: str(sections[kind]["use"]) for kind in PARTS if "use" in sections.get(kind, {})}


def _bare(use: str) -> str:
    return use.removeprefix("gadkit:")
