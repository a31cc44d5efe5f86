"""`gadkit data get`: fetch a set to try."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from gadkit.cli.completion import complete
from gadkit.cli.console import say
from gadkit.cli.data_shared import Plugin, registry_with, shown_progress, train_data
from gadkit.cli.printing import print_table

if TYPE_CHECKING:
    from gadkit.interfaces.dataset import Dataset
    from gadkit.registry import Registry
    from gadkit.registry.entry import Entry

_TERMS = ("LICENSE", "NOTICE")


def get(
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="NAME",
            help="Which set; without it, all are listed.",
            show_default=False,
            autocompletion=complete("dataset"),
        ),
    ] = None,
    dest: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(metavar="DEST", help="The new folder; by default named after the set.", show_default=False),
    ] = None,
    plugin: Plugin = None,
) -> None:
    """List the sets that can be fetched, or fetch one into a new folder and show its licence."""
    from gadkit.errors import PluginError, nearest

    registry = registry_with(plugin)
    if name is None:
        _list(registry)
        return
    entry = registry.find("dataset", name)
    cls = entry.load()
    if not _fetches(cls):
        names = [each.name for each, _ in _offered(registry)]
        raise PluginError(
            f"the dataset {name!r} reads data that are there and fetches none.{nearest(name, names)} What can be "
            f"fetched: {', '.join(names) or 'nothing'}."
        )
    place = dest if dest is not None else Path(entry.name)
    with _new_folder(place) as folder, shown_progress("fetching", steps=True) as progress:
        cls.get(folder, progress)
    _print_got(place, cls)


def _list(registry: Registry) -> None:
    rows = [(each.name, cls.licence or "not said", each.component.summary) for each, cls in _offered(registry)]
    if rows:
        print_table(("name", "licence", "summary"), rows)
    else:
        typer.echo("no plugin offers a set that can be fetched")


def _offered(registry: Registry) -> Iterator[tuple[Entry, type[Dataset]]]:
    """The datasets that can fetch themselves; one that cannot be imported is told and left out."""
    from gadkit.errors import GadkitError

    for entry in registry.entries("dataset"):
        try:
            cls = entry.load()
        except GadkitError as error:
            say(f"gadkit: warning: {error}")
            continue
        if _fetches(cls):
            yield entry, cls


def _fetches(cls: Any) -> bool:
    """Whether a dataset brings a `get` of its own."""
    from gadkit.interfaces.dataset import Dataset

    return getattr(cls.get, "__func__", cls.get) is not vars(Dataset)["get"].__func__


@contextmanager
def _new_folder(place: Path) -> Iterator[Path]:
    """A folder that takes its place when it is whole; a failure leaves nothing behind."""
    from gadkit.errors import RunError

    if place.is_symlink() or (place.exists() and not (place.is_dir() and not any(place.iterdir()))):
        raise RunError(f"{place} exists and is no empty folder; name another one, or delete it first.")
    partial = place.with_name(f".{place.name}-{uuid.uuid4().hex}")
    try:
        partial.mkdir(parents=True)
        yield partial
        if place.exists():
            place.rmdir()
        os.replace(partial, place)
    except OSError as error:
        raise RunError(
            f"{place} cannot be written: {error.strerror or error}; check the free space and the rights of its folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _print_got(place: Path, cls: type[Dataset]) -> None:
    from gadkit.words import count_text, printable, size_text

    files = [path for path in place.rglob("*") if path.is_file()]
    size = size_text(sum(path.stat().st_size for path in files))
    typer.echo(f"got {printable(str(place))}: {count_text(len(files), 'file')}, {size}")
    terms = next((name for name in _TERMS if (place / name).is_file()), None)
    told: list[tuple[str, str | None]] = [
        ("licence", cls.licence + (f", in {terms}" if terms else "") if cls.licence else terms),
        ("homepage", cls.homepage),
    ]
    for name, text in told:
        if text:
            typer.echo(f"{name}: {text}")
    typer.echo(f"next: {printable(train_data(place))}")
