"""What every command says on standard error: warnings about plugins, and errors."""

from __future__ import annotations

import contextlib
import sys
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gadkit.deprecations import GadkitDeprecationWarning
from gadkit.errors import GadkitError, GadkitWarning
from gadkit.words import count_text, duration_text

if TYPE_CHECKING:
    from gadkit.registry import Registry

#: Whether `--verbose` was given: tracebacks are printed.
verbose = False

#: Whose command runs, where a plugin brought it; empty where it is one of gadkit's own.
running = ""

_warned: weakref.WeakSet[Registry] = weakref.WeakSet()
_after: list[Callable[[], None]] = []


def begin() -> None:
    """A command begins: nothing is left over from one before it."""
    global running
    running = ""
    _after.clear()


def say(text: str) -> None:
    """One line on standard error; where nobody reads it any more, none."""
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


def warn_failures(registry: Registry) -> None:
    """One line for each plugin that failed or is slow, once for a registry; with `--verbose` tracebacks too."""
    if registry in _warned:
        return
    _warned.add(registry)
    for failure in registry.failures:
        say(f"gadkit: warning: {failure}.")
        if verbose:
            say(failure.traceback.rstrip())
    _warn_slow(registry)


def warn_in_brief(registry: Registry) -> None:
    """`warn_failures` below a help text: how many failed, and each that is slow."""
    if verbose or registry in _warned:
        return warn_failures(registry)
    _warned.add(registry)
    if registry.failures:
        count = count_text(len(registry.failures), "plugin")
        say(f"gadkit: warning: {count} failed to load: see `gadkit plugins list`.")
    _warn_slow(registry)


def _warn_slow(registry: Registry) -> None:
    for plugin in registry.plugins:
        if plugin.is_slow:
            say(
                f"gadkit: warning: plugin {plugin.name!r} of {plugin.provider} took {duration_text(plugin.seconds)} to "
                f"import; `gadkit plugins disable {plugin.switch}` does without it."
            )


def say_after(function: Callable[[], None]) -> None:
    """Has `function` called at the end of the command, when its own output is out."""
    _after.append(function)


def warn_pending() -> None:
    """`warn_failures` for the process's registry, where some command has made it and has not warned."""
    from gadkit.registry import get_registry

    while _after:
        _after.pop()()

    if get_registry.cache_info().currsize:
        warn_failures(get_registry())


@contextlib.contextmanager
def telling(own: type[Warning] = GadkitWarning) -> Iterator[None]:
    """A block in which gadkit's own warnings are said, one line each; others are shown as ever.

    Args:
        own: Which of gadkit's own. Of what is deprecated, each is said once, with the place that uses it.
    """
    with warnings.catch_warnings():
        show = warnings.showwarning

        def say_own(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, GadkitDeprecationWarning):
                say(f"gadkit: warning: {message} ({place[0]}, line {place[1]}).")
            elif issubclass(category, own):
                say(f"gadkit: warning: {message}")
            else:
                show(message, category, *place, **more)

        warnings.simplefilter("always", own)
        warnings.simplefilter("once", GadkitDeprecationWarning)
        warnings.showwarning = say_own
        yield


def tell(error: GadkitError) -> None:
    """The sentence of an error that the user can mend; with `--verbose` its traceback before it."""
    if verbose:
        say("".join(traceback.format_exception(error)).rstrip())
    say(f"gadkit: error: {error}")
