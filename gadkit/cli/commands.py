"""Subcommands that plugins bring: listed with what their records say, and imported when they are called."""

from __future__ import annotations

import inspect
import itertools
import os
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from gadkit.cli import console
from gadkit.errors import GadkitError, PluginError, nearest
from gadkit.registry.entry import BUNDLED, one_line

if TYPE_CHECKING:
    from gadkit.registry import Registry
    from gadkit.registry.entry import Entry

#: Options that Typer gives every application that is run by itself.
_COMPLETION = ("install_completion", "show_completion")


class Commands(TyperGroup):
    """gadkit's own subcommands, and those of plugins.

    gadkit's own are found without looking for plugins, so that `gadkit plugins disable` imports none. Of the others,
    help and completion show the records; the target is imported when the subcommand runs, or its own help is asked
    for. A bare name means gadkit's own where there is one, and nothing where two packages offer it;
    `acme-gan:morph` always works.
    """

    _known: dict[str, Entry] | None = None
    _fault: GadkitError | None = None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes the options that say which plugins there are before any of them is looked for, `--help` included."""
        flags = list(itertools.takewhile(lambda each: each.startswith("-"), args))
        console.verbose = "--verbose" in flags
        if "--no-plugins" in flags:
            os.environ["GADKIT_NO_PLUGINS"] = "1"  # for the processes that this one starts, too
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """gadkit's own, then those of plugins by the shortest name that finds each."""
        return [*super().list_commands(ctx), *self._offered()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """gadkit's own command, or what help and completion show of a plugin's."""
        if own := self.commands.get(cmd_name):
            return own
        entry = self._offered().get(cmd_name)
        return None if entry is None else self._shown(cmd_name, entry)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called; a plugin's is imported here.

        Raises:
            PluginError: Several packages offer it, it is not there under its full name, or it cannot be loaded.
        """
        name = args[0]
        if name in self.commands or name.startswith("-"):
            return super().resolve_command(ctx, args)
        try:
            return name, self._loaded(ctx, name), args[1:]
        except GadkitError:
            if ctx.resilient_parsing:  # a shell cannot show it; the command itself will
                return None, None, args[1:]
            raise

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Plain help, as a pipe gets it: gadkit's own commands, then those of each provider."""
        shown = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        for panel, names in itertools.groupby(shown, lambda name: self._panel(name)):
            found = [name for name in names if not shown[name].hidden]
            width = formatter.width - 6 - max(map(len, found), default=0)
            with formatter.section(panel or "Commands"):
                formatter.write_dl([(name, shown[name].get_short_help_str(width)) for name in found])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help, whatever plugins do; what of theirs is missing is said below it."""
        super().format_help(ctx, formatter)
        console.say_after(self._tell)

    def _tell(self) -> None:
        if self._fault is not None:
            return console.say(f"gadkit: warning: no plugin is loaded: {self._fault}")
        for name, entry in self._offered().items():
            if entry.name in self.commands:
                console.say(
                    f"gadkit: warning: {entry.provider} has a command {entry.name!r}, a name that is gadkit's own: "
                    f"call it {name!r}."
                )
        return console.warn_in_brief(_registry())

    def _offered(self) -> dict[str, Entry]:
        """What plugins bring, by the shortest name that finds each, those of one provider together."""
        if self._known is None:
            self._known = {}
            try:
                registry = _registry()
            except GadkitError as error:  # the help of gadkit's own commands must work
                self._fault = error
                return {}
            entries = registry.entries("command")
            named = [
                (entry.qualified if entry.name in self.commands else name, entry)
                for name, entry in zip(registry.names("command"), entries, strict=True)
            ]
            self._known = dict(sorted(named, key=lambda pair: (_panel(pair[1]), pair[0])))
        return self._known

    def _panel(self, name: str) -> str:
        """The heading that a command stands under; empty for gadkit's own."""
        return "" if name in self.commands else _panel(self._offered()[name])

    def _shown(self, name: str, entry: Entry) -> TyperCommand:
        summary, panel = entry.component.summary, _panel(entry)
        if self.rich_markup_mode is not None:
            from rich.markup import escape

            summary, panel = escape(summary), escape(panel)
        return TyperCommand(name, short_help=summary, rich_help_panel=panel or None)

    def _loaded(self, ctx: Any, name: str) -> Any:
        """A plugin's command itself, from a Typer application or a function."""
        registry = _registry()
        if ":" not in name and not any(entry.name == name for entry in registry.entries("command")):
            if ctx.resilient_parsing:
                return None
            hint = nearest(name, [*self.commands, *self._offered()])
            ctx.fail(f"No such command {name!r}.{hint}{registry.missing()}")
        entry = registry.find("command", name)
        target = entry.load()
        app = target
        if not isinstance(target, typer.Typer):
            app = typer.Typer()
            app.command(name, help=inspect.getdoc(target) or entry.component.summary)(target)
        try:
            command = get_command(app)
        except Exception as error:  # parameters that Typer cannot take, an application without a command
            raise PluginError(
                f"command {entry.qualified!r} of {entry.provider} cannot be made a command line of: {one_line(error)}; "
                "mend or upgrade that package."
            ) from error
        command.name = name
        command.params = [each for each in command.params if each.name not in _COMPLETION]
        if self.rich_markup_mode is None:
            _without_markup(command)
        console.running = f"{entry.provider}, which brings the command {name!r}"
        return command


def _registry() -> Registry:
    from gadkit.registry import get_registry

    return get_registry()


def _panel(entry: Entry) -> str:
    return "" if entry.distribution == BUNDLED else f"Commands of {entry.provider}"


def _without_markup(command: Any) -> None:
    """Gives a pipe plain text, as it gets from gadkit's own commands."""
    command.rich_markup_mode = None
    for each in getattr(command, "commands", {}).values():
        _without_markup(each)
