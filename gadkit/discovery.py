"""Importing one plugin and reading its records, so that whatever goes wrong is told in one sentence."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import re
import sys
import traceback as tracebacks
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import pluggy

from gadkit import hookspecs
from gadkit.component import KINDS, Component
from gadkit.entry import one_line, record_fault

#: The group of entry points that plugins are found by.
GROUP = "gadkit"

COMPONENT_HOOKS = {kind.hook: kind.name for kind in KINDS.values()}
HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("gadkit_"))
LIFECYCLE_HOOKS = tuple(name for name in HOOKS if name not in COMPONENT_HOOKS)


class BrokenPlugin(Exception):
    """A plugin cannot be used; the message is the reason, without a full stop."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A plugin that could not be used.

    Attributes:
        plugin: The name of its entry point.
        distribution: The distribution that it belongs to, normalised.
        version: The distribution's version.
        reason: Why, in one sentence without a full stop.
        traceback: The whole traceback, for plugin authors.
    """

    plugin: str
    distribution: str
    version: str
    reason: str
    traceback: str

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} of {f'{self.distribution} {self.version}'.strip()} is left out: {self.reason}"

    @classmethod
    def of(cls, error: BaseException, plugin: str, distribution: str, version: str) -> Failure:
        """The failure that `error` stands for."""
        return cls(
            plugin=plugin,
            distribution=distribution,
            version=version,
            reason=(str(error) if isinstance(error, BrokenPlugin) else one_line(error)).rstrip("."),
            traceback="".join(tracebacks.format_exception(error)),
        )


def canonical(distribution: str) -> str:
    """A distribution's name in the normalised spelling of PyPI: `"Acme_GAN"` is `"acme-gan"`."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def new_manager() -> pluggy.PluginManager:
    """A plugin manager that knows gadkit's hooks and no plugin."""
    manager = pluggy.PluginManager("gadkit")
    manager.add_hookspecs(hookspecs)
    return manager


def entry_points() -> tuple[list[metadata.EntryPoint], list[Failure]]:
    """The installed plugins, gadkit's own first, then by distribution and name; none is imported.

    One distribution with unreadable metadata does not hide the others.
    """
    failures = []
    try:
        found = list(metadata.entry_points(group=GROUP))
    except Exception:
        found = []
        for distribution in metadata.distributions():
            try:
                found += [point for point in distribution.entry_points if point.group == GROUP]
            except Exception as error:
                name = str(getattr(distribution, "name", None) or "unknown")
                reason = BrokenPlugin(f"its entry points cannot be read: {one_line(error)}")
                failures.append(Failure.of(reason.with_traceback(error.__traceback__), "?", canonical(name), ""))
    return sorted(found, key=_order), failures


def _order(point: metadata.EntryPoint) -> tuple[bool, str, str]:
    name, _ = provider(point)
    return name != "gadkit", name, point.name


def provider(point: metadata.EntryPoint) -> tuple[str, str]:
    """The distribution of an entry point and its version."""
    if point.dist is None:
        return "unknown", ""
    return canonical(str(point.dist.name)), str(point.dist.version)


def register(
    manager: pluggy.PluginManager, importer: Callable[[], Any], key: str, known: Iterable[tuple[str, str]]
) -> list[tuple[str, Component]]:
    """Imports one plugin, registers it and reads its records; a plugin that fails is not left registered.

    Args:
        manager: Where to register it.
        importer: Imports and returns the plugin, a module as a rule.
        key: A name for it that is unique in the manager.
        known: Kind and name of what the same distribution offers already.

    Returns:
        Kind and record of each component.

    Raises:
        BrokenPlugin: With the reason, and the plugin's own exception as its cause.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints must not end up in `--json`
            plugin = _guarded("its import raised", importer)
            if plugin is None:
                raise BrokenPlugin("its entry point names nothing but None, expected a module")
            _register(manager, plugin, key)
            return _records(manager, plugin, set(known))
    except BaseException:
        if manager.get_plugin(key) is not None:
            manager.unregister(name=key)
        raise


def _guarded(what: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, too, must cost no more than the plugin
        raise BrokenPlugin(f"{what} {one_line(error)}") from error


def _register(manager: pluggy.PluginManager, plugin: Any, key: str) -> None:
    if plugin in manager.get_plugins():
        raise BrokenPlugin(f"it is the same object as the plugin {str(manager.get_name(plugin))!r}; declare it once")
    try:
        manager.register(plugin, name=key)
    except pluggy.PluginValidationError as error:
        raise BrokenPlugin(" ".join(str(error).split())) from error
    callers = manager.get_hookcallers(plugin) or []
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        unknown = next(caller.name for caller in callers if not caller.has_spec())
        near = difflib.get_close_matches(unknown, HOOKS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise BrokenPlugin(f"it implements the unknown hook {unknown!r}{hint}") from error
    for caller in callers:
        for implementation in caller.get_hookimpls():
            if implementation.plugin is plugin and (implementation.wrapper or implementation.hookwrapper):
                raise BrokenPlugin(f"its hook {caller.name!r} is a wrapper, expected a plain function")
    for name in HOOKS:  # a forgotten decorator would hide the plugin without a word
        function = getattr(plugin, name, None)
        if inspect.isroutine(function) and not any(caller.name == name for caller in callers):
            raise BrokenPlugin(f"its function {name!r} is not decorated with @gadkit.hookimpl")
    if not callers:
        raise BrokenPlugin("it implements no hook; decorate its gadkit_* functions with @gadkit.hookimpl")


def _records(manager: pluggy.PluginManager, plugin: Any, known: set[tuple[str, str]]) -> list[tuple[str, Component]]:
    found = []
    for hook, kind in COMPONENT_HOOKS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin is not plugin:
                continue
            result = _guarded(f"its hook {hook!r} raised", implementation.function)
            if not isinstance(result, list | tuple):
                raise BrokenPlugin(f"its hook {hook!r} returned {result!r:.200}, expected a list of gadkit.Component")
            for component in result:
                if not isinstance(component, Component):
                    raise BrokenPlugin(
                        f"its hook {hook!r} returned a list with {component!r:.200} in it, expected gadkit.Component"
                    )
                if fault := record_fault(kind, component):
                    raise BrokenPlugin(fault)
                if (kind, component.name) in known:
                    raise BrokenPlugin(f"its distribution declares the {kind} {component.name!r} twice")
                known.add((kind, component.name))
                found.append((kind, component))
    return found
