"""`gadkit plugins disable` and `enable`: what the user switches off, told by metadata alone.

No plugin is imported here: this is how one is got rid of that ends or hangs whatever imports it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gadkit.registry.installed import Installed


def _complete_installed(incomplete: str) -> list[tuple[str, str]]:
    from gadkit.registry.entry import BUNDLED
    from gadkit.registry.installed import installed_plugins

    found = installed_plugins()[0]
    named = {each.distribution: each.provider for each in found if each.distribution != BUNDLED}
    named |= {f"{BUNDLED}:{each.plugin}": each.provider for each in found if each.distribution == BUNDLED}
    return [(name, told) for name, told in named.items() if name.startswith(incomplete)]


def _complete_off(incomplete: str) -> list[tuple[str, str]]:
    from gadkit.errors import GadkitError
    from gadkit.registry.switches import switched_off

    try:
        return [(name, "switched off") for name in switched_off() if name.startswith(incomplete)]
    except GadkitError:  # a shell cannot show it; the command itself will
        return []


def disable(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A plugin's entry point, a package with plugins, or package:entry-point.",
            autocompletion=_complete_installed,
            show_default=False,
        ),
    ],
) -> None:
    """Switch a plugin off from the next command on, for every project of this user; it is not imported for it."""
    from gadkit.cli.console import telling
    from gadkit.registry.entry import BUNDLED
    from gadkit.registry.switches import canonical, matching, switch_off

    switch, meant = _meant(name)
    with telling():
        before = _off()
        if all(matching(before, each.distribution, each.plugin) for each in meant):
            typer.echo(f"{_listed(meant)} {_is(meant)} switched off already, in {_file()}.")
        else:
            path = switch_off(switch)
            typer.echo(f"switched off: {_listed(meant)}, in {path}.")
    if any(each.distribution == BUNDLED for each in meant):
        typer.echo(
            "It is gadkit's own: what it offers is not there until you enable it, nor what names it, as recipes do."
        )
    typer.echo(f"Undo it with: gadkit plugins enable {canonical(switch)}")


def enable(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="As for disable; also one that is not installed any more.",
            autocompletion=_complete_off,
            show_default=False,
        ),
    ],
) -> None:
    """Switch a plugin on again from the next command on."""
    from gadkit.cli.console import telling
    from gadkit.registry.switches import canonical, matching, switch_on

    with telling():
        before = _off()
        gone = canonical(name) in before
        switch, meant = (canonical(name), _candidates(name)) if gone else _meant(name)
        path, was_off = _file(), gone or any(matching(before, each.distribution, each.plugin) for each in meant)
        if was_off:
            path = str(switch_on(switch))
        after = _off()
    still = [each for each in meant if matching(after, each.distribution, each.plugin)]
    if not was_off:
        typer.echo(f"{_listed(meant)} {_is(meant)} not switched off in {path}.")
    elif still:
        names = ", ".join(dict.fromkeys(matching(after, each.distribution, each.plugin) for each in still))
        typer.echo(f"Still switched off: {_listed(still)}, by {names} in {path}: enable that.")
    else:
        typer.echo(f"switched on: {_listed(meant) or switch}, in {path}.")
    _warn_of_variables(meant)


def _warn_of_variables(meant: Sequence[Installed]) -> None:
    """What switches plugins off beside the user's file."""
    from gadkit.cli.console import say
    from gadkit.registry.entry import BUNDLED
    from gadkit.registry.switches import canonical, matching

    named = [canonical(each) for each in os.environ.get("GADKIT_DISABLED_PLUGINS", "").split(",") if each.strip()]
    if off := [each for each in meant if matching(named, each.distribution, each.plugin)]:
        say(
            f"gadkit: warning: {_listed(off)} {_is(off)} switched off all the same: the environment variable "
            "GADKIT_DISABLED_PLUGINS says so; take it out there."
        )
    others = [each for each in meant if each.distribution != BUNDLED]
    if others and os.environ.get("GADKIT_NO_PLUGINS", "").strip().lower() in ("1", "true", "yes", "on"):
        say("gadkit: warning: GADKIT_NO_PLUGINS is set, which switches off whatever is not gadkit's own.")


def _off() -> tuple[str, ...]:
    """What is switched off in the file; nothing where it is damaged, which whoever changes it is told of."""
    from gadkit.errors import ConfigError
    from gadkit.registry.switches import switched_off

    try:
        return switched_off()
    except ConfigError:
        return ()


def _file() -> str:
    from gadkit.registry.switches import switches_file

    return str(switches_file())


def _candidates(name: str) -> list[Installed]:
    from gadkit.registry.installed import installed_plugins
    from gadkit.registry.switches import canonical, matching

    return [each for each in installed_plugins()[0] if matching([canonical(name)], each.distribution, each.plugin)]


def _meant(name: str) -> tuple[str, list[Installed]]:
    """What a name means: how the file is to call it, and the plugins.

    Raises:
        PluginError: Nothing is called that, or several are.
    """
    from gadkit.errors import PluginError, nearest
    from gadkit.registry.entry import BUNDLED
    from gadkit.registry.installed import installed_plugins
    from gadkit.registry.switches import canonical

    wanted = canonical(name)
    meant = _candidates(name)
    by_owner = [each for each in meant if each.distribution == wanted]
    if by_owner and by_owner == meant:
        return wanted, meant
    if len(meant) == 1:  # by its whole name, lest it mean another package's that is installed one day
        return f"{meant[0].distribution}:{canonical(meant[0].plugin)}", meant
    if meant:
        ways = ", ".join(dict.fromkeys(f"{each.distribution}:{each.plugin}" for each in meant))
        raise PluginError(f"{name!r} means several plugins: name one of {ways}.")
    found, failures = installed_plugins()
    owners = [*(each.distribution for each in found), *(each.distribution for each in failures)]
    if wanted in owners:  # its metadata cannot be read, so nobody knows its entry points
        return wanted, []
    known = [*owners, *(each.plugin for each in found), *(f"{each.distribution}:{each.plugin}" for each in found)]
    others = list(dict.fromkeys(owner for owner in owners if owner != BUNDLED))
    listed = f" Packages with plugins here: {', '.join(others)}." if others else ""
    raise PluginError(f"No plugin and no package with plugins is called {name!r}.{nearest(wanted, known)}{listed}")


def _listed(meant: Sequence[Installed]) -> str:
    return " and ".join(f"plugin {each.plugin!r} of {each.provider}" for each in meant)


def _is(meant: Sequence[Installed]) -> str:
    return "is" if len(meant) == 1 else "are"
