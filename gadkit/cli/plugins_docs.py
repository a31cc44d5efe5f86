"""`gadkit plugins docs`: the page of whoever offers a component."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def docs(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|DIST", help="A component, a plugin or a package with plugins.", show_default=False
        ),
    ],
    only_print: Annotated[bool, typer.Option("--print", help="Print the address alone, and open nothing.")] = False,
) -> None:
    """Open the page of a package or of a component in the browser: its documentation, home page, sources or paper."""
    address, whose = _address(name)
    if only_print:
        typer.echo(address)
    elif _opened(address):
        typer.echo(f"opened the page of {whose}: {address}")
    else:
        typer.echo(f"There is no browser here. Open the page of {whose} yourself: {address}")


def _address(name: str) -> tuple[str, str]:
    """The address that a name leads to, and whose it is.

    A package's own is told by its metadata, so that it is found of a package, too, that cannot be imported.
    """
    from gadkit.authoring.provider import provider_of, source_address
    from gadkit.cli.plugins_show import named
    from gadkit.errors import PluginError, nearest
    from gadkit.registry import get_registry
    from gadkit.registry.installed import installed_plugins
    from gadkit.registry.switches import canonical, matching

    plugins, _ = installed_plugins()
    owners = [each.distribution for each in plugins if matching([canonical(name)], each.distribution, each.plugin)]
    for owner in dict.fromkeys(owners):
        if page := provider_of(owner).page:
            return page, owner
    registry = get_registry()
    entries = named(registry, name)
    for entry in entries:
        if page := provider_of(entry.distribution).page:
            return page, entry.distribution
        if page := source_address(entry.component.source):
            return page, f"{entry.kind} {entry.qualified}"
    for owner in [*(entry.distribution for entry in entries), *owners]:
        raise PluginError(
            f"{name!r} has no page: the metadata of {owner} name none under Project-URL (Documentation, Homepage or "
            "Source), and no component of this name has a paper or an address as its source."
        )
    known = [*(each.distribution for each in plugins), *(entry.name for entry in registry.entries())]
    raise PluginError(
        f"Nothing here is called {name!r}.{nearest(name, set(known))}"
        f"{registry.missing() or ' See `gadkit plugins list`.'}"
    )


def _opened(address: str) -> bool:
    """Opens an address where somebody can see it."""
    import webbrowser

    if not _has_screen():
        return False
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False


def _has_screen() -> bool:
    """Whether a browser would be seen. One that was named is taken at its word; over ssh there is none but X's."""
    seen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if os.environ.get("BROWSER") or seen:
        return True
    remote = any(os.environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY"))
    return not remote and sys.platform in ("win32", "darwin", "cygwin")
