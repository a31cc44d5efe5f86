"""Importing one plugin and reading its records, so that whatever goes wrong is told in one sentence."""

from __future__ import annotations

import contextlib
import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pluggy

from gadkit import hookspecs
from gadkit.component import KINDS, Component
from gadkit.registry.entry import one_line, record_fault, shown
from gadkit.registry.importing import quiet
from gadkit.registry.installed import BrokenPlugin
from gadkit.words import printable

_T = TypeVar("_T")

COMPONENT_HOOKS = {kind.hook: kind.name for kind in KINDS.values()}
HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("gadkit_"))
LIFECYCLE_HOOKS = tuple(name for name in HOOKS if name not in COMPONENT_HOOKS)


def new_manager() -> pluggy.PluginManager:
    """A plugin manager that knows gadkit's hooks and no plugin."""
    manager = pluggy.PluginManager("gadkit")
    manager.add_hookspecs(hookspecs)
    return manager


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
    if manager.get_plugin(key) is not None:
        raise BrokenPlugin("its distribution has two entry points of this name")
    try:
        with quiet():  # what a plugin prints must not end up in `--json`
            plugin = _guarded("its import raised", importer)
            if plugin is None:
                raise BrokenPlugin("its entry point names nothing but None, expected a module")
            # Whatever its objects do when they are asked for a name, a hash or their words:
            return _guarded("using it raised", lambda: _used(manager, plugin, key, set(known)))
    except BaseException:
        with contextlib.suppress(Exception):
            manager.unregister(name=key)
        raise


def _guarded(what: str, function: Callable[[], _T]) -> _T:
    try:
        return function()
    except (KeyboardInterrupt, BrokenPlugin):
        raise
    except BaseException as error:  # SystemExit, too, must cost no more than the plugin
        raise BrokenPlugin(f"{what} {one_line(error)}") from error


def _used(
    manager: pluggy.PluginManager, plugin: Any, key: str, known: set[tuple[str, str]]
) -> list[tuple[str, Component]]:
    hooks = _register(manager, plugin, key)
    return [
        pair for hook, kind in COMPONENT_HOOKS.items() if hook in hooks for pair in _records(kind, hooks[hook], known)
    ]


def _register(manager: pluggy.PluginManager, plugin: Any, key: str) -> dict[str, pluggy.HookImpl]:
    """Registers a plugin; returns its hooks by name."""
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
    hooks = {
        caller.name: implementation
        for caller in callers
        for implementation in caller.get_hookimpls()
        if implementation.plugin is plugin
    }
    for name, implementation in hooks.items():
        if implementation.wrapper or implementation.hookwrapper:
            raise BrokenPlugin(f"its hook {name!r} is a wrapper, expected a plain function")
    for name in HOOKS:  # a forgotten decorator would hide the plugin without a word
        if name not in hooks and inspect.isroutine(getattr(plugin, name, None)):
            raise BrokenPlugin(f"its function {name!r} is not decorated with @gadkit.hookimpl")
    if not hooks:
        raise BrokenPlugin("it implements no hook; decorate its gadkit_* functions with @gadkit.hookimpl")
    return hooks


def _records(
    kind: str, implementation: pluggy.HookImpl, known: set[tuple[str, str]]
) -> Iterator[tuple[str, Component]]:
    """Asks one hook of a plugin for its records; what it offers is added to `known`."""
    hook = KINDS[kind].hook
    result = _guarded(f"its hook {hook!r} raised", implementation.function)
    if not isinstance(result, list | tuple):
        raise BrokenPlugin(f"its hook {hook!r} returned {shown(result)}, expected a list of gadkit.Component")
    for component in result:
        if not isinstance(component, Component):
            raise BrokenPlugin(
                f"its hook {hook!r} returned a list with {shown(component)} in it, expected gadkit.Component"
            )
        if fault := record_fault(kind, component):
            raise BrokenPlugin(fault)
        if (kind, component.name) in known:
            raise BrokenPlugin(f"its distribution declares the {kind} {component.name!r} twice")
        known.add((kind, component.name))
        yield kind, _harmless(component)


def _harmless(component: Component) -> Component:
    """A record whose texts can be shown on a terminal as they are."""
    if component.summary.isprintable() and component.source.isprintable():
        return component
    return replace(component, summary=printable(component.summary), source=printable(component.source))
