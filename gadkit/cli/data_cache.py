"""`gadkit data cache`: what was decoded and kept, and how to be rid of it."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from gadkit.cli.data_shared import Json
from gadkit.cli.printing import print_table

if TYPE_CHECKING:
    from gadkit.data.cache import CachedPack

cache_app = typer.Typer(help="List and clear the packs that training keeps.")


@cache_app.callback(invoke_without_command=True)
def cache(context: typer.Context) -> None:
    """List and clear the packs that training keeps."""
    if context.invoked_subcommand is None:
        list_()


@cache_app.command("list")
def list_(as_json: Json = False) -> None:
    """List the packs with their size, when they were last used, and where their videos came from."""
    from gadkit.data.cache import cache_folder, packs
    from gadkit.words import count_text, printable, size_text

    found = packs()
    if as_json:
        typer.echo(json.dumps({"folder": str(cache_folder()), "packs": [_record(each) for each in found]}, indent=2))
        return
    if found:
        print_table(("key", "size", "videos", "frames", "used", "origin"), [_row(each) for each in found])
    total = size_text(sum(each.bytes for each in found))
    typer.echo(f"{count_text(len(found), 'pack')}, {total}, in {printable(str(cache_folder()))}")


@cache_app.command("clear")
def clear(
    keys: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[KEY]...", help="Packs by their key, or its beginning.", show_default=False),
    ] = None,
    older_than: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Those that were not used for this time: 12h, 30d.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All packs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove packs from the cache, and what is remembered of streams and files.

    All of it is made again when training needs it; packs that are being made now stay.
    """
    from gadkit.cli.values import parse_time
    from gadkit.data import cache as cached
    from gadkit.errors import ConfigError
    from gadkit.words import count_text, size_text

    if not (keys or older_than or everything):
        raise ConfigError(
            "nothing is named to be cleared; give keys (`gadkit data cache` lists them), --older-than 30d or --all."
        )
    age = parse_time(older_than, "--older-than")
    chosen = [each for each in cached.packs() if _is_chosen(each, keys or (), age, everything)]
    if not yes and chosen and (everything or age is not None) and not _agreed(chosen):
        typer.echo("nothing was removed")
        return
    removed = cached.clear(keys or (), older_than=age, everything=everything)
    typer.echo(f"removed {count_text(len(removed), 'pack')}, {size_text(sum(each.bytes for each in removed))}")
    gone = {each.folder for each in removed}
    for each in chosen:
        if each.folder not in gone:
            typer.echo(f"kept {each.key}: it is being made now")


def _is_chosen(pack: CachedPack, keys: Sequence[str], age: float | None, everything: bool) -> bool:
    old = age is not None and pack.used < time.time() - age
    return everything or old or any(pack.key.startswith(key) for key in keys)


def _agreed(chosen: Sequence[CachedPack]) -> bool:
    """Asks on a terminal; elsewhere nobody can answer."""
    import sys

    from gadkit.errors import ConfigError
    from gadkit.words import count_text, size_text

    amount = f"{count_text(len(chosen), 'pack')}, {size_text(sum(each.bytes for each in chosen))}"
    if not sys.stdin.isatty():
        raise ConfigError(f"{amount} would be removed, and nobody is there to be asked; add --yes.")
    return typer.confirm(f"Remove {amount}?")


def _row(pack: CachedPack) -> tuple[str, ...]:
    from gadkit.words import duration_text, printable, size_text

    ago = max(0.0, time.time() - pack.used)
    used = "just now" if ago < 60 else f"{duration_text(ago)} ago"
    state = "" if pack.finished else " (unfinished)"
    damaged = " (damaged)" if pack.finished and pack.geometry is None else ""
    amounts = (size_text(pack.bytes), f"{pack.videos:,}", f"{pack.frames:,}")
    return pack.key, *amounts, used, printable(pack.origin or "unknown") + state + damaged


def _record(pack: CachedPack) -> dict[str, Any]:
    return {
        "key": pack.key,
        "folder": str(pack.folder),
        "bytes": pack.bytes,
        "videos": pack.videos,
        "frames": pack.frames,
        "geometry": None if pack.geometry is None else pack.geometry.to_dict(),
        "made": _moment(pack.made),
        "used": _moment(pack.used),
        "origin": pack.origin,
        "finished": pack.finished,
    }


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
