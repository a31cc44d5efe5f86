"""The registry of a process.

Nothing here imports torch or a component's code: a plugin hands over plain records, and `Entry.load` imports a
component when it is used.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pluggy

from gadkit.component import KINDS, Component
from gadkit.errors import PluginError, nearest
from gadkit.interfaces.tracker import Hooks
from gadkit.registry import discovery
from gadkit.registry.entry import BUNDLED, Entry, interface_fault, one_line
from gadkit.registry.files import SourceFile
from gadkit.registry.importing import ImportWatch
from gadkit.registry.installed import BrokenPlugin, Failure, Installed, installed_plugins
from gadkit.registry.standing import Plugin, TurnedOff, is_set
from gadkit.registry.switches import canonical, spelled
from gadkit.words import count_text

log = logging.getLogger("gadkit")


class Registry:
    """The components of one process.

    `Registry.discover` fills one from the environment; `Registry()` is empty.

    Attributes:
        plugins: The installed plugins and what became of each, in the order of discovery.
        failures: The plugins that could not be used, in the order of discovery.
        files: The loaded plugin files, by absolute path, with the SHA-256 of each.
    """

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self.failures: list[Failure] = []
        self.files: dict[Path, str] = {}
        self._manager = discovery.new_manager()
        self._entries: dict[tuple[str, str], Entry] = {}  # by kind and qualified name
        self._adopted: dict[tuple[str, str], Entry] = {}
        self._reserved: dict[tuple[str, str], Plugin] = {}  # gadkit's own that are switched off: a name stays gadkit's

    @property
    def disabled(self) -> list[tuple[str, str]]:
        """Entry point and distribution of the plugins that were switched off; no third party's was imported."""
        return [(plugin.name, plugin.distribution) for plugin in self.plugins if plugin.status == "disabled"]

    @classmethod
    def discover(cls, environ: Mapping[str, str] = os.environ) -> Registry:
        """Finds, imports and asks every installed plugin that is not switched off.

        What the user switched off (`gadkit.registry.switches`) is read first, by the variables of this process.

        Args:
            environ: `GADKIT_DISABLED_PLUGINS` (names as in `gadkit.registry.switches`, with commas between them),
                `GADKIT_NO_PLUGINS` (1: only what gadkit brings along) and `GADKIT_STRICT_PLUGINS` (1: a plugin that
                fails is an error).

        Raises:
            PluginError: A plugin fails, and `GADKIT_STRICT_PLUGINS` is set.
            ConfigError: One of the variables is neither 0 nor 1, or the file of switches is damaged and a third party's
                plugin could be imported that is switched off there.
        """
        registry = cls()
        strict = is_set(environ, "GADKIT_STRICT_PLUGINS")
        off = TurnedOff.read(environ)
        found, registry.failures = installed_plugins()
        registry.plugins = [Plugin.failed(failure) for failure in registry.failures]
        with ImportWatch() as watch:
            for each in found:
                if plugin := off.plugin(each):
                    registry.plugins.append(plugin)
                    registry._reserve(each, plugin)
                    continue
                if each.distribution != BUNDLED:
                    watch.begin(f"plugin {each.plugin!r} of {each.provider}", spelled(each.distribution, each.plugin))
                registry._use(each)
        if strict and registry.failures:
            told = "; ".join(str(failure) for failure in registry.failures)
            raise PluginError(f"GADKIT_STRICT_PLUGINS is set, and {told}.")
        return registry

    def _use(self, found: Installed) -> None:
        """Imports an installed plugin and takes in what it offers, or why it cannot be used."""
        begin = time.perf_counter()
        try:
            added = self._add(found.load, found.plugin, found.distribution, found.version)
        except BrokenPlugin as error:
            failure = Failure.of(error, found.plugin, found.distribution, found.version)
            self.failures.append(failure)
            plugin = Plugin.failed(failure)
        else:
            plugin = Plugin(
                name=found.plugin,
                distribution=found.distribution,
                version=found.version,
                api=max((entry.component.api for entry in added), default=None),
                components=len(added),
            )
        self.plugins.append(replace(plugin, seconds=time.perf_counter() - begin))

    def _reserve(self, found: Installed, plugin: Plugin) -> None:
        """Keeps the names of a plugin of gadkit's own that is switched off, so that they come to mean no other's."""
        if found.distribution == BUNDLED:
            apart = Registry()
            apart._use(found)
            self._reserved |= dict.fromkeys(apart._entries, plugin)

    def _add(
        self,
        importer: Callable[[], Any],
        plugin: str,
        distribution: str,
        version: str,
        file: Path | None = None,
        sha256: str = "",
    ) -> list[Entry]:
        known = [(entry.kind, entry.name) for entry in self._entries.values() if entry.distribution == distribution]
        records = discovery.register(self._manager, importer, f"{distribution}:{plugin}", known)
        added = [
            Entry(
                component=component,
                kind=kind,
                distribution=distribution,
                version=version,
                plugin=plugin,
                file=file,
                sha256=sha256,
            )
            for kind, component in records
        ]
        self._entries |= {(entry.kind, entry.qualified): entry for entry in added}
        return added

    def entries(self, kind: str | None = None) -> list[Entry]:
        """What plugins and plugin files offer, by kind (in the order of `KINDS`), name and distribution."""
        if kind is not None:
            check_kind(kind)
        order = {name: position for position, name in enumerate(KINDS)}
        chosen = [entry for entry in self._entries.values() if kind in (None, entry.kind)]
        return sorted(chosen, key=lambda entry: (order[entry.kind], entry.name, entry.distribution))

    def find(self, kind: str, name: str) -> Entry:
        """What a name means.

        Args:
            kind: A key of `KINDS`.
            name: `"dcgan"`, which is gadkit's own where gadkit has one of that name, or `"acme-gan:dcgan"`.

        Raises:
            PluginError: There is none, or several third parties offer one; the message lists what there is.
        """
        check_kind(kind)
        if name.startswith("python:"):
            if entry := self._adopted.get((kind, name)):
                return entry
            raise PluginError(
                f"{kind} {name!r} is a class that a Python program passed to gadkit: pass the class again, "
                "or publish it as a plugin."
            )
        if ":" in name:
            return self._find_qualified(kind, name)
        if entry := self._entries.get((kind, f"{BUNDLED}:{name}")):
            return entry
        if plugin := self._reserved.get((kind, f"{BUNDLED}:{name}")):
            raise _switched_off(kind, name, plugin)
        found = [entry for entry in self.entries(kind) if entry.name == name]
        if len(found) > 1:
            several = ", ".join(entry.qualified for entry in found)
            raise PluginError(f"{kind} {name!r} is offered by several plugins: choose one of {several}.")
        if found:
            return found[0]
        raise self._unknown(kind, name)

    def _find_qualified(self, kind: str, name: str) -> Entry:
        distribution, _, bare = name.partition(":")
        for spelling in (distribution, canonical(distribution)):  # a plugin file's name is kept as it is
            if entry := self._entries.get((kind, f"{spelling}:{bare}")):
                return entry
        for failure in self.failures:
            if failure.distribution == canonical(distribution):
                raise PluginError(f"{kind} {name!r} is not available: {failure}.")
        if plugin := self._reserved.get((kind, f"{canonical(distribution)}:{bare}")):
            raise _switched_off(kind, name, plugin)
        for plugin in self.plugins:
            if plugin.status == "disabled" and plugin.distribution == canonical(distribution) != BUNDLED:
                raise _switched_off(kind, name, plugin)
        owners = {entry.distribution for entry in self._entries.values()}
        if distribution not in owners and canonical(distribution) not in owners:
            what = f"install it: `gadkit plugins install {distribution}`"
            if distribution.endswith(".py"):
                what = "pass the file with --plugin"
            elif not re.fullmatch(r"\w[\w.-]*", distribution):
                what = "name the distribution that offers it"
            raise PluginError(
                f"{kind} {name!r} is not available: nothing called {distribution!r} offers plugins here; {what}."
            )
        raise self._unknown(kind, name)

    def _unknown(self, kind: str, name: str) -> PluginError:
        bare = name.rpartition(":")[2]
        available = self.names(kind)
        text = f"There is no {kind} {name!r}.{nearest(bare, available)}"
        text += f" Available: {', '.join(available)}." if available else " No plugin offers one."
        return PluginError(text + self.missing())

    def missing(self) -> str:
        """How many plugins are not there, as sentences that begin with a space; empty where all are."""
        text = ""
        if self.failures:
            text += f" {count_text(len(self.failures), 'plugin')} failed to load: see `gadkit plugins list`."
        if others := [plugin for plugin in self.plugins if plugin.status == "disabled"]:
            verb = "is" if len(others) == 1 else "are"
            text += f" {count_text(len(others), 'plugin')} {verb} switched off: see `gadkit plugins list`."
        return text

    def names(self, kind: str) -> list[str]:
        """The shortest name that finds each component of a kind: qualified only where the bare one means another."""
        entries = self.entries(kind)
        bare = [entry.name for entry in entries]
        own = {entry.name for entry in entries if entry.distribution == BUNDLED}

        def shortest(entry: Entry) -> str:
            plain = entry.distribution == BUNDLED or (entry.name not in own and bare.count(entry.name) == 1)
            return entry.name if plain else entry.qualified

        return [shortest(entry) for entry in entries]

    def adopt(self, kind: str, cls: type[Any]) -> Entry:
        """Takes in a class that a program passes itself; its name is `"python:module.Class"`.

        Raises:
            PluginError: `cls` does not implement the kind's interface.
        """
        check_kind(kind)
        if KINDS[kind].form != "class":
            told = "a TOML file, not a class: pass its path" if KINDS[kind].is_file else "no class: publish a plugin"
            raise PluginError(f"A {kind} is {told}.")
        if fault := interface_fault(kind, cls):
            raise PluginError(f"{kind} {getattr(cls, '__name__', cls)!r} {fault}.")
        summary = (cls.__doc__ or cls.__name__).strip().splitlines()[0]
        target = f"{cls.__module__}:{cls.__qualname__}"
        entry = Entry(
            component=Component(name=cls.__name__, summary=summary, target=target), kind=kind, distribution="", cls=cls
        )
        self._adopted[kind, entry.qualified] = entry
        return entry

    def load_file(self, path: Path | str) -> list[Entry]:
        """Imports one Python file as a plugin, under the name of the file; its targets may say `"my:Sparkle"`.

        A file that is loaded already is not imported again.

        Args:
            path: The file, such as `my.py`.

        Returns:
            What it offers; each entry carries the file's absolute path and its SHA-256.

        Raises:
            PluginError: The file cannot be read or used as a plugin.
        """
        source = SourceFile.read(path)
        file, sha256 = source.path, source.sha256
        if file in self.files:
            if self.files[file] != sha256:
                raise PluginError(f"Plugin file {str(path)!r} changed after it was loaded; start a new process.")
            return [entry for entry in self.entries() if entry.file == file]
        source.check_name()
        try:
            added = self._add(source.run, file.stem, file.name, "", file, sha256)
        except BrokenPlugin as error:
            source.forget()
            raise PluginError(f"Plugin file {str(path)!r} cannot be used: {error}.") from error
        self.files[file] = sha256
        return added

    @contextmanager
    def attached(self, name: str, tracker: object) -> Iterator[None]:
        """A block in which an object's lifecycle hooks are called by `notify`, unless one of them raises.

        Args:
            name: For messages.
            tracker: The object; its hooks are methods decorated with `gadkit.hookimpl`.

        Raises:
            PluginError: It has no hook, one of an unknown name, or one that asks for arguments that there are not.
        """
        hooks = Hooks(tracker)
        taken = self._manager.get_plugin(name) is not None  # by the plugin that offers it, where both have one name
        try:
            discovery.register(self._manager, lambda: hooks, f"{name} (tracker)" if taken else name, ())
        except BrokenPlugin as error:
            raise PluginError(f"tracker {name!r} cannot be used: {error}.") from error
        try:
            yield
        finally:
            if self._manager.get_name(hooks) is not None:
                self._manager.unregister(hooks)

    @property
    def hook(self) -> pluggy.HookRelay:
        """pluggy's hook relay, for callers that want a hook's exceptions; `notify` guards them."""
        return self._manager.hook

    def notify(self, name: str, **values: Any) -> None:
        """Calls a lifecycle hook of every plugin that has it; one that raises is warned of and not called again.

        Args:
            name: One of the hooks without a result, such as `"gadkit_step_logged"`.
            **values: The hook's arguments.
        """
        if name not in discovery.LIFECYCLE_HOOKS:
            raise ValueError(f"{name!r} is no lifecycle hook.{nearest(name, discovery.LIFECYCLE_HOOKS)}")
        for implementation in reversed(getattr(self._manager.hook, name).get_hookimpls()):
            try:
                implementation.function(*(values[argument] for argument in implementation.argnames))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # no tracker may end a run, not even with SystemExit
                log.warning(
                    "plugin %r is dropped for the rest of this run: its hook %r raised %s",
                    implementation.plugin_name,
                    name,
                    one_line(error),
                )
                log.debug("the traceback of %r", implementation.plugin_name, exc_info=True)
                if self._manager.get_name(implementation.plugin) is not None:
                    self._manager.unregister(implementation.plugin)


def check_kind(kind: str) -> None:
    """Raises `PluginError` where there is no kind of that name."""
    if kind not in KINDS:
        raise PluginError(f"There is no kind {kind!r}.{nearest(kind, KINDS)} The kinds are: {', '.join(KINDS)}.")


def _switched_off(kind: str, name: str, plugin: Plugin) -> PluginError:
    told = f"plugin {plugin.name!r} of {plugin.distribution} is {plugin.reason}"
    return PluginError(f"{kind} {name!r} is not available: {told}.")


@functools.cache
def get_registry() -> Registry:
    """This process's registry, discovered on the first call."""
    return Registry.discover()
